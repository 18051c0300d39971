"""Pools of sources, and what their members make of a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray
from torch import Tensor

from hastelib import hardness
from hastelib.experiments import HARD, Grid, taught_on
from hastelib.suites import Suite


@dataclass(frozen=True)
class Pool:
    """The sources that ensembles for a target are made of.

    Attributes:
        target: of the suite.
        members: sources, none of them trained on the target.
        rankers: for each member, the member that ranks the samples for all that were trained on
            the same data (A.2: one similarity matrix a source data set).
    """

    target: str
    members: tuple[str, ...]
    rankers: tuple[str, ...]

    @property
    def sets(self) -> Int64[ndarray, " p"]:
        """For each member, the number of its source data set, counted as they first come."""
        numbers = {ranker: i for i, ranker in enumerate(dict.fromkeys(self.rankers))}
        return np.array([numbers[ranker] for ranker in self.rankers])


def pool(suite: Suite, target: str, members: Sequence[str] = ()) -> Pool:
    """The pool for a target: all members but those that were trained on that very target.

    Args:
        suite: with a pool, unless ``members`` are given.
        target: of the suite.
        members: sources in place of the suite's pool.

    Raises:
        ValueError: the suite has no pool, or fewer than two members are left.
    """
    suite.target(target)
    if not members and suite.ensembles is None:
        raise ValueError(
            f"suite {suite.name!r} has no pool to make ensembles of: add `ensembles:` to "
            f"params/suites/{suite.name}.yaml as in glyphs.yaml, or name the members with the "
            "notebook's parameter `pool`"
        )
    listed = tuple(members) or (suite.ensembles.pool if suite.ensembles else ())
    kept = tuple(name for name in listed if target not in name.split("+")[1:])
    if len(kept) < 2:
        raise ValueError(f"pool: expected at least two members not trained on {target}, got {kept}")
    told = suite.ensembles.rankers if suite.ensembles else {}
    chosen: dict[str, str] = {}
    for name in kept:
        data = taught_on(name)[1] or ""
        ranker = told.get(data)
        chosen.setdefault(data, ranker if ranker in kept else name)
    return Pool(target, kept, tuple(chosen[taught_on(name)[1] or ""] for name in kept))


def targets(suite: Suite, target: str = "") -> tuple[str, ...]:
    """The target asked for, or all that the suite has ensembles for."""
    if target:
        return (target,)
    return suite.ensembles.targets if suite.ensembles else tuple(suite.targets)


def with_sources(grid: Grid, pools: Sequence[Pool]) -> Grid:
    """The grid with the members of the pools in place of the suite's sources.

    Raises:
        ValueError: a member that is no source; lists the choices.
    """
    members = tuple(dict.fromkeys(name for one in pools for name in one.members))
    return Grid(grid.suite.select(sources=members)[0], grid.store, grid.scheduler)


def parse_sizes(text: str, pools: Sequence[Pool]) -> tuple[int, ...]:
    """The sizes of a parameter, such as ``4,3``.

    Raises:
        ValueError: none, or one that is not an integer between 2 and the smallest pool less one.
    """
    most = min(len(one.members) for one in pools) - 1
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or any(not part.isdecimal() or not 2 <= int(part) <= most for part in parts):
        raise ValueError(
            f"sizes: expected integers from 2 to {most} (one less than the smallest pool), "
            f"separated by commas, got {text!r}"
        )
    return tuple(dict.fromkeys(map(int, parts)))


@dataclass(frozen=True)
class Members:
    """What the members of a pool make of its target.

    Attributes:
        pool: the pool.
        probs: for each member, (n, z) the softmax over its source classes on the train split.
        labels: (n,) of the train split.
        hard: by variant and number of the source data set, the rows of its hard subset.
        finetuned: (s, p, m, c) the fine-tuned members' softmax on the test split, for each seed.
        truth: (m,) labels of the test split.
    """

    pool: Pool
    probs: tuple[Float[Tensor, "n _"], ...]
    labels: Int64[Tensor, " n"]
    hard: dict[str, tuple[Int64[Tensor, " _"], ...]]
    finetuned: Float[ndarray, "s p m c"]
    truth: Int64[ndarray, " m"]


def prepare(grid: Grid, pools: Sequence[Pool]) -> None:
    """Train, extract and fine-tune what is missing, all pools in one go.

    Raises:
        JobsFailedError: some failed; the others are kept.
    """
    jobs = []
    for one in pools:
        rankers = dict(zip(one.members, one.rankers, strict=True))
        jobs += grid.jobs(one.members, [one.target], ["leep"], grid.suite.seeds, rankers)
    grid.run(jobs)


def gather(grid: Grid, pool: Pool) -> Members:
    """Read what :func:`prepare` has made."""
    target, fraction = pool.target, grid.suite.hardness.fraction
    features = [grid.features(name, target) for name in pool.members]
    outcomes = [[grid.outcome(m, target, seed) for m in pool.members] for seed in grid.suite.seeds]
    ranked = [grid.hardness(target, by=ranker) for ranker in dict.fromkeys(pool.rankers)]
    return Members(
        pool,
        tuple(one.probs for one in features),
        features[0].labels,
        {v: tuple(hardness.hardest(one[v], fraction) for one in ranked) for v in HARD},
        np.array([[one.probs.numpy() for one in line] for line in outcomes]),
        outcomes[0][0].labels.numpy(),
    )


def source_classes(grid: Grid, pools: Sequence[Pool]) -> dict[str, int]:
    """How many source classes each member of any of the pools has."""
    return {
        name: grid.features(name, one.target).probs.shape[1]
        for one in pools
        for name in one.members
    }
