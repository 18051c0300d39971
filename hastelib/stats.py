r"""How well scores rank sources: correlations with bootstrap intervals, and the paper's headline.

Every correlation comes as (value, low, high): the value as SciPy has it, and a 95% percentile
interval from resampling the units, which are pairs of a score and an accuracy, with replacement.
The units must be independent: the sources or targets, not ensembles that share members.
Resamples in which either side is constant have no correlation and are left out. Where an input is
constant there is nothing to correlate and all three are NaN. With few units the interval is wide
and only roughly of its nominal level; that is the message.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy.stats
from jaxtyping import Float64, Int64
from numpy import ndarray

from hastelib import _check
from hastelib._check import ArrayLike

LEVEL = 0.95
"""The nominal level of the intervals."""


def pearson(
    scores: ArrayLike, accuracies: ArrayLike, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    r"""Pearson's correlation coefficient.

    .. math::

        r = \frac{\sum_i (x_i - \bar x)(y_i - \bar y)}
        {\sqrt{\sum_i (x_i - \bar x)^2 \sum_i (y_i - \bar y)^2}}

    Args:
        scores: (n,), one a unit.
        accuracies: (n,), in the same order.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The value, and the low and high end of its 95% interval.

    Raises:
        ValueError: shapes that are wrong or disagree, NaN or infinity, no unit, no resample.
    """
    return interval(replicates("pearson", scores, accuracies, resamples, seed))


def kendall(
    scores: ArrayLike, accuracies: ArrayLike, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    r"""Kendall's rank correlation, :math:`\tau_b`.

    .. math::

        \tau_b = \frac{C - D}{\sqrt{(P - T_x)(P - T_y)}}

    with C concordant and D discordant of P pairs of units, of which :math:`T_x` and :math:`T_y`
    are tied in the score and in the accuracy.

    Args:
        scores: (n,), one a unit.
        accuracies: (n,), in the same order.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The value, and the low and high end of its 95% interval.

    Raises:
        ValueError: shapes that are wrong or disagree, NaN or infinity, no unit, no resample.
    """
    return interval(replicates("kendall", scores, accuracies, resamples, seed))


def weighted_kendall(
    scores: ArrayLike, accuracies: ArrayLike, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    r"""Kendall's correlation with more weight on the top (``scipy.stats.weightedtau``).

    A pair of units of ranks r and s, from 0 at the top, weighs :math:`1/(r+1) + 1/(s+1)`; the
    value is the mean of that with ranks by score and that with ranks by accuracy.

    Args:
        scores: (n,), one a unit.
        accuracies: (n,), in the same order.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The value, and the low and high end of its 95% interval.

    Raises:
        ValueError: shapes that are wrong or disagree, NaN or infinity, no unit, no resample.
    """
    return interval(replicates("weighted_kendall", scores, accuracies, resamples, seed))


def relative_improvement(base: ArrayLike, modified: ArrayLike) -> float:
    r"""The paper's headline number, in percent.

    .. math::

        \frac{100}{n} \sum_{i=1}^n \frac{h_i - b_i}{|b_i|}

    A base near 0 dominates the mean: in the paper's Table 1 one row contributes 124.9 of LEEP's
    129.7 points.

    Args:
        base: (n,) correlations b of the unmodified metric.
        modified: (n,) correlations h of the modified one, in the same order.

    Returns:
        The mean relative improvement in percent.

    Raises:
        ValueError: shapes that are wrong or disagree, NaN or infinity, nothing, a base of 0.
    """
    b, h = _pair("base", base, "modified", modified)
    if not b.all():
        raise _check.refuse("base", "no correlation of 0", f"0 at [{int(np.argmin(b != 0))}]")
    return float(np.mean((h - b) / np.abs(b)) * 100)


def _pair(
    first: str, x: ArrayLike, second: str, y: ArrayLike
) -> tuple[Float64[ndarray, " n"], Float64[ndarray, " n"]]:
    a, b = (_check.vector(name, v).cpu().numpy() for name, v in ((first, x), (second, y)))
    if len(a) != len(b):
        raise _check.refuse(second, f"as many numbers as {first}, {len(a)}", len(b))
    return a, b


def replicates(
    statistic: str, scores: ArrayLike, accuracies: ArrayLike, resamples: int = 2000, seed: int = 0
) -> Float64[ndarray, " b"]:
    """The correlation of the units as they are, then that of each bootstrap resample.

    Which units a resample holds depends on their number and the seed alone, so two calls are
    paired: their difference is a bootstrap of the difference.

    Args:
        statistic: ``pearson``, ``kendall`` or ``weighted_kendall``.
        scores: (n,), one a unit.
        accuracies: (n,), in the same order.
        resamples: how many.
        seed: of the resampling.

    Returns:
        (1 + resamples,) correlations, NaN where either side is constant.

    Raises:
        ValueError: an unknown statistic, or bad input as for :func:`pearson`.
    """
    if statistic not in _STATISTICS:
        raise _check.refuse("statistic", f"one of {', '.join(sorted(_STATISTICS))}", statistic)
    x, y = _pair("scores", scores, "accuracies", accuracies)
    resamples = _check.whole("resamples", resamples, 1)
    n = len(x)
    units = np.random.default_rng(_check.whole("seed", seed, 0)).integers(n, size=(resamples, n))
    units = np.concatenate([np.arange(n)[None], units])
    varied = (np.ptp(x[units], axis=1) > 0) & (np.ptp(y[units], axis=1) > 0)
    values = np.full(len(units), np.nan)
    if varied.any():
        values[varied] = _STATISTICS[statistic](x, y, units[varied])
    return values


def interval(sample: Float64[ndarray, " b"]) -> tuple[float, float, float]:
    """The value, which comes first in the sample, and the middle 95% of the resamples.

    NaN among the resamples is left out; without a value, or without resamples, the interval is
    NaN.
    """
    there = sample[1:][~np.isnan(sample[1:])]
    if np.isnan(sample[0]) or not len(there):
        return float(sample[0]), math.nan, math.nan
    low, high = np.quantile(there, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(sample[0]), float(low), float(high)


def _pearson(
    x: Float64[ndarray, " n"], y: Float64[ndarray, " n"], units: Int64[ndarray, "b n"]
) -> Float64[ndarray, " b"]:
    def standard(values: ndarray) -> ndarray:
        values = values - values.mean(1, keepdims=True)
        values = values / np.abs(values).max(1, keepdims=True)  # against underflow
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    return np.clip((standard(x[units]) * standard(y[units])).sum(1), -1, 1)


def _kendall(
    x: Float64[ndarray, " n"], y: Float64[ndarray, " n"], units: Int64[ndarray, "b n"]
) -> Float64[ndarray, " b"]:
    # How often a unit occurs says all of a resample: its pairs are quadratic forms in that.
    often = np.stack([np.bincount(row, minlength=len(x)) for row in units]).astype(float)
    sign_x, sign_y = (np.sign(v[:, None] - v) for v in (x, y))

    def pairs(matrix: ndarray) -> ndarray:
        return ((often @ matrix) * often).sum(1)

    untied = np.sqrt(pairs(np.abs(sign_x))) * np.sqrt(pairs(np.abs(sign_y)))
    return np.clip(pairs(sign_x * sign_y) / untied, -1, 1)


def _weighted_kendall(
    x: Float64[ndarray, " n"], y: Float64[ndarray, " n"], units: Int64[ndarray, "b n"]
) -> Float64[ndarray, " b"]:
    taus = [scipy.stats.weightedtau(x[row], y[row]).statistic for row in units]
    return np.array(taus, dtype=np.float64)


_STATISTICS: dict[str, Callable[[ndarray, ndarray, ndarray], ndarray]] = {
    "pearson": _pearson,
    "kendall": _kendall,
    "weighted_kendall": _weighted_kendall,
}
