r"""Ensembles of fine-tuned sources (the HASTE paper, Sec. 5.4): every one of a size.

A pool of P members gives :math:`\binom{P}{K}` ensembles of K, but P extractions and P fine-tunings
are all that is ever computed: an ensemble's accuracy and its scores follow from what its members
made of the target.
"""

from hastelib.ensembles.frame import JOIN, frame
from hastelib.ensembles.pools import (
    Members,
    Pool,
    gather,
    parse_sizes,
    pool,
    prepare,
    source_classes,
    targets,
    with_sources,
)
from hastelib.ensembles.scoring import METRICS, Scores, accuracies, candidates, scores, shuffled

__all__ = [
    "JOIN",
    "METRICS",
    "Members",
    "Pool",
    "Scores",
    "accuracies",
    "candidates",
    "frame",
    "gather",
    "parse_sizes",
    "pool",
    "prepare",
    "scores",
    "shuffled",
    "source_classes",
    "targets",
    "with_sources",
]
