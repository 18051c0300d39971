"""Every metric against its naive formula, its symmetries, its kinds of input and its refusals."""

from __future__ import annotations

import itertools
import math
import warnings
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import references
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy import ndarray
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from synthetic import spoilt

from hastelib import linalg, metrics

pytestmark = pytest.mark.filterwarnings("ignore::hastelib.metrics.SaturatedScoreWarning")

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]

# (n, d): more samples than dimensions, fewer, as many, a single dimension
SIZES = [(40, 5), (12, 30), (10, 10), (9, 1)]


def problem(seed: int, n: int, d: int, classes: int = 4) -> tuple[ndarray, ndarray]:
    """Embeddings around class centres, and labels of which some in between are missing."""
    rng = np.random.default_rng(seed)
    names = np.array([2, 3, 7, 11])[:classes]
    labels = np.concatenate([names, names[:2], rng.choice(names, n)])[:n]
    rng.shuffle(labels)
    return rng.normal(size=(n, d)) + rng.normal(size=(12, d))[labels], labels


def predictions(seed: int, n: int, z: int) -> ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(z, 0.3), size=n)


METRICS: dict[str, Callable[[Any, Any], float]] = {
    "leep": lambda x, y: metrics.leep(softmax(x), y),
    "ms_leep": lambda x, y: metrics.ms_leep([softmax(x), softmax(-x)], y),
    "e_leep": lambda x, y: metrics.e_leep([softmax(x), softmax(-x)], y),
    "nce": lambda x, y: metrics.nce(x.argmax(1), y),
    "gbc": metrics.gbc,
    "gbc_diagonal": lambda x, y: metrics.gbc(x, y, covariance="diagonal"),
    "logme": metrics.logme,
    "logme_fixed_point": metrics.logme_fixed_point,
    "h_score": metrics.h_score,
    "h_score_regularised": lambda x, y: metrics.h_score(x, y, shrinkage="ledoit_wolf"),
    "transrate": metrics.transrate,
    "knn": metrics.knn,
    "linear_probe": metrics.linear_probe,
}


def softmax(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return x.softmax(1)
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


@pytest.mark.parametrize(("n", "z"), [(25, 4), (6, 12), (1, 3)])
def test_leep(n: int, z: int) -> None:
    probs, labels = predictions(n, n, z), problem(n, n, 1)[1]
    found = metrics.eep(probs, labels)
    np.testing.assert_allclose(found, references.eep(probs, labels), rtol=1e-12)
    assert isinstance(metrics.eep(torch.tensor(probs), labels), torch.Tensor)
    without_mass = np.insert(probs, 1, 0.0, axis=1)
    off = probs * np.linspace(0.9991, 1.0009, n)[:, None]  # renormalised
    for same in (probs, without_mass, off):
        assert metrics.leep(same, labels) == pytest.approx(np.log(found).mean(), rel=1e-12)


def test_leep_by_hand() -> None:
    # P(y=0|z=0) = 1/1.5, P(y=0|z=1) = 0/0.5: EEP are 2/3 and 1/3 * 1/2 + 1 * 1/2
    probs, labels = np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0, 1])
    assert metrics.leep(probs, labels) == pytest.approx(math.log(2 / 3), rel=1e-15)
    assert metrics.leep(np.eye(3), np.array([4, 0, 9])) == 0
    tiny = np.array([[1.0, 5e-324], [1.0, 1e-320], [1.0, 0.0]])
    expected = (math.log(1 / 3) + 2 * math.log(2 / 3)) / 3
    assert metrics.leep(tiny, np.array([0, 1, 1])) == pytest.approx(expected, rel=1e-9)


def test_blocks_of_rows_are_one_and_are_checked() -> None:
    rows = 2 * linalg.BLOCK + 3
    probs, labels = predictions(0, rows, 4).astype(np.float32), np.arange(rows) % 3
    exact = probs.astype(float) / probs.astype(float).sum(1, keepdims=True)
    joint = np.stack([exact[labels == y].sum(0) for y in range(3)])
    expected = ((joint / joint.sum(0))[labels] * exact).sum(1)
    np.testing.assert_allclose(metrics.eep(probs, labels), expected, rtol=1e-13)
    for row, value in ((0, np.nan), (linalg.BLOCK, -np.inf), (rows - 1, 1.5)):
        message = f"got 1.5 in row {row}" if value == 1.5 else rf"got {value} at \[{row}, 1\]"
        wrong = spoilt(probs, (row,), 0) if value == 1.5 else probs
        with pytest.raises(ValueError, match=message):
            metrics.leep(spoilt(wrong, (row, 1), value), labels)


@pytest.mark.parametrize("n", [1, 7, 60, 200])
def test_nce(n: int) -> None:
    rng = np.random.default_rng(n)
    source = rng.choice([0, 5, 6], n)
    labels = problem(n, n, 1)[1]
    if n == 200:  # so many pairs of classes that no table of them is made
        source = rng.integers(10**15, size=n)
        labels = rng.choice(10**6, 150)[rng.integers(150, size=n)]
        source[:100] = source[100:]
    expected = references.nce(source, labels)
    assert metrics.nce(source, labels) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert metrics.nce(labels * 2, labels) == 0  # it determines them


def test_ensembles() -> None:
    several, labels = [predictions(s, 15, z) for s, z in enumerate((3, 6, 2))], problem(3, 15, 1)[1]
    expected = sum(references.leep(probs, labels) for probs in several)
    assert metrics.ms_leep(several, labels) == pytest.approx(expected, rel=1e-9)
    expected = references.e_leep(several, labels)
    assert metrics.e_leep(several, labels) == pytest.approx(expected, rel=1e-9)
    alone = metrics.leep(several[0], labels)
    assert metrics.e_leep(several[:1], labels) == metrics.ms_leep(several[:1], labels) == alone


FORMULAS: list[tuple[str, dict[str, Any]]] = [("h_score", {}), ("logme_fixed_point", {})]
for kind, count in itertools.product(("spherical", "diagonal"), (None, 2, 64)):
    FORMULAS.append(("gbc", {"covariance": kind, "components": count}))
for eps, weighted in itertools.product((1e-4, 1.0), (False, True)):
    FORMULAS.append(("transrate", {"eps": eps, "weighted": weighted}))


@pytest.mark.parametrize(("n", "d"), SIZES)
@pytest.mark.parametrize(("name", "options"), FORMULAS)
def test_formulas(name: str, options: dict, n: int, d: int) -> None:
    x, labels = problem(n + d, n, d)
    found, expected = (getattr(of, name)(x, labels, **options) for of in (metrics, references))
    assert found == pytest.approx(expected, rel=1e-6 if "logme" in name else 1e-9)
    assert found <= len(set(labels)) - 1 or name != "h_score"
    regularised = metrics.h_score(x, labels, shrinkage="ledoit_wolf")
    assert regularised == pytest.approx(references.regularised_h_score(x, labels), rel=1e-9)


def test_gbc_floors_the_variance() -> None:
    x, labels = np.array([[0.0, 0], [0, 0], [0.02, 0]]), np.array([0, 0, 1])
    expected = -2 * math.exp(-(0.02**2) / (8 * 1e-4))
    assert metrics.gbc(x, labels) == pytest.approx(expected, rel=1e-12)
    assert metrics.gbc(x, labels, components=None) == pytest.approx(expected, rel=1e-12)
    # as little as a tenth of the floor in one class: the other's variance is its own
    x, labels = np.array([[-1.0], [1], [0], [0]]), np.array([0, 0, 1, 1])
    shared = (1 + 1e-4) / 2
    expected = -2 * math.exp(-0.5 * math.log(shared / math.sqrt(1e-4)))
    assert metrics.gbc(x, labels) == pytest.approx(expected, rel=1e-12)


def test_gbc_as_published_counts_the_log_determinant_once() -> None:
    x, labels = problem(5, 40, 6, classes=2)
    a, b = references.groups(x, labels)
    va, vb = a.var(0).mean(), b.var(0).mean()
    s = (va + vb) / 2
    distance = ((a.mean(0) - b.mean(0)) ** 2).sum() / (8 * s) + 0.5 * math.log(s / (va * vb) ** 0.5)
    published = metrics.gbc(x, labels, components=None, log_det="published")
    assert published == pytest.approx(-2 * math.exp(-distance), rel=1e-12)
    assert published != pytest.approx(metrics.gbc(x, labels, components=None), rel=1e-6)
    diagonal = [metrics.gbc(x, labels, "diagonal", log_det=how) for how in ("exact", "published")]
    assert diagonal[0] == diagonal[1]
    apart = metrics.gbc(np.array([[0.0], [1e6]]), np.array([0, 1]))
    assert (apart, math.copysign(1, apart)) == (0, 1)


@pytest.mark.parametrize(("n", "d"), [*SIZES, (11, 10), (30, 60), (12, 20), (20, 12)])
@pytest.mark.parametrize("seed", range(3))
def test_logme(n: int, d: int, seed: int) -> None:
    x, labels = problem(seed, n, d)
    assert metrics.logme(x, labels) == pytest.approx(references.logme(x, labels), rel=1e-6)
    # Singular values over six decades and labels along few of them.
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-3, 3, size=d)
    labels = (x[:, rng.integers(d)] > 0).astype(int)
    labels[:2] = [0, 1]
    assert metrics.logme(x, labels) == pytest.approx(references.logme(x, labels), rel=1e-6)


def two_directions(weak: float, off: float) -> tuple[ndarray, ndarray]:
    """A strong direction that explains half of the labels, a weak one most of the other half."""
    y = np.repeat([0.0, 1.0], [6, 6])
    noise = np.random.default_rng(0).normal(size=(12, 2))
    basis = np.linalg.qr(np.column_stack([y, noise]))[0]
    strong = basis @ [math.sqrt(0.5), math.sqrt(0.5), 0]
    rest = basis @ [math.sqrt(0.5), -math.sqrt(0.5), off]
    return np.column_stack([strong, weak * rest / np.linalg.norm(rest)]), y.astype(int)


def test_logme_finds_the_larger_of_two_maxima() -> None:
    log_t = np.linspace(math.log(1e-10), math.log(1e10), 400)
    larger = set()
    for weak in (0.03, 0.01):
        for off in (0.03, 0.3, 0.6, 0.9):
            x, labels = two_directions(weak, off)
            values = np.array([references.log_evidence(x, labels, at) for at in log_t])
            rises = np.diff(values) > 1e-9
            peaks = values[1:-1][rises[:-1] & ~rises[1:]]
            if len(peaks) > 1:
                larger.add(int(peaks.argmax()))
            assert metrics.logme(x, labels) == pytest.approx(references.logme(x, labels), rel=1e-6)
    assert larger == {0, 1}  # else this tests nothing


@pytest.mark.parametrize("d", [3, 40])
def test_logme_of_repeated_samples_stops_at_the_end_and_warns(d: int) -> None:
    rng = np.random.default_rng(d)
    once = rng.normal(size=(4, d))
    once[:, 0] = [1, 1, 0, 0] if d == 3 else once[:, 0]
    if d == 3:
        once[:, 1] = 1  # so that both indicators are linear in the embedding
    x, labels = np.repeat(once, 3, axis=0), np.repeat([5, 5, 8, 8], 3)
    with pytest.warns(metrics.UnboundedEvidenceWarning, match="2 of 2 classes.*t = 1e-10"):
        score = metrics.logme(x, labels)
    end = math.log(1e-10 * np.linalg.norm(x, 2) ** 2)
    values = [references.log_evidence(x, labels == c, end) for c in (5, 8)]
    assert score == pytest.approx(np.mean(values), rel=1e-6)
    with pytest.warns(metrics.UnboundedEvidenceWarning):
        assert metrics.logme(x * 1e8, labels) == pytest.approx(score, rel=1e-9)


def test_logme_of_samples_that_do_not_tell_the_labels() -> None:
    x, labels = np.random.default_rng(3).normal(size=(6, 30)), np.tile([0, 1], 6)
    x, labels[:6] = np.repeat(x, 2, axis=0), 1  # repeated ones of other labels: it is bounded
    assert metrics.logme(x, labels) == pytest.approx(references.logme(x, labels), rel=1e-6)
    far = np.random.default_rng(0).normal(
        1e4, size=(120, 10)
    )  # at the end of the range: no warning
    metrics.logme(far, np.arange(120) % 3)
    labels = np.array([0, 0, 0, 1])
    expected = [-0.5 * (math.log(2 * math.pi * k / 4) + 1) for k in (3, 1)]
    for shape in ((4, 2), (4, 9)):
        assert metrics.logme(np.zeros(shape), labels) == pytest.approx(np.mean(expected), rel=1e-12)


def test_the_fixed_point_is_no_evidence_where_n_is_below_d() -> None:
    x, labels = problem(1, 40, 5)
    exact, iterated = metrics.logme(x, labels), metrics.logme_fixed_point(x, labels)
    assert iterated <= exact
    assert iterated == pytest.approx(exact, abs=1e-2)
    x, labels = problem(1, 12, 60)
    assert metrics.logme_fixed_point(x, labels) > metrics.logme(x, labels) + 1  # of a maximum


@pytest.mark.parametrize(("n", "d", "warned"), [(12, 30, 1), (10, 10, 1), (11, 10, 1), (12, 10, 0)])
def test_h_score_warns_where_the_labels_do_not_matter(n: int, d: int, warned: int) -> None:
    x, labels = problem(n, n, d)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        score = metrics.h_score(x, labels)
        metrics.h_score(x, labels, shrinkage="ledoit_wolf")
        metrics.METRICS["h_score"](metrics.Sample(made_up(3, n, d)))  # nor does a grid of scores
        x[1] = x[0]
        metrics.h_score(x, labels)
    assert [type(w.message) for w in told] == [metrics.SaturatedScoreWarning] * warned
    assert bool(warned) == (score == pytest.approx(3, rel=1e-9))


def test_transrate_can_be_negative_unless_weighted() -> None:
    x = np.concatenate([np.random.default_rng(0).normal(size=(2, 20)) * 9, np.zeros((30, 20))])
    labels = np.repeat([0, 1], [2, 30])
    assert metrics.transrate(x, labels, eps=10) < 0
    assert metrics.transrate(x, labels, eps=10, weighted=True) >= 0
    same, labels = np.full((6, 3), 0.1), np.tile([0, 1], 3)
    assert metrics.transrate(same, labels, weighted=True) == 0
    x = np.random.default_rng(0).normal(size=(20, 4))[:, [0, 1, 2, 3, 0]]  # of rank 4
    small, large = (metrics.transrate(s * x, np.arange(20) % 2) for s in (1e5, 1e9))
    assert small == pytest.approx(large, abs=1e-8)  # rounding is not blown up
    assert [metrics.h_score(same, labels, how) for how in (None, "ledoit_wolf")] == [0, 0]


@pytest.mark.parametrize(("n", "d"), [(300, 5), (40, 60), (4, 2), (2, 3)])
def test_knn_is_leave_one_out(n: int, d: int) -> None:
    x, labels = problem(n, n, d)
    x[0] = 0
    x[-1] = x[1]
    similarity = references.cosines(x)
    right = 0
    for i in range(n):
        others = sorted(set(range(n)) - {i}, key=lambda j: (-similarity[i, j], j))[:5]
        votes = Counter(labels[others].tolist())
        right += min(votes, key=lambda y: (-votes[y], y)) == labels[i]
    assert metrics.knn(x, labels) == right / n
    # Of eight equal others five count, those of lowest index: to 0 and 1 more of class 0 than 1,
    # to 2 to 5 and to 6 to 8 the classes 1 1 0 0 0.
    labels = np.array([1, 1, 0, 0, 0, 0, 1, 1, 1])
    assert metrics.knn(np.ones((9, d)), labels) == metrics.knn(np.zeros((9, d)), labels) == 4 / 9


@pytest.mark.parametrize(("n", "d"), [(80, 6), (40, 60), (23, 23), (3, 2)])
def test_linear_probe_is_a_cross_validated_ridge(n: int, d: int) -> None:
    x, labels = problem(n, n, d, classes=3)
    order = np.random.default_rng(0).permutation(n)
    order = order[np.argsort(labels[order], kind="stable")]
    folds = [order[i::5] for i in range(min(n, 5))]
    rank = min(n - 1, d)
    mean = ((x - x.mean(0)) ** 2).sum() / rank
    errors, right = [], []
    for power in range(-3, 2):
        Y = (labels[:, None] == np.unique(labels)).astype(float)
        P = np.zeros_like(Y)
        for fold in folds:
            train = np.setdiff1d(np.arange(n), fold)
            P[fold] = Ridge(10.0**power * mean).fit(x[train], Y[train]).predict(x[fold])
        errors.append(((P - Y) ** 2).sum())
        right.append((P.argmax(1) == Y.argmax(1)).mean())
    assert metrics.linear_probe(x, labels) == pytest.approx(right[int(np.argmin(errors))])
    nothing = np.ones((5 * n, d)), np.array([0] * n + [1] * 4 * n)
    assert metrics.linear_probe(*nothing) == 0.8  # the share of the largest class


def split(x: Any, labels: Any, *sizes: int) -> list[metrics.Moments]:
    """Moments of so many samples each, and of those that are left."""
    ends = np.cumsum([0, *sizes, len(x) - sum(sizes)])
    return [
        metrics.Moments().update(x[a:b], labels[a:b]) for a, b in itertools.pairwise(ends) if a < b
    ]


@pytest.mark.parametrize(("n", "d"), [*SIZES, (2000, 7), (60, 40), (30, 60)])
@pytest.mark.filterwarnings("ignore::hastelib.metrics.UnboundedEvidenceWarning")
@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4])
@pytest.mark.parametrize("rank", [None, 3])
def test_moments_equal_what_is_in_memory(n: int, d: int, offset: float, rank: int | None) -> None:
    x, labels = problem(n, n, d)
    if rank is not None:
        x = x[:, :rank] @ np.random.default_rng(0).normal(size=(min(rank, d), d))
    x += offset
    order = np.argsort(labels) if n == 60 else np.arange(n)  # classes that come one by one
    x, labels = x[order], labels[order]
    h_score, logme = metrics.h_score(x, labels), metrics.logme(x, labels)
    for sizes in ((), (1,), (1, 1, 4), (n // 2, 2)):
        first, *others = split(x, labels, *sizes)
        for other in others:
            before = other.h_score() if len(other.classes) > 1 else None
            assert first.merge(other) is first
            assert before is None or before == other.h_score()
        assert first.n == n
        assert sorted(first.classes) == sorted(set(labels.tolist()))
        assert first.h_score() == pytest.approx(h_score, rel=1e-8)
        # LogME is of the embeddings as they are, whose mean hides the rest of their Gram matrix.
        digits = max(1e-8, 1e-13 * offset**2)
        assert first.logme() == pytest.approx(logme, rel=digits, abs=digits)


def test_moments_give_the_principal_components() -> None:
    x, labels = problem(4, 50, 6)
    found = metrics.Moments().update(x[:20], labels[:20]).update(x[20:], labels[20:])
    mean, axes, variances = found.pca(4)
    pca = PCA(4, svd_solver="full").fit(x)
    np.testing.assert_allclose(mean, pca.mean_, rtol=1e-12)
    np.testing.assert_allclose(variances, pca.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(abs((axes * pca.components_).sum(1)), 1, rtol=1e-10)
    np.testing.assert_array_equal(found.pca(1)[2], variances[:1])
    on_torch = metrics.Moments().update(torch.tensor(x).float(), labels)
    assert all(isinstance(part, torch.Tensor) for part in on_torch.pca(4))
    np.testing.assert_allclose(on_torch.pca(9)[2], PCA().fit(x).explained_variance_, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-200, 1e-8, 1e150])
def test_moments_of_any_scale(scale: float) -> None:
    x, labels = problem(4, 50, 6)
    x[:9] *= 1e-3  # so that the scale rises on the way
    found = metrics.Moments().update(x[:9] * scale, labels[:9]).update(x[9:] * scale, labels[9:])
    assert found.logme() == pytest.approx(metrics.logme(x, labels), rel=1e-8)
    assert found.h_score() == pytest.approx(metrics.h_score(x, labels), rel=1e-8)


@pytest.mark.parametrize(("left", "digits"), [(1e-2, 1e-10), (1e-4, 1e-7)])
def test_moments_of_a_near_fit_lose_digits_as_they_say(left: float, digits: float) -> None:
    """The embeddings are the indicators, but for noise of which about ``left`` squared is left."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    x = (np.eye(3)[labels] + left * rng.normal(size=(60, 3))) @ rng.normal(size=(3, 8))
    found = metrics.Moments().update(x, labels)
    assert found.logme() == pytest.approx(metrics.logme(x, labels), abs=digits)
    fit = np.eye(3)[labels]  # exact
    with pytest.warns(metrics.UnboundedEvidenceWarning):
        expected = metrics.logme(fit, labels)
    with pytest.warns(metrics.UnboundedEvidenceWarning):
        assert metrics.Moments().update(fit, labels).logme() == pytest.approx(expected, rel=1e-8)


def test_refused_moments_change_nothing() -> None:
    found = metrics.Moments().update(X, Y)
    for batch, labels in ((X[:, :2], Y), (spoilt(X, (2, 1), np.nan), Y), (X, Y[1:])):
        with pytest.raises(ValueError, match="expected"):
            found.update(batch, labels)
    assert found.merge(metrics.Moments()).n == 8
    assert found.logme() == pytest.approx(metrics.logme(X, Y), rel=1e-8)


def scored(made: SimpleNamespace, *names: str) -> dict[str, float]:
    found = metrics.Sample(made).scores(names)
    assert not any(reason for _, reason in found.values())
    return {name: value for name, (value, _) in found.items()}


def test_a_source_without_probabilities_has_no_leep_and_says_so() -> None:
    made = made_up(3, 40, 5)
    expected = scored(made, "gbc", "knn")
    made.probs = None
    assert scored(made, "gbc", "knn") == expected
    for value, reason in metrics.Sample(made).scores(["leep", "nce"]).values():
        assert math.isnan(value)
        assert reason.startswith("the source gives no class probabilities")


def made_up(seed: int, n: int, d: int) -> SimpleNamespace:
    """Features of a source."""
    x, labels = problem(seed, n, d)
    return SimpleNamespace(embedding=x, labels=labels, probs=predictions(seed, n, 5))


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_all_at_once_is_each_alone(n: int, d: int) -> None:
    made = made_up(3, n, d)
    x, labels = made.embedding, made.labels
    of_embeddings = ("gbc", "logme", "h_score", "transrate")
    alone = {name: getattr(metrics, name)(x, labels) for name in of_embeddings}
    alone |= {"leep": metrics.leep(made.probs, labels)}
    alone |= {"nce": metrics.nce(made.probs.argmax(1), labels)}
    assert scored(made, *alone) == alone  # to the last digit, whatever else is asked for before
    assert scored(made, *reversed(alone)) == alone
    assert set(metrics.METRICS) - {*alone} == {"knn", "linear_probe", "logme_fixed_point"}


sizes = st.integers(6, 18), st.integers(1, 20), st.integers(2, 4)  # n, d and classes
problems = st.builds(problem, st.integers(0, 10**6), *sizes)


# The folds are drawn by the samples' place, votes tie by the label.
@pytest.mark.parametrize("name", sorted({*METRICS} - {"knn", "linear_probe"}))
@given(problems, st.randoms(use_true_random=False))
def test_neither_names_nor_order_matter(name: str, given_problem: Any, random: Any) -> None:
    x, labels = given_problem
    score = METRICS[name](x, labels)
    tolerance = 1e-7 if name.startswith("logme") else 1e-9
    names = random.sample(range(1000), 12)
    renamed = np.array(names)[labels]
    assert METRICS[name](x, renamed) == pytest.approx(score, rel=tolerance, abs=1e-12)
    order = random.sample(range(len(x)), len(x))
    assert METRICS[name](x[order], labels[order]) == pytest.approx(score, rel=tolerance, abs=1e-12)


@given(st.integers(1, 12), st.integers(1, 6), st.data())
def test_leep_is_never_positive(n: int, z: int, data: st.DataObject) -> None:
    numbers = st.floats(0, 1, allow_subnormal=True)
    weights = data.draw(arrays(float, (n, z), elements=numbers))
    labels = data.draw(arrays(int, n, elements=st.integers(0, 3)))
    weights[weights.sum(1) == 0, 0] = 1
    probs = weights / weights.max(1, keepdims=True)
    probs = probs / probs.sum(1, keepdims=True)
    for score in (metrics.leep(probs, labels), metrics.nce(probs.argmax(1), labels)):
        assert -math.inf < score <= 0
    assert metrics.e_leep([probs, probs[:, ::-1]], labels) <= 0


@given(problems, st.sampled_from([1e-200, 1e-8, 3.0, 1e8, 1e150]))
def test_scale_does_not_matter(given_problem: tuple[ndarray, ndarray], scale: float) -> None:
    x, labels = given_problem
    for metric in (metrics.logme, metrics.h_score):
        assert metric(x * scale, labels) == pytest.approx(metric(x, labels), rel=1e-7)


@pytest.mark.parametrize("name", METRICS)
def test_inputs_are_unchanged_and_kinds_agree(name: str) -> None:
    x, labels = problem(8, 20, 6)
    kept = x.copy(), labels.copy()
    score = METRICS[name](x, labels)
    assert type(score) is float
    x.flags.writeable = labels.flags.writeable = False
    assert METRICS[name](x, labels) == score
    small = torch.tensor(labels, dtype=torch.int32)
    for device in DEVICES:
        tensor = torch.tensor(x, requires_grad=True, device=device)
        assert METRICS[name](tensor, small) == pytest.approx(score, rel=1e-9)
    assert METRICS[name](x, small) == pytest.approx(score, rel=1e-12)
    turned = np.asfortranarray(x[::-1]).astype(">f8"), labels[::-1].astype(np.uint8)
    # the folds of a probe depend on the order of the samples
    turned_score = pytest.approx(score, rel=1e-7, abs=0.3 if name == "linear_probe" else 0)
    assert METRICS[name](*turned) == turned_score
    for given_input, before in zip((x, labels), kept, strict=True):
        assert (given_input == before).all()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_comes_in_and_float64_is_computed(kind: torch.dtype) -> None:
    x, labels = problem(9, 20, 6)
    low = torch.tensor(x).to(kind)
    exact = low.double().numpy()
    for name in ("gbc", "logme", "h_score", "transrate"):
        assert METRICS[name](low, labels) == pytest.approx(METRICS[name](exact, labels), rel=1e-12)
    probs = torch.tensor(predictions(9, 20, 4)).to(kind)
    again = probs.double() / probs.double().sum(1, keepdim=True)
    assert metrics.leep(probs, labels) == pytest.approx(metrics.leep(again, labels), rel=1e-12)


X, Y = problem(0, 8, 3, classes=2)
