r"""How well scores rank sources: correlations with bootstrap intervals, the regret of the first
pick, and the paper's headline.

Every correlation comes as (value, low, high), with the 95% percentile interval from resampling the
units, which are pairs of a score and an accuracy in the same order. They must be independent: the
sources or targets, not ensembles that share members. Where an input is constant all three are NaN,
with a warning; low and high are with fewer than five units, or where :func:`interval` says so.
Shapes that are wrong or disagree, NaN or infinity, no unit or no resample raise ``ValueError``.
"""

import functools
import itertools
import math
import warnings

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from hastelib import checks
from hastelib.checks import ArrayLike

LEVEL = 0.95  # of the intervals
FEWEST = 5  # units that have an interval
ROUNDING = 1e-12  # resamples that differ by no more are the same
STATISTICS = ("pearson", "spearman", "kendall", "weighted_kendall", "regret")


def pearson(
    scores: ArrayLike, accuracies: ArrayLike, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    r"""Pearson's correlation coefficient.

    .. math:: r = \frac{\sum_i (x_i - \bar x)(y_i - \bar y)}
        {\sqrt{\sum_i (x_i - \bar x)^2 \sum_i (y_i - \bar y)^2}}

    >>> [round(x, 2) for x in pearson([1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5])]
    [0.89, 0.59, 1.0]
    """
    return _correlation("pearson", scores, accuracies, resamples, seed)


def kendall(
    scores: ArrayLike, accuracies: ArrayLike, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    r"""Kendall's rank correlation, :math:`\tau_b = (C - D) / \sqrt{(P - T_x)(P - T_y)}`.

    C of the P pairs of units are concordant and D discordant, :math:`T_x` and :math:`T_y` tied in
    the score and in the accuracy.

    >>> [round(x, 2) for x in kendall([1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5])]
    [0.73, 0.11, 1.0]
    """
    return _correlation("kendall", scores, accuracies, resamples, seed)


def weighted_kendall(
    scores: ArrayLike, accuracies: ArrayLike, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    r"""Kendall's correlation with more weight on the top (``scipy.stats.weightedtau``).

    A pair of units of ranks r and s, from 0 at the top, weighs :math:`1/(r+1) + 1/(s+1)`; the
    value is the mean of that with ranks by score and that with ranks by accuracy.

    >>> [round(x, 2) for x in weighted_kendall([1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5])]
    [0.68, 0.11, 1.0]
    """
    return _correlation("weighted_kendall", scores, accuracies, resamples, seed)


def _correlation(
    statistic: str, scores: ArrayLike, accuracies: ArrayLike, resamples: int, seed: int
) -> tuple[float, float, float]:
    values = replicates(statistic, scores, accuracies, resamples, seed)
    if np.isnan(values[0]):
        warnings.warn(
            f"{statistic}: scores or accuracies are all the same, so there is no correlation",
            stacklevel=3,
        )
    return interval(values)


def relative_improvement(base: ArrayLike, modified: ArrayLike) -> float:
    r"""The paper's headline number, in percent.

    .. math:: \frac{100}{n} \sum_{i=1}^n \frac{h_i - b_i}{|b_i|}

    with the (n,) correlations b of the plain metric, none of them 0, and h of the modified one. A
    base near 0 dominates the mean.

    >>> relative_improvement([0.5, -0.5], [0.75, 0.5])
    125.0
    """
    b, h = _pair("base", base, "modified", modified)
    if not b.all():
        raise checks.refuse("base", "no correlation of 0", f"0 at [{int(np.argmin(b != 0))}]")
    return float(np.mean((h - b) / np.abs(b)) * 100)


def static(accuracies: ArrayLike) -> Float64[ndarray, "t s"]:
    r"""The ranking that needs no score: how the sources did on the other targets.

    .. math:: s_{ti} = \frac{1}{T - 1} \sum_{t' \ne t} \frac{a_{t'i} - \bar a_{t'}}{\sigma_{t'}}

    with the mean and the standard deviation of a target's accuracies over the sources. A target on
    which all are equally good says nothing; a source that a target lacks (NaN) has its mean over
    the others, or NaN. From accuracies, targets by sources, scores of the same shape.

    >>> static([[0.5, 0.7], [0.2, 0.1]]).round(3).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    values = checks.stored("accuracies", accuracies, "(t, s)", finite=False).double().cpu().numpy()
    if np.isinf(values).any():
        raise checks.refuse("accuracies", "finite numbers, or NaN", "infinity")
    a = np.ma.masked_invalid(values)
    centred, spread = a - a.mean(1, keepdims=True), a.std(1, keepdims=True)
    spread[np.ma.ptp(a, axis=1) == 0] = 0  # which rounding may leave above it
    z = np.ma.divide(centred, spread).filled(0.0)  # 0 too where all are equally good
    others = a.count(0) - np.isfinite(values)
    return np.ma.divide(z.sum(0) - z, others).filled(np.nan)


def _pair(
    first: str, x: ArrayLike, second: str, y: ArrayLike
) -> tuple[Float64[ndarray, " n"], Float64[ndarray, " n"]]:
    checks.aligned(first, x, second, y)
    a, b = (checks.vector(name, v).cpu().numpy() for name, v in ((first, x), (second, y)))
    if len(a) != len(b):
        raise checks.refuse(second, f"as many numbers as {first}, {len(a)}", len(b))
    return a, b


def replicates(
    statistic: str, scores: ArrayLike, accuracies: ArrayLike, resamples: int = 2000, seed: int = 0
) -> Float64[ndarray, " b"]:
    """The correlation of the units as they are, then that of each bootstrap resample.

    Which units a resample holds depends on their number and the seed alone, so two calls are
    paired. The statistic is ``pearson``, ``spearman``, ``kendall``, ``weighted_kendall`` or
    ``regret``, the accuracy lost by taking the unit with the highest score (the mean over those
    tied). (1 + resamples,) values, NaN where either side is constant (the regret is not), and in
    all resamples of fewer than five units.

    >>> replicates("regret", [3, 2, 1], [0.7, 0.9, 0.8], resamples=1).round(2)
    array([0.2, nan])
    """
    checks.choice("statistic", statistic, STATISTICS)
    x, y = _pair("scores", scores, "accuracies", accuracies)
    resamples, n = checks.whole("resamples", resamples, 1), len(x)
    units, inverse = drawn(n, resamples, checks.whole("seed", seed, 0))
    varied = (np.ptp(x[units], axis=1) > 0) & (np.ptp(y[units], axis=1) > 0)
    varied |= statistic == "regret"
    values = np.full(len(units), np.nan)
    values[varied] = _evaluate(statistic, x, y, units[varied])
    values = values[inverse]
    if n < FEWEST:
        values[1:] = np.nan
    return values


@functools.lru_cache(16)
def drawn(n: int, resamples: int, seed: int) -> tuple[Int64[ndarray, "u n"], Int64[ndarray, " b"]]:
    """The distinct resamples of n units, and which of them each is; the first has each unit once.

    Where ``resamples`` are at least twice as many as all distinct ones, each comes as often as it
    is likely, and the seed decides on the order alone.

    >>> drawn(2, resamples=3, seed=0)
    (array([[0, 0],
           [0, 1],
           [1, 1]]), array([1, 2, 1, 0]))
    """
    generator, whole = np.random.default_rng(seed), np.arange(n)
    if 2 * math.comb(2 * n - 1, n) <= resamples:  # seven units have 1,716
        units = np.array([*itertools.combinations_with_replacement(range(n), n)])
        counts = (units[:, :, None] == whole).sum(1).tolist()
        cumulative = np.cumsum([1 / math.prod(map(math.factorial, row)) for row in counts])
        levels = (np.arange(resamples) + 0.5) / resamples * cumulative[-1]
        inverse = generator.permutation(np.searchsorted(cumulative, levels))
        return units, np.concatenate([np.flatnonzero((units == whole).all(1)), inverse])
    units = np.sort(generator.integers(n, size=(resamples, n)), axis=1)
    units, inverse = np.unique(np.concatenate([whole[None], units]), axis=0, return_inverse=True)
    return units, inverse.ravel()


def interval(sample: Float64[ndarray, " b"]) -> tuple[float, float, float]:
    """The value, which comes first in the sample, and the middle 95% of the resamples without NaN.

    The interval is NaN without a value, where fewer than half of the resamples have one, or where
    all have the same, as in a perfect order: it would make the value look certain.

    >>> [round(x, 2) for x in interval(np.array([0.5, 0.1, 0.5, 0.9]))]
    [0.5, 0.12, 0.88]
    """
    valid = sample[1:][~np.isnan(sample[1:])]
    missing = np.isnan(sample[0]) or len(valid) < max(1, len(sample[1:]) / 2)
    if missing or np.ptp(valid) <= ROUNDING:
        return float(sample[0]), math.nan, math.nan
    low, high = np.quantile(valid, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(sample[0]), float(low), float(high)


def _evaluate(
    statistic: str, x: ndarray, y: ndarray, units: Int64[ndarray, "b n"]
) -> Float64[ndarray, " b"]:
    if statistic == "pearson":
        return _pearson(x[units], y[units])
    if statistic == "spearman":
        from scipy.stats import rankdata  # here: scipy takes its time to load

        return _pearson(*(rankdata(values[units], axis=1) for values in (x, y)))
    if statistic == "regret":
        top = x[units] == x[units].max(1, keepdims=True)
        return y[units].max(1) - (y[units] * top).sum(1) / top.sum(1)

    def summed(values: ndarray) -> ndarray:
        """For each resample and unit, the sum of the values at the draws of the unit."""
        sums = np.zeros((len(units), len(x)))
        np.add.at(sums, (np.arange(len(units))[:, None], units), values)
        return sums

    counts = summed(np.ones(units.shape))
    if statistic == "kendall":
        return _concordance(x, y, counts, counts)
    tau = np.zeros(len(units))
    for first, second in ((x, y), (y, x)):  # ranked by one, then by the other
        ranks = np.lexsort((-second[units], -first[units])).argsort(1)
        tau += _concordance(x, y, counts, summed(1 / (1 + ranks))) / 2
    return tau


def _pearson(x: Float64[ndarray, "b n"], y: Float64[ndarray, "b n"]) -> Float64[ndarray, " b"]:
    """Pearson's correlation of each row of x with the same row of y."""

    def normalised(values: ndarray) -> ndarray:
        values = values - values.mean(1, keepdims=True)
        values = values / np.abs(values).max(1, keepdims=True)  # against underflow
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    return np.clip((normalised(x) * normalised(y)).sum(1), -1, 1)


def _concordance(
    x: ndarray, y: ndarray, counts: Float64[ndarray, "b u"], weight: Float64[ndarray, "b u"]
) -> Float64[ndarray, " b"]:
    """Kendall's tau of each resample, the pair of units i and j counted w_i c_j + c_i w_j times.

    Sums over pairs are quadratic forms in a unit's count of draws and its sum of weights.
    """
    sign_x, sign_y = (np.sign(v[:, None] - v) for v in (x, y))

    def pairs(matrix: ndarray) -> ndarray:
        return ((weight @ matrix) * counts).sum(1)

    untied = np.sqrt(pairs(np.abs(sign_x))) * np.sqrt(pairs(np.abs(sign_y)))
    return np.clip(pairs(sign_x * sign_y) / untied, -1, 1)
