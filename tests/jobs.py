"""Jobs for the tests of the runner; a module of its own, so that workers can import it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def add(a: int, b: int) -> int:
    return a + b


def fail(message: str) -> None:
    raise ValueError(message)


def note(folder: str, name: str, seconds: float = 0.0) -> str:
    """Leave a file that says which process ran this, one a call."""
    time.sleep(seconds)
    Path(folder, f"{name}.{os.getpid()}.{time.monotonic_ns()}").touch()
    return name


def succeed_later(folder: str, name: str) -> str:
    """Fail the first time, anywhere."""
    first = Path(folder, f"{name}.first")
    if not first.exists():
        first.touch()
        raise RuntimeError("not yet")
    return name


def die_once(folder: str, name: str) -> str:
    """Be killed the first time, as by the system."""
    first = Path(folder, f"{name}.first")
    if not first.exists():
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return name


def draws_bars() -> bool:
    """Whether a progress bar would show here."""
    from tqdm import tqdm

    return not tqdm().disable
