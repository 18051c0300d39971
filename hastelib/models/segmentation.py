"""Networks that say the class of every pixel: FCNs, a backbone under a fully convolutional head.

==========================================  ====================================================
``fcn_resnet50@COCO_WITH_VOC_LABELS_V1``    torchvision's FCN, the paper's; also ``fcn_resnet101``
``fcn_resnet50@IMAGENET1K_V2``              its backbone alone, with a new head
``fcn_resnet20@cifar10``                    a published CIFAR-10 ResNet as the backbone of a small
                                            FCN, with a new head
``fcn_resnet8@glyphs``                      the same with a small one that ships with this package
==========================================  ====================================================

A new head has not learnt anything: a source of section 5.3 is such a network trained on a set of
the suite, as in ``fcn_resnet8@glyphs+night``.

Metrics want rows with a label, and a scene has one a pixel. So that a target does not become
millions of rows that say much the same, :data:`PIXELS` of each scene are drawn, with a fixed seed,
among those that have a class; they are the same for every source and every batch size.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import datasets
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.segmentation import FCN, fcn_resnet50, fcn_resnet101

from hastelib.data.images import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from hastelib.data.scenes import IGNORE, NO_CLASS, Pictures
from hastelib.glyphs.networks import GLYPHS, CifarResNet
from hastelib.hooks import Reader, Structure, placed
from hastelib.models.catalogue import load as load_classifier
from hastelib.models.source import Source, fingerprint
from hastelib.models.weights import CIFAR10_FILES, fill, find, fit, read_state
from hastelib.suites import one_of

PIXELS = 64
"""Of each scene, in the features."""

SMALL = 64
"""The shorter side of what the small FCNs see, in pixels, where nobody says another."""

_LARGE = {"fcn_resnet50": fcn_resnet50, "fcn_resnet101": fcn_resnet101}
_WEIGHTS = {
    "glyphs": tuple(f"fcn_{name}" for name in GLYPHS if name.startswith("resnet")),
    "cifar10": tuple(f"fcn_{name}" for name in CIFAR10_FILES),
}
_MEAN_IOU_CHUNK = 64  # scenes counted at a time, which bounds the memory


@dataclass(frozen=True)
class Viewing(Preprocessing):
    """As for an image, but nothing is cropped: the shorter side becomes ``resize`` pixels.

    ``pixels`` of each scene are drawn for the features; all of them for None.
    """

    pixels: int | None = PIXELS


class SmallFCN(nn.Module):
    """A small ResNet for images as the backbone of an FCN.

    The head is torchvision's: a 3 x 3 convolution, batch normalisation, ReLU, dropout of a tenth,
    and a 1 x 1 convolution, whose output is enlarged bilinearly to the input's size. As in
    torchvision's FCNs the last stage is dilated instead of strided, with the same weights, so that
    its map is not as coarse. The head is as wide as the backbone's output.

    Args:
        backbone: gives up its classifier and its last stride.
        classes: outputs of the head.
    """

    def __init__(self, backbone: CifarResNet, classes: int) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(backbone)
        width = self.backbone.linear.in_features
        del self.backbone.linear, self.backbone.avgpool
        for name, part in self.backbone.layer3.named_modules():
            if isinstance(part, nn.Conv2d):
                first = name == "0.conv1"  # what feeds it is not strided yet
                part.stride = (1, 1)
                part.dilation = part.padding = (1, 1) if first else (2, 2)
        self.backbone.layer3[0].downsample.stride = 1  # type: ignore[assignment]
        self.classifier = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(width, classes, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) images to (n, classes, h, w) logits."""
        part, size = self.backbone, x.shape[-2:]
        x = part.relu(part.bn1(part.conv1(x)))
        logits = self.classifier(part.layer3(part.layer2(part.layer1(x))))
        return nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class SegmentationSource(Source):
    """An FCN as a source; its accuracy is the mean intersection over union.

    A row of its features is a pixel: the embedding, the input of the last convolution, and the
    logits are read bilinearly at the pixel's place, so that the probabilities are those of the
    enlarged output. The stages are the backbone's but the first, averaged over the scene.
    """

    unit: ClassVar[str] = "scene"

    @property
    def structure(self) -> Structure:  # type: ignore[override]
        """The last convolution, and the stages of the backbone but the first."""
        last = 4 if isinstance(self.module, FCN) else 3
        return Structure("classifier.4", tuple(f"backbone.layer{i}" for i in range(2, last + 1)))

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What :meth:`read` depends on."""
        return self.preprocessing.resize, self.preprocessing.interpolation

    def read(self, data: datasets.Dataset, name: str) -> Pictures:
        """A split as this network sees it."""
        want = self.preprocessing
        return Pictures(data, want.resize, want.interpolation, name)

    def logits(self, module: nn.Module, batch: Any) -> Tensor:
        """(n, c, h, w) logits of a module like this source's."""
        found = module(self.inputs(batch))
        logits: Tensor = found["out"] if isinstance(found, dict) else found
        return logits

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
        maps = {name: found.pop(name) for name in ("embedding", "logits")}
        drawn = [
            draw(mask, self.preprocessing.pixels, generator) for mask in labels.cpu().flatten(1)
        ]
        counts = torch.tensor([len(places) for places in drawn])
        sample = torch.repeat_interleave(torch.arange(len(drawn)), counts)
        rows: dict[str, list[Tensor]] = {name: [] for name in maps}
        for i, places in enumerate(drawn):
            for name, values in maps.items():
                rows[name].append(read_at(values[i], places, labels.shape[-2:]))
        places, sample = torch.cat(drawn).to(labels.device), sample.to(labels.device)
        return found | {
            "embedding": torch.cat(rows["embedding"]),
            "probs": torch.cat(rows["logits"]).softmax(1),
            "labels": labels.flatten(1)[sample, places],
            "sample": sample,
        }

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
        pixels: how many; all that have a class where there are not so many, or for None.
        generator: uses up as many random numbers as the scene has pixels, whatever is drawn.
    """
    there = (mask != NO_CLASS).nonzero()[:, 0]
    if pixels is None:
        return there
    order = torch.rand(len(mask), generator=generator)[there].argsort(stable=True)
    return there[order[:pixels]].sort().values


def read_at(values: Tensor, places: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """A map read bilinearly at pixels, as if it were enlarged to the pixels' image.

    Args:
        values: (d, h', w').
        places: (k,) indices into the h w pixels.
        size: (h, w).

    Returns:
        (k, d).
    """
    high, wide = size
    places = places.to(values.device)
    # The pixels' centres, in coordinates that run from -1 to 1 between the image's edges.
    x = (2 * (places % wide) + 1) / wide - 1
    y = (2 * (places // wide) + 1) / high - 1
    grid = torch.stack((x, y), -1)[None, None].to(values.dtype)
    found = nn.functional.grid_sample(
        values[None].contiguous(), grid, "bilinear", "border", align_corners=False
    )
    return found[0, :, 0].T.contiguous()


def iou(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The intersection over union of every class, over the pixels of all scenes that have a class.

    Args:
        predicted: (n, h, w) class indices.
        labels: (n, h, w) class indices, 255 where a pixel has none.
        classes: how many there are.

    Returns:
        (classes,) float64; NaN for a class that neither occurs nor is predicted.

    Raises:
        ImportError: ``torchmetrics`` is not installed.
    """
    try:
        from torchmetrics.classification import MulticlassConfusionMatrix
    except ImportError as error:
        raise ImportError(
            "the mean intersection over union needs torchmetrics: "
            "pip install 'hastelib[segmentation]'"
        ) from error
    counted = MulticlassConfusionMatrix(classes, ignore_index=IGNORE, validate_args=False)
    for some, truth in zip(
        predicted.split(_MEAN_IOU_CHUNK), labels.split(_MEAN_IOU_CHUNK), strict=True
    ):
        counted.update(some.long(), truth.long())
    table = counted.compute().double()
    both = table.diagonal()
    return both / (table.sum(0) + table.sum(1) - both)


def mean_iou(predicted: Tensor, labels: Tensor, classes: int) -> float:
    """The mean of :func:`iou` over the classes that occur or are predicted."""
    return iou(predicted, labels, classes).nanmean().item()


def check(architecture: str, weights: str) -> None:
    """Refuse what is no FCN, or weights that it does not have; nothing is loaded.

    Raises:
        ValueError: lists the choices.
    """
    one_of("FCN", architecture, {*_LARGE, *_WEIGHTS["glyphs"], *_WEIGHTS["cifar10"]})
    choices = [name for name, having in _WEIGHTS.items() if architecture in having]
    if architecture in _LARGE:
        choices = [*_members(architecture), *_members(architecture.removeprefix("fcn_"))]
    one_of(f"weights of {architecture}", weights, choices)


def _members(architecture: str) -> Any:
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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a new head is part of what the name stands for
        if architecture in _LARGE:
            module, own = _large(architecture, weights)
        else:
            classifier = load_classifier(f"{architecture.removeprefix('fcn_')}@{weights}")
            assert isinstance(classifier.module, CifarResNet)
            module, seen = SmallFCN(classifier.module, 2), classifier.preprocessing
            own = Viewing(SMALL, SMALL, seen.mean, seen.std)
    wanted = size or own.resize
    module = placed(module.eval())
    seen = replace(own, resize=wanted, crop=wanted)
    return SegmentationSource(name, module, seen, fingerprint(module), weights.startswith("COCO"))


def _large(architecture: str, weights: str) -> tuple[nn.Module, Viewing]:
    if weights in _members(architecture):
        chosen = torchvision.models.get_model_weights(architecture)[weights]
        classes = len(chosen.meta["categories"])
        module = _LARGE[architecture](
            weights=None, weights_backbone=None, num_classes=classes, aux_loss=True
        )
        path = find(chosen.url.rpartition("/")[2], chosen.url)
        fit(module, read_state(path), path)
        preset = chosen.transforms()
        own = Viewing(
            preset.resize_size[0],
            preset.resize_size[0],
            tuple(preset.mean),
            tuple(preset.std),
            preset.interpolation.value,
        )
    else:
        plain = architecture.removeprefix("fcn_")
        chosen = torchvision.models.get_model_weights(plain)[weights]
        classifier = torchvision.models.get_model(plain)
        fill(classifier, find(chosen.url.rpartition("/")[2], chosen.url))
        module = _LARGE[architecture](weights=None, weights_backbone=None, num_classes=2)
        state = classifier.state_dict()
        module.backbone.load_state_dict({n: state[n] for n in module.backbone.state_dict()})
        own = Viewing(520, 520, IMAGENET_MEAN, IMAGENET_STD)
    module.aux_classifier = None  # of the pre-training; the paper's loss is one cross-entropy
    return module, own
