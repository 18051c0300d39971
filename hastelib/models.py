"""Networks by name: architecture, weights, preprocessing, and the layers to tap.

A source is named ``architecture@weights``:

========================================  ==================================================
``resnet50@IMAGENET1K_V2``                torchvision's, any architecture and any of its weights
``ResNet50_Weights.IMAGENET1K_V2``        the same, by torchvision's own id
``resnet20@cifar10``                      the published CIFAR-10 ResNets, 20, 32, 44 and 56
``resnet8@glyphs``                        the small ones that ship with this package
``densenet121@imagenet/x.safetensors``    a file under ``HASTE_WEIGHTS`` in torchvision's layout
========================================  ==================================================

Which layers to tap follows from the network's own structure, see :func:`stages`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.densenet import DenseNet
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.resnet import BasicBlock

from hastelib.download import fetch
from hastelib.store import digest
from hastelib.suites import one_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

CIFAR10_URL = (
    "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/{file}"
)
CIFAR10_FILES = {
    "resnet20": "resnet20-12fca82f.th",
    "resnet32": "resnet32-d509ac18.th",
    "resnet44": "resnet44-014dd654.th",
    "resnet56": "resnet56-4bfd9763.th",
}
GLYPHS_FOLDER = Path(__file__).parent / "weights" / "glyphs"


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

    def normalise(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) bytes to channels-last floats, on the device they are on."""
        mean, std = (
            torch.tensor(values, device=pixels.device)[:, None, None]
            for values in (self.mean, self.std)
        )
        scaled = pixels.float().div_(255).sub_(mean).div_(std)
        return scaled.contiguous(memory_format=torch.channels_last)


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

    def tapped(self) -> nn.Module:
        """The network with more outputs: a dictionary of ``embedding`` (n, d), ``logits`` (n, z)
        and, for each stage l, ``layer.NAME`` (n, d_l), pooled over space where it has any.
        """
        return _Tapped(self.module, self.stages, self.head)


class _Tapped(nn.Module):
    def __init__(self, module: nn.Module, stages: tuple[str, ...], head: str) -> None:
        super().__init__()
        nodes = get_graph_node_names(module)[1]
        outputs = {nodes[nodes.index(head) - 1]: "embedding", nodes[-1]: "logits"}
        # A stage may end in the very node that is the embedding; it must then be read from there.
        self.shared = {
            f"layer.{stage}": outputs[last]
            for stage in stages
            if (last := [n for n in nodes if n == stage or n.startswith(f"{stage}.")][-1])
            in outputs
        }
        outputs |= {
            stage: f"layer.{stage}" for stage in stages if f"layer.{stage}" not in self.shared
        }
        self.network = create_feature_extractor(module, return_nodes=outputs)
        self.eval()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.network(images)
        found |= {name: found[other] for name, other in self.shared.items()}
        return {name: x.mean((2, 3)) if x.ndim == 4 else x for name, x in found.items()}


GLYPHS_INPUT = Preprocessing(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def _blocks(module: nn.Module) -> dict[str, nn.Module]:
    """The outermost modules of a class that recurs and holds at least two weight layers."""
    count: dict[type, int] = {}
    for part in module.modules():
        count[type(part)] = count.get(type(part), 0) + 1

    def is_block(part: nn.Module) -> bool:
        layers = sum(isinstance(p, (nn.Conv2d, nn.Linear)) for p in part.modules())
        plain = isinstance(part, (nn.Sequential, nn.ModuleList))
        return count[type(part)] > 1 and layers > 1 and not plain

    found: dict[str, nn.Module] = {}
    for name, part in module.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if name and not inside and is_block(part):
            found[name] = part
    return found


def stages(module: nn.Module, size: int) -> tuple[str, ...]:
    """The modules whose outputs close the convolution stages of a network, but the first.

    A stage is a run of blocks with outputs of equal resolution, a block an outermost module of a
    recurring class (``BasicBlock``, ``InvertedResidual``, ``_DenseBlock``); its output is that of
    its last block. Of these the last three are taken, never the first (the paper, A.2: three or
    four layers, none from the first block). A network without blocks (VGG, AlexNet) has one
    stage a pooling layer, and all but the first are taken. For example ResNet ``layer2-4``, the
    CIFAR ResNets ``layer2-3``, DenseNet ``denseblock2-4`` before the transition, MobileNetV2 the
    last block at strides 8, 16 and 32, VGG pools 2-5.

    Args:
        module: the network.
        size: side of its square input, in pixels.

    Raises:
        ValueError: fewer than two stages were found (no convolutional network).
    """
    blocks = _blocks(module)
    pools = {n: m for n, m in module.named_modules() if isinstance(m, nn.MaxPool2d)}
    sides: dict[str, int] = {}

    def record(name: str, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen = output if blocks else inputs[0]  # a pool closes the stage that it reads
        if isinstance(seen, Tensor) and seen.ndim == 4 and seen.shape[-1] > 1:
            sides[name] = seen.shape[-1]

    watched = blocks or pools
    handles = [part.register_forward_hook(partial(record, name)) for name, part in watched.items()]
    training = module.training
    try:
        module.eval()
        with torch.inference_mode():
            module(torch.zeros(1, 3, size, size, device=next(module.parameters()).device))
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    last = {side: name for name, side in sides.items()}  # of each resolution the last
    closing = [name for name in sides if name in last.values()]
    if len(closing) < 2:
        raise ValueError(
            f"{type(module).__name__} has {len(closing)} convolution stages at {size} px; the "
            "class-agnostic hardness needs at least two. Use a convolutional network, or a "
            "larger image size."
        )
    return tuple(closing[1:] if not blocks else closing[max(1, len(closing) - 3) :])


def placed(module: nn.Module, device: str = "cpu") -> nn.Module:
    """The module on a device, in the channels-last layout that convolutions are fastest in."""
    moved: nn.Module = module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def head(module: nn.Module) -> str:
    """The name of the last linear (or convolution) layer that runs: the classifier."""
    parts = dict(module.named_modules())
    nodes = get_graph_node_names(module)[1]
    return next(n for n in reversed(nodes) if isinstance(parts.get(n), (nn.Linear, nn.Conv2d)))


def replace_head(module: nn.Module, name: str, classes: int) -> None:
    """Put a new, randomly initialised classifier with ``classes`` outputs in place of ``name``."""
    old = module.get_submodule(name)
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(old.in_features, classes)
    elif isinstance(old, nn.Conv2d):
        new = nn.Conv2d(old.in_channels, classes, kernel_size=1)
    else:
        raise ValueError(f"{name} is a {type(old).__name__}; expected Linear or Conv2d")
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, new)


class _Subsample(nn.Module):
    """The parameter-free shortcut (option A) of He et al., 2016: every second pixel, and zeros
    for the new channels, half of them on either side."""

    def __init__(self, new: int, stride: int) -> None:
        super().__init__()
        self.new, self.stride = new, stride

    def forward(self, x: Tensor) -> Tensor:
        side = self.new // 2
        x = x[:, :, :: self.stride, :: self.stride]
        return nn.functional.pad(x, (0, 0, 0, 0, side, self.new - side))


class CifarResNet(nn.Module):
    """The ResNets for small images of He et al., 2016, Sec. 4.2: 6 ``blocks`` + 2 layers.

    Three stages of ``width``, 2 ``width`` and 4 ``width`` channels; ``stem_stride`` 2 halves the
    resolution at once, which makes the networks of the glyphs four times as fast.
    """

    def __init__(
        self, blocks: int, classes: int = 10, width: int = 16, stem_stride: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, stem_stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = self._stage(width, width, blocks, 1)
        self.layer2 = self._stage(width, 2 * width, blocks, 2)
        self.layer3 = self._stage(2 * width, 4 * width, blocks, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(4 * width, classes)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight)

    @staticmethod
    def _stage(before: int, width: int, blocks: int, stride: int) -> nn.Sequential:
        shortcut = _Subsample(width - before, stride) if stride > 1 else None
        first = BasicBlock(before, width, stride, shortcut)
        return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) images to (n, classes) logits."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(torch.flatten(self.avgpool(x), 1))
        return logits


def _small_densenet(classes: int, layers: int, growth: int) -> nn.Module:
    first = 2 * growth
    module = DenseNet(growth, (layers,) * 3, first, bn_size=2, num_classes=classes)
    module.features.conv0 = nn.Conv2d(3, first, 3, 2, 1, bias=False)
    module.features.pool0 = nn.Identity()  # 32 px need no second halving
    return module


def _small_mobilenet(classes: int) -> nn.Module:
    setting = [[1, 16, 1, 1], [4, 24, 2, 2], [4, 32, 2, 2], [4, 64, 2, 1]]
    return MobileNetV2(classes, 0.5, setting, dropout=0.0)


GLYPHS: dict[str, Callable[[int], nn.Module]] = {
    "resnet8": partial(CifarResNet, 1, width=8, stem_stride=2),
    "resnet14": partial(CifarResNet, 2, width=12, stem_stride=2),
    "resnet20": partial(CifarResNet, 3, width=16, stem_stride=2),
    "densenet16": partial(_small_densenet, layers=2, growth=6),
    "densenet22": partial(_small_densenet, layers=3, growth=8),
    "densenet28": partial(_small_densenet, layers=4, growth=10),
    "mobilenet_v2": _small_mobilenet,
}
"""The architectures of the embedded suite: the paper's proportions, three ResNets, three
DenseNets and one MobileNetV2, made narrow. Depth and width grow together within a family, so that
the sources differ in how well they transfer by more than the seeds of a fine-tuning do."""


def weights_folder() -> Path:
    """``HASTE_WEIGHTS``, or torch's own checkpoint folder where it is not set."""
    given = os.environ.get("HASTE_WEIGHTS")
    return Path(given).expanduser() if given else Path(torch.hub.get_dir()) / "checkpoints"


def _find(file: str, url: str | None = None) -> Path:
    """A weight file under the weights folder (in a subfolder or flat), else downloaded."""
    root = weights_folder()
    for path in (root / file, root / Path(file).name):
        if path.is_file():
            return path
    if url is None:
        raise FileNotFoundError(
            f"no weight file {file} in {root}; put it there, or set HASTE_WEIGHTS to the folder "
            "that holds it"
        )
    # torch's convention: the name carries the first digits of the file's SHA-256.
    prefix = Path(file).stem.rpartition("-")[2]
    return fetch(url, root / file, sha256=prefix)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file, float32: safetensors, or a torch file without code.

    Raises:
        ValueError: the file is cut short, not a weight file, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            state: dict[str, Any] = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise ValueError(_damaged(path, error)) from error
    except Exception as error:  # pickle's own errors, which share no base class
        if type(error).__module__ not in {"_pickle", "pickle"}:
            raise
        raise ValueError(_damaged(path, error)) from error
    state = state.get("state_dict", state)
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return {n: t.float() if t.is_floating_point() else t for n, t in state.items()}


def _damaged(path: Path, error: Exception) -> str:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"cannot read the weights in {path} ({first}); delete the file and fetch it again"


def _fill(module: nn.Module, path: Path) -> None:
    """Load a weight file into a network; ``ValueError`` where names or shapes do not fit.

    The number of classes is the file's.
    """
    state = read_state(path)
    classifier = head(module)
    outputs = state.get(f"{classifier}.bias")
    if outputs is not None and outputs.shape != module.get_submodule(classifier).bias.shape:
        replace_head(module, classifier, len(outputs))
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {path} do not fit {type(module).__name__}: "
            + "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        ) from error


def parse(name: str) -> tuple[str, str]:
    """The architecture and the weights that a source's name stands for; nothing is loaded.

    Raises:
        ValueError: no such name; lists the choices.
    """
    architecture, _, weights = name.partition("@")
    known = torchvision.models.list_models(torchvision.models)
    if not weights and "_Weights." in name:
        short = {model.replace("_", ""): model for model in known}
        builder, _, weights = name.partition("_Weights.")
        builder = builder.lower().replace("_", "")
        one_of("torchvision network", builder, short)
        architecture = short[builder]
    if not weights:
        raise ValueError(
            f"unknown source {name!r}; write architecture@weights, as in resnet20@cifar10, "
            "resnet8@glyphs, resnet50@IMAGENET1K_V2 or densenet121@imagenet/file.safetensors"
        )
    if weights == "glyphs":
        one_of("glyphs network", architecture, GLYPHS)
    elif weights == "cifar10":
        one_of("CIFAR-10 network", architecture, CIFAR10_FILES)
    else:
        one_of("torchvision network", architecture, known)
        if "." not in weights:  # not a file
            options = torchvision.models.get_model_weights(architecture).__members__
            one_of(f"weights of {architecture}", weights, [*options, "DEFAULT"])
    return architecture, weights


def load(name: str, size: int | None = None) -> Source:
    """The source of that name, at an image size (None: the weights' own).

    Raises:
        ValueError: an unknown name (lists the choices), damaged or unfitting weights.
        FileNotFoundError: the weights are not there and have no official address.
        DownloadError: they could not be downloaded.
    """
    architecture, weights = parse(name)
    with torch.random.fork_rng(devices=[]):  # the weights that are overwritten are drawn at random
        module, own = _built(architecture, weights)
    if size not in (None, own.crop):  # at another size nothing is cropped from a square image
        own = replace(own, resize=size, crop=size)
    return wrap(name, module, own)


def _built(architecture: str, weights: str) -> tuple[nn.Module, Preprocessing]:
    if weights == "glyphs":
        module = GLYPHS[architecture](2)
        _fill(module, GLYPHS_FOLDER / f"{architecture}.safetensors")
        return module, GLYPHS_INPUT
    if weights == "cifar10":
        file = CIFAR10_FILES[architecture]
        module = CifarResNet((int(architecture.removeprefix("resnet")) - 2) // 6)
        _fill(module, _find(f"cifar10/{file}", CIFAR10_URL.format(file=file)))
        return module, Preprocessing(32, 32)
    module = torchvision.models.get_model(architecture)
    own = Preprocessing(256, 224)
    if "." in weights:
        _fill(module, _find(weights))
    else:
        chosen = torchvision.models.get_model_weights(architecture)[weights]
        _fill(module, _find(chosen.url.rpartition("/")[2], chosen.url))
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
        fingerprint=digest(module.state_dict(), {"architecture": type(module).__name__}),
    )
