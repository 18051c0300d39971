"""Parquet files as on the hub: an image or a text and its class a row, or an image and a mask."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from sklearn.model_selection import train_test_split

from hastelib.data import base
from hastelib.data.base import SPLITS, MissingDataError, Split, Splits, data_folder, labels_of
from hastelib.data.images import table
from hastelib.data.scenes import IGNORE, present
from hastelib.store import Store, cache_folder

IN_MEMORY = 1 << 30  # bytes; larger files are unpacked once into the cache and memory-mapped


class Published(base.Spec):
    """Parquet files in the hub's layout, under ``HASTE_DATA`` or else from the hub.

    ``train`` and ``test`` are paths under ``HASTE_DATA``, or patterns of several files as in
    ``set/train-*.parquet``; without ``test`` the rows are split 80/20, stratified by class, with
    ``seed``. ``hub``, ``config`` and ``revision`` say where the same data is published. ``label``
    names the column with the classes; ``where`` keeps the rows whose column has that value.
    """

    train: str
    test: str | None = None
    hub: str | None = None
    config: str | None = None
    revision: str | None = None
    label: str = "label"
    where: dict[str, str] = Field(default={})
    seed: int = 0
    content: ClassVar[str]
    """``image`` or ``text``, a column of the splits, and the field that names it in the files."""

    def __str__(self) -> str:
        return self.train

    def load(self, store: Store) -> Splits:
        """The splits, with ``image`` or ``text``, and ``label``, numbered alike in all of them."""
        splits = {split: self._rows(split) for split in (SPLITS if self.test else SPLITS[:1])}
        feature = splits["train"].features["label"]
        if not isinstance(feature, datasets.ClassLabel):
            if not any(word in getattr(feature, "dtype", "") for word in ("int", "string", "bool")):
                wanted = f"one class a row in column {self.label!r}, a name or a whole number"
                raise ValueError(f"{self.train}: expected {wanted}, got {feature}")
            values = sorted({value for data in splits.values() for value in data.unique("label")})
            for split, data in splits.items():
                labels = np.searchsorted(values, data["label"][:])
                splits[split] = base.relabelled(data, labels, [*map(str, values)])
        return splits

    def _rows(self, split: Split) -> datasets.Dataset:
        try:
            data = read(getattr(self, split))
        except MissingDataError as missing:
            if not self.hub:
                raise
            options = {"split": split, "revision": self.revision}
            try:
                data = datasets.load_dataset(self.hub, self.config, **options)
            except (OSError, ValueError, RuntimeError) as error:
                reason = str(error).partition("\n")[0] or type(error).__name__
                raise MissingDataError(
                    f"{missing}, or connect to the network: the hub's data set {self.hub} "
                    f"(revision {self.revision}) could not be downloaded ({reason})"
                ) from error
        content, place = getattr(self, self.content), f"{self.train}: the {split} split"
        having(data, {content, self.label, *self.where}, place, content)
        for column, value in self.where.items():
            feature, values = data.features[column], data.with_format("numpy")[column][:]
            if isinstance(feature, datasets.ClassLabel):
                values = np.array(feature.int2str(values.tolist()))
            rows = np.flatnonzero(values.astype(str) == value)
            if not len(rows):
                choices = ", ".join(np.unique(values.astype(str))[:20])
                raise ValueError(f"{place}: no row has {column} {value!r}; there are {choices}")
            data = data.select(rows)
        data = data.select_columns([content, self.label])
        data = data.rename_columns({content: self.content, self.label: "label"})
        if self.content == "image":
            data = pictures(data, "image", self.train)
        labels = pd.Series(data["label"][:])
        negative = pd.api.types.is_numeric_dtype(labels) and labels < 0
        complete(labels.isna() | negative, place, "label")
        return data


class Parquet(Published):
    """Images in Parquet files (``kind: parquet``); ``image`` names their column."""

    kind: Literal["parquet"]
    image: str = "image"
    content = "image"


class Texts(Published):
    """Texts in Parquet files (``kind: texts``); ``text`` names their column.

    Of more rows than ``most_train`` or ``most_test`` so many are drawn, by class, with ``seed``.
    """

    kind: Literal["texts"]
    text: str = "text"
    most_train: int | None = Field(default=None, gt=1)
    most_test: int | None = Field(default=None, gt=1)
    content = "text"

    def load(self, store: Store) -> Splits:
        """At most so many rows, the classes in their proportions, in the order of the file."""
        return {split: self._capped(data, split) for split, data in super().load(store).items()}

    def _capped(self, data: datasets.Dataset, split: Split) -> datasets.Dataset:
        if (kind := str(data.features["text"].dtype)) not in ("string", "large_string"):
            place = f"column {self.text!r} of the {split} split"
            raise ValueError(f"{self.train}: expected texts in {place}, got {kind}")
        most = self.most_train if split == "train" else self.most_test
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


class Masks(base.Spec):
    """Parquet files with columns ``image`` and ``mask``, under ``HASTE_DATA`` (``kind: masks``).

    ``train`` and ``test`` are as above. A mask is an image of one channel whose values count
    through ``names``; ``ignore`` lists the values that stand for no class.
    """

    kind: Literal["masks"]
    train: str
    test: str
    names: tuple[str, ...] = Field(min_length=2)
    ignore: tuple[int, ...] = (255,)

    def load(self, store: Store) -> Splits:
        """The splits, with ``image``, ``mask`` and ``label``."""
        return {"train": self._read(self.train), "test": self._read(self.test)}

    def _read(self, place: str) -> datasets.Dataset:
        data = read(place)
        having(data, {"image", "mask"}, place, "image", "mask")
        data = pictures(pictures(data, "image", place), "mask", place)
        masks = []
        for row, (image, mask) in enumerate(zip(data["image"], data["mask"], strict=True)):
            values, where = np.asarray(mask), f"{place}, row {row}"
            if values.ndim != 2:
                raise ValueError(f"{where}: expected a mask of one channel, got {values.shape}")
            if image.size != mask.size:
                raise ValueError(f"{where}: the image has size {image.size}, its mask {mask.size}")
            values = np.where(np.isin(values, self.ignore), IGNORE, values)
            if unknown := sorted(set(present(values)) - set(range(len(self.names)))):
                problem = f"the mask holds {unknown}, but there are {len(self.names)} names"
                raise ValueError(f"{where}: {problem}; name them, or list them under ignore")
            masks.append(values.astype(np.uint8))
        return table(base.undecoded(data)["image"], map(present, masks), self.names, masks)


def matching(path: str) -> list[Path]:
    """The files under ``HASTE_DATA`` of a path or pattern, in the order of their names."""
    place = data_folder() / path
    paths = [place] if Path(path).is_absolute() or place.is_file() else data_folder().glob(path)
    return sorted(file for file in paths if file.is_file())


def read(path: str) -> datasets.Dataset:
    """The Parquet files of a path or pattern, one after the other."""
    if not (files := matching(path)):
        wanted = "put the data there, or set HASTE_DATA to the folder that holds them"
        raise MissingDataError(f"no {data_folder() / path}; {wanted}")
    try:
        if sum(file.stat().st_size for file in files) > IN_MEMORY:
            paths, cache = [str(file) for file in files], str(cache_folder() / "datasets")
            return datasets.Dataset.from_parquet(paths, cache_dir=cache)
        tables = [datasets.table.InMemoryTable(pq.read_table(file)) for file in files]
        return datasets.concatenate_datasets([datasets.Dataset(table) for table in tables])
    except (OSError, ValueError, pa.ArrowException, datasets.exceptions.DatasetsError) as error:
        names = ", ".join(map(str, files))
        raise ValueError(f"cannot read {names} as Parquet ({error}); fetch it again") from error


def having(data: datasets.Dataset, wanted: set[str], place: str, *full: str) -> None:
    """``ValueError`` where the data lack a column, or rows of those that must be ``full``."""
    if missing := sorted(wanted - set(data.column_names)):
        raise ValueError(f"{place} has no column {missing}; it has {sorted(data.column_names)}")
    for column in full:
        complete(data.data.column(column).is_null(), place, column)


def complete(empty: Any, place: str, what: str) -> None:
    """``ValueError`` where some rows are empty."""
    empty = np.array(empty)
    if count := np.sum(empty):
        raise ValueError(f"{place}: {count} of {len(empty)} rows have no {what}; remove them")


def pictures(data: datasets.Dataset, column: str, place: str) -> datasets.Dataset:
    """The data with a column as images: files as bytes, with or without the hub's metadata."""
    try:
        return data.cast_column(column, datasets.Image())
    except (TypeError, ValueError, pa.ArrowException) as error:
        wanted = f"image files as bytes in column {column!r}"
        raise ValueError(f"{place}: expected {wanted}, got {data.features[column]}") from error
