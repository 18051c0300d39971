"""The cache: addressed by content, whole or not at all, repaired with a warning."""

import errno
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from filelock import FileLock

from hastelib.store import DamagedEntryWarning, Kept, Store, _swept, digest, key, writing

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # with threads
FORK = multiprocessing.get_context("fork")  # a fresh process would import everything again
ARRAYS = {"x": torch.arange(6.0).reshape(2, 3), "y": torch.tensor([1, 2])}


def test_keys_and_digests_see_every_part_but_not_its_place():
    assert key(a=1, b="x") == key(b="x", a=1)
    assert len({key(a=1, b="x"), key(a=2, b="x"), key(a=1, b="y"), key(a=1, c="x")}) == 4
    x, y = ARRAYS.values()
    assert digest(ARRAYS) == digest({"y": y, "x": x.t().contiguous().t()})
    others = [{"x": one, "y": y} for one in (x, x + 1, x.reshape(3, 2), x.double())]
    assert len({digest(one) for one in (*others, {"z": x, "y": y})}) == 5


def test_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HASTE_CACHE", str(tmp_path / "c"))
    store = Store()
    assert store.folder == tmp_path / "c"
    store.write("features", "e", ARRAYS, {"speed": 1.5})
    found: Any = store.read("features", "e")
    assert found[1] == {"speed": 1.5}
    assert all(torch.equal(found[0][name], ARRAYS[name]) for name in ARRAYS)
    for kind, entry in (("features", "b"), ("scores", "e")):
        path = store.path(kind, entry)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(store.path("features", "e").read_bytes())
        with pytest.warns(DamagedEntryWarning, match="it is features/e, under another name"):
            assert store.read(kind, entry) is None
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", None)  # as on a disk that is read only
        store.drop("checkpoints", "e")
        assert store.get("features", "e", lambda: ({}, {}))[0].keys() == ARRAYS.keys()
    store.drop("features", "e")
    assert store.read("features", "e") is None


def test_damaged_entry_is_reported_dropped_and_made_again(tmp_path: Path):
    store, kept = Store(tmp_path), (ARRAYS, {"n": 0.25})
    store.write("k", "e", *kept)
    path = store.path("k", "e")
    whole = path.read_bytes()
    flipped, told = whole[:-1] + bytes([whole[-1] ^ 1]), whole.replace(b"0.25", b"0.99")
    for damaged in (whole[:-5], flipped, b"", b"not a safetensors file", told):
        path.write_bytes(damaged)
        with pytest.warns(DamagedEntryWarning, match="made again"):
            arrays, notes = store.get("k", "e", lambda: kept)
        assert notes == {"n": 0.25}
        assert torch.equal(arrays["x"], ARRAYS["x"])
        assert store.read("k", "e") is not None


def test_what_fails_leaves_nothing_and_the_next_try_succeeds(tmp_path: Path):
    store = Store(tmp_path)
    with pytest.raises(TypeError):
        store.write("k", "e", ARRAYS, {"notes": object()})
    with pytest.raises(RuntimeError, match="no luck"):
        store.get("k", "e", mock.Mock(side_effect=RuntimeError("no luck")))
    assert not list(tmp_path.rglob("*safetensors*"))

    def make() -> Kept:  # the folder may be deleted at any time
        shutil.rmtree(tmp_path)
        return ARRAYS, {}

    for _ in range(2):
        assert store.get("k", "e", make)[0].keys() == ARRAYS.keys()
        shutil.rmtree(tmp_path)


def _make_slowly(folder: Path, calls: Any) -> None:
    def make() -> Kept:
        calls.put("x")
        time.sleep(0.3)
        return ARRAYS, {}

    Store(folder).get("k", "e", make)


def test_two_that_want_an_entry_make_it_once(tmp_path: Path):
    calls = FORK.Queue()
    both = [FORK.Process(target=_make_slowly, args=(tmp_path, calls)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    assert calls.get(timeout=9) == "x"
    assert calls.empty()


def test_a_write_that_ends_halfway_leaves_the_entry_as_it_was(tmp_path: Path, monkeypatch):
    """As on a full disk: nothing of the new one is there, and the old one is whole."""
    store, write = Store(tmp_path), Path.write_bytes

    def half(path: Path, content: bytes) -> int:
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    store.write("k", "old", ARRAYS, {"n": 1})
    monkeypatch.setattr(Path, "write_bytes", half)
    for entry in ("old", "new"):
        with pytest.raises(PermissionError, match=r"No space left on device.*free some space"):
            store.write("k", entry, {}, {"n": 2})
    found: Any = store.read("k", "old")
    assert found[1] == {"n": 1}
    assert store.read("k", "new") is None
    assert [path.name for path in (tmp_path / "k").iterdir()] == ["old.safetensors"]


def _write_and_die(folder: Path) -> None:
    def kill(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    os.replace = kill  # type: ignore[assignment]
    Store(folder).get("k", "e", lambda: (ARRAYS, {}))


def test_what_killed_processes_leave_is_swept(tmp_path: Path):
    """Temporary files and locks, but not those of a process that lives."""
    process = FORK.Process(target=_write_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    left = {path.suffix for path in (tmp_path / "k").iterdir()}
    assert len(left) == 2
    assert ".lock" in left
    with writing(tmp_path / "k" / "f.safetensors") as mine:
        with FileLock(tmp_path / "k" / "g.lock"):
            _swept.discard(tmp_path)
            Store(tmp_path)
            names = {path.name for path in (tmp_path / "k").iterdir()}
            assert names == {mine.name, "g.lock"}
        mine.write_bytes(b"x")
    assert (tmp_path / "k" / "f.safetensors").read_bytes() == b"x"
    Store(tmp_path).get("k", "e", lambda: (ARRAYS, {}))
    assert not (tmp_path / "k" / "e.lock").exists()
