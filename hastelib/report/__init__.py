"""Tables in the paper's form, the paper's own numbers beside them, and what came out in words.

What several pages share is exported here. A module that is not (``audit``, ``bounds``,
``hard`` and those that begin so, ``ablations``, ``results`` and others) belongs to one page:
what that page computes from a grid, its tables, and its findings in words.
"""

from hastelib.report.bins import extremes, hardness_bins
from hastelib.report.comparison import correlations, differences, picks
from hastelib.report.paper import (
    accuracies,
    beside,
    improvements,
    paper_numbers,
    paper_table,
    table,
)
from hastelib.report.tables import Beside, Block, Cell, Table
from hastelib.report.verify import verify
from hastelib.report.words import findings

__all__ = [
    "Beside",
    "Block",
    "Cell",
    "Table",
    "accuracies",
    "beside",
    "correlations",
    "differences",
    "extremes",
    "findings",
    "hardness_bins",
    "improvements",
    "paper_numbers",
    "paper_table",
    "picks",
    "table",
    "verify",
]
