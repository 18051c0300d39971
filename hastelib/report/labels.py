"""What names in the rows are called in tables and figures."""

from __future__ import annotations

import re

METRICS = {
    "leep": "LEEP",
    "nce": "NCE",
    "gbc": "GBC",
    "logme": "LogME",
    "logme_fixed_point": "LogME, fixed point",
    "h_score": "H-score",
    "transrate": "TransRate",
    "n_leep": "N-LEEP",
    "ms_leep": "MS-LEEP",
    "e_leep": "E-LEEP",
}
VARIANTS = {
    "all": "Baseline",
    "random": "Random",
    "ca": "CA",
    "cs": "CS",
    "haste": "HASTE",
}
STATISTICS = {
    "pearson": "Pearson’s r",
    "spearman": "Spearman’s ρ",
    "kendall": "Kendall’s τ",
    "weighted_kendall": "weighted Kendall’s τ",
}
FAMILIES = {
    "resnet": "ResNet",
    "resnext": "ResNeXt",
    "densenet": "DenseNet",
    "mobilenet": "MobileNet",
    "squeezenet": "SqueezeNet",
    "vgg": "VGG",
    "bert": "BERT",
}


def metric(name: str) -> str:
    """``h_score`` is called H-score."""
    return METRICS.get(name, plain(name))


def variant(name: str) -> str:
    """``all`` is called Baseline, ``stochastic_1%`` Stochastic 1%."""
    return VARIANTS.get(name, plain(name).capitalize())


def plain(name: str) -> str:
    """A name without underscores."""
    return name.replace("_", " ")


def source(name: str) -> str:
    """The architecture: ``resnet20@cifar10`` and ``ResNet50_Weights.V2`` without what follows.

    What a source was further trained on stays: ``resnet14@glyphs+greek`` is resnet14+greek.
    """
    base, *taught = name.split("+")
    return "+".join([re.split(r"@|_Weights\b", base, maxsplit=1)[0], *taught])


def family(name: str) -> str:
    """The family of an architecture: ``resnet20@cifar10`` is a ResNet."""
    letters = re.match(r"[A-Za-z]*", source(name))
    word = letters.group() if letters else ""
    return FAMILIES.get(word.lower(), word or name)


def member(name: str) -> str:
    """What tells a source from its family's others: 20 for ``resnet20@cifar10``."""
    return re.sub(r"^[A-Za-z]+[_-]?", "", source(name)) or source(name)
