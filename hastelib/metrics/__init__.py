r"""Transferability metrics: how well a source will do on a target, before any fine-tuning.

Every metric takes what a source makes of n target samples, and their labels, and gives one Python
float; higher is better. Logarithms are natural. Arrays are NumPy or torch, of any float type, on
any device; arithmetic is float64 and stays there; they are never changed. ``embeddings`` are
(n, d), or :attr:`Sample.embedded`; of ``probs`` (n, z) the rows sum to 1; ``labels`` (n,) are
non-negative integers that need not be contiguous: the classes are those that occur. Bad input
raises ``ValueError`` with the argument's name, what was expected and what came: shapes that are
wrong or disagree, NaN or infinity, rows of probabilities that do not sum to 1 within 1e-3 (in
bfloat16 4e-3; nearer ones are renormalised), labels that are negative, not of an integer type, or
255 in bytes (the mark of no class), an empty subset, fewer than two classes where a metric needs
two.

HASTE is any of these on the hard subset alone (the HASTE paper, Eq. 5):
``leep(probs[hard], labels[hard])``.
"""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from hastelib import checks
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded
from hastelib.metrics.embeddings import (
    VARIANCE_FLOOR,
    SaturatedScoreWarning,
    gbc,
    h_score,
    knn,
    linear_probe,
    transrate,
)
from hastelib.metrics.evidence import UnboundedEvidenceWarning, logme, logme_fixed_point
from hastelib.metrics.moments import Moments
from hastelib.metrics.predictions import e_leep, eep, leep, ms_leep, nce

__all__ = [
    "METRICS",
    "VARIANCE_FLOOR",
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
    "ms_leep",
    "nce",
    "transrate",
]


class Sample:
    """What a source makes of some target samples, and what several metrics share, computed once.

    Made of :class:`hastelib.features.Features` or its like: ``embedding`` (n, d), the classifier's
    input, ``probs`` (n, z) of the source's classes or None, ``labels`` (n,).

    >>> from types import SimpleNamespace
    >>> features = SimpleNamespace(embedding=[[0], [1], [2]], probs=None, labels=[0, 0, 1])
    >>> Sample(features).scores(["h_score"])
    {'h_score': (0.75, '')}
    """

    def __init__(self, features: Any) -> None:
        self.embedding, self.labels = features.embedding, features.labels
        self._probs = features.probs

    @property
    def probs(self) -> ArrayLike:
        """(n, z), the probabilities of the source's classes; refused where it has none."""
        if self._probs is None:
            raise ValueError(
                "the source gives no class probabilities (its output is the embedding, or it came "
                "as an array): LEEP and NCE need them"
            )
        return self._probs

    @functools.cached_property
    def embedded(self) -> Embedded:
        """The checked embeddings, factored when first asked for."""
        return Embedded(self.embedding, self.labels)

    @functools.cached_property
    def source_labels(self) -> ArrayLike:
        """(n,), the most probable class of the source."""
        probs = checks.stored("probs", self.probs, "(n, z)")
        if probs.device.type == "cpu" and probs.dtype != torch.bfloat16:
            return probs.numpy().argmax(1)  # several times as quick as torch's
        return probs.argmax(1)

    def scores(self, names: Iterable[str]) -> dict[str, tuple[float, str]]:
        """The score of each of these :data:`METRICS`, or NaN with the reason why there is none."""
        scores = {}
        for name in checks.several("names", names):
            checks.choice("names", name, tuple(METRICS))
            try:
                value, reason = float(METRICS[name](self)), ""
                if not math.isfinite(value):
                    value, reason = math.nan, f"the metric gives {value}"
            except Exception as error:  # a metric of yours may raise anything
                if isinstance(error, MemoryError) or "out of memory" in str(error):
                    raise  # which says nothing of the score
                value, reason = math.nan, str(error) or type(error).__name__
            scores[name] = value, reason
        return scores


METRICS: dict[str, Callable[[Sample], float]] = {
    "leep": lambda s: leep(s.probs, s.labels),
    "nce": lambda s: nce(s.source_labels, s.labels),
    "gbc": lambda s: gbc(s.embedded, s.labels),
    "logme": lambda s: logme(s.embedded, s.labels),
    "h_score": lambda s: h_score(s.embedded, s.labels),
    "transrate": lambda s: transrate(s.embedded, s.labels),
    "knn": lambda s: knn(s.embedded, s.labels),
    "linear_probe": lambda s: linear_probe(s.embedded, s.labels),
    "logme_fixed_point": lambda s: logme_fixed_point(s.embedded, s.labels),
}
"""The metrics of a single source, by name, each with its defaults. A metric of your own is one
more entry, a function of a :class:`Sample`."""
