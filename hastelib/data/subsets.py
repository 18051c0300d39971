"""Targets made of some of a target's classes (the paper, Sec. 5.2)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import datasets
import numpy as np

LEAST = 0.4
"""The smallest share of the classes; the largest is all of them."""


def class_subsets(classes: int, seed: int = 0) -> Iterator[tuple[int, ...]]:
    """Distinct random sets of classes, each with all its samples, until there is no other.

    A size is drawn between 40% (rounded up, at least 2) and 100% of the classes, each as likely,
    then a set of that size; sets that came before are passed over. The sequence depends on the
    seed alone, so the third set is the third however many are asked for.

    Args:
        classes: how many there are.
        seed: of the draws.

    Yields:
        Ascending class indices.

    Raises:
        ValueError: fewer than two classes.
    """
    if classes < 2:
        raise ValueError(f"classes: expected at least 2, got {classes}")
    random = np.random.default_rng(seed)
    sizes = range(max(2, math.ceil(LEAST * classes - 1e-9)), classes + 1)
    left = {size: math.comb(classes, size) for size in sizes}
    seen: set[tuple[int, ...]] = set()
    while any(left.values()):
        size = int(random.choice([size for size in sizes if left[size]]))
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


def chosen_classes(data: datasets.DatasetDict, which: int, seed: int = 0) -> tuple[int, ...]:
    """The classes of subset ``which`` of a data set, counted from 0.

    Raises:
        ValueError: there are not so many.
    """
    classes = data["train"].features["label"].num_classes
    found = next(itertools.islice(class_subsets(classes, seed), which, None), None)
    if found is None:
        raise ValueError(f"subset {which}: {classes} classes have fewer distinct subsets than that")
    return found


def class_subset(data: datasets.DatasetDict, which: int, seed: int = 0) -> datasets.DatasetDict:
    """The data set with the classes of subset ``which`` only, renumbered, in its order."""
    kept = np.array(chosen_classes(data, which, seed))
    names = [data["train"].features["label"].names[i] for i in kept]
    found = {}
    for split, samples in data.items():
        labels = np.array(samples.with_format("numpy")["label"][:])
        rows = np.flatnonzero(np.isin(labels, kept))
        part = samples.select(rows).remove_columns("label")
        part = part.add_column("label", np.searchsorted(kept, labels[rows]))
        found[split] = part.cast_column("label", datasets.ClassLabel(names=names))
    return datasets.DatasetDict(found)
