"""Downloads from official addresses, resumed, bounded and checked; archives, safely unpacked."""

import hashlib
import http.client
import stat
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from filelock import FileLock
from tqdm import tqdm

TIMEOUT = 30.0  # seconds without an answer before giving up
SLOWEST = 1_000  # bytes a second over so many seconds; a connection that drips is given up


class DownloadError(OSError):
    """A file could not be downloaded or unpacked, or is not the one that was asked for."""


def fetch(url: str, path: Path, checksum: str | None = None, size: int | None = None) -> Path:
    """Download ``url`` to ``path``, which gets its name only when size and checksum fit.

    An interrupted download goes on from the file with the suffix ``.part``. At most ``size`` bytes
    (for None, as many as the server announces) are written. A ``checksum`` is ``sha256:`` or
    ``md5:`` and hexadecimal digits, all of them or the first.

    Raises:
        DownloadError: no answer, one that is too slow or does not fit, or no place to write to.
    """
    lock, part = (path.with_name(f"{path.name}.{end}") for end in ("lock", "part"))
    try:
        if path.is_file():
            if problem := _mismatch(path, checksum):
                raise ValueError(f"{path} is there, but {problem}: delete it")
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            try:
                if not path.is_file():  # else another process had it first
                    _download(url, part, size)
                    if problem := _mismatch(part, checksum):
                        part.unlink()
                        raise ValueError(f"it {problem}")
                    part.replace(path)
            finally:  # a process that waits for it makes another
                lock.unlink(missing_ok=True)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        expected = f", {size:,} bytes" if size else ""
        raise DownloadError(
            f"could not download {url}{expected} ({reason}); try again, or put the file at {path}"
        ) from error
    return path


def _mismatch(path: Path, checksum: str | None) -> str:
    """Why a file is not the published one; empty where it is."""
    if not checksum:
        return ""
    algorithm, _, wanted = checksum.partition(":")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).hexdigest()
    return "" if digest.startswith(wanted) else f"has the {algorithm} {digest}, not {wanted}"


def _download(url: str, part: Path, size: int | None) -> None:
    """Write the file, or what is missing of it."""
    done = part.stat().st_size if part.is_file() else 0
    if done == size:
        return
    headers = {"User-Agent": "hastelib"} | ({"Range": f"bytes={done}-"} if done else {})
    try:
        reply = urllib.request.urlopen(urllib.request.Request(url, headers=headers), None, TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if not done or error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        part.unlink()
        _download(url, part, size)
        return
    with reply:
        if reply.headers.get_content_type() == "text/html":  # such as a page that asks to log in
            raise ValueError("the server has a web page there, not the file")
        if not (reply.headers.get("Content-Range") or "").startswith(f"bytes {done}-"):
            done = 0  # the server starts again
        offered = None if reply.length is None else done + reply.length
        if (size := size or offered) is None:
            raise ValueError("the server does not say how large it is")
        if offered not in (None, size):
            raise ValueError(f"the server has {offered:,} bytes, not the {size:,} published")
        bar = tqdm(desc=part.stem, total=size, initial=done, unit="B", unit_scale=True, leave=False)
        with part.open("ab" if done else "wb") as file, bar:
            mark, since = done, time.monotonic()
            while done < size and (chunk := reply.read1(min(size - done, 1 << 18))):
                file.write(chunk)
                done += len(chunk)
                bar.update(len(chunk))
                if (now := time.monotonic()) > since + TIMEOUT:
                    if done - mark < SLOWEST * TIMEOUT:
                        raise TimeoutError(f"less than {SLOWEST:,} bytes a second")
                    mark, since = done, now
        if done < size:
            raise ValueError(f"it ended after {done:,} of {size:,} bytes, which are kept")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar (compressed or not) or zip archive into a folder.

    An archive in it is unpacked where it lies, into a folder of its name; what a Mac leaves beside
    each file (``._NAME``) does not count as one.

    Raises:
        DownloadError: it is damaged, or holds a path or link that leads out of the folder.
    """
    data_filter = getattr(tarfile, "data_filter", None)  # checks links; from Python 3.11.4 on

    def check(name: str, allowed: bool) -> None:
        path = PurePosixPath(name.replace("\\", "/"))
        if not allowed or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{path} is a link or leads out of the folder")

    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for entry in packed.infolist():
                    check(entry.filename, not stat.S_ISLNK(entry.external_attr >> 16))
                packed.extractall(folder, tqdm(packed.namelist(), archive.name, leave=False))
        else:
            with tarfile.open(archive) as tape:
                tape.extraction_filter = data_filter
                for member in tqdm(tape, f"unpacking {archive.name}", unit=" files", leave=False):
                    check(member.name, bool(data_filter) or member.isfile() or member.isdir())
                    tape.extract(member, folder)
    except (OSError, ValueError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error) as e:
        message = str(e).partition(":\n")[0]
        remedy = "delete it if it is damaged, and try again"
        raise DownloadError(f"cannot unpack {archive} ({message}); {remedy}") from e
    for inner in [*folder.rglob("[!.]*.tar"), *folder.rglob("[!.]*.tar.gz")]:
        unpack(inner, inner.with_name(inner.name.partition(".tar")[0]))
        inner.unlink()
