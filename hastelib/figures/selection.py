"""Target selection, drawn: accuracy and scores against the number of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hastelib.figures.draw import MARKERS, new_figure
from hastelib.report import labels
from hastelib.report.comparison import ordered
from hastelib.report.selection_classes import partial_correlations
from hastelib.report.tables import number

COLOURS = "viridis"


def _units(part: pd.DataFrame, target: str) -> pd.DataFrame:
    return part[part["target"] == target].drop_duplicates("source")


def _targets(parts: Mapping[str, pd.DataFrame]) -> list[str]:
    return list(dict.fromkeys(name for part in parts.values() for name in part["target"]))


def accuracy_by_classes(parts: Mapping[str, pd.DataFrame]) -> Figure:
    """Does the number of classes alone say how well a source will do?

    A panel per target, a dot per class subset, a colour per source.

    Args:
        parts: what :func:`hastelib.report.selection.over_targets` gives.
    """
    targets = _targets(parts)
    columns = min(3, len(targets))
    lines = -(-len(targets) // columns)
    with new_figure(0.8 + 1.55 * lines) as figure:
        colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes, target in zip(grid.flat, targets, strict=False):
            for i, (source, part) in enumerate(parts.items()):
                units = _units(part, target)
                look = {"color": colours[i % len(colours)], "marker": MARKERS[i % len(MARKERS)]}
                axes.plot(
                    units["size"],
                    100 * units["accuracy"],
                    linestyle="",
                    markersize=4.5,
                    label=labels.source(source),
                    **look,
                )
            axes.set_title(labels.plain(target))
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.margins(0.1)
        for axes in list(grid.flat)[len(targets) :]:
            axes.remove()
        figure.supxlabel("classes of the subset", fontsize=10)
        figure.supylabel("accuracy in %", fontsize=10)
        handles = {
            label: handle
            for axes in figure.axes
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles)
        )
    return figure


def accuracy_by_classes_alt(parts: Mapping[str, pd.DataFrame]) -> str:
    """The alternative text of :func:`accuracy_by_classes`."""
    found = []
    for source, part in parts.items():
        values = []
        for target in part["target"].unique():
            units = _units(part, target)
            r = np.corrcoef(np.log(units["size"]), units["accuracy"])[0, 1]
            values.append(f"{labels.plain(target)} {number(float(r), 2)}")
        found.append(f"{labels.source(source)}: {', '.join(values)}")
    return (
        "Accuracy against the number of classes, a panel per target and a dot per class subset. "
        f"Correlation with the logarithm of that number, {'; '.join(found)}."
    )


def scores_by_classes(part: pd.DataFrame, metrics: Sequence[str], target: str) -> Figure:
    """Do the scores predict the accuracy, or the number of classes?

    Metrics down, variants across, score against accuracy, the colour saying how many classes a
    subset has. Above a panel Pearson's r and, after the bar, the partial one given the logarithm
    of the number of classes. Points that only line up because the colours do say nothing else.

    Args:
        part: of one source, as :func:`hastelib.report.selection.over_targets` gives it.
        metrics: to draw.
        target: to draw.
    """
    cells = part[(part["target"] == target) & part["metric"].isin(metrics)]
    values = partial_correlations(cells, resamples=1)
    variants = ordered(cells["variant"])
    sizes = Normalize(cells["size"].min(), cells["size"].max())
    with new_figure(1.2 + 1.3 * len(metrics)) as figure:
        grid = figure.subplots(len(metrics), len(variants), sharey=True, squeeze=False)
        for line, metric in zip(grid, metrics, strict=True):
            for axes, variant in zip(line, variants, strict=True):
                units = cells[(cells["metric"] == metric) & (cells["variant"] == variant)]
                axes.scatter(
                    units["score"],
                    100 * units["accuracy"],
                    c=units["size"],
                    s=20,
                    edgecolors="#555555",
                    linewidths=0.4,
                    cmap=COLOURS,
                    norm=sizes,
                )
                found = values.get((target, metric, variant))
                texts = [number(found[name][0], 2) for name in ("r", "partial")] if found else ["–"]
                head = f"{labels.variant(variant)}\n" if metric == metrics[0] else ""
                axes.set_title(head + " | ".join(texts), fontsize=9)
                axes.set_xticks([])
                axes.margins(0.14)
            line[0].set_ylabel(labels.metric(metric), fontweight="bold")
        figure.supxlabel("score, each panel on its own scale", fontsize=9)
        figure.supylabel(f"accuracy on {labels.plain(target)} in %", fontsize=9)
        bar = figure.colorbar(
            ScalarMappable(sizes, COLOURS), ax=grid, location="top", aspect=40, shrink=0.7
        )
        bar.set_label("classes of the subset", fontsize=9)
        bar.locator = MaxNLocator(6, integer=True)
        bar.update_ticks()
    return figure


def scores_by_classes_alt(part: pd.DataFrame, metrics: Sequence[str], target: str) -> str:
    """The alternative text of :func:`scores_by_classes`."""
    cells = part[(part["target"] == target) & part["metric"].isin(metrics)]
    values = partial_correlations(cells, resamples=1)
    lines = []
    for metric in metrics:
        panels = [
            f"{labels.variant(variant)} {number(found['r'][0], 2)} "
            f"({number(found['partial'][0], 2)})"
            for variant in ordered(cells["variant"])
            if (found := values.get((target, metric, variant)))
        ]
        lines.append(f"{labels.metric(metric)}: {', '.join(panels)}")
    return (
        f"Grid of scatter plots of score against accuracy for class subsets of "
        f"{labels.plain(target)}, metrics down and subsets of the samples across, coloured by the "
        f"number of classes. Pearson’s r (given the number of classes) is {'. '.join(lines)}."
    )
