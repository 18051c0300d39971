"""Statistics over ensembles whose units are the members of the pool."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from hastelib import stats

FEWEST = 3
"""A correlation needs this many different ensembles."""
ENOUGH = 0.5
"""An interval needs this share of the resamples."""


def multiplicities(members: int, resamples: int = 2000, seed: int = 0) -> Int64[ndarray, "b p"]:
    """How often each member occurs: once in the first line, then in each bootstrap resample."""
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(members, np.full(members, 1 / members), size=resamples)
    return np.concatenate([np.ones((1, members), np.int64), drawn])


def weights(often: Int64[ndarray, "b p"], chosen: Int64[ndarray, "e k"]) -> Float64[ndarray, "b e"]:
    r"""How often each ensemble occurs where members do: :math:`w_e = \prod_{i \in e} m_i`.

    With :math:`m_i` copies of member i in a resample there are so many ways to put together the
    ensemble e; ensembles that hold two copies of one member are none of the candidates.
    """
    found = np.ones((len(often), len(chosen)))
    for member in chosen.T:
        found *= often[:, member]
    return found


def replicates(
    scores: Float64[ndarray, " e"],
    accuracies: Float64[ndarray, " e"],
    weights: Float64[ndarray, "b e"],
) -> Float64[ndarray, " b"]:
    """Pearson's correlation over the ensembles under each line of weights.

    NaN where fewer than :data:`FEWEST` ensembles have a weight, or either side is constant. Two
    calls with the same weights are paired: their difference is a bootstrap of the difference.
    :func:`interval` makes the interval of either.
    """
    total = weights.sum(1)
    x, y = (_centred(values) for values in (scores, accuracies))
    there = (weights > 0).sum(1) >= FEWEST
    safe = np.where(there, total, 1.0)
    first = np.stack([weights @ x, weights @ y]) / safe
    second = np.stack([weights @ x**2, weights @ y**2]) / safe - first**2
    varied = there & (second > 1e-12).all(0)
    spread = np.sqrt(np.where(varied, second, 1.0))
    values = ((weights @ (x * y)) / safe - first[0] * first[1]) / spread.prod(0)
    return np.where(varied, np.clip(values, -1, 1), np.nan)


def interval(sample: Float64[ndarray, " b"]) -> tuple[float, float, float]:
    """The value, which comes first in the sample, and the middle 95% of the resamples.

    NaN for the interval where fewer than :data:`ENOUGH` of the resamples have a correlation: with
    few members more than K, hardly any but those that hold all members have one, and these repeat
    the value and make it look certain.
    """
    there = np.mean(~np.isnan(sample[1:])) if len(sample) > 1 else 0.0
    return stats.interval(sample if there >= ENOUGH else sample[:1])


def _centred(values: Float64[ndarray, " e"]) -> Float64[ndarray, " e"]:
    """About 0 and of unit spread, so that nothing cancels in the second moments."""
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 0 else 1.0)


def of_members(
    values: Float64[ndarray, " e"], chosen: Int64[ndarray, "e k"]
) -> Float64[ndarray, " p"]:
    """For each member the mean over the ensembles that it is in."""
    return np.array([values[(chosen == i).any(1)].mean() for i in range(int(chosen.max()) + 1)])


def additivity(values: Float64[ndarray, " e"], chosen: Int64[ndarray, "e k"]) -> float:
    r"""How closely a quantity of all ensembles is a sum over their members.

    .. math:: \rho = \sqrt{\frac{K (P - 1)}{P - K}} \frac{\sigma(b)}{\sigma(v)}

    with b the means of :func:`of_members` and v the values. :math:`\rho^2` is the share of the
    variance that the best sum over members explains, and no score that is such a sum (MS-LEEP is
    one) correlates with the values by more than :math:`\rho`: its correlation is :math:`\rho` times
    that between the members' own scores and b. See the book's Section 5.4 for the proof.

    Args:
        values: one for each ensemble.
        chosen: all ensembles of K of the P members, as :func:`candidates` gives them.

    Returns:
        rho, in [0, 1]; NaN where the values are constant.
    """
    spread = float(values.std())
    size, members = chosen.shape[1], int(chosen.max()) + 1
    if members == size or spread == 0:
        return math.nan
    factor = math.sqrt(size * (members - 1) / (members - size))
    return min(factor * float(of_members(values, chosen).std()) / spread, 1.0)


def correlation(
    scores: Float64[ndarray, " e"],
    accuracies: Float64[ndarray, " e"],
    chosen: Int64[ndarray, "e k"],
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Pearson's correlation over ensembles, with a 95% interval from resampling the members."""
    often = multiplicities(int(chosen.max()) + 1, resamples, seed)
    return interval(replicates(scores, accuracies, weights(often, chosen)))
