"""Texts with a label: Parquet files in the hub's layout, and the generated corpus."""

from __future__ import annotations

import datasets
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from hastelib.data import corpus
from hastelib.data.files import MissingDataError, _encoded, _read, _split, data_folder
from hastelib.specs import SPLITS, Split
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
    paths: dict[Split, str] = {"train": spec.train}
    if spec.test:
        paths["test"] = spec.test
    files = {split: data_folder() / path for split, path in paths.items()}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if not missing:
        found = {split: _read(path) for split, path in files.items()}
    elif spec.hub:
        found = _download(spec, list(files), missing)
    else:
        raise MissingDataError(
            f"no {', '.join(missing)}. Put the data there, or set HASTE_DATA to the folder that "
            "holds them."
        )
    found = {split: _columns(data, spec, split) for split, data in found.items()}
    both = _split(_encoded(found), spec.seed, spec.train)
    most = {"train": spec.most_train, "test": spec.most_test}
    return datasets.DatasetDict(
        {split: _capped(both[split], most[split], spec, split) for split in SPLITS}
    )


def _download(
    spec: Texts, splits: list[Split], missing: list[str]
) -> dict[Split, datasets.Dataset]:
    try:
        return {
            split: datasets.load_dataset(
                spec.hub, spec.config, split=spec.hub_splits[split], revision=spec.revision
            )
            for split in splits
        }
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingDataError(
            f"no {', '.join(missing)}, and the hub's data set {spec.hub} (revision "
            f"{spec.revision}) could not be downloaded ({first}). Set HASTE_DATA to the folder "
            "that holds the data, or connect to the network and try again."
        ) from error


def _columns(data: datasets.Dataset, spec: Texts, split: str) -> datasets.Dataset:
    """The columns ``text`` and ``label``, of which every row has both."""
    wanted = {"text": spec.text, "label": spec.label}
    if absent := set(wanted.values()) - set(data.column_names):
        raise ValueError(
            f"{spec.train}: the {split} split has no column {sorted(absent)}; it has "
            f"{sorted(data.column_names)}"
        )
    data = data.select_columns([*wanted.values()])
    data = data.rename_columns({old: new for new, old in wanted.items() if old != new})
    labels = pd.Series(data["label"][:])
    unlabelled = labels.isna()
    if pd.api.types.is_numeric_dtype(labels):
        unlabelled |= labels < 0
    if unlabelled.any():
        raise ValueError(
            f"{spec.train}: {unlabelled.sum()} of {len(labels)} rows of the {split} split have no "
            "label; remove them"
        )
    if any(not isinstance(text, str) for text in data["text"]):
        raise ValueError(f"{spec.train}: not every row of the {split} split has a text")
    return data


def _capped(data: datasets.Dataset, most: int | None, spec: Texts, split: str) -> datasets.Dataset:
    """At most so many rows, the classes in their proportions, in the order of the file."""
    if most is None or len(data) <= most:
        return data
    labels = data.with_format("numpy")["label"][:]
    rows = np.arange(len(data))
    try:
        kept, _ = train_test_split(rows, train_size=most, stratify=labels, random_state=spec.seed)
    except ValueError as error:
        raise ValueError(
            f"{spec.train}: no {most} rows of the {split} split can be drawn by class: {error}"
        ) from error
    return data.select(np.sort(kept))
