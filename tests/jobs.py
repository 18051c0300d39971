"""Jobs for the tests of the engine; a module of its own, so that workers can import it."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

CLUSTER = [  # a cluster's own business, on this machine's loopback
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Creating scratch directories"),  # slow where it is busy
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
]


def add(a: int, b: int) -> int:
    return a + b


def fail(message: str) -> None:
    raise ValueError(message)


def note(folder: str, name: str, seconds: float = 0.0) -> str:
    """Leave a file that says which process ran this, one a call."""
    time.sleep(seconds)
    Path(folder, f"{name}.{os.getpid()}.{time.monotonic_ns()}").touch()
    return name


def recover(folder: str, name: str, failures: int = 1, kill: bool = False) -> str:
    """Fail the first times, anywhere, or be killed as by the system."""
    note(folder, name)
    if len([*Path(folder).glob(f"{name}.*")]) > failures:
        return name
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError("not yet")


def wait() -> None:
    time.sleep(60)


def seen() -> dict[str, Any]:
    """What a worker sees: whether a bar would show, its cores, who can reach it, a child's end."""
    from tqdm import tqdm

    from hastelib.data.images import cores

    child = multiprocessing.get_context("fork").Process(target=os._exit, args=(3,))
    child.start()
    child.join()
    processes = [psutil.Process(), *psutil.Process().parents()[:1]]  # the scheduler's too
    sockets = [one for process in processes for one in process.net_connections()]
    hosts = {one.laddr.ip for one in sockets if one.status == "LISTEN"}
    bars = not tqdm().disable
    return {"bars": bars, "cores": cores(), "hosts": hosts, "child": child.exitcode}


def visible() -> str:
    time.sleep(0.3)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def until(ask: Callable[[], Any], seconds: float = 30) -> Any:
    """What is asked for, as soon as it is there."""
    for _ in range(int(10 * seconds)):
        if found := ask():
            return found
        time.sleep(0.1)
    raise AssertionError("it took too long")
