"""All metrics of one source at once, what they share computed once.

The public names are those of :mod:`hastelib.metrics`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import torch

from hastelib import checks
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded
from hastelib.metrics.evidence import fixed_point, maximum_evidence
from hastelib.metrics.predictions import leep, n_leep, nce
from hastelib.metrics.probes import neighbours, probe
from hastelib.metrics.separation import between_classes, rate_reduction, separation


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
    """The features of some target samples, with factorisations that several metrics share.

    Attributes:
        embedding: (n, d), the classifier's input.
        labels: (n,) integers, the target's classes.
    """

    def __init__(self, features: Features) -> None:
        self.embedding = features.embedding
        self._probs = features.probs
        self.labels = features.labels

    @property
    def probs(self) -> ArrayLike:
        """(n, z), the probabilities of the source's classes.

        Raises:
            ValueError: the source gives none.
        """
        if self._probs is None:
            raise ValueError(
                "the source gives no class probabilities (its output is the embedding, or it came "
                "as an array): LEEP and NCE need them"
            )
        return self._probs

    @functools.cached_property
    def _embedded(self) -> Embedded:
        """The checked embeddings, factored when first asked for."""
        return Embedded(self.embedding, self.labels)

    @functools.cached_property
    def source_labels(self) -> ArrayLike:
        """(n,), the most probable class of the source."""
        probs = checks.stored("probs", self.probs, "(n, z)")
        if probs.device.type == "cpu" and probs.dtype != torch.bfloat16:
            return probs.numpy().argmax(1)  # several times as quick as torch's
        return probs.argmax(1)


METRICS: dict[str, Callable[[Sample], float]] = {
    "leep": lambda s: leep(s.probs, s.labels),
    "nce": lambda s: nce(s.source_labels, s.labels),
    "gbc": lambda s: separation(s._embedded, "spherical", 64, "exact"),
    "logme": lambda s: maximum_evidence(s._embedded),
    "h_score": lambda s: between_classes(s._embedded, None),
    "transrate": lambda s: rate_reduction(s._embedded, 1e-4, weighted=False),
    "knn": lambda s: neighbours(s._embedded),
    "linear_probe": lambda s: probe(s._embedded, 0),
    "n_leep": lambda s: n_leep(s.embedding, s.labels),
    "logme_fixed_point": lambda s: fixed_point(s._embedded),
}
"""The metrics of a single source, by name, each with its defaults. A metric of your own is one
more entry: a function of a :class:`Sample`."""

CLOSED = ("leep", "nce", "gbc", "logme", "h_score", "transrate")


def score_all(features: Features, names: Iterable[str] = CLOSED) -> dict[str, float]:
    """Several metrics of one source; the embeddings are factored once for all that need it.

    GBC's principal components, the H-score and TransRate share the Gram matrix of the centred
    embeddings, the first two its eigenpairs; LogME needs those of the embeddings as they are.

    Args:
        features: anything with ``embedding`` (n, d), ``probs`` (n, z) and ``labels`` (n,).
        names: of :data:`METRICS`; where they are not given, the six with a closed form.

    Returns:
        The score of each name, as the function of that name gives it.

    Raises:
        ValueError: bad input, as the module says; an unknown name (lists the choices).
    """
    chosen = checks.several("names", names)
    for name in chosen:
        checks.choice("names", name, tuple(METRICS))
    sample = Sample(features)
    return {name: METRICS[name](sample) for name in chosen}
