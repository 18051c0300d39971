"""Networks that say the class of every pixel: FCNs, a backbone under a fully convolutional head.

Metrics want rows with a label. Of the millions of pixels that say much the same 64 of each scene
are drawn among those that have a class, the same for every source and every batch size.
"""

import copy
from dataclasses import dataclass
from typing import Any

import datasets
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation import FCN

from hastelib.data.images import Images, Preprocessing
from hastelib.data.scenes import NO_CLASS, SceneBatches
from hastelib.hooks import Structure, placed
from hastelib.models.files import fill, of_torchvision
from hastelib.models.source import Source

PIXELS = 64  # of each scene, in the features
SMALL = 64  # the shorter side of what the small FCNs see, in pixels, where nobody says another


def small_fcn(classifier: nn.Module) -> FCN:
    """An FCN whose backbone is a small ResNet without its classifier and last stride.

    As in torchvision's FCNs the last stage is dilated instead, with the same weights, and the head
    is a 3 x 3 convolution (here as wide as the backbone's output) and a 1 x 1 convolution.
    """
    backbone: Any = copy.deepcopy(classifier)
    width = backbone.linear.in_features
    for name, layer in backbone.layer3.named_modules():
        if isinstance(layer, nn.Conv2d):
            first = name == "0.conv1"  # what feeds it is not strided yet
            layer.stride = (1, 1)
            layer.dilation = layer.padding = (1, 1) if first else (2, 2)
    backbone.layer3[0].downsample.stride = 1
    head = nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Conv2d(width, 2, 1),
    )
    return FCN(IntermediateLayerGetter(backbone, {"layer3": "out"}), head)


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


class _Coarse(FCN):
    """An FCN without the enlargement of its output, which of 1,000 classes takes gigabytes."""

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.backbone(x)["out"])


def convolutional(classifier: Source) -> FCN:
    """A classifier at every position: its linear layer becomes a 1 x 1 convolution with the same
    weights (Long et al., 2015, Sec. 3.1)."""
    network: Any = copy.deepcopy(classifier.module)
    linear = network.get_submodule(classifier.structure.head)
    head = nn.Conv2d(linear.weight.shape[1], linear.weight.shape[0], 1)
    head.load_state_dict({"weight": linear.weight.view_as(head.weight), "bias": linear.bias})
    network.classifier = nn.Identity()  # all of them call it so
    return FCN(Trunk(network, classifier.structure.layers), head)


@dataclass(frozen=True)
class SegmentationSource(Source):
    """An FCN as a source; a row of its features is a pixel.

    Embedding and logits are read bilinearly at the pixel's place, so that the probabilities are
    those of the enlarged output. The stages are averaged over the scene. ``pixels`` of each scene
    are drawn; all of them for None.
    """

    pixels: int | None = PIXELS

    @property
    def structure(self) -> Structure:
        """The last convolution, and the stages of the backbone but the first."""
        backbone: Any = self.module.backbone
        if isinstance(backbone, Trunk):
            return Structure("classifier", backbone.layers, maps=True)
        stages = [f"backbone.{name}" for name in backbone if name.startswith("layer")]
        return Structure("classifier.4", tuple(stages[1:]), maps=True)

    def read(self, data: datasets.Dataset, name: str) -> Images:
        """A split as this network sees it: scenes resized, not cropped.

        Images without masks, which its signature is made from, become squares.
        """
        if "mask" not in data.column_names:
            return Images(data, self.preprocessing, name)
        return SceneBatches(data, self.preprocessing.resize, self.preprocessing.interpolation, name)

    def taps(self, batch: Any) -> dict[str, Tensor]:
        """``embedding`` and ``logits`` as the head has them, and ``layer.NAME``."""
        coarse = _Coarse(self.module.backbone, self.module.classifier)
        return self.structure.read(coarse, self.inputs(batch))

    def outputs(
        self, found: dict[str, Tensor], labels: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The rows of a batch of scenes, one a drawn pixel, in the order of the scenes."""
        masks = labels.cpu().flatten(1)
        drawn = [draw(mask, self.pixels, generator) for mask in masks]
        for name in ("embedding", "logits"):
            pairs = zip(found[name], drawn, strict=True)
            found[name] = torch.cat([read_at(*pair, labels.shape[-2:]) for pair in pairs])
        sample = torch.cat([torch.full_like(places, row) for row, places in enumerate(drawn)])
        rows = masks[sample, torch.cat(drawn)]
        return super().outputs(found, rows, generator) | {"sample": sample}


def draw(mask: Tensor, pixels: int | None, generator: torch.Generator) -> Tensor:
    """Places of at most so many pixels (of all for None), ascending, that have a class.

    ``mask`` is (h w,), -100 where there is none. The ``generator`` uses up as many random numbers
    as the scene has pixels, whatever is drawn.
    """
    labelled = (mask != NO_CLASS).nonzero()[:, 0]
    order = torch.rand(len(mask), generator=generator)[labelled].argsort(stable=True)
    return labelled[order[:pixels]].sort().values


def read_at(values: Tensor, places: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """A map (d, h', w') read bilinearly at pixels, as if it were enlarged to their image.

    ``places`` are (k,) indices into the h w pixels of an image of ``size`` (h, w); gives (k, d).
    """
    height, width = size
    places = places.to(values.device)
    # The pixels' centres, in coordinates that run from -1 to 1 between the image's edges.
    x = (2 * (places % width) + 1) / width - 1
    y = (2 * (places // width) + 1) / height - 1
    grid = torch.stack((x, y), -1)[None, None].to(values.dtype)
    values = values[None].contiguous()
    sampled = nn.functional.grid_sample(values, grid, padding_mode="border", align_corners=False)
    return sampled[0, :, 0].T.contiguous()


def load(
    name: str, architecture: str, weights: str, size: int | None, classifier: Source | None
) -> SegmentationSource:
    """The FCN of that name, whose shorter side is ``size`` pixels; errors as for an image's.

    It is made from the ``classifier`` where there is one. For None the size is the weights' own.
    """
    torch.manual_seed(0)  # in the caller's fork: a new head is part of what the name stands for
    if classifier:
        base, learnt = classifier.preprocessing, weights == "pocket"
        preset = Preprocessing(SMALL, SMALL, base.mean, base.std, base.interpolation)
        module: Any = convolutional(classifier) if learnt else small_fcn(classifier.module)
    else:
        preset, learnt = Preprocessing(520, 520), True
        _, path = of_torchvision(architecture, weights)
        module = torchvision.models.get_model(architecture, weights_backbone=None, aux_loss=True)
        module = fill(module, path)
        module.aux_classifier = None  # of the pre-training; the paper's loss has one term
    return SegmentationSource(name, placed(module.eval()), preset.at(size or preset.resize), learnt)
