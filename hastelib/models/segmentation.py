"""Networks that say the class of every pixel: FCNs, a backbone under a fully convolutional head.

Metrics want rows with a label. So that a target does not become millions of rows that say much the
same, :data:`PIXELS` of each scene are drawn, with a fixed seed, among those that have a class; they
are the same for every source and every batch size.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import datasets
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation import FCN

from hastelib.data.images import Preprocessing
from hastelib.data.scenes import IGNORE, NO_CLASS, Pictures
from hastelib.glyphs.networks import GLYPHS, CifarResNet
from hastelib.hooks import Reader, Structure, placed
from hastelib.models.catalogue import POCKET
from hastelib.models.catalogue import load as load_classifier
from hastelib.models.source import Source, fingerprint
from hastelib.models.weights import fill, needed, of_torchvision
from hastelib.suites import one_of

PIXELS = 64
"""Of each scene, in the features."""

SMALL = 64
"""The shorter side of what the small FCNs see, in pixels, where nobody says another."""

_LARGE = ("fcn_resnet50", "fcn_resnet101")
_SMALL = {
    "glyphs": [f"fcn_{name}" for name in GLYPHS if name.startswith("resnet")],
    "pocket": [f"fcn_{name}" for name in POCKET],
}
_CHUNK = 64  # scenes counted at a time, which bounds the memory


@dataclass(frozen=True)
class Viewing(Preprocessing):
    """As for an image, but nothing is cropped: the shorter side becomes ``resize`` pixels.

    ``pixels`` of each scene are drawn for the features; all of them for None.
    """

    pixels: int | None = PIXELS


def small_fcn(classifier: CifarResNet, classes: int) -> FCN:
    """An FCN whose backbone is a small ResNet without its classifier and last stride.

    As in torchvision's FCNs the last stage is dilated instead of strided, with the same weights,
    and the head is a 3 x 3 convolution (here as wide as the backbone's output), batch
    normalisation, ReLU, dropout of a tenth, and a 1 x 1 convolution to ``classes``, which is
    enlarged bilinearly to the input's size.
    """
    small: Any = copy.deepcopy(classifier)
    width = small.linear.in_features
    for name, part in small.layer3.named_modules():
        if isinstance(part, nn.Conv2d):
            first = name == "0.conv1"  # what feeds it is not strided yet
            part.stride = (1, 1)
            part.dilation = part.padding = (1, 1) if first else (2, 2)
    small.layer3[0].downsample.stride = 1
    head = nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Conv2d(width, classes, 1),
    )
    return FCN(IntermediateLayerGetter(small, {"layer3": "out"}), head)


class Trunk(nn.Module):
    """A classifier of images up to its last map, as the backbone of an FCN; ``layers`` to tap."""

    def __init__(self, network: nn.Module, layers: tuple[str, ...]) -> None:
        super().__init__()
        self.network: Any = network
        self.layers = tuple(f"backbone.network.{name}" for name in layers)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """The last map (n, d, h', w'), as ``out``."""
        if hasattr(self.network, "forward_features"):  # timm's
            return {"out": self.network.forward_features(x)}
        return {"out": self.network.features(x).relu()}


def convolutional(classifier: Source) -> FCN:
    """A classifier that says the class at every position (Long et al., 2015, Sec. 3.1).

    Its linear layer becomes a 1 x 1 convolution with the same weights, whose map is enlarged
    bilinearly to the input's size.
    """
    network: Any = copy.deepcopy(classifier.module)
    read = classifier.structure
    assert read.head is not None
    old = network.get_submodule(read.head)
    head = nn.Conv2d(old.weight.shape[1], old.weight.shape[0], 1)
    head.load_state_dict({"weight": old.weight.view_as(head.weight), "bias": old.bias})
    network.classifier = nn.Identity()  # all of them call it so
    return FCN(Trunk(network, read.layers), head)


@dataclass(frozen=True)
class SegmentationSource(Source):
    """An FCN as a source; its accuracy is the mean intersection over union.

    A row of its features is a pixel: the embedding, the input of the last convolution, and the
    logits are read bilinearly at the pixel's place, so that the probabilities are those of the
    enlarged output. The stages are the backbone's but the first, averaged over the scene.
    """

    unit: ClassVar[str] = "scene"

    @property
    def structure(self) -> Structure:
        """The last convolution, and the stages of the backbone but the first."""
        backbone: Any = self.module.backbone
        if isinstance(backbone, Trunk):
            return Structure("classifier", backbone.layers)
        stages = [f"backbone.{name}" for name in backbone if name.startswith("layer")]
        return Structure("classifier.4", tuple(stages[1:]))

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What :meth:`read` depends on."""
        return self.preprocessing.resize, self.preprocessing.interpolation

    def read(self, data: datasets.Dataset, name: str) -> Pictures:
        """A split as this network sees it."""
        want = self.preprocessing
        return Pictures(data, want.resize, want.interpolation, name)

    def reader(self) -> Reader:
        """The module, its embedding and logits as the maps (n, d, h', w') that they are."""
        return Reader(self.module, self.structure, maps=True)

    def with_pixels(self, pixels: int | None) -> SegmentationSource:
        """The same source with another number of pixels a scene; all of them for None."""
        return replace(self, preprocessing=replace(self.preprocessing, pixels=pixels))

    def outputs(
        self, found: dict[str, Tensor], labels: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The rows of a batch of scenes, one a drawn pixel, in the order of the scenes."""
        masks = labels.cpu().flatten(1)
        drawn = [draw(mask, self.preprocessing.pixels, generator) for mask in masks]
        for name in ("embedding", "logits"):
            pairs = zip(found[name], drawn, strict=True)
            found[name] = torch.cat([read_at(*pair, labels.shape[-2:]) for pair in pairs])
        counts = torch.tensor([len(places) for places in drawn])
        sample = torch.arange(len(drawn)).repeat_interleave(counts).to(labels.device)
        rows = labels.flatten(1)[sample, torch.cat(drawn).to(labels.device)]
        return super().outputs(found, rows, generator) | {"sample": sample}

    def predicted(self, logits: Tensor) -> Tensor:
        """The predicted class of each pixel, (n, h, w) bytes."""
        return logits.argmax(1).to(torch.uint8)

    def accuracy(self, predicted: Tensor, labels: Tensor, classes: int) -> float:
        """The mean intersection over union, see :func:`mean_iou`."""
        return mean_iou(predicted, labels, classes)


def draw(mask: Tensor, pixels: int | None, generator: torch.Generator) -> Tensor:
    """Places of a scene's pixels, ascending, drawn among those that have a class.

    Args:
        mask: (h w,) labels, :data:`NO_CLASS` where there is none.
        pixels: how many at most; all of them for None.
        generator: uses up as many random numbers as the scene has pixels, whatever is drawn.
    """
    there = (mask != NO_CLASS).nonzero()[:, 0]
    if pixels is None:
        return there
    order = torch.rand(len(mask), generator=generator)[there].argsort(stable=True)
    return there[order[:pixels]].sort().values


def read_at(values: Tensor, places: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """A map (d, h', w') read bilinearly at pixels, as if it were enlarged to their image.

    ``places`` are (k,) indices into the h w pixels of an image of ``size`` (h, w); gives (k, d).
    """
    high, wide = size
    places = places.to(values.device)
    # The pixels' centres, in coordinates that run from -1 to 1 between the image's edges.
    x = (2 * (places % wide) + 1) / wide - 1
    y = (2 * (places // wide) + 1) / high - 1
    grid = torch.stack((x, y), -1)[None, None].to(values.dtype)
    values = values[None].contiguous()
    found = nn.functional.grid_sample(values, grid, padding_mode="border", align_corners=False)
    return found[0, :, 0].T.contiguous()


def iou(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The intersection over union of every class, over the pixels of all scenes that have a class.

    Args:
        predicted: (n, h, w) class indices.
        labels: (n, h, w) class indices, 255 where a pixel has none.
        classes: how many there are.

    Returns:
        (classes,) float64; NaN for a class that neither occurs nor is predicted.
    """
    count = needed("torchmetrics.functional.classification", "segmentation")
    table = sum(
        count.multiclass_confusion_matrix(
            some.long(), truth.long(), classes, ignore_index=IGNORE, validate_args=False
        )
        for some, truth in zip(predicted.split(_CHUNK), labels.split(_CHUNK), strict=True)
    )
    both = table.diagonal().double()
    return both / (table.sum(0) + table.sum(1) - both)


def mean_iou(predicted: Tensor, labels: Tensor, classes: int) -> float:
    """The mean of :func:`iou` over the classes that occur or are predicted."""
    return iou(predicted, labels, classes).nanmean().item()


def check(architecture: str, weights: str) -> None:
    """``ValueError`` with the choices for what is no FCN, or weights that it does not have."""
    one_of("FCN", architecture, [*_LARGE, *_SMALL["glyphs"], *_SMALL["pocket"]])
    choices = [name for name, having in _SMALL.items() if architecture in having]
    if architecture in _LARGE:
        choices = [*_published(architecture), *_published(architecture.removeprefix("fcn_"))]
    one_of(f"weights of {architecture}", weights, choices)


def _published(architecture: str) -> Any:
    return torchvision.models.get_model_weights(architecture).__members__


def load(name: str, size: int | None = None) -> SegmentationSource:
    """The FCN of that name.

    Args:
        name: ``architecture@weights``.
        size: pixels of the shorter side; the weights' own, or :data:`SMALL`, for None.

    Raises:
        ValueError: an unknown name, or damaged weights.
        DownloadError: the weights could not be downloaded.
    """
    architecture, _, weights = name.partition("@")
    check(architecture, weights)
    plain = architecture.removeprefix("fcn_")
    whole = architecture in _LARGE and weights in _published(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a new head is part of what the name stands for
        if architecture in _LARGE:
            module, own = _large(plain, weights, whole), Viewing(520, 520)
        else:
            classifier = load_classifier(f"{plain}@{weights}")
            small, seen = classifier.module, classifier.preprocessing
            whole = not isinstance(small, CifarResNet)
            module = (
                small_fcn(small, 2) if isinstance(small, CifarResNet) else convolutional(classifier)
            )
            own = Viewing(SMALL, SMALL, seen.mean, seen.std, seen.interpolation)
    module, wanted = placed(module.eval()), size or own.resize
    seen = replace(own, resize=wanted, crop=wanted)
    return SegmentationSource(name, module, seen, fingerprint(module), whole)


def _large(plain: str, weights: str, whole: bool) -> nn.Module:
    chosen, path = of_torchvision(f"fcn_{plain}" if whole else plain, weights)
    module = torchvision.models.get_model(
        f"fcn_{plain}",
        weights_backbone=None,
        num_classes=len(chosen.meta["categories"]) if whole else 2,
        aux_loss=whole,
    )
    if whole:
        fill(module, path)
        module.aux_classifier = None  # of the pre-training; the paper's loss is one cross-entropy
    else:
        classifier = torchvision.models.get_model(plain)
        fill(classifier, path)
        module.backbone.load_state_dict(classifier.state_dict(), strict=False)
    return module
