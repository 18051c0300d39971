"""The dry run of a section: what it would download, extract and fine-tune, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torchvision
from torch import nn

from hastelib import models
from hastelib.data import MissingDataError, data_folder
from hastelib.data.base import LEAST
from hastelib.data.official import SETS
from hastelib.data.scenes import STEP
from hastelib.features import autocast, default_device, kernels
from hastelib.finetune import describe
from hastelib.grid import Grid, signature_file, taught_on
from hastelib.hooks import call, placed, tensor
from hastelib.models.language import TextClassifier
from hastelib.models.weights import needed
from hastelib.suites import Recipe, Suite

PROBE = 4
"""Samples of a probe on a processor; on a GPU it is a batch of the recipe."""


@dataclass
class _Work:
    """What one architecture has to do: samples forward and in training, fine-tunings."""

    forward: float = 0
    trained: float = 0
    tunings: int = 0


def plan(grid: Grid, pairs: Mapping[str, Sequence[str]], subsets: int = 0) -> None:
    """Print what a section would do, and end the notebook well (``SystemExit``).

    Time and memory are estimated by a probe: a few batches of noise on this machine, forward and
    in training, through each network with random weights. Reading and decoding come on top.

    Args:
        grid: of the section.
        pairs: source -> its targets.
        subsets: class subsets of a target, as large as they are on average; 0 for the whole.
    """
    suite = grid.suite
    unit = "texts" if suite.tokens else "scenes" if "fcn" in suite.sources[0] else "images"
    work, lines = dict[str, _Work](), list[str]()
    sizes = {name: _size(grid, name) for name in _needed(pairs)}
    share, times = (1, 1) if not subsets else ((1 + LEAST) / 2, subsets)
    for source, targets in pairs.items():
        base, taught = taught_on(source)
        one = work.setdefault(base, _Work())
        if taught:
            train, test = sizes[taught]
            one.tunings += 1
            one.trained += train * (suite.pretraining or suite.recipe).epochs
            one.forward += train + test
        for train, test in (sizes[target] for target in targets):
            tunings = times * len(suite.seeds)
            one.tunings += tunings
            one.trained += tunings * share * train * suite.recipe.epochs
            one.forward += train + tunings * share * test
    ...
