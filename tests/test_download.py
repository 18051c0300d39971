"""Downloads, against a server on this machine."""

from __future__ import annotations

import functools
import hashlib
import http.server
import re
import threading
from pathlib import Path

import pytest

from hastelib.download import DownloadError, fetch, sha256_of

CONTENT = bytes(range(256)) * 5000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; ``/cut`` stops half-way, ``/whole`` knows no ranges."""

    asked: list[str | None] = []

    def do_GET(self):
        wanted = self.headers.get("Range")
        Handler.asked.append(wanted)
        if self.path == "/missing":
            self.send_error(404)
            return
        first = 0
        if wanted and self.path != "/whole":
            first = int(re.fullmatch(r"bytes=(\d+)-", wanted).group(1))
            if first >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206)
        else:
            self.send_response(200)
        body = CONTENT[first:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Handler.asked = []
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


def test_interrupted_download_goes_on_where_it_stopped(server: str, tmp_path: Path):
    with pytest.raises(DownloadError, match="goes on"):
        fetch(f"{server}/cut", tmp_path / "file", sha256=SHA)
    assert not (tmp_path / "file").exists()
    have = (tmp_path / "file.part").stat().st_size
    assert 0 < have < len(CONTENT)
    assert fetch(f"{server}/file", tmp_path / "file", sha256=SHA).read_bytes() == CONTENT
    assert Handler.asked == [None, f"bytes={have}-"]


def test_server_without_ranges_starts_over(server: str, tmp_path: Path):
    (tmp_path / "file.part").write_bytes(b"an old beginning")
    assert fetch(f"{server}/whole", tmp_path / "file", sha256=SHA).read_bytes() == CONTENT


def test_whole_part_is_only_checked(server: str, tmp_path: Path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    assert fetch(f"{server}/file", tmp_path / "file", sha256=SHA).read_bytes() == CONTENT


def test_wrong_content_is_deleted(server: str, tmp_path: Path):
    with pytest.raises(DownloadError, match="expected 0123456789abcdef"):
        fetch(f"{server}/file", tmp_path / "file", sha256="0123456789abcdef")
    assert list(tmp_path.iterdir()) == []


def test_missing_file_says_where_to_put_it(server: str, tmp_path: Path):
    with pytest.raises(DownloadError, match=f"put the file at {tmp_path}"):
        fetch(f"{server}/missing", tmp_path / "file", sha256=SHA)
