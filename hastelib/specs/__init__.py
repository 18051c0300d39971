"""What a data set is made from, as a suite's file says it: one class a kind.

``kind`` in the file says which: images (:class:`Glyphs`, :class:`Digits`, :class:`Parquet`,
:class:`Folder`), scenes with a mask (:class:`Scenes`, :class:`Masks`, :class:`Official`) or texts
(:class:`Corpus`, :class:`Texts`).
"""

from typing import Annotated

from pydantic import Field

from hastelib.specs.base import SPLITS, Published, Split, Strict
from hastelib.specs.images import Digits, Folder, Glyphs, Parquet
from hastelib.specs.scenes import Masks, Official, Scenes
from hastelib.specs.texts import Corpus, Texts

DataSpec = Annotated[
    Glyphs | Digits | Parquet | Folder | Scenes | Masks | Official | Corpus | Texts,
    Field(discriminator="kind"),
]
"""Any of them."""

__all__ = [
    "SPLITS",
    "Corpus",
    "DataSpec",
    "Digits",
    "Folder",
    "Glyphs",
    "Masks",
    "Official",
    "Parquet",
    "Published",
    "Scenes",
    "Split",
    "Strict",
    "Texts",
]
