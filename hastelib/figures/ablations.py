"""Curves over the size, the bucket or the share of a subset, and gains by statistic."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hastelib.figures.draw import VARIANT_LOOK, new_figure
from hastelib.report import labels
from hastelib.report.ablations.common import Curves, variants
from hastelib.report.comparison import MEAN
from hastelib.report.tables import number

GAP = 0.012
"""How far the curves are set apart sideways, as a share of the axis, so that bars stay legible."""


def _axis(axes: Axes, places: list[float], share: bool) -> None:
    """Evenly spaced places: sizes are not, and the small ones would fall together."""
    names = [f"{100 * p:g}" if share else f"{p:g}" for p in places]
    axes.set_xticks(range(len(places)), names)


def _places(found: Curves) -> list[float]:
    return sorted({place for _, variant, place in found.samples if variant != "all"})


def curve(found: Curves, below: str, share: bool = False, spread: bool = False) -> Figure:
    """Where along hardness, or at which size, do the scores predict the accuracies best?

    A panel per metric: the mean correlation over the targets at each place, for both hard
    subsets and the random one, the baseline on all samples as a line. Where the random curve
    runs like the hard ones, what is seen is the size.

    Args:
        found: the curves.
        below: what the axis shows.
        share: the places are shares, written in percent.
        spread: bars of one standard deviation over the draws in place of 95% intervals over the
            sources.
    """
    places, names = _places(found), variants(found)
    lines = found.table()
    lines = lines[lines["target"] == MEAN]
    metrics = found.metrics
    columns = min(2, len(metrics))
    height = -(-len(metrics) // columns)
    with new_figure(0.7 + (2.6 if columns == 1 else 2.2) * height) as figure:
        grid = figure.subplots(height, columns, sharey=True, squeeze=False)
        for axes, metric in zip(grid.flat, metrics, strict=False):
            base = float(found.of((metric, "all", 1.0))[0])
            axes.axhline(base, color=VARIANT_LOOK["all"][0], linestyle="--", linewidth=1)
            for step, variant in enumerate(names):
                part = lines[(lines["metric"] == metric) & (lines["variant"] == variant)]
                part = part.sort_values("place")
                shift = (step - (len(names) - 1) / 2) * GAP * len(places)
                x = [places.index(place) + shift for place in part["place"]]
                y = part["value"].to_numpy()
                colour, marker = VARIANT_LOOK[variant]
                bars = (
                    np.stack([part["std"], part["std"]])
                    if spread
                    else np.stack([y - part["low"], part["high"] - y]).clip(0)
                )
                axes.errorbar(
                    x, y, bars, color=colour, marker=marker, linewidth=1.4, elinewidth=0.8
                )
            axes.set_title(labels.metric(metric))
            _axis(axes, places, share)
        for axes in list(grid.flat)[len(metrics) :]:
            axes.remove()
        figure.supxlabel(below, fontsize=10)
        figure.supylabel("Pearson’s r", fontsize=10)
        handles = [_handle(name) for name in names]
        base_line = Line2D([], [], color=VARIANT_LOOK["all"][0], linestyle="--", label="Baseline")
        figure.legend(
            handles=[base_line, *handles], loc="outside upper center", ncols=len(handles) + 1
        )
    return figure


def _handle(variant: str) -> Line2D:
    colour, marker = VARIANT_LOOK[variant]
    return Line2D([], [], color=colour, marker=marker, label=labels.variant(variant))


def curve_alt(found: Curves, share: bool = False) -> str:
    """The alternative text of :func:`curve`."""

    def place(value: float) -> str:
        return f"{100 * value:g}%" if share else f"{value:g}"

    parts = []
    for metric in found.metrics:
        told = [f"baseline {number(float(found.of((metric, 'all', 1.0))[0]), 2)}"]
        for variant in variants(found):
            line = found.line(metric, variant)
            if line.empty:
                continue
            told.append(
                f"{labels.variant(variant)} {number(line.iloc[0], 2)} at {place(line.index[0])}, "
                f"{number(line.iloc[-1], 2)} at {place(line.index[-1])}, highest "
                f"{number(line.max(), 2)} at {place(found.best(metric, variant))}"
            )
        parts.append(f"{labels.metric(metric)}: {'; '.join(told)}")
    return f"Curves of Pearson’s r, mean over {len(found.targets)} targets. {'. '.join(parts)}."


def by_target(found: Curves, metric: str, below: str, share: bool = False) -> Figure:
    """Does the mean stand for the targets? The curves of one metric, a panel per target."""
    places, names = _places(found), variants(found)
    targets = found.targets
    columns = min(3, len(targets))
    height = -(-len(targets) // columns)
    with new_figure(0.8 + 1.45 * height) as figure:
        grid = figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False)
        for axes, target in zip(grid.flat, targets, strict=False):
            base = found.line(metric, "all", target)
            if len(base):
                look = {"color": VARIANT_LOOK["all"][0], "linestyle": "--"}
                axes.axhline(base.iloc[0], linewidth=1, **look)
            for variant in names:
                line = found.line(metric, variant, target)
                colour, marker = VARIANT_LOOK[variant]
                x = [places.index(place) for place in line.index]
                axes.plot(x, line, color=colour, marker=marker, markersize=3, linewidth=1.1)
            axes.set_title(labels.plain(target))
            names_of = [f"{100 * p:g}" if share else f"{p:g}" for p in places]
            # Every second name: a panel has no room for more.
            shown = [n if i % 2 == 0 or len(places) < 6 else "" for i, n in enumerate(names_of)]
            axes.set_xticks(range(len(places)), shown, fontsize=8)
            axes.tick_params(labelbottom=True)
        for axes in list(grid.flat)[len(targets) :]:
            axes.remove()
        figure.supxlabel(below, fontsize=10)
        figure.supylabel(f"Pearson’s r, {labels.metric(metric)}", fontsize=10)
        handles = [_handle(name) for name in names]
        base_line = Line2D([], [], color=VARIANT_LOOK["all"][0], linestyle="--", label="Baseline")
        figure.legend(
            handles=[base_line, *handles], loc="outside upper center", ncols=len(handles) + 1
        )
    return figure


def by_target_alt(found: Curves, metric: str, share: bool = False) -> str:
    """The alternative text of :func:`by_target`."""
    parts = []
    for target in found.targets:
        told = []
        for variant in variants(found):
            line = found.line(metric, variant, target)
            if len(line):
                best = found.best(metric, variant, target)
                at = f"{100 * best:g}%" if share else f"{best:g}"
                told.append(f"{labels.variant(variant)} highest {number(line.max(), 2)} at {at}")
        parts.append(f"{labels.plain(target)}: {', '.join(told)}")
    return (
        f"A panel per target with the curves of {labels.metric(metric)}, Pearson’s r. "
        f"{'. '.join(parts)}."
    )


def gains(found: pd.DataFrame) -> Figure:
    """Does what HASTE gains depend on the correlation coefficient?

    A panel per metric, a line per statistic: the mean gain of each subset over the baseline,
    with its 95% interval. Dots of one colour on both sides of zero say that the answer is the
    coefficient's.

    Args:
        found: what :func:`hastelib.report.ablations.coefficients.gains` gives.
    """
    mean = found[(found["target"] == MEAN) & (found["other"] == "all")]
    metrics, statistics = (list(mean[name].unique()) for name in ("metric", "statistic"))
    names = list(mean["variant"].unique())
    steps = (np.arange(len(names)) - (len(names) - 1) / 2) * 0.2
    columns = min(3, len(metrics))
    height = -(-len(metrics) // columns)
    with new_figure(0.9 + height * (0.5 + 0.42 * len(statistics))) as figure:
        grid = figure.subplots(height, columns, sharey=True, sharex=True, squeeze=False)
        for axes, metric in zip(grid.flat, metrics, strict=False):
            axes.axvline(0, color="#888888", linewidth=0.8)
            for step, variant in zip(steps, names, strict=True):
                part = mean[(mean["metric"] == metric) & (mean["variant"] == variant)]
                places = [statistics.index(name) + step for name in part["statistic"]]
                colour, marker = VARIANT_LOOK[variant]
                axes.hlines(places, part["low"], part["high"], color=colour, linewidth=1.2)
                axes.plot(part["gain"], places, marker, color=colour, markersize=4)
            axes.set_title(labels.metric(metric))
            shown = [labels.STATISTICS[name].replace(" ", "\n", 1) for name in statistics]
            axes.set_yticks(range(len(statistics)), shown, fontsize=8.5)
            axes.set_ylim(len(statistics) - 0.5, -0.5)
            axes.grid(visible=False, axis="y")
        for axes in list(grid.flat)[len(metrics) :]:
            axes.remove()
        figure.supxlabel("mean gain over the baseline, 95% interval", fontsize=10)
        figure.legend(
            handles=[_handle(name) for name in names],
            loc="outside upper center",
            ncols=len(names),
        )
    return figure


def gains_alt(found: pd.DataFrame) -> str:
    """The alternative text of :func:`gains`."""
    mean = found[(found["target"] == MEAN) & (found["other"] == "all")]
    parts = []
    for (metric, variant), part in mean.groupby(["metric", "variant"], sort=False):
        told = ", ".join(
            f"{labels.STATISTICS[line['statistic']]} {number(line['gain'], 2, True)}"
            for line in part.to_dict("records")
        )
        parts.append(f"{labels.metric(str(metric))} {labels.variant(str(variant))}: {told}")
    return f"Mean gain over the baseline by statistic. {'; '.join(parts)}."
