"""Where the jobs of an experiment run: in this process, or on the workers of Dask.

One word says where, for the same jobs (:func:`run`, or the environment variable
``HASTE_SCHEDULER``):

- ``local``: one after the other in this process, the default;
- a number: that many worker processes on this machine, reachable from it alone, and encrypted with
  a key of this run, so that no other user can give them work;
- ``tcp://HOST:PORT``, or the path of a scheduler file (``.json``): a Dask cluster that is there
  already, whose workers see the store's folder and the data.

A job that raises is tried once more, then reported at the end with the jobs that needed it; no job
keeps another from running. A worker that dies costs only the job that it ran.
"""

from __future__ import annotations

import functools
import gc
import os
import re
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from distributed import Client, SpecCluster

NOT_RUN = "not run, since "
DIED = "the workers that ran it died"
LONGEST = 300  # characters of a cause in a message


@dataclass(frozen=True)
class Job:
    """One piece of work: a function that keeps its result in the store, and its arguments.

    Both are picklable; the name stands once in a list. The jobs that ``needs`` names must have
    succeeded before, and a worker must have so many ``gpus`` free (its resource ``GPU``).
    """

    name: str
    call: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()
    gpus: int = 0


class JobsFailedError(ValueError):
    """Some jobs failed (``errors``, by name), all others are done (``results``)."""

    def __init__(self, errors: dict[str, str], results: dict[str, Any]) -> None:
        super().__init__(
            f"{len(errors)} of {len(errors) + len(results)} jobs failed; the others are done and "
            f"kept, so that a second run makes only these:{summary(errors)}"
        )
        self.errors, self.results = errors, results


def summary(errors: dict[str, str], most: int = 3) -> str:
    """What failed and why: a line for each cause, with the first of the jobs that it stopped."""
    causes = {name: cause for name, cause in errors.items() if not cause.startswith(NOT_RUN)}
    by_cause = dict[str, list[str]]()
    for name, cause in (causes or errors).items():
        by_cause.setdefault(cause, []).append(name)
    lines = [
        f"{names[0]}{f' (and {len(names) - 1} more)' if len(names) > 1 else ''}: {cause[:LONGEST]}"
        for cause, names in [*by_cause.items()][:most]
    ]
    more = [f"{len(by_cause) - most} other causes"] if len(by_cause) > most else []
    return "".join(f"\n- {line}" for line in [*lines, *more])


def run(jobs: Sequence[Job], scheduler: str | None = None, name: str = "") -> dict[str, Any]:
    """Run jobs where ``scheduler`` says (see the module), in their order as far as needs allow.

    ``name`` stands before the progress bar.

    Returns:
        Name -> result, in the order of the jobs.

    Raises:
        ValueError: an unknown scheduler, two jobs of one name, unknown or circular needs, no GPU.
        OSError: no scheduler answers.
        JobsFailedError: some jobs failed; the message lists them with their errors.
    """
    where = scheduler or os.environ.get("HASTE_SCHEDULER") or "local"
    if not re.fullmatch(r"local|[1-9]\d*|.+://.+|.+\.json", where):
        raise ValueError(
            f"unknown scheduler {where!r}; choose local, a number of worker processes (at least "
            "1), the address of a Dask scheduler (tcp://HOST:PORT) or its scheduler file (.json)"
        )
    ordered = _topological_order(jobs)
    if not jobs:
        return {}
    results, errors = dict[str, Any](), dict[str, str]()
    with tqdm(total=len(jobs), desc=name, unit="job") as bar:
        if where == "local":
            for job in ordered:
                call = functools.partial(job.call, *job.arguments)
                _settle(job, [call, call], results, errors)
                bar.update()
        else:
            with _client(where, any(job.gpus for job in jobs)) as client:
                _run_on_cluster(client, ordered, results, errors, bar)
    if errors:
        raise JobsFailedError(errors, results)
    return {job.name: results[job.name] for job in jobs}


def _topological_order(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, each after those it needs, otherwise in the order given."""
    counts = Counter(job.name for job in jobs)
    if repeated := sorted(name for name, count in counts.items() if count > 1):
        raise ValueError(f"jobs: expected each name once, got several of {repeated}")
    waiting, ordered = {job.name: job for job in jobs}, dict[str, Job]()
    while waiting:
        ready = next((n for n, job in waiting.items() if ordered.keys() >= {*job.needs}), None)
        if ready is None:
            stuck = {name: job.needs for name, job in waiting.items()}
            raise ValueError(f"jobs: some needs are unknown or circular: {stuck}")
        ordered[ready] = waiting.pop(ready)
    return list(ordered.values())


def _settle(
    job: Job, tries: Iterable[Callable[[], Any]], results: dict[str, Any], errors: dict[str, str]
) -> None:
    """Record the first result or else the last error; nothing is tried where a need failed."""
    if lost := [need for need in job.needs if need in errors]:
        why = errors[lost[0]]
        errors[job.name] = why if why.startswith(NOT_RUN) else f"{NOT_RUN}{lost[0]} failed: {why}"
        return
    for attempt in tries:
        try:
            results[job.name] = attempt()
            errors.pop(job.name, None)
            return
        except Exception as error:
            errors[job.name] = told(error)


def _run_on_cluster(
    client: Client, ordered: list[Job], results: dict[str, Any], errors: dict[str, str], bar: tqdm
) -> None:
    from distributed import as_completed

    run_id, owners = uuid.uuid4().hex, dict[int, Any]()

    def submit(job: Job, needs: Sequence[Any], stage: str) -> Any:
        call: Any = job.call
        owner = getattr(call, "__self__", None)
        if owner is not None:  # what a method is bound to may hold data: sent once
            if id(owner) not in owners:
                owners[id(owner)] = client.submit(_identity, owner, key=f"{id(owner)}-{run_id}")
            owner, call = owners[id(owner)], job.call.__name__
        # Of tasks in one group without needs, Dask holds back those that no worker is free for.
        task = {"key": (f"{stage}-{run_id}", job.name), "pure": False, "retries": 1}
        resources = {"GPU": job.gpus} if job.gpus else None
        call_arguments = call, owner, job.arguments, needs
        return client.submit(_call, *call_arguments, resources=resources, **task)

    futures: dict[str, Any] = {}
    for job in ordered:
        needs = [futures[need] for need in job.needs]
        futures[job.name] = submit(job, needs, "then" if needs else "first")
    for future in as_completed([*futures.values()], loop=client.loop):
        with suppress(Exception):  # recorded below
            results[future.key[1]] = future.result()
            del futures[future.key[1]]  # else it is computed again when its worker dies
        bar.update()

    def tries(job: Job) -> Iterator[Callable[[], Any]]:
        yield futures[job.name].result
        # Dask blames a worker's death on all jobs waiting there; a job run alone is blamed alone.
        if errors[job.name] == DIED:
            yield submit(job, [], "alone").result

    for job in ordered:
        if job.name not in results:
            _settle(job, tries(job), results, errors)


def _call(call: Any, owner: Any, arguments: tuple[Any, ...], _: list[Any]) -> Any:
    return (getattr(owner, call) if owner is not None else call)(*arguments)


def _identity(value: Any) -> Any:
    return value


def told(error: BaseException) -> str:
    """The error in one line, with the place in this library that it came from."""
    if type(error).__name__ == "KilledWorker":
        return DIED
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if "hastelib" in frame.filename and frame.filename != __file__:
            place = f" ({frame.name}, line {frame.lineno})"
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


@contextmanager
def _client(where: str, gpus: bool) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(
            f"HASTE_SCHEDULER={where} needs dask.distributed: pip install 'hastelib[cluster]'"
        ) from error
    gc.collect()  # a client without a scheduler must not close while the next starts: a deadlock
    if where.isdecimal():
        with _cluster(int(where), gpus) as cluster, Client(cluster, set_as_default=False) as client:
            yield client
        return
    is_file = where.endswith(".json")
    if is_file and not Path(where).exists():
        raise FileNotFoundError(f"no scheduler file {where}; start the scheduler first")
    try:
        client = Client(**{"scheduler_file" if is_file else "address": where}, set_as_default=False)
    except OSError as error:
        raise OSError(f"no Dask scheduler answers at {where} ({error}); start it first") from error
    with client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        if gpus and workers and not any(worker["resources"].get("GPU") for worker in workers):
            raise ValueError(
                f"jobs need a GPU, but none of the {len(workers)} workers at {where} offers one; "
                'start them with --resources "GPU=1", or set HASTE_DEVICE=cpu'
            )
        yield client


@contextmanager
def _cluster(workers: int, gpus: bool) -> Iterator[SpecCluster]:
    """A process for each worker on this machine, with a GPU of its own where jobs need one."""
    import dask
    from distributed import Nanny, Scheduler, Security, SpecCluster

    security = Security.temporary()
    local: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    local |= {"protocol": "tls://", "security": security}
    extras: list[dict[str, Any]] = [{}] * workers
    if gpus:
        import torch  # only here: a worker starts in a second without it

        count = torch.cuda.device_count()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
        if workers > count:
            raise ValueError(
                f"HASTE_SCHEDULER={workers}: each worker takes a GPU of its own, and this machine "
                f"has {count}; choose at most as many, or HASTE_DEVICE=cpu"
            )
        environments = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in visible.split(",")[:workers]]
        extras = [{"resources": {"GPU": 1}, "env": environment} for environment in environments]
    spawned = "distributed.nanny.pre-spawn-environ"  # set before a worker imports anything
    variables = dask.config.get(spawned) | {"TQDM_DISABLE": "1", "HASTE_WORKERS": str(workers)}
    settings = {
        spawned: variables,
        "distributed.worker.daemon": False,  # a worker may start processes that decode
        "distributed.scheduler.worker-saturation": 1.0,  # no job waits on a worker
        "distributed.scheduler.allowed-failures": 1,  # else it is tried alone
    }
    options = local | {"nthreads": 1, "memory_limit": 0, "silence_logs": 50}
    specs = {i: {"cls": Nanny, "options": options | extra} for i, extra in enumerate(extras)}
    scheduler = {"cls": Scheduler, "options": local | {"port": 0, "dashboard": False}}
    saved = dict(os.environ)
    try:
        with (
            dask.config.set(settings),
            SpecCluster(specs, scheduler, security=security, silence_logs="CRITICAL") as cluster,
        ):
            yield cluster
    except RuntimeError as error:
        if "failed to start" not in str(error):
            raise
        raise OSError(
            f"no worker started ({error}); in a script, what asks for workers must stand under "
            'if __name__ == "__main__":, since every worker imports the script'
        ) from error
    finally:
        os.environ.clear()  # a nanny leaves its workers' variables here
        os.environ.update(saved)
