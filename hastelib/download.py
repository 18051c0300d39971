"""Downloading a file from its official address, checked."""

from __future__ import annotations

import hashlib
import http.client
import socket
from pathlib import Path

import torch
from filelock import FileLock

TIMEOUT = 30.0  # seconds without an answer before giving up


class DownloadError(OSError):
    """A file could not be downloaded, or is not the one that was asked for."""


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(url: str, path: Path, *, sha256: str) -> Path:
    """Download ``url`` to ``path``; the file gets its name only when its checksum fits.

    Two processes that want the same file wait for each other. ``sha256`` is in hexadecimal, at
    least its first eight digits.

    Raises:
        DownloadError: no answer, no place to write to, or a file whose checksum does not fit.
    """
    lock, before = path.with_name(f"{path.name}.lock"), socket.getdefaulttimeout()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if path.is_dir():
                raise IsADirectoryError("a folder has its name")
            if not path.exists():  # else another process had it first
                socket.setdefaulttimeout(TIMEOUT)
                torch.hub.download_url_to_file(url, str(path), sha256)
    # RuntimeError is another checksum, ValueError a header that makes no sense.
    except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
        reason, otherwise = getattr(error, "reason", error), f"put the file at {path} yourself"
        raise DownloadError(
            f"could not download {url} ({reason}). Try again, or {otherwise}."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
        lock.unlink(missing_ok=True)
    return path
