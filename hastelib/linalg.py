r"""Linear algebra that several scores share, always on the smaller of the two Gram matrices.

Everything wanted from an (n, d) matrix :math:`F = U \Sigma V^T` follows from the eigenvectors of
:math:`F F^T` or :math:`F^T F`. Where n > d it is read in blocks of rows, in the float type it came
in: no copy of it is made.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from hastelib import checks
from hastelib.checks import ArrayLike

Index = Int64[Tensor, " n"]  # each sample's class, renumbered from 0
Counts = Int64[Tensor, " c"]  # the classes' sizes
Pairs = tuple[Float64[Tensor, " r"], Float64[Tensor, "m r"]]  # eigenvalues and eigenvectors
Blocks = Iterator[tuple[slice, Float64[Tensor, "k d"]]]  # which rows, and the rows
BLOCK = 256  # rows at a time: they stay in the processor's cache
CLASSES = 64  # whose indicators are dense at a time


def blocks(x: Float[Tensor, "n d"], step: int = BLOCK, own: bool = False) -> Blocks:
    """The rows in blocks, as float64, valid until the next; with ``own`` they may be changed."""
    step = step if x.device.type == "cpu" else 64 * step
    size = (min(step, len(x)), x.shape[1])
    buffer = x.new_empty(size, dtype=torch.float64) if own or x.dtype != torch.float64 else None
    for start in range(0, len(x), step):
        block = x[start : start + step]
        rows = slice(start, start + len(block))
        yield rows, block if buffer is None else buffer[: len(block)].copy_(block)


def class_sums(x: Float64[Tensor, "n d"], index: Index, classes: int) -> Float64[Tensor, "c d"]:
    """The sum of each class: Y'x, without the indicators Y."""
    return x.new_zeros(classes, x.shape[1]).index_add_(0, index, x)


def groups(index: Index, counts: Counts) -> tuple[Tensor, ...]:
    """For each class the indices of its samples, in their order."""
    return torch.split(torch.argsort(index, stable=True), counts.tolist())


def eigenpairs(gram: Float64[Tensor, "m m"], shape: tuple[int, int]) -> Pairs:
    """Eigenvalues above max(n, d) eps times the largest, ascending, and their eigenvectors."""
    values, vectors = torch.linalg.eigh(gram)
    keep = values > max(shape) * torch.finfo(torch.float64).eps * values[-1]
    return values[keep], vectors[:, keep]


class Factors:
    """A matrix F (n, d) of any float type, and what follows from its smaller Gram matrix.

    ``X`` is (F - offset) / scale, with the largest absolute entry of F as the scale, or 1 where
    that is 0, so that nothing over- or underflows. It is ``wide`` where n <= d. Given the
    ``centred`` factors of F, the Gram matrix is theirs plus the mean's share: nothing cancels, and
    the last digits do not depend on what was asked for before.
    """

    def __init__(
        self, F: Float[Tensor, "n d"], offset: Tensor | None = None, centred: Factors | None = None
    ) -> None:
        self.F, self.shape, self.centred = F, (F.shape[0], F.shape[1]), centred
        self.offset = F.new_zeros(1, dtype=torch.float64) if offset is None else offset
        self.scale = max(abs(float(end)) for end in F.aminmax()) or 1.0
        self.wide = self.shape[0] <= self.shape[1]

    @functools.cached_property
    def X(self) -> Float64[Tensor, "n d"]:  # noqa: N802
        """The matrix, which is kept where n <= d only."""
        return self.rows(slice(None))

    def rows(self, which: slice | Tensor) -> Float64[Tensor, "k d"]:
        """Some rows of X."""
        return (self.F[which].double() - self.offset).div_(self.scale)

    def blocks(self) -> Blocks:
        """The rows of X block by block."""
        if self.wide:
            yield slice(None), self.X
        else:
            for rows, block in blocks(self.F, 4 * BLOCK):
                yield rows, (block - self.offset).div_(self.scale)

    def times(self, W: Float64[Tensor, "d k"]) -> Float64[Tensor, "n k"]:
        """X W."""
        return torch.cat([block @ W for _, block in self.blocks()])

    def transposed_times(self, Y: Float64[Tensor, "n k"] | None = None) -> Float64[Tensor, "d k"]:
        """X'Y, or X'X."""
        d = self.shape[1]
        total = self.F.new_zeros(d, d if Y is None else Y.shape[1], dtype=torch.float64)
        for rows, block in self.blocks():
            total.addmm_(block.T, block if Y is None else Y[rows])
        return total

    def class_sums(self, index: Index, classes: int) -> Float64[Tensor, "c d"]:
        """The sum of each class in X."""
        sums = self.F.new_zeros(classes, self.shape[1], dtype=torch.float64)
        for rows, block in self.blocks():
            sums.index_add_(0, index[rows], block)
        return sums

    @functools.cached_property
    def gram(self) -> Float64[Tensor, "m m"]:
        """The smaller Gram matrix of X, which is X X' where n <= d, else X'X."""
        if self.centred is None:
            return self.X @ self.X.T if self.wide else self.transposed_times()
        mean = self.centred.offset / self.scale
        if not self.wide:
            return self.centred.gram + len(self.F) * torch.outer(mean, mean)
        dots = self.centred.X @ mean
        return self.centred.gram + (dots[:, None] + dots + mean @ mean)

    @functools.cached_property
    def pairs(self) -> Pairs:
        """The eigenpairs, with the left singular vectors (n, r) where n <= d, else the right."""
        return eigenpairs(self.gram, self.shape)

    @property
    def values(self) -> Float64[Tensor, " r"]:
        """The eigenvalues."""
        return self.pairs[0]

    def left(self) -> Float64[Tensor, "n r"]:
        """The left singular vectors."""
        values, vectors = self.pairs
        return vectors if self.wide else self.times(vectors / values.sqrt())

    def components(self, count: int) -> Float64[Tensor, "n k"]:
        """The scores of the leading ``count`` principal components of X, zeros beyond its rank."""
        values, vectors = self.values.flip(0)[:count], self.pairs[1].flip(1)[:, :count]
        scores = vectors * values.sqrt() if self.wide else self.times(vectors)
        return torch.nn.functional.pad(scores, (0, count - len(values)))

    def energies(self, index: Index, counts: Counts) -> Float64[Tensor, "c r"]:
        """Squared components of each class's indicator along the left singular vectors."""
        values, vectors = self.pairs
        if self.wide:
            return class_sums(vectors, index, len(counts)).square_()
        return (self.class_sums(index, len(counts)) @ vectors).square_().div_(values)

    def rest(
        self, index: Index, counts: Counts, energies: Float64[Tensor, "c r"]
    ) -> Float64[Tensor, " c"]:
        """Squared norms of the indicators' parts outside the column space."""
        values, vectors = self.pairs
        rest = counts - energies.sum(1)
        if len(values) == len(self.F):
            return torch.zeros_like(rest)
        # Where next to nothing is left, the difference of squares is only rounding, about eps: it
        # is computed as a least squares residual, refined once, which is good to eps squared.
        for classes in (rest < 1e-5 * counts).nonzero()[:, 0].split(CLASSES):
            Y = (index[:, None] == classes).double()
            for _ in range(2):
                inner = vectors.T @ (Y if self.wide else self.transposed_times(Y))
                weights = vectors @ (inner / values[:, None])
                Y -= self.times(self.X.T @ weights if self.wide else weights)
            rest[classes] = Y.square_().sum(0)
        return rest

    def ledoit_wolf(self) -> tuple[float, Float64[Tensor, " r"]]:
        """The shrinkage of X'X/n, X centred, and its shrunk eigenvalues (Ledoit and Wolf 2004).

        As scikit-learn's, but from the eigenvalues, without a d x d matrix.
        """
        n, d = self.shape
        norms = torch.cat([(block**2).sum(1) for _, block in self.blocks()])
        mean = float(norms.sum()) / (n * d)
        square = float((self.values**2).sum()) / n**2
        noise = (float((norms**2).sum()) / n - square) / (n * d)
        spread = square / d - mean**2
        shrinkage = 0.0 if d == 1 or spread <= 0 else min(max(noise, 0.0), spread) / spread
        return shrinkage, (1 - shrinkage) * self.values / n + shrinkage * mean


class Embedded:
    """Checked embeddings F, of the float type they came in, and labels, renumbered and counted."""

    def __init__(
        self, embeddings: ArrayLike, labels: ArrayLike, least: int = 2, name: str = "embeddings"
    ) -> None:
        checks.aligned(name, embeddings, "labels", labels)
        self.F = checks.stored(name, embeddings)
        checks.moderate(name, self.F)
        self.index, self.counts, self.classes = checks.classes("labels", labels, self.F, least)

    @classmethod
    def of(cls, embeddings: Embeddings, labels: ArrayLike) -> Embedded:
        """The embeddings themselves where they are checked already."""
        return embeddings if isinstance(embeddings, Embedded) else cls(embeddings, labels)

    @functools.cached_property
    def raw(self) -> Factors:
        """The factors of F."""
        return Factors(self.F, centred=self.centred)

    @functools.cached_property
    def centred(self) -> Factors:
        """The factors of F less its mean, which makes identical rows exactly zero."""
        first = self.F[0].double()
        total = torch.zeros_like(first)
        for _, block in blocks(self.F):
            total += (block - first).sum(0)
        return Factors(self.F, first + total / len(self.F))


Embeddings = ArrayLike | Embedded
