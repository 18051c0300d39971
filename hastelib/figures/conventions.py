"""How much conventions move a metric, drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hastelib.figures.draw import VARIANT_LOOK, new_figure
from hastelib.report import labels
from hastelib.report.comparison import ordered
from hastelib.report.conventions import DEFAULT
from hastelib.report.tables import number

AXES = {"gbc": "principal components", "transrate": "ε"}


def correlations(found: pd.DataFrame) -> Figure:
    """How far does a convention move the correlation with the accuracy?

    A panel per metric, a line per convention, a dot per subset: the mean Pearson correlation over
    the targets. Dots that stay in their columns say that the convention does not matter; compare
    how far they move down a panel with how far the subsets stand apart.

    Args:
        found: what :func:`hastelib.report.conventions.effects` gives.
    """
    there = found[found["targets"] == found["of"]]
    metrics, variants = list(there["metric"].unique()), ordered(there["variant"])
    names = {
        metric: list(dict.fromkeys(there.loc[there["metric"] == metric, "convention"]))
        for metric in metrics
    }
    heights = [len(names[metric]) + 0.6 for metric in metrics]
    steps = (np.arange(len(variants)) - (len(variants) - 1) / 2) * 0.16
    with new_figure(0.9 + 0.21 * sum(heights) + 0.16 * len(metrics)) as figure:
        panels = figure.subplots(
            len(metrics), 1, sharex=True, squeeze=False, height_ratios=heights
        )[:, 0]
        for axes, metric in zip(panels, metrics, strict=True):
            part = there[there["metric"] == metric]
            for step, variant in zip(steps, variants, strict=True):
                one = part[part["variant"] == variant]
                colour, marker = VARIANT_LOOK.get(variant, ("#d55e00", "v"))
                places = [names[metric].index(name) + step for name in one["convention"]]
                axes.plot(one["r"], places, marker, color=colour, markersize=4)
            axes.set_title(labels.metric(metric))
            axes.set_yticks(range(len(names[metric])), names[metric], fontsize=8)
            axes.set_ylim(len(names[metric]) - 0.5, -0.5)
            axes.grid(visible=False, axis="y")
            axes.axhspan(-0.5, 0.5, color="#f2f2f2", zorder=0)
        figure.supxlabel("mean Pearson’s r with the accuracy", fontsize=10)
        handles = [
            Line2D([], [], color=colour, marker=marker, linestyle="", label=labels.variant(variant))
            for variant in variants
            for colour, marker in [VARIANT_LOOK.get(variant, ("#d55e00", "v"))]
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def correlations_alt(found: pd.DataFrame) -> str:
    """The alternative text of :func:`correlations`."""
    there = found[found["targets"] == found["of"]]
    parts = []
    for metric, part in there.groupby("metric", sort=False):
        lines = []
        for variant in ordered(part["variant"]):
            one = part[part["variant"] == variant].set_index("convention")["r"]
            lines.append(
                f"{labels.variant(variant)} {number(one[DEFAULT], 2)} by default, from "
                f"{number(one.min(), 2)} ({one.idxmin()}) to {number(one.max(), 2)} "
                f"({one.idxmax()})"
            )
        parts.append(f"{labels.metric(str(metric))}: {'; '.join(lines)}")
    return f"Dots of the mean Pearson correlation by convention and subset. {'. '.join(parts)}."


def sweeps(found: pd.DataFrame, defaults: Mapping[str, float]) -> Figure:
    """Where on the scale of a free parameter does a metric predict the accuracy?

    Left GBC over the number of components, right TransRate over eps; above the mean Pearson
    correlation with the accuracy, below the mean Kendall tau with the default's ranking, which
    the dotted line marks.

    Args:
        found: what :func:`hastelib.report.conventions.effects` gives for a sweep.
        defaults: metric -> the value that is the default.
    """
    metrics, variants = list(found["metric"].unique()), ordered(found["variant"])
    with new_figure(4.3) as figure:
        grid = figure.subplots(2, len(metrics), sharex="col", sharey="row", squeeze=False)
        for column, metric in zip(grid.T, metrics, strict=True):
            part = found[found["metric"] == metric]
            for variant in variants:
                one = part[part["variant"] == variant].sort_values("convention")
                colour, marker = VARIANT_LOOK.get(variant, ("#d55e00", "v"))
                for axes, name in zip(column, ("r", "tau"), strict=True):
                    axes.plot(
                        one["convention"].astype(float),
                        one[name],
                        marker=marker,
                        color=colour,
                        markersize=3.5,
                        linewidth=1.2,
                    )
            column[0].set_title(labels.metric(metric))
            for axes in column:
                axes.set_xscale("log", base=2 if metric == "gbc" else 10)
                axes.axvline(defaults[metric], color="#555555", linewidth=0.9, linestyle=":")
                axes.axhline(0, color="#888888", linewidth=0.8)
            column[1].set_xlabel(AXES.get(metric, "value"))
        grid[0, 0].set_ylabel("r with the accuracy")
        grid[1, 0].set_ylabel("τ with the default")
        handles = [
            Line2D([], [], color=colour, marker=marker, label=labels.variant(variant))
            for variant in variants
            for colour, marker in [VARIANT_LOOK.get(variant, ("#d55e00", "v"))]
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def sweeps_alt(found: pd.DataFrame) -> str:
    """The alternative text of :func:`sweeps`."""
    parts = []
    for metric, part in found.groupby("metric", sort=False):
        lines = []
        for variant in ordered(part["variant"]):
            one = part[part["variant"] == variant].sort_values("convention")
            values = ", ".join(
                f"{number(r, 2)} at {value:g}"
                for r, value in zip(one["r"], one["convention"], strict=True)
            )
            lines.append(f"{labels.variant(variant)} {values}")
        parts.append(f"{labels.metric(str(metric))}: {'; '.join(lines)}")
    return f"Lines of the mean Pearson correlation over a free parameter. {'. '.join(parts)}."
