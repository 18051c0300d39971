"""The page "Many machines": its commands, on the loopback of this machine."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jobs
import pandas as pd
import pytest
import synthetic
import yaml

from hastelib.engine import Job, run
from hastelib.grid import Grid
from hastelib.store import Store

PAGE = (Path(__file__).parents[1] / "book" / "cluster.md").read_text()
pytestmark = jobs.CLUSTER


def command(words: str) -> str:
    """The first line of a shell block that has these words."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.S))
    lines = re.sub(r"\\\n *", "", blocks).split("\n")
    return next(line for line in lines if words in line)


@contextmanager
def started(line: str, folder: Path) -> Iterator[None]:
    """A command of the page, with this folder in place of the shared one, until the block ends."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec env {line.replace('/shared', str(folder))}"],
        cwd=folder,
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
        jobs.until(file.exists)
        monkeypatch.setenv("HASTE_SCHEDULER", str(file))
        with started(worker, tmp_path):
            found = run([Job(f"{i}", jobs.add, (i, 1)) for i in range(3)])
    assert found == {"0": 1, "1": 2, "2": 3}


def test_a_worker_killed_in_mid_fine_tuning(tmp_path: Path) -> None:
    """Every cell comes out, none twice but the killed one, and the table is the in-process one."""
    from distributed import LocalCluster

    sources = ("resnet8@glyphs", "densenet16@glyphs")
    suite = synthetic.suite(sources, {"greek": "α-δ"}, seeds=(0, 1, 2)).select(epochs=2)[0]
    told = tmp_path / "told"
    told.mkdir()
    environment = {"HASTE_PLUGINS": "witness", "WITNESS": str(told)}
    ask = "5.1", ["greek"], ["leep", "gbc", "nce", "logme"]
    options = {"n_workers": 3, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(host="127.0.0.1", env=environment, **options) as cluster:
        grid = Grid(suite, Store(tmp_path / "cluster"), cluster.scheduler_address)
        rows = grid.frame(*ask)

    computed = (told / "computed").read_text().splitlines()
    killed = (told / "killed").read_text()
    counts = Counter(line.partition(" by ")[0] for line in computed)
    cells = {f"fine-tune {source}, seed {seed}" for source in sources for seed in range(3)}
    extractions = {f"extract {source}" for source in sources}
    assert cells | extractions <= counts.keys()
    assert len(counts) == len(cells) + 2 * len(extractions)  # as many are scored
    (twice,) = [name for name, count in counts.items() if count > 1]
    assert counts[twice] == 2
    assert twice in cells
    assert f"{twice} by {killed}" in computed
    assert len({line.rpartition(" ")[2] for line in computed}) >= 3  # more than one worked

    alone = Grid(suite, Store(tmp_path / "alone"), "local").frame(*ask)
    timed = rows.assign(seconds=alone["seconds"])  # no two runs take as long
    pd.testing.assert_frame_equal(timed, alone)


def test_the_schedulers_of_the_table_are_known() -> None:
    rows = re.findall(r"^\| (.*?) \| .* \|$", PAGE, re.M)
    told = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    expected = ["HASTE_SCHEDULER", "local", "4", "tcp://host:8786", "/shared/scheduler.json"]
    assert told == expected
    for name in told[1:]:
        assert run([], name) == {}


def test_the_manifest_names_what_it_uses() -> None:
    text = re.search(r":caption: haste.yaml\n\n(.*?)```", PAGE, re.S)
    assert text
    manifest = yaml.safe_load(text.group(1))
    cluster = manifest["spec"]["cluster"]["spec"]
    pods = {name: cluster[name]["spec"] for name in ("worker", "scheduler")}
    pods["job"] = manifest["spec"]["job"]["spec"]
    for kind, pod in pods.items():
        (container,) = pod["containers"]
        volumes = {one["name"] for one in pod.get("volumes", ())}
        assert {one["name"] for one in container.get("volumeMounts", ())} == volumes
        told = {one["name"] for one in container.get("env", ())}
        assert told == (set() if kind == "scheduler" else {"HASTE_CACHE", "HASTE_DATA"})
    (scheduler,), service = pods["scheduler"]["containers"], cluster["scheduler"]["service"]
    served = {one["targetPort"] for one in service["ports"]}
    assert served == {one["name"] for one in scheduler["ports"]}
    assert service["selector"]["dask.org/cluster-name"] == "haste"
