"""All metrics of one source at once, what they share computed once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import torch

from hastelib import checks
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded
from hastelib.metrics.evidence import logme, logme_fixed_point
from hastelib.metrics.predictions import leep, n_leep, nce
from hastelib.metrics.probes import knn, linear_probe
from hastelib.metrics.separation import gbc, h_score, transrate


@runtime_checkable
class Features(Protocol):
    """What a source makes of n target samples; :class:`hastelib.features.Features` is one."""

    @property
    def embedding(self) -> ArrayLike:
        """(n, d), the classifier's input."""

    @property
    def probs(self) -> ArrayLike | None:
        """(n, z), the probabilities of the source's classes, or None where it has none."""

    @property
    def labels(self) -> ArrayLike:
        """(n,) integers, the target's classes."""


class Sample:
    """:class:`Features` of some target samples, with factorisations that several metrics share."""

    def __init__(self, features: Features) -> None:
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
        """Name -> score, or NaN with the reason why it cannot be computed or is infinite."""
        found = {}
        for name in names:
            try:
                value, reason = float(METRICS[name](self)), ""
                if not math.isfinite(value):
                    value, reason = math.nan, f"the metric gives {value}"
            except Exception as error:  # a metric of yours may raise anything
                if isinstance(error, MemoryError) or "out of memory" in str(error):
                    raise  # which says nothing of the score
                value, reason = math.nan, str(error) or type(error).__name__
            found[name] = value, reason
        return found


METRICS: dict[str, Callable[[Sample], float]] = {
    "leep": lambda s: leep(s.probs, s.labels),
    "nce": lambda s: nce(s.source_labels, s.labels),
    "gbc": lambda s: gbc(s.embedded, s.labels),
    "logme": lambda s: logme(s.embedded, s.labels),
    "h_score": lambda s: h_score(s.embedded, s.labels),
    "transrate": lambda s: transrate(s.embedded, s.labels),
    "knn": lambda s: knn(s.embedded, s.labels),
    "linear_probe": lambda s: linear_probe(s.embedded, s.labels),
    "n_leep": lambda s: n_leep(s.embedded, s.labels),
    "logme_fixed_point": lambda s: logme_fixed_point(s.embedded, s.labels),
}
"""The metrics of a single source, by name, each with its defaults. A metric of your own is one
more entry: a function of a :class:`Sample`."""

CLOSED = ("leep", "nce", "gbc", "logme", "h_score", "transrate")


def score_all(features: Features, names: Iterable[str] = CLOSED) -> dict[str, float]:
    """Several metrics of one source; the embeddings are factored once for all that need it.

    GBC's principal components, the H-score and TransRate share the Gram matrix of the centred
    embeddings, the first two its eigenpairs; LogME needs those of the embeddings as they are. The
    names are those of :data:`METRICS`; where none are given, the six with a closed form.
    """
    chosen = checks.several("names", names)
    for name in chosen:
        checks.choice("names", name, tuple(METRICS))
    sample = Sample(features)
    return {name: METRICS[name](sample) for name in chosen}
