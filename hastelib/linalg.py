r"""Linear algebra that several scores share, always on the smaller of the two Gram matrices.

With the singular value decomposition :math:`F = U \Sigma V^T` everything wanted from an
(n, d) matrix follows from the eigenvectors of :math:`F F^T` (n x n) or of :math:`F^T F` (d x d),
whichever is smaller.
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from hastelib import checks
from hastelib.checks import ArrayLike

EPS = torch.finfo(torch.float64).eps


def class_means(
    x: Float64[Tensor, "n d"], index: Int64[Tensor, " n"], counts: Int64[Tensor, " c"]
) -> Float64[Tensor, "c d"]:
    """The mean of each class."""
    sums = x.new_zeros(len(counts), x.shape[1]).index_add_(0, index, x)
    return sums / counts[:, None]


def class_moments(
    x: Float64[Tensor, "n d"], index: Int64[Tensor, " n"], counts: Int64[Tensor, " c"]
) -> tuple[Float64[Tensor, "c d"], Float64[Tensor, "c d"]]:
    """The mean and the biased variance of each class, a class at a time: it stays in the cache."""
    means, variances = [], []
    for rows in groups(index, counts):
        part = x.index_select(0, rows)
        means.append(part.mean(0))
        variances.append((part - means[-1]).square_().mean(0))
    return torch.stack(means), torch.stack(variances)


def groups(index: Int64[Tensor, " n"], counts: Int64[Tensor, " c"]) -> tuple[Tensor, ...]:
    """For each class the indices of its samples, in their order."""
    return torch.split(torch.argsort(index, stable=True), counts.tolist())


def centred(F: Float64[Tensor, "n d"]) -> Float64[Tensor, "n d"]:
    """F less its mean row. Taking off a row first makes identical rows exactly zero."""
    F = F - F[0]
    return F.sub_(F.mean(0))


class Factors:
    """A matrix, and what follows from the eigenpairs of its smaller Gram matrix, found once.

    The matrix is kept as X, with its largest absolute entry made 1 (zeros stay, with scale 1), so
    that nothing over- or underflows.

    Attributes:
        X: (n, d).
        scale: the matrix is ``scale * X``.
    """

    def __init__(self, F: Float64[Tensor, "n d"]) -> None:
        self.scale = max(abs(float(end)) for end in F.aminmax()) or 1.0
        self.X = F / self.scale

    @property
    def wide(self) -> bool:
        """Whether n <= d, so that the smaller Gram matrix is that of the rows."""
        return self.X.shape[0] <= self.X.shape[1]

    @functools.cached_property
    def gram(self) -> Float64[Tensor, "m m"]:
        """The smaller Gram matrix of X: X X' where n <= d, else X'X."""
        return self.X @ self.X.T if self.wide else self.X.T @ self.X

    @functools.cached_property
    def _pairs(self) -> tuple[Float64[Tensor, " r"], Float64[Tensor, "m r"]]:
        values, vectors = torch.linalg.eigh(self.gram)
        keep = values > max(self.X.shape) * EPS * values[-1]
        return values[keep], vectors[:, keep]

    @property
    def values(self) -> Float64[Tensor, " r"]:
        """The eigenvalues that make up the numerical rank r, ascending.

        They are those above max(n, d) eps times the largest.
        """
        return self._pairs[0]

    @property
    def vectors(self) -> Float64[Tensor, "m r"]:
        """Their eigenvectors: the left singular vectors (n, r) where n <= d, else the right."""
        return self._pairs[1]

    def left(self) -> Float64[Tensor, "n r"]:
        """The left singular vectors."""
        return self.vectors if self.wide else self.X @ self.vectors / self.values.sqrt()

    def components(self, count: int) -> Float64[Tensor, "n k"]:
        """The scores of the leading ``count`` principal components of X, zeros beyond its rank."""
        values, vectors = self.values.flip(0)[:count], self.vectors.flip(1)[:, :count]
        scores = vectors * values.sqrt() if self.wide else self.X @ vectors
        return torch.nn.functional.pad(scores, (0, count - len(values)))

    def energies(self, Y: Float64[Tensor, "n c"]) -> Float64[Tensor, "r c"]:
        """Squared components of the columns of Y along the left singular vectors."""
        if self.wide:
            return (self.vectors.T @ Y) ** 2
        return (self.vectors.T @ (self.X.T @ Y)) ** 2 / self.values[:, None]

    def rest(
        self, Y: Float64[Tensor, "n c"], energies: Float64[Tensor, "r c"]
    ) -> Float64[Tensor, " c"]:
        """Squared norms of what the column space leaves of the columns of Y.

        Where next to nothing is left, not as the difference of squares, which would leave eps
        where there is nothing, but as a least squares residual, refined once: eps squared.
        """
        X, values, vectors = self.X, self.values, self.vectors
        if len(values) == len(X):
            return Y.new_zeros(Y.shape[1])
        whole = (Y**2).sum(0)
        found = whole - energies.sum(0)
        little = found < 1e-5 * whole
        Y = Y[:, little]
        for _ in range(2):
            if self.wide:
                weights = X.T @ (vectors @ ((vectors.T @ Y) / values[:, None]))
            else:
                weights = vectors @ ((vectors.T @ (X.T @ Y)) / values[:, None])
            Y = Y - X @ weights
        found[little] = (Y**2).sum(0)
        return found

    def ledoit_wolf(self) -> tuple[float, float]:
        """The Ledoit-Wolf shrinkage of centred samples, and the mean variance it shrinks towards.

        The estimate is (1 - shrinkage) X'X/n + shrinkage mean I (Ledoit and Wolf 2004), as in
        ``sklearn.covariance.ledoit_wolf``, but from the eigenvalues, without a d x d matrix.
        """
        n, d = self.X.shape
        norms = (self.X**2).sum(1)
        mean = float(norms.sum()) / (n * d)
        square = float((self.values**2).sum()) / n**2
        noise = (float((norms**2).sum()) / n - square) / (n * d)
        spread = square / d - mean**2
        if d == 1 or spread <= 0:
            return 0.0, mean
        return min(max(noise, 0.0), spread) / spread, mean


class Embedded:
    """Checked embeddings and labels, and the factors of the matrix as it is and centred.

    Attributes:
        F: (n, d).
        index: (n,) classes renumbered from 0.
        counts: (c,) their sizes.
    """

    def __init__(self, embeddings: ArrayLike, labels: ArrayLike, least: int = 2) -> None:
        self.F, self.index, self.counts = checks.embedded(embeddings, labels, least)

    @functools.cached_property
    def raw(self) -> Factors:
        """Of F."""
        found = Factors(self.F)
        # Where the centred Gram matrix is there, this one is that plus the mean's share: a sum
        # of positive parts, so nothing cancels.
        if "centred" in vars(self) and "gram" in vars(self.centred):
            other = self.centred
            ratio, mean = other.scale / found.scale, found.X.mean(0)
            if found.wide:
                along = ratio * (other.X @ mean)
                share = along[:, None] + along + mean @ mean
            else:
                share = len(self.F) * torch.outer(mean, mean)
            found.gram = ratio**2 * other.gram + share
        return found

    @functools.cached_property
    def centred(self) -> Factors:
        """Of F less its mean."""
        return Factors(centred(self.F))

    def indicators(self) -> Float64[Tensor, "n c"]:
        """One column a class, 1 for its samples."""
        return torch.nn.functional.one_hot(self.index, len(self.counts)).double()
