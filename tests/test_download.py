"""Downloads, against a server on this machine."""

from __future__ import annotations

import functools
import hashlib
import http.server
import socket
import threading
from pathlib import Path

import pytest

from hastelib import download
from hastelib.download import DownloadError, fetch, sha256_of

CONTENT = bytes(range(256)) * 5000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; ``/cut`` stops half-way, ``/odd`` has a length that is none."""

    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", "many" if self.path == "/odd" else str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if self.path == "/cut" else CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=functools.partial(running.serve_forever, 0.05))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("digits", [8, 64])
def test_fetch(server: str, tmp_path: Path, digits: int):
    path = fetch(f"{server}/file", tmp_path / "sub" / "file", sha256=SHA[:digits])
    assert path.read_bytes() == CONTENT
    assert sha256_of(path) == SHA
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    assert fetch("http://127.0.0.1:9/none", path, sha256=SHA) == path  # it is there


@pytest.mark.parametrize(
    ("place", "sha256", "message"),
    [
        ("missing", SHA, "Not Found"),
        ("cut", SHA, "invalid hash value"),
        ("file", "0123456789abcdef", 'expected "0123456789abcdef"'),
        ("odd", SHA, "many"),
    ],
)
def test_what_cannot_be_had_leaves_nothing(server: str, tmp_path: Path, place, sha256, message):
    told = rf"could not download .*{message}.*put the file at {tmp_path}"
    with pytest.raises(DownloadError, match=told):
        fetch(f"{server}/{place}", tmp_path / "file", sha256=sha256)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_its_place(server: str, tmp_path: Path):
    (tmp_path / "file").mkdir()
    with pytest.raises(DownloadError, match="put the file at"):
        fetch(f"{server}/file", tmp_path / "file", sha256=SHA)


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(DownloadError, match="timed out"):
            fetch(url, tmp_path / "file", sha256=SHA)
    assert socket.getdefaulttimeout() is None
