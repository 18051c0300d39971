"""From a data specification of a suite to its train and test split."""

from __future__ import annotations

from pathlib import Path

import datasets
import matplotlib
import numpy
import PIL
import sklearn
import torch

from hastelib.data.files import folder, parquet
from hastelib.data.glyphs import Drawn, digits, glyphs
from hastelib.data.images import encoded
from hastelib.data.scenes import load_scenes
from hastelib.data.texts import load_texts
from hastelib.download import sha256_of
from hastelib.specs import (
    Corpus,
    DataSpec,
    Digits,
    Folder,
    Glyphs,
    Masks,
    Official,
    Parquet,
    Scenes,
    Texts,
)
from hastelib.store import Store, key

# What decides how a drawing comes out, besides the specification.
_TOOLS = [tool.__version__ for tool in (matplotlib, PIL, numpy, sklearn)]


def load(spec: DataSpec, store: Store | None = None) -> datasets.DatasetDict:
    """The splits ``train`` and ``test`` of a data set; their columns are described above.

    Drawings are made once and kept in the store; files are read where they lie.

    Args:
        spec: from a suite, or built by hand: ``Folder(kind="folder", path="...")``.
        store: where drawings are kept.

    Raises:
        MissingDataError: the data are neither there nor to be had; says where they were looked
            for and how to get them.
        ValueError: the data are there, but not in the form that the specification describes.
    """
    if isinstance(spec, Parquet):
        return parquet(spec)
    if isinstance(spec, Folder):
        return folder(spec)
    if isinstance(spec, Scenes | Masks | Official):
        return load_scenes(spec, store)
    if isinstance(spec, Corpus | Texts):
        return load_texts(spec, store)
    return _drawn(spec, store or Store())


def _drawn(spec: Glyphs | Digits, store: Store) -> datasets.DatasetDict:
    source = sha256_of(Path(__file__).with_name("glyphs.py"))

    def make() -> tuple[Drawn, dict[str, list[str]]]:
        classes, arrays = glyphs(spec) if isinstance(spec, Glyphs) else digits(spec)
        return arrays, {"classes": classes}

    entry = key(spec=spec.model_dump(), source=source, tools=_TOOLS)
    arrays, notes = store.get("drawings", entry, make)
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=notes["classes"])
    )
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {
                    "image": [encoded(image.numpy()) for image in arrays[f"{split}.image"]],
                    "label": arrays[f"{split}.label"].to(torch.int64).tolist(),
                },
                features=features,
            )
            for split in ("train", "test")
        }
    )
