"""Where images come from: drawings, scikit-learn's digits, Parquet files, folders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hastelib.specs.base import Split, Strict


class Glyphs(Strict):
    """Characters drawn with the fonts that matplotlib ships (``kind: glyphs``).

    ``characters`` is a string of characters or of ranges such as ``α-ω``; ``train`` and ``test``
    count drawings per class.
    """

    kind: Literal["glyphs"]
    characters: str
    style: Literal["plain", "outline"] = "plain"
    train: int = Field(gt=0)
    test: int = Field(gt=0)
    seed: int = 0


class Digits(Strict):
    """scikit-learn's handwritten digits, real 8 x 8 scans (``kind: digits``)."""

    kind: Literal["digits"]
    train: int = Field(gt=0)
    test: int = Field(gt=0)
    seed: int = 0


class Parquet(Strict):
    """Parquet files under ``HASTE_DATA``, else a data set of the hub (``kind: parquet``).

    ``train`` and ``test`` are paths under ``HASTE_DATA``; without ``test`` the rows are split
    80/20, stratified by class, with ``seed``. ``hub`` and ``revision`` say where the same data is
    published, ``hub_splits`` what its splits are called. ``image`` and ``label`` name the
    columns; ``where`` keeps the rows whose column has that value; ``classes`` keeps those
    classes, each given by name or by a prefix that ends in ``*``.
    """

    kind: Literal["parquet"]
    train: str
    test: str | None = None
    hub: str | None = None
    revision: str | None = None
    hub_splits: dict[Split, str] = Field(default={"train": "train", "test": "test"})
    image: str = "image"
    label: str = "label"
    where: dict[str, str] = Field(default={})
    classes: tuple[str, ...] | None = None
    seed: int = 0


class Folder(Strict):
    """Your own images: a folder of class folders (``kind: folder``).

    ``path`` holds one folder per class, or a ``train`` and a ``test`` folder of such folders;
    relative paths start at ``HASTE_DATA``. Without ``test`` the images are split 80/20,
    stratified, with ``seed``.
    """

    kind: Literal["folder"]
    path: str
    seed: int = 0


SPECS = (Glyphs, Digits, Parquet, Folder)
