"""Metrics as others compute them, and how much a convention moves a score and a ranking.

:data:`CONVENTIONS` has, for each metric, what the library computes (:data:`DEFAULT`) and what
other code does in its place, written out naively: it is compared here, not offered as a metric.
"""

from hastelib.report.conventions.claims import (
    Claims,
    blanks,
    chance,
    ends,
    lopsided,
    overlaps,
    posteriors,
    reductions,
    shares,
)
from hastelib.report.conventions.effects import (
    cases,
    effects,
    findings,
    measure,
    sweep,
    table,
)
from hastelib.report.conventions.forms import (
    CONVENTIONS,
    DEFAULT,
    Case,
    Convention,
    between,
    overlap,
    rate_reduction,
)
from hastelib.report.conventions.ranks import rules, tolerances

__all__ = [
    "CONVENTIONS",
    "DEFAULT",
    "Case",
    "Claims",
    "Convention",
    "between",
    "blanks",
    "cases",
    "chance",
    "effects",
    "ends",
    "findings",
    "lopsided",
    "measure",
    "overlap",
    "overlaps",
    "posteriors",
    "rate_reduction",
    "reductions",
    "rules",
    "shares",
    "sweep",
    "table",
    "tolerances",
]
