"""The same jobs in this process, on worker processes and on a Dask cluster."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import jobs
import pytest

from hastelib.runner import Job, JobsFailedError, run

ANYWHERE = pytest.mark.parametrize("scheduler", ["local", "processes:2", "dask:2"])
# The cluster's own business, on this machine's loopback.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
]


@pytest.fixture(autouse=True)
def _workers_find_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are fresh processes: they import `jobs` from this folder."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    assert "jobs" in sys.modules


def calls(folder: Path) -> Counter[str]:
    return Counter(path.name.split(".")[0] for path in folder.iterdir())


@ANYWHERE
def test_results_come_by_name_in_the_order_of_the_jobs(scheduler: str) -> None:
    found = run([Job(f"{i} + 1", jobs.add, (i, 1)) for i in range(7)], scheduler)
    assert list(found.items()) == [(f"{i} + 1", i + 1) for i in range(7)]


@ANYWHERE
def test_a_job_waits_for_those_it_needs(scheduler: str, tmp_path: Path) -> None:
    folder = str(tmp_path)
    run(
        [
            Job("last", jobs.note, (folder, "last"), needs=("slow", "first")),
            Job("slow", jobs.note, (folder, "slow", 0.3), needs=("first",)),
            Job("first", jobs.note, (folder, "first")),
        ],
        scheduler,
    )
    ended = sorted(tmp_path.iterdir(), key=lambda path: int(path.name.split(".")[2]))
    assert [path.name.split(".")[0] for path in ended] == ["first", "slow", "last"]


@ANYWHERE
def test_one_bad_job_never_loses_the_others(scheduler: str, tmp_path: Path) -> None:
    listed = [
        Job("bad", jobs.fail, ("no such file",)),
        Job("after", jobs.note, (str(tmp_path), "after"), needs=("bad",)),
        Job("later", jobs.note, (str(tmp_path), "later"), needs=("after",)),
        *(Job(f"good {i}", jobs.add, (i, i)) for i in range(3)),
    ]
    with pytest.raises(JobsFailedError, match="3 of 6 jobs failed") as failed:
        run(listed, scheduler)
    assert failed.value.results == {f"good {i}": 2 * i for i in range(3)}
    assert "ValueError: no such file" in failed.value.errors["bad"]
    assert failed.value.errors["after"] == "not run, since it needs bad"
    assert failed.value.errors["later"] == "not run, since it needs after"
    assert not list(tmp_path.iterdir())


@ANYWHERE
def test_a_job_is_tried_again(scheduler: str, tmp_path: Path) -> None:
    job = Job("shy", jobs.succeed_later, (str(tmp_path), "shy"))
    assert run([job], scheduler) == {"shy": "shy"}
    (tmp_path / "shy.first").unlink()
    with pytest.raises(JobsFailedError, match="RuntimeError: not yet"):
        run([job], scheduler, retries=0)


@pytest.mark.parametrize("scheduler", ["processes:2", "dask:3"])
def test_a_killed_worker_takes_nothing_with_it(scheduler: str, tmp_path: Path) -> None:
    others = [Job(f"n{i}", jobs.note, (str(tmp_path), f"n{i}", 0.1)) for i in range(6)]
    killed = Job("killed", jobs.die_once, (str(tmp_path), "killed"))
    found = run([*others[:2], killed, *others[2:]], scheduler, retries=2)
    assert set(found) == {*(f"n{i}" for i in range(6)), "killed"}


def test_workers_draw_no_bars_of_their_own() -> None:
    before = os.environ.get("TQDM_DISABLE")
    for scheduler, expected in (("local", True), ("processes:1", False), ("dask:1", False)):
        assert run([Job("bars", jobs.draws_bars)], scheduler) == {"bars": expected}
    assert os.environ.get("TQDM_DISABLE") == before


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASTE_SCHEDULER", "nowhere")
    with pytest.raises(ValueError, match="unknown scheduler 'nowhere'; choose local, processes"):
        run([Job("a", jobs.add, (1, 2))])
    assert run([Job("a", jobs.add, (1, 2))], "local") == {"a": 3}
    assert run([]) == {}


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([Job("a", jobs.add), Job("a", jobs.add)], r"each name once, got several of \['a'\]"),
        ([Job("a", jobs.add, needs=("b",))], "unknown or circular: .*'a': .*'b'"),
        ([Job("a", jobs.add, needs=("b",)), Job("b", jobs.add, needs=("a",))], "circular"),
    ],
)
def test_lists_that_cannot_be_run_are_refused(listed: list[Job], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(listed)


def test_a_cluster_that_is_there_is_used(tmp_path: Path) -> None:
    """By its scheduler file, as on a Slurm or Kubernetes cluster with a shared folder."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        assert run([Job("a", jobs.add, (1, 2))], cluster.scheduler_address) == {"a": 3}
