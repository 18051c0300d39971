r"""The paper's tables, audited: what follows from the printed numbers, and what does not.

All of it reads the paper's numbers (:func:`hastelib.report.paper_numbers`) and nothing else. A
*comparison* is a HASTE variant's correlation h beside its baseline's b in the same row; its
*relative change* is 100 (h - b) / \|b\|, whose mean is the paper's headline. The ``frame`` of
every table has the numbers behind what it shows.
"""

from hastelib.report.audit.averages import (
    contributions,
    headlines,
    left_out,
    leverage,
    summaries,
    wins,
)
from hastelib.report.audit.common import (
    CLASS_SIZES,
    CLASSES,
    HEADLINES,
    POOL,
    SIZES,
    TOLERANCE,
    pairs,
)
from hastelib.report.audit.contradictions import (
    covariances,
    hardness_sources,
    mislabelled,
    pools,
    rankings,
    repeated,
    tasks,
    unchanged,
)
from hastelib.report.audit.points import fisher, intervals, printed_intervals, widths, williams
from hastelib.report.audit.sentences import claims, claims_in_words
from hastelib.report.audit.summary import summary

__all__ = [
    "CLASSES",
    "CLASS_SIZES",
    "HEADLINES",
    "POOL",
    "SIZES",
    "TOLERANCE",
    "claims",
    "claims_in_words",
    "contributions",
    "covariances",
    "fisher",
    "hardness_sources",
    "headlines",
    "intervals",
    "left_out",
    "leverage",
    "mislabelled",
    "pairs",
    "pools",
    "printed_intervals",
    "rankings",
    "repeated",
    "summaries",
    "summary",
    "tasks",
    "unchanged",
    "widths",
    "williams",
    "wins",
]
