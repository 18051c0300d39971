"""Metrics as others compute them, written out naively."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from hastelib import metrics
from hastelib.extract import Features

DEFAULT = "default"
FLOOR = metrics.VARIANCE_FLOOR


class Case:
    """Samples as a convention sees them.

    Attributes:
        features: of the samples.
        whole: the case of the whole set that they are a subset of; itself for the whole set.
        X: (n, d) embeddings.
        probs: (n, z) the source's probabilities.
        index: (n,) classes, renumbered from 0.
        counts: (c,) their sizes.
    """

    def __init__(self, features: Features, whole: Case | None = None) -> None:
        self.features = features
        self.sample = metrics.Sample(features)
        self.whole = whole or self
        self.X: Float64[ndarray, "n d"] = np.asarray(features.embedding, np.float64)
        self.probs: Float64[ndarray, "n z"] = np.asarray(features.probs, np.float64)
        self.index: Int64[ndarray, " n"]
        _, self.index, self.counts = np.unique(
            np.asarray(features.labels), return_inverse=True, return_counts=True
        )

    @functools.cached_property
    def svd(self) -> tuple[ndarray, ndarray, ndarray]:
        """The thin singular value decomposition of the centred embeddings."""
        return np.linalg.svd(self.X - self.X.mean(0), full_matrices=False)

    def components(self, count: int) -> Float64[ndarray, "n k"]:
        """The scores of the leading principal components, fitted on these samples."""
        U, S, _ = self.svd
        return (U * S)[:, : min(count, len(U) - 1)]

    def means(self, X: Float64[ndarray, "n d"]) -> Float64[ndarray, "c d"]:
        """The mean of each class."""
        sums = np.zeros((len(self.counts), X.shape[1]))
        np.add.at(sums, self.index, X)
        return sums / self.counts[:, None]


Convention = Callable[[Case], float]


def overlap(
    case: Case,
    X: Float64[ndarray, "n d"],
    *,
    diagonal: bool = False,
    once: bool = False,
    floor: float = FLOOR,
    floor_first: bool = False,
    ddof: int = 0,
) -> float:
    """GBC of embeddings X, over ordered pairs.

    Args:
        case: the samples, for their classes.
        X: their embeddings, reduced or not.
        diagonal: a variance for each dimension.
        once: count the log determinant of a spherical covariance once, not d times.
        floor: of the variances.
        floor_first: floor each dimension's variance before they are averaged.
        ddof: variances divide by the class's size less this.

    Raises:
        ValueError: a class too small for ``ddof``.
    """
    if case.counts.min() <= ddof:
        raise ValueError(f"a class of {case.counts.min()} has no variance with n − {ddof}")
    means = case.means(X)
    variances = case.means((X - means[case.index]) ** 2)
    variances *= (case.counts / (case.counts - ddof))[:, None]
    if floor_first:
        variances = variances.clip(floor)
    if not diagonal:
        variances = variances.mean(1, keepdims=True)
    variances = variances.clip(floor)
    i, j = np.triu_indices(len(means), 1)
    shared = (variances[i] + variances[j]) / 2
    distance = ((means[i] - means[j]) ** 2 / shared).sum(1) / 8
    logs = np.log(shared) - (np.log(variances[i]) + np.log(variances[j])) / 2
    times = 1 if once or diagonal else X.shape[1]
    return -2 * float(np.exp(-distance - times / 2 * logs.sum(1)).sum())


def _reduced(case: Case, count: int = 64, whole: bool = False) -> Float64[ndarray, "n k"]:
    """Principal components; with ``whole`` along the axes of the whole set, not of the subset."""
    if not whole:
        return case.components(count)
    axes = case.whole.svd[2][:count]
    return (case.X - case.whole.X.mean(0)) @ axes.T


def between(
    case: Case,
    *,
    tolerance: float = 0.0,
    components: int | None = None,
    by_element: bool = False,
    equal: bool = False,
    biased: bool = False,
) -> float:
    """The H-score tr(cov(f)^+ cov(g)).

    Args:
        case: the samples.
        tolerance: eigenvalues of cov(f) count above this share of the largest.
        components: keep only so many principal components.
        by_element: the trace of the product element by element, not of the matrix product.
        equal: weigh the class means equally in cov(g), not by size.
        biased: cov(f) divides by n, cov(g) by n - 1.
    """
    _, S, V = case.svd
    n = len(case.X)
    least = max(tolerance, max(case.X.shape) * np.finfo(float).eps)
    kept = (math.sqrt(least) * S[0] < S) & (np.arange(len(S)) < (components or len(S)))
    inverse = (n if biased else n - 1) / S[kept] ** 2
    means = case.means(case.X) - case.X.mean(0)
    weights = case.counts / (n - 1)
    if equal:
        means = means - means.mean(0)
        weights = np.full(len(means), 1 / (len(means) - 1))
    if by_element:
        return float(((V[kept] ** 2 * inverse[:, None]).sum(0) * (weights @ means**2)).sum())
    return float((weights @ (means @ V[kept].T) ** 2 * inverse).sum())


def _standardised(X: Float64[ndarray, "n d"]) -> Float64[ndarray, "n d"]:
    deviation = X.std(0)
    return (X - X.mean(0)) / np.where(deviation > 0, deviation, 1)


def _unit_rows(X: Float64[ndarray, "n d"]) -> Float64[ndarray, "n d"]:
    return X / np.linalg.norm(X, axis=1, keepdims=True).clip(np.finfo(float).tiny)


def spectra(
    case: Case, X: Float64[ndarray, "n d"], own_centre: bool = False
) -> list[Float64[ndarray, " m"]]:
    """Eigenvalues of Z'Z, for all of X as it is and for each class."""
    parts = [X, *(X[case.index == y] for y in range(len(case.counts)))]
    if own_centre:
        parts[1:] = [Z - Z.mean(0) for Z in parts[1:]]
    grams = (Z @ Z.T if len(Z) <= Z.shape[1] else Z.T @ Z for Z in parts)
    return [np.linalg.eigvalsh(gram).clip(0) for gram in grams]


def rates(
    spectra: Sequence[Float64[ndarray, " m"]], sizes: Int64[ndarray, " k"], eps: float
) -> Float64[ndarray, " k"]:
    """The coding rate of each set, from the eigenvalues of its Gram matrix and its size."""
    pairs = zip(spectra, sizes, strict=True)
    return np.array([np.log1p(values / (n * eps)).sum() / 2 for values, n in pairs])


def rate_reduction(
    case: Case,
    X: Float64[ndarray, "n d"] | None = None,
    eps: float = 1e-4,
    *,
    weighted: bool = False,
    centred: bool = True,
    own_centre: bool = False,
    whole_n: bool = False,
    per_dimension: bool = False,
) -> float:
    """TransRate R(Z) - sum_j w_j R(Z_j) of embeddings X.

    Args:
        case: the samples.
        X: their embeddings, changed or not; as they are where it is not given.
        eps: the squared distortion.
        weighted: the classes' shares as weights, not 1/c.
        centred: subtract the mean of all samples.
        own_centre: subtract each class's own mean in its R.
        whole_n: divide Z_j'Z_j by the number of all samples, not of the class's.
        per_dimension: d / (n eps) in place of 1 / (n eps).
    """
    X = case.X if X is None else X
    X = X - X.mean(0) if centred else X
    sizes = np.concatenate(
        [[len(X)], np.full(len(case.counts), len(X)) if whole_n else case.counts]
    )
    eps = eps / X.shape[1] if per_dimension else eps
    whole, *parts = rates(spectra(case, X, own_centre), sizes, eps)
    weights = case.counts / len(X) if weighted else np.full(len(case.counts), 1 / len(case.counts))
    return float(whole - weights @ parts)


def _counted(case: Case, soft_predictions: bool) -> float:
    """LEEP with P(y|z) from counts of the likeliest z, or NCE with P(y, z) from the soft sum."""
    hard = np.eye(case.probs.shape[1])[case.probs.argmax(1)]
    joint = np.zeros((len(case.counts), case.probs.shape[1]))
    np.add.at(joint, case.index, hard if soft_predictions else case.probs)
    mass = joint.sum(0)
    conditional = joint / np.where(mass > 0, mass, 1)
    if soft_predictions:
        return float(np.log((conditional[case.index] * case.probs).sum(1)).mean())
    there = joint > 0
    return float((joint[there] * np.log(conditional[there])).sum() / len(case.X))


def _mixture(case: Case, **settings: object) -> float:
    return metrics.n_leep(case.X, case.index, **settings)  # type: ignore[arg-type]


def _unscaled(case: Case) -> float:
    """N-LEEP without dividing the components by the deviation of the first."""
    from sklearn.mixture import GaussianMixture

    held = np.cumsum(case.svd[1] ** 2)
    scores = case.components(1 + int((held < 0.8 * held[-1]).sum()))
    count = min(5 * len(case.counts), len(scores))
    mixture = GaussianMixture(count, max_iter=1000, random_state=0).fit(scores)
    return metrics.leep(mixture.predict_proba(scores), case.index)


def _default(metric: str) -> Convention:
    return lambda case: metrics.METRICS[metric](case.sample)


CONVENTIONS: dict[str, dict[str, Convention]] = {
    "leep": {
        DEFAULT: _default("leep"),
        "hard counts": lambda case: _counted(case, soft_predictions=True),
    },
    "nce": {
        DEFAULT: _default("nce"),
        "soft joint": lambda case: _counted(case, soft_predictions=False),
    },
    "gbc": {
        DEFAULT: _default("gbc"),
        "pairs once": lambda case: overlap(case, _reduced(case)) / 2,
        "log det once": lambda case: overlap(case, _reduced(case), once=True),
        "diagonal": lambda case: overlap(case, _reduced(case), diagonal=True),
        "no PCA": lambda case: overlap(case, case.X),
        "no PCA, once": lambda case: overlap(case, case.X, once=True, floor_first=True),
        "no PCA, diag.": lambda case: overlap(case, case.X, diagonal=True),
        "16 components": lambda case: overlap(case, _reduced(case, 16)),
        "PCA of all data": lambda case: overlap(case, _reduced(case, whole=True)),
        "floor 1e-8": lambda case: overlap(case, _reduced(case), floor=1e-8),
        "floor 1e-2": lambda case: overlap(case, _reduced(case), floor=1e-2),
        "floor first": lambda case: overlap(case, _reduced(case), floor_first=True),
        "variance n − 1": lambda case: overlap(case, _reduced(case), ddof=1),
    },
    "h_score": {
        DEFAULT: _default("h_score"),
        "cov f by n": lambda case: between(case, biased=True),
        "pinv to 1e-5": lambda case: between(case, tolerance=1e-5),
        "64 components": lambda case: between(case, components=64),
        "classes equal": lambda case: between(case, equal=True),
        "Ledoit–Wolf": lambda case: metrics.h_score(case.X, case.index, "ledoit_wolf"),
        "by element": lambda case: between(case, tolerance=1e-5, by_element=True),
    },
    "transrate": {
        DEFAULT: _default("transrate"),
        "by size": lambda case: rate_reduction(case, weighted=True),
        "ε = 1e-6": lambda case: rate_reduction(case, eps=1e-6),
        "ε = 1e-2": lambda case: rate_reduction(case, eps=1e-2),
        "ε = 1": lambda case: rate_reduction(case, eps=1.0),
        "d/(nε)": lambda case: rate_reduction(case, per_dimension=True),
        "unit trace": lambda case: rate_reduction(case, case.X / np.linalg.norm(case.X)),
        "unit rows": lambda case: rate_reduction(case, _unit_rows(case.X)),
        "standardised": lambda case: rate_reduction(case, _standardised(case.X)),
        "not centred": lambda case: rate_reduction(case, centred=False),
        "own centres": lambda case: rate_reduction(case, own_centre=True),
        "n of all": lambda case: rate_reduction(case, whole_n=True),
    },
    "n_leep": {
        DEFAULT: _default("n_leep"),
        "seed 1": lambda case: _mixture(case, seed=1),
        "2 a class": lambda case: _mixture(case, gaussians=2),
        "diagonal": lambda case: _mixture(case, covariance="diag"),
        "energy 0.5": lambda case: _mixture(case, energy=0.5),
        "energy 0.95": lambda case: _mixture(case, energy=0.95),
        "not scaled": _unscaled,
    },
}
"""Metric -> name of a convention -> the score under it; the library's own comes first."""
