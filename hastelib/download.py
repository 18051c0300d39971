"""Downloading a file: progress, resume, checksum."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

CHUNK = 1 << 20


class DownloadError(OSError):
    """A file could not be downloaded, or is not the one that was asked for."""


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(url: str, path: Path, *, sha256: str, timeout: float = 30.0) -> Path:
    """Download ``url`` to ``path`` and check it.

    What was received stays in ``path`` + ``.part``, so an interrupted download goes on where it
    stopped. The file gets its name only when its checksum fits.

    Args:
        url: official address.
        path: where the file shall lie.
        sha256: the file's SHA-256 in hexadecimal, or at least its first eight digits.
        timeout: seconds without an answer before giving up.

    Raises:
        DownloadError: no answer, or a file whose checksum does not fit (it is deleted).
    """
    part = path.with_name(path.name + ".part")
    lock = part.with_name(f"{part.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if path.exists():  # another process had it first
                return path
            _receive(url, part, timeout)
            return _checked(url, part, path, sha256)
    except DownloadError:
        raise
    except OSError as error:  # no network, no answer, no space, no permission
        raise DownloadError(
            f"could not download {url} ({getattr(error, 'reason', error)}). Try again (it goes on "
            f"where it stopped), or put the file at {path} yourself."
        ) from error
    finally:
        lock.unlink(missing_ok=True)


def _checked(url: str, part: Path, path: Path, sha256: str) -> Path:
    found = sha256_of(part)
    if not found.startswith(sha256):
        part.unlink()
        raise DownloadError(
            f"{url} has SHA-256 {found[:16]}..., expected {sha256[:16]}...; it was deleted. Try "
            f"again, or put the right file at {path}."
        )
    os.replace(part, path)
    return path


def _receive(url: str, part: Path, timeout: float) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to send: the part is whole
            return
        raise
    with answer:
        resumed = answer.status == 206
        expected = (have if resumed else 0) + int(answer.headers.get("Content-Length") or 0)
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(
                total=expected or None,
                initial=have if resumed else 0,
                unit="B",
                unit_scale=True,
                desc=part.stem,
            ) as progress,
        ):
            while block := answer.read(CHUNK):
                file.write(block)
                progress.update(len(block))
            received = file.tell()
    if answer.headers.get("Content-Length") and received < expected:
        raise ConnectionError(f"the connection closed after {received} of {expected} bytes")
