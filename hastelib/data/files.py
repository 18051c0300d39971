"""Data sets that lie in files: Parquet in the hub's layout, and folders of class folders."""

from __future__ import annotations

import os
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from hastelib.specs import SPLITS, Folder, Parquet, Published, Split
from hastelib.store import cache_folder

datasets.disable_progress_bars()  # seconds at most, and a widget in a notebook page


class MissingDataError(FileNotFoundError):
    """A data set is neither on this machine nor to be downloaded."""


def data_folder() -> Path:
    """``HASTE_DATA``, or ``~/.cache/haste/data`` where it is not set."""
    given = os.environ.get("HASTE_DATA")
    return Path(given).expanduser() if given else cache_folder() / "data"


def parquet(spec: Parquet) -> datasets.DatasetDict:
    """Images in Parquet files: from ``HASTE_DATA`` where they are there, else from the hub."""
    found = {
        split: columns(_where(data, spec, split), spec, spec.image, "image", split)
        for split, data in published(spec).items()
    }
    return split_of({split: _classes(data, spec) for split, data in encoded(found).items()}, spec)


def published(spec: Published) -> dict[Split, datasets.Dataset]:
    """The splits as they are published: from ``HASTE_DATA`` where they are there, or the hub.

    Raises:
        MissingDataError: they are neither there nor to be downloaded.
        ValueError: a file is no Parquet.
    """
    paths: dict[Split, str] = {"train": spec.train}
    if spec.test:
        paths["test"] = spec.test
    files = {split: data_folder() / path for split, path in paths.items()}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if not missing:
        return {split: read(path) for split, path in files.items()}
    if spec.hub:
        return _download(spec, list(files), missing)
    raise MissingDataError(
        f"no {', '.join(missing)}. Put the data there, or set HASTE_DATA to the folder that "
        "holds them."
    )


def read(path: Path) -> datasets.Dataset:
    """A Parquet file; ``ValueError`` where it is none."""
    try:
        return datasets.Dataset(datasets.table.InMemoryTable(pq.read_table(path)))
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"cannot read {path} as Parquet ({error}); fetch it again") from error


def _download(
    spec: Published, splits: list[Split], missing: list[str]
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


def _present(data: datasets.Dataset, wanted: set[str], spec: Published, split: str) -> None:
    if absent := wanted - set(data.column_names):
        raise ValueError(
            f"{spec.train}: the {split} split has no column {sorted(absent)}; it has "
            f"{sorted(data.column_names)}"
        )


def _where(data: datasets.Dataset, spec: Parquet, split: str) -> datasets.Dataset:
    """The rows asked for."""
    _present(data, set(spec.where), spec, split)
    keep = np.ones(len(data), bool)
    for column, value in spec.where.items():
        feature, values = data.features[column], np.array(data.with_format("numpy")[column][:])
        if isinstance(feature, datasets.ClassLabel):
            values = np.array(feature.int2str(values.tolist()))
        keep &= values.astype(str) == value
        if not keep.any():
            choices = ", ".join(sorted(set(values.astype(str).tolist()))[:20])
            raise ValueError(f"{spec.train}: no row has {column} {value!r}; there are {choices}")
    return data.select(np.flatnonzero(keep))


def columns(
    data: datasets.Dataset, spec: Published, content: str, name: str, split: str
) -> datasets.Dataset:
    """The columns ``content`` and ``spec.label`` alone, called ``name`` and ``label``.

    Raises:
        ValueError: one is missing, or a row has no label.
    """
    _present(data, {content, spec.label}, spec, split)
    data = data.select_columns([content, spec.label])
    names = {content: name, spec.label: "label"}
    data = data.rename_columns({old: new for old, new in names.items() if old != new})
    labels = pd.Series(data["label"][:])
    unlabelled = labels.isna()
    if pd.api.types.is_numeric_dtype(labels):
        unlabelled |= labels < 0
    if unlabelled.any():
        raise ValueError(
            f"{spec.train}: {unlabelled.sum()} of {len(labels)} rows of the {split} split have no "
            "label; remove them"
        )
    return data


def encoded(found: dict[Split, datasets.Dataset]) -> dict[Split, datasets.Dataset]:
    """Labels that are not class labels yet, numbered alike in all splits."""
    if isinstance(found["train"].features["label"], datasets.ClassLabel):
        return found
    values = sorted({value for data in found.values() for value in data.unique("label")})
    feature = datasets.ClassLabel(names=[str(value) for value in values])
    index = {value: i for i, value in enumerate(values)}
    return {
        split: data.remove_columns("label").add_column(
            "label", [index[value] for value in data["label"]], feature=feature
        )
        for split, data in found.items()
    }


def _classes(data: datasets.Dataset, spec: Parquet) -> datasets.Dataset:
    """Only the classes asked for, renumbered."""
    if spec.classes is None:
        return data
    wanted, names = spec.classes, data.features["label"].names
    for pattern in wanted:
        if not any(_matches(name, pattern) for name in names):
            some = ", ".join(names[:20])
            raise ValueError(f"{spec.train}: no class {pattern!r}; it has {some} ...")
    kept = [name for name in names if any(_matches(name, pattern) for pattern in wanted)]
    labels = np.array(data.with_format("numpy")["label"][:])
    renumber = np.full(len(names), -1)
    renumber[[names.index(name) for name in kept]] = np.arange(len(kept))
    rows = np.flatnonzero(renumber[labels] >= 0)
    feature = datasets.ClassLabel(names=kept)
    new = renumber[labels[rows]].tolist()
    return data.select(rows).remove_columns("label").add_column("label", new, feature=feature)


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def split_of(found: dict[Split, datasets.Dataset], spec: Published) -> datasets.DatasetDict:
    """The official split where there is one, else 80/20, stratified by class, seeded."""
    return _split(found, spec.seed, spec.train)


def _split(found: dict[Split, datasets.Dataset], seed: int, name: str) -> datasets.DatasetDict:
    classes = found["train"].features["label"].names
    if len(classes) < 2:
        raise ValueError(f"{name}: expected at least two classes, got {classes}")
    for split, data in found.items():
        if not len(data):
            raise ValueError(f"{name}: the {split} split is empty")
    if "test" in found:
        return datasets.DatasetDict(found)
    try:
        return found["train"].train_test_split(0.2, stratify_by_column="label", seed=seed)
    except ValueError as error:
        raise ValueError(f"{name} cannot be split 80/20 by class: {error}") from error


def folder(spec: Folder) -> datasets.DatasetDict:
    """A folder of class folders, or one with ``train`` and ``test`` folders of class folders."""
    root = data_folder() / Path(spec.path).expanduser()
    if not root.is_dir():
        raise MissingDataError(
            f"no folder {root}. It should hold one folder of images per class (or train/ and "
            "test/ with such folders); relative paths start at HASTE_DATA."
        )
    inside = {path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."}
    if inside == {"train", "test"}:
        halves = {split: _images(root / split) for split in SPLITS}
        names = {split: data.features["label"].names for split, data in halves.items()}
        if names["train"] != names["test"]:
            odd = sorted(set(names["train"]) ^ set(names["test"]))
            raise ValueError(f"{root}: train and test differ in the classes {odd}")
        return _split(halves, spec.seed, str(root))
    if inside & {"train", "test"}:
        raise ValueError(
            f"{root} holds {sorted(inside)}: expected one folder per class, or exactly train and "
            "test; rename or move the others"
        )
    return _split({"train": _images(root)}, spec.seed, str(root))


def _images(root: Path) -> datasets.Dataset:
    try:
        names = [name for name in find_classes(str(root))[0] if name[0] != "."]
        index = {name: label for label, name in enumerate(names)}
        pairs = make_dataset(str(root), index, extensions=IMG_EXTENSIONS)
    except FileNotFoundError as error:
        raise ValueError(f"{root} should hold one folder of images per class: {error}") from error
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=names))
    columns = {"image": [path for path, _ in pairs], "label": [label for _, label in pairs]}
    return datasets.Dataset.from_dict(columns, features=features)
