"""What scores cost, the images at both ends of hardness, and one ranker against another, drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from hastelib.experiments import HARD
from hastelib.figures.draw import VARIANT_LOOK, WIDTH, new_figure
from hastelib.report import labels
from hastelib.report.comparison import MEAN
from hastelib.report.cost import PAPER, Measured, called, share
from hastelib.report.gallery import ENDS, Grids
from hastelib.report.rankers import names_of
from hastelib.report.tables import number

KINDS = {"shared": ("#333333", "o"), "metric": ("#0173b2", "s"), "hardness": ("#de8f05", "D")}
ON_PAPER = {"cs": "cs", "matrix": "ca"}
"""Part -> the paper's number of the same thing, as far as it has one."""


def _kind(part: str) -> str:
    if part in ("extraction", "forward"):
        return "shared"
    return "hardness" if part in ("ca", "cs", "source", "matrix") else "metric"


def costs(measured: Measured) -> Figure:
    """What is dear? Every part as a share of the extraction, on a logarithmic axis.

    Points are medians, bars the quartiles; hollow points are the paper's CA and CS, over its LEEP
    with extraction. All left of 100% is cheaper than the forward pass that everything needs.

    Args:
        measured: what :func:`hastelib.report.cost.measure` gives.
    """
    found = measured.summary()
    base = found.loc["extraction", "seconds"]
    with new_figure(0.9 + 0.26 * len(found)) as figure:
        axes = figure.subplots()
        for place, (part, line) in enumerate(found.iterrows()):
            colour, marker = KINDS[_kind(str(part))]
            axes.hlines(place, line["low"] / base, line["high"] / base, color=colour)
            axes.plot(line["share"], place, marker, color=colour)
            if str(part) in ON_PAPER:
                printed = PAPER[ON_PAPER[str(part)]] / PAPER["leep"]
                axes.plot(printed, place, marker, color=colour, markerfacecolor="white")
        axes.axvline(1, color="#888888", linewidth=0.8)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
        axes.set_yticks(range(len(found)), [called(str(part)) for part in found.index])
        axes.set(ylim=(len(found) - 0.5, -0.5), xlabel="time, of the extraction")
        names = {"shared": "shared", "metric": "metrics", "hardness": "hardness"}
        handles = [
            Line2D([], [], color=colour, marker=marker, linestyle="", label=names[kind])
            for kind, (colour, marker) in KINDS.items()
        ]
        colour, marker = KINDS["hardness"]
        hollow = Line2D([], [], color=colour, marker=marker, linestyle="", label="the paper’s")
        hollow.set_markerfacecolor("white")
        handles.append(hollow)
        figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure


def costs_alt(measured: Measured) -> str:
    """The alternative text of :func:`costs`."""
    found = measured.summary()
    parts = [f"{called(str(part))} {share(value)}" for part, value in found["share"].items()]
    paper = [
        f"{called(part)} {share(PAPER[key] / PAPER['leep'])}" for part, key in ON_PAPER.items()
    ]
    return (
        f"Times as shares of the extraction, on a logarithmic axis: {', '.join(parts)}. The "
        f"paper’s: {', '.join(paper)}."
    )


def grids(shown: Grids, columns: int = 5) -> Figure:
    """What do the easiest and the hardest images look like, side by side as in the paper?

    Class-agnostic hardness above, class-specific below; the easiest left, the hardest right, the
    most extreme first.

    Args:
        shown: what :func:`hastelib.report.gallery.grids` gives.
        columns: images in a line of a grid.
    """
    variants = [name for name in HARD if (name, ENDS[0]) in shown.images]
    count = len(shown.images[variants[0], ENDS[0]])
    lines = -(-count // columns)
    size = WIDTH / (2 * columns + 0.5)
    with new_figure(len(variants) * (lines * size + 0.34)) as figure:
        parts = figure.subfigures(len(variants), 2, squeeze=False, wspace=0.03)
        for variant, halves in zip(variants, parts, strict=True):
            for end, part in zip(ENDS, halves, strict=True):
                title = f"{labels.variant(variant)}, {end}"
                part.suptitle(title, x=0.02, ha="left", fontsize=10, fontweight="bold")
                places = part.subplots(
                    lines, columns, squeeze=False, gridspec_kw={"wspace": 0, "hspace": 0}
                )
                for axes in places.flat:
                    axes.set_axis_off()
                for axes, image in zip(places.flat, shown.images[variant, end], strict=False):
                    axes.imshow(np.asarray(image.convert("RGB")))
                part.get_layout_engine().set(w_pad=0.01, h_pad=0.01)
    return figure


def grids_alt(shown: Grids) -> str:
    """The alternative text of :func:`grids`."""
    groups = [
        f"{len(values)} {end} by {labels.variant(variant)}, hardness {min(values):.3g} to "
        f"{max(values):.3g}"
        for (variant, end), values in shown.hardness.items()
    ]
    return f"Grids of images of {labels.plain(shown.target)}: {'; '.join(groups)}."


def by_ranker(found: pd.DataFrame) -> Figure:
    """Does it matter which network ranks? Correlations by ranker, a panel per metric.

    Points are CA and CS, each ranker a line down; the dark line is the baseline, the grey one the
    random control. The paper's claim is that all points lie right of the dark line.

    Args:
        found: what :func:`hastelib.report.rankers.by_ranker` gives; the means over the targets
            are drawn, or the only target.
    """
    table = found[found["target"] == MEAN] if (found["target"] == MEAN).any() else found
    metrics = list(table["metric"].unique())
    rankers = list(dict.fromkeys(name for name in table["ranker"] if name))
    with new_figure(1.0 + 0.24 * len(rankers)) as figure:
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            part = table[table["metric"] == metric]
            for name in ("random", "all"):
                value = part.loc[part["variant"] == name, "value"].iloc[0]
                axes.axvline(value, color=VARIANT_LOOK[name][0], linewidth=1.4)
            for variant in HARD:
                colour, marker = VARIANT_LOOK[variant]
                line = part[part["variant"] == variant].set_index("ranker")["value"]
                axes.plot(line[rankers], range(len(rankers)), marker, color=colour)
            axes.set_title(labels.metric(str(metric)))
            axes.set_ylim(len(rankers) - 0.5, -0.5)
        panels[0].set_yticks(range(len(rankers)), list(names_of(rankers).values()))
        figure.supxlabel("correlation, mean over the targets", fontsize=10)
        handles = [
            Line2D([], [], color=VARIANT_LOOK[v][0], label=labels.variant(v))
            for v in ("all", "random")
        ]
        handles += [
            Line2D([], [], color=c, marker=m, linestyle="", label=labels.variant(v))
            for v in HARD
            for c, m in [VARIANT_LOOK[v]]
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure


def by_ranker_alt(found: pd.DataFrame) -> str:
    """The alternative text of :func:`by_ranker`."""
    table = found[found["target"] == MEAN] if (found["target"] == MEAN).any() else found
    parts = []
    for metric, part in table.groupby("metric", sort=False):
        values = part.groupby("variant", sort=False)["value"]
        ends = [
            f"{labels.variant(v)} {number(values.min()[v], 2)} to {number(values.max()[v], 2)}"
            for v in HARD
        ]
        bases = [f"{labels.variant(v)} {number(values.mean()[v], 2)}" for v in ("all", "random")]
        parts.append(f"{labels.metric(str(metric))}: {', '.join([*bases, *ends])}")
    count = table.loc[table["ranker"] != "", "ranker"].nunique()
    return f"Correlations with each of {count} rankers. {'; '.join(parts)}."


def overlap(found: pd.DataFrame) -> Figure:
    """Do networks agree on what is hard? The share of the union that two hard subsets have.

    A panel per kind of hardness, rankers down and across. Dark: the same samples.

    Args:
        found: what :func:`hastelib.report.rankers.overlaps` gives.
    """
    names = names_of(list(found["first"].unique()))
    with new_figure(3.1) as figure:
        panels = figure.subplots(1, found["variant"].nunique(), sharey=True, squeeze=False)[0]
        for axes, (variant, part) in zip(panels, found.groupby("variant", sort=False), strict=True):
            wide = part.pivot(  # noqa: PD010
                index="first", columns="second", values="jaccard"
            ).loc[list(names), list(names)]
            axes.imshow(wide, vmin=0, vmax=1, cmap="Blues")
            for row, column in np.ndindex(wide.shape):
                value = float(wide.to_numpy()[row, column])
                if row != column:
                    colour = "white" if value > 0.6 else "#222222"
                    text = f"{value:.2f}".lstrip("0")
                    axes.text(
                        column, row, text, ha="center", va="center", fontsize=7.5, color=colour
                    )
            axes.set_title(labels.variant(str(variant)))
            axes.set_xticks(range(len(names)), list(names.values()), rotation=90)
            axes.set_yticks(range(len(names)), list(names.values()))
            axes.grid(visible=False)
    return figure


def overlap_alt(found: pd.DataFrame) -> str:
    """The alternative text of :func:`overlap`."""
    others = found[found["first"] != found["second"]]
    parts = []
    for variant, part in others.groupby("variant", sort=False):
        values = part["jaccard"]
        parts.append(
            f"{labels.variant(str(variant))} {number(values.min(), 2)} to "
            f"{number(values.max(), 2)}, mean {number(values.mean(), 2)}"
        )
    return (
        f"Share of the union that the hard subsets of {found['first'].nunique()} rankers have in "
        f"common, pair by pair: {'; '.join(parts)}."
    )
