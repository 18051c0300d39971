"""Metrics from one pass over the samples, in memory that does not grow with their number."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from hastelib import checks, linalg
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded
from hastelib.metrics.embeddings import saturated
from hastelib.metrics.evidence import maximum

EXACT = 1e-13  # the share of a class's squared norm below which a fit counts as exact


class Moments:
    r"""What LogME, the H-score and a PCA need of the samples, added up batch by batch.

    That is their number and mean, the Gram matrix about it and the sums of the classes:
    :math:`O(d^2 + cd)` memory. Two merge into the moments of all their samples (Chan et al. 1982).

    The scores equal :func:`logme` and :func:`h_score` to 1e-8, and refuse and warn as they do, with
    three exceptions. Nearly dependent columns cost the H-score digits on both sides. Where a fit
    leaves a share s below 1e-7 of a class's labels, LogME is good to about 1e-15 / s, and below
    1e-13 the fit counts as exact. And where the mean lies r > 300 times the spread from the origin,
    it is good to :math:`10^{-13} r^2`.

    Attributes:
        n: the number of samples so far.
        classes: their labels, as they were met.

    >>> first, second = Moments().update([[0], [1]], [0, 0]), Moments().update([[2], [3]], [1, 1])
    >>> round(first.merge(second).h_score(), 3)
    0.8
    """

    def __init__(self) -> None:
        self.n = 0
        self.classes: list[int] = []
        self._torch = False
        # The mean of the embeddings divided by the scale; about it, their Gram matrix (d, d) and
        # the sums (c, d) of the classes.
        self._scale = 1.0
        self._mean = self._gram = self._sums = self._counts = torch.zeros(0)

    def update(self, batch: ArrayLike, labels: ArrayLike) -> Moments:
        """Add samples, (m, d) embeddings and (m,) integers, and return self."""
        data, new = Embedded(batch, labels, least=1, name="batch"), Moments()
        factors, new.n = data.centred, len(data.F)
        new.classes, new._counts = data.classes.tolist(), data.counts
        new._torch, new._scale = isinstance(batch, Tensor), factors.scale
        new._mean, new._gram = factors.offset / factors.scale, factors.transposed_times()
        new._sums = factors.class_sums(data.index, len(data.counts))
        return self.merge(new, "batch")

    def merge(self, other: Moments, name: str = "other") -> Moments:
        """Add the samples of another, which stays as it is, and return self."""
        if not other.n:
            return self
        if not self.n:
            vars(self).update(vars(other) | {"_gram": other._gram.clone()})
            return self
        if len(other._mean) != len(self._mean):
            raise checks.refuse(name, f"embeddings of width {len(self._mean)}", len(other._mean))
        scale, n, device = max(self._scale, other._scale), self.n + other.n, self._mean.device
        a, b = self._scale / scale, other._scale / scale
        old, new, counts = a * self._mean, b * other._mean.to(device), other._counts.to(device)
        gap, mean = new - old, old + other.n / n * (new - old)
        self._gram.mul_(a**2).add_(other._gram.to(device), alpha=b**2)
        self._gram.addr_(gap, gap, alpha=self.n * other.n / n)
        # The sums are about the new mean.
        sums = a * self._sums + self._counts[:, None] * (old - mean)
        other_sums = b * other._sums.to(device) + counts[:, None] * (new - mean)
        self.classes = list(dict.fromkeys([*self.classes, *other.classes]))
        position = {label: row for row, label in enumerate(self.classes)}
        rows = torch.tensor([position[label] for label in other.classes], device=device)
        added = len(self.classes) - len(sums)
        self._sums = torch.nn.functional.pad(sums, (0, 0, 0, added)).index_add_(0, rows, other_sums)
        self._counts = torch.nn.functional.pad(self._counts, (0, added)).index_add_(0, rows, counts)
        self.n, self._scale, self._mean = n, scale, mean
        return self

    def _factored(self, centred: bool) -> tuple[Float64[Tensor, " r"], Float64[Tensor, "c r"]]:
        """Eigenvalues of the Gram matrix, with the mean put back or not, and the energies."""
        if len(self.classes) < 2:
            raise checks.refuse("labels", "at least 2 classes", f"{self.classes} so far")
        gram, sums = self._gram, self._sums
        if not centred:
            gram = torch.addr(gram, self._mean, self._mean, alpha=self.n)
            sums = sums + self._counts[:, None] * self._mean
        values, vectors = linalg.eigenpairs(gram, (self.n, len(gram)))
        return values, (sums @ vectors).square_().div_(values)

    def logme(self) -> float:
        """LogME of all samples."""
        values, energies = self._factored(centred=False)
        rest = self._counts - energies.sum(1)
        rest[rest < (EXACT if len(values) < self.n else torch.inf) * self._counts] = 0
        return maximum((values, energies, rest, self.n))

    def h_score(self) -> float:
        """The H-score of all samples, without shrinkage."""
        values, energies = self._factored(centred=True)
        saturated(len(values), self.n)
        return min(float((energies / self._counts[:, None]).sum()), len(self.classes) - 1.0)

    def pca(self, components: int) -> tuple[np.ndarray | Tensor, ...]:
        """The leading principal components, as many as there are, in the kind of the first batch.

        The mean (d,), the axes (k, d) and the variances (k,) along them, divided by n - 1.
        """
        count = checks.whole("components", components, 1)
        if self.n < 2:
            raise checks.refuse("batch", "at least 2 samples", f"{self.n} so far")
        values, vectors = linalg.eigenpairs(self._gram, (self.n, len(self._gram)))
        variances = values.flip(0)[:count] * self._scale**2 / (self.n - 1)
        tensors = self._mean * self._scale, vectors.flip(1)[:, :count].T, variances
        return tensors if self._torch else tuple(x.cpu().numpy() for x in tensors)
