"""What the parts of the audit share: the printed numbers paired, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import pandas as pd

from hastelib.report import labels
from hastelib.report.comparison import against, several
from hastelib.report.paper import paper_numbers
from hastelib.report.tables import Block, Cell, Table, narrow, number

HEADLINES = {
    **{(1, "leep"): 129.74, (1, "nce"): 29.38, (1, "gbc"): -0.07},
    **{(2, "leep"): 0.99, (2, "nce"): 1.15, (2, "gbc"): 5.11},
    **{(3, "leep"): 182.23, (3, "nce"): 33.34, (3, "gbc"): 149.30},
    **{(4, "ms_leep"): 14.43, (4, "e_leep"): 4.10},
    **{(5, "leep"): 38.13, (5, "nce"): 33.40, (5, "gbc"): 57.24},
    **{(12, "logme"): 120.53, (13, "logme"): 236.16},
}
"""By table and metric, the improvements in percent that the text prints (5.1 to 5.5, A.7)."""

SIZES = {1: 7, 2: 50, 3: 5, 4: 330, 5: 50, 6: 50, 7: 165, 12: 7, 13: 50}
"""The points behind a correlation, for the tables of distinct experiments by Pearson's r. For the
ensembles it follows from the text's P = 11; 5.5 gives none, 5.2's 50 is assumed."""

POOL = {"Stanford Dogs": 3, "Oxford-IIIT": 2, "Flowers102": 2, "CUB200": 2, "Caltech101": 1}
"""The members of A.2's pool of source models that were trained on a target of Table 4."""

OTHERS = 3
"""Members of the pool trained on ImageNet."""

CLASSES = {"IMDB": 2, "CARER": 6, "PACS-Sketch": 7, "Oxford-IIIT": 37}
"""Classes of the targets with the fewest, from the data sets' own descriptions."""

CLASS_SIZES = (
    ("5.1", "Flowers102", 2048, 10, 10),
    ("5.1", "CUB200", 2048, 29, 30),
    ("5.1", "Oxford-IIIT", 2048, 93, 100),
    ("5.1", "StanfordDogs", 2048, 100, 100),
    ("5.1", "Caltech101", 2048, 31, 800),
    ("5.1", "PACS-Sketch", 2048, 80, 816),
    ("5.1", "Imagenette", 2048, 858, 993),
    ("5.2", "PACS-Sketch", 512, 80, 816),
    ("5.5", "CARER", 768, 572, 5362),
    ("5.5", "IMDB", 768, 12500, 12500),
)
"""Section, target, width of the embedding (ResNet-50; ResNet-18 and -34; BERT), training samples
of the smallest and largest class (Caltech101, PACS: of all), from the data sets' own files."""

TOLERANCE = 0.02
HALF = 0.0005
"""Half a unit of the third decimal: how far rounding moves a correlation."""

Line = dict[Any, Any]


def simple(
    caption: str,
    head: Sequence[str],
    frame: pd.DataFrame,
    texts: Callable[[Line], Sequence[str]],
    notes: Sequence[str] = (),
    summary: int = 0,
) -> Table:
    """A table of one block."""
    lines = [texts(line) for line in frame.to_dict("records")]
    rows = tuple((line[0], tuple(Cell(text) for text in line[1:])) for line in lines)
    return Table(caption, (Block("", tuple(head), rows, summary),), tuple(notes), frame)


def percent(value: float) -> str:
    """A percentage with its sign and two decimals."""
    return number(value, 2, sign=True)


def tenths(value: float) -> str:
    """A percentage with its sign and one decimal."""
    return number(value, 1, sign=True)


def short(value: float, digits: int = 3, sign: bool = False) -> str:
    """A number without the zero before its point."""
    return narrow(number(value, digits, sign))


def row_name(line: Line) -> str:
    """A table's number and the metric, such as 1 LEEP."""
    return f"{line['table']} {labels.metric(line['metric'])}"


def score(wins: Iterable[int]) -> str:
    """Won, tied and lost, with dashes between."""
    return "–".join(map(str, wins))


@cache
def printed_table(which: int) -> pd.DataFrame:
    """A table of the paper, every row with a name of its own."""
    table = paper_numbers(which)
    table["row"] = table["target"]
    if several(table["source"]):
        table["row"] = table["source"] + "–" + table["target"]
    if which == 13:
        table["metric"] = "logme"  # its header says LEEP, A.7's 236.16% says LogME
    return table


def pairs(tables: Iterable[int] = tuple(SIZES)) -> pd.DataFrame:
    """Every comparison of some tables, in the order of print.

    Returns:
        The columns table, row (the target; in Table 5 source and target), metric, variant, other
        (b), value (h), gain (h - b) and relative (in percent, ``nan`` for a base of 0).
    """
    table = pd.concat([against(printed_table(which)) for which in tables], ignore_index=True)
    base = table["other"].where(table["other"] != 0)
    table["relative"] = 100 * (table["value"] - base) / base.abs()
    columns = ["table", "row", "metric", "variant", "other", "value", "gain", "relative"]
    return table[columns]


def by_table() -> list[tuple[int, pd.DataFrame]]:
    """The comparisons of each table."""
    return [(which, pairs([which])) for which in SIZES]
