"""What extraction and training need of a split, whatever its modality."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor


class Batches(Protocol):
    """A split as a network sees it."""

    name: str
    """For messages."""
    classes: list[str]
    """Names of the classes."""
    order: Tensor | None
    """(n,) the sample at each place of the batches that are not shuffled; None where they come in
    the order of the split."""

    @property
    def labels(self) -> Tensor:
        """(n,) int64; of scenes (n, h, w) bytes, 255 where a pixel has none."""
        ...

    def __len__(self) -> int:
        """The number of samples."""
        ...

    def batches(
        self,
        size: int,
        device: torch.device | str = "cpu",
        shuffle: torch.Generator | None = None,
        drop_single: bool = False,
    ) -> Iterator[tuple[Any, Tensor]]:
        """The split in batches on a device: inputs and labels, -100 where there is none.

        In :attr:`order`, or shuffled by a generator. ``drop_single`` leaves out a last batch of
        one, which batch normalisation cannot train on.
        """
        ...
