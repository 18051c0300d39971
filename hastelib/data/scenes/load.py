"""From a specification of scenes to a train and a test split with masks."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import matplotlib
import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from hastelib.data import drawn_scenes, glyphs
from hastelib.data.files import MissingDataError, data_folder, read
from hastelib.data.images import encoded
from hastelib.data.scenes import layouts
from hastelib.download import sha256_of
from hastelib.specs import SPLITS
from hastelib.specs.scenes import Masks, Official, Scenes
from hastelib.store import Store, key

IGNORE = 255
"""The value of a mask where a pixel has no class."""

_VERSION = 1  # raised when masks are decoded otherwise

Encoded = dict[str, Any]


def load_scenes(
    spec: Scenes | Masks | Official, store: Store | None = None
) -> datasets.DatasetDict:
    """The splits ``train`` and ``test`` of a data set, with ``image``, ``mask`` and ``label``.

    Args:
        spec: from a suite, or built by hand.
        store: where drawings and decoded masks are kept.

    Raises:
        MissingDataError: the data are not there, or only a part of them; says what is missing,
            where it was looked for and how to get it.
        ValueError: the data are there, but not in the form that the specification describes.
    """
    store = store or Store()
    if isinstance(spec, Scenes):
        return _drawn(spec, store)
    return _parquet(spec) if isinstance(spec, Masks) else _official(spec, store)


def _split(
    images: Sequence[Any], masks: Sequence[np.ndarray | Encoded], names: Sequence[str],
    present: Sequence[list[int]],
) -> datasets.Dataset:  # fmt: skip
    features = datasets.Features(
        image=datasets.Image(),
        mask=datasets.Image(),
        label=datasets.List(datasets.ClassLabel(names=list(names))),
    )
    packed = [encoded(mask) if isinstance(mask, np.ndarray) else mask for mask in masks]
    columns = {"image": list(images), "mask": packed, "label": list(present)}
    return datasets.Dataset.from_dict(columns, features=features)


def present(mask: np.ndarray) -> list[int]:
    """The classes in a mask, ascending."""
    found: list[int] = np.unique(mask[mask != IGNORE]).tolist()
    return found


def _drawn(spec: Scenes, store: Store) -> datasets.DatasetDict:
    tools = [tool.__version__ for tool in (matplotlib, PIL, np)]
    source = [sha256_of(Path(str(module.__file__))) for module in (drawn_scenes, glyphs)]

    def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {n: torch.from_numpy(x) for n, x in drawn_scenes.scenes(spec).items()}, {}

    entry = key(spec=spec.model_dump(), source=source, tools=tools)
    arrays = {name: x.numpy() for name, x in store.get("drawings", entry, make)[0].items()}
    names = drawn_scenes.names(spec)
    return datasets.DatasetDict(
        {
            split: _split(
                [encoded(image) for image in arrays[f"{split}.image"]],
                [*arrays[f"{split}.mask"]],
                names,
                [present(mask) for mask in arrays[f"{split}.mask"]],
            )
            for split in SPLITS
        }
    )


def _parquet(spec: Masks) -> datasets.DatasetDict:
    files = {split: data_folder() / path for split, path in spec.files().items()}
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        raise MissingDataError(
            f"no {', '.join(missing)}. Put the files there, with an image and a mask a row, or set "
            "HASTE_DATA to the folder that holds them."
        )
    found = {}
    for split, path in files.items():
        data = read(path)
        if absent := {spec.image, spec.mask} - set(data.column_names):
            raise ValueError(f"{path} has no column {sorted(absent)}; it has {data.column_names}")
        masks = [
            _counted(np.asarray(mask), spec, f"{path}, row {row}")
            for row, mask in enumerate(data.cast_column(spec.mask, datasets.Image())[spec.mask])
        ]
        for row, image in enumerate(data.cast_column(spec.image, datasets.Image())[spec.image]):
            if image.size != masks[row].shape[::-1]:
                raise ValueError(
                    f"{path}, row {row}: the image has size {image.size}, its mask "
                    f"{masks[row].shape[::-1]}"
                )
        images = data.cast_column(spec.image, datasets.Image(decode=False))[spec.image]
        found[split] = _split(images, masks, spec.names, [present(mask) for mask in masks])
    return datasets.DatasetDict(found)


def _counted(mask: np.ndarray, spec: Masks, where: str) -> np.ndarray:
    """A mask whose values are class indices, or :data:`IGNORE`."""
    if mask.ndim != 2:
        raise ValueError(f"{where}: expected a mask of one channel, got shape {mask.shape}")
    mask = np.where(np.isin(mask, spec.ignore), IGNORE, mask)
    odd = sorted(set(present(mask)) - set(range(len(spec.names))))
    if odd:
        raise ValueError(
            f"{where}: the mask holds {odd}, but there are {len(spec.names)} names; add their "
            "names, or list them under ignore"
        )
    return mask.astype(np.uint8)


def _official(spec: Official, store: Store) -> datasets.DatasetDict:
    layout = layouts.LAYOUTS[spec.kind]
    root = data_folder() / Path(spec.folder).expanduser()
    pairs = layouts.pairs(layout, root)
    names = layout.names(root)
    return datasets.DatasetDict(
        {
            split: _decoded(pairs[split], layout.decoder(root), names, store, spec.kind, split)
            for split in SPLITS
        }
    )


def _decoded(
    pairs: Sequence[tuple[Path, Path]],
    decode: Callable[[Image.Image], np.ndarray],
    names: Sequence[str],
    store: Store,
    kind: str,
    split: str,
) -> datasets.Dataset:
    """The split of these pairs; its masks are decoded once, which takes minutes for a large set."""

    def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
        files, classes = [], []
        for image, path in tqdm(pairs, desc=f"decoding masks of {kind} {split}", leave=False):
            mask = _mask(image, path, decode)
            packed = io.BytesIO()
            Image.fromarray(mask).save(packed, "PNG")
            files.append(packed.getvalue())
            classes.append(present(mask))
        joined = torch.frombuffer(bytearray(b"".join(files)), dtype=torch.uint8)
        ends = torch.tensor([len(file) for file in files]).cumsum(0)
        return {"files": joined, "ends": ends}, {"present": classes}

    states = [path.stat() for _, path in pairs]
    entry = key(
        version=_VERSION,
        kind=kind,
        masks=[
            [str(path), state.st_size, state.st_mtime_ns]
            for (_, path), state in zip(pairs, states, strict=True)
        ],
    )
    arrays, notes = store.get("masks", entry, make)
    joined, ends = arrays["files"].numpy().tobytes(), [0, *arrays["ends"].tolist()]
    packed = [{"bytes": joined[start:end], "path": None} for start, end in itertools.pairwise(ends)]
    images = [{"bytes": None, "path": str(image)} for image, _ in pairs]
    return _split(images, packed, names, notes["present"])


def _mask(image: Path, path: Path, decode: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    try:
        with Image.open(path) as file, Image.open(image) as picture:
            if file.size != picture.size:
                raise ValueError(f"it has size {file.size}, its image {image} {picture.size}")
            mask = decode(file)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"cannot read {path} with its image ({error}); unpack or fetch the data set again"
        ) from error
    return mask
