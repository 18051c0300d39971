"""The page "Many machines": its commands, on the loopback of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jobs
import pytest
import yaml

from hastelib.runner import Job, run

PAGE = (Path(__file__).parents[1] / "book" / "cluster.md").read_text()
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
]


def command(words: str) -> str:
    """The first line of a shell block that has these words."""
    lines = [
        line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.split("\n")
    ]
    return next(line for line in lines if words in line)


@contextmanager
def started(line: str, folder: Path) -> Iterator[None]:
    """A command of the page, with this folder in place of the shared one, until the block ends."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    process = subprocess.Popen(
        ["bash", "-c", f"exec env {line.replace('/shared', str(folder))}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def test_a_scheduler_and_a_worker_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "scheduler.json"
    scheduler = command("dask scheduler") + " --host 127.0.0.1 --port 0 --no-dashboard"
    worker = command("OMP_NUM_THREADS=1 dask worker") + " --no-dashboard"
    with started(scheduler, tmp_path):
        for _ in range(300):
            if file.exists():
                break
            time.sleep(0.1)
        monkeypatch.setenv("HASTE_SCHEDULER", str(file))
        with started(worker, tmp_path):
            found = run([Job(f"{i}", jobs.add, (i, 1)) for i in range(3)])
    assert found == {"0": 1, "1": 2, "2": 3}


def test_the_schedulers_of_the_table_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = re.findall(r"^\| (.*?) \| .* \|$", PAGE, re.M)
    told = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert told == [
        "HASTE_SCHEDULER", "local", "processes:4", "processes", "dask:4", "tcp://host:8786",
        "/shared/scheduler.json",
    ]  # fmt: skip
    for name in told[1:3]:
        assert run([Job("a", jobs.add, (1, 2))], name.replace("4", "1")) == {"a": 3}


def test_the_manifest_names_what_it_uses() -> None:
    text = re.search(r":caption: haste.yaml\n\n(.*?)```", PAGE, re.S)
    assert text
    manifest = yaml.safe_load(text.group(1))
    cluster = manifest["spec"]["cluster"]["spec"]
    pods = {
        "job": manifest["spec"]["job"]["spec"],
        "worker": cluster["worker"]["spec"],
        "scheduler": cluster["scheduler"]["spec"],
    }
    for kind, pod in pods.items():
        (container,) = pod["containers"]
        volumes = {one["name"] for one in pod.get("volumes", ())}
        assert {one["name"] for one in container.get("volumeMounts", ())} == volumes
        told = {one["name"] for one in container.get("env", ())}
        assert told == (set() if kind == "scheduler" else {"HASTE_CACHE", "HASTE_DATA"})
    (scheduler,) = pods["scheduler"]["containers"]
    served = {one["targetPort"] for one in cluster["scheduler"]["service"]["ports"]}
    assert served == {one["name"] for one in scheduler["ports"]}
    assert cluster["scheduler"]["service"]["selector"]["dask.org/cluster-name"] == "haste"
