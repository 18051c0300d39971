"""Networks by name: architecture, weights, preprocessing, and the layers to tap.

A source is named ``architecture@weights``:

========================================  ==================================================
``resnet50@IMAGENET1K_V2``                torchvision's, any architecture and any of its weights
``ResNet50_Weights.IMAGENET1K_V2``        the same, by torchvision's own id
``resnet20@cifar10``                      the published CIFAR-10 ResNets, 20, 32, 44 and 56
``resnet8@glyphs``                        the small ones that ship with this package
``densenet121@imagenet/x.safetensors``    a file under ``HASTE_WEIGHTS`` in torchvision's layout
========================================  ==================================================

Any other network goes by the name it has in :data:`SOURCES`, see :mod:`hastelib.plugins`.

Which layers to tap follows from the network's own structure, see :func:`stages`.
"""

from hastelib.data import Preprocessing
from hastelib.glyphs.networks import GLYPHS, GLYPHS_FOLDER, GLYPHS_INPUT, CifarResNet
from hastelib.models.load import SOURCES, Source, load, parse, wrap
from hastelib.models.structure import head, placed, replace_head, stages
from hastelib.models.weights import CIFAR10_FILES, read_state, weights_folder

__all__ = [
    "CIFAR10_FILES",
    "GLYPHS",
    "GLYPHS_FOLDER",
    "GLYPHS_INPUT",
    "SOURCES",
    "CifarResNet",
    "Preprocessing",
    "Source",
    "head",
    "load",
    "parse",
    "placed",
    "read_state",
    "replace_head",
    "stages",
    "weights_folder",
    "wrap",
]
