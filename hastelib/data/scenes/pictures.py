"""A split of scenes as a network sees it: images and masks, resized together."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import datasets
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tvf
from tqdm import tqdm

from hastelib._machine import cores
from hastelib.data.fingerprints import class_names
from hastelib.data.images import IN_MEMORY, decoded, loaded
from hastelib.data.scenes.load import IGNORE

NO_CLASS = -100
"""The label of a pixel without a class in a batch: what the cross-entropy leaves out."""

STEP = 8
"""Heights and widths are multiples of this."""


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """A split of scenes, all of one size.

    The shorter side becomes ``size`` pixels, the longer one what the shape of the split's first
    image asks for, to a multiple of :data:`STEP`. An image of another shape is scaled until it
    covers that rectangle and cut at its middle; its mask with it, by the nearest pixel.

    Args:
        split: columns ``image``, ``mask`` and ``label``.
        size: pixels of the shorter side.
        interpolation: of the images.
        name: for messages.
    """

    def __init__(
        self, split: datasets.Dataset, size: int, interpolation: str, name: str = "data"
    ) -> None:
        self.split, self.name = split, name
        # Apart, so that a mask is not decoded with every image.
        self._columns = {column: split.select_columns([column]) for column in ("image", "mask")}
        self.classes = class_names(split)
        self.order: Tensor | None = None
        self.mode = InterpolationMode(interpolation)
        self.shape = self._shape(size)
        self._keep = 4 * len(split) * self.shape[0] * self.shape[1] <= IN_MEMORY
        self._all: tuple[Tensor, Tensor] | None = None

    def _shape(self, size: int) -> tuple[int, int]:
        if not len(self.split):
            return size, size
        wide, high = decoded(self._columns["image"], 0, "image", self.name).size
        ratio = max(wide, high) / min(wide, high)
        short, long = (max(1, round(side / STEP)) * STEP for side in (size, size * ratio))
        return (short, long) if wide >= high else (long, short)

    def _fitted(self, image: Image.Image, mode: InterpolationMode) -> Tensor:
        high, wide = self.shape
        scale = max(high / image.height, wide / image.width)
        size = [max(high, round(image.height * scale)), max(wide, round(image.width * scale))]
        fitted = tvf.center_crop(tvf.resize(image, size, mode), [high, wide])
        return torch.from_numpy(np.array(fitted))

    def mask(self, row: int) -> Tensor:
        """(h, w) bytes, the class of each pixel, 255 where there is none."""
        return self._fitted(
            decoded(self._columns["mask"], row, "mask", self.name), InterpolationMode.NEAREST
        )

    def image(self, row: int) -> Tensor:
        """(3, h, w) bytes."""
        image = decoded(self._columns["image"], row, "image", self.name).convert("RGB")
        return self._fitted(image, self.mode).permute(2, 0, 1).contiguous()

    def __len__(self) -> int:
        return len(self.split)

    def _decoded(self) -> tuple[Tensor, Tensor]:
        if self._all is None:
            rows = tqdm(range(len(self)), desc=f"decoding {self.name}", leave=False)
            pairs = [(self.image(row), self.mask(row)) for row in rows]
            images, masks = zip(*pairs, strict=True)
            self._all = torch.stack(images), torch.stack(masks)
        return self._all

    @functools.cached_property
    def labels(self) -> Tensor:
        """(n, h, w) bytes: the masks."""
        if self._keep:
            return self._decoded()[1]
        rows = tqdm(range(len(self)), desc=f"decoding masks of {self.name}", leave=False)
        return torch.stack([self.mask(row) for row in rows])

    def __getitem__(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The (n, 3, h, w) bytes and the (n, h, w) labels of these rows, int64."""
        if self._keep:
            images, masks = (part[rows] for part in self._decoded())
        else:
            images = torch.stack([self.image(row) for row in rows])
            masks = torch.stack([self.mask(row) for row in rows])
        labels = masks.long()
        return images, labels.masked_fill_(masks == IGNORE, NO_CLASS)

    def batches(
        self,
        size: int,
        device: torch.device | str = "cpu",
        shuffle: torch.Generator | None = None,
        drop_single: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The split in batches on a device: (n, 3, h, w) bytes and (n, h, w) labels.

        A pixel without a class has the label :data:`NO_CLASS`. In order, or shuffled by a
        generator. ``drop_single`` leaves out a last batch of one, which batch normalisation cannot
        train on.
        """
        workers = 0 if self._keep else cores()
        yield from loaded(self, size, device, shuffle, drop_single, workers)
