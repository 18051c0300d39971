"""The same jobs in this process, on local workers and on a Dask cluster."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jobs
import psutil
import pytest

from hastelib import engine
from hastelib.data.images import cores
from hastelib.engine import Job, JobsFailedError, run

pytestmark = jobs.CLUSTER


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster that is there already, of two workers."""
    from distributed import LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(host="127.0.0.1", **options) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(params=["here", "there"])
def scheduler(request: pytest.FixtureRequest) -> str:
    return "local" if request.param == "here" else request.getfixturevalue("address")


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


def test_one_bad_job_never_loses_the_others(scheduler: str, tmp_path: Path) -> None:
    listed = [
        Job("bad", jobs.fail, ("no such file",)),
        Job("after", jobs.note, (str(tmp_path), "after"), needs=("bad",)),
        Job("later", jobs.note, (str(tmp_path), "later"), needs=("after",)),
    ]
    good = [Job(f"good {i}", jobs.add, (i, i)) for i in range(7)]
    with pytest.raises(JobsFailedError, match="3 of 10 jobs failed") as failed:
        run([*listed, *good], scheduler)
    results = {f"good {i}": 2 * i for i in range(7)}
    assert failed.value.results == results
    assert [*run(good, scheduler).items()] == [*results.items()]  # in the order of the jobs
    assert "ValueError: no such file" in failed.value.errors["bad"]
    why = "not run, since bad failed: ValueError: no such file"
    assert failed.value.errors["after"] == failed.value.errors["later"] == why
    assert str(failed.value).endswith("makes only these:\n- bad: ValueError: no such file")
    assert not list(tmp_path.iterdir())


def test_a_job_is_tried_again(scheduler: str, tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert run([Job("shy", jobs.recover, (folder, "shy"))], scheduler) == {"shy": "shy"}
    with pytest.raises(JobsFailedError, match="RuntimeError: not yet"):
        run([Job("never", jobs.recover, (folder, "never", 9))], scheduler)
    assert len([*tmp_path.glob("never.*")]) == 2


def test_a_killed_worker_takes_nothing_with_it(tmp_path: Path) -> None:
    """A job that is killed once succeeds; one that kills every worker fails, and it alone."""
    folder = str(tmp_path)
    others = [Job(f"n{i}", jobs.note, (folder, f"n{i}", 0.05)) for i in range(6)]
    killed = Job("killed", jobs.recover, (folder, "killed", 1, True))
    killing = Job("killing", jobs.recover, (folder, "killing", 9, True))
    waiting = [Job("waits", jobs.add, (1, 2), ("killing",)), Job("runs", jobs.add, (1, 2), ("n5",))]
    with pytest.raises(JobsFailedError, match="2 of 10 jobs failed") as failed:
        run([*others[:2], killed, killing, *others[2:], *waiting], "2")
    assert failed.value.errors == {
        "killing": "the workers that ran it died",
        "waits": "not run, since killing failed: the workers that ran it died",
    }
    assert failed.value.results.keys() == {*(f"n{i}" for i in range(6)), "killed", "runs"}


def test_workers_are_reached_from_this_machine_alone_and_share_its_cores() -> None:
    """They listen on the loopback only, draw no bars, decode with their share, and may fork."""
    before = dict(os.environ)
    found = run([Job(str(i), jobs.seen) for i in range(4)], "2")
    assert os.environ == before
    for one in found.values():
        assert one["hosts"] == {"127.0.0.1"}
        assert not one["bars"]
        assert one["cores"] == max(1, cores() // 2)
        assert one["child"] == 3
    assert run([Job("here", jobs.seen)], "local")["here"]["cores"] == cores()


def test_nobody_else_can_give_local_workers_work() -> None:
    """Whoever has no key of the run is turned away, as another user of the machine would be."""
    from distributed import Client

    with engine._cluster(1, gpus=False) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://127.0.0.1")
        for one in (address, address.replace("tls", "tcp")):
            with pytest.raises((OSError, TypeError)):
                Client(one, timeout=2, set_as_default=False)
            gc.collect()  # else it is closed amid the start of the next, and waits for it forever


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    code = (
        "import jobs; from hastelib.engine import Job, run\n"
        f"if __name__ == '__main__': run([Job('a', jobs.note, ({str(tmp_path)!r}, 'a')),"
        " Job('b', jobs.wait, needs=('a',))], '1')"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, script], stderr=subprocess.DEVNULL)
    try:
        worker = jobs.until(lambda: [int(f.name.split(".")[1]) for f in tmp_path.glob("a.*")])[0]
    finally:
        parent.kill()
        parent.wait()
    jobs.until(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie")


def test_each_local_worker_has_a_gpu_of_its_own(address: str, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    listed = [Job(str(i), jobs.visible, gpus=1) for i in range(3)]
    assert set(run(listed, "2").values()) == {"4", "7"}
    with pytest.raises(ValueError, match=r"each worker takes a GPU of its own, .* has 2; choose"):
        run(listed, "3")
    with pytest.raises(ValueError, match=r'none of the 2 workers at .* --resources "GPU=1"'):
        run(listed, address)
