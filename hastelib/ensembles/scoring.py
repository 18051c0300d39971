"""Accuracies and scores of all ensembles of a size, from what the members left."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from hastelib import metrics
from hastelib.ensembles.pools import Members
from hastelib.experiments import HARD

METRICS = ("ms_leep", "e_leep")

RowsOf = Callable[[tuple[int, ...]], Tensor]
"""Numbers of source data sets -> the rows of the target that an ensemble on them is scored on."""


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
    """The accuracy of each ensemble, which predicts the mean of its members' softmax.

    Args:
        probs: of the fine-tuned members on the test split.
        labels: the truth.
        chosen: the ensembles, as :func:`candidates` gives them.
    """
    wide = probs.astype(np.float64)
    return np.array([(wide[one].mean(0).argmax(1) == labels).mean() for one in chosen])


@dataclass(frozen=True)
class Scores:
    """The scores of all ensembles by one metric on one variant.

    Attributes:
        values: (d, e), a line for each draw.
        samples: (d, e) that were used; of MS-LEEP the mean over its members.
        classes: (d, e) among them.
    """

    values: Float64[ndarray, "d e"]
    samples: Float64[ndarray, "d e"]
    classes: Float64[ndarray, "d e"]


def scores(
    members: Members, sizes: Sequence[Int64[ndarray, "e _"]], draws: int
) -> list[dict[tuple[str, str], Scores]]:
    r"""MS-LEEP and E-LEEP of every ensemble, by metric and variant, for each size.

    MS-LEEP is the sum of the members' LEEPs, each on the hard subset of its own source data set;
    E-LEEP needs one set of samples for all, the union of the hard subsets of the ensemble's source
    data sets (A.2). The random control has as many samples: for MS-LEEP a random subset for each
    source data set, for E-LEEP a random one as large as the CA's and the CS's union in turn.

    Args:
        members: of the pool.
        sizes: for each size the ensembles, as :func:`candidates` gives them.
        draws: of the random control.
    """
    n, hard = len(members.labels), members.hard
    whole = torch.arange(n)
    unions: dict[str, list[RowsOf]] = {"all": [lambda _: whole]}
    unions["random"] = [_random_union(hard[HARD[d % 2]], n, d) for d in range(draws)]
    own = {"all": [[whole] * len(hard["ca"])]}
    own["random"] = [
        [_shuffled(n, d, number)[: len(rows)] for number, rows in enumerate(hard["ca"])]
        for d in range(draws)
    ]
    for variant in HARD:
        unions[variant], own[variant] = [_union(hard[variant])], [list(hard[variant])]
    found: list[dict[tuple[str, str], Scores]] = [{} for _ in sizes]
    for variant in own:
        ms_leep = [_ms_leep(members, subsets, sizes) for subsets in own[variant]]
        e_leep = [_e_leep(members, rows_of, sizes) for rows_of in unions[variant]]
        for i, of_size in enumerate(found):
            of_size["ms_leep", variant] = _joined([drawn[i] for drawn in ms_leep])
            of_size["e_leep", variant] = _joined([drawn[i] for drawn in e_leep])
    return found


def shuffled(members: Members, draws: int = 5) -> dict[str, Float64[ndarray, " p"]]:
    r"""The members' LEEPs with shuffled labels, by variant: what fitting alone gives.

    :math:`\hat P(y \mid z)` is fitted to the samples that are scored. Where labels say nothing of
    the samples there is nothing to learn, and a score above that of the labels' frequencies is the
    fit to chance.

    Args:
        members: of the pool.
        draws: shuffles, of which the mean is taken; on the random control each has its own subset.
    """
    n, groups = len(members.labels), len(members.hard["ca"])
    found = {variant: np.zeros(len(members.probs)) for variant in ("all", "random", *HARD)}
    for draw in range(draws):
        subsets = {"all": [torch.arange(n)] * groups} | {v: members.hard[v] for v in HARD}
        subsets["random"] = [
            _shuffled(n, draw, number)[: len(rows)]
            for number, rows in enumerate(members.hard["ca"])
        ]
        for variant, values in found.items():
            for i, (probs, number) in enumerate(zip(members.probs, members.pool.sets, strict=True)):
                rows = subsets[variant][number]
                labels = members.labels[rows][_shuffled(len(rows), draw, groups + number)]
                values[i] += metrics.leep(probs[rows], labels) / draws
    return found


def _union(subsets: Sequence[Tensor]) -> RowsOf:
    return lambda sets: torch.cat([subsets[number] for number in sets]).unique()


def _shuffled(n: int, draw: int, number: int) -> Tensor:
    """The rows in a random order, one for each draw and source data set."""
    return torch.from_numpy(np.random.default_rng([draw, number]).permutation(n))


def _random_union(subsets: Sequence[Tensor], n: int, draw: int) -> RowsOf:
    """As many rows as the union has, at random."""
    union, order = _union(subsets), _shuffled(n, draw, len(subsets))
    return lambda sets: order[: len(union(sets))]


Drawn = tuple[Float64[ndarray, " e"], Float64[ndarray, " e"], Float64[ndarray, " e"]]


def _joined(drawn: Sequence[Drawn]) -> Scores:
    values, samples, classes = (np.stack(part) for part in zip(*drawn, strict=True))
    return Scores(values, samples, classes)


def _ms_leep(
    members: Members, subsets: Sequence[Tensor], sizes: Sequence[Int64[ndarray, "e _"]]
) -> list[Drawn]:
    lines = []
    for probs, number in zip(members.probs, members.pool.sets, strict=True):
        rows = subsets[number]
        labels = members.labels[rows]
        lines.append((metrics.leep(probs[rows], labels), len(rows), len(labels.unique())))
    leep, samples, classes = np.array(lines, float).T
    return [(leep[c].sum(1), samples[c].mean(1), classes[c].mean(1)) for c in sizes]


def _e_leep(
    members: Members, rows_of: RowsOf, sizes: Sequence[Int64[ndarray, "e _"]]
) -> list[Drawn]:
    @functools.cache  # ensembles of several sizes draw on the same source data sets
    def predicted(sets: tuple[int, ...], member: int) -> Float64[ndarray, " _"]:
        rows = rows_of(sets)
        return np.asarray(metrics.eep(members.probs[member][rows], members.labels[rows]))

    found = []
    for chosen in sizes:
        values, samples, classes = (np.empty(len(chosen)) for _ in range(3))
        for sets, which in _by_sets(members.pool.sets[chosen]):
            rows = rows_of(sets)
            eep = np.empty((len(members.probs), len(rows)))
            for member in np.unique(chosen[which]).tolist():
                eep[member] = predicted(sets, member)
            mean = eep[chosen[which]].mean(1)
            values[which] = np.minimum(np.log(mean).mean(1), 0.0)  # rounding may lead above 0
            samples[which], classes[which] = len(rows), len(members.labels[rows].unique())
        found.append((values, samples, classes))
    return found


def _by_sets(
    numbers: Int64[ndarray, "e k"],
) -> Iterator[tuple[tuple[int, ...], Int64[ndarray, " _"]]]:
    """The ensembles that draw on the same source data sets, together."""
    together: dict[tuple[int, ...], list[int]] = {}
    for i, line in enumerate(numbers):
        together.setdefault(tuple(np.unique(line).tolist()), []).append(i)
    for sets, which in together.items():
        yield sets, np.array(which)
