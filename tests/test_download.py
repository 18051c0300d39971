"""Downloads, against a server on this machine."""

import contextlib
import gzip
import hashlib
import itertools
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from official_copies import Server, serving

from hastelib import download
from hastelib.download import DownloadError, fetch, unpack

CONTENT = bytes(range(256)) * 5000
SHA = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
CHECKSUM = f"sha256:{SHA}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "served") as running:
        for name in ("file", "page.html"):
            (running.folder / name).write_bytes(CONTENT)
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "sub" / "file"


def _left(place: Path) -> list[str]:
    return [path.name for path in place.parent.iterdir()]


@pytest.mark.parametrize("checksum", ["sha256:" + SHA[:8], f"sha256:{SHA}", f"md5:{MD5}", None])
def test_fetch(server: Server, place: Path, checksum):
    path = fetch(f"{server.url}/file", place, checksum, len(CONTENT))
    assert path.read_bytes() == CONTENT
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA
    assert _left(place) == ["file"]
    assert fetch("http://127.0.0.1:9/none", path, checksum) == path  # it is there


@pytest.mark.parametrize(
    ("name", "checksum", "size", "message"),
    [
        ("missing", CHECKSUM, None, "Not Found"),
        ("file", "sha256:01234567", None, f"it has the sha256 {SHA}, not 01234567"),
        ("file", f"md5:{'0' * 32}", None, f"it has the md5 {MD5}, not 0000"),
        ("page.html", CHECKSUM, None, "the server has a web page there, not the file"),
        ("file", CHECKSUM, 1000, "the server has 1,280,000 bytes, not the 1,000"),
    ],
)
def test_what_cannot_be_had(server: Server, place: Path, name, checksum, size, message):
    told = rf"could not download .*{message}.*put the file at {place}"
    with pytest.raises(DownloadError, match=told):
        fetch(f"{server.url}/{name}", place, checksum, size)
    assert _left(place) == []


def test_what_lies_in_its_place(server: Server, place: Path):
    place.parent.mkdir()
    place.write_bytes(b"another")
    with pytest.raises(DownloadError, match=rf"is there, but has the sha256 \w+, not {SHA}: dele"):
        fetch("http://127.0.0.1:9/none", place, checksum=CHECKSUM)
    assert place.read_bytes() == b"another"
    with pytest.raises(DownloadError, match="could not download"):
        fetch(f"{server.url}/file", place / "file", checksum=CHECKSUM)
    place.unlink()
    place.mkdir()
    with pytest.raises(DownloadError, match=r"Is a directory.*put the file at"):
        fetch(f"{server.url}/file", place, checksum=CHECKSUM)


@pytest.mark.parametrize("ranges", [True, False])
def test_what_was_interrupted_goes_on(server: Server, place: Path, ranges: bool):
    server.cut, server.ranges = True, ranges
    with pytest.raises(DownloadError, match="it ended after 640,000 of 1,280,000 bytes, which are"):
        fetch(f"{server.url}/file", place, checksum=CHECKSUM)
    assert _left(place) == ["file.part"]
    server.cut = False
    assert fetch(f"{server.url}/file", place, checksum=CHECKSUM).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=640000-"]
    assert _left(place) == ["file"]


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more", b"x" * 1000])
def test_what_lies_there_from_before(server: Server, place: Path, part: bytes):
    """All of it, more than all of it, or of another file: the second call has it."""
    place.parent.mkdir()
    place.with_name("file.part").write_bytes(part)
    for size in (None, len(CONTENT)):
        with contextlib.suppress(DownloadError):
            fetch(f"{server.url}/file", place, checksum=CHECKSUM, size=size)
    assert place.read_bytes() == CONTENT


@pytest.fixture
def raw() -> Iterator[Callable[[Iterator[bytes] | list[bytes]], str]]:
    """A server that says what it is given, a piece at a time, until nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threads = []

        def says(pieces) -> str:
            def answer() -> None:
                with listening.accept()[0] as line:
                    line.recv(4096)
                    try:
                        for piece in pieces:
                            line.sendall(piece)
                    except OSError:
                        pass

            threads.append(threading.Thread(target=answer))
            threads[-1].start()
            return f"http://127.0.0.1:{listening.getsockname()[1]}/file"

        yield says
        for thread in threads:
            thread.join()


def _silent() -> Iterator[bytes]:
    time.sleep(1)
    yield b"HTTP/1.1 200 OK\r\n\r\n"


def _dripping() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    for _ in range(300):
        time.sleep(0.02)
        yield b"x"


ENDLESS = itertools.chain([b"HTTP/1.1 200 OK\r\n\r\n"], itertools.repeat(b"x" * 1000))


@pytest.mark.parametrize(
    ("pieces", "size", "message"),
    [
        ([], None, "without response"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"], None, "does not say how large"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"], None, "ended after 3 of 9 bytes"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"], 8, "has 9 bytes, not the 8"),
        ([b"HTTP/1.1 200 OK\r\n\r\nabc"], 9, "ended after 3 of 9 bytes"),
        (ENDLESS, 5000, "sha256"),
        (_dripping(), None, "less than 1,000 bytes a second"),
        (_silent(), None, "timed out"),
        ([b"nonsense\r\n\r\n"], None, "nonsense"),
    ],
)
def test_servers_that_go_wrong(raw, place: Path, monkeypatch, pieces, size, message):
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    started = time.monotonic()
    with pytest.raises(DownloadError, match=rf"could not download .*{message}"):
        fetch(raw(pieces), place, checksum=CHECKSUM, size=size)
    assert time.monotonic() - started < 2
    written = [path.stat().st_size for path in place.parent.iterdir()]
    assert sum(written) < 1000  # a part, to go on from


# Archives


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar"])
def test_archives_are_unpacked(tmp_path: Path, kind: str):
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/deep/a.txt").write_text("hello" * 1000)
    archive = Path(shutil.make_archive(str(tmp_path / "x"), kind, tmp_path, "in"))
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/in/deep/a.txt").read_text() == "hello" * 1000
    content = archive.read_bytes()
    for broken in (content[: len(content) // 8], b"", b"<html>", gzip.compress(b"no tar")):
        archive.write_bytes(broken)
        with pytest.raises(DownloadError, match=rf"cannot unpack {archive} \(.*delete it if it is"):
            unpack(archive, tmp_path / "other")
