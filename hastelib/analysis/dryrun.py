"""The dry run of a section: what it would download, extract and fine-tune, and for how long."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd
import torch
import torchvision
from torch import Tensor, nn

from hastelib import models
from hastelib.data.base import LEAST, MissingDataError, data_folder
from hastelib.data.official import SETS, Official
from hastelib.data.scenes import STEP
from hastelib.features import autocast, default_device, kernels
from hastelib.finetune import describe, optimiser_of
from hastelib.grid import Grid, signature_paths, taught_on
from hastelib.hooks import call, placed, tensor
from hastelib.models.language import TextClassifier
from hastelib.models.source import needed
from hastelib.suites import Suite

PROBE = 4
"""Samples in a batch of the probe on a processor; on a GPU it is the recipe's."""


def plan(grid: Grid, pairs: Mapping[str, Sequence[str]], subsets: int = 0) -> None:
    """Print what a section would do, and end its notebook well (``SystemExit``).

    Nothing is downloaded. Time and memory are estimated with a few batches of noise in every
    network, with random weights, on this machine. Reading and decoding come on top; what is in the
    cache is counted all the same.

    Args:
        grid: of the section.
        pairs: source -> its targets.
        subsets: class subsets of a target, of the mean size; 0 for the whole target.
    """
    suite, device = grid.suite, default_device()
    often, share = len(suite.seeds) * (subsets or 1), (1 + LEAST) / 2 if subsets else 1.0
    work: list[tuple[str, str | None, int, float, float]] = []  # network, data, tunings, samples
    sets: dict[str | None, tuple[str, float, float]] = {}

    def add(source: str, target: str | None, tunings: int, epochs: int, part: float = 1) -> None:
        """Extraction of a train split, and so many fine-tunings on it with their tests."""
        if target not in sets:
            sets[target] = _set(grid, target)
        _, train, test = sets[target]
        samples = tunings * part * train * epochs, train + tunings * part * test
        work.append((source, target, tunings, *samples))

    for source, targets in pairs.items():
        base, taught = taught_on(source)
        if taught:
            add(base, taught, 1, (suite.pretraining or suite.recipe).epochs)
        for target in targets:
            add(base, target, often, suite.recipe.epochs, share)
    ranker, signature = suite.hardness.source, "of each source's own set"
    if any(taught_on(source)[1] is None for source in pairs):
        signature = ", ".join(map(str, signature_paths(ranker)[:1]))
        if not signature and not _set(grid, None)[0]:
            signature = f"made of the source data by {ranker}"
            add(ranker, None, 0, 0)

    found = pd.DataFrame(work, columns=["network", "data", "tunings", "trained", "forward"])
    found = found.groupby("network", sort=False).sum(numeric_only=True)
    probes = {base: _probe(base, suite, device) for base in found.index}
    speed = pd.DataFrame(probes, ["trained/s", "forward/s", "GiB"]).T
    hours = found["trained"] / speed["trained/s"] + found["forward"] / speed["forward/s"]
    found = found.join(speed).assign(hours=hours / 3600)
    data = [f"{name or 'source data'} {gone}" for name, (gone, *_) in sets.items() if gone]
    unknown = [name or "source data" for name, (_, train, _) in sets.items() if math.isnan(train)]
    weights = [one for one in map(_weights, found.index) if one]
    print(  # noqa: T201
        f"Plan of suite {suite.name} (a dry run: nothing is done)",
        f"data to download: {', '.join(data) or 'none'}",
        f"weights to download: {', '.join(weights) or 'none'}",
        f"signature: {signature or 'none, so CA has no scores'}",
        f"{found['tunings'].sum():,.0f} fine-tunings, about {found['hours'].sum():,.2f} h on "
        f"{describe(device)}, without reading and decoding; memory for batches of "
        f"{suite.recipe.batch_size}: {found['GiB'].max():.1f} GiB",
        f"not counted, since their sizes are unknown: {', '.join(unknown) or 'none'}",
        found.to_string(formatters=[*["{:,.0f}".format] * 3, *["{:,.1f}".format] * 4]),
        sep="\n",
    )
    raise SystemExit(0)


def _set(grid: Grid, target: str | None) -> tuple[str, float, float]:
    """What is to be fetched of a set, empty where it is here or drawn; its splits' samples or NaN.

    None is the source data.
    """
    spec: Any = grid.suite.source_data if target is None else grid.suite.target(target)
    of = SETS.get(spec.name) if isinstance(spec, Official) else None
    kept: Any = of.read if of else spec
    absent = ""
    if spec is None:
        absent = "named by no suite"
    elif hub := getattr(kept, "hub", None):
        absent = "" if (data_folder() / kept.train).exists() else f"from {hub}"
    elif of and (
        (files := [f for f in of.files if f.missing(spec.root)]) or not spec.root.is_dir()
    ):
        size = sum(file.size or 0 for file in files)
        absent = f"{size / 1e9:.2f} GB" if size else "of no published size"
        absent += "" if files and all(file.url for file in files) else " by hand"
    if of and of.train is not None:
        return absent, of.train * (grid.suite.source_share if target is None else 1), of.test or 0
    if not absent:
        with suppress(MissingDataError):
            data = grid.data(target)
            return absent, len(data["train"]), len(data.get("test", ()))
    return absent, math.nan, math.nan


def _weights(base: str) -> str:
    """The file of a network's published weights, and how large it is; empty where it is there."""
    architecture, weights = models.parse(base)
    known = architecture in torchvision.models.list_models()
    if not known or weights not in torchvision.models.get_model_weights(architecture).__members__:
        return "from the hub" if weights == "hub" else ""
    chosen = torchvision.models.get_model_weights(architecture)[weights]
    file = models.weights_folder() / chosen.url.rpartition("/")[2]
    return "" if file.exists() else f"{file.name} {chosen.meta['_file_size']:.0f} MB"


def untrained(base: str, size: int) -> nn.Module:
    """A network like that of this name, without its weights where they would be downloaded."""
    architecture, weights = models.parse(base)
    if architecture in torchvision.models.list_models() and weights != "glyphs":
        options = {"weights_backbone": None} if architecture.startswith("fcn_") else {}
        return torchvision.models.get_model(architecture, weights=None, **options)
    if weights == "hub":
        of = needed("transformers", "language")
        return TextClassifier(of.BertModel(of.BertConfig()), "pooler", 2)
    return models.load(base, size).module


def _probe(base: str, suite: Suite, device: str) -> tuple[float, float, float]:
    """Samples a second in training and forward, and the GiB that a batch in training takes."""
    recipe, size = suite.recipe, suite.size
    gpu = torch.device(device).type == "cuda"
    count = recipe.batch_size if gpu else min(PROBE, recipe.batch_size)
    with torch.random.fork_rng(devices=[]), kernels(recipe.precision, deterministic=True):
        module = placed(untrained(base, size), device).train()
        wide = round(size * 16 / 9 / STEP) * STEP if base.startswith("fcn_") else size
        inputs: Tensor | dict[str, Tensor] = torch.rand(count, 3, size, wide, device=device)
        if suite.tokens:
            ids = torch.randint(0, 50, (count, suite.tokens), device=device)
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        own = [*module.parameters()]
        # At a rate that leaves the random weights about where they are.
        optimiser = optimiser_of(module, recipe.model_copy(update={"learning_rate": 1e-6}))
        held = {x.untyped_storage().data_ptr(): 0 for x in own}

        def keep(x: Tensor) -> Tensor:
            held.setdefault(x.untyped_storage().data_ptr(), x.untyped_storage().nbytes())
            return x

        def train() -> None:
            optimiser.zero_grad()
            with autocast(recipe.precision, device):
                output = tensor(call(module, inputs))
            output.float().square().mean().backward()

        def forward() -> None:
            with torch.inference_mode(), autocast(recipe.precision, device):
                call(module, inputs)

        def seconds(run: Callable[[], Any]) -> float:
            start = time.perf_counter()
            for _ in range(2):
                run()
            if gpu:
                torch.cuda.synchronize()
            return (time.perf_counter() - start) / 2

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            train()  # the first of each is not timed
        optimiser.step()
        step = seconds(train) / count + seconds(optimiser.step) / recipe.batch_size
        forward()
        speeds = 1 / step, count / seconds(forward)
    # Weights, their gradients, the momentum (of Adam two), and what the backward pass needs.
    weights = sum(x.nbytes for x in own) * (3 if recipe.optimiser == "sgd" else 4)
    memory = weights + sum(held.values()) * recipe.batch_size / count
    return *speeds, memory / 2**30
