r"""Ensembles of fine-tuned sources (the HASTE paper, Sec. 5.4): every one of a size.

A pool of P members gives :math:`\binom{P}{K}` ensembles of K, but P extractions and P fine-tunings
are all that is ever computed: an ensemble's accuracy and its scores follow from what its members
made of the target.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from hastelib import hardness, metrics
from hastelib.grid import HARD, Grid, mean_and_deviation, taught_on
from hastelib.records import check
from hastelib.store import key
from hastelib.suites import Suite

METRICS = ("ms_leep", "e_leep")
JOIN = "|"
"""Stands between the members' names in the name of an ensemble."""


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
        return pd.factorize(np.array(self.rankers))[0]


def pool(suite: Suite, target: str, members: Sequence[str] = ()) -> Pool:
    """The pool for a target: the suite's, or ``members``, but those trained on that very target.

    Raises:
        ValueError: the suite has no pool, or fewer than two members are left.
    """
    suite.target(target)
    told = suite.ensembles
    listed = tuple(members) or (told.pool if told else ())
    if not listed:
        raise ValueError(
            f"suite {suite.name!r} has no pool to make ensembles of: add `ensembles:` to "
            f"params/suites/{suite.name}.yaml as in glyphs.yaml, or name the members with the "
            "notebook's parameter `pool`"
        )
    kept = tuple(name for name in listed if target not in name.split("+")[1:])
    if len(kept) < 2:
        raise ValueError(f"pool: expected at least two members not trained on {target}, got {kept}")
    data = [taught_on(name)[1] or "" for name in kept]
    first = dict(zip(reversed(data), reversed(kept), strict=True))
    named = {one: name for one, name in (told.rankers if told else {}).items() if name in kept}
    return Pool(target, kept, tuple((first | named)[one] for one in data))


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


def prepare(grid: Grid, pools: Sequence[Pool]) -> Grid:
    """The grid with the pools' members as its sources: trained, extracted and fine-tuned.

    Raises:
        ValueError: a member that is no source; lists the choices.
        JobsFailedError: some failed; the others are kept.
    """
    members = tuple(dict.fromkeys(name for one in pools for name in one.members))
    grid = Grid(grid.suite.select(sources=members)[0], grid.store, grid.scheduler)
    jobs = []  # of all pools in one go
    for one in pools:
        rankers = dict(zip(one.members, one.rankers, strict=True))
        jobs += grid.jobs(one.members, [one.target], ["leep"], grid.suite.seeds, rankers)
    grid.run(jobs)
    return grid


@dataclass(frozen=True)
class Members:
    """What the members of a pool make of its target.

    Attributes:
        probs: for each member, (n, z) the softmax over its source classes on the train split.
        labels: (n,) of the train split.
        hard: by variant and number of the source data set, the rows of its hard subset; no ``ca``
            where one of the rankers has no signature.
        finetuned: (s, p, m, c) the fine-tuned members' softmax on the test split, for each seed.
        truth: (m,) labels of the test split.
    """

    pool: Pool
    probs: tuple[Float[Tensor, "n _"], ...]
    labels: Int64[Tensor, " n"]
    hard: dict[str, tuple[Int64[Tensor, " _"], ...]]
    finetuned: Float[ndarray, "s p m c"]
    truth: Int64[ndarray, " m"]


def gather(grid: Grid, pool: Pool) -> Members:
    """Read what :func:`prepare` has made."""
    target, fraction = pool.target, grid.suite.hardness.fraction
    features = [grid.features(name, target) for name in pool.members]
    outcomes = [[grid.outcome(m, target, seed) for m in pool.members] for seed in grid.suite.seeds]
    ranked = [grid.hardness(target, by=ranker) for ranker in dict.fromkeys(pool.rankers)]
    return Members(
        pool,
        tuple(torch.as_tensor(metrics.Sample(one).probs) for one in features),
        features[0].labels,
        {
            v: tuple(hardness.hardest(one[v], fraction) for one in ranked)
            for v in HARD
            if all(v in one for one in ranked)
        },
        np.array([[one.probs.numpy() for one in line] for line in outcomes]),
        outcomes[0][0].labels.numpy(),
    )


def candidates(members: int, size: int) -> Int64[ndarray, "e k"]:
    """Every ensemble of a size: the members' numbers, ascending.

    Raises:
        ValueError: a size that is not between 1 and the number of members.
    """
    if not 1 <= size <= members:
        raise ValueError(f"size: expected 1 to {members}, the members of the pool, got {size}")
    return np.array(list(itertools.combinations(range(members), size)))


def accuracies(
    probs: Float[ndarray, "p n c"], labels: Int64[ndarray, " n"], chosen: Int64[ndarray, "e k"]
) -> Float64[ndarray, " e"]:
    """The accuracy of each ensemble, which predicts the mean of its members' softmax ``probs``."""
    wide = probs.astype(np.float64)
    return np.array([(wide[one].mean(0).argmax(1) == labels).mean() for one in chosen])


class Scores(NamedTuple):
    """The scores of all ensembles by one metric on one variant, (d, e): a line for each draw.

    ``samples`` and ``classes`` are the numbers of those used; of MS-LEEP the mean over its members.
    """

    values: Float64[ndarray, "d e"]
    samples: Float64[ndarray, "d e"]
    classes: Float64[ndarray, "d e"]


def scores(
    members: Members, sizes: Sequence[Int64[ndarray, "e _"]], draws: int
) -> list[dict[tuple[str, str], Scores]]:
    r"""MS-LEEP and E-LEEP of each size's :func:`candidates`, by metric and variant.

    MS-LEEP is the sum of the members' LEEPs, each on the hard subset of its own source data set;
    E-LEEP needs one set of samples for all, the union of the hard subsets of the ensemble's source
    data sets (A.2). The random control has as many samples: for MS-LEEP a random subset for each
    source data set, for E-LEEP a random one as large as the CA's and the CS's union in turn.
    """
    n, hard = len(members.labels), members.hard

    def union(variant: str, draw: int, subsets: Sequence[Tensor], sets: Sequence[int]) -> Tensor:
        subsets = [*hard.values()][draw % len(hard)] if variant == "random" else subsets
        rows = torch.cat([subsets[number] for number in sets]).unique()
        return _shuffled(n, draw, len(hard["cs"]))[: len(rows)] if variant == "random" else rows

    found: list[dict[tuple[str, str], Scores]] = [{} for _ in sizes]
    for variant, drawn in _subsets(members, draws).items():
        unions = [functools.partial(union, variant, *one) for one in enumerate(drawn)]
        ms_leep = [_ms_leep(members, subsets, sizes) for subsets in drawn]
        e_leep = [_e_leep(members, rows_of, sizes) for rows_of in unions]
        for metric, made in zip(METRICS, (ms_leep, e_leep), strict=True):
            for of_size, each in zip(found, zip(*made, strict=True), strict=True):
                of_size[metric, variant] = Scores(*np.stack(each, axis=1))
    return found


def shuffled(members: Members, draws: int = 5) -> dict[str, Float64[ndarray, " p"]]:
    r"""The members' LEEPs with shuffled labels, by variant: what fitting alone gives.

    :math:`\hat P(y \mid z)` is fitted to the samples that are scored. Where labels say nothing of
    the samples there is nothing to learn, and a score above that of the labels' frequencies is the
    fit to chance. It is the mean over the draws; on the random control each has its own subset.
    """
    groups, subsets = len(members.hard["cs"]), _subsets(members, draws)
    found = {variant: np.zeros(len(members.probs)) for variant in subsets}
    for draw, (variant, values) in itertools.product(range(draws), found.items()):
        drawn = subsets[variant][draw % len(subsets[variant])]
        for i, (probs, number) in enumerate(zip(members.probs, members.pool.sets, strict=True)):
            rows = drawn[number]
            labels = members.labels[rows][_shuffled(len(rows), draw, groups + number)]
            values[i] += metrics.leep(probs[rows], labels) / draws
    return found


def frame(grid: Grid, pools: Sequence[Pool], sizes: Sequence[int]) -> pd.DataFrame:
    """A row for every target, ensemble, metric, variant and draw; ``grid`` is of :func:`prepare`.

    ``source`` holds the members' names, :data:`JOIN` between them; ``weights`` is made from the
    fingerprints of all. Ensembles of one are the members themselves, with LEEP under both metrics.
    The section is the paper's: A.3 for ensembles of three, else 5.4.
    """
    return check(pd.concat([part for pool in pools for part in _of_pool(grid, pool, sizes)]))


def _of_pool(grid: Grid, pool: Pool, sizes: Sequence[int]) -> Iterator[pd.DataFrame]:
    members, seeds = gather(grid, pool), grid.suite.seeds
    outcomes = [grid.outcome(name, pool.target, seed) for name in pool.members for seed in seeds]
    prints = [grid.source(name).fingerprint for name in pool.members]
    every = [candidates(len(pool.members), size) for size in sizes]
    made = scores(members, every, grid.suite.hardness.draws)
    reason = next(filter(None, map(grid.unsigned, dict.fromkeys(pool.rankers))), "")
    for size, chosen, of_size in zip(sizes, every, made, strict=True):
        right = np.array([accuracies(p, members.truth, chosen) for p in members.finetuned])
        shared = pd.DataFrame([mean_and_deviation(line) for line in right.T]).assign(
            **grid.shared(pool.target, outcomes),
            section="A.3" if size == 3 else "5.4",
            source=[JOIN.join(pool.members[i] for i in line) for line in chosen],
            seeds=len(seeds),
            weights=[key(members=[prints[i] for i in line])[:12] for line in chosen],
        )
        if reason:  # CA has no scores
            nothing = Scores(*(np.full((1, len(chosen)), x) for x in (np.nan, 0.0, 0.0)))
            of_size |= {(metric, "ca"): nothing for metric in METRICS}
        rankers = [JOIN.join(dict.fromkeys(pool.rankers[i] for i in line)) for line in chosen]
        for (metric, variant), score in of_size.items():
            for draw, (values, samples, classes) in enumerate(zip(*score, strict=True)):
                yield shared.assign(
                    metric=metric,
                    variant=variant,
                    similarity="cosine" if variant == "ca" else "",
                    hardness_source=rankers if variant in HARD else "",
                    draw=draw,
                    score=values,
                    reason=reason if variant == "ca" else "",
                    fraction=samples / len(members.labels),
                    samples=np.round(samples).astype(int),
                    classes=classes,
                )


def _shuffled(n: int, draw: int, number: int) -> Tensor:
    """The rows in a random order, one for each draw and source data set."""
    return torch.from_numpy(np.random.default_rng([draw, number]).permutation(n))


def _subsets(members: Members, draws: int) -> dict[str, list[list[Tensor]]]:
    """By variant and draw, the rows that the members of each source data set are scored on."""
    n, hard = len(members.labels), members.hard
    random = [
        [_shuffled(n, d, number)[: len(rows)] for number, rows in enumerate(hard["cs"])]
        for d in range(draws)
    ]
    whole = [torch.arange(n)] * len(hard["cs"])
    return {"all": [whole], "random": random} | {v: [list(rows)] for v, rows in hard.items()}


def _ms_leep(
    members: Members, subsets: Sequence[Tensor], sizes: Sequence[Int64[ndarray, "e _"]]
) -> list[Float64[ndarray, "3 e"]]:
    """For each size the values, samples and classes of its ensembles."""
    rows = [subsets[number] for number in members.pool.sets]
    labels = [members.labels[one] for one in rows]
    each = zip(members.probs, rows, labels, strict=True)
    leep = np.array([metrics.leep(probs[one], y) for probs, one, y in each])
    counts = np.array([(len(y), len(y.unique())) for y in labels])
    return [np.vstack([leep[c].sum(1), counts[c].mean(1).T]) for c in sizes]


def _e_leep(
    members: Members,
    rows_of: Callable[[Sequence[int]], Tensor],
    sizes: Sequence[Int64[ndarray, "e _"]],
) -> list[Float64[ndarray, "3 e"]]:
    """The same; ``rows_of`` gives the rows for some source data sets."""
    numbers = members.pool.sets

    @functools.cache  # ensembles of several sizes draw on the same source data sets
    def scored_on(sets: tuple[int, ...]) -> tuple[Tensor, Tensor, int]:
        rows = rows_of(sets)
        return rows, members.labels[rows], len(members.labels[rows].unique())

    @functools.cache
    def predicted(sets: tuple[int, ...], member: int) -> Float64[ndarray, " _"]:
        rows, labels, _ = scored_on(sets)
        return np.asarray(metrics.eep(members.probs[member][rows], labels))

    def of(line: Int64[ndarray, " k"]) -> tuple[float, int, int]:
        sets = tuple(np.unique(numbers[line]).tolist())
        mean = np.mean([predicted(sets, member) for member in line.tolist()], axis=0)
        rows, _, classes = scored_on(sets)
        return min(float(np.log(mean).mean()), 0.0), len(rows), classes  # rounding may lead above 0

    return [np.array([of(line) for line in chosen]).T for chosen in sizes]
