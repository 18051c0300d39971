"""Figures of the book: seaborn and matplotlib in one style, each with a caption and a description.

Importing this module sets the style for every figure drawn after it.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from hastelib.analysis.tables import label

WIDTH = 7.0
"""The width of the page, in inches."""

LOOKS = {  # colour, marker
    "all": ("#333333", "o"),
    "random": ("#949494", "s"),
    "averaged": ("#949494", "X"),
    "ca": ("#de8f05", "D"),
    "dot": ("#d55e00", "v"),
    "cs": ("#0173b2", "^"),
    "static": ("#029e73", "P"),
}
"""One colour and marker for each variant, in every figure."""

mpl.style.use(Path(__file__).with_name("haste.mplstyle"))


def show(fig: Figure | sns.FacetGrid, caption: str, alt: str, name: str = "") -> None:
    """Put a figure into the notebook, with its caption.

    Args:
        fig: of matplotlib or seaborn.
        caption: says what to see, one or two sentences.
        alt: for who cannot see it: what kind of picture it is, and what there is to see.
        name: what the book calls it, such as ``Figure 5.1a``; also its anchor in the page.
    """
    from IPython.display import HTML, display  # belongs to the book's extra, not to the library

    figure = fig if isinstance(fig, Figure) else fig.figure
    display(HTML(html(figure, caption, alt, name)))
    plt.close(figure)  # else the notebook shows it again


def html(figure: Figure, caption: str, alt: str, name: str = "") -> str:
    """The figure as HTML: no script, no other file, never wider than the page."""
    if not (caption.strip() and alt.strip()):
        raise ValueError("a figure needs a caption that says what to see, and an alternative text")
    file = io.BytesIO()  # two pixels to one of the page, so that it is sharp on a dense screen
    figure.savefig(file, format="png", dpi=2 * figure.dpi, metadata={"Software": None})
    picture = base64.b64encode(file.getvalue()).decode()
    width = round(figure.get_figwidth() * figure.dpi)
    anchor = "-".join(name.lower().replace(".", " ").split())
    tag = f' id="{escape(anchor)}"' if name else ""
    head = f"<strong>{escape(name)}.</strong> " if name else ""
    return (
        f'<figure class="haste-figure"{tag}><img src="data:image/png;base64,{picture}" '
        f'alt="{escape(alt)}" style="width:{width}px;max-width:100%;height:auto">'
        f"<figcaption>{head}{escape(caption)}</figcaption></figure>"
    )


def forest(
    summary: pd.DataFrame, rows: str = "target", xlabel: str = "Pearson’s r, 95% interval"
) -> Figure:
    """Values with their intervals: a panel a metric, a line a target, a mark a variant.

    ``summary`` is by metric, variant and ``rows``, the level that goes down.
    """
    table = summary.reset_index().dropna(subset="value")
    if table.empty:
        fig, ax = plt.subplots(figsize=(WIDTH, 0.6))
        ax.text(0.5, 0.5, "no value", ha="center")
        ax.set_axis_off()
        return fig
    metrics, names, variants = (list(dict.fromkeys(table[n])) for n in ("metric", rows, "variant"))
    columns = min(4, len(metrics))
    lines = -(-len(metrics) // columns)
    size = (WIDTH, 0.8 + lines * (0.4 + len(names) * (0.12 + 0.075 * len(variants))))
    fig, axes = plt.subplots(lines, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    spread = min(0.36, 0.12 * (len(variants) - 1))
    offsets = dict(zip(variants, np.linspace(-spread, spread, len(variants)), strict=True))
    for ax in axes.flat[len(metrics) :]:
        ax.remove()
    for metric, ax in zip(metrics, axes.flat, strict=False):
        for variant, part in table[table["metric"] == metric].groupby("variant", sort=False):
            colour, marker = LOOKS.get(str(variant), ("#cc78bc", "X"))
            heights = [names.index(row) + offsets[variant] for row in part[rows]]
            ax.hlines(heights, part["low"], part["high"], color=colour, linewidth=1.2)
            entry = label(variant) if metric == metrics[0] else None
            ax.plot(part["value"], heights, marker, color=colour, markersize=3.5, label=entry)
        ax.axvline(0, color="#888888", linewidth=0.8)
        ax.set_title(label(metric))
        ax.set_yticks(range(len(names)), [label(name) for name in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(visible=False, axis="y")
        for border in range(1, len(names)):
            ax.axhline(border - 0.5, color="#e4e4e4", linewidth=0.7)
    fig.supxlabel(xlabel, fontsize=10)
    fig.legend(loc="outside upper center", ncols=len(variants))
    return fig


def gallery(groups: Mapping[str, tuple[Sequence[Any], Sequence[str]]], height: float) -> Figure:
    """A row of pictures, ``height`` inches high, for each title -> (PIL images, their texts)."""
    figure = plt.figure(figsize=(WIDTH, height * len(groups)))
    parts = figure.subfigures(len(groups), squeeze=False)[:, 0]
    for part, (title, (images, texts)) in zip(parts, groups.items(), strict=True):
        part.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        axes = part.subplots(1, len(images), squeeze=False)[0]
        for ax, image, text in zip(axes, images, texts, strict=True):
            ax.imshow(image.convert("RGB"))
            ax.set_xlabel(text, fontsize=8, labelpad=2)
            ax.set(xticks=[], yticks=[])
            ax.grid(visible=False)
            ax.spines[:].set_visible(False)
    return figure
