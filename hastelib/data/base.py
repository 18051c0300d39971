"""What all data sets share: a suite's description, splits, their content's hash, class subsets."""

import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import datasets
import numpy as np
from pydantic import BaseModel, ConfigDict

from hastelib.store import Store, cache_folder

datasets.disable_progress_bars()  # seconds at most, and a widget in a notebook page

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
Splits = dict[Split, datasets.Dataset]
LEAST = 0.4
"""The smallest share of a target's classes in a subset; the largest is all of them."""


class Strict(BaseModel):
    """Unknown keys are refused, and nothing changes after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Spec(Strict):
    """What a data set is made from; its ``kind`` in a suite's file says which class it is."""

    def load(self, store: Store) -> Splits:
        """The splits ``train`` and, where it is published, ``test``."""
        raise NotImplementedError


class MissingDataError(FileNotFoundError):
    """A data set is not on this machine and cannot be downloaded."""


def load(spec: Spec, store: Store | None = None, whole: bool = False) -> datasets.DatasetDict:
    """The splits ``train`` and ``test`` of a data set; ``store`` keeps drawings and decoded masks.

    Without an official test split it is split 80/20, stratified, with the specification's ``seed``
    (0 where it has none); but ``whole`` (source data) leaves all in ``train``.

    Raises:
        MissingDataError: the data are neither there nor to be had.
        ValueError: the data are there, but not in the form that the specification describes.
    """
    splits = spec.load(store or Store())
    if whole and "test" not in splits:
        return datasets.DatasetDict(splits)
    train = splits["train"]
    if len(names := class_names(train)) < 2:
        raise ValueError(f"{spec}: expected at least two classes, got {names}")
    if empty := [split for split, data in splits.items() if not len(data)]:
        raise ValueError(f"{spec}: the {empty[0]} split is empty")
    if "test" in splits:
        return datasets.DatasetDict(splits)
    try:
        if single := [names[i] for i in np.flatnonzero(np.bincount(labels_of(train)) == 1)]:
            raise ValueError(f"one sample in {single[:10]}")
        seed = getattr(spec, "seed", 0)
        return train.train_test_split(0.2, stratify_by_column="label", seed=seed)
    except ValueError as error:
        raise ValueError(f"{spec} cannot be split 80/20 by class: {error}") from error


def data_folder() -> Path:
    """``HASTE_DATA``, or ``data`` in the cache where it is not set."""
    return Path(os.environ.get("HASTE_DATA") or cache_folder() / "data").expanduser()


def class_names(split: datasets.Dataset) -> list[str]:
    """The names of the classes; of a split with masks, of all classes that a mask may hold."""
    feature: Any = split.features["label"]
    return getattr(feature, "feature", feature).names


def labels_of(split: datasets.Dataset) -> np.ndarray:
    """(n,) int64: the class of each row."""
    with np.errstate(invalid="ignore"):  # a row without a label gets one below 0
        return np.array(split.with_format("numpy")["label"][:], np.int64)


def undecoded(split: datasets.Dataset) -> datasets.Dataset:
    """The split with the files of its images and masks: ``bytes`` or a ``path`` each."""
    for column in {"image", "mask"} & {*split.column_names}:
        split = split.cast_column(column, datasets.Image(decode=False))
    return split


def fingerprint(split: datasets.Dataset) -> str:
    """Hexadecimal SHA-256 of a split's class names and samples, in their order.

    It covers the encoded files of images and masks, the UTF-8 of texts, and the labels' numbers.
    """
    hasher = hashlib.sha256(json.dumps(class_names(split)).encode())
    columns = [name for name in ("image", "mask", "text") if name in split.features]
    one_label = isinstance(split.features["label"], datasets.ClassLabel)
    for rows in undecoded(split).iter(256):
        for label, *contents in zip(*(rows[name] for name in ("label", *columns)), strict=True):
            for content in contents:
                if content is None:
                    missing = "/".join(columns)
                    raise ValueError(f"a sample of class {label} has no {missing}; remove it")
                if isinstance(content, dict):  # an image or a mask
                    stored = content["bytes"]
                    content = Path(content["path"]).read_bytes() if stored is None else stored
                else:
                    content = content.encode()
                hasher.update(hashlib.sha256(content).digest())
            if one_label:  # a mask holds its classes
                hasher.update(int(label).to_bytes(8, "little"))
    return hasher.hexdigest()


def relabelled(data: datasets.Dataset, labels: np.ndarray, names: list[str]) -> datasets.Dataset:
    """The same rows with other labels."""
    feature = datasets.ClassLabel(names=names)
    return data.remove_columns("label").add_column("label", labels.tolist(), feature=feature)


def class_subsets(classes: int, seed: int = 0) -> Iterator[tuple[int, ...]]:
    """Distinct random sets of ascending class indices, until there is no other.

    A size is drawn between 40% (rounded up, at least 2) and 100% of the classes, each as likely,
    then a set of that size that did not come before. The sequence depends on the seed alone.

    Raises:
        ValueError: fewer than two ``classes``.
    """
    if classes < 2:
        raise ValueError(f"classes: expected at least 2, got {classes}")
    random, seen = np.random.default_rng(seed), set[tuple[int, ...]]()
    sizes = range(max(2, math.ceil(LEAST * classes - 1e-9)), classes + 1)
    remaining = {size: math.comb(classes, size) for size in sizes}
    while open_sizes := [size for size in sizes if remaining[size]]:
        size = int(random.choice(open_sizes))
        # Where few sets of a size remain, one is drawn from their list; else until it is new.
        if remaining[size] <= 20 and math.comb(classes, size) <= 10_000:
            unseen = [s for s in itertools.combinations(range(classes), size) if s not in seen]
            drawn = unseen[random.integers(len(unseen))]
        else:
            drawn = tuple(sorted(random.choice(classes, size, replace=False).tolist()))
        if drawn not in seen:
            seen.add(drawn)
            remaining[size] -= 1
            yield drawn


def subset_classes(data: datasets.DatasetDict) -> Iterator[tuple[int, ...]]:
    """The classes of subset 0, 1, 2, ... of a data set.

    Of two classes always both, without end: 40% to 100% of the train samples are drawn then, each
    share as likely. (The paper does not say what the subsets of IMDB are, Table 5.)
    """
    classes = len(class_names(data["train"]))
    return class_subsets(classes) if classes > 2 else itertools.repeat((0, 1))


def subset_rows(
    data: datasets.DatasetDict, which: int
) -> tuple[tuple[int, ...], dict[Split, np.ndarray]]:
    """The classes of subset ``which``, counted from 0, and its rows in each split, ascending."""
    kept = next(itertools.islice(subset_classes(data), which, None), None)
    count = len(class_names(data["train"]))
    if kept is None:
        raise ValueError(f"subset {which}: {count} classes have fewer distinct subsets than that")
    rows = {split: np.flatnonzero(np.isin(labels_of(data[split]), kept)) for split in data}
    if count == 2:
        random = np.random.default_rng((0, which))
        size = math.ceil(random.uniform(LEAST, 1) * len(rows["train"]))
        rows["train"] = np.sort(random.permutation(rows["train"])[:size])
    return kept, rows


def subset(
    data: datasets.DatasetDict, kept: Sequence[int], rows: Mapping[Split, np.ndarray]
) -> datasets.DatasetDict:
    """The ``rows`` of a data set, in its order; their classes ``kept`` are renumbered."""
    splits = datasets.DatasetDict()
    for split, indices in rows.items():
        names, chosen = class_names(data[split]), data[split].select(indices)
        labels = np.searchsorted(kept, labels_of(chosen))
        splits[split] = relabelled(chosen, labels, [names[i] for i in kept])
    return splits
