r"""How hard a target sample is for a source, and which samples are the hardest.

*Class-agnostic* hardness (the HASTE paper, Eqs. 1-2) is one less the similarity to the source data,
*class-specific* hardness (Eqs. 3-4) the distance to the sample's own class. Results come back in
the kind and on the device of the first array, as float64, indices as int64. Inputs, their precision
and the ``ValueError`` of bad ones are as in :mod:`hastelib.metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar, get_args

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hastelib import checks, linalg
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded, Factors
from hastelib.metrics import VARIANCE_FLOOR

Array = TypeVar("Array", np.ndarray, Tensor)
Covariance = Literal["spherical", "diagonal", "ledoit_wolf", "tied", "full"]
COVARIANCES = get_args(Covariance)


def _weighted(
    x: Float[Tensor, "n d"],
) -> Iterator[tuple[Float64[Tensor, "k d"], Float64[Tensor, " k"], Float64[Tensor, " k"]]]:
    """Blocks of rows, float64, and by what to multiply them: for the raw and for the unit rows."""
    for _, block in linalg.blocks(x):
        norms = block.norm(dim=1)
        scale = torch.ones_like(norms)
        if not ((norms > 1e-140) & (norms < 1e140)).all():  # may have over- or underflowed
            largest = block.abs().amax(1)
            scale = torch.where(largest > 0, largest, scale)
            block = block / scale[:, None]
            norms = block.norm(dim=1).clamp(min=1)  # changes only those of rows of zeros
        yield block, scale, 1 / norms


@dataclass(eq=False)
class Signature:
    """All that class-agnostic hardness needs of the source data: its mean embeddings.

    Made by :func:`source_signature`; filled batch by batch, merged, kept in a file, shipped in
    place of the data. Other layers or widths than its own raise ``ValueError``.

    Attributes:
        sums: for each layer the sum (d_l,) of the unit embeddings, float64 (for the cosine).
        raw: for each layer the sum (d_l,) of the embeddings as they are (for the dot product).
        count: the number of source samples.
        kind: ``numpy`` or ``torch``, what the layers came as and :attr:`means` go as.
        notes: where it comes from, name -> text: a file keeps them as its metadata.
    """

    sums: list[Tensor]
    raw: list[Tensor]
    count: int
    kind: str = "torch"
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def means(self) -> list[np.ndarray | Tensor]:
        """For each layer the mean unit embedding (d_l,), of norm at most 1."""
        means = [total / self.count for total in self.sums]
        return [m.cpu().numpy() for m in means] if self.kind == "numpy" else [*means]

    def update(self, layers: Iterable[ArrayLike]) -> Signature:
        """Add source samples, as :func:`source_signature` takes them, and return the signature."""
        return self.merge(source_signature(layers), "layers")

    def merge(self, other: Signature, name: str = "other") -> Signature:
        """Add the samples of another signature to this one, and return it."""
        self._check_widths(name, other.sums)
        for totals, added in ((self.sums, other.sums), (self.raw, other.raw)):
            totals[:] = [a + b.to(a.device) for a, b in zip(totals, added, strict=True)]
        self.count += other.count
        return self

    def _check_widths(self, name: str, layers: list[Tensor]) -> None:
        expected, widths = ([x.shape[-1] for x in tensors] for tensors in (self.sums, layers))
        if widths != expected:
            raise checks.refuse(name, f"layers of widths {expected}, as the signature's", widths)

    def arrays(self) -> dict[str, Tensor]:
        """Named tensors: ``layer.0``, ``raw.0`` and so on, the sums; ``count``, one int64."""
        arrays = {f"layer.{i}": total for i, total in enumerate(self.sums)}
        arrays |= {f"raw.{i}": total for i, total in enumerate(self.raw)}
        return arrays | {"count": torch.tensor(self.count)}

    @classmethod
    def of(cls, arrays: Mapping[str, Tensor], kind: str = "torch") -> Signature:
        """The inverse of :meth:`arrays`; ``ValueError`` if they are not those of a signature."""
        names = [[f"{part}.{i}" for i in range(len(arrays) // 2)] for part in ("layer", "raw")]
        if not names[0] or {*names[0], *names[1], "count"} != set(arrays):
            raise checks.refuse("arrays", "layer.0, raw.0, ... and count", sorted(arrays))
        sums, raw = ([arrays[name] for name in part] for part in names)
        for x in [*sums, *raw]:
            if x.ndim != 1 or x.dtype != torch.float64:
                raise checks.refuse("arrays", "float64 vectors", checks.describe(x))
        if [x.shape for x in sums] != [x.shape for x in raw] or not int(arrays["count"]) > 0:
            raise checks.refuse("arrays", "as wide sums and a count above 0", sorted(arrays))
        return cls(sums, raw, int(arrays["count"]), kind)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file with :meth:`arrays`; kind and notes are its metadata."""
        tensors = {name: x.cpu().contiguous() for name, x in self.arrays().items()}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path, self.notes | {"kind": self.kind})

    @classmethod
    def load(cls, path: str | Path) -> Signature:
        """Read what :meth:`save` wrote; ``ValueError`` for another file. Tensors lie on the CPU."""
        try:
            with safe_open(path, framework="pt") as file:
                notes = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return replace(cls.of(arrays, notes.pop("kind", "torch")), notes=notes)
        except (SafetensorError, ValueError) as error:
            raise checks.refuse("path", "a file of Signature.save", f"{path} ({error})") from error


def source_signature(layers: Iterable[ArrayLike]) -> Signature:
    """The signature of source data: of each layer the embeddings (m, d_l) of the same m samples.

    >>> source_signature([np.array([[3.0, 4.0]])]).means
    [array([0.6, 0.8])]
    """
    values = checks.several("layers", layers)
    tensors = checks.matrices("layers", values)
    sums, raw = [], []
    for x in tensors:
        totals = x.new_zeros(2, x.shape[1], dtype=torch.float64)
        for block, *weights in _weighted(x):
            totals.addmm_(torch.stack(weights), block)
        raw.append(totals[0].clone())
        sums.append(totals[1].clone())
    kind = "torch" if isinstance(values[0], Tensor) else "numpy"
    return Signature(sums, raw, len(tensors[0]), kind)


def class_agnostic(
    layers: Iterable[Array], signature: Signature, similarity: str = "cosine"
) -> Array:
    r"""Class-agnostic hardness: 1 less the mean similarity to all source samples (Eqs. 1-2).

    The mean over source samples of a dot product with a unit embedding is the dot product with
    the mean unit embedding :math:`m_l`, so nothing of size M x N is formed:

    .. math:: H(x) = 1 - \frac1L \sum_{l=1}^L \frac1M \sum_{i=1}^M \cos(e_l(x_i^s), e_l(x))
        = 1 - \frac1L \sum_{l=1}^L \left\langle m_l, \frac{e_l(x)}{|e_l(x)|} \right\rangle .

    From each layer's embeddings (n, d_l), (n,) numbers between 0 and 2, to rounding; an embedding
    of norm 0 has cosine 0. The paper calls Eq. 1 a cosine and prints a dot product:
    ``similarity="dot"`` has :math:`e_l` in place of the unit embeddings on both sides. It has no
    bounds; its order counts.

    >>> signature = source_signature([np.array([[3.0, 4.0]])])
    >>> class_agnostic([np.array([[6.0, 8.0], [-4.0, 3.0]])], signature).round(3)
    array([0., 1.])
    """
    checks.choice("similarity", similarity, ("cosine", "dot"))
    if not isinstance(signature, Signature):
        raise checks.refuse("signature", "a Signature", checks.describe(signature))
    values = checks.several("layers", layers)
    tensors = checks.matrices("layers", values)
    signature._check_widths("layers", tensors)
    similarities, cosine = [], similarity == "cosine"
    for x, total in zip(tensors, signature.sums if cosine else signature.raw, strict=True):
        mean = (total / signature.count).to(x.device)
        parts = [(block @ mean) * (unit if cosine else raw) for block, raw, unit in _weighted(x)]
        similarities.append(torch.cat(parts).to(tensors[0].device))
    return checks.like(values[0], 1 - torch.stack(similarities).mean(0))


def class_specific(embeddings: Array, labels: ArrayLike, covariance: str = "spherical") -> Array:
    r"""Class-specific hardness: the Mahalanobis distance to the own class (Eqs. 3-4).

    .. math:: H(x) = \sqrt{(x - \mu_c)^T \Sigma_c^{-1} (x - \mu_c)}

    with the mean :math:`\mu_c` of the class and, by ``covariance``, as :math:`\Sigma_c`

    - ``spherical``: the class's mean variance, at least 1e-4, times the identity: every class has
      the mean squared hardness d (unless the floor acts);
    - ``diagonal``: the class's variances, each at least 1e-4;
    - ``ledoit_wolf``: the class's covariance, Ledoit-Wolf shrunk;
    - ``tied``: the covariance within all classes pooled, Ledoit-Wolf shrunk;
    - ``full``: the class's covariance as it is, as Eq. 4 has it. With :math:`N_c \le d + 1`
      samples in general position every one is at :math:`\sqrt{N_c - 1}` exactly, so such classes
      are refused, as are those of a rank below d. Nearly dependent dimensions cost it digits.

    All are biased (divided by the number of samples). From (n, d) embeddings and (n,) labels the
    (n,) hardness, 0 in a class of one sample or of identical ones.

    >>> class_specific(np.array([[0.0], [1.0], [5.0], [7.0]]), [0, 0, 0, 1]).round(3)
    array([0.926, 0.463, 1.389, 0.   ])
    """
    checks.choice("covariance", covariance, COVARIANCES)
    data = Embedded(embeddings, labels, least=1)
    X = data.F
    tied = X.new_empty(X.shape if covariance == "tied" else 0, dtype=torch.float64)
    squares = X.new_empty(len(X), dtype=torch.float64)
    for label, rows in zip(data.classes, linalg.groups(data.index, data.counts), strict=True):
        residuals = X[rows].double()
        residuals = residuals - residuals[0]  # which makes identical rows exactly zero
        residuals -= residuals.mean(0)
        if covariance == "tied":
            tied[rows] = residuals
        elif covariance == "full":
            squares[rows] = _full_squares(residuals, int(label))
        elif covariance == "ledoit_wolf":
            squares[rows] = _shrunk_squares(residuals)
        else:
            residuals.square_()
            variances = residuals.mean(0) if covariance == "diagonal" else residuals.mean()
            squares[rows] = (residuals / variances.clamp(min=VARIANCE_FLOOR)).sum(1)
    squares = _shrunk_squares(tied) if covariance == "tied" else squares
    return checks.like(embeddings, squares.clamp(min=0).sqrt())


def _shrunk_squares(residuals: Float64[Tensor, "n d"]) -> Float64[Tensor, " n"]:
    """Squared Mahalanobis distances under the Ledoit-Wolf covariance of the residuals."""
    factors = Factors(residuals)  # the distances do not depend on the scale
    return factors.left() ** 2 @ (factors.values / factors.ledoit_wolf()[1])


def _full_squares(residuals: Float64[Tensor, "n d"], label: int) -> Float64[Tensor, " n"]:
    """Squared Mahalanobis distances under the covariance as it is."""
    n, d = residuals.shape
    remedy = "choose another covariance, such as 'ledoit_wolf', or fewer dimensions"
    if n <= d + 1:
        expected = f"more than d + 1 = {d + 1} samples in each class for covariance 'full'"
        why = "with so few in general position every sample is at sqrt(N_c - 1) exactly"
        got = f"{n} in class {label}: {why}, which ranks nothing; {remedy}"
        raise checks.refuse("labels", expected, got)
    factors = Factors(residuals)
    if (rank := len(factors.values)) < d:
        got = f"rank {rank} in class {label}, whose covariance has no inverse; {remedy}"
        raise checks.refuse("embeddings", f"rank d = {d} in each class for covariance 'full'", got)
    return (factors.left() ** 2).sum(1) * n


def hardest(scores: Array, fraction: float | int, labels: ArrayLike | None = None) -> Array:
    r"""The indices of the hardest samples, the hardest first (the HASTE paper, Algorithm 1).

    They are the ``fraction``, in (0, 1], of n scores, less 1e-9 for its rounding, rounded up; of
    equally hard samples the one of lower index comes first. With (n,) ``labels`` they are that
    share of every class, at least one sample: the classes are controlled, as Sec. 4.1 words it.

    >>> hardest(np.array([0.1, 0.9, 0.5, 0.7]), 0.5)
    array([1, 3])
    """
    values = checks.vector("scores", scores)
    fraction = checks.positive("fraction", fraction, most=1)
    order: Int64[Tensor, " n"] = torch.argsort(values, descending=True, stable=True)
    if labels is None:
        k = math.ceil(fraction * len(values) - 1e-9)
        if k < 1:
            raise checks.refuse("fraction", f"at least one of {len(values)} samples", fraction)
        return checks.like(scores, order[:k])
    checks.aligned("scores", scores, "labels", labels)
    index, counts, _ = checks.classes("labels", labels, values)
    kept = torch.zeros_like(order, dtype=torch.bool)
    for ranks in linalg.groups(index[order], counts):
        kept[ranks[: max(1, math.ceil(fraction * len(ranks) - 1e-9))]] = True
    return checks.like(scores, order[kept])
