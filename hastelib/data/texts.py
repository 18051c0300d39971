"""Texts with a label: Parquet files in the hub's layout, and the generated corpus."""

from __future__ import annotations

import datasets
import numpy as np
from sklearn.model_selection import train_test_split

from hastelib.data import corpus
from hastelib.data.files import columns, encoded, published, split_of
from hastelib.specs import SPLITS
from hastelib.specs.texts import Corpus, Texts
from hastelib.store import Store


def load_texts(spec: Corpus | Texts, store: Store | None = None) -> datasets.DatasetDict:
    """The splits ``train`` and ``test`` of a data set, with ``text`` and ``label``.

    Args:
        spec: from a suite, or built by hand.
        store: not used, files are read where they lie and the corpus is written in no time.

    Raises:
        MissingDataError: the data are neither there nor to be had; says where they were looked
            for and how to get them.
        ValueError: the data are there, but not in the form that the specification describes.
    """
    if isinstance(spec, Texts):
        return _parquet(spec)
    classes, written = corpus.texts(spec)
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=classes)
    )
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict({"text": lines, "label": labels}, features=features)
            for split, (lines, labels) in written.items()
        }
    )


def _parquet(spec: Texts) -> datasets.DatasetDict:
    found = {}
    for split, data in published(spec).items():
        found[split] = columns(data, spec, spec.text, "text", split)
        if any(not isinstance(text, str) for text in found[split]["text"]):
            raise ValueError(f"{spec.train}: not every row of the {split} split has a text")
    both = split_of(encoded(found), spec)
    most = {"train": spec.most_train, "test": spec.most_test}
    return datasets.DatasetDict(
        {split: _capped(both[split], most[split], spec, split) for split in SPLITS}
    )


def _capped(data: datasets.Dataset, most: int | None, spec: Texts, split: str) -> datasets.Dataset:
    """At most so many rows, the classes in their proportions, in the order of the file."""
    if most is None or len(data) <= most:
        return data
    labels = data.with_format("numpy")["label"][:]
    rows = np.arange(len(data))
    if len(data) - most < len(np.unique(labels)):  # too few are left out to do so by class
        random = np.random.default_rng(spec.seed)
        return data.select(np.sort(random.permutation(len(data))[:most]))
    try:
        kept, _ = train_test_split(rows, train_size=most, stratify=labels, random_state=spec.seed)
    except ValueError as error:
        raise ValueError(
            f"{spec.train}: no {most} rows of the {split} split can be drawn by class: {error}"
        ) from error
    return data.select(np.sort(kept))
