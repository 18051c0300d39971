"""Metrics of what a source predicts: LEEP and its kin, NCE. They are at most 0."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from hastelib import checks, linalg
from hastelib.checks import ArrayLike


def _eep(name: str, value: ArrayLike, labels: ArrayLike) -> Float64[Tensor, " n"]:
    """As :func:`eep`. The probabilities are checked and renormalised in blocks, without a copy."""
    checks.aligned(name, value, "labels", labels)
    probs = checks.stored(name, value, "(n, z)", finite=False)
    index, counts, _ = checks.classes("labels", labels, probs)
    joint = probs.new_zeros(len(counts), probs.shape[1], dtype=torch.float64)
    totals = probs.new_empty(len(probs), dtype=torch.float64)
    least = totals.new_full((), torch.inf)
    for rows, block in linalg.blocks(probs, own=True):
        totals[rows] = block.sum(1)
        least = torch.minimum(least, block.amin())
        joint.index_add_(0, index[rows], block.mul_(totals[rows].reciprocal()[:, None]))
    # NaN fails here too; the full check decides, whose tolerance is larger in bfloat16.
    if not (least >= 0 and (totals - 1).abs().amax() <= checks.TOLERANCE):
        checks.probabilities(name, probs)
    mass = joint.sum(0)
    joint /= torch.where(mass > 0, mass, 1.0)
    expected = torch.empty_like(totals)
    for rows, block in linalg.blocks(probs):
        expected[rows] = joint.index_select(0, index[rows]).mul_(block).sum(1)
    return expected / totals


def _eeps(probs_list: Iterable[ArrayLike], labels: ArrayLike) -> list[Float64[Tensor, " n"]]:
    members = checks.several("probs_list", probs_list)
    matrices = checks.matrices("probs_list", members, "(n, z)", finite=False)
    checks.aligned("probs_list[0]", members[0], "labels", labels)
    eeps = [_eep(f"probs_list[{i}]", p, labels) for i, p in enumerate(matrices)]
    return [x.to(eeps[0].device) for x in eeps]


def _mean_log(probability: Float64[Tensor, " n"]) -> float:
    return min(float(probability.log().mean()), 0.0)  # rounding may lead above 0


def eep(probs: ArrayLike, labels: ArrayLike) -> np.ndarray | Tensor:
    r"""The expected empirical prediction of each sample's own label, what LEEP averages the log of.

    .. math:: \mathrm{EEP}_i = \sum_z \hat P(y_i \mid z)\, p_{iz},

    (n,) probabilities above 0, in the kind of ``probs``.

    >>> eep([[1, 0], [0.5, 0.5]], [0, 1]).round(3)
    array([0.667, 0.667])
    """
    return checks.like(probs, _eep("probs", probs, labels))


def leep(probs: ArrayLike, labels: ArrayLike) -> float:
    r"""Log expected empirical prediction (Nguyen et al. 2020; the HASTE paper, Eq. 6).

    .. math:: \mathrm{LEEP} = \frac{1}{n} \sum_{i=1}^n \log \sum_{z} \hat P(y_i \mid z)\, p_{iz},
        \qquad
        \hat P(y \mid z) = \frac{\sum_{i : y_i = y} p_{iz}}{\sum_i p_{iz}},

    where the source gives its class z for sample i the probability :math:`p_{iz}`. A source class
    without mass contributes nothing.

    >>> round(leep([[1, 0], [0.5, 0.5]], [0, 1]), 3)
    -0.405
    """
    return _mean_log(_eep("probs", probs, labels))


def ms_leep(probs_list: Iterable[ArrayLike], labels: ArrayLike) -> float:
    r"""Multi-source LEEP of an ensemble, the sum of its members' (Agostinelli et al. 2022).

    HASTE-MS-LEEP is the same sum with each member's :func:`leep` on its own hard subset.

    >>> round(ms_leep([[[1, 0], [0.5, 0.5]], [[0.5, 0.5], [0, 1]]], [0, 1]), 3)
    -0.811
    """
    return sum(_mean_log(eep) for eep in _eeps(probs_list, labels))


def e_leep(probs_list: Iterable[ArrayLike], labels: ArrayLike) -> float:
    r"""Ensemble LEEP, the log of S members' mean prediction (Agostinelli et al. 2022).

    .. math:: \text{E-LEEP} = \frac{1}{n} \sum_{i=1}^n \log \frac{1}{S} \sum_{s=1}^S
        \sum_{z} \hat P_s(y_i \mid z)\, p^{(s)}_{iz}

    >>> round(e_leep([[[1, 0], [0.5, 0.5]], [[0.5, 0.5], [0, 1]]], [0, 1]), 3)
    -0.405
    """
    return _mean_log(torch.stack(_eeps(probs_list, labels)).mean(0))


def nce(source_labels: ArrayLike, labels: ArrayLike) -> float:
    r"""Negative conditional entropy of the labels given hard source labels (Tran et al. 2019).

    .. math:: \mathrm{NCE} = -H(Y \mid Z)
        = \sum_{y, z} \frac{n_{yz}}{n} \log \frac{n_{yz}}{n_z},

    with :math:`n_{yz}` samples of target label y and source label z, the (n,) most probable classes
    of the source, and :math:`0 \log 0 = 0`.

    >>> round(nce([0, 0, 1, 1], [0, 1, 2, 2]), 3)
    -0.347
    """
    checks.aligned("source_labels", source_labels, "labels", labels)
    source, counts, _ = checks.classes("source_labels", source_labels)
    target, classes, _ = checks.classes("labels", labels, source)
    pair = source * len(classes) + target
    if len(counts) * len(classes) > checks.COUNTED * len(pair):  # so many that most have no sample
        pair = torch.unique(pair, return_inverse=True)[1]
    return _mean_log(torch.bincount(pair)[pair].double() / counts[source])
