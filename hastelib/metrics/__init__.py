r"""Transferability metrics: how well a source will do on a target, before any fine-tuning.

Every metric takes what a source makes of n target samples, with their labels, and gives one
Python float; higher is better. Logarithms are natural. Arrays are NumPy or torch, of any float
type, on any device; the arithmetic is in float64 on the device they came on, and they are never
changed. ``embeddings`` are (n, d), or :attr:`Sample.embedded`, which knows the labels and factors
the matrix once for all metrics; of ``probs`` (n, z), or (n, z_s) for each source, the rows sum to
1; ``source_labels`` (n,) are the source's most probable classes; ``labels`` (n,) are non-negative
integers that need not be contiguous: the classes are those that occur. Bad input
raises ``ValueError`` with the argument's name, what was expected and what came: shapes that are
wrong or disagree, NaN or infinity, rows of probabilities that do not sum to 1 within 1e-3 (nearer
ones are renormalised), labels that are negative or not of an integer type, an empty subset, fewer
than two classes where a metric needs two.

The scores made of logarithms of probabilities (LEEP and its kin, NCE) are at most 0.

HASTE is any of these on the hard subset alone (the HASTE paper, Eq. 5):
``leep(probs[hard], labels[hard])``.
"""

from hastelib.metrics.evidence import (
    UnboundedEvidenceWarning,
    logme,
    logme_fixed_point,
    logme_profile,
)
from hastelib.metrics.moments import Moments
from hastelib.metrics.predictions import e_leep, eep, leep, ms_leep, n_leep, nce
from hastelib.metrics.probes import knn, linear_probe
from hastelib.metrics.separation import (
    VARIANCE_FLOOR,
    SaturatedScoreWarning,
    gbc,
    h_score,
    transrate,
)
from hastelib.metrics.together import METRICS, Features, Sample, score_all

__all__ = [
    "METRICS",
    "VARIANCE_FLOOR",
    "Features",
    "Moments",
    "Sample",
    "SaturatedScoreWarning",
    "UnboundedEvidenceWarning",
    "e_leep",
    "eep",
    "gbc",
    "h_score",
    "knn",
    "leep",
    "linear_probe",
    "logme",
    "logme_fixed_point",
    "logme_profile",
    "ms_leep",
    "n_leep",
    "nce",
    "score_all",
    "transrate",
]
