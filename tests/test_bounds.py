"""Both sides of LEEP's bounds against naive formulas, other solvers and a linear programme."""

import math

import numpy as np
import pytest
import references
import scipy.optimize
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray
from sklearn.linear_model import LogisticRegression

from hastelib import bounds, metrics


def overlapping(seed: int, n: int, d: int, classes: int) -> tuple[ndarray, ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    return rng.normal(size=(n, d)) + 0.5 * rng.normal(size=(classes, d))[labels], labels * 3


def predictions(seed: int, n: int, z: int) -> ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(z, 0.4), size=n)


def separable(x: ndarray, labels: ndarray) -> bool:
    """Whether some linear head puts every sample's class first: feasibility of margins of 1."""
    points, own = np.column_stack([x, np.ones(len(x))]), np.unique(labels, return_inverse=True)[1]
    classes, rows = np.eye(own.max() + 1), []
    for point, y in zip(points, own, strict=True):
        rows += [np.outer(other - classes[y], point).ravel() for other in np.delete(classes, y, 0)]
    free = {"bounds": (None, None)}
    found = scipy.optimize.linprog(np.zeros(len(rows[0])), rows, -np.ones(len(rows)), **free)
    assert found.status in (0, 2)
    return bool(found.status == 0)


# From below


@pytest.mark.parametrize(("n", "z"), [(25, 4), (6, 12), (1, 3)])
def test_lower_bounds_by_the_formula(n: int, z: int) -> None:
    probs, labels = predictions(n, n, z), overlapping(n, n, 1, 3)[1]
    most = probs.argmax(1)
    soft = []
    for i in range(n):
        own = sum(probs[j, most[i]] for j in range(n) if labels[j] == labels[i])
        soft.append(math.log(own / sum(probs[:, most[i]])))
    highest = float(np.mean([math.log(max(row)) for row in probs]))
    for same in (probs, torch.tensor(probs)):
        found = bounds.leep_lower_bound(same, labels)
        assert type(found) is float
        assert found == pytest.approx(np.mean(soft) + highest, rel=1e-12)
    hard = bounds.leep_lower_bound(probs, labels, joint="hard")
    assert hard == pytest.approx(references.nce(most, labels) + highest, rel=1e-12)
    # Of one-hot probabilities LEEP, NCE and both bounds are the same number.
    one_hot = np.eye(z)[most]
    expected = pytest.approx(metrics.leep(one_hot, labels), rel=1e-12, abs=1e-12)
    assert metrics.nce(most, labels) == expected
    assert bounds.leep_lower_bound(one_hot, labels) == expected
    assert bounds.leep_lower_bound(one_hot, labels, joint="hard") == expected


@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(2, 8))
def test_the_soft_bound_holds_and_is_the_lower_one(seed: int, n: int, z: int) -> None:
    probs, labels = predictions(seed, n, z), overlapping(seed, n, 1, 2)[1]
    low, leep = bounds.leep_lower_bound(probs, labels), metrics.leep(probs, labels)
    assert low <= leep + 1e-12
    shares = np.unique(labels, return_counts=True)[1] / n
    assert leep >= (shares * np.log(shares)).sum() - 1e-12  # minus the entropy of the labels
    assert low <= bounds.leep_lower_bound(probs, labels, joint="hard") + 1e-12


@pytest.mark.parametrize("classes", [2, 3, 50])
def test_the_bound_of_hard_counts_is_none(classes: int) -> None:
    """As Lemma 2 is printed it fails, by log((sqrt(K) + 1) / 2) at most on K samples of K classes.

    The source gives each sample's own class the probability a, all others the same.
    """
    labels = np.arange(classes)

    def excess(a: float) -> float:
        probs = np.where(np.eye(classes), a, (1 - a) / (classes - 1))
        low = bounds.leep_lower_bound(probs, labels, joint="hard")
        return low - metrics.leep(probs, labels)

    worst = excess(1 / math.sqrt(classes))
    assert worst == pytest.approx(math.log((math.sqrt(classes) + 1) / 2), rel=1e-12)
    assert all(excess(a) <= worst + 1e-12 for a in np.linspace(1 / classes + 0.01, 1, 20))


# The best linear head


@pytest.mark.parametrize(("n", "d", "classes"), [(40, 2, 2), (60, 3, 4), (150, 10, 3)])
def test_the_best_linear_head_is_scikit_learns(n: int, d: int, classes: int) -> None:
    x, labels = overlapping(n, n, d, classes)
    x[:, 0] *= 50  # badly scaled
    found = bounds.linear_head(x, labels)
    assert found.gap <= 1e-8
    assert not found.separable
    other = LogisticRegression(C=np.inf, tol=1e-12, max_iter=100_000, solver="newton-cg")
    other.fit(x, labels)
    own = np.searchsorted(other.classes_, labels)
    expected = np.log(other.predict_proba(x)[np.arange(n), own]).mean()
    assert found.log_likelihood == pytest.approx(expected, abs=1e-6)
    assert bounds.optimal_log_likelihood(x, labels) == found.log_likelihood


@pytest.mark.parametrize(
    ("x", "labels", "expected"),
    [
        ([0, 0, 1, 1], [0, 0, 0, 1], 0.5 * math.log(0.5)),  # a supremum that is not attained
        ([1, 1, 1, 1], [0, 0, 0, 1], 0.75 * math.log(0.75) + 0.25 * math.log(0.25)),  # no spread
        ([0, 0, 0], [7, 7, 7], 0),  # one class
        ([0, 0, 1, 5, 5], [0, 1, 1, 1, 1], 0.4 * math.log(0.5)),  # some samples can be told apart
        ([0, 0, 0.001, 1], [0, 1, 1, 1], 0.5 * math.log(0.5)),
    ],
)
def test_the_best_linear_head_at_the_ends(x: list, labels: list, expected: float) -> None:
    found = bounds.linear_head(np.array(x, float)[:, None], np.array(labels))
    assert found.log_likelihood == pytest.approx(expected, abs=1e-7)
    assert -1e-12 <= expected - found.log_likelihood <= found.gap + 1e-12
    assert found.gap <= 1e-8


def test_three_points_that_no_linear_head_can_tell_apart() -> None:
    x, labels = np.array([[-1.0], [0.0], [1.0]]), np.array([0, 1, 0])
    shares = math.log(1 / 3) / 3 + 2 * math.log(2 / 3) / 3
    assert bounds.optimal_log_likelihood(x, labels) == pytest.approx(shares, abs=1e-9)
    # A linear source head of three classes can, so LEEP exceeds the best linear head (Lemma 1).
    logits = 30 * np.hstack([-x - 0.5, 0 * x, x - 0.5])
    assert metrics.leep(scipy.special.softmax(logits, 1), labels) > shares + 0.6


def coarse(seed: int) -> tuple[ndarray, ndarray]:
    """Samples on a coarse grid, so that some meet and classes only touch."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 14))
    x, labels = rng.normal(size=(n, 2)).round(1), rng.integers(3, size=n)
    if len(set(labels.tolist())) < 2:
        labels[0] = (labels[0] + 1) % 3
    return x, labels


def test_separable_data_are_found_as_a_linear_programme_finds_them() -> None:
    kinds = set()
    for seed in range(40):
        found = bounds.linear_head(*coarse(seed))
        assert found.separable == separable(*coarse(seed)), seed
        assert found.gap <= 1e-5
        assert (found.log_likelihood == 0) == found.separable
        kinds.add(found.separable)
    assert kinds == {True, False}
    for d in (11, 40):  # more dimensions than samples separate anything
        x, labels = np.random.default_rng(0).normal(size=(12, d)), np.arange(12) % 3
        with pytest.warns(bounds.SeparableDataWarning, match="supremum 0"):
            assert bounds.optimal_log_likelihood(torch.tensor(x), labels) == 0


@given(st.integers(0, 10**6), st.sampled_from([1e-6, 1.0, 1e6]))
def test_the_best_linear_head_ignores_names_order_scale_and_place(seed: int, scale: float) -> None:
    x, labels = overlapping(seed, 25, 2, 2)
    value = bounds.linear_head(x, labels).log_likelihood
    order = np.random.default_rng(seed).permutation(25)
    moved = bounds.linear_head(x[order] * scale + 5 * scale, 9 - labels[order])
    assert moved.log_likelihood == pytest.approx(value, abs=1e-6)
