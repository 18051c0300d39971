"""Where the jobs of an experiment run: in this process, on worker processes, on a Dask cluster.

A job is a module-level function with picklable arguments that keeps its result in the store, and
the jobs it needs. The same list runs anywhere; one word says where (:func:`run`, or the
environment variable ``HASTE_SCHEDULER``):

- ``local``: one after the other in this process, the default;
- ``processes`` or ``processes:N``: N worker processes on this machine (one a core);
- ``dask:N``: N workers of a Dask cluster on this machine;
- ``tcp://HOST:PORT``, or the path of a scheduler file (``.json``): a Dask cluster that is there
  already, whose workers see the store's folder and the data.

A job that fails is tried again, then reported at the end, with the jobs that needed it; no job
keeps another from running. A worker that dies takes nothing with it but the job in hand.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Protocol

from tqdm import tqdm

from hastelib._machine import cores


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        name: says what it is, once in a list.
        call: a module-level function.
        arguments: what it is called with; picklable.
        needs: names of the jobs that must have succeeded before.
        gpus: how many a Dask worker must have free (its resource ``GPU``); local workers ignore it.
    """

    name: str
    call: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()
    gpus: int = 0


class JobsFailedError(RuntimeError):
    """Some jobs failed, all others are done.

    Attributes:
        errors: name -> what went wrong.
        results: name -> result, of those that succeeded.
    """

    def __init__(self, errors: dict[str, str], results: dict[str, Any]) -> None:
        lines = "\n".join(f"  {name}: {error}" for name, error in errors.items())
        super().__init__(
            f"{len(errors)} of {len(errors) + len(results)} jobs failed; the others are done and "
            f"kept, so that a second run makes only these:\n{lines}"
        )
        self.errors, self.results = errors, results


class Submit(Protocol):
    """Starts a job somewhere."""

    def __call__(self, job: Job) -> Future[Any]:
        """The job's future; an error in starting it is in the future too."""
        ...


def run(
    jobs: Sequence[Job], scheduler: str | None = None, retries: int = 1, name: str = ""
) -> dict[str, Any]:
    """Run jobs where ``scheduler`` says, each after those it needs.

    Args:
        jobs: in the order in which they are started, as far as their needs allow.
        scheduler: see the module; ``HASTE_SCHEDULER`` where it is not given, else ``local``.
        retries: how often a failed job is tried again.
        name: stands before the progress bar, which also says how much time is left.

    Returns:
        Name -> result, in the order of the jobs.

    Raises:
        ValueError: an unknown scheduler, two jobs of one name, needs that are unknown or circular.
        JobsFailedError: some jobs failed; the message lists them with their errors.
    """
    scheduler = scheduler or os.environ.get("HASTE_SCHEDULER") or "local"
    _check(jobs)
    if not jobs:
        return {}
    with _started(scheduler) as submit, tqdm(total=len(jobs), desc=name, unit="job") as progress:
        results, errors = _drive(jobs, submit, retries, progress)
    if errors:
        raise JobsFailedError(errors, results)
    return {job.name: results[job.name] for job in jobs}


def _check(jobs: Sequence[Job]) -> None:
    names = [job.name for job in jobs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"jobs: expected each name once, got several of {twice}")
    done: set[str] = set()
    waiting = list(jobs)
    while waiting:
        ready = [job for job in waiting if done.issuperset(job.needs)]
        if not ready:
            found = {job.name: job.needs for job in waiting}
            raise ValueError(f"jobs: some needs are unknown or circular: {found}")
        done.update(job.name for job in ready)
        waiting = [job for job in waiting if job.name not in done]


def _drive(
    jobs: Sequence[Job], submit: Submit, retries: int, progress: tqdm
) -> tuple[dict[str, Any], dict[str, str]]:
    waiting = {job.name: job for job in jobs}
    tries = dict.fromkeys(waiting, 0)
    running: dict[Future[Any], Job] = {}
    results: dict[str, Any] = {}
    errors: dict[str, str] = {}
    while waiting or running:
        for job in list(waiting.values()):
            if lost := [need for need in job.needs if need in errors]:
                errors[job.name] = f"not run, since it needs {', '.join(lost)}"
            elif all(need in results for need in job.needs):
                running[submit(job)] = job
            else:
                continue
            del waiting[job.name]
            progress.update(job.name in errors)
            if any(future.done() for future in running):  # it may have run in this process
                break
        if not running:
            continue
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            job = running.pop(future)
            error = future.exception()
            if error is None:
                results[job.name] = future.result()
            elif tries[job.name] < retries:
                tries[job.name] += 1
                waiting[job.name] = job
                continue
            else:
                errors[job.name] = _told(error)
            progress.update()
    return results, errors


def _told(error: BaseException) -> str:
    """The error in a line, with the place in our own code it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "hastelib" in frame.filename and frame.name != "_drive"]
    place = f" ({own[-1].name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{place}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Processes started inside draw no progress bars of their own: there is one for all jobs."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported, so not by this process
    try:
        yield
    finally:
        if before is None:
            del os.environ["TQDM_DISABLE"]
        else:
            os.environ["TQDM_DISABLE"] = before


@contextmanager
def _started(scheduler: str) -> Iterator[Submit]:
    kind, _, count = scheduler.partition(":")
    if scheduler == "local":
        yield _here
    elif kind == "processes" and (not count or count.isdecimal()):
        yield from _processes(int(count or cores()))
    elif kind == "dask" and count.isdecimal():
        yield from _dask(workers=int(count))
    elif "://" in scheduler:
        yield from _dask(address=scheduler)
    elif scheduler.endswith(".json"):
        yield from _dask(scheduler_file=scheduler)
    else:
        raise ValueError(
            f"unknown scheduler {scheduler!r}; choose local, processes, processes:N, dask:N, the "
            "address of a Dask scheduler (tcp://HOST:PORT) or its scheduler file (.json)"
        )


def _here(job: Job) -> Future[Any]:
    future: Future[Any] = Future()
    try:
        future.set_result(job.call(*job.arguments))
    except Exception as error:
        future.set_exception(error)
    return future


def _processes(count: int) -> Iterator[Submit]:
    # Not forked: threads of torch that the parent has started would be missing in the child.
    pool: Executor | None = None

    def submit(job: Job) -> Future[Any]:
        nonlocal pool
        for _ in range(2):
            pool = pool or ProcessPoolExecutor(count, mp_context=get_context("spawn"))
            try:
                return pool.submit(job.call, *job.arguments)
            except BrokenProcessPool:  # a worker was killed: it takes the pool with it
                pool.shutdown(cancel_futures=True)
                pool = None
        raise RuntimeError("worker processes die as soon as they are started")

    with _quiet():
        try:
            yield submit
        finally:
            if pool:
                pool.shutdown(cancel_futures=True)


def _dask(workers: int | None = None, **where: Any) -> Iterator[Submit]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError(
            "a Dask scheduler needs dask.distributed: pip install 'hastelib[cluster]'"
        ) from error
    with ExitStack() as stack:  # the client leaves before the cluster stops
        if workers is not None:
            stack.enter_context(_quiet())
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0")
            where = {"address": stack.enter_context(cluster)}
        client = stack.enter_context(Client(**where))

        def submit(job: Job) -> Future[Any]:
            needs = {"GPU": job.gpus} if job.gpus else None
            task = client.submit(job.call, *job.arguments, pure=False, resources=needs)
            future: Future[Any] = Future()

            def ended(task: Any) -> None:
                error = task.exception()
                result = None if error else task.result()
                task.release()  # else a result that is lost with its worker would be made again
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)

            task.add_done_callback(ended)
            return future

        yield submit
