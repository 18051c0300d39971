"""Hardness, drawn: accuracy by hardness, cost, the spread of distances, maps of subsets."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator, PercentFormatter

from hastelib.figures.draw import MARKERS, VARIANT_LOOK, new_figure
from hastelib.report import labels
from hastelib.report.hard_entangled import Map
from hastelib.report.tables import number

Bins = Mapping[tuple[str, str], pd.DataFrame]
ROUTES = {"matrix": ("#d55e00", "s"), "signature": ("#0173b2", "o")}


def _bin_axis(axes: Axes, count: int) -> None:
    places = range(1, count + 1)
    axes.set_xticks(places, [f"B{place}" for place in places])
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def bins_by_kind(bins: Bins, target: str) -> Figure:
    """Figure 1a for both kinds: are the samples that are called hard classified worse?

    A panel per kind of hardness, a line per source from the hardest fifth (B1) to the easiest,
    with 95% intervals. The paper's claim is a rising line.

    Args:
        bins: by target and variant, what :func:`hastelib.report.hardness_bins` gives.
        target: the one to draw.
    """
    variants = [variant for name, variant in bins if name == target]
    with new_figure(2.9) as figure:
        grid = figure.subplots(1, len(variants), sharey=True, squeeze=False)
        for axes, variant in zip(grid.flat, variants, strict=True):
            table = bins[target, variant]
            for i, (source, part) in enumerate(table.groupby("source", sort=False)):
                middle = 100 * part["accuracy"].to_numpy()
                ends = middle - 100 * part["low"], 100 * part["high"] - middle
                axes.errorbar(
                    part["bin"] + 0.08 * (i - 0.5),
                    middle,
                    yerr=[end.clip(lower=0) for end in ends],
                    marker=MARKERS[i % len(MARKERS)],
                    linewidth=1.2,
                    elinewidth=0.9,
                    label=labels.source(str(source)),
                )
            axes.set_title(labels.variant(variant))
            _bin_axis(axes, int(table["bin"].max()))
        grid[0, 0].set_ylabel("accuracy")
        figure.supxlabel("fifth of the test split, from the hardest", fontsize=10)
        handles = grid[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=3)
    return figure


def bins_by_target(bins: Bins) -> Figure:
    """Does accuracy rise from hard to easy on every target, for every source?

    A panel per target: thin lines are sources, thick ones their mean, orange with CA, blue with CS.

    Args:
        bins: by target and variant, what :func:`hastelib.report.hardness_bins` gives.
    """
    targets = list(dict.fromkeys(target for target, _ in bins))
    lines = -(-len(targets) // 2)
    with new_figure(0.8 + 1.55 * lines) as figure:
        grid = figure.subplots(lines, 2, sharex=True, sharey=True, squeeze=False)
        for axes, target in zip(grid.flat, targets, strict=False):
            for variant in (v for t, v in bins if t == target):
                colour, marker = VARIANT_LOOK[variant]
                table = bins[target, variant]
                wide = 100 * table.pivot(  # noqa: PD010
                    index="bin", columns="source", values="accuracy"
                )
                axes.plot(wide.index, wide, color=colour, linewidth=0.6, alpha=0.4)
                axes.plot(wide.index, wide.mean(axis=1), color=colour, marker=marker)
                _bin_axis(axes, int(table["bin"].max()))
            axes.set_title(labels.plain(target))
        for axes in list(grid.flat)[len(targets) :]:
            axes.remove()
        figure.supxlabel("fifth of the test split, from the hardest", fontsize=10)
        figure.supylabel("accuracy", fontsize=10)
        handles = [
            Line2D([], [], color=colour, marker=marker, label=labels.variant(variant))
            for variant in dict.fromkeys(v for _, v in bins)
            for colour, marker in [VARIANT_LOOK[variant]]
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def bins_alt(bins: Bins, target: str = "") -> str:
    """The alternative text of :func:`bins_by_kind` (one target) and :func:`bins_by_target`."""
    parts = []
    for (name, variant), table in bins.items():
        if target and name != target:
            continue
        sums = table.groupby("bin")[["correct", "total"]].sum()
        shares = 100 * (sums["correct"] / sums["total"]).to_numpy()
        parts.append(
            f"{labels.plain(name)}, {labels.variant(variant)}: {number(shares[0], 0)} to "
            f"{number(shares[-1], 0)}%"
        )
    count = next(iter(bins.values()))["source"].nunique()
    return (
        f"Accuracy of {count} fine-tuned networks from the hardest fifth of the test split to the "
        f"easiest, all together: {'; '.join(parts)}."
    )


def growth(grown: pd.DataFrame) -> Figure:
    """How do time and memory grow with the source and the target data?

    Log-log: a straight line is a power, its slope the exponent. Time while M, N or both grow,
    and bytes kept while both grow.

    Args:
        grown: what :func:`hastelib.report.hard_costs.growth` gives.
    """
    panels = [(grows, "seconds") for grows in grown["grows"].unique()] + [("M = N", "bytes")]
    with new_figure(4.6) as figure:
        grid = figure.subplots(-(-len(panels) // 2), 2, squeeze=False)
        for axes, (grows, column) in zip(grid.flat, panels, strict=False):
            part = grown[grown["grows"] == grows]
            for route, (colour, marker) in ROUTES.items():
                line = part[part["route"] == route]
                axes.loglog(line["size"], line[column], color=colour, marker=marker)
            axes.set_title(f"{column} as {grows} grows" if grows != "M = N" else f"{column}, M = N")
            sizes = sorted(part["size"].unique())
            axes.set_xticks(sizes[::2], [f"{size:,}" for size in sizes[::2]])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_minor_formatter(NullFormatter())
        figure.supxlabel("samples", fontsize=10)
        handles = [
            Line2D([], [], color=colour, marker=marker, label=f"by the {route}")
            for route, (colour, marker) in ROUTES.items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def growth_alt(grown: pd.DataFrame) -> str:
    """The alternative text of :func:`growth`."""
    parts = []
    for (grows, route), part in grown.groupby(["grows", "route"], sort=False):
        ends = part.sort_values("size").iloc[[0, -1]]
        sizes, times, bytes_ = (ends[name].to_list() for name in ("size", "seconds", "bytes"))
        parts.append(
            f"{grows} from {sizes[0]:,} to {sizes[1]:,}, {route}: {1e3 * times[0]:.2g} to "
            f"{1e3 * times[1]:.2g} ms, {bytes_[0]:,} to {bytes_[1]:,} bytes"
        )
    return f"Log-log plots of time and memory against the number of samples. {'; '.join(parts)}."


def spread(spreads: pd.DataFrame) -> Figure:
    """How much do the distances of a class differ, by its size?

    Dots: the relative spread of the squared distances, simulated; line: predicted. Up to d + 1
    samples there is none; the dashed line is what it tends to.

    Args:
        spreads: what :func:`hastelib.report.hard_specific.spread` gives, of one width.
    """
    d = int(spreads["d"].iloc[0])
    with new_figure(2.9) as figure:
        axes = figure.subplots()
        axes.axvspan(spreads["size"].min() * 0.85, d + 1, color="#d55e00", alpha=0.12, linewidth=0)
        axes.axhline(np.sqrt(2 / d), color="#888888", linestyle="--", linewidth=1)
        axes.plot(spreads["size"], spreads["predicted"], color="#949494", label="predicted")
        axes.plot(spreads["size"], spreads["measured"], "o", color="#0173b2", label="simulated")
        axes.set_xscale("log", base=2)
        sizes = [size for size in spreads["size"] if size & (size - 1) == 0]
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_xlim(spreads["size"].min() * 0.85)
        axes.set_ylim(bottom=-0.01)
        axes.set_xlabel(f"samples of the class (d = {d}; shaded: at most d + 1)")
        axes.set_ylabel("spread of H² / mean")
        axes.legend(loc="lower right")
    return figure


def spread_alt(spreads: pd.DataFrame) -> str:
    """The alternative text of :func:`spread`."""
    listed = ", ".join(
        f"{line['size']:.0f}: {number(abs(line['measured']))} ({number(line['predicted'])})"
        for _, line in spreads.iterrows()
    )
    return (
        "Relative spread of the squared Mahalanobis distances of a class against its size for "
        f"d = {int(spreads['d'].iloc[0])}, simulated (predicted): {listed}."
    )


def maps(found: Map) -> Figure:
    """Are the classes of the hard subset more entangled than those of the whole set?

    One t-SNE, a panel per subset of the same points: those of the subset in the colour of their
    class, the rest in grey.

    Args:
        found: what :func:`hastelib.report.hard_entangled.tsne` gives.
    """
    names = list(dict.fromkeys(sorted(found.classes)))
    classes = np.array(found.classes)
    lines = -(-len(found.members) // 2)
    with new_figure(0.6 + 2.1 * lines) as figure:
        colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
        grid = figure.subplots(lines, 2, sharex=True, sharey=True, squeeze=False)
        for axes, (variant, inside) in zip(grid.flat, found.members.items(), strict=False):
            axes.plot(*found.points[~inside].T, ".", color="#d9d9d9", markersize=3)
            for i, name in enumerate(names):
                axes.plot(
                    *found.points[inside & (classes == name)].T,
                    MARKERS[i % len(MARKERS)],
                    markersize=4.5,
                    color=colours[i % len(colours)],
                    label=name,
                )
            title = "Whole set" if variant == "all" else labels.variant(variant)
            axes.set_title(f"{title}, n = {int(inside.sum())}")
            axes.set(xticks=[], yticks=[])
        for axes in list(grid.flat)[len(found.members) :]:
            axes.remove()
        handles = grid[0, 0].get_legend_handles_labels()
        columns = len(names) if max(map(len, names)) < 4 else 3
        figure.legend(*handles, loc="outside upper center", ncols=columns)
    return figure


def maps_alt(found: Map) -> str:
    """The alternative text of :func:`maps`."""
    names = sorted(set(found.classes))
    counts = ", ".join(
        f"{labels.variant(variant)} {int(inside.sum())}"
        for variant, inside in found.members.items()
    )
    return (
        f"t-SNE maps of the classes {', '.join(names)}, a panel per subset of the same "
        f"{len(found.classes)} points, with so many points in colour: {counts}."
    )
