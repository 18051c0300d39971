"""The figure of the results page: what HASTE gains, in the paper and here."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hastelib.figures.draw import new_figure
from hastelib.report import labels
from hastelib.report.results import EVERY, PAPER
from hastelib.report.tables import number

LOOKS = (("#333333", "o"), ("#0173b2", "D"), ("#de8f05", "^"), ("#029e73", "v"))
"""Colour and marker of the paper and of the suites, in their order."""
VARIANTS = ("ca", "cs")
SHOWN = 0.62
"""Half the width of a panel; what lies beyond is drawn at its edge, with its value."""


def _part(found: pd.DataFrame, variant: str) -> pd.DataFrame:
    """The cells of a panel; ``haste``, of which the paper does not say which, is in both."""
    return found[found["variant"].isin([variant, "haste"]) & found["number"].isin(EVERY)]


def gains(found: pd.DataFrame) -> Figure:
    """Does HASTE help, there and here?

    A panel per hard subset, a line per table and metric, a dot per side: the mean over the
    targets of HASTE less baseline. Where dots of different colours lie on different sides of
    zero, the paper and the suite disagree. Thin lines reach from the smallest to the largest
    difference on a target.

    Args:
        found: what :func:`hastelib.report.results.cells` gives.
    """
    sides = list(found["side"].unique())
    whole = pd.concat([_part(found, variant) for variant in VARIANTS])
    lines = list(
        whole[["number", "metric"]]
        .drop_duplicates()
        .sort_values("number", kind="stable")
        .itertuples(index=False, name=None)
    )
    steps = (np.arange(len(sides)) - (len(sides) - 1) / 2) * 0.26
    with new_figure(1.0 + 0.235 * len(lines)) as figure:
        grid = figure.subplots(1, len(VARIANTS), sharey=True, sharex=True, squeeze=False)
        for axes, variant in zip(grid.flat, VARIANTS, strict=True):
            part = _part(found, variant)
            axes.axvline(0, color="#888888", linewidth=0.8)
            for step, side, (colour, marker) in zip(steps, sides, LOOKS, strict=False):
                of_side = part[part["side"] == side]
                keys = of_side[["number", "metric"]].itertuples(index=False, name=None)
                places = np.array([lines.index(key) + step for key in keys])
                gain = of_side["gain"].to_numpy(float)
                edges = of_side[["low", "high"]].to_numpy(float).clip(-SHOWN, SHOWN)
                axes.hlines(
                    places, edges[:, 0], edges[:, 1], color=colour, linewidth=0.6, alpha=0.6
                )
                axes.plot(gain.clip(-SHOWN, SHOWN), places, marker, color=colour, markersize=3.2)
                for x, y in zip(gain, places, strict=True):
                    if abs(x) > SHOWN:
                        axes.annotate(
                            number(x, 2, sign=True),
                            (np.sign(x) * SHOWN, y),
                            xytext=(-5 * np.sign(x), 0),
                            textcoords="offset points",
                            ha="right" if x > 0 else "left",
                            va="center",
                            fontsize=7,
                            color=colour,
                            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
                        )
            last = [i for i in range(1, len(lines)) if lines[i][0] != lines[i - 1][0]]
            for border in last:
                axes.axhline(border - 0.5, color="#e4e4e4", linewidth=0.7)
            axes.set_title(labels.variant(variant))
            names = [f"{which} {labels.metric(metric)}" for which, metric in lines]
            axes.set_yticks(range(len(lines)), names, fontsize=8)
            axes.set(xlim=(-SHOWN - 0.03, SHOWN + 0.03), ylim=(len(lines) - 0.5, -0.5))
            axes.grid(visible=False, axis="y")
        figure.supxlabel("HASTE less baseline, mean over the targets", fontsize=10)
        handles = [
            Line2D([], [], color=colour, marker=marker, linestyle="", label=side)
            for side, (colour, marker) in zip(sides, LOOKS, strict=False)
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def gains_alt(found: pd.DataFrame) -> str:
    """The alternative text of :func:`gains`."""
    parts = []
    for variant in VARIANTS:
        told = []
        for side, part in _part(found, variant).groupby("side", sort=False):
            up = int((part["gain"].round(3) > 0).sum())
            ends = " to ".join(
                number(part["gain"].agg(end), 2, sign=True) for end in ("min", "max")
            )
            told.append(f"{side} {up} of {len(part)} mean gains above zero, from {ends}")
        parts.append(f"{labels.variant(variant)}: {'; '.join(told)}")
    lines = ", ".join(
        f"{'the paper' if side == PAPER else side}" for side in found["side"].unique()
    )
    return (
        f"Mean gain of HASTE over its baseline for {lines}, a line per table and metric, a panel "
        f"per hard subset. {'. '.join(parts)}."
    )
