"""Hardness against the paper's own formulas, the signature's algebra, and the hard subset."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import references
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy import ndarray

from hastelib import hardness, linalg

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
SHRUNK_OR_FLOORED = ["spherical", "diagonal", "ledoit_wolf", "tied"]


def layers(seed: int, n: int, widths: tuple[int, ...] = (4, 7)) -> list[ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0.3, 1, size=(n, d)) for d in widths]


def labelled(seed: int, n: int, d: int) -> tuple[ndarray, ndarray]:
    """Classes of unlike size, shape and scale; one of a single sample."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.r_[9, np.tile([2, 4, 5], n)[: n - 1]])
    shapes = rng.normal(size=(10, d, d)) * rng.uniform(0.2, 3, size=(10, 1, 1))
    return np.stack([rng.normal(size=d) @ shapes[y] + y for y in labels]), labels


# Class-agnostic


@pytest.mark.parametrize("widths", [(5,), (4, 7), (3, 6, 12, 1)])
def test_signature_equals_the_whole_matrix(widths: tuple[int, ...]) -> None:
    source, target = layers(0, 40, widths), layers(1, 15, widths)
    source[0][3] = 0
    for values in target:
        values[2] = 0  # its cosine is 0
    found = hardness.class_agnostic(target, hardness.source_signature(source))
    expected = references.class_agnostic(source, target)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert found[2] == 1
    ends = np.array([[6.0, 8.0], [-3, -4], [-4, 3]])
    found = hardness.class_agnostic([ends], hardness.source_signature([np.array([[3.0, 4.0]])]))
    np.testing.assert_allclose(found, [0, 2, 1], atol=1e-15)


def test_streamed_and_merged_equal_one_shot() -> None:
    source = layers(2, 50)
    whole = hardness.source_signature(source)
    streamed = hardness.source_signature([x[:7] for x in source])
    for start in range(7, 50, 7):
        assert streamed.update([x[start : start + 7] for x in source]) is streamed
    parts = [hardness.source_signature([x[a:b] for x in source]) for a, b in ((0, 20), (20, 50))]
    merged = parts[0].merge(parts[1])
    assert parts[1].count == 30  # only the one that is added to changes
    for other in (streamed, merged):
        assert other.count == whole.count == 50
        for mean, expected in zip(other.means, whole.means, strict=True):
            np.testing.assert_allclose(mean, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_signature_survives_a_file(kind: str, tmp_path: Path) -> None:
    source: list[Any] = layers(3, 9)
    if kind == "torch":
        source = [torch.tensor(x).float() for x in source]
    signature = hardness.source_signature(source)
    signature.save(tmp_path / "signature.safetensors")
    loaded = hardness.Signature.load(tmp_path / "signature.safetensors")
    for found in (loaded, hardness.Signature.of(signature.arrays(), kind)):
        assert found.count == 9
        for mean, kept in zip(found.means, signature.means, strict=True):
            assert type(mean) is type(kept)
            np.testing.assert_array_equal(mean, kept)


@given(st.integers(0, 10**6), st.sampled_from([5e-324, 1e-300, 1e-200, 1e-3, 7.0, 1e200, 1e300]))
def test_scale_does_not_matter_to_the_cosine(seed: int, scale: float) -> None:
    target, signature = layers(seed, 8), hardness.source_signature(layers(seed + 1, 9))
    if scale == 5e-324:  # the smallest numbers there are
        target = [np.sign(x) for x in target]
    expected = hardness.class_agnostic(target, signature)
    scaled = [x * scale for x in target]
    found = hardness.class_agnostic(scaled, signature)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    again = hardness.source_signature(scaled)
    for mean, other in zip(again.means, hardness.source_signature(target).means, strict=True):
        np.testing.assert_allclose(mean, other, rtol=1e-9, atol=1e-12)


# Class-specific


@pytest.mark.parametrize(("n", "d"), [(60, 4), (20, 30), (13, 1), (40, 12)])
@pytest.mark.parametrize("covariance", [*SHRUNK_OR_FLOORED, "full"])
def test_class_specific(covariance: str, n: int, d: int) -> None:
    x, labels = labelled(n + d, n, d)
    if covariance == "full":
        x, labels = x[labels != 9, :3], labels[labels != 9]
    found = hardness.class_specific(x, labels, covariance)
    expected = references.class_specific(x, labels, covariance)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert (found[labels == 9] == 0).all()
    if covariance == "spherical":  # the default
        np.testing.assert_array_equal(hardness.class_specific(x, labels), found)


@pytest.mark.parametrize("size", [2, 4, 6, 7])
def test_full_refuses_small_classes(size: int) -> None:
    rng = np.random.default_rng(size)
    x, labels = rng.normal(size=(40, 6)), np.repeat([3, 8], [40 - size, size])
    with pytest.raises(ValueError, match=rf"more than d \+ 1 = 7 .* got {size} in class 8"):
        hardness.class_specific(x, labels, "full")
    # and why: with any inverse every sample would be equally hard
    own = x[labels == 8] - x[labels == 8].mean(0)
    inverse = np.linalg.pinv(own.T @ own / size, rcond=1e-10)
    distances = [math.sqrt(r @ inverse @ r) for r in own]
    np.testing.assert_allclose(distances, math.sqrt(size - 1), rtol=1e-9)
    x = rng.normal(size=(40, 6))
    x[20:, 3] = x[20:, 0] - 2 * x[20:, 1]
    with pytest.raises(ValueError, match=r"embeddings: expected rank d = 6 .* rank 5 in class 8"):
        hardness.class_specific(x, np.repeat([3, 8], 20), "full")


def test_samples_that_hardly_differ() -> None:
    x, labels = np.array([[0.0, 1], [0.002, 1], [5, 5]]), np.array([0, 0, 1])
    for covariance in ("spherical", "diagonal"):  # the floor of the variance
        found = hardness.class_specific(x, labels, covariance)
        np.testing.assert_allclose(found, [0.1, 0.1, 0], rtol=1e-9)
    same, labels = np.full((6, 5), 0.1) / 3, np.array([0, 0, 0, 0, 0, 1])
    for covariance in SHRUNK_OR_FLOORED:
        np.testing.assert_array_equal(hardness.class_specific(same, labels, covariance), 0)
    two = np.random.default_rng(1).normal(size=(2, 8))
    found = hardness.class_specific(two, np.array([1, 1]), "ledoit_wolf")
    np.testing.assert_allclose(found, 1)


problems = st.builds(labelled, st.integers(0, 10**6), st.integers(8, 20), st.integers(1, 12))


@pytest.mark.parametrize("covariance", SHRUNK_OR_FLOORED)
@given(problems, st.randoms(use_true_random=False))
def test_neither_names_nor_order_matter(covariance: str, problem: Any, random: Any) -> None:
    x, labels = problem
    found = hardness.class_specific(x, labels, covariance)
    order = random.sample(range(len(x)), len(x))
    names = np.array(random.sample(range(100), 10))
    again = hardness.class_specific(x[order], names[labels[order]], covariance)
    np.testing.assert_allclose(again, found[order], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("covariance", ["ledoit_wolf", "tied", "full"])
@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e150])
def test_scale_does_not_matter_where_nothing_is_floored(covariance: str, scale: float) -> None:
    x, labels = labelled(2, 60, 4)
    x, labels = x[labels != 9], labels[labels != 9]
    found = hardness.class_specific(x * scale, labels, covariance)
    np.testing.assert_allclose(found, hardness.class_specific(x, labels, covariance), rtol=1e-9)


def test_rows_are_taken_in_blocks_and_extreme_ones_apart() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 2 * linalg.BLOCK + 3, 4))
    source[5] *= 1e200
    source[linalg.BLOCK + 1] *= 1e-200
    target[7] = 0
    target[-1] *= 1e300
    expected = references.class_agnostic([source / abs(source).max(1, keepdims=True)], [target[:9]])
    found = hardness.class_agnostic([target], hardness.source_signature([source]))
    np.testing.assert_allclose(found[:9], expected, rtol=1e-12)
    again = hardness.class_agnostic([target[-1:] / 1e300], hardness.source_signature([source]))
    assert found[-1] == pytest.approx(again[0], rel=1e-12)


# The hard subset


def test_hardest_first_and_ties_by_index() -> None:
    scores = np.array([1.0, 3.0, 2.0, 3.0, -0.0, 0.0, 2.0])
    assert hardness.hardest(scores, 1.0).tolist() == [1, 3, 2, 6, 0, 4, 5]
    assert hardness.hardest(scores, 1).tolist() == [1, 3, 2, 6, 0, 4, 5]
    assert hardness.hardest(scores, 0.25).tolist() == [1, 3]
    assert hardness.hardest(scores, 1e-3).tolist() == [1]


def test_rounding_adds_no_sample() -> None:
    assert 0.1 + 0.2 > 0.3  # such a fraction of 10 is meant to be 3
    assert len(hardness.hardest(np.arange(10.0), 0.1 + 0.2)) == 3
    assert len(hardness.hardest(np.arange(100.0), 0.07)) == 7
    assert len(hardness.hardest(np.arange(10.0), 0.31)) == 4
    labels = np.repeat([5, 2], 10)
    assert hardness.hardest(np.arange(20.0), 0.1 + 0.2, labels).tolist() == [19, 18, 17, 9, 8, 7]
    assert len(hardness.hardest(np.arange(20.0), 0.31, labels)) == 8
    assert hardness.hardest(np.arange(3.0), 0.01, [0, 0, 1]).tolist() == [2, 1]


@given(
    arrays(float, st.integers(1, 40), elements=st.integers(-3, 3).map(float)), st.integers(1, 100)
)
def test_hardest_is_a_stable_sort(scores: ndarray, percent: int) -> None:
    found = hardness.hardest(scores, percent / 100)
    expected = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    assert found.tolist() == expected[: -(-percent * len(scores) // 100)]


# Kinds, and what is refused


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_kinds_come_back_as_they_came(device: str, dtype: torch.dtype) -> None:
    x, y = labelled(0, 10, 7)
    given = [
        torch.tensor(one, dtype=dtype, device=device) for one in (*layers(0, 12), *layers(1, 10), x)
    ]
    kept = [one.clone() for one in given]
    plain = [one.double().cpu().numpy() for one in given]
    for one in plain:
        one.flags.writeable = False

    def found(inputs: list[Any]) -> list[Any]:
        *values, embeddings = inputs
        signature = hardness.source_signature(values[:2])
        of_class = [hardness.class_specific(embeddings, y, cov) for cov in SHRUNK_OR_FLOORED]
        agnostic = hardness.class_agnostic(values[2:], signature)
        return [hardness.hardest(agnostic, 0.5), agnostic, *signature.means, *of_class]

    pairs = [*zip(found(given), found(plain), strict=True)]
    for i, (tensor, array) in enumerate(pairs):
        assert isinstance(tensor, torch.Tensor)
        assert isinstance(array, np.ndarray)
        assert tensor.device.type == device
        assert str(tensor.dtype) == f"torch.{array.dtype}" == f"torch.{'float64' if i else 'int64'}"
        np.testing.assert_allclose(tensor.cpu(), array, rtol=1e-8, atol=1e-12)
    assert all(torch.equal(one, before) for one, before in zip(given, kept, strict=True))
