"""LEEP between its bounds, drawn."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hastelib.figures.draw import new_figure
from hastelib.report import labels
from hastelib.report.comparison import ordered
from hastelib.report.tables import number

LOOKS = {  # colour, marker, size
    "soft": ("#029e73", "|", 11),
    "counts": ("#d55e00", "x", 6),
    "leep": ("#0173b2", "o", 6),
    "penalised": ("#ca9161", "s", 5),
    "mixture": ("#cc78bc", "|", 11),
}
NAMES = {
    "soft": "lower bound, soft joint",
    "counts": "lower bound as printed, hard counts",
    "leep": "LEEP",
    "penalised": "linear head, penalised",
    "mixture": "upper bound, mixture heads",
}


def sandwich(cells: pd.DataFrame) -> Figure:
    """Does LEEP lie between its bounds, for every source and on every subset?

    A panel per subset, sources down, nats across: a grey line from the soft lower bound to the
    upper bound over mixture heads (both proved) with LEEP on it; a cross is the lower bound as
    the paper prints it, a square a penalised linear head. A cross right of the dot, or a square
    left of it, is a violation (the paper's Fig. 3).

    Args:
        cells: what :func:`hastelib.report.bounds.sandwich` gives, of one target.
    """
    variants, sources = ordered(cells["variant"]), list(cells["source"].unique())
    columns = min(2, len(variants))
    lines = -(-len(variants) // columns)
    with new_figure(0.9 + lines * (0.5 + 0.24 * len(sources))) as figure:
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes, variant in zip(grid.flat, variants, strict=False):
            part = cells[cells["variant"] == variant].set_index("source").loc[sources]
            places = range(len(sources))
            axes.hlines(places, part["soft"], part["mixture"], color="#949494", linewidth=1.2)
            for name, (colour, marker, size) in LOOKS.items():
                axes.plot(part[name], places, marker, color=colour, markersize=size)
            axes.set_title(f"{labels.variant(variant)}, n = {int(part['samples'].iloc[0])}")
            axes.set_yticks(places, [labels.source(name) for name in sources])
            axes.set_ylim(len(sources) - 0.5, -0.5)
            axes.grid(visible=False, axis="y")
        for axes in list(grid.flat)[len(variants) :]:
            axes.remove()
        figure.supxlabel("nats per sample", fontsize=10)
        handles = [
            Line2D([], [], color=colour, marker=marker, linestyle="", label=NAMES[name])
            for name, (colour, marker, _) in LOOKS.items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def sandwich_alt(cells: pd.DataFrame) -> str:
    """The alternative text of :func:`sandwich`."""
    parts = []
    for variant in ordered(cells["variant"]):
        part = cells[cells["variant"] == variant]
        means = ", ".join(f"{NAMES[name]} {number(part[name].mean(), 2)}" for name in LOOKS)
        broken = int((part["counts"] > part["leep"]).sum())
        parts.append(
            f"{labels.variant(variant)}: {means}; the printed lower bound exceeds LEEP for "
            f"{broken} of {len(part)} sources"
        )
    return f"LEEP and its bounds by source, a panel per subset. Means in nats. {'. '.join(parts)}."
