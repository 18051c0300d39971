"""Content-addressed files: features, accuracies, checkpoints.

An entry's name is the SHA-256 of all that determines it; it is a safetensors file that holds its
own name and checksum. It is written under a temporary name and renamed, so that no reader sees half
of it. A damaged entry is reported, dropped and made again; what killed processes left goes when a
process first opens the folder.
"""

import hashlib
import json
import os
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

Kept = tuple[dict[str, Tensor], dict[str, Any]]
"""Named arrays and JSON notes, as an entry holds them."""
ELSEWHERE = "set HASTE_CACHE to another folder"
FORMAT = 2  # raised when the meaning of stored entries changes, so that old ones are made again


class DamagedEntryWarning(UserWarning):
    """A cache entry failed its checksum, or could not be read, and is being made again."""


def cache_folder() -> Path:
    """``HASTE_CACHE``, or ``~/.cache/haste`` where it is not set."""
    return Path(os.environ.get("HASTE_CACHE") or "~/.cache/haste").expanduser()


def key(**parts: Any) -> str:
    """Hexadecimal SHA-256 of the named parts (anything JSON can write), in any order."""
    text = json.dumps({"format": FORMAT, **parts}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest(arrays: Mapping[str, Tensor], notes: Mapping[str, Any] | None = None) -> str:
    """Hexadecimal SHA-256 of named tensors (names, types, shapes, bytes) and of JSON notes."""
    total = hashlib.sha256(json.dumps(notes or {}, sort_keys=True).encode())
    for name in sorted(arrays):
        tensor = arrays[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


@contextmanager
def _writable(folder: Path, elsewhere: str = ELSEWHERE) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise PermissionError(
            f"cannot write to {folder}: {error.strerror or error}. Make the folder writable, free "
            f"some space, or {elsewhere}."
        ) from error


@contextmanager
def writing(path: Path, elsewhere: str = ELSEWHERE) -> Iterator[Path]:
    """A temporary path beside ``path``; renamed to it when the block ends well, else removed.

    ``PermissionError`` where the folder cannot be written to; ``elsewhere`` ends its message.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with _writable(path.parent, elsewhere), FileLock(temporary):  # held while its writer lives
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


_swept: set[Path] = set()


class Store:
    """The cache under one folder, :func:`cache_folder` by default."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else cache_folder()
        if self.folder in _swept:
            return
        _swept.add(self.folder)
        for path in self.folder.glob("*/*"):  # temporary files and locks that no process holds
            if path.suffix == ".lock" or (path.name[0] == "." and ".safetensors." in path.name):
                with suppress(OSError, Timeout), FileLock(path, blocking=False):
                    path.unlink()

    def path(self, kind: str, entry: str) -> Path:
        """The file of an entry: ``folder/kind/entry.safetensors``."""
        return self.folder / kind / f"{entry}.safetensors"

    def has(self, kind: str, entry: str) -> bool:
        """Whether there is such an entry, damaged or not."""
        return self.path(kind, entry).exists()

    def write(
        self, kind: str, entry: str, arrays: Mapping[str, Tensor], notes: Mapping[str, Any]
    ) -> None:
        """Write an entry."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in arrays.items()}
        header = {"name": f"{kind}/{entry}", "notes": json.dumps(notes)}  # metadata: strings only
        metadata = header | {"sha256": digest(tensors, header)}
        with writing(self.path(kind, entry)) as temporary:
            temporary.write_bytes(save(tensors, metadata))

    def read(self, kind: str, entry: str) -> Kept | None:
        """An entry's tensors and notes; None where there is none, or only a damaged one.

        Warns:
            DamagedEntryWarning: the entry is cut short or altered; it is dropped.
        """
        path = self.path(kind, entry)
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            checksum = metadata.pop("sha256")
            if digest(arrays, metadata) != checksum:
                raise ValueError("its checksum does not fit its contents")
            if metadata["name"] != f"{kind}/{entry}":
                raise ValueError(f"it is {metadata['name']}, under another name")
            notes = json.loads(metadata["notes"])
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError, ValueError) as error:
            warnings.warn(
                f"dropping the damaged cache entry {path} ({error}); it is made again",
                DamagedEntryWarning,
                stacklevel=2,
            )
            with suppress(OSError):  # where this fails, writing it anew says why
                path.unlink()
            return None
        return arrays, notes

    def get(self, kind: str, entry: str, make: Callable[[], Kept]) -> Kept:
        """The entry, made and written first if it is not there.

        Two processes that want the same entry wait for each other: one makes it, both read it.
        """
        if stored := self.read(kind, entry):
            return stored
        lock_path = self.path(kind, entry).with_suffix(".lock")
        with _writable(lock_path.parent):  # the system lets go of the lock when this process dies
            lock = FileLock(lock_path).acquire()
        with lock:
            try:
                stored = self.read(kind, entry)  # another process may have made it meanwhile
                if stored is None:
                    stored = make()
                    self.write(kind, entry, *stored)
            finally:
                lock_path.unlink(missing_ok=True)  # who waits for it notices, and takes the next
        return stored

    def drop(self, kind: str, entry: str) -> None:
        """Remove an entry, if it is there."""
        if self.has(kind, entry):  # else a read-only cache would be written to
            self.path(kind, entry).unlink(missing_ok=True)
