"""How much a convention moves a score and a ranking, as numbers, tables and sentences."""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy import ndarray

from hastelib import _check, stats
from hastelib.experiments import Grid
from hastelib.report import labels
from hastelib.report.comparison import HASTE, ordered
from hastelib.report.conventions.forms import (
    CONVENTIONS,
    DEFAULT,
    Case,
    overlap,
    rates,
    spectra,
)
from hastelib.report.tables import NONE, Block, Cell, Table, number

CELL = ["metric", "convention", "variant"]
COMPONENTS = (1, 2, 4, 8, 16, 32, 64, 128)
RATES = tuple(10.0**power for power in range(-10, 5, 2))
ROUNDING = 1e-6
"""Differences of correlations below this are none."""
LOW = 0.9
"""A convention whose mean tau with the default is below this is said to reorder the sources."""


def cases(grid: Grid, source: str, target: str) -> dict[str, Case]:
    """The samples by variant; of the random subsets the first draw."""
    features = grid.features(source, target)
    whole = Case(features)
    subsets = {subset.variant: subset.rows for subset in reversed(grid.subsets(target))}
    return {
        variant: whole if variant == "all" else Case(features.at(subsets[variant]), whole)
        for variant in ordered(subsets)
    }


def _measured(
    grid: Grid,
    targets: Sequence[str],
    scores: Callable[[Case, str], Iterable[tuple[str, Hashable, Callable[[], float]]]],
) -> pd.DataFrame:
    from sklearn.exceptions import ConvergenceWarning

    accuracies = grid.accuracies(targets)
    found = []
    for target, source in itertools.product(targets, grid.suite.sources):
        accuracy = float(np.mean(accuracies[source, target]))
        for variant, case in cases(grid, source, target).items():
            for metric, convention, score in scores(case, target):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    try:
                        value = score()
                    except ValueError:  # not computable on these samples
                        value = np.nan
                found.append((metric, convention, variant, target, source, value, accuracy))
    names = [*CELL, "target", "source", "score", "accuracy"]
    return pd.DataFrame(found, columns=names)


def measure(
    grid: Grid, targets: Sequence[str], mixtures: int | None = None, names: Iterable[str] = ()
) -> pd.DataFrame:
    """Every score under every convention, on every target, source and subset.

    Args:
        grid: the sources.
        targets: of the suite.
        mixtures: targets, the first of them, on which N-LEEP is computed, at least 1; None: all.
        names: metrics of :data:`CONVENTIONS`; all where none is given.

    Returns:
        The columns metric, convention, variant, target, source, score (``nan`` where it cannot be
        computed) and accuracy (the mean over the seeds).

    Raises:
        ValueError: no target is left for N-LEEP.
    """
    if mixtures is not None:
        _check.whole("mixtures", mixtures, 1)
    chosen = tuple(names) or tuple(CONVENTIONS)
    few = targets[:mixtures]

    def scores(case: Case, target: str) -> Iterable[tuple[str, str, Callable[[], float]]]:
        for metric in chosen:
            if metric != "n_leep" or target in few:
                for name, convention in CONVENTIONS[metric].items():
                    yield metric, name, functools.partial(convention, case)

    return _measured(grid, targets, scores)


def sweep(grid: Grid, targets: Sequence[str]) -> pd.DataFrame:
    """GBC over the number of components and TransRate over eps.

    Returns:
        As :func:`measure`, with the number in the column convention.
    """

    def scores(case: Case, _: str) -> Iterable[tuple[str, float, Callable[[], float]]]:
        for count in COMPONENTS:
            yield (
                "gbc",
                float(count),
                functools.partial(overlap, case, case.components(min(count, len(case.X) - 1))),
            )
        values = spectra(case, case.X - case.X.mean(0))
        sizes = np.concatenate([[len(case.X)], case.counts])
        for eps in RATES:
            whole, *parts = rates(values, sizes, eps)
            yield "transrate", eps, functools.partial(float, whole - np.mean(parts))

    return _measured(grid, targets, scores)


def effects(
    scores: pd.DataFrame,
    defaults: Mapping[str, Hashable] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """What each convention changes, over all targets.

    Args:
        scores: what :func:`measure` or :func:`sweep` gives.
        defaults: metric -> the convention to compare with; :data:`DEFAULT` where not given.
        resamples: bootstrap samples of the sources behind the interval.
        seed: of the bootstrap.

    Returns:
        A row per metric, convention and variant, with the columns missing (scores that cannot be
        computed), targets (those on which all sources have a score, to which what follows
        refers), of (targets in all), change (the largest relative change of a score), tau (mean
        Kendall correlation with the default's scores over the sources), picks (targets on which
        another source has the highest score), r (mean Pearson correlation with the accuracy),
        regret (mean, in [0, 1]), and difference, low, high: r less that of the default, with its
        paired 95% bootstrap interval over the sources.
    """
    cells = {
        key: _by_target(part, resamples, seed) for key, part in scores.groupby(CELL, sort=False)
    }
    found = []
    for (metric, convention, variant), mine in cells.items():
        default = cells[metric, (defaults or {}).get(str(metric), DEFAULT), variant]
        there = [target for target, one in mine.items() if not np.isnan(one.scores).any()]
        pairs = [(mine[target], default[target]) for target in there]
        missing = sum(int(np.isnan(one.scores).sum()) for one in mine.values())
        line = (metric, convention, variant, missing, len(there), len(default))
        if not there:
            found.append((*line, *[np.nan] * 8))
            continue
        gains = np.mean([one.replicates - base.replicates for one, base in pairs], axis=0)
        found.append(
            (
                *line,
                max(_change(one.scores, base.scores) for one, base in pairs),
                np.mean([stats.replicates("kendall", a.scores, b.scores, 1)[0] for a, b in pairs]),
                sum(one.first != base.first for one, base in pairs),
                np.mean([one.replicates[0] for one, _ in pairs]),
                np.mean([one.regret for one, _ in pairs]),
                *stats.interval(gains),
            )
        )
    columns = ["missing", "targets", "of", "change", "tau", "picks", "r", "regret"]
    return pd.DataFrame(found, columns=[*CELL, *columns, "difference", "low", "high"])


class _Target(NamedTuple):
    """The scores of the sources on one target, and what follows from them and the accuracies."""

    scores: Float64[ndarray, " s"]
    first: frozenset[int]
    replicates: Float64[ndarray, " b"]
    regret: float


def _by_target(part: pd.DataFrame, resamples: int, seed: int) -> dict[str, _Target]:
    found = {}
    for target, one in part.groupby("target", sort=False):
        values, accuracies = (one[name].to_numpy(float) for name in ("score", "accuracy"))
        if np.isnan(values).any():
            found[str(target)] = _Target(
                values, frozenset(), np.full(1 + resamples, np.nan), np.nan
            )
            continue
        first = frozenset(np.flatnonzero(values == values.max()).tolist())
        sample = stats.replicates("pearson", values, accuracies, resamples, seed)
        found[str(target)] = _Target(values, first, sample, stats.regret(values, accuracies))
    return found


def _change(scores: Float64[ndarray, " s"], base: Float64[ndarray, " s"]) -> float:
    """The largest relative change; infinite where a score leaves 0."""
    moved = scores != base
    with np.errstate(divide="ignore"):
        return float(np.max(np.abs(scores - base)[moved] / np.abs(base)[moved], initial=0))


def table(found: pd.DataFrame, metric: str) -> Table:
    """The effects of one metric's conventions, a block per subset.

    Args:
        found: what :func:`effects` gives.
        metric: whose conventions.
    """
    part = found[found["metric"] == metric]
    head = ("Convention", "Change", "τ", "Picks", "r", "Regret")
    blocks = tuple(
        Block(
            labels.variant(variant),
            head,
            tuple(
                (str(line["convention"]), _cells(line))
                for line in part[part["variant"] == variant].to_dict("records")
            ),
        )
        for variant in ordered(part["variant"])
    )
    several = part.loc[part["targets"] < part["of"], ["convention", "variant", "targets", "of"]]
    gone = [
        f"{line['convention']} ({labels.variant(line['variant'])}): not computable for every "
        f"source on {line['of'] - line['targets']} of {line['of']} targets."
        for line in several.to_dict("records")
    ]
    caption = (
        f"{labels.metric(metric)} under other conventions, over {int(part['of'].max())} targets: "
        "the largest relative change of a score in % (of the default’s), the mean Kendall τ with "
        "the default’s ranking of the sources, the targets on which another source comes first, "
        "the mean Pearson r with the accuracy, and the mean regret of the first pick in points of "
        "accuracy. Random is one draw. * the 95% interval of the difference of r from the "
        "default’s leaves out zero."
    )
    return Table(caption, blocks, tuple(gone), part.reset_index(drop=True))


def _cells(line: Mapping[Hashable, Any]) -> tuple[Cell, ...]:
    if line["targets"] < line["of"]:
        return (Cell(NONE),) * 5
    own = line["convention"] == DEFAULT
    return (
        Cell(NONE if own else _percent(line["change"])),
        Cell(NONE if own else number(line["tau"], 2)),
        Cell(NONE if own else f"{line['picks']:.0f}"),
        Cell(number(line["r"], 3), bold=own, mark="*" if _sure(line) else ""),
        Cell(number(100 * line["regret"], 1)),
    )


def _percent(share: float) -> str:
    """A relative change, short: in percent, as a power of ten where that is long."""
    if share == math.inf:
        return "∞"
    if share >= 100:
        return f"{100 * share:.0e}".replace("e+0", "e")
    return number(100 * share, 1 if share < 0.0995 else 0)


def _sure(line: Mapping[Hashable, Any]) -> bool:
    return bool(line["low"] > ROUNDING or line["high"] < -ROUNDING)


def findings(found: pd.DataFrame, scores: pd.DataFrame) -> str:
    """Which conventions matter, in sentences computed from the numbers.

    Args:
        found: what :func:`effects` gives for ``scores``.
        scores: what :func:`measure` gives.
    """
    there = found[found["targets"].eq(found["of"]) & found["convention"].ne(DEFAULT)]
    sure = int(((there["low"] > ROUNDING) | (there["high"] < -ROUNDING)).sum())
    same = int(((there["tau"] > 1 - ROUNDING) & (there["picks"] == 0)).sum())
    overall = (
        f"**{same} of {len(there)} comparisons leave every ranking as it is**, "
        f"{int((there['tau'] < LOW).sum())} have a mean τ below {number(LOW, 1)}. The interval of "
        f"the difference of r leaves out zero in {sure}; by chance {number(0.05 * len(there), 0)} "
        "would, if the intervals kept their level, which with so few sources they do only roughly."
    )
    items = [_item(found, scores, metric) for metric in found["metric"].unique()]
    return "\n".join([f"{overall} {_spans(found)}", "", *items])


def _spans(found: pd.DataFrame) -> str:
    """The largest effect of a convention beside the largest effect of a hard subset."""
    there = found[found["targets"] == found["of"]]
    ranges = there.groupby(["metric", "variant"])["r"].agg(np.ptp)
    own = there[there["convention"] == DEFAULT].set_index(["metric", "variant"])["r"]
    moves = {
        (metric, variant): abs(own[metric, variant] - own[metric, "all"])
        for metric, variant in own.index
        if variant in HASTE and (metric, "all") in own
    }
    text = (
        f"On one and the same subset the conventions span up to {number(ranges.max(), 2)} in mean "
        f"r ({_called(ranges.idxmax())})"
    )
    if not moves:
        return f"{text}."
    most = max(moves, key=lambda cell: moves[cell])
    larger = sum(ranges[cell] > move for cell, move in moves.items())
    return (
        f"{text}; a hard subset in place of the whole set, under the default, moves it by up to "
        f"{number(moves[most], 2)} ({_called(most)}). In {larger} of {len(moves)} pairs of a "
        "metric and a hard subset the choice of convention weighs more than the choice of subset."
    )


def _called(cell: Any) -> str:
    metric, variant = cell
    return f"{labels.metric(metric)}, {labels.variant(variant)}"


def _item(found: pd.DataFrame, scores: pd.DataFrame, metric: str) -> str:
    part = found[found["metric"] == metric]
    own = part[part["convention"] == DEFAULT].set_index("variant")
    other = part[part["convention"] != DEFAULT]
    whole = other[other["targets"] == other["of"]]
    groups: dict[str, list[str]] = {"none": [], "little": [], "much": []}
    for name, lines in whole.groupby("convention", sort=False):
        least, moved = lines["tau"].min(), lines["picks"].sum()
        kind = "much" if least < LOW else "little" if least < 1 - ROUNDING or moved else "none"
        text = f"{name} (τ down to {number(least, 2)})" if kind == "much" else str(name)
        groups[kind].append(text)
    spans = []
    for variant in own.index:
        values = part[(part["variant"] == variant) & (part["targets"] == part["of"])]
        low, high = (values.loc[values["r"].agg(which)] for which in ("idxmin", "idxmax"))
        spans.append(
            f"{labels.variant(variant)} {number(low['r'], 2)} ({low['convention']}) to "
            f"{number(high['r'], 2)} ({high['convention']})"
        )
    hard = [variant for variant in ("random", "ca", "cs") if variant in own.index]
    shifts = ", ".join(
        f"{labels.variant(variant)} {number(own['r'][variant] - own['r']['all'], 2, sign=True)}"
        for variant in hard
    )
    return (
        f"- **{labels.metric(metric)}.** {_listed('Leave every ranking as it is', groups['none'])}"
        f"{_listed('Move it little', groups['little'])}"
        f"{_listed('Reorder the sources', groups['much'])}"
        f"Mean r, over the conventions: {'; '.join(spans)}. For comparison, what the subset "
        f"changes under the default: {shifts}. {_favourite(scores, metric)}"
    )


def _listed(head: str, names: Sequence[str]) -> str:
    return f"{head}: {', '.join(names)}. " if names else ""


def _favourite(scores: pd.DataFrame, metric: str) -> str:
    """Which source the default puts first most often on the whole sets."""
    own = scores[scores["metric"].eq(metric) & scores["convention"].eq(DEFAULT)]
    own = own[own["variant"] == "all"].dropna(subset=["score"])
    picked = own.loc[own.groupby("target")["score"].idxmax(), "source"].value_counts()
    best = own.loc[own.groupby("target")["accuracy"].idxmax(), "source"].value_counts()
    name = str(picked.index[0])
    return (
        f"On the whole sets the default puts {labels.source(name)} first on {picked.iloc[0]} of "
        f"{picked.sum()} targets; it is the best on {best.get(name, 0)}."
    )
