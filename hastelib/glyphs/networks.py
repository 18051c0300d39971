"""The embedded networks: ResNets for small images, narrow DenseNets, a narrow MobileNetV2."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.densenet import DenseNet
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.resnet import BasicBlock

from hastelib.data.images import Preprocessing

GLYPHS_FOLDER = Path(__file__).with_name("weights")
GLYPHS_INPUT = Preprocessing(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class _Subsample(nn.Module):
    """The parameter-free shortcut (option A) of He et al., 2016: every second pixel, and zeros
    for the new channels, half of them on either side."""

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x: Tensor) -> Tensor:
        side = self.extra // 2
        x = x[:, :, :: self.stride, :: self.stride]
        return nn.functional.pad(x, (0, 0, 0, 0, side, self.extra - side))


class CifarResNet(nn.Module):
    """The ResNets for small images of He et al., 2016, Sec. 4.2: 6 ``blocks`` + 2 layers.

    Of three stages the first has ``width`` channels; ``stem_stride`` 2 halves the resolution first.
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
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    @staticmethod
    def _stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
        shortcut = _Subsample(width - inputs, stride) if stride > 1 else None
        first = BasicBlock(inputs, width, stride, shortcut)
        return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) images to (n, classes) logits."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(torch.flatten(self.avgpool(x), 1))


def _small_densenet(classes: int, layers: int, growth: int) -> nn.Module:
    channels = 2 * growth
    module = DenseNet(growth, (layers,) * 3, channels, bn_size=2, num_classes=classes)
    module.features.conv0 = nn.Conv2d(3, channels, 3, 2, 1, bias=False)
    module.features.pool0 = nn.Identity()  # 32 px need no second halving
    return module


# Expansion, channels, number of blocks and stride of each stage.
_MOBILENET = [[1, 16, 1, 1], [4, 24, 2, 2], [4, 32, 2, 2], [4, 64, 2, 1]]
GLYPHS: dict[str, Callable[[int], nn.Module]] = {
    "resnet8": partial(CifarResNet, 1, width=8, stem_stride=2),
    "resnet14": partial(CifarResNet, 2, width=12, stem_stride=2),
    "resnet20": partial(CifarResNet, 3, width=16, stem_stride=2),
    "densenet16": partial(_small_densenet, layers=2, growth=6),
    "densenet22": partial(_small_densenet, layers=3, growth=8),
    "densenet28": partial(_small_densenet, layers=4, growth=10),
    "mobilenet_v2": partial(
        MobileNetV2, width_mult=0.5, inverted_residual_setting=_MOBILENET, dropout=0.0
    ),
}
"""Architectures in the paper's proportions. Depth and width grow together within a family, so that
sources differ in how well they transfer by more than the seeds of a fine-tuning do."""
