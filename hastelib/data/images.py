"""Images as a network sees them: decoded to bytes of three colours, resized, cropped, batched."""

import functools
import io
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import datasets
import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tvf
from tqdm import tqdm

from hastelib.data.base import class_names, labels_of, undecoded

IN_MEMORY = 2 << 30  # bytes; a larger split is decoded anew in every pass, by worker processes
SLIVER = 500  # the largest ratio of the sides; longer images would fill the memory once resized
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

    def at(self, size: int) -> Self:
        """A copy for another size, at which nothing is cropped from a square image."""
        return replace(self, resize=size, crop=size)

    def __call__(self, image: Image.Image) -> Tensor:
        """The (3, crop, crop) bytes of an image in three colours."""
        resized = tvf.resize(image, self.resize, InterpolationMode(self.interpolation))
        return tvf.pil_to_tensor(tvf.center_crop(resized, [self.crop, self.crop]))

    def normalise(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) bytes to channels-last floats, on the device they are on.

        Raises:
            ValueError: the pixels are no bytes; floats may be scaled already.
        """
        if pixels.dtype != torch.uint8:
            dtype = str(pixels.dtype).removeprefix("torch.")
            raise ValueError(f"pixels: expected bytes (uint8) from 0 to 255, got {dtype}")
        pixels = pixels.contiguous(memory_format=torch.channels_last)  # while they are bytes
        return tvf.normalize(pixels.float().div_(255), [*self.mean], [*self.std], inplace=True)


class Batches(Protocol):
    """A split as a network sees it: what extraction and training need."""

    name: str
    classes: list[str]
    order: Tensor | None
    """(n,), the sample at each place of the unshuffled batches; None where it is the split's."""

    @property
    def labels(self) -> Tensor:
        """(n,) int64; of scenes (n, h, w) bytes, 255 where a pixel has none."""

    def __len__(self) -> int: ...

    def batches(
        self, size: int, device: torch.device | str = "cpu", shuffle: torch.Generator | None = None
    ) -> Iterator[tuple[Any, Tensor]]:
        """Inputs and labels on a device, -100 where there is none.

        In :attr:`order`; or shuffled by a generator, without a last batch of one, which batch
        normalisation cannot train on.
        """


def cores() -> int:
    """The cores of this process, its share where ``HASTE_WORKERS`` workers share them.

    0 in a worker that must not start processes of its own (the daemons of ``dask worker``).
    """
    if multiprocessing.current_process().daemon:
        return 0
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (count or 1) // int(os.environ.get("HASTE_WORKERS", "1")))


def encoded(pixels: np.ndarray, kind: str = "PPM") -> bytes:
    """An (h, w, 3) image or an (h, w) mask as a file; as PPM its bytes are the same everywhere."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def table(
    images: Iterable[Any], labels: Iterable[Any], names: Sequence[str], masks: Any = None
) -> datasets.Dataset:
    """A split of images (paths, files, pixels) and labels, which list the classes of ``masks``."""
    feature: Any = datasets.ClassLabel(names=[*names])
    columns = {"image": images}
    if masks is not None:
        columns["mask"], feature = masks, datasets.List(feature)
    features = datasets.Features(dict.fromkeys(columns, datasets.Image()) | {"label": feature})
    for name, files in columns.items():
        files = (encoded(x) if isinstance(x, np.ndarray) else x for x in files)
        columns[name] = [str(x) if isinstance(x, Path) else x for x in files]
    return datasets.Dataset.from_dict(columns | {"label": [*labels]}, features=features)


def paths(split: datasets.Dataset) -> list[str | None]:
    """The path of each image of a split; None where it has none, as in Parquet files."""
    return [file and file["path"] for file in undecoded(split)["image"]]


def rgb(image: Image.Image) -> Image.Image:
    """An image in 8 bits of three colours, transparency on white; 16-bit grey becomes x / 257.

    Raises:
        ValueError: 32-bit integers or floats, whose white nothing in a file says.
    """
    # Pillow calls the 16 bits of some PNG and of all PGM files 32-bit integers.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        grey = (np.asarray(image).astype(np.int64) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if kind := {"F": "floats", "I": "32-bit integers"}.get(image.mode):
        raise ValueError(f"its pixels are {kind} of any range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def opened(file: dict[str, Any]) -> Image.Image:
    """The image of a file, upright, its size looked at before it is decoded.

    Raises:
        ValueError: more pixels than Pillow's ``MAX_IMAGE_PIXELS``, or long and thin.
    """
    content = Path(file["path"]).read_bytes() if file["bytes"] is None else file["bytes"]
    with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
        try:
            image = Image.open(io.BytesIO(content))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(f"too many pixels: {error}") from error
        except UnidentifiedImageError as error:  # which names a place in memory
            raise ValueError("it is no image that Pillow knows") from error
    short, long = sorted(image.size)
    if long > SLIVER * short:
        raise ValueError(f"{long} px are too long for a shorter side of {short}")
    ImageOps.exif_transpose(image, in_place=True)  # which decodes it
    return image


class Images(Dataset[tuple[Tensor, ...]]):
    """A split of images as a network sees them: (n, 3, h, w), in three colours, transformed.

    ``transform`` is :class:`Preprocessing`, which gives bytes (normalising is left to the device),
    or any other function from an image to a tensor. ``name`` is for messages. They are decoded once
    where they fit into memory, else in every pass by worker processes.
    """

    def __init__(
        self, split: datasets.Dataset, transform: Callable[..., Tensor], name: str = "data"
    ) -> None:
        self.split, self.transform, self.name = undecoded(split), transform, name
        self.classes = class_names(split)
        self.order: Tensor | None = None

    @functools.cached_property
    def labels(self) -> Tensor:
        """(n,) int64."""
        return torch.from_numpy(labels_of(self.split))

    @functools.cached_property
    def kept(self) -> bool:
        """Whether it fits into memory."""
        return not len(self) or len(self) * sum(x.nbytes for x in self.sample(0)) <= IN_MEMORY

    @functools.cached_property
    def everything(self) -> tuple[Tensor, ...]:
        """The images and the labels or masks of all samples."""
        return self._stacked(tqdm(range(len(self)), desc=f"decoding {self.name}", leave=False))

    def _stacked(self, rows: Iterable[int]) -> tuple[Tensor, ...]:
        return tuple(map(torch.stack, zip(*map(self.sample, rows), strict=True)))

    def sample(self, row: int) -> tuple[Tensor, Tensor]:
        """An image as the network sees it, and its label."""
        return self.decoded(row, lambda image: self.transform(rgb(image))), self.labels[row]

    def decoded(
        self, row: int, change: Callable[[Image.Image], Tensor], column: str = "image"
    ) -> Tensor:
        """An image after ``change``; ``ValueError`` with its place where it cannot be decoded."""
        file = self.split[row][column]
        try:
            if file is None:
                raise ValueError("there is none")
            with opened(file) as image:  # of several frames the file stays open
                return change(image)
        except (OSError, SyntaxError, ValueError) as error:
            path = f" ({file['path']})" if file and file["path"] else ""
            where = f"{column} {row} of {self.name}{path}"
            raise ValueError(f"{where} cannot be decoded ({error}); repair or remove it") from error

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, rows: Sequence[int]) -> tuple[Tensor, ...]:
        """The (n, 3, h, w) bytes and the labels of these rows."""
        return tuple(x[rows] for x in self.everything) if self.kept else self._stacked(rows)

    def batches(
        self, size: int, device: torch.device | str = "cpu", shuffle: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The split in batches on a device, see :class:`Batches`."""
        sampler = RandomSampler(self, generator=shuffle) if shuffle else SequentialSampler(self)
        batches = BatchSampler(sampler, size, drop_last=bool(shuffle) and len(self) % size == 1)
        workers = 0 if self.kept else cores()
        on_gpu = torch.device(device).type == "cuda"
        loader = DataLoader(self, None, sampler=batches, num_workers=workers, pin_memory=on_gpu)
        try:
            for inputs, labels in loader:
                yield inputs.to(device, non_blocking=on_gpu), labels.to(device, non_blocking=on_gpu)
        except ValueError as error:  # a worker's is a traceback that ends in the message
            message = str(error).rstrip().splitlines()[-1]
            raise ValueError(message.removeprefix("ValueError: ")) from error
