"""Section 5.4: what rows of ensembles say, their tables, and what came out in words."""

from hastelib.report.ensembles.numbers import (
    Candidates,
    correlations,
    counted,
    differences,
    left_out,
    naive,
    of_sets,
    picks,
    read,
    shares,
    through_members,
)
from hastelib.report.ensembles.tables import (
    counted_table,
    numbered,
    picks_table,
    pool_table,
    sets_table,
    shares_table,
    table,
)
from hastelib.report.ensembles.words import cost, findings, paper_pool, paper_words, pools

__all__ = [
    "Candidates",
    "correlations",
    "cost",
    "counted",
    "counted_table",
    "differences",
    "findings",
    "left_out",
    "naive",
    "numbered",
    "of_sets",
    "paper_pool",
    "paper_words",
    "picks",
    "picks_table",
    "pool_table",
    "pools",
    "read",
    "sets_table",
    "shares",
    "shares_table",
    "table",
    "through_members",
]
