"""Alternative texts of the figures, computed from the numbers that the figures draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from hastelib.records import frame
from hastelib.report import labels
from hastelib.report.comparison import Rows, correlate, ordered
from hastelib.report.tables import NONE, interval, number


def alt(kind: str, *arguments: Any, **named: Any) -> str:
    """The alternative text of a figure.

    Args:
        kind: the name of a function of :mod:`hastelib.figures`, such as ``scatter``.
        arguments: what that function is given.
        named: what it is given by name.

    Raises:
        ValueError: no such kind of figure (lists the choices).
    """
    if kind not in _KINDS:
        raise ValueError(f"unknown figure {kind!r}; choose one of: {', '.join(sorted(_KINDS))}")
    return _KINDS[kind](*arguments, **named)


def _correlation(part: pd.DataFrame) -> str:
    there = part.dropna(subset=["score", "accuracy"])
    value = correlate(there["score"].to_numpy(float), there["accuracy"].to_numpy(float))[0]
    return "no correlation" if value != value else f"r = {number(value, 2)}"


def _panels(cells: pd.DataFrame) -> str:
    parts = (
        f"{labels.variant(name)} {_correlation(cells[cells['variant'] == name])}"
        for name in ordered(cells["variant"])
    )
    return ", ".join(parts)


def _scatter(rows: Rows, metric: str, target: str) -> str:
    table = frame(rows)
    cells = table[(table["target"] == target) & (table["metric"] == metric)]
    accuracies = 100 * cells["accuracy"]
    return (
        f"Scatter plots of {labels.metric(metric)} against accuracy on {labels.plain(target)} for "
        f"{cells['source'].nunique()} sources with accuracies from {number(accuracies.min(), 1)} "
        f"to {number(accuracies.max(), 1)}%, a panel per subset: {_panels(cells)}."
    )


def _scatter_grid(rows: Rows, metrics: Sequence[str], target: str) -> str:
    table = frame(rows)
    cells = table[table["target"] == target]
    parts = (f"{labels.metric(one)}: {_panels(cells[cells['metric'] == one])}" for one in metrics)
    return (
        f"Grid of scatter plots of score against accuracy on {labels.plain(target)}, metrics down "
        f"and subsets across. {'. '.join(parts)}."
    )


def _forest(correlations: pd.DataFrame) -> str:
    there = correlations[correlations["value"].notna()]
    clear = int(((there["low"] > 0) | (there["high"] < 0)).sum())
    width = (there["high"] - there["low"]).median()
    means = [
        f"{labels.metric(str(metric))}: "
        + ", ".join(
            f"{labels.variant(name)} {number(part.loc[part['variant'] == name, 'value'].mean(), 2)}"
            for name in ordered(part["variant"])
        )
        for metric, part in there.groupby("metric", sort=False)
    ]
    return (
        f"Correlations with 95% intervals on {correlations['target'].nunique()} targets. The "
        f"intervals are {number(width, 2)} wide in the median, and {clear} of {len(there)} leave "
        f"out zero. Means over the targets, {'; '.join(means) or NONE}."
    )


def _gallery(
    images: Sequence[Sequence[Any]],
    titles: Sequence[str],
    hardness: Sequence[Sequence[float]],
    columns: int = 6,
) -> str:
    groups = (
        f"{len(group)} under “{title}”, hardness {min(values):.3g} to {max(values):.3g}"
        for group, title, values in zip(images, titles, hardness, strict=True)
    )
    return f"Pictures: {'; '.join(groups)}."


def _accuracy_by_hardness(bins: pd.DataFrame) -> str:
    parts = []
    for source, part in bins.groupby("source", sort=False):
        ends = [
            f"{number(100 * line['accuracy'], 1)}% "
            f"{interval(100 * line['low'], 100 * line['high'], 0)}"
            for line in part.sort_values("bin").to_dict("records")
        ]
        parts.append(f"{labels.source(str(source))} from {ends[0]} to {ends[-1]}")
    return (
        f"Accuracy in {bins['bin'].max()} bins of test samples from the hardest to the easiest, "
        f"with 95% intervals at the ends: {'; '.join(parts)}."
    )


def _idea(hard: Sequence[Any], easy: Sequence[Any], bins: pd.DataFrame) -> str:
    pictures = f"Left, {len(hard)} hard and {len(easy)} easy samples as pictures. Right: "
    return pictures + _accuracy_by_hardness(bins)


_KINDS: dict[str, Callable[..., str]] = {
    "accuracy_by_hardness": _accuracy_by_hardness,
    "forest": _forest,
    "gallery": _gallery,
    "idea": _idea,
    "scatter": _scatter,
    "scatter_grid": _scatter_grid,
}
