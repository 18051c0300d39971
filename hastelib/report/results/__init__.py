"""The results page: every table of the paper in one place, in print and here.

Does HASTE correlate better than its baseline, there and here, by how much, and how often in all?
``gather`` reads what the sections' notebooks have written and what the project keeps;
everything else is computed from that.
"""

from hastelib.report.results.catalogue import CATALOGUE, Entry, entry
from hastelib.report.results.numbers import (
    EVERY,
    OWN,
    Often,
    agreement,
    cells,
    chance,
    claims,
    compared,
    gains,
    often,
    pairs,
    plain,
    votes,
)
from hastelib.report.results.reading import PAPER, Found, Results, files, gather, mixed, read
from hastelib.report.results.tables import comparison, counting, inventory, summary, values
from hastelib.report.results.words import behind, finding, overall, settings

__all__ = [
    "CATALOGUE",
    "EVERY",
    "OWN",
    "PAPER",
    "Entry",
    "Found",
    "Often",
    "Results",
    "agreement",
    "behind",
    "cells",
    "chance",
    "claims",
    "compared",
    "comparison",
    "counting",
    "entry",
    "files",
    "finding",
    "gains",
    "gather",
    "inventory",
    "mixed",
    "often",
    "overall",
    "pairs",
    "plain",
    "read",
    "settings",
    "summary",
    "values",
    "votes",
]
