"""The dry run of a section: what it would download, extract and fine-tune, and for how long."""

import math
import timeit
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd
import torch
import torchvision
from torch import Tensor, nn

from hastelib import models
from hastelib.data.base import LEAST, MissingDataError
from hastelib.data.official import SETS, Official
from hastelib.data.published import matching
from hastelib.data.scenes import STEP
from hastelib.features import autocast, default_device, kernels
from hastelib.finetune import describe, optimiser_of
from hastelib.grid import Grid, signature_paths
from hastelib.hooks import call, placed, tensor
from hastelib.models.language import TextClassifier
from hastelib.models.source import needed
from hastelib.suites import Suite

PROBE = 4  # samples in a batch of the probe on a processor; on a GPU it is the recipe's


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
    work: list[tuple[str, str, int, float, int]] = []
    for source, targets in pairs.items():
        network, *taught = source.split("+")
        epochs = (suite.pretraining or suite.recipe).epochs
        work += [(network, one, 1, 1.0, epochs) for one in taught]
        work += [(network, one, often, often * share, suite.recipe.epochs) for one in targets]
    ranker, signature = suite.hardness.source, "of each source's own set"
    if "+" not in ranker and not all("+" in source for source in pairs):
        signature = next(map(str, signature_paths(ranker)), "")
        if not signature and not _set(grid, "")[0]:
            signature = f"made of the source data by {ranker}"
            work.append((ranker, "", 0, 0.0, 0))

    cells = pd.DataFrame(work, columns=["network", "data", "tunings", "wholes", "epochs"])
    names = cells["data"].unique()
    sets = pd.DataFrame([_set(grid, name) for name in names], names, ["missing", "train", "test"])
    cells = cells.join(sets, on="data")
    cells["trained"] = cells["train"] * cells["wholes"] * cells["epochs"]
    cells["forward"] = cells["train"] + cells["test"] * cells["wholes"]
    found = cells.groupby("network", sort=False)[["tunings", "trained", "forward"]].sum()
    found[["trained/s", "forward/s", "GiB"]] = [_probe(one, suite, device) for one in found.index]
    hours = found["trained"] / found["trained/s"] + found["forward"] / found["forward/s"]
    found["hours"] = hours / 3600
    sets = sets.rename({"": "source data"})
    data = [f"{name} {missing}" for name, missing in sets["missing"].items() if missing]
    unknown = sets.index[sets["train"].isna()]
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


def _set(grid: Grid, target: str) -> tuple[str, float, float]:
    """What is to be fetched of a target, empty where it is here or drawn; its splits' samples.

    They are NaN where they are unknown. The target "" is the source data.
    """
    spec: Any = grid.suite.target(target) if target else grid.suite.source_data
    official = SETS[spec.name] if isinstance(spec, Official) else None
    kept: Any = official.read if official else spec
    missing = "" if spec else "named by no suite"
    if hub := getattr(kept, "hub", None):
        missing = "" if matching(kept.train) else f"from {hub}"
    elif official:
        files = [file for file in official.files if file.missing(spec.root)]
        if files or not spec.root.is_dir():
            size = sum(file.size or 0 for file in files)
            missing = f"{size / 1e9:.2f} GB" if size else "of no published size"
            missing += "" if files and all(file.url for file in files) else " by hand"
    if official and official.train:
        share = 1 if target else grid.suite.source_share
        return missing, official.train * share, official.test or 0
    with suppress(MissingDataError):
        if not missing:
            data = grid.data(target or None)
            return "", len(data["train"]), len(data.get("test", ()))
    return missing, math.nan, math.nan


def _weights(network: str) -> str:
    """The file of a network's published weights, and how large it is; empty where it is there."""
    architecture, weights = models.parse(network)
    with suppress(KeyError, ValueError):  # torchvision has no such network, or no such weights
        chosen = torchvision.models.get_model_weights(architecture)[weights]
        file = models.weights_folder() / chosen.url.rpartition("/")[2]
        return "" if file.exists() else f"{file.name} {chosen.meta['_file_size']:.0f} MB"
    return "from the hub" if weights == "hub" else ""


def untrained(network: str, size: int) -> nn.Module:
    """A network like that of this name, without its weights where they would be downloaded."""
    architecture, weights = models.parse(network)
    if architecture in torchvision.models.list_models() and weights != "glyphs":
        options = {"weights_backbone": None} if architecture.startswith("fcn_") else {}
        return torchvision.models.get_model(architecture, weights=None, **options)
    if weights == "hub":
        of = needed("transformers", "language")
        return TextClassifier(of.BertModel(of.BertConfig()), "pooler", 2)
    return models.load(network, size).module


def _probe(network: str, suite: Suite, device: str) -> tuple[float, float, float]:
    """Samples a second in training and forward, and the GiB that a batch in training takes."""
    recipe, size = suite.recipe, suite.size
    count = min(PROBE, recipe.batch_size) if device == "cpu" else recipe.batch_size
    with torch.random.fork_rng(devices=[]), kernels(recipe.precision, deterministic=True):
        module = placed(untrained(network, size), device).train()
        wide = round(size * 16 / 9 / STEP) * STEP if network.startswith("fcn_") else size
        inputs: Any = torch.rand(count, 3, size, wide, device=device)
        if suite.tokens:
            ids = torch.randint(0, 50, (count, size), device=device)
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        optimiser, own = optimiser_of(module, recipe), [*module.parameters()]
        held = {x.untyped_storage().data_ptr(): 0 for x in own}

        def keep(x: Tensor) -> Tensor:
            held.setdefault(x.untyped_storage().data_ptr(), x.untyped_storage().nbytes())
            return x

        def loss() -> Tensor:
            with autocast(recipe.precision, device):
                return tensor(call(module, inputs)).float().square().mean()

        def train() -> float:
            optimiser.zero_grad()
            value = loss()
            value.backward()
            optimiser.step()
            return value.item()  # which waits for a GPU

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            train()
        trained = min(timeit.repeat(train, number=1, repeat=3))
        with torch.inference_mode():
            forward = min(timeit.repeat(lambda: loss().item(), number=1, repeat=3))
    # Weights, their gradients, the momentum (of Adam two), and what the backward pass needs.
    weights = sum(x.nbytes for x in own) * (3 if recipe.optimiser == "sgd" else 4)
    memory = weights + sum(held.values()) * recipe.batch_size / count
    return count / trained, count / forward, memory / 2**30
