"""Metrics of how the classes lie in the embedding: GBC, H-score, TransRate; and what a user would
run by hand on it, nearest neighbours and a linear probe.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from hastelib import checks, linalg
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded, Embeddings

VARIANCE_FLOOR = 1e-4
"""The least class variance in :func:`gbc` and in :func:`hastelib.hardness.class_specific`."""
PAIRED = 2**20  # numbers of the pairs of classes that :func:`gbc` holds at once
NEIGHBOURS = 5
FOLDS = 5
PENALTIES = tuple(10.0**k for k in range(-3, 2))
ROUNDED = 1e9  # traces above which the rounding of what should be 0 counts in a determinant


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

    .. math:: \mathrm{GBC} = -\sum_{i \ne j} e^{-D_B(i, j)}, \qquad s_k = \frac{s_{ik} + s_{jk}}{2},

        D_B(i, j) = \frac18 \sum_k \frac{(\mu_{ik} - \mu_{jk})^2}{s_k}
        + \frac12 \sum_k \log \frac{s_k}{\sqrt{s_{ik}\, s_{jk}}},

    over ordered pairs of classes, at most 0. The :math:`s_{ik}` are the biased variances of class
    i, each at least 1e-4, with ``covariance="diagonal"``; with ``"spherical"``, the paper's, all
    are their mean, and the second sum is :math:`\frac d2 \log (s / \sqrt{s_i s_j})`. The authors'
    code counts that logarithm once, not d times: ``log_det="published"`` in place of ``"exact"``.
    The embeddings are first projected on their leading min(``components``, d, n - 1) principal
    components, unless that is None.

    >>> round(gbc([[0], [1], [2], [3]], [0, 0, 1, 1]), 3)
    -0.271
    """
    checks.choice("covariance", covariance, ("spherical", "diagonal"))
    checks.choice("log_det", log_det, ("exact", "published"))
    data = Embedded.of(embeddings, labels)
    X = data.F
    if components is not None:
        count = min(checks.whole("components", components, 1), X.shape[1], len(X) - 1)
        X = data.centred.components(count) * data.centred.scale
    means, spreads = [], []
    for rows in linalg.groups(data.index, data.counts):  # a class at a time stays in the cache
        group = X.index_select(0, rows).double()
        group -= (first := group[0].clone())  # which makes identical rows exactly zero
        means.append(group.mean(0))
        spreads.append((group - means[-1]).square_().mean(0))
        means[-1] += first
    mu, variances = torch.stack(means), torch.stack(spreads)
    if covariance == "spherical":
        variances = variances.mean(1, keepdim=True)
    variances = variances.clamp(min=VARIANCE_FLOOR)
    weight = X.shape[1] / variances.shape[1] if log_det == "exact" else 1.0
    # One variance for all dimensions: the squared distances of the means once for all pairs.
    squares = torch.cdist(mu, mu, compute_mode="donot_use_mm_for_euclid_dist").square()[..., None]
    total, logs = 0.0, variances.log()
    for rows in torch.arange(len(mu)).split(max(1, PAIRED // variances.numel())):
        pooled = (variances[rows, None] + variances) / 2
        squared = (mu[rows, None] - mu) ** 2 if covariance == "diagonal" else squares[rows]
        mean_term = (squared / pooled).sum(2) / 8
        log_term = (pooled.log() - (logs[rows, None] + logs) / 2).sum(2)
        total += float((-mean_term - weight / 2 * log_term).exp().triu(int(rows[0]) + 1).sum())
    return 0.0 - 2 * total


def h_score(embeddings: Embeddings, labels: ArrayLike, shrinkage: str | None = None) -> float:
    r"""H-score: the variance between classes of the whitened embedding (Bao et al. 2019).

    .. math:: H = \operatorname{tr}\left(\operatorname{cov}(f)^{+} \operatorname{cov}(g)\right),

    where g replaces each embedding f by the mean of its class; both covariances divide by n - 1,
    and the pseudo-inverse keeps the eigenvalues above max(n, d) eps times the largest. It lies
    between 0, of embeddings that are all the same, and c - 1, which it is whatever the labels, with
    a :class:`SaturatedScoreWarning`, where the centred embeddings have rank n - 1, the rule for
    n <= d. A column that is a linear combination of others but for 1e-6 of its size costs it all
    but four digits. With ``shrinkage="ledoit_wolf"`` (Ibrahim et al. 2021)

    .. math:: H_\alpha = (1 - \delta) \operatorname{tr}\left(S^{-1} \operatorname{cov}(g)\right),
        \qquad S = (1 - \delta)\, \Sigma + \delta\, \frac{\operatorname{tr} \Sigma}{d} I,

    with the biased covariance :math:`\Sigma` and the Ledoit-Wolf shrinkage :math:`\delta`.

    >>> round(h_score([[0], [1], [2], [3]], [0, 0, 1, 1]), 3)
    0.8
    """
    checks.choice("shrinkage", shrinkage, (None, "ledoit_wolf"))
    data = Embedded.of(embeddings, labels)
    factors, n = data.centred, len(data.F)
    if shrinkage is None and data is not embeddings:  # a grid of scores needs no warning for each
        saturated(len(factors.values), n)
    # The share of each left singular vector that lies between the classes.
    between = (factors.energies(data.index, data.counts) / data.counts[:, None]).sum(0)
    if shrinkage is None:
        return min(float(between.sum()), len(data.counts) - 1.0)
    delta, variances = factors.ledoit_wolf()
    return float((1 - delta) * (between * factors.values / variances).sum()) / (n - 1)


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

    .. math:: \mathrm{TrR} = R(Z) - \frac1c \sum_{j=1}^c R(Z_j), \qquad
        R(Z) = \frac12 \log \det \left(I + \frac{Z^T Z}{n \epsilon}\right),

    in nats, with the embeddings Z centred over all samples, those of class j in :math:`Z_j`, and
    each set's own n; :math:`\epsilon` is in squared units of the embedding. It can be negative;
    ``weighted`` by the classes' shares :math:`n_j / n` in place of :math:`1 / c` it cannot.

    >>> round(transrate([[0], [1], [2], [6]], [0, 0, 0, 1], eps=1, weighted=True), 3)
    0.133
    """
    eps = checks.positive("eps", eps)
    data = Embedded.of(embeddings, labels)
    factors, counts = data.centred, data.counts
    if factors.scale / eps * factors.scale > 1e300:
        limit = f"at least {factors.scale / 1e300 * factors.scale:.1g} for embeddings of this size"
        raise checks.refuse("eps", limit, eps)
    total = _coding_rate(factors.gram, len(data.F), factors.scale, eps)
    rates = []
    for rows in linalg.groups(data.index, counts):
        Z = factors.rows(rows)
        gram = Z @ Z.T if len(Z) <= Z.shape[1] else Z.T @ Z
        rates.append(_coding_rate(gram, len(Z), factors.scale, eps))
    if not weighted:
        return total - sum(rates) / len(rates)
    within = sum(int(n) * rate for n, rate in zip(counts, rates, strict=True)) / len(data.F)
    return max(total - within, 0.0)  # rounding may lead below 0


def _coding_rate(gram: Float64[Tensor, "m m"], n: int, scale: float, eps: float) -> float:
    """Half the log determinant of I + scale^2 gram / (n eps), for the Gram matrix of n samples."""
    # Each factor by itself may over- or underflow; the gram (entries near 1) times both does not.
    inner = gram * (scale / n / eps) * scale
    if float(inner.trace()) > ROUNDED:
        return float(linalg.eigenpairs(inner, (n, len(inner)))[0].log1p().sum()) / 2
    inner.diagonal().add_(1)
    return float(torch.linalg.slogdet(inner).logabsdet) / 2


def knn(embeddings: Embeddings, labels: ArrayLike) -> float:
    r"""Leave-one-out accuracy, in [0, 1], of the 5 nearest neighbours by the cosine.

    Of cosines equal to the last bit the one of lower index counts; of classes with equally many
    votes, the one of lower label. An embedding of norm 0 has cosine 0. No n x n matrix is formed.

    >>> knn([[1, 0], [2, 1], [1, 3], [0, 1]], [0, 0, 1, 0])
    0.75
    """
    data = Embedded.of(embeddings, labels)
    factors, index, n = data.raw, data.index, len(data.F)
    k = min(NEIGHBOURS, n - 1)
    norms = torch.cat([block.norm(dim=1) for _, block in factors.blocks()])
    inverse = torch.where(norms > 0, 1 / norms, 0.0)
    correct = 0
    for queries in torch.arange(n, device=index.device).split(linalg.BLOCK):
        units = factors.rows(queries) * inverse[queries, None]
        cosines = units.new_empty(len(queries), n)
        for rows, block in factors.blocks():
            cosines[:, rows] = units @ block.T
        cosines *= inverse
        cosines.scatter_(1, queries[:, None], -torch.inf)
        top, nearest = cosines.topk(k)
        for row in ((cosines >= top[:, -1:]).sum(1) > k).nonzero()[:, 0]:
            nearest[row] = cosines[row].argsort(descending=True, stable=True)[:k]
        votes = torch.zeros(len(queries), len(data.counts), dtype=torch.int8, device=index.device)
        votes.scatter_add_(1, index[nearest], torch.ones_like(nearest, dtype=torch.int8))
        correct += int((votes.argmax(1) == index[queries]).sum())
    return correct / n


def linear_probe(embeddings: Embeddings, labels: ArrayLike) -> float:
    r"""Accuracy of a ridge classifier on the frozen embedding, cross-validated in 5 folds.

    The indicators Y of the classes are regressed on the embeddings,

    .. math:: W = (X^T X + \alpha I)^{-1} X^T Y,

    both centred over the training folds; the largest prediction is the class. One :math:`\alpha`
    serves all folds: of 0.001, 0.01, ..., 10 times the mean eigenvalue of the whole centred
    :math:`X^T X` (where n <= d, of those above 0), the one of least squared error on the folds left
    out. The shuffled samples of each class are dealt out in turn; fewer than 5 are a fold each.

    >>> round(linear_probe([[0], [1], [2], [5], [6], [7]], [0, 0, 0, 1, 1, 0]), 3)
    0.667
    """
    data = Embedded.of(embeddings, labels)
    factors, index, counts, n = data.centred, data.index, data.counts, len(data.F)
    rows: Callable[[Tensor], Tensor] = factors.rows
    gram = factors.gram
    if factors.wide:  # the ridge does not mind a rotation, and there are fewer than n components
        rows = factors.components(len(factors.values)).__getitem__
        gram = torch.diag(factors.values.flip(0))
    order = torch.as_tensor(np.random.default_rng(0).permutation(n), device=index.device)
    fold = torch.empty_like(index)
    fold[order[index[order].argsort(stable=True)]] = torch.arange(n, device=index.device) % FOLDS
    folds = [(fold == i).nonzero()[:, 0] for i in range(min(FOLDS, n))]
    sums = [linalg.class_sums(rows(test), index[test], len(counts)) for test in folds]
    total = torch.stack(sums).sum(0)
    mean = float(gram.trace()) / max(len(gram), 1)
    errors, correct = [0.0] * len(PENALTIES), [0] * len(PENALTIES)
    for test, fold_sums in zip(folds, sums, strict=True):
        Z, n_train = rows(test), n - len(test)
        sizes = counts - torch.bincount(index[test], minlength=len(counts))
        centre = (total - fold_sums).sum(0) / n_train
        inner = gram - Z.T @ Z - n_train * torch.outer(centre, centre)
        cross = (total - fold_sums - sizes[:, None] * centre).T
        Z -= centre
        for i, penalty in enumerate(PENALTIES):
            shifted = inner.clone()
            shifted.diagonal().add_(penalty * mean or 1.0)
            weights = torch.cholesky_solve(cross, torch.linalg.cholesky(shifted))
            predicted = Z @ weights + sizes / n_train
            target = predicted.gather(1, index[test, None])
            errors[i] += float((predicted**2).sum() - 2 * target.sum()) + len(test)
            correct[i] += int((predicted.argmax(1) == index[test]).sum())
    return correct[int(np.argmin(errors))] / n
