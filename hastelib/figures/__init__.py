"""Figures in one style, each answering one question.

A function takes rows or tables of :mod:`hastelib.report` and gives a matplotlib figure that is
bound to no window; :func:`show` puts it into a notebook with a caption and alternative text, the
picture inside the page, without a script. :func:`alt` writes that text from the same arguments.
"""

from hastelib.figures.draw import (
    accuracy_by_hardness,
    forest,
    gallery,
    idea,
    scatter,
    scatter_grid,
    use_style,
)
from hastelib.figures.page import show
from hastelib.figures.text import alt

__all__ = [
    "accuracy_by_hardness",
    "alt",
    "forest",
    "gallery",
    "idea",
    "scatter",
    "scatter_grid",
    "show",
    "use_style",
]
