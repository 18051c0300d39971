"""Correlations against SciPy's, their intervals against plain resampling, the paper's headline."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy import ndarray

from hastelib import stats

SCIPY: dict[str, Callable[[Any, Any], Any]] = {
    "pearson": scipy.stats.pearsonr,
    "kendall": scipy.stats.kendalltau,
    "weighted_kendall": scipy.stats.weightedtau,
}

# The paper's Table 1, LEEP: plain, class-agnostic, class-specific
PLAIN = [0.534, 0.926, 0.504, 0.921, 0.416, 0.950, -0.029]
AGNOSTIC = [0.405, 0.943, 0.508, 0.952, 0.439, 0.950, 0.196]
SPECIFIC = [0.667, 0.931, 0.723, 0.927, 0.458, 0.962, 0.253]


def pair(seed: int, n: int, ties: bool = False) -> tuple[ndarray, ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = x + rng.normal(size=n)
    return (x.round(), y.round()) if ties else (x, y)


@pytest.mark.parametrize("name", SCIPY)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [3, 7, 40])
def test_values_are_scipys(name: str, n: int, ties: bool) -> None:
    x, y = pair(n, n, ties)
    value, low, high = getattr(stats, name)(x, y, resamples=50)
    assert value == pytest.approx(SCIPY[name](x, y).statistic, rel=1e-12)
    assert {type(value), type(low), type(high)} == {float}


@pytest.mark.parametrize("name", SCIPY)
@pytest.mark.parametrize("ties", [False, True])
def test_intervals_are_those_of_plain_resampling(name: str, ties: bool) -> None:
    x, y = pair(2, 6, ties)
    units = np.random.default_rng(5).integers(6, size=(300, 6))
    varying = [rows for rows in units if len(set(x[rows])) > 1 and len(set(y[rows])) > 1]
    values = [SCIPY[name](x[rows], y[rows]).statistic for rows in varying]
    _, low, high = getattr(stats, name)(x, y, resamples=300, seed=5)
    assert [low, high] == pytest.approx(np.quantile(values, [0.025, 0.975]), rel=1e-9, abs=1e-12)
    given = torch.tensor(x), y.tolist()  # of another kind
    assert getattr(stats, name)(*given, resamples=300, seed=5)[1:] == (low, high)
    first, other = (getattr(stats, name)(*pair(0, 8), resamples=200, seed=s) for s in (1, 2))
    assert first[0] == other[0]
    assert first[1:] != other[1:]


@pytest.mark.parametrize("name", SCIPY)
def test_constant_input_has_no_correlation(name: str) -> None:
    correlation = getattr(stats, name)
    for x, y in (([0.1] * 5, range(5)), (range(5), [0.1] * 5), ([1.0], [2.0])):
        with pytest.warns(UserWarning, match="are all the same, so there is no correlation"):
            found = correlation(np.array(x), np.array(y), resamples=20)
        assert len(found) == 3
        assert all(math.isnan(value) for value in found)


@pytest.mark.parametrize("name", SCIPY)
def test_fewer_than_five_units_and_a_perfect_order_have_no_interval(name: str) -> None:
    for n in (2, 4, 5):
        y = -np.arange(n)
        y[:2] = y[1::-1]
        _, low, high = getattr(stats, name)(np.arange(n), y, resamples=50)
        assert math.isnan(low) == math.isnan(high) == (n < 5)
    for n in (5, 8, 20):  # every resample of a perfect order is perfect: no width
        found = getattr(stats, name)(np.arange(n), 3 - 2 * np.arange(n), resamples=50)
        assert found == pytest.approx((-1, math.nan, math.nan), nan_ok=True)


@pytest.mark.parametrize("name", SCIPY)
@given(
    st.integers(2, 12).flatmap(
        lambda n: st.tuples(*[arrays(float, n, elements=st.floats(-1e3, 1e3)) for _ in range(2)])
    ),
    st.floats(1e-3, 1e3),
)
def test_properties(name: str, values: tuple[ndarray, ndarray], scale: float) -> None:
    x, y = values
    assume(np.ptp(x) > 1e-3 and np.ptp(y) > 1e-3)
    correlation = getattr(stats, name)
    kept = x.copy(), y.copy()
    value, low, high = correlation(x, y, resamples=20)
    assert -1 <= value <= 1
    assert -1 <= low <= high <= 1 or math.isnan(low)
    assert (x == kept[0]).all()
    assert (y == kept[1]).all()
    assert correlation(x * 2.0**7, y, resamples=20)[0] == pytest.approx(value, abs=1e-9)
    assert correlation(y, x, resamples=20)[0] == pytest.approx(value, abs=1e-9)
    itself, *ends = correlation(x, x * scale, resamples=20)
    assert itself == pytest.approx(1, abs=1e-9)
    assert all(end == pytest.approx(1, abs=1e-9) or math.isnan(end) for end in ends)


def test_replicates_are_spearmans_too() -> None:
    for ties in (False, True):
        x, y = pair(2, 12, ties)
        units = [np.arange(12), *np.random.default_rng(3).integers(12, size=(40, 12))]
        expected = [scipy.stats.spearmanr(x[i], y[i]).statistic for i in units]
        np.testing.assert_allclose(stats.replicates("spearman", x, y, 40, 3), expected, atol=1e-12)


def test_regret_is_what_the_first_pick_loses() -> None:
    accuracies = [0.7, 0.9, 0.8]
    for scores, lost in (([3, 2, 1], 0.2), ([1, 2, 1.5], 0), ([2, 1, 2], 0.9 - 0.75)):
        assert stats.replicates("regret", scores, accuracies, 1)[0] == pytest.approx(lost)


def test_static_is_the_mean_standing_on_the_other_targets() -> None:
    nan = math.nan
    accuracies = [[0.5, 0.7, 0.9], [0.2, nan, 0.1], [nan, nan, 0.4], [0.3, 0.3, 0.3]]
    z = math.sqrt(1.5)
    expected = [
        [(1 + 0) / 2, 0, (-1 + 0 + 0) / 3],
        [(-z + 0) / 2, 0, (z + 0 + 0) / 3],
        [(-z + 1 + 0) / 3, 0, (z - 1 + 0) / 3],
        [(-z + 1) / 2, 0, (z - 1 + 0) / 3],
    ]
    np.testing.assert_allclose(stats.static(accuracies), expected, atol=1e-12)
    assert np.isnan(stats.static([[0.1, 0.2]])).all()
    flat = [[0.1] * 3, [0.5, 0.6, np.nan], [0.2, 0.9, 0.4]]  # whose deviation rounding makes 1e-17
    np.testing.assert_allclose(stats.static(flat)[2], [-0.5, 0.5, 0], atol=1e-12)


def test_relative_improvement_is_the_papers() -> None:
    found = stats.relative_improvement(PLAIN * 2, AGNOSTIC + SPECIFIC)
    assert found == pytest.approx(129.75, abs=5e-3)
    # one row of seven makes nearly all of it
    last = stats.relative_improvement(PLAIN[-1:] * 2, [0.196, 0.253]) * 2 / 14
    assert last == pytest.approx(124.9, abs=0.05)
    assert stats.relative_improvement([0.5, -0.5], [0.75, 0.5]) == pytest.approx((50 + 200) / 2)
