"""Figures of the book: seaborn and matplotlib in one style, each with a caption and a description.

Importing this module sets the style for every figure drawn after it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from PIL import Image

from hastelib.analysis.tables import label

STYLE = Path(__file__).with_name("haste.mplstyle")
WIDTH = 7.0
"""Inches: a figure as wide as the page."""
DENSITY = 2
"""Pixels of the picture to one of the page, so that it is sharp on a dense screen."""

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

PALETTE = {name: colour for name, (colour, _) in LOOKS.items()}
MARKERS = {name: marker for name, (_, marker) in LOOKS.items()}

mpl.style.use(STYLE)


def show(fig: Figure | sns.FacetGrid, caption: str, alt: str, name: str = "") -> None:
    """Put a figure into the notebook, with its caption.

    Args:
        fig: a figure of matplotlib, or a grid of seaborn.
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
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DENSITY * figure.dpi, metadata={"Software": None})
    picture = base64.b64encode(file.getvalue()).decode()
    width = round(figure.get_figwidth() * figure.dpi)
    anchor = escape("-".join(name.lower().replace(".", " ").split()))
    tag = f' id="{anchor}"' if anchor else ""
    head = f"<strong>{escape(name)}.</strong> " if name else ""
    return (
        f'<figure class="haste-figure"{tag}><img src="data:image/png;base64,{picture}" '
        f'alt="{escape(alt)}" style="width:{width}px;max-width:100%;height:auto">'
        f"<figcaption>{head}{escape(caption)}</figcaption></figure>"
    )


def legend_below(grid: sns.FacetGrid, columns: int = 4) -> None:
    """Put the legend of a seaborn grid below its panels, which then share the whole width."""
    legend, figure = grid.legend, grid.figure
    names = [text.get_text() for text in legend.texts]
    handles = legend.legend_handles
    legend.remove()
    figure.set_layout_engine("constrained")
    figure.legend(handles, names, loc="outside lower center", ncols=columns)


def forest(
    summary: pd.DataFrame,
    rows: str = "target",
    panels: str = "metric",
    variant: str = "variant",
    xlabel: str = "Pearson’s r, 95% interval",
    columns: int = 4,
) -> Figure:
    """Values with their intervals: a panel a metric, a line a target, a mark a variant.

    Args:
        summary: what :func:`hastelib.analysis.summary` gives, with these levels in its index.
        rows: level that goes down.
        panels: level that makes the panels.
        variant: level that has a colour and marker each (:data:`LOOKS`).
        xlabel: below the figure.
        columns: panels side by side.
    """
    table = summary.reset_index().dropna(subset="value")
    if table.empty:
        fig, ax = plt.subplots(figsize=(WIDTH, 0.6))
        ax.text(0.5, 0.5, "no value", ha="center")
        ax.set_axis_off()
        return fig
    heads, names, marks = (list(dict.fromkeys(table[n])) for n in (panels, rows, variant))
    columns = min(columns, len(heads))
    lines = -(-len(heads) // columns)
    size = (WIDTH, 0.8 + lines * (0.4 + len(names) * (0.12 + 0.075 * len(marks))))
    fig, axes = plt.subplots(lines, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    steps = dict(zip(marks, np.linspace(-0.36, 0.36, len(marks)), strict=True))
    for place, ax in enumerate(axes.flat):
        if place >= len(heads):
            ax.remove()
            continue
        for name, part in table[table[panels] == heads[place]].groupby(variant, sort=False):
            colour, marker = LOOKS.get(str(name), ("#cc78bc", "X"))
            heights = [names.index(one) + steps[name] for one in part[rows]]
            ax.hlines(heights, part["low"], part["high"], color=colour, linewidth=1.2)
            told = label(name) if place == 0 else None
            ax.plot(part["value"], heights, marker, color=colour, markersize=3.5, label=told)
        ax.axvline(0, color="#888888", linewidth=0.8)
        ax.set_title(label(heads[place]))
        ax.set_yticks(range(len(names)), [label(name) for name in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(visible=False, axis="y")
        for border in range(1, len(names)):
            ax.axhline(border - 0.5, color="#e4e4e4", linewidth=0.7)
    fig.supxlabel(xlabel, fontsize=10)
    fig.legend(loc="outside upper center", ncols=len(marks))
    return fig


def gallery(groups: dict[str, tuple[Sequence[Any], Sequence[str]]], columns: int = 12) -> Figure:
    """Groups of pictures, such as the hardest and the easiest, each picture with a text below.

    Args:
        groups: title -> (pictures, texts); pictures are PIL images or arrays (h, w) or (h, w, 3),
            bytes or floats in [0, 1].
        columns: pictures in a line; a group breaks into as many lines as it needs.
    """
    for title, (images, texts) in groups.items():
        if len(images) != len(texts) or not len(images):
            raise ValueError(
                f"{title}: expected pictures and as many texts, got {len(images)} and {len(texts)}"
            )
    heights = [-(-len(images) // columns) for images, _ in groups.values()]
    size = WIDTH / columns
    figure = plt.figure(figsize=(WIDTH, sum(heights) * (size + 0.2) + 0.27 * len(groups)))
    parts = figure.subfigures(len(groups), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, height, (title, (images, texts)) in zip(parts, heights, groups.items(), strict=True):
        part.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        for place, ax in enumerate(part.subplots(height, columns, squeeze=False).flat):
            if place >= len(images):
                ax.remove()
                continue
            picture = images[place]
            pixels = np.asarray(
                picture.convert("RGB") if isinstance(picture, Image.Image) else picture
            )
            ax.imshow(pixels, vmin=0, vmax=255 if pixels.dtype == np.uint8 else 1)
            ax.set_xlabel(texts[place], fontsize=8, labelpad=2)
            ax.set(xticks=[], yticks=[])
            ax.grid(visible=False)
            ax.spines[:].set_visible(False)
    return figure
