"""Data sets as they are published on the hub: Parquet files, an image or a text a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from sklearn.model_selection import train_test_split

from hastelib.data import base
from hastelib.data.base import (
    MissingDataError,
    Split,
    Splits,
    class_names,
    data_folder,
    labels_of,
)
from hastelib.store import Store, cache_folder

IN_MEMORY = 1 << 30  # bytes; larger files are unpacked once into the cache and memory-mapped


class Published(base.Spec):
    """Parquet files in the hub's layout, under ``HASTE_DATA`` or else from the hub.

    ``train`` and ``test`` are paths under ``HASTE_DATA``, or patterns of several files as in
    ``set/train-*.parquet``; without ``test`` the rows are split 80/20, stratified by class, with
    ``seed``. ``hub``, ``config`` and ``revision`` say where the same data is published. ``label``
    names the column with the classes.
    """

    train: str
    test: str | None = None
    hub: str | None = None
    config: str | None = None
    revision: str | None = None
    label: str = "label"
    seed: int = 0

    def __str__(self) -> str:
        return self.train

    def columns(self, content: str, name: str, where: Mapping[str, str]) -> Splits:
        """The column ``content``, called ``name``, and ``label``, numbered alike in all splits.

        Of the rows whose columns have the values of ``where``; none may lack content or label.
        """
        paths = {split: path for split in base.SPLITS if (path := getattr(self, split))}
        missing = absent(paths.values(), self.hub)
        found: Splits = {}
        for split, path in paths.items():
            data = self._downloaded(split, missing) if missing else read(path)
            having(data, {content, self.label, *where}, f"{self.train}: the {split} split")
            complete(data.data.column(content).is_null(), self.train, content, split)
            for column, value in where.items():
                data = self._where(data, column, value)
            data = data.select_columns([content, self.label])
            data = data.rename_columns({content: name, self.label: "label"})
            labels = pd.Series(data["label"][:])
            negative = pd.api.types.is_numeric_dtype(labels) and labels < 0
            complete(labels.isna() | negative, self.train, "label", split)
            found[split] = data
        feature = found["train"].features["label"]
        if isinstance(feature, datasets.ClassLabel):
            return found
        if not any(word in getattr(feature, "dtype", "") for word in ("int", "string", "bool")):
            wanted = f"one class a row in column {self.label!r}, a name or a whole number"
            raise ValueError(f"{self.train}: expected {wanted}, got {feature}")
        values = sorted({value for data in found.values() for value in data.unique("label")})
        names = [str(value) for value in values]
        return {
            split: base.relabelled(data, np.searchsorted(values, data["label"][:]), names)
            for split, data in found.items()
        }

    def _downloaded(self, split: Split, missing: str) -> datasets.Dataset:
        try:
            return datasets.load_dataset(self.hub, self.config, split=split, revision=self.revision)
        except (OSError, ValueError, RuntimeError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise MissingDataError(
                f"no {missing}, and the hub's data set {self.hub} (revision {self.revision}) could "
                f"not be downloaded ({first}); set HASTE_DATA to the folder that holds the data, "
                "or connect to the network and try again"
            ) from error

    def _where(self, data: datasets.Dataset, column: str, value: str) -> datasets.Dataset:
        feature, values = data.features[column], data.with_format("numpy")[column][:]
        if isinstance(feature, datasets.ClassLabel):
            values = np.array(feature.int2str(values.tolist()))
        kept = np.flatnonzero(values.astype(str) == value)
        if not len(kept):
            choices = ", ".join(np.unique(values.astype(str))[:20])
            raise ValueError(f"{self.train}: no row has {column} {value!r}; there are {choices}")
        return data.select(kept)


class Parquet(Published):
    """Images in Parquet files (``kind: parquet``).

    ``image`` names the column with the images; ``where`` keeps the rows whose column has that
    value; ``classes`` keeps those classes, each given by name or by a prefix that ends in ``*``.
    """

    kind: Literal["parquet"]
    image: str = "image"
    where: dict[str, str] = Field(default={})
    classes: tuple[str, ...] | None = None

    def load(self, store: Store) -> Splits:
        """The splits, with ``image`` and ``label``."""
        found = self.columns(self.image, "image", self.where)
        return {s: pictures(self._chosen(data), "image", self.train) for s, data in found.items()}

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
        rows = np.flatnonzero(np.isin(labels_of(data), [*kept]))
        return base.renumbered(data, rows, sorted(kept))


class Texts(Published):
    """Texts in Parquet files (``kind: texts``).

    ``text`` names the column with the texts. ``most_train`` and ``most_test`` cap the rows of a
    split: as many are drawn, stratified by class, with ``seed``.
    """

    kind: Literal["texts"]
    text: str = "text"
    most_train: int | None = Field(default=None, gt=1)
    most_test: int | None = Field(default=None, gt=1)

    def load(self, store: Store) -> Splits:
        """The splits, with ``text`` and ``label``."""
        found = self.columns(self.text, "text", {})
        for split, data in found.items():
            if (kind := str(data.features["text"].dtype)) not in ("string", "large_string"):
                place = f"column {self.text!r} of the {split} split"
                raise ValueError(f"{self.train}: expected texts in {place}, got {kind}")
        most = {"train": self.most_train, "test": self.most_test}
        return {split: self._capped(data, most[split], split) for split, data in found.items()}

    def _capped(self, data: datasets.Dataset, most: int | None, split: str) -> datasets.Dataset:
        """At most so many rows, the classes in their proportions, in the order of the file."""
        if most is None or len(data) <= most:
            return data
        labels, rows = labels_of(data), np.arange(len(data))
        if len(data) - most < len(np.unique(labels)):  # too few are left out to do so by class
            return data.select(np.sort(np.random.default_rng(self.seed).permutation(rows)[:most]))
        options = {"train_size": most, "stratify": labels, "random_state": self.seed}
        try:
            return data.select(np.sort(train_test_split(rows, **options)[0]))
        except ValueError as error:
            what = f"no {most} rows of the {split} split can be drawn by class"
            raise ValueError(f"{self.train}: {what}: {error}") from error


def matching(path: str) -> list[Path]:
    """The files under ``HASTE_DATA`` of a path or pattern, in the order of their names."""
    file = data_folder() / path
    one = file.is_file() or Path(path).is_absolute()
    return sorted(f for f in ([file] if one else data_folder().glob(path)) if f.is_file())


def absent(paths: Iterable[str], hub: str | None = None) -> str:
    """The paths of which there is no file; ``MissingDataError`` where no hub has them either."""
    missing = ", ".join(str(data_folder() / path) for path in paths if not matching(path))
    if missing and not hub:
        raise MissingDataError(
            f"no {missing}. Put the data there, or set HASTE_DATA to the folder that holds them."
        )
    return missing


def read(path: str) -> datasets.Dataset:
    """The Parquet files of a path or pattern, one after the other."""
    files = matching(path)
    try:
        if sum(file.stat().st_size for file in files) > IN_MEMORY:
            paths, cache = [str(file) for file in files], str(cache_folder() / "datasets")
            return datasets.Dataset.from_parquet(paths, cache_dir=cache)
        tables = [datasets.table.InMemoryTable(pq.read_table(file)) for file in files]
        return datasets.concatenate_datasets([datasets.Dataset(table) for table in tables])
    except (OSError, ValueError, pa.ArrowException, datasets.exceptions.DatasetsError) as error:
        names = ", ".join(map(str, files))
        raise ValueError(f"cannot read {names} as Parquet ({error}); fetch it again") from error


def having(data: datasets.Dataset, wanted: set[str], place: str) -> None:
    """``ValueError`` where the data lack a column."""
    if missing := sorted(wanted - set(data.column_names)):
        raise ValueError(f"{place} has no column {missing}; it has {sorted(data.column_names)}")


def complete(empty: Any, place: str, what: str, split: Split | None = None) -> None:
    """``ValueError`` where some rows are empty."""
    if count := np.sum(empty := np.array(empty)):
        rows = f"rows of the {split} split" if split else "rows"
        raise ValueError(f"{place}: {count} of {len(empty)} {rows} have no {what}; remove them")


def pictures(data: datasets.Dataset, column: str, place: str) -> datasets.Dataset:
    """The data with a column as images: files as bytes, with or without the hub's metadata."""
    try:
        return data.cast_column(column, datasets.Image())
    except (TypeError, ValueError, pa.ArrowException) as error:
        wanted = f"image files as bytes in column {column!r}"
        raise ValueError(f"{place}: expected {wanted}, got {data.features[column]}") from error
