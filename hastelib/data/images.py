"""A split as a network sees it: batches of resized and cropped images."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import datasets
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tvf
from tqdm import tqdm

from hastelib._machine import cores
from hastelib.data.fingerprints import class_names

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """From an image to a network's input.

    The shorter side is resized to ``resize`` pixels (antialiased), the centre ``crop`` x ``crop``
    cut out, and x / 255 normalised with ``mean`` and ``std`` per channel.
    """

    resize: int
    crop: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What the pixels depend on, before they are normalised."""
        return self.resize, self.crop, self.interpolation

    def at(self, size: int) -> Preprocessing:
        """The same at another size, at which nothing is cropped from a square image."""
        return replace(self, resize=size, crop=size)

    def __call__(self, image: Image.Image) -> Tensor:
        """The (3, crop, crop) bytes of an image."""
        mode = InterpolationMode(self.interpolation)
        image = tvf.center_crop(tvf.resize(image, self.resize, mode), [self.crop, self.crop])
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()

    def normalise(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) bytes to channels-last floats, on the device they are on."""
        mean, std = (
            torch.tensor(values, device=pixels.device)[:, None, None]
            for values in (self.mean, self.std)
        )
        scaled = pixels.float().div_(255).sub_(mean).div_(std)
        return scaled.contiguous(memory_format=torch.channels_last)


IN_MEMORY = 2 << 30  # bytes; a larger split is decoded anew in every pass, by worker processes


def encoded(pixels: np.ndarray) -> dict[str, bytes | None]:
    """An (h, w, 3) image or an (h, w) mask as uncompressed bytes of a file.

    They, and the fingerprint, are the same on every machine.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PPM")
    return {"bytes": file.getvalue(), "path": None}


def decoded(split: datasets.Dataset, row: int, column: str, name: str) -> Image.Image:
    """An image of a split; ``ValueError`` with its place where it cannot be decoded."""
    try:
        image: Image.Image | None = split[row][column]
        if image is None:
            raise ValueError("there is none")
        image.load()
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
    ) as error:
        raise ValueError(
            f"{column} {row} of {name} cannot be decoded ({error}); repair or remove it"
        ) from error
    return image


def loaded(
    split: Dataset[tuple[Tensor, Tensor]],
    size: int,
    device: torch.device | str,
    shuffle: torch.Generator | None,
    drop_single: bool,
    workers: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of :meth:`hastelib.data.Batches.batches`, of a split that takes lists of rows.

    ``workers`` processes decode; none where everything is in memory.
    """
    count = len(split)  # type: ignore[arg-type]
    order = (
        SequentialSampler(split) if shuffle is None else RandomSampler(split, generator=shuffle)  # type: ignore[arg-type]
    )
    on_gpu = torch.device(device).type == "cuda"
    loader = DataLoader(
        split,
        sampler=BatchSampler(order, size, drop_last=drop_single and count % size == 1),
        batch_size=None,
        num_workers=workers,
        pin_memory=on_gpu,
    )
    for inputs, labels in loader:
        yield inputs.to(device, non_blocking=on_gpu), labels.to(device, non_blocking=on_gpu)


class Images(Dataset[tuple[Tensor, Tensor]]):
    """A split of images as a network sees them.

    Args:
        split: columns ``image`` and ``label``.
        transform: from an image in three colours to a tensor: :class:`Preprocessing`, which gives
            bytes (normalising is left to the device), or any other.
        name: for messages.
    """

    def __init__(
        self,
        split: datasets.Dataset,
        transform: Callable[[Image.Image], Tensor],
        name: str = "data",
    ) -> None:
        self.split, self.transform, self.name = split, transform, name
        self.labels = torch.tensor(split.with_format("numpy")["label"][:], dtype=torch.int64)
        self.classes = class_names(split)
        self.order: Tensor | None = None
        self._pixels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.split)

    @functools.cached_property
    def _keep(self) -> bool:
        """Whether all fits into memory; else it is decoded anew in every pass."""
        return len(self) == 0 or self._decode(0).nbytes * len(self) <= IN_MEMORY

    def __getitem__(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The (n, 3, h, w) inputs and the (n,) labels of these rows."""
        if self._keep:
            if self._pixels is None:
                everything = tqdm(range(len(self)), desc=f"decoding {self.name}", leave=False)
                self._pixels = torch.stack([self._decode(row) for row in everything])
            return self._pixels[rows], self.labels[rows]
        return torch.stack([self._decode(row) for row in rows]), self.labels[rows]

    def _decode(self, row: int) -> Tensor:
        return self.transform(decoded(self.split, row, "image", self.name).convert("RGB"))

    def batches(
        self,
        size: int,
        device: torch.device | str = "cpu",
        shuffle: torch.Generator | None = None,
        drop_single: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The split in batches on a device: (n, 3, h, w) inputs and (n,) labels.

        In order, or shuffled by a generator. ``drop_single`` leaves out a last batch of one,
        which batch normalisation cannot train on.
        """
        workers = 0 if self._keep else cores()
        yield from loaded(self, size, device, shuffle, drop_single, workers)
