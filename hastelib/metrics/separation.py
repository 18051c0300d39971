"""Metrics of how the classes lie in the embedding: GBC, H-score, TransRate."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float64
from torch import Tensor

from hastelib import checks, linalg
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded, Embeddings

VARIANCE_FLOOR = 1e-4
"""The least class variance in :func:`gbc` and in :func:`hastelib.hardness.class_specific`."""


class SaturatedScoreWarning(UserWarning):
    """The score is the same whatever the labels: there are too few samples for the dimensions."""


def gbc(
    embeddings: Embeddings,
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
    at least 1e-4; with ``covariance="spherical"``, the paper's, they are all the mean over the
    dimensions, so the second sum is :math:`\frac d2 \log (s / \sqrt{s_i s_j})`, and with
    ``"diagonal"`` those of each. The authors' code counts that logarithm of a spherical covariance
    once, not d times (``log_det="published"``; else ``"exact"``). The embeddings are first
    projected on their leading min(``components``, d, n - 1) principal components, exactly; None:
    they are not. The score is at most 0.
    """
    checks.choice("covariance", covariance, ("spherical", "diagonal"))
    checks.choice("log_det", log_det, ("exact", "published"))
    if components is not None:
        checks.whole("components", components, 1)
    given = Embedded.of(embeddings, labels)
    X = given.F
    if components is not None:
        kept = min(components, X.shape[1], len(X) - 1)
        X = given.centred.components(kept) * given.centred.scale
    means, spreads = [], []
    for rows in linalg.groups(given.index, given.counts):  # a class at a time stays in the cache
        part = X.index_select(0, rows).double()
        means.append(part.mean(0))
        spreads.append((part - means[-1]).square_().mean(0))
    mu, variances = torch.stack(means), torch.stack(spreads)
    spherical = covariance == "spherical"
    if spherical:
        variances = variances.mean(1, keepdim=True)
    variances = variances.clamp(min=VARIANCE_FLOOR)
    weight = X.shape[1] / variances.shape[1] if log_det == "exact" else 1.0
    # One variance for all dimensions: the squared distances of the means once for all pairs.
    exactly = "donot_use_mm_for_euclid_dist"
    squares = torch.cdist(mu, mu, compute_mode=exactly).square() if spherical else None
    total = 0.0
    for i in range(len(mu) - 1):
        shared = (variances[i] + variances[i + 1 :]) / 2
        if squares is None:
            distance = ((mu[i] - mu[i + 1 :]) ** 2 / shared).sum(1) / 8
        else:
            distance = squares[i, i + 1 :] / shared[:, 0] / 8
        logs = shared.log() - (variances[i].log() + variances[i + 1 :].log()) / 2
        total += float((-distance - weight / 2 * logs.sum(1)).exp().sum())
    return 0.0 - 2 * total


def h_score(embeddings: Embeddings, labels: ArrayLike, shrinkage: str | None = None) -> float:
    r"""H-score: the variance between classes of the whitened embedding (Bao et al. 2019).

    .. math::

        H = \operatorname{tr}\left(\operatorname{cov}(f)^{+} \operatorname{cov}(g)\right),

    where g replaces each embedding f by the mean of its class; both covariances divide by
    n - 1, and the pseudo-inverse keeps the eigenvalues above max(n, d) eps times the largest.
    Embeddings that are all the same score 0. Where the centred embeddings have rank n - 1, the rule
    for n <= d, the score is c - 1 whatever the labels. With ``shrinkage="ledoit_wolf"`` (Ibrahim
    et al. 2021)

    .. math::

        H_\alpha = (1 - \delta) \operatorname{tr}\left(S^{-1} \operatorname{cov}(g)\right),
        \qquad S = (1 - \delta)\, \Sigma + \delta\, \frac{\operatorname{tr} \Sigma}{d} I,

    with the biased covariance :math:`\Sigma` and the Ledoit-Wolf shrinkage :math:`\delta`. The
    score is at least 0, and without shrinkage at most c - 1.

    Warns:
        SaturatedScoreWarning: without shrinkage, where the labels do not matter.
    """
    checks.choice("shrinkage", shrinkage, (None, "ledoit_wolf"))
    given = Embedded.of(embeddings, labels)
    found, n = given.centred, len(given.F)
    if shrinkage is None and given is not embeddings:  # a grid of scores needs no warning for each
        saturated(len(found.values), n)
    # The share of each left singular vector that lies between the classes.
    between = (found.energies(given.index, given.counts) / given.counts[:, None]).sum(0)
    if shrinkage is None:
        return min(float(between.sum()), len(given.counts) - 1.0)
    shrunk, mean = found.ledoit_wolf()
    variances = (1 - shrunk) * found.values / n + shrunk * mean
    return float((1 - shrunk) * (between * found.values / variances).sum()) / (n - 1)


def saturated(rank: int, n: int) -> None:
    """Warn the caller's caller where the H-score is c - 1 whatever the labels."""
    if rank == n - 1:
        warnings.warn(
            f"{n} embeddings of rank {rank} when centred have the H-score c - 1 whatever their "
            "labels: take more samples than dimensions, or shrinkage='ledoit_wolf'",
            SaturatedScoreWarning,
            stacklevel=3,
        )


def transrate(
    embeddings: Embeddings, labels: ArrayLike, eps: float | int = 1e-4, weighted: bool = False
) -> float:
    r"""TransRate: the coding rate of all embeddings less that within classes (Huang et al. 2022).

    .. math::

        \mathrm{TrR} = R(Z) - \frac1c \sum_{j=1}^c R(Z_j), \qquad
        R(Z) = \frac12 \log \det \left(I + \frac{Z^T Z}{n \epsilon}\right),

    with the embeddings Z centred over all samples, those of class j in :math:`Z_j`, and each
    set's own n; :math:`\epsilon`, the squared distortion, is in squared units of the embedding.
    The score, in nats, can be negative; ``weighted`` with the classes' shares :math:`n_j / n` in
    place of :math:`1 / c` it cannot.
    """
    eps = checks.positive("eps", eps)
    given = Embedded.of(embeddings, labels)
    whole, counts = given.centred, given.counts
    total = _coding_rate(whole.gram, len(given.F), whole.scale, eps)
    rates = []
    for rows in linalg.groups(given.index, counts):
        Z = whole.rows(rows)
        gram = Z @ Z.T if len(Z) <= Z.shape[1] else Z.T @ Z
        rates.append(_coding_rate(gram, len(Z), whole.scale, eps))
    if not weighted:
        return total - sum(rates) / len(rates)
    within = sum(int(n) * rate for n, rate in zip(counts, rates, strict=True)) / len(given.F)
    return max(total - within, 0.0)  # rounding may lead below 0


def _coding_rate(gram: Float64[Tensor, "m m"], n: int, scale: float, eps: float) -> float:
    """Half the log determinant of I + scale^2 gram / (n eps), gram that of n samples."""
    # Of the two factors one may over- or underflow, their product with a gram of ones does not.
    inner = gram * (scale / n / eps) * scale
    inner.diagonal().add_(1)
    return float(torch.linalg.slogdet(inner).logabsdet) / 2
