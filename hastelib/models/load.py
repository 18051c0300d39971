"""From a source's name to the network, its preprocessing and its taps."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, ClassVar

import datasets
import torch
import torchvision
from torch import Tensor, nn

from hastelib.data import Batches, Images, Preprocessing
from hastelib.glyphs.networks import GLYPHS, GLYPHS_FOLDER, GLYPHS_INPUT, CifarResNet
from hastelib.models.structure import Tapped, head, placed, replace_head, stages
from hastelib.models.weights import CIFAR10_FILES, CIFAR10_URL, fill, find
from hastelib.store import digest
from hastelib.suites import one_of

SOURCES: dict[str, Callable[[], tuple[nn.Module, Preprocessing]]] = {}
"""Sources of your own: a name, and a function that gives the network and what its input wants,
the same every time."""


@dataclass(frozen=True)
class Source:
    """A pre-trained network and what is needed to use it.

    Attributes:
        name: the name it was loaded by.
        module: the network, in evaluation mode.
        preprocessing: what its input wants.
        stages: the modules whose outputs close its convolution stages, see :func:`stages`.
        head: the module that turns the embedding into logits.
        fingerprint: hexadecimal SHA-256 of architecture and weights.
    """

    name: str
    module: nn.Module
    preprocessing: Preprocessing
    stages: tuple[str, ...]
    head: str
    fingerprint: str
    unit: ClassVar[str] = "image"

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What :meth:`read` depends on: sources that share it can share a split."""
        return self.preprocessing.resize, self.preprocessing.crop, self.preprocessing.interpolation

    def read(self, data: datasets.Dataset, name: str) -> Batches:
        """A split as this network sees it.

        Args:
            data: the split.
            name: for messages.
        """
        return Images(data, self.preprocessing, name)

    def inputs(self, batch: Any) -> Any:
        """What the module, and :meth:`tapped`, are called with for the inputs of a batch."""
        return self.preprocessing.normalise(batch)

    def logits(self, module: nn.Module, batch: Any) -> Tensor:
        """(n, c, ...) logits of a module like this source's for the inputs of a batch."""
        found = module(self.inputs(batch))
        # GoogLeNet and Inception give auxiliary logits too while they train.
        logits: Tensor = found if isinstance(found, Tensor) else found[0]
        return logits

    def with_classes(self, classes: int) -> nn.Module:
        """A copy of the module with a new, randomly initialised classifier."""
        module = copy.deepcopy(self.module)
        replace_head(module, self.head, classes)
        return module

    def retrained(self, name: str, module: nn.Module) -> Source:
        """A module like this source's, trained further, as a source of its own."""
        return wrap(name, module, self.preprocessing)

    def outputs(
        self, found: dict[str, Tensor], labels: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """From the tapped outputs and the labels of a batch to the parts of its features.

        Args:
            found: what :meth:`tapped` gives, float32.
            labels: of the batch.
            generator: for what is drawn at random, the same sequence whatever the batch size.

        Returns:
            ``embedding``, ``probs``, ``labels`` and ``layer.NAME``, as in
            :class:`hastelib.extract.Features`; where there are several rows a sample, also
            ``sample``, each row's place in the batch.
        """
        probs = found.pop("logits").softmax(1)
        return found | {"probs": probs, "labels": labels}

    def predicted(self, logits: Tensor) -> Tensor:
        """What is kept of a fine-tuned network's logits on the test split: their softmax."""
        return logits.float().softmax(1)

    def accuracy(self, predicted: Tensor, labels: Tensor, classes: int) -> float:
        """Top-1 accuracy of what :meth:`predicted` gave, in [0, 1]."""
        return (predicted.argmax(1) == labels).double().mean().item()

    def tapped(self) -> nn.Module:
        """The network with more outputs: a dictionary of ``embedding`` (n, d), ``logits`` (n, z)
        and, for each stage l, ``layer.NAME`` (n, d_l), pooled over space where it has any.
        """
        return Tapped(self.module, self.stages, self.head)


def parse(name: str) -> tuple[str, str]:
    """The architecture and the weights that a source's name stands for; nothing is loaded.

    Raises:
        ValueError: no such name; lists the choices.
    """
    architecture, _, weights = name.partition("@")
    if name in SOURCES:
        return architecture, weights
    known = torchvision.models.list_models(torchvision.models)
    if not weights and "_Weights." in name:
        builder, _, weights = name.rpartition(".")
        enums = {torchvision.models.get_model_weights(model).__name__: model for model in known}
        one_of("torchvision weights", builder, enums)
        architecture = enums[builder]
    if not weights:
        raise ValueError(
            f"unknown source {name!r}; write architecture@weights, as in resnet20@cifar10, "
            "resnet8@glyphs, resnet50@IMAGENET1K_V2 or densenet121@imagenet/file.safetensors, or "
            "the name of a source of your own (hastelib.models.SOURCES)"
        )
    if other := _modality(architecture):
        other.check(architecture, weights)
    elif weights == "glyphs":
        one_of("glyphs network", architecture, GLYPHS)
    elif weights == "cifar10":
        one_of("CIFAR-10 network", architecture, CIFAR10_FILES)
    else:
        one_of("torchvision network", architecture, known)
        if "." not in weights:  # not a file
            options = torchvision.models.get_model_weights(architecture).__members__
            one_of(f"weights of {architecture}", weights, [*options, "DEFAULT"])
    return architecture, weights


def _modality(architecture: str) -> ModuleType | None:
    """The module that knows this architecture, where it is no image classifier."""
    if architecture.startswith("fcn_"):
        return importlib.import_module("hastelib.models.segmentation")
    if architecture.startswith(("bert", "minilm")):
        return importlib.import_module("hastelib.models.language")
    return None


def load(name: str, size: int | None = None) -> Source:
    """The source of that name, at an image size or a number of tokens (None: the weights' own).

    Raises:
        ValueError: an unknown name (lists the choices), damaged or unfitting weights.
        FileNotFoundError: the weights are not there and have no official address.
        DownloadError: they could not be downloaded.
    """
    architecture, weights = parse(name)
    if name not in SOURCES and (other := _modality(architecture)):
        found: Source = other.load(name, size)
        return found
    with torch.random.fork_rng(devices=[]):  # the weights that are overwritten are drawn at random
        module, own = SOURCES[name]() if name in SOURCES else _built(architecture, weights)
    if size not in (None, own.crop):  # at another size nothing is cropped from a square image
        own = replace(own, resize=size, crop=size)
    return wrap(name, module, own)


def _built(architecture: str, weights: str) -> tuple[nn.Module, Preprocessing]:
    if weights == "glyphs":
        module = GLYPHS[architecture](2)
        fill(module, GLYPHS_FOLDER / f"{architecture}.safetensors")
        return module, GLYPHS_INPUT
    if weights == "cifar10":
        file = CIFAR10_FILES[architecture]
        module = CifarResNet((int(architecture.removeprefix("resnet")) - 2) // 6)
        fill(module, find(f"cifar10/{file}", CIFAR10_URL.format(file=file)))
        return module, Preprocessing(32, 32)
    # The checkpoints of these two expect inputs scaled to [-1, 1], which they do themselves.
    options = {"transform_input": True, "init_weights": False}
    module = torchvision.models.get_model(
        architecture, **(options if architecture in ("googlenet", "inception_v3") else {})
    )
    own = Preprocessing(256, 224)
    if "." in weights:
        fill(module, find(weights))
    else:
        chosen = torchvision.models.get_model_weights(architecture)[weights]
        fill(module, find(chosen.url.rpartition("/")[2], chosen.url))
        preset = chosen.transforms()
        own = Preprocessing(
            preset.resize_size[0],
            preset.crop_size[0],
            tuple(preset.mean),
            tuple(preset.std),
            preset.interpolation.value,
        )
    return module, own


def wrap(name: str, module: nn.Module, preprocessing: Preprocessing) -> Source:
    """A :class:`Source` around any classification network of yours."""
    module = placed(module.eval())
    return Source(
        name=name,
        module=module,
        preprocessing=preprocessing,
        stages=stages(module, preprocessing.crop),
        head=head(module),
        fingerprint=digest(module.state_dict(), {"architecture": _architecture(module)}),
    )


def _architecture(module: nn.Module) -> str:
    """What the weights alone do not say: the layers, and whether the input is rescaled."""
    return f"{module}{getattr(module, 'transform_input', '')}"
