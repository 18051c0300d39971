"""Targets made of some of a target's classes (the paper, Sec. 5.2)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import datasets
import numpy as np

from hastelib.data.base import class_names, labels_of, renumbered

LEAST = 0.4
"""The smallest share of the classes; the largest is all of them."""


def class_subsets(classes: int, seed: int = 0) -> Iterator[tuple[int, ...]]:
    """Distinct random sets of classes, each with all its samples, until there is no other.

    A size is drawn between 40% (rounded up, at least 2) and 100% of the classes, each as likely,
    then a set of that size; sets that came before are passed over. The sequence depends on the
    seed alone, so the third set is the third however many are asked for.

    Yields:
        Ascending class indices.

    Raises:
        ValueError: fewer than two ``classes``.
    """
    if classes < 2:
        raise ValueError(f"classes: expected at least 2, got {classes}")
    random, seen = np.random.default_rng(seed), set[tuple[int, ...]]()
    sizes = range(max(2, math.ceil(LEAST * classes - 1e-9)), classes + 1)
    left = {size: math.comb(classes, size) for size in sizes}
    while open_sizes := [size for size in sizes if left[size]]:
        size = int(random.choice(open_sizes))
        # Of a size with few sets left they are listed; else one is drawn until it is new.
        if left[size] <= 20 and math.comb(classes, size) <= 10_000:
            others = [s for s in itertools.combinations(range(classes), size) if s not in seen]
            drawn = others[random.integers(len(others))]
        else:
            drawn = tuple(sorted(random.choice(classes, size, replace=False).tolist()))
        if drawn not in seen:
            seen.add(drawn)
            left[size] -= 1
            yield drawn


def subset_classes(data: datasets.DatasetDict, seed: int = 0) -> Iterator[tuple[int, ...]]:
    """The classes of subset 0, 1, 2, ... of a data set.

    Of two classes both, without end: what is drawn is then not classes but train samples, between
    40% and 100% of them, each share as likely. (The paper has a target of two classes, IMDB, in
    Table 5 and does not say what its subsets are.)
    """
    classes = len(class_names(data["train"]))
    return class_subsets(classes, seed) if classes > 2 else itertools.repeat((0, 1))


def subset_rows(
    data: datasets.DatasetDict, which: int, seed: int = 0
) -> tuple[tuple[int, ...], dict[str, np.ndarray]]:
    """The classes of subset ``which``, counted from 0, and its rows in each split, ascending.

    Raises:
        ValueError: there are not so many.
    """
    kept = next(itertools.islice(subset_classes(data, seed), which, None), None)
    count = len(class_names(data["train"]))
    if kept is None:
        raise ValueError(f"subset {which}: {count} classes have fewer distinct subsets than that")
    rows = {split: np.flatnonzero(np.isin(labels_of(data[split]), kept)) for split in data}
    if count == 2:
        random = np.random.default_rng((seed, which))
        size = math.ceil(random.uniform(LEAST, 1) * len(rows["train"]))
        rows["train"] = np.sort(random.permutation(rows["train"])[:size])
    return kept, rows


def subset(data: datasets.DatasetDict, which: int, seed: int = 0) -> datasets.DatasetDict:
    """Subset ``which`` of a data set, its classes renumbered, in its order."""
    kept, rows = subset_rows(data, which, seed)
    return datasets.DatasetDict({s: renumbered(data[s], rows[s], kept) for s in data})
