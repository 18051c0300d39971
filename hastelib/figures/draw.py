"""Drawing: rows or tables in, a matplotlib figure that is bound to no window out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

from hastelib.figures.page import STYLE
from hastelib.records import frame
from hastelib.report import labels
from hastelib.report.comparison import Rows, correlate, ordered, several
from hastelib.report.tables import number

WIDTH = 5.2
"""Inches. At 390 px a figure this wide has 75 px to the inch: 10 point type is 10 px high."""

MARKERS = "osD^vPX*"
VARIANT_LOOK = {  # colour, marker
    "all": ("#333333", "o"),
    "random": ("#949494", "s"),
    "ca": ("#de8f05", "D"),
    "cs": ("#0173b2", "^"),
}


def use_style() -> None:
    """The book's style for every figure that follows, also those drawn by hand."""
    mpl.style.use(STYLE)


@contextmanager
def new_figure(height: float, width: float = WIDTH) -> Iterator[Figure]:
    """A figure of the book's width in its style, bound to no window; heights in inches."""
    with mpl.style.context(STYLE):
        yield Figure(figsize=(width, height))


def _cells(rows: Rows, metrics: Sequence[str], target: str) -> pd.DataFrame:
    """The rows of one target and some metrics, accuracies in percent."""
    table = frame(rows)
    for name, wanted in (("target", [target]), ("metric", metrics)):
        there = sorted(set(table[name]))
        if unknown := sorted(set(wanted) - set(there)):
            raise ValueError(f"no rows for {name} {unknown}; there are: {', '.join(there)}")
    chosen = table[(table["target"] == target) & table["metric"].isin(metrics)].copy()
    if several(chosen["suite"]):
        raise ValueError(f"{target!r} is in several suites: {sorted(set(chosen['suite']))}")
    return chosen


def _looks(sources: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Family -> colour and marker, in the order in which the families first come."""
    with mpl.style.context(STYLE):
        colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    families = dict.fromkeys(map(labels.family, sources))
    return {
        name: (colours[i % len(colours)], MARKERS[i % len(MARKERS)])
        for i, name in enumerate(families)
    }


def _points(axes: Axes, part: pd.DataFrame, looks: dict[str, tuple[str, str]], text: bool) -> None:
    """Score against accuracy of every source, bars of one standard deviation."""
    for line in part.dropna(subset=["score", "accuracy"]).to_dict("records"):
        colour, marker = looks[labels.family(line["source"])]
        place = line["score"], 100 * line["accuracy"]
        stds = line["score_std"], 100 * line["accuracy_std"]
        bars = [None if np.isnan(std) else std for std in stds]
        axes.errorbar(
            *place, xerr=bars[0], yerr=bars[1], color=colour, marker=marker, elinewidth=0.9
        )
        if text:
            axes.annotate(
                labels.member(line["source"]),
                place,
                xytext=(4, 3),
                textcoords="offset points",
                fontsize=7.5,
                color="#333333",
            )


def _correlation(part: pd.DataFrame) -> float:
    there = part.dropna(subset=["score", "accuracy"])
    scores, accuracies = (there[name].to_numpy(float) for name in ("score", "accuracy"))
    return correlate(scores, accuracies)[0]


def _remove(panels: list[Axes]) -> None:
    for axes in panels:
        axes.remove()


def _legend(figure: Figure, looks: dict[str, tuple[str, str]]) -> None:
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=name)
        for name, (colour, marker) in looks.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)))


def scatter(rows: Rows, metric: str, target: str) -> Figure:
    """Does a higher score go with a higher accuracy, and for which subset most clearly?

    One panel per variant, all with the same vertical axis: a score that predicts well puts the
    sources on a rising line. A symbol is a source, named by what tells it from its family;
    vertical bars are one standard deviation over the seeds, horizontal ones (random) over the
    draws; the panel's title has Pearson's r.
    """
    cells = _cells(rows, [metric], target)
    variants = ordered(cells["variant"])
    looks = _looks(list(cells["source"].unique()))
    columns = min(2, len(variants))
    lines = -(-len(variants) // columns)
    with new_figure(0.55 + 2.25 * lines) as figure:
        grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for axes, variant in zip(grid.flat, variants, strict=False):
            part = cells[cells["variant"] == variant]
            _points(axes, part, looks, text=True)
            axes.set_title(f"{labels.variant(variant)}, r = {number(_correlation(part), 2)}")
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.margins(0.14)
        _remove(list(grid.flat)[len(variants) :])
        figure.supxlabel(f"{labels.metric(metric)} on {labels.plain(target)}", fontsize=10)
        figure.supylabel("accuracy in %", fontsize=10)
        _legend(figure, looks)
    return figure


def scatter_grid(rows: Rows, metrics: Sequence[str], target: str) -> Figure:
    """How do all metrics do on one target?

    Metrics down, variants across; in each panel score (across) against accuracy (up), Pearson's
    r above it. Look for rows in which the points line up better towards the right, and whether
    the random control lines up as well.
    """
    cells = _cells(rows, metrics, target)
    variants = ordered(cells["variant"])
    looks = _looks(list(cells["source"].unique()))
    with new_figure(0.7 + 1.3 * len(metrics)) as figure:
        grid = figure.subplots(len(metrics), len(variants), sharey=True, squeeze=False)
        for line, metric in zip(grid, metrics, strict=True):
            for axes, variant in zip(line, variants, strict=True):
                part = cells[(cells["metric"] == metric) & (cells["variant"] == variant)]
                _points(axes, part, looks, text=False)
                head = f"{labels.variant(variant)}\n" if metric == metrics[0] else ""
                axes.set_title(f"{head}r = {number(_correlation(part), 2)}", fontsize=9)
                axes.set_xticks([])
                axes.margins(0.14)
            line[0].set_ylabel(labels.metric(metric), fontweight="bold")
        figure.supxlabel("score, each panel on its own scale", fontsize=9)
        figure.supylabel(f"accuracy on {labels.plain(target)} in %", fontsize=9)
        _legend(figure, looks)
    return figure


def forest(correlations: pd.DataFrame) -> Figure:
    """Which correlations can be told apart, and from zero?

    A panel per metric, a line per target, a dot per variant with its 95% interval. Where the
    intervals of a target overlap, as they do with few sources, the order of the dots is no
    finding.
    """
    metrics = list(correlations["metric"].unique())
    variants = ordered(correlations["variant"])
    name = correlations["suite"] + ": " if several(correlations["suite"]) else ""
    table = correlations.assign(name=name + correlations["target"].map(labels.plain))
    targets = list(table["name"].unique())
    columns = min(2, len(metrics))
    lines = -(-len(metrics) // columns)
    steps = (np.arange(len(variants)) - (len(variants) - 1) / 2) * 0.19
    with new_figure(0.8 + lines * (0.6 + 0.42 * len(targets))) as figure:
        grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for axes, metric in zip(grid.flat, metrics, strict=False):
            axes.axvline(0, color="#888888", linewidth=0.8)
            for step, variant in zip(steps, variants, strict=True):
                part = table[(table["metric"] == metric) & (table["variant"] == variant)]
                part = part[part["value"].notna()]
                colour, marker = VARIANT_LOOK.get(variant, ("#d55e00", "v"))
                places = [targets.index(one) + step for one in part["name"]]
                axes.hlines(places, part["low"], part["high"], color=colour, linewidth=1.2)
                axes.plot(part["value"], places, marker, color=colour, markersize=4)
            axes.set_title(labels.metric(metric))
            axes.set_yticks(range(len(targets)), targets)
            axes.set(xlim=(-1.05, 1.05), ylim=(len(targets) - 0.5, -0.5))
            axes.grid(visible=False, axis="y")
            for border in range(1, len(targets)):
                axes.axhline(border - 0.5, color="#e4e4e4", linewidth=0.7)
        _remove(list(grid.flat)[len(metrics) :])
        statistic = labels.STATISTICS[str(correlations["statistic"].iloc[0])]
        figure.supxlabel(f"{statistic}, 95% interval", fontsize=10)
        handles = [
            Line2D([], [], color=colour, marker=marker, label=labels.variant(variant))
            for variant in variants
            for colour, marker in [VARIANT_LOOK.get(variant, ("#d55e00", "v"))]
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _picture(axes: Axes, image: Any, below: str) -> None:
    pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise ValueError(f"an image has shape (h, w) or (h, w, 1, 3 or 4), got {pixels.shape}")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    top = 255 if pixels.dtype == np.uint8 else 1
    axes.imshow(pixels, vmin=0, vmax=top)
    axes.set_xlabel(below, fontsize=8, labelpad=2)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def gallery(
    images: Sequence[Sequence[Any]],
    titles: Sequence[str],
    hardness: Sequence[Sequence[float]],
    columns: int = 6,
) -> Figure:
    """What do hard and easy samples look like?

    One group of pictures per title, such as the hardest and the easiest, each with its hardness
    beneath. Compare the groups: what do the hard ones have that the easy ones lack?

    Args:
        images: per group, PIL images or arrays (h, w), (h, w, 1), (h, w, 3) or (h, w, 4): bytes,
            or floats in [0, 1].
        titles: the groups' titles.
        hardness: per group, the hardness of each image.
        columns: pictures in a line; a group breaks into as many lines as it needs.
    """
    sizes, values = [[len(group) for group in groups] for groups in (images, hardness)]
    if not (sizes == values and len(sizes) == len(titles) and sizes and min(sizes)):
        raise ValueError(
            "expected a title per group, and in every group images and as many hardness values; "
            f"got {len(titles)} titles, {sizes} images and {values} values"
        )
    heights = [-(-len(group) // columns) for group in images]
    size = WIDTH / columns
    with new_figure(sum(heights) * (size + 0.2) + 0.3 * len(images)) as figure:
        parts = figure.subfigures(len(images), 1, height_ratios=heights, squeeze=False)
        for part, group, title, hard in zip(parts[:, 0], images, titles, hardness, strict=True):
            _group(part, group, title, [f"{value:#.3g}" for value in hard], columns)
    return figure


def _group(
    part: SubFigure, group: Sequence[Any], title: str, below: Sequence[str], columns: int
) -> None:
    part.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    places = list(part.subplots(-(-len(group) // columns), columns, squeeze=False).flat)
    for axes, image, text in zip(places, group, below, strict=False):
        _picture(axes, image, text)
    _remove(places[len(group) :])


def _bars(axes: Axes, bins: pd.DataFrame) -> None:
    sources = list(bins["source"].unique())
    shifts = (np.arange(len(sources)) - (len(sources) - 1) / 2) * 0.09
    for i, (source, shift) in enumerate(zip(sources, shifts, strict=True)):
        part = bins[bins["source"] == source]
        middle = 100 * part["accuracy"].to_numpy()
        below, above = middle - 100 * part["low"], 100 * part["high"] - middle
        axes.errorbar(
            part["bin"] + shift,
            middle,
            yerr=[below.clip(lower=0), above.clip(lower=0)],
            marker=MARKERS[i % len(MARKERS)],
            linewidth=1.2,
            elinewidth=0.9,
            label=labels.source(source),
        )
    places = sorted(bins["bin"].unique())
    names = [f"B{place}" for place in places]
    names[0] += "\nhardest"
    names[-1] += "\neasiest"
    axes.set_xticks(places, names)
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.set_ylabel("accuracy")


def accuracy_by_hardness(bins: pd.DataFrame) -> Figure:
    """Are the samples that are called hard really the ones that the networks get wrong?

    Accuracy of the fine-tuned networks in bins of test samples from the hardest (B1) to the
    easiest, with 95% Wilson intervals (the paper's Fig. 1a). Lines that rise to the right say
    yes; a flat line says that this hardness is not the network's.

    Args:
        bins: what :func:`hastelib.report.hardness_bins` gives.
    """
    with new_figure(3.2) as figure:
        axes = figure.subplots()
        _bars(axes, bins)
        figure.legend(loc="outside upper center", ncols=3)
    return figure


def idea(hard: Sequence[Any], easy: Sequence[Any], bins: pd.DataFrame) -> Figure:
    """The idea in one figure: what is hard, and that it is there that networks differ.

    Left, the hardest and the easiest samples of a target; right, the accuracy of the fine-tuned
    sources from the hardest bin (B1) to the easiest.

    Args:
        hard: pictures of hard samples, shown three in a line.
        easy: pictures of easy ones.
        bins: what :func:`hastelib.report.hardness_bins` gives.
    """
    with new_figure(3.3) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=[1, 1.35], squeeze=False)[0]
        halves = left.subfigures(2, 1, squeeze=False)[:, 0]
        for half, images, title in zip(halves, (hard, easy), ("Hard", "Easy"), strict=True):
            _group(half, images, title, [""] * len(images), 3)
        axes = right.subplots()
        _bars(axes, bins)
        axes.legend(loc="lower right", fontsize=8)
    return figure
