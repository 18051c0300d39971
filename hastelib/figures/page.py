"""A figure in a notebook page: the picture inside it, a caption, text for those who do not see."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

import matplotlib as mpl
import matplotlib.style
from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("haste.mplstyle")
DENSITY = 2
"""Pixels of the picture to one of the page, so that it is sharp on a dense screen."""


def show(figure: Figure, caption: str, alt: str, name: str = "") -> None:
    """Put a figure into the notebook, with a caption that says what to see.

    Args:
        figure: any matplotlib figure.
        caption: what to see, plain text.
        alt: what the figure shows; see :func:`hastelib.figures.alt`.
        name: what the book calls it, such as ``Figure 5.1a``; also its anchor in the page.
    """
    from IPython.display import HTML, display  # belongs to the book's extra, not to the library

    display(HTML(html(figure, caption, alt, name)))


def html(figure: Figure, caption: str, alt: str, name: str = "") -> str:
    """The figure as HTML: no script, no other file, never wider than the page."""
    if not (caption.strip() and alt.strip()):
        raise ValueError("a figure needs a caption that says what to see, and an alternative text")
    file = io.BytesIO()
    with mpl.style.context(STYLE):
        figure.savefig(file, format="png", dpi=DENSITY * figure.dpi)
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
