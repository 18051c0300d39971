"""Data sets that lie in files: Parquet in the hub's layout, and folders of class folders."""

from __future__ import annotations

import os
from pathlib import Path

import datasets
import numpy as np
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from hastelib.store import cache_folder
from hastelib.suites import SPLITS, Folder, Parquet, Split

datasets.disable_progress_bars()  # seconds at most, and a widget in a notebook page


class MissingDataError(FileNotFoundError):
    """A data set is neither on this machine nor to be downloaded."""


def data_folder() -> Path:
    """``HASTE_DATA``, or ``~/.cache/haste/data`` where it is not set."""
    given = os.environ.get("HASTE_DATA")
    return Path(given).expanduser() if given else cache_folder() / "data"


def parquet(spec: Parquet) -> datasets.DatasetDict:
    """A Parquet data set: from ``HASTE_DATA`` where its files are there, else from the hub."""
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
    return _split(found, spec.seed)


def _read(path: Path) -> datasets.Dataset:
    try:
        return datasets.Dataset.from_parquet(str(path), cache_dir=str(cache_folder() / "datasets"))
    except Exception as error:  # the reader's errors have no common base, and name no file
        raise ValueError(f"cannot read {path} as Parquet ({error}); fetch it again") from error


def _download(
    spec: Parquet, splits: list[Split], missing: list[str]
) -> dict[Split, datasets.Dataset]:
    try:
        return {
            split: datasets.load_dataset(
                spec.hub, split=spec.hub_splits[split], revision=spec.revision
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


def _columns(data: datasets.Dataset, spec: Parquet, split: str) -> datasets.Dataset:
    """Keep the rows and classes asked for, and name the columns ``image`` and ``label``."""
    wanted = {spec.image, spec.label, *spec.where}
    if absent := wanted - set(data.column_names):
        raise ValueError(
            f"{spec.train}: the {split} split has no column {sorted(absent)}; it has "
            f"{sorted(data.column_names)}"
        )
    keep = np.ones(len(data), bool)
    for column, value in spec.where.items():
        feature, values = data.features[column], np.array(data.with_format("numpy")[column][:])
        if isinstance(feature, datasets.ClassLabel):
            value = feature.str2int(value)
        keep &= values == value
    data = data.select(np.flatnonzero(keep))
    data = data.select_columns([spec.image, spec.label])
    data = data.rename_columns(
        {old: new for old, new in ((spec.image, "image"), (spec.label, "label")) if old != new}
    )
    if not isinstance(data.features["label"], datasets.ClassLabel):
        data = data.class_encode_column("label")
    return _classes(data, spec.classes, spec.train)


def _classes(
    data: datasets.Dataset, wanted: tuple[str, ...] | None, where: str
) -> datasets.Dataset:
    if wanted is None:
        return data
    names = data.features["label"].names
    for pattern in wanted:
        if not any(_matches(name, pattern) for name in names):
            raise ValueError(f"{where}: no class {pattern!r}; it has {', '.join(names[:20])} ...")
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


def _split(found: dict[Split, datasets.Dataset], seed: int) -> datasets.DatasetDict:
    """The official split where there is one, else 80/20, stratified by class, seeded."""
    if "test" in found:
        return datasets.DatasetDict(found)
    return found["train"].train_test_split(0.2, stratify_by_column="label", seed=seed)


def folder(spec: Folder) -> datasets.DatasetDict:
    """A folder of class folders, or one with ``train`` and ``test`` folders of class folders."""
    root = data_folder() / Path(spec.path).expanduser()
    if not root.is_dir():
        raise MissingDataError(
            f"no folder {root}. It should hold one folder of images per class (or train/ and "
            "test/ with such folders); relative paths start at HASTE_DATA."
        )
    halves: list[Split] = [half for half in SPLITS if (root / half).is_dir()]
    if len(halves) == 2:
        found = {half: _images(root / half) for half in halves}
        names = {half: data.features["label"].names for half, data in found.items()}
        if names["train"] != names["test"]:
            odd = sorted(set(names["train"]) ^ set(names["test"]))
            raise ValueError(f"{root}: train and test differ in the classes {odd}")
    else:
        found = {"train": _images(root)}
    return _split(found, spec.seed)


def _images(root: Path) -> datasets.Dataset:
    try:
        names, index = find_classes(str(root))
        pairs = make_dataset(str(root), index, extensions=IMG_EXTENSIONS)
    except FileNotFoundError as error:
        raise ValueError(f"{root} should hold one folder of images per class: {error}") from error
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=names))
    columns = {"image": [path for path, _ in pairs], "label": [label for _, label in pairs]}
    return datasets.Dataset.from_dict(columns, features=features)
