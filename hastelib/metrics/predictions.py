"""Metrics of what a source predicts: LEEP and its kin, NCE."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from hastelib import checks, linalg
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded, Embeddings
from hastelib.metrics.separation import SaturatedScoreWarning


def empirical_conditional(
    probs: Float64[Tensor, "n z"], index: Int64[Tensor, " n"], classes: int
) -> Float64[Tensor, "c z"]:
    """P(y|z) from the soft joint distribution; zeros for a source class without mass."""
    joint = linalg.class_sums(probs, index, classes)
    mass = joint.sum(0)
    return joint / torch.where(mass > 0, mass, 1.0)


def _expected_predictions(
    name: str, probs: Float[Tensor, "n z"], index: Int64[Tensor, " n"], classes: int
) -> Float64[Tensor, " n"]:
    """EEP: the probability that the empirical predictor gives each sample's own label.

    The probabilities are checked and renormalised on the way; nothing of their size is made.
    """
    joint = probs.new_zeros(classes, probs.shape[1], dtype=torch.float64)
    totals = probs.new_empty(len(probs), dtype=torch.float64)
    least = totals.new_full((), torch.inf)
    for rows, block in linalg.blocks(probs):
        totals[rows] = block.sum(1)
        least = torch.minimum(least, block.amin())
        joint.index_add_(0, index[rows], block * totals[rows].reciprocal()[:, None])
    # Put so that NaN fails; in bfloat16 the check proper may yet let the probabilities pass.
    if not (least >= 0 and (totals - 1).abs().amax() <= checks.TOLERANCE):
        checks.probabilities(name, probs)
    mass = joint.sum(0)
    joint /= torch.where(mass > 0, mass, 1.0)
    expected = torch.empty_like(totals)
    for rows, block in linalg.blocks(probs):
        expected[rows] = joint.index_select(0, index[rows]).mul_(block).sum(1)
    return expected / totals


def eep(probs: ArrayLike, labels: ArrayLike) -> np.ndarray | Tensor:
    r"""The expected empirical prediction of each sample's own label, what LEEP averages the log of.

    .. math:: \mathrm{EEP}_i = \sum_z \hat P(y_i \mid z)\, p_{iz},

    (n,) probabilities above 0, in the kind of ``probs``.
    """
    checks.aligned("probs", probs, "labels", labels)
    p = checks.stored("probs", probs, "(n, z)", finite=False)
    index, counts = checks.classes("labels", checks.labels("labels", labels, len(p), p.device))
    return checks.like(probs, _expected_predictions("probs", p, index, len(counts)))


def _several(probs_list: Iterable[ArrayLike], labels: ArrayLike) -> list[Float64[Tensor, " n"]]:
    """The expected empirical predictions of each source."""
    sources = checks.matrices("probs_list", probs_list, "(n, z)", finite=False)
    n, home = len(sources[0]), sources[0].device
    index, counts = checks.classes("labels", checks.labels("labels", labels, n, home))
    return [
        _expected_predictions(f"probs_list[{i}]", p, index.to(p.device), len(counts)).to(home)
        for i, p in enumerate(sources)
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
    """
    return _mean_log(torch.as_tensor(eep(probs, labels)))


def ms_leep(probs_list: Iterable[ArrayLike], labels: ArrayLike) -> float:
    r"""Multi-source LEEP of an ensemble: the sum of its members' :func:`leep`.

    Source: Agostinelli et al. (2022), *Transferability metrics for selecting source model
    ensembles*. HASTE-MS-LEEP, where every source has its own hard subset, is the same sum, with
    each member's :func:`leep` on its own subset.
    """
    return sum(_mean_log(eep) for eep in _several(probs_list, labels))


def e_leep(probs_list: Iterable[ArrayLike], labels: ArrayLike) -> float:
    r"""Ensemble LEEP: the log of the members' mean prediction.

    .. math::

        \text{E-LEEP} = \frac{1}{n} \sum_{i=1}^n \log \frac{1}{S} \sum_{s=1}^S
        \sum_{z} \hat P_s(y_i \mid z)\, p^{(s)}_{iz}

    Source: Agostinelli et al. (2022), as for :func:`ms_leep`.
    """
    return _mean_log(torch.stack(_several(probs_list, labels)).mean(0))


def nce(source_labels: ArrayLike, labels: ArrayLike) -> float:
    r"""Negative conditional entropy of the labels given hard source labels (Tran et al. 2019).

    .. math::

        \mathrm{NCE} = -H(Y \mid Z)
        = \sum_{y, z} \frac{n_{yz}}{n} \log \frac{n_{yz}}{n_z},

    where :math:`n_{yz}` counts the samples with target label y and source label z, and
    :math:`0 \log 0 = 0`.
    """
    checks.aligned("source_labels", source_labels, "labels", labels)
    z = checks.labels("source_labels", source_labels, None)
    y = checks.labels("labels", labels, len(z), z.device)
    source, counts = checks.classes("source_labels", z)
    target, classes = checks.classes("labels", y)
    pair, together = checks.classes("labels", source * len(classes) + target)
    return _mean_log(together[pair].double() / counts[source])


def n_leep(
    embeddings: Embeddings,
    labels: ArrayLike,
    energy: float | int = 0.8,
    gaussians: int = 5,
    covariance: str = "full",
    seed: int = 0,
) -> float:
    r"""N-LEEP: :func:`leep` with the posterior of a Gaussian mixture as source (Li et al. 2021).

    The embeddings are projected on the fewest leading principal components that hold the share
    ``energy`` of their variance, and a mixture of ``gaussians`` times the number of classes (at
    most n) Gaussians v is fitted to them by expectation maximisation, without the labels. Its
    posterior :math:`P(v \mid x)` takes the place of the source's class probabilities, so a source
    without a classifier has a score too.

    The mixture sees the components divided by the standard deviation of the first, so that the
    scale of the embeddings does not matter. The fit starts from samples drawn by their place, so
    the order of the samples matters a little, as the seed does. On few samples the Gaussians close
    in on single ones and the score nears 0, whatever the labels: do not compare scores of sets
    that differ in size. The ``covariance`` of the Gaussians is ``full``, ``tied``, ``diag`` or
    ``spherical``. Embeddings that are all the same are refused.

    Warns:
        SaturatedScoreWarning: there is a Gaussian for every embedding.
        ConvergenceWarning: (scikit-learn's) the mixture did not converge.
    """
    from sklearn.mixture import GaussianMixture

    checks.choice("covariance", covariance, ("full", "tied", "diag", "spherical"))
    energy = checks.positive("energy", energy, most=1)
    gaussians = checks.whole("gaussians", gaussians, 1)
    given = embeddings if isinstance(embeddings, Embedded) else Embedded(embeddings, labels, 1)
    values = given.centred.values.flip(0)
    if not len(values):
        raise checks.refuse("embeddings", "samples that differ", "identical ones")
    held = values.cumsum(0) / values.sum()
    kept = 1 + int((held < energy - 1e-12).sum())
    components = given.centred.components(kept)
    scores = (components / (values[0] / len(components)).sqrt()).cpu().numpy()
    count = min(gaussians * len(given.counts), len(scores))
    different = len(np.unique(scores.round(9), axis=0))
    if count >= different and given is not embeddings:  # a grid needs no warning for each
        warnings.warn(
            f"{different} different embeddings and {count} Gaussians have an N-LEEP near 0 "
            "whatever the labels: take more samples, or fewer gaussians",
            SaturatedScoreWarning,
            stacklevel=2,
        )
    mixture = GaussianMixture(count, covariance_type=covariance, max_iter=1000, random_state=seed)
    return leep(mixture.fit(scores).predict_proba(scores), given.index.cpu().numpy())
