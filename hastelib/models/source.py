"""A pre-trained network and what is needed to use it."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, replace
from typing import Any

import datasets
import torch
from PIL import Image
from torch import Tensor, nn

from hastelib.data.images import Batches, Images, Preprocessing
from hastelib.hooks import Structure, call, home, placed, replace_head, structure, tensor
from hastelib.store import digest


@dataclass(frozen=True)
class Source:
    """A pre-trained network of images, and what is needed to use it.

    Attributes:
        name: the name it was loaded by.
        module: the network, in evaluation mode.
        preprocessing: a :class:`hastelib.data.images.Preprocessing`, or any function from an image
            to a tensor.
        classifies: whether its classifier has learnt something, so that it has probabilities.
    """

    name: str
    module: nn.Module
    preprocessing: Any
    classifies: bool = True

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of weights and layers, and of whether the input is rescaled."""
        architecture = f"{self.module}{getattr(self.module, 'transform_input', '')}"
        return digest(self.module.state_dict(), {"architecture": architecture})

    @functools.cached_property
    def structure(self) -> Structure:
        """See :func:`hastelib.hooks.structure`; ``ValueError`` where its size does not suit it."""
        noise = torch.randint(0, 256, (512, 512, 3), generator=torch.Generator().manual_seed(0))
        image = self.preprocessing(Image.fromarray(noise.to(torch.uint8).numpy()))
        inputs = self.inputs(image[None].to(home(self.module)[0]))
        try:
            return structure(self.module, inputs)
        except (AssertionError, RuntimeError) as error:
            size = " x ".join(map(str, image.shape[1:]))
            what = f"{self.name} does not run on {size} pixels ({error})"
            remedy = "if that is the reason, choose another image size"
            raise ValueError(f"{what}; {remedy}") from error

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What :meth:`read` depends on; sources that share it can share a split."""
        return getattr(self.preprocessing, "geometry", (id(self.preprocessing),))

    def read(self, data: datasets.Dataset, name: str) -> Batches:
        """A split as this network sees it; ``name`` stands in messages."""
        return Images(data, self.preprocessing, name)

    def inputs(self, batch: Any) -> Any:
        """What the module is called with for the inputs of a batch."""
        if isinstance(self.preprocessing, Preprocessing):
            batch = self.preprocessing.normalise(batch)
        return batch.to(home(self.module)[1], memory_format=torch.channels_last)

    def taps(self, batch: Any) -> dict[str, Tensor]:
        """``embedding``, ``logits`` and ``layer.NAME`` of the inputs of a batch."""
        return self.structure.read(self.module, self.inputs(batch))

    def logits(self, module: nn.Module, batch: Any) -> Tensor:
        """(n, c, ...) logits of a module like this source's for the inputs of a batch."""
        return tensor(call(module, self.inputs(batch)))

    def with_classes(self, classes: int) -> nn.Module:
        """A copy of the module with a new, randomly initialised classifier."""
        module = copy.deepcopy(self.module)
        replace_head(module, self.structure.head, classes)
        return module

    def retrained(self, name: str, module: nn.Module) -> Source:
        """A module like this source's, trained further, as a source of its own."""
        return replace(self, name=name, module=placed(module.eval()), classifies=True)

    def outputs(
        self, found: dict[str, Tensor], labels: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """What :meth:`taps` gave, and the labels of a batch, as parts of its features.

        Where a sample has several rows, drawn with the generator, ``sample`` is each row's place in
        the batch.
        """
        logits = found.pop("logits", None)
        probs = {} if logits is None or not self.classifies else {"probs": logits.softmax(1)}
        return found | probs | {"labels": labels}


def wrap(name: str, module: nn.Module, preprocessing: Any) -> Source:
    """A :class:`Source` around any network of yours."""
    return Source(name, placed(module.eval()), preprocessing)
