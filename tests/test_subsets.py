"""Class subsets: valid, distinct, reproducible, and all of them where there are few."""

from __future__ import annotations

import itertools
import math

import pytest

from hastelib.data import class_subsets


@pytest.mark.parametrize(("classes", "total"), [(2, 1), (4, 11), (6, 42), (7, 99)])
def test_there_are_as_many_as_there_are(classes: int, total: int) -> None:
    found = list(class_subsets(classes))
    assert len(found) == len(set(found)) == total
    assert {len(one) for one in found} == set(range(max(2, math.ceil(0.4 * classes)), classes + 1))
    assert found == list(class_subsets(classes))
    assert found != list(class_subsets(classes, seed=1)) or total == 1


@pytest.mark.parametrize("classes", [25, 60, 200])
def test_subsets_are_valid_and_sizes_even(classes: int) -> None:
    found = list(itertools.islice(class_subsets(classes), 300))
    assert len(set(found)) == 300
    for one in found:
        assert list(one) == sorted(set(one))
        assert 0.4 * classes <= len(one) <= classes
        assert set(one) <= set(range(classes))
    sizes = [len(one) / classes for one in found]
    assert 0.6 < sum(sizes) / 300 < 0.8  # all sizes alike, not as many as sets of a size


def test_one_class_has_no_subsets() -> None:
    with pytest.raises(ValueError, match="classes: expected at least 2, got 1"):
        next(class_subsets(1))
