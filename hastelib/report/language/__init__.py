"""Section 5.5: target selection with texts, the paper's Table 5.

As in :mod:`hastelib.report.selection` the units are subsets of a target, ``tweets#3``. What is new:
the pairs of source and target are Table 5's four, a row each; and a target of two classes has no
class subsets, so its subsets are random parts of its train samples.
"""

from hastelib.report.language.pairs import (
    UNITS,
    about,
    by_pair,
    counting,
    described,
    of_classes,
    pair,
    sources,
    tables,
    tasks,
)
from hastelib.report.language.texts import (
    Extreme,
    example,
    extreme_words,
    extremes,
    extremes_html,
    padding,
)
from hastelib.report.language.words import findings, headline, headline_words, overlap_words

__all__ = [
    "UNITS",
    "Extreme",
    "about",
    "by_pair",
    "counting",
    "described",
    "example",
    "extreme_words",
    "extremes",
    "extremes_html",
    "findings",
    "headline",
    "headline_words",
    "of_classes",
    "overlap_words",
    "padding",
    "pair",
    "sources",
    "tables",
    "tasks",
]
