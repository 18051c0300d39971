r"""Linear algebra that several scores share, always on the smaller of the two Gram matrices.

With the singular value decomposition :math:`F = U \Sigma V^T` everything wanted from an
(n, d) matrix follows from the eigenvectors of :math:`F F^T` (n x n) or of :math:`F^T F` (d x d),
whichever is smaller. Callers hand over matrices of moderate scale: see :func:`scaled`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

EPS = torch.finfo(torch.float64).eps


def class_means(
    x: Float64[Tensor, "n d"], index: Int64[Tensor, " n"], counts: Int64[Tensor, " c"]
) -> Float64[Tensor, "c d"]:
    """The mean of each class."""
    sums = x.new_zeros(len(counts), x.shape[1]).index_add_(0, index, x)
    return sums / counts[:, None]


def scaled(F: Float64[Tensor, "n d"]) -> tuple[Float64[Tensor, "n d"], float]:
    """F with its largest absolute entry made 1, and that entry; zeros stay, with scale 1."""
    scale = float(F.abs().max()) or 1.0
    return F / scale, scale


def centred(F: Float64[Tensor, "n d"]) -> Float64[Tensor, "n d"]:
    """F less its mean row. Taking off a row first makes identical rows exactly zero."""
    F = F - F[0]
    return F - F.mean(0)


class Eigen(NamedTuple):
    """The eigenpairs of the smaller Gram matrix that make up its numerical rank r.

    Attributes:
        values: (r,) ascending.
        vectors: (n, r), the left singular vectors of F, where n <= d; else (d, r), the right.
    """

    values: Float64[Tensor, " r"]
    vectors: Float64[Tensor, "m r"]


def eigen(F: Float64[Tensor, "n d"]) -> Eigen:
    """Eigenpairs of the smaller Gram matrix, those above max(n, d) eps times the largest."""
    n, d = F.shape
    values, vectors = torch.linalg.eigh(F @ F.T if n <= d else F.T @ F)
    keep = values > max(n, d) * EPS * values[-1]
    return Eigen(values[keep], vectors[:, keep])


def left(F: Float64[Tensor, "n d"], found: Eigen) -> Float64[Tensor, "n r"]:
    """The left singular vectors."""
    n, d = F.shape
    return found.vectors if n <= d else F @ found.vectors / found.values.sqrt()


def energies(
    F: Float64[Tensor, "n d"], found: Eigen, Y: Float64[Tensor, "n c"]
) -> Float64[Tensor, "r c"]:
    """Squared components of the columns of Y along the left singular vectors."""
    n, d = F.shape
    if n <= d:
        return (found.vectors.T @ Y) ** 2
    return (found.vectors.T @ (F.T @ Y)) ** 2 / found.values[:, None]


def rest(
    F: Float64[Tensor, "n d"], found: Eigen, Y: Float64[Tensor, "n c"]
) -> Float64[Tensor, " c"]:
    """Squared norms of what the column space of F leaves of the columns of Y.

    Not as a difference of squares, which would leave eps where there is nothing, but as a least
    squares residual, refined once: eps squared.
    """
    n, d = F.shape
    values, vectors = found
    if len(values) == n:
        return Y.new_zeros(Y.shape[1])
    for _ in range(2):
        if n <= d:
            weights = F.T @ (vectors @ ((vectors.T @ Y) / values[:, None]))
        else:
            weights = vectors @ ((vectors.T @ (F.T @ Y)) / values[:, None])
        Y = Y - F @ weights
    return (Y**2).sum(0)


def ledoit_wolf(X: Float64[Tensor, "n d"], values: Float64[Tensor, " r"]) -> tuple[float, float]:
    """The Ledoit-Wolf shrinkage of centred samples and the mean variance it shrinks towards.

    The estimate is (1 - shrinkage) X'X/n + shrinkage mean I (Ledoit and Wolf 2004), as in
    ``sklearn.covariance.ledoit_wolf``, but from the eigenvalues of X'X, so that no d x d matrix
    is needed.
    """
    n, d = X.shape
    norms = (X**2).sum(1)
    mean = float(norms.sum()) / (n * d)
    square = float((values**2).sum()) / n**2
    noise = (float((norms**2).sum()) / n - square) / (n * d)
    spread = square / d - mean**2
    if d == 1 or spread <= 0:
        return 0.0, mean
    return min(max(noise, 0.0), spread) / spread, mean
