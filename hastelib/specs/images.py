"""Where images come from: drawings, scikit-learn's digits, Parquet files, folders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hastelib.specs.base import Published, Strict


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


class Parquet(Published):
    """Images in Parquet files (``kind: parquet``), see :class:`hastelib.specs.Published`.

    ``image`` names the column with the images; ``where`` keeps the rows whose column has that
    value; ``classes`` keeps those classes, each given by name or by a prefix that ends in ``*``.
    """

    kind: Literal["parquet"]
    image: str = "image"
    where: dict[str, str] = Field(default={})
    classes: tuple[str, ...] | None = None


class Folder(Strict):
    """Your own images: a folder of class folders (``kind: folder``).

    ``path`` holds one folder per class, or a ``train`` and a ``test`` folder of such folders;
    relative paths start at ``HASTE_DATA``. Without ``test`` the images are split 80/20,
    stratified, with ``seed``.
    """

    kind: Literal["folder"]
    path: str
    seed: int = 0
