"""Figures of the audit: what a headline is made of, and what is left of it."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hastelib.figures.draw import new_figure
from hastelib.report import labels
from hastelib.report.tables import number

LOOKS = {  # column: label, marker, colour
    "mean": ("mean of all rows", "o", "#0173b2"),
    "without": ("mean without the top row", "D", "#de8f05"),
    "ratio": ("change of the mean r", "^", "#029e73"),
    "median": ("median of all", "s", "#949494"),
}
LINEAR = 1.0
"""The axis in percent is linear between minus and plus this, logarithmic beyond."""


def headlines(found: pd.DataFrame) -> Figure:
    """What is left of each mean relative change if it is summed up in another way?

    Args:
        found: the columns table, metric, mean, without (the most influential row), ratio, median,
            in percent.
    """
    names = [
        f"{t} {labels.metric(m)}" for t, m in zip(found["table"], found["metric"], strict=True)
    ]
    places = range(len(found))
    with new_figure(1.3 + 0.24 * len(found)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color="#888888", linewidth=0.8)
        columns = found[list(LOOKS)]
        axes.hlines(places, columns.min(axis=1), columns.max(axis=1), color="#cccccc", linewidth=1)
        for column, (label, marker, colour) in LOOKS.items():
            axes.plot(found[column], places, marker, color=colour, label=label, markersize=5)
        axes.set_xscale("symlog", linthresh=LINEAR)
        axes.set_xticks([-10, -1, 0, 1, 10, 100])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 0, sign=True)))
        axes.minorticks_off()
        axes.set_yticks(places, names)
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("change in percent, logarithmic beyond ±1")
        axes.set_ylabel("table and metric")
        figure.legend(loc="outside upper center", ncols=2)
    return figure


def headlines_alt(found: pd.DataFrame) -> str:
    """The alternative text of :func:`headlines`."""
    parts = (
        f"Table {line['table']} {labels.metric(line['metric'])} "
        + ", ".join(number(line[column], 1, sign=True) for column in LOOKS)
        for line in found.to_dict("records")
    )
    what = ", ".join(label for label, _, _ in LOOKS.values())
    return f"Dots on a line per table and metric, in percent: {what}. {'; '.join(parts)}."


def contributions(points: pd.DataFrame) -> Figure:
    """Which rows is a mean relative change made of?

    Args:
        points: of one table, what :func:`hastelib.report.audit.contributions` gives.
    """
    metrics, rows = list(points["metric"].unique()), list(points["row"].unique())
    with new_figure(1.1 + 0.3 * len(rows)) as figure:
        grid = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(grid, metrics, strict=True):
            part = points[points["metric"] == metric].set_index("row")["points"].reindex(rows)
            axes.barh(range(len(rows)), part, color="#0173b2", height=0.62)
            axes.axvline(0, color="#888888", linewidth=0.8)
            axes.set_title(f"{labels.metric(metric)}\n{number(part.sum(), 2, sign=True)}%")
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.set_yticks(range(len(rows)), rows)
            axes.set_ylim(len(rows) - 0.5, -0.5)
            axes.grid(visible=False, axis="y")
        figure.supxlabel("points of the mean, each panel on its own scale", fontsize=10)
    return figure


def contributions_alt(points: pd.DataFrame) -> str:
    """The alternative text of :func:`contributions`."""
    parts = (
        f"{labels.metric(str(metric))} {number(part['points'].sum(), 2, sign=True)}, of which "
        + ", ".join(
            f"{row} {number(value, 2, sign=True)}"
            for row, value in zip(part["row"], part["points"], strict=True)
        )
        for metric, part in points.groupby("metric", sort=False)
    )
    return f"Bars of the points that each row adds to a mean relative change: {'; '.join(parts)}."
