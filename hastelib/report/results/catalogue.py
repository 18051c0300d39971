"""The paper's thirteen tables: what each is about, and which section's rows measure it here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from hastelib.report import labels
from hastelib.report.paper import paper_numbers
from hastelib.report.results import lines

BASIC = ("leep", "nce", "gbc")
POOLED = ("ms_leep", "e_leep")


@dataclass(frozen=True)
class Entry:
    """One table of the paper.

    Attributes:
        number: its number.
        title: what it is about.
        page: the notebook that measures it here.
        files: notebooks whose CSV holds its rows; the first one that is there is read.
        metrics: of its columns.
        units: what is correlated over, in the plural.
        lines: rows of such a CSV -> correlations, in the columns of ``lines.py``.
        repeats: the table whose experiment it looks at again; 0 for an experiment of its own.
    """

    number: int
    title: str
    page: str
    files: tuple[str, ...]
    metrics: tuple[str, ...]
    units: str
    lines: Callable[[pd.DataFrame], pd.DataFrame]
    repeats: int = 0

    @property
    def printed(self) -> pd.DataFrame:
        """The paper's numbers, in the columns of ``lines.py``."""
        numbers = paper_numbers(self.number)
        if self.metrics == ("logme",):  # Table 13 is headed LEEP in print
            numbers = numbers.assign(metric="logme")
        return numbers.assign(suite="paper", n=float("nan"))[[*lines.COLUMNS]]

    @property
    def heading(self) -> str:
        """``Table 1, source selection``."""
        return f"Table {self.number}, {self.title}"


def _sources(
    number: int,
    title: str,
    files: tuple[str, ...],
    metrics: tuple[str, ...],
    statistic: str = "pearson",
    repeats: int = 0,
) -> Entry:
    made = partial(lines.over_sources, metrics=metrics, statistic=statistic)
    return Entry(number, title, files[0], files, metrics, "sources", made, repeats)


def _subsets(
    number: int, title: str, files: tuple[str, ...], metrics: tuple[str, ...], place: int | None
) -> Entry:
    made = partial(lines.over_subsets, metrics=metrics, place=place)
    return Entry(number, title, files[0], files, metrics, "subsets", made)


def _pool(number: int, size: int) -> Entry:
    made = partial(lines.over_ensembles, size=size)
    page = "5_4_ensemble"
    return Entry(number, f"ensembles of {size}", page, (page,), POOLED, "ensembles", made)


CORRELATIONS = ("A_6_correlations", "5_1_source")
"""The latter has the same rows, as it has LogME's of source selection."""

CATALOGUE = (
    _sources(1, "source selection", ("5_1_source",), BASIC),
    _subsets(2, "target selection, first source", ("5_2_target",), BASIC, 0),
    _sources(3, "segmentation", ("5_3_segmentation",), BASIC),
    _pool(4, 4),
    _subsets(5, "sentiment", ("5_5_language",), BASIC, None),
    _subsets(6, "target selection, second source", ("5_2_target",), BASIC, 1),
    _pool(7, 3),
    Entry(
        8,
        "target selection by who ranks",
        "A_4_hardness_source",
        ("A_4_hardness_source",),
        ("leep",),
        "subsets",
        lines.by_ranker,
        repeats=6,
    ),
    Entry(
        9,
        "easy samples mixed in",
        "A_5_stochastic",
        ("A_5_stochastic",),
        ("leep",),
        "sources",
        lines.of_mixtures,
        repeats=1,
    ),
    _sources(10, "Kendall", CORRELATIONS, BASIC, "kendall", 1),
    _sources(11, "weighted Kendall", CORRELATIONS, BASIC, "weighted_kendall", 1),
    _sources(12, "LogME, source selection", ("A_7_logme", "5_1_source"), ("logme",)),
    _subsets(13, "LogME, target selection", ("A_7_logme", "5_2_target"), ("logme",), 0),
)
"""All tables, in the paper's order."""


def entry(number: int) -> Entry:
    """A table by its number.

    Raises:
        ValueError: the paper has no such table.
    """
    for one in CATALOGUE:
        if one.number == number:
            return one
    raise ValueError(f"number: expected one of the paper's tables, 1 to 13, got {number}")


def cell(metric: str, variant: str) -> str:
    """``LEEP, CA``: a column of a table by name; a mixture is ``LEEP, + 1%``."""
    return f"{labels.metric(metric)}, {subset(variant)}"


def subset(variant: str) -> str:
    """``CA``; a mixture is ``+ 1%``."""
    if variant.startswith(lines.MIXED):
        return f"+ {variant.removeprefix(lines.MIXED)}"
    return labels.variant(variant)
