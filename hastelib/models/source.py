"""A pre-trained network and what is needed to use it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import datasets
import torch
from PIL import Image
from torch import Tensor, nn

from hastelib.data import Batches, Images, Preprocessing
from hastelib.hooks import Reader, Structure, call, placed, replace_head, structure, tensor
from hastelib.store import digest


@dataclass(frozen=True)
class Source:
    """A pre-trained network of images, and what is needed to use it.

    Attributes:
        name: the name it was loaded by.
        module: the network, in evaluation mode.
        preprocessing: what its input wants: a :class:`hastelib.data.Preprocessing`, or any function
            from an image to a tensor, such as torchvision's and timm's own.
        fingerprint: hexadecimal SHA-256 of architecture and weights.
        classifies: whether its classifier has learnt something, so that it has probabilities.
    """

    name: str
    module: nn.Module
    preprocessing: Any
    fingerprint: str
    classifies: bool = True
    unit: ClassVar[str] = "image"

    @functools.cached_property
    def structure(self) -> Structure:
        """Its classifier and the layers to tap, see :func:`hastelib.hooks.structure`.

        Raises:
            ValueError: it does not run on images of this size.
        """
        noise = torch.randint(0, 256, (512, 512, 3), generator=torch.Generator().manual_seed(0))
        image = self.preprocessing(Image.fromarray(noise.to(torch.uint8).numpy()))
        inputs = self.inputs(image[None].to(next(self.module.parameters()).device))
        training = self.module.training
        try:
            return structure(self.module.eval(), inputs)
        except (AssertionError, RuntimeError) as error:
            raise ValueError(
                f"{self.name} does not run on {tuple(image.shape[1:])} pixels ({error}); choose "
                "another image size"
            ) from error
        finally:
            self.module.train(training)

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What :meth:`read` depends on: sources that share it can share a split."""
        known = isinstance(self.preprocessing, Preprocessing)
        return self.preprocessing.geometry if known else (repr(self.preprocessing),)

    def read(self, data: datasets.Dataset, name: str) -> Batches:
        """A split as this network sees it; ``name`` stands in messages."""
        return Images(data, self.preprocessing, name)

    def inputs(self, batch: Any) -> Any:
        """What the module is called with for the inputs of a batch."""
        if isinstance(self.preprocessing, Preprocessing):
            return self.preprocessing.normalise(batch)
        return batch.float().contiguous(memory_format=torch.channels_last)

    def reader(self) -> Reader:
        """The module with its embedding, logits and layers read on the way."""
        return Reader(self.module, self.structure)

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
        module = placed(module.eval())
        mark = fingerprint(module)
        return replace(self, name=name, module=module, fingerprint=mark, classifies=True)

    def outputs(
        self, found: dict[str, Tensor], labels: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """From what the reader gave and the labels of a batch to the parts of its features.

        Args:
            found: ``embedding``, ``logits`` where there is a classifier, and ``layer.NAME``.
            labels: of the batch.
            generator: for what is drawn at random, the same sequence whatever the batch size.

        Returns:
            ``embedding``, ``probs``, ``labels`` and ``layer.NAME``, as in
            :class:`hastelib.features.Features`; where there are several rows a sample, also
            ``sample``, each row's place in the batch.
        """
        logits = found.pop("logits", None)
        probs = {} if logits is None or not self.classifies else {"probs": logits.softmax(1)}
        return found | probs | {"labels": labels}

    def predicted(self, logits: Tensor) -> Tensor:
        """What is kept of a fine-tuned network's logits on the test split: their softmax."""
        return logits.float().softmax(1)

    def accuracy(self, predicted: Tensor, labels: Tensor, classes: int) -> float:
        """Top-1 accuracy of what :meth:`predicted` gave, in [0, 1]."""
        return (predicted.argmax(1) == labels).double().mean().item()


def fingerprint(module: nn.Module) -> str:
    """Hexadecimal SHA-256 of weights and layers, and of whether the input is rescaled."""
    told = f"{module}{getattr(module, 'transform_input', '')}"
    return digest(module.state_dict(), {"architecture": told})


def wrap(
    name: str, module: nn.Module, preprocessing: Preprocessing | Callable[..., Any], **rest: Any
) -> Source:
    """A :class:`Source` around any network of yours."""
    module = placed(module.eval())
    return Source(name, module, preprocessing, fingerprint(module), **rest)
