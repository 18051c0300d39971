"""Scenes with a mask, as batches.

A ``mask`` has one channel, the index of each pixel's class, 255 where it has none.
"""

import functools
from collections.abc import Sequence

import datasets
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tvf
from tqdm import tqdm

from hastelib.data.images import Images, rgb

IGNORE = 255
"""The value of a mask where a pixel has no class."""
NO_CLASS = -100
"""The label of a pixel without a class in a batch, which the cross-entropy leaves out."""

STEP = 8
"""Heights and widths are multiples of this."""


def present(mask: np.ndarray) -> list[int]:
    """The classes in a mask, ascending."""
    return np.unique(mask[mask != IGNORE]).tolist()


def _fitted(image: Image.Image, shape: tuple[int, int], mode: InterpolationMode) -> Tensor:
    scale = max(shape[0] / image.height, shape[1] / image.width)
    size = [max(shape[0], round(image.height * scale)), max(shape[1], round(image.width * scale))]
    return tvf.pil_to_tensor(tvf.center_crop(tvf.resize(image, size, mode), [*shape]))


class SceneBatches(Images):
    """A split of scenes, all of one size: (n, 3, h, w) bytes, and their masks as labels.

    The shorter side becomes ``size`` pixels, the longer one what the shape of the split's first
    image asks for, to a multiple of :data:`STEP`. An image of another shape is scaled until it
    covers that rectangle and cut at its middle; its mask with it, by the nearest pixel.
    """

    def __init__(
        self, split: datasets.Dataset, size: int, interpolation: str, name: str = "data"
    ) -> None:
        super().__init__(split, tvf.pil_to_tensor, name)
        height, width = self.decoded(0, tvf.pil_to_tensor).shape[1:] if len(split) else (1, 1)
        ratio = max(width, height) / min(width, height)
        short, long = (max(1, round(side / STEP)) * STEP for side in (size, size * ratio))
        self.shape = (short, long) if width >= height else (long, short)
        mode = InterpolationMode(interpolation)
        self.transform = functools.partial(_fitted, shape=self.shape, mode=mode)

    def mask(self, row: int) -> Tensor:
        """(h, w) bytes, the class of each pixel, 255 where there is none."""
        nearest = InterpolationMode.NEAREST
        return self.decoded(row, lambda mask: _fitted(mask, self.shape, nearest), "mask")[0]

    def sample(self, row: int) -> tuple[Tensor, Tensor]:
        """The (3, h, w) bytes of an image, and its mask."""
        return self.decoded(row, lambda image: self.transform(rgb(image))), self.mask(row)

    @functools.cached_property
    def labels(self) -> Tensor:
        """The masks, (n, h, w) bytes."""
        if self.kept:
            return self.everything[1]
        rows = tqdm(range(len(self)), desc=f"decoding masks of {self.name}", leave=False)
        return torch.stack([self.mask(row) for row in rows])

    def __getitem__(self, rows: Sequence[int]) -> tuple[Tensor, ...]:
        """The (n, 3, h, w) bytes of these rows, and their (n, h, w) labels, int64.

        A pixel without a class has the label :data:`NO_CLASS`.
        """
        images, masks = super().__getitem__(rows)
        return images, masks.long().masked_fill_(masks == IGNORE, NO_CLASS)
