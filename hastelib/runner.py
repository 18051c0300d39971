"""Where the jobs of an experiment run.

A job is a module-level function and picklable arguments, and keeps its result in the store; so
the same jobs run in this process, or later on many machines that share the store's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class Runner(Protocol):
    """Anything that runs jobs: one result per tuple of arguments, in their order."""

    def run(
        self, job: Callable[..., T], arguments: Sequence[tuple[Any, ...]], name: str = ""
    ) -> list[T]:
        """Call ``job(*a)`` for every ``a``; an error in a job is raised here."""
        ...


class Local:
    """One job after the other, in this process."""

    def run(
        self, job: Callable[..., T], arguments: Sequence[tuple[Any, ...]], name: str = ""
    ) -> list[T]:
        """See :meth:`Runner.run`."""
        return [job(*one) for one in tqdm(arguments, desc=name, unit="job")]
