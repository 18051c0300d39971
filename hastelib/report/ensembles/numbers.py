"""What rows of ensembles say, as numbers: correlations, the members' part in them, picks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from numpy import ndarray

from hastelib import ensembles, stats
from hastelib.ensembles import JOIN
from hastelib.experiments import HARD, taught_on
from hastelib.records import frame
from hastelib.report import labels
from hastelib.report.comparison import CELL, MEAN, Rows

STATISTIC = "pearson"
EDGES = ["value", "low", "high"]


@dataclass(frozen=True)
class Candidates:
    """All ensembles of a size for a target, with what is known of them.

    Attributes:
        suite: that the target belongs to.
        target: that they are for.
        members: the pool.
        chosen: (e, k) the members' numbers in each ensemble.
        accuracy: (e,) of the ensembles, in [0, 1].
        scores: by metric and variant, (e,).
        fraction: by metric and variant, (e,) the share of the train split that was used.
    """

    suite: str
    target: str
    members: tuple[str, ...]
    chosen: Int64[ndarray, "e k"]
    accuracy: Float64[ndarray, " e"]
    scores: dict[tuple[str, str], Float64[ndarray, " e"]]
    fraction: dict[tuple[str, str], Float64[ndarray, " e"]]

    @property
    def size(self) -> int:
        """Members of an ensemble."""
        return self.chosen.shape[1]

    @property
    def sets(self) -> Int64[ndarray, " e"]:
        """How many source data sets each ensemble draws on."""
        data = [taught_on(name)[1] or "" for name in self.members]
        return np.array([len({data[i] for i in line}) for line in self.chosen])


def read(rows: Rows, size: int) -> list[Candidates]:
    """The ensembles of a size among the rows, one entry a target.

    Args:
        rows: what :func:`hastelib.ensembles.rows` gives.
        size: of the ensembles; 1 for the members themselves.

    Raises:
        ValueError: no such ensembles, or not all of them.
    """
    table = frame(rows)
    table = table[table["source"].str.count(r"\|") == size - 1]
    if table.empty:
        raise ValueError(f"size: there are no ensembles of {size} among the rows")
    found = []
    for (suite, target), part in table.groupby(["suite", "target"], sort=False):
        names = [name.split(JOIN) for name in part["source"].unique()]
        members = tuple(dict.fromkeys(itertools.chain(*names)))
        number = {name: i for i, name in enumerate(members)}
        chosen = np.array([[number[name] for name in line] for line in names])
        if len(chosen) != math.comb(len(members), size):
            raise ValueError(
                f"rows: expected all {math.comb(len(members), size)} ensembles of {size} of the "
                f"{len(members)} members on {target}, got {len(chosen)}"
            )
        wide = {
            column: part.pivot(  # noqa: PD010
                index="source", columns=["metric", "variant"], values=column
            ).loc[part["source"].unique()]
            for column in ("score", "fraction", "accuracy")
        }
        pairs = part[["metric", "variant"]].drop_duplicates().to_dict("records")
        cells = [(str(pair["metric"]), str(pair["variant"])) for pair in pairs]
        scores, shares = (
            {cell: wide[column][cell].to_numpy(float) for cell in cells}
            for column in ("score", "fraction")
        )
        accuracy = wide["accuracy"].iloc[:, 0].to_numpy(float)
        found.append(Candidates(str(suite), str(target), members, chosen, accuracy, scores, shares))
    return found


def correlations(
    candidates: Sequence[Candidates], resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Pearson's correlation over the ensembles between score and accuracy.

    Args:
        candidates: what :func:`read` gives.
        resamples: bootstrap samples of the pool's members behind each interval.
        seed: of the bootstrap.

    Returns:
        The columns of :func:`hastelib.report.correlations`; n counts ensembles, while the intervals
        resample the members of the pool.
    """
    found = []
    for one in candidates:
        often = ensembles.multiplicities(len(one.members), resamples, seed)
        weights = ensembles.weights(often, one.chosen)
        for cell, scores in one.scores.items():
            values = ensembles.interval(ensembles.replicates(scores, one.accuracy, weights))
            head = one.suite, one.target, *cell, STATISTIC
            found.append((*head, *values, len(scores)))
    return pd.DataFrame(found, columns=[*CELL, "statistic", *EDGES, "n"])


def naive(candidates: Sequence[Candidates], resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """The same, with intervals that take the ensembles for independent, which they are not."""
    found = [
        (
            one.suite,
            one.target,
            *cell,
            STATISTIC,
            *stats.pearson(scores, one.accuracy, resamples, seed),
            len(scores),
        )
        for one in candidates
        for cell, scores in one.scores.items()
    ]
    return pd.DataFrame(found, columns=[*CELL, "statistic", *EDGES, "n"])


def differences(
    candidates: Sequence[Candidates], other: str = "all", resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """How much better each variant correlates than ``other``, both on the same resampled members.

    Args:
        candidates: what :func:`read` gives.
        other: the variant to compare with, ``all`` (the baseline) or ``random``.
        resamples: bootstrap samples of the members.
        seed: of the bootstrap.

    Returns:
        The columns of :func:`hastelib.report.differences`, with a line for the mean over the
        targets where there are several. For the mean the members of all pools are resampled
        together, and every target takes those of its pool.
    """
    found: list[tuple] = []
    union = list(dict.fromkeys(itertools.chain(*(one.members for one in candidates))))
    together = ensembles.multiplicities(len(union), resamples, seed)
    samples: dict[tuple[str, str], list[Float64[ndarray, " b"]]] = {}
    for one in candidates:
        alone = ensembles.multiplicities(len(one.members), resamples, seed)
        joint = together[:, [union.index(name) for name in one.members]]
        weights = [ensembles.weights(often, one.chosen) for often in (alone, joint)]
        for metric, variant in one.scores:
            if variant == other or (metric, other) not in one.scores:
                continue
            pair = one.scores[metric, variant], one.scores[metric, other]
            single, shared = (
                ensembles.replicates(pair[0], one.accuracy, w)
                - ensembles.replicates(pair[1], one.accuracy, w)
                for w in weights
            )
            head = one.suite, one.target, metric, variant, other
            found.append((*head, *ensembles.interval(single), len(one.chosen)))
            if not np.isnan(shared[0]):
                samples.setdefault((metric, variant), []).append(shared)
    fewest = min(len(one.chosen) for one in candidates)
    for (metric, variant), several in samples.items():
        if len(several) > 1:
            mean = ensembles.interval(np.mean(several, axis=0))
            found.append((candidates[0].suite, MEAN, metric, variant, other, *mean, fewest))
    return pd.DataFrame(found, columns=[*CELL, "other", "difference", "low", "high", "n"])


def left_out(candidates: Sequence[Candidates], metric: str, variant: str = "all") -> pd.DataFrame:
    """The correlation over the ensembles that do without a member, for each member.

    Returns:
        The columns target, member and value.
    """
    found = []
    for one in candidates:
        often = 1 - np.eye(len(one.members), dtype=np.int64)
        weights = ensembles.weights(often, one.chosen)
        values = ensembles.replicates(one.scores[metric, variant], one.accuracy, weights)
        found += [(one.target, *pair) for pair in zip(one.members, values, strict=True)]
    return pd.DataFrame(found, columns=["target", "member", "value"])


def correlation(x: Float64[ndarray, " n"], y: Float64[ndarray, " n"]) -> float:
    """Pearson's; NaN for fewer than three points and where either side is constant."""
    if len(x) < ensembles.FEWEST or not (np.ptp(x) > 0 and np.ptp(y) > 0):
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def shares(candidates: Sequence[Candidates], single: Sequence[Candidates]) -> pd.DataFrame:
    """How much of what ensembles do is what their members do alone.

    Args:
        candidates: of a size.
        single: the members themselves, of the same targets in the same order.

    Returns:
        The columns target; members and ensembles (counts); best_member, mean and best (accuracies
        of the best member, the mean ensemble and the best one); rho (how additive the ensembles'
        accuracy is, :func:`hastelib.ensembles.additivity`), rho_e_leep (how additive E-LEEP is);
        and over the ensembles the correlations of their accuracy with the sum of their members'
        accuracies (of_sum) and with that of their best member (of_best), and of those of their
        scores with each other (metrics).
    """
    found = []
    for one, alone in zip(candidates, single, strict=True):
        accuracy = alone.accuracy[one.chosen]
        found.append(
            {
                "target": one.target,
                "members": len(one.members),
                "ensembles": len(one.chosen),
                "best_member": alone.accuracy.max(),
                "mean": one.accuracy.mean(),
                "best": one.accuracy.max(),
                "rho": ensembles.additivity(one.accuracy, one.chosen),
                "rho_e_leep": ensembles.additivity(one.scores["e_leep", "all"], one.chosen),
                "of_sum": correlation(accuracy.sum(1), one.accuracy),
                "of_best": correlation(accuracy.max(1), one.accuracy),
                "metrics": correlation(one.scores["ms_leep", "all"], one.scores["e_leep", "all"]),
            }
        )
    return pd.DataFrame(found)


def through_members(
    candidates: Sequence[Candidates], single: Sequence[Candidates]
) -> dict[str, tuple[float, float]]:
    """The claims of the book's theorem, for :func:`hastelib.report.verify`.

    MS-LEEP's correlation over all ensembles is rho times that over the members; and rho squared is
    the share of the accuracies' variance that least squares on the members explains.

    Args:
        candidates: of a size.
        single: the members themselves, of the same targets in the same order.
    """
    claims = {}
    for one, alone in zip(candidates, single, strict=True):
        means = ensembles.of_members(one.accuracy, one.chosen)
        rho = ensembles.additivity(one.accuracy, one.chosen)
        name = labels.plain(one.target)
        for variant in ("all", "ca"):
            own = alone.scores["ms_leep", variant]
            claims[f"{name}, r of MS-LEEP, {labels.variant(variant)}"] = (
                rho * correlation(own, means),
                correlation(one.scores["ms_leep", variant], one.accuracy),
            )
        there = np.zeros((len(one.chosen), len(one.members)))
        np.put_along_axis(there, one.chosen, 1.0, axis=1)
        fitted = there @ np.linalg.lstsq(there, one.accuracy, rcond=None)[0]
        claims[f"{name}, ρ²"] = rho**2, float(fitted.var() / one.accuracy.var())
    return claims


def counted(
    candidates: Sequence[Candidates],
    single: Sequence[Candidates],
    classes: Mapping[str, int],
    shuffled: Mapping[str, Mapping[str, Float64[ndarray, " p"]]],
) -> pd.DataFrame:
    """What is left of MS-LEEP once the members' numbers of source classes are known.

    Args:
        candidates: of a size.
        single: the members themselves, of the same targets in the same order.
        classes: source classes of each member.
        shuffled: by target, the members' LEEPs with shuffled labels by variant.

    Returns:
        For every target and variant of MS-LEEP: of_leep, the correlation over the members between
        LEEP and the log of that number; fit, the share of LEEP's variance over the members that
        LEEP with shuffled labels has too, as the slope of the one on the other; plain, the
        correlation over the ensembles between their accuracy and the sum of the logs; value, that
        between accuracy and MS-LEEP; given, the partial correlation of the two given the sum.
    """
    found = []
    for one, alone in zip(candidates, single, strict=True):
        log = np.log([classes[name] for name in one.members])
        summed = log[one.chosen].sum(1)
        for (metric, variant), scores in one.scores.items():
            if metric != "ms_leep":
                continue
            leep = alone.scores[metric, variant]
            chance = shuffled[one.target][variant]
            found.append(
                {
                    "target": one.target,
                    "variant": variant,
                    "of_leep": correlation(leep, log),
                    "fit": correlation(leep, chance) * float(chance.std() / leep.std()),
                    "plain": correlation(summed, one.accuracy),
                    "value": correlation(scores, one.accuracy),
                    "given": correlation(_rest(scores, summed), _rest(one.accuracy, summed)),
                }
            )
    return pd.DataFrame(found)


def _rest(values: Float64[ndarray, " n"], known: Float64[ndarray, " n"]) -> Float64[ndarray, " n"]:
    """What a straight line in ``known`` leaves of the values."""
    centred = known - known.mean()
    square = float(centred @ centred)
    slope = float(centred @ values) / square if square > 0 else 0.0
    return values - values.mean() - slope * centred


def of_sets(candidates: Sequence[Candidates]) -> pd.DataFrame:
    """Does the number of source data sets behind an ensemble show in its accuracy and E-LEEP?

    Returns:
        The columns target; accuracy and a column for each variant (the correlation over the
        ensembles of that number with the accuracy, and with E-LEEP on the variant); fewest and
        most, the shares of the train split in the smallest and the largest union; and higher, by
        how much E-LEEP on the random control is above that on all samples, on average.
    """
    found = []
    for one in candidates:
        number = one.sets.astype(float)
        unions = np.concatenate([one.fraction["e_leep", v] for v in HARD])
        line: dict[str, Any] = {
            "target": one.target,
            "accuracy": correlation(number, one.accuracy),
        }
        for (metric, variant), scores in one.scores.items():
            if metric == "e_leep":
                line[variant] = correlation(number, scores)
        higher = one.scores["e_leep", "random"] - one.scores["e_leep", "all"]
        ends = {"fewest": unions.min(), "most": unions.max(), "higher": higher.mean()}
        found.append(line | ends)
    return pd.DataFrame(found)


def picks(candidates: Sequence[Candidates], single: Sequence[Candidates]) -> pd.DataFrame:
    """The ensemble with the highest score, and what choosing it costs.

    Args:
        candidates: of a size.
        single: the members themselves, of the same targets in the same order.

    Returns:
        The columns target, metric, variant, picked (members' names) and regret, the accuracy lost
        by the choice. Two choices without a score stand under the metric ``none``: an ensemble
        drawn at random (``drawn``, without a pick), and the members that are best alone
        (``best``, which takes their fine-tuning).
    """
    found: list[tuple] = []
    for one, alone in zip(candidates, single, strict=True):
        top = one.accuracy.max()
        for cell, scores in one.scores.items():
            picked = one.chosen[int(scores.argmax())]
            names = tuple(one.members[i] for i in picked)
            found.append((one.target, *cell, names, stats.regret(scores, one.accuracy)))
        best = alone.accuracy[one.chosen].sum(1)
        names = tuple(one.members[i] for i in one.chosen[int(best.argmax())])
        found.append((one.target, "none", "best", names, stats.regret(best, one.accuracy)))
        found.append((one.target, "none", "drawn", (), float(top - one.accuracy.mean())))
    return pd.DataFrame(found, columns=["target", "metric", "variant", "picked", "regret"])
