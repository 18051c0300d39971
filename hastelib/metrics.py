r"""Transferability metrics: how well a source will do on a target, before any fine-tuning.

Every metric takes what a source makes of n target samples, with their labels, and gives one
Python float; higher is better. Logarithms are natural. Arrays are NumPy or torch, of any float
type, on any device; the arithmetic is in float64 on the device they came on, and they are never
changed. Labels are non-negative integers that need not be contiguous: the classes are those that
occur. Bad input raises ``ValueError`` with the argument's name, what was expected and what came:
shapes that are wrong or disagree, NaN or infinity, rows of probabilities that do not sum to 1
within 1e-3 (nearer ones are renormalised), labels that are negative or not of an integer type, an
empty subset, fewer than two classes where a metric needs two.

HASTE is any of these on the hard subset alone (the HASTE paper, Eq. 5):
``leep(probs[hard], labels[hard])``.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from hastelib import _check, _linalg
from hastelib._check import ArrayLike
from hastelib.evidence import UnboundedEvidenceWarning, logme, logme_fixed_point

__all__ = [
    "UnboundedEvidenceWarning",
    "e_leep",
    "gbc",
    "h_score",
    "leep",
    "logme",
    "logme_fixed_point",
    "ms_leep",
    "nce",
    "transrate",
]

VARIANCE_FLOOR = 1e-4
"""The least class variance in :func:`gbc` and in :func:`hastelib.hardness.class_specific`."""


def _expected_predictions(
    probs: Float64[Tensor, "n z"], index: Int64[Tensor, " n"], classes: int
) -> Float64[Tensor, " n"]:
    """EEP: the probability that the empirical predictor gives each sample's own label."""
    joint = probs.new_zeros(classes, probs.shape[1]).index_add_(0, index, probs)
    mass = joint.sum(0)
    conditional = joint / torch.where(mass > 0, mass, 1.0)
    return (conditional[index] * probs).sum(1)


def _several(probs_list: Iterable[ArrayLike], labels: ArrayLike) -> list[Float64[Tensor, " n"]]:
    """The expected empirical predictions of each source."""
    sources = _check.matrices("probs_list", probs_list, _check.probabilities)
    first = sources[0]
    y = _check.labels("labels", labels, len(first), first.device)
    index, counts = _check.classes("labels", y)
    return [
        _expected_predictions(probs, index.to(probs.device), len(counts)).to(first.device)
        for probs in sources
    ]


def _mean_log(probability: Float64[Tensor, " n"]) -> float:
    return min(float(probability.log().mean()), 0.0)  # rounding may lead above 0


def leep(probs: ArrayLike, labels: ArrayLike) -> float:
    r"""Log expected empirical prediction (Nguyen et al. 2020; the HASTE paper, Eq. 6).

    .. math::

        \mathrm{LEEP} = \frac{1}{n} \sum_{i=1}^n \log \sum_{z} \hat P(y_i \mid z)\, p_{iz},
        \qquad
        \hat P(y \mid z) = \frac{\sum_{i : y_i = y} p_{iz}}{\sum_i p_{iz}},

    where :math:`p_{iz}` is the probability that the source gives its class z for sample i. A
    source class without mass contributes nothing.

    Args:
        probs: (n, z), rows sum to 1.
        labels: (n,) integers.

    Returns:
        The score, at most 0.

    Raises:
        ValueError: bad input, as the module says.
    """
    p = _check.probabilities("probs", probs)
    y = _check.labels("labels", labels, len(p), p.device)
    index, counts = _check.classes("labels", y)
    return _mean_log(_expected_predictions(p, index, len(counts)))


def ms_leep(probs_list: Iterable[ArrayLike], labels: ArrayLike) -> float:
    r"""Multi-source LEEP of an ensemble: the sum of its members' :func:`leep`.

    Source: Agostinelli et al. (2022), *Transferability metrics for selecting source model
    ensembles*. HASTE-MS-LEEP, where every source has its own hard subset, is the same sum, with
    each member's :func:`leep` on its own subset.

    Args:
        probs_list: one (n, z_s) array for each source; rows sum to 1.
        labels: (n,) integers.

    Returns:
        The score, at most 0.

    Raises:
        ValueError: bad input, as the module says, or no source.
    """
    return sum(_mean_log(eep) for eep in _several(probs_list, labels))


def e_leep(probs_list: Iterable[ArrayLike], labels: ArrayLike) -> float:
    r"""Ensemble LEEP: the log of the members' mean prediction.

    .. math::

        \text{E-LEEP} = \frac{1}{n} \sum_{i=1}^n \log \frac{1}{S} \sum_{s=1}^S
        \sum_{z} \hat P_s(y_i \mid z)\, p^{(s)}_{iz}

    Source: Agostinelli et al. (2022), as for :func:`ms_leep`.

    Args:
        probs_list: one (n, z_s) array for each source; rows sum to 1.
        labels: (n,) integers.

    Returns:
        The score, at most 0.

    Raises:
        ValueError: bad input, as the module says, or no source.
    """
    return _mean_log(torch.stack(_several(probs_list, labels)).mean(0))


def nce(source_labels: ArrayLike, labels: ArrayLike) -> float:
    r"""Negative conditional entropy of the labels given hard source labels (Tran et al. 2019).

    .. math::

        \mathrm{NCE} = -H(Y \mid Z)
        = \sum_{y, z} \frac{n_{yz}}{n} \log \frac{n_{yz}}{n_z},

    where :math:`n_{yz}` counts the samples with target label y and source label z, and
    :math:`0 \log 0 = 0`.

    Args:
        source_labels: (n,) integers, the source's most probable class (argmax).
        labels: (n,) integers.

    Returns:
        The score, at most 0.

    Raises:
        ValueError: bad input, as the module says.
    """
    z = _check.labels("source_labels", source_labels, None)
    y = _check.labels("labels", labels, len(z), z.device)
    index, counts = _check.classes("source_labels", z)
    pairs, joint = torch.unique(torch.stack([index, y]), dim=1, return_counts=True)
    of_source = counts[pairs[0]].double()
    return min(float((joint * (joint / of_source).log()).sum()) / len(z), 0.0)


def gbc(
    embeddings: ArrayLike,
    labels: ArrayLike,
    covariance: str = "spherical",
    components: int | None = 64,
    log_det: str = "exact",
) -> float:
    r"""Gaussian Bhattacharyya coefficient: how little the classes overlap (Pandy et al. 2022).

    .. math::

        \mathrm{GBC} = -\sum_{i \ne j} e^{-D_B(i, j)}, \qquad
        D_B(i, j) = \frac18 \sum_k \frac{(\mu_{ik} - \mu_{jk})^2}{s_k}
        + \frac12 \sum_k \log \frac{s_k}{\sqrt{s_{ik}\, s_{jk}}},
        \qquad s_k = \frac{s_{ik} + s_{jk}}{2},

    over ordered pairs of classes. The :math:`s_{ik}` are the biased variances of class i, each
    at least 1e-4; with ``spherical`` they are all the mean over the dimensions, so the second sum
    is :math:`\frac d2 \log (s / \sqrt{s_i s_j})`. The embeddings are first projected on their
    leading principal components, exactly.

    Args:
        embeddings: (n, d).
        labels: (n,) integers.
        covariance: ``spherical`` (the paper's) or ``diagonal``.
        components: of the PCA, at most; min(components, d, n - 1) are used. None: no PCA.
        log_det: ``exact``, or ``published``: the authors' code counts the logarithm of a
            spherical covariance once, not d times. The same for ``diagonal``.

    Returns:
        The score, at most 0.

    Raises:
        ValueError: bad input, as the module says; fewer than two classes; no such choice.
    """
    _check.choice("covariance", covariance, ("spherical", "diagonal"))
    _check.choice("log_det", log_det, ("exact", "published"))
    X, index, counts = _check.embedded(embeddings, labels)
    if components is not None:
        kept = min(_check.whole("components", components, 1), X.shape[1], len(X) - 1)
        U, S, _ = torch.linalg.svd(_linalg.centred(X), full_matrices=False)
        X = U[:, :kept] * S[:kept]
    means = _linalg.class_means(X, index, counts)
    variances = _linalg.class_means((X - means[index]) ** 2, index, counts)
    if covariance == "spherical":
        variances = variances.mean(1, keepdim=True)
    variances = variances.clamp(min=VARIANCE_FLOOR)
    weight = X.shape[1] / variances.shape[1] if log_det == "exact" else 1.0
    total = 0.0
    for i in range(len(means) - 1):
        shared = (variances[i] + variances[i + 1 :]) / 2
        distance = ((means[i] - means[i + 1 :]) ** 2 / shared).sum(1) / 8
        logs = shared.log() - (variances[i].log() + variances[i + 1 :].log()) / 2
        total += float((-distance - weight / 2 * logs.sum(1)).exp().sum())
    return 0.0 - 2 * total


def h_score(embeddings: ArrayLike, labels: ArrayLike, shrinkage: str | None = None) -> float:
    r"""H-score: the variance between classes of the whitened embedding (Bao et al. 2019).

    .. math::

        H = \operatorname{tr}\left(\operatorname{cov}(f)^{+} \operatorname{cov}(g)\right),

    where g replaces each embedding f by the mean of its class; both covariances divide by
    n - 1, and the pseudo-inverse keeps the eigenvalues above max(n, d) eps times the largest.
    Embeddings that are all the same score 0. With ``shrinkage="ledoit_wolf"`` (Ibrahim et al.
    2021)

    .. math::

        H_\alpha = (1 - \delta) \operatorname{tr}\left(S^{-1} \operatorname{cov}(g)\right),
        \qquad S = (1 - \delta)\, \Sigma + \delta\, \frac{\operatorname{tr} \Sigma}{d} I,

    with the biased covariance :math:`\Sigma` and the Ledoit-Wolf shrinkage :math:`\delta`.

    Args:
        embeddings: (n, d).
        labels: (n,) integers.
        shrinkage: None or ``ledoit_wolf``.

    Returns:
        The score, at least 0; without shrinkage at most the number of classes less 1.

    Raises:
        ValueError: bad input, as the module says; fewer than two classes; no such choice.
    """
    _check.choice("shrinkage", shrinkage, (None, "ledoit_wolf"))
    F, index, counts = _check.embedded(embeddings, labels)
    X, _ = _linalg.scaled(_linalg.centred(F))
    found = _linalg.eigen(X)
    Y = torch.nn.functional.one_hot(index, len(counts)).double()
    # The share of each left singular vector that lies between the classes.
    between = (_linalg.energies(X, found, Y) / counts).sum(1)
    if shrinkage is None:
        return min(float(between.sum()), len(counts) - 1.0)
    n = len(X)
    shrunk, mean = _linalg.ledoit_wolf(X, found.values)
    variances = (1 - shrunk) * found.values / n + shrunk * mean
    return float((1 - shrunk) * (between * found.values / variances).sum()) / (n - 1)


def _coding_rate(Z: Float64[Tensor, "n d"], eps: float) -> float:
    """Half the log determinant of I + Z'Z / (n eps), by the smaller Gram matrix."""
    n, d = Z.shape
    values = torch.linalg.eigvalsh(Z @ Z.T if n <= d else Z.T @ Z)
    return float(torch.log1p(values.clamp(min=0) / (n * eps)).sum()) / 2


def transrate(
    embeddings: ArrayLike, labels: ArrayLike, eps: float | int = 1e-4, weighted: bool = False
) -> float:
    r"""TransRate: the coding rate of all embeddings less that within classes (Huang et al. 2022).

    .. math::

        \mathrm{TrR} = R(Z) - \frac1c \sum_{j=1}^c R(Z_j), \qquad
        R(Z) = \frac12 \log \det \left(I + \frac{Z^T Z}{n \epsilon}\right),

    with the embeddings Z centred over all samples, those of class j in :math:`Z_j`, and each
    set's own n. With equal weights the score can be negative; with the classes' shares
    :math:`n_j / n` it cannot.

    Args:
        embeddings: (n, d).
        labels: (n,) integers.
        eps: the squared distortion, in squared units of the embedding.
        weighted: weigh the classes by their sizes.

    Returns:
        The score, in nats.

    Raises:
        ValueError: bad input, as the module says; fewer than two classes; eps not positive.
    """
    eps = _check.positive("eps", eps)
    F, index, counts = _check.embedded(embeddings, labels)
    Z = _linalg.centred(F)
    rates = [_coding_rate(Z[index == j], eps) for j in range(len(counts))]
    if not weighted:
        return _coding_rate(Z, eps) - sum(rates) / len(rates)
    within = sum(int(size) * rate for size, rate in zip(counts, rates, strict=True)) / len(Z)
    return max(_coding_rate(Z, eps) - within, 0.0)  # rounding may lead below 0
