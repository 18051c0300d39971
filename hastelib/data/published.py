"""Data sets as they are published on the hub: Parquet files, a sample a row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from hastelib.data.base import (
    MissingDataError,
    Spec,
    Split,
    class_names,
    data_folder,
    renumbered,
    split_of,
)
from hastelib.store import Store, cache_folder

IN_MEMORY = 1 << 30  # bytes; larger files are unpacked once into the cache and memory-mapped
Splits = dict[Split, datasets.Dataset]


class Published(Spec):
    """Parquet files in the hub's layout, under ``HASTE_DATA`` or else from the hub.

    ``train`` and ``test`` are paths under ``HASTE_DATA``, or patterns of several files as in
    ``set/train-*.parquet``; without ``test`` the rows are split 80/20, stratified by class, with
    ``seed``. ``hub``, ``config`` and ``revision`` say where the same data is published,
    ``hub_splits`` what its splits are called. ``label`` names the column with the classes.
    """

    train: str
    test: str | None = None
    hub: str | None = None
    config: str | None = None
    revision: str | None = None
    hub_splits: dict[Split, str] = Field(default={"train": "train", "test": "test"})
    label: str = "label"
    seed: int = 0

    def columns(self, content: str, name: str, where: Mapping[str, str]) -> Splits:
        """The column ``content``, called ``name``, and ``label``, numbered alike in all splits.

        Of the rows whose columns have the values of ``where``.

        Raises:
            MissingDataError: the files are neither there nor to be downloaded.
            ValueError: a file is no Parquet, a column is missing, a row has no content or label,
                labels are no classes, or no row is left.
        """
        paths: dict[Split, str] = {"train": self.train}
        if self.test:
            paths["test"] = self.test
        missing = [str(data_folder() / path) for path in paths.values() if not matching(path)]
        if missing and not self.hub:
            raise MissingDataError(
                f"no {', '.join(missing)}. Put the data there, or set HASTE_DATA to the folder "
                "that holds them."
            )
        found: Splits = {}
        for split, path in paths.items():
            data = self._downloaded(split, missing) if missing else read(matching(path))
            having(data, {content, self.label, *where}, f"{self.train}: the {split} split")
            self._refuse(np.array(data.data.column(content).is_null()), split, content)
            kept = self._where(data, where)
            data = data.select_columns([content, self.label]).select(kept)
            names = {content: name, self.label: "label"}
            data = data.rename_columns({old: new for old, new in names.items() if old != new})
            labels = pd.Series(data["label"][:])
            empty = labels.isna().to_numpy()
            if pd.api.types.is_numeric_dtype(labels):
                empty = empty | (labels < 0).to_numpy()
            self._refuse(empty, split, "label")
            found[split] = data
        feature = found["train"].features["label"]
        if isinstance(feature, datasets.ClassLabel):
            return found
        if not any(word in getattr(feature, "dtype", "") for word in ("int", "string", "bool")):
            raise ValueError(
                f"{self.train}: expected one class a row in column {self.label!r}, a name or a "
                f"whole number, got {feature}"
            )
        values = sorted({value for data in found.values() for value in data.unique("label")})
        feature = datasets.ClassLabel(names=[str(value) for value in values])
        index = {value: i for i, value in enumerate(values)}
        return {
            split: data.remove_columns("label").add_column(
                "label", [index[value] for value in data["label"]], feature=feature
            )
            for split, data in found.items()
        }

    def _downloaded(self, split: Split, missing: list[str]) -> datasets.Dataset:
        try:
            return datasets.load_dataset(
                self.hub, self.config, split=self.hub_splits[split], revision=self.revision
            )
        except (OSError, ValueError, RuntimeError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise MissingDataError(
                f"no {', '.join(missing)}, and the hub's data set {self.hub} (revision "
                f"{self.revision}) could not be downloaded ({first}). Set HASTE_DATA to the folder "
                "that holds the data, or connect to the network and try again."
            ) from error

    def _refuse(self, empty: np.ndarray, split: Split, what: str) -> None:
        if empty.any():
            raise ValueError(
                f"{self.train}: {empty.sum()} of {len(empty)} rows of the {split} split have no "
                f"{what}; remove them"
            )

    def _where(self, data: datasets.Dataset, where: Mapping[str, str]) -> np.ndarray:
        keep = np.ones(len(data), bool)
        for column, value in where.items():
            feature, values = data.features[column], np.array(data.with_format("numpy")[column][:])
            if isinstance(feature, datasets.ClassLabel):
                values = np.array(feature.int2str(values.tolist()))
            keep &= values.astype(str) == value
            if not keep.any():
                choices = ", ".join(sorted(set(values.astype(str).tolist()))[:20])
                raise ValueError(
                    f"{self.train}: no row has {column} {value!r}; there are {choices}"
                )
        return np.flatnonzero(keep)


class Parquet(Published):
    """Images in Parquet files (``kind: parquet``).

    ``image`` names the column with the images; ``where`` keeps the rows whose column has that
    value; ``classes`` keeps those classes, each given by name or by a prefix that ends in ``*``.
    """

    kind: Literal["parquet"]
    image: str = "image"
    where: dict[str, str] = Field(default={})
    classes: tuple[str, ...] | None = None

    def load(self, store: Store) -> datasets.DatasetDict:
        """The splits, with ``image`` and ``label``."""
        found = self.columns(self.image, "image", self.where)
        found = {s: pictures(self._chosen(data), "image", self.train) for s, data in found.items()}
        return split_of(found, self.seed, self.train)

    def _chosen(self, data: datasets.Dataset) -> datasets.Dataset:
        """Only the classes asked for, renumbered."""
        if self.classes is None:
            return data
        names, kept = class_names(data), set[int]()
        for pattern in self.classes:
            start = pattern[:-1] if pattern.endswith("*") else None
            found = {i for i, n in enumerate(names) if n == pattern or n.startswith(start or "\0")}
            if not found:
                some = ", ".join(names[:20])
                raise ValueError(f"{self.train}: no class {pattern!r}; it has {some} ...")
            kept |= found
        labels = data.with_format("numpy")["label"][:]
        return renumbered(data, np.flatnonzero(np.isin(labels, [*kept])), sorted(kept))


def matching(path: str) -> list[Path]:
    """The files under ``HASTE_DATA`` of a path or pattern, in the order of their names."""
    root = data_folder()
    if (root / path).is_file() or Path(path).is_absolute():
        return [root / path] if (root / path).is_file() else []
    return sorted(file for file in root.glob(path) if file.is_file())


def read(files: list[Path]) -> datasets.Dataset:
    """Parquet files, one after the other; ``ValueError`` where one is none."""
    try:
        if sum(file.stat().st_size for file in files) > IN_MEMORY:
            paths, cache = [str(file) for file in files], str(cache_folder() / "datasets")
            return datasets.load_dataset(
                "parquet", data_files=paths, split="train", cache_dir=cache
            )
        tables = [datasets.table.InMemoryTable(pq.read_table(file)) for file in files]
        return datasets.concatenate_datasets([datasets.Dataset(table) for table in tables])
    except (OSError, ValueError, pa.ArrowException, datasets.exceptions.DatasetsError) as error:
        names = ", ".join(map(str, files))
        raise ValueError(f"cannot read {names} as Parquet ({error}); fetch it again") from error


def having(data: datasets.Dataset, wanted: set[str], place: str) -> None:
    """``ValueError`` where the data lack a column."""
    if absent := sorted(wanted - set(data.column_names)):
        raise ValueError(f"{place} has no column {absent}; it has {sorted(data.column_names)}")


def pictures(data: datasets.Dataset, column: str, place: str) -> datasets.Dataset:
    """The data with a column as images: files as bytes, with or without the hub's metadata."""
    if empty := data.data.column(column).null_count:
        raise ValueError(f"{place}: {empty} of {len(data)} rows have no {column}; remove them")
    try:
        return data.cast_column(column, datasets.Image())
    except (TypeError, ValueError, pa.ArrowException) as error:
        kind = data.features[column]
        raise ValueError(
            f"{place}: expected image files as bytes in column {column!r}, got {kind}"
        ) from error
