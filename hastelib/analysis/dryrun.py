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
from hastelib.models.files import needed
from hastelib.models.language import TextClassifier
from hastelib.suites import Suite

PROBE = 4  # samples in a batch of the probe on a processor; on a GPU it is the recipe's


def plan(grid: Grid, pairs: Mapping[str, Sequence[str]], subsets: int = 0) -> None:
    """Print what a section would do, and end its notebook well (``SystemExit``).

    Nothing is downloaded. Time and memory are estimated with a few batches of noise in every
    network, with random weights, on this machine: without reading, as if nothing were cached.

    Args:
        grid: of the section.
        pairs: source -> its targets.
        subsets: class subsets of a target, of the mean size; 0 for the whole target.
    """
    suite, device = grid.suite, default_device()
    tunings, share = len(suite.seeds) * (subsets or 1), (1 + LEAST) / 2 if subsets else 1.0
    rows: list[tuple[str, str, int, float, int]] = []
    for source, targets in pairs.items():
        network, *taught = source.split("+")
        epochs = (suite.pretraining or suite.recipe).epochs
        rows += [(network, name, 1, 1.0, epochs) for name in taught]
        rows += [(network, name, tunings, tunings * share, suite.recipe.epochs) for name in targets]
    ranker, signature = suite.hardness.source, "of each source's own set"
    if "+" not in ranker and not all("+" in source for source in pairs):
        signature = next(map(str, signature_paths(ranker)), "")
        if not signature and not _sizes(grid, "")[0]:
            signature = f"made of the source data by {ranker}"
            rows.append((ranker, "", 0, 0.0, 0))

    cells = pd.DataFrame(rows, columns=["network", "data", "tunings", "wholes", "epochs"])
    names = cells["data"].unique()
    sets = pd.DataFrame([_sizes(grid, name) for name in names], names, ["missing", "train", "test"])
    cells = cells.join(sets, on="data")
    cells["trained"] = cells["train"] * cells["wholes"] * cells["epochs"]
    cells["forward"] = cells["train"] + cells["test"] * cells["wholes"]
    table = cells.groupby("network", sort=False)[["tunings", "trained", "forward"]].sum()
    table[["trained/s", "forward/s", "GiB"]] = [_probe(name, suite, device) for name in table.index]
    seconds = table["trained"] / table["trained/s"] + table["forward"] / table["forward/s"]
    table["hours"] = seconds / 3600
    sets = sets.rename({"": "source data"})
    data = [f"{name} {missing}" for name, missing in sets["missing"].items() if missing]
    unknown = sets.index[sets["train"].isna()]
    weights = [file for file in map(_weights_file, table.index) if file]
    print(  # noqa: T201
        f"Plan of suite {suite.name} (a dry run: nothing is done)",
        f"data to download: {', '.join(data) or 'none'}",
        f"weights to download: {', '.join(weights) or 'none'}",
        f"signature: {signature or 'none, so CA has no scores'}",
        f"{table['tunings'].sum():,.0f} fine-tunings, about {table['hours'].sum():,.2f} h on "
        f"{describe(device)}, without reading and decoding; memory for batches of "
        f"{suite.recipe.batch_size}: {table['GiB'].max():.1f} GiB",
        f"not counted, since their sizes are unknown: {', '.join(unknown) or 'none'}",
        table.to_string(formatters=[*["{:,.0f}".format] * 3, *["{:,.1f}".format] * 4]),
        sep="\n",
    )
    raise SystemExit(0)


def _sizes(grid: Grid, target: str) -> tuple[str, float, float]:
    """What to download of a target, empty for nothing, and the samples of its two splits.

    They are NaN where they are unknown. The target "" is the source data.
    """
    spec: Any = grid.suite.target(target) if target else grid.suite.source_data
    official = SETS[spec.name] if isinstance(spec, Official) else None
    reader: Any = official.read if official else spec
    missing = "" if spec else "named by no suite"
    if hub := getattr(reader, "hub", None):
        missing = "" if matching(reader.train) else f"from {hub}"
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


def _weights_file(network: str) -> str:
    """The file of a network's published weights, and how large it is; empty where it is there."""
    architecture, weights = models.parse(network)
    with suppress(KeyError, ValueError):  # torchvision has no such network, or no such weights
        published = torchvision.models.get_model_weights(architecture)[weights]
        file = models.weights_folder() / published.url.rpartition("/")[2]
        return "" if file.exists() else f"{file.name} {published.meta['_file_size']:.0f} MB"
    return "from the hub" if weights == "hub" else ""


def untrained(network: str, size: int) -> nn.Module:
    """A network like that of this name, without its weights where they would be downloaded."""
    architecture, weights = models.parse(network)
    if architecture in torchvision.models.list_models() and weights != "glyphs":
        options = {"weights_backbone": None} if architecture.startswith("fcn_") else {}
        return torchvision.models.get_model(architecture, weights=None, **options)
    if weights == "hub":
        transformers = needed("transformers", "language")
        return TextClassifier(transformers.BertModel(transformers.BertConfig()), "pooler", 2)
    return models.load(network, size).module


def _probe(network: str, suite: Suite, device: str) -> tuple[float, float, float]:
    """Samples a second in training and forward, and the GiB that a batch in training takes."""
    recipe, size = suite.recipe, suite.size
    count = min(PROBE, recipe.batch_size) if device == "cpu" else recipe.batch_size
    with torch.random.fork_rng(devices=[]), kernels(recipe.precision, deterministic=True):
        module = placed(untrained(network, size), device).train()
        width = round(size * 16 / 9 / STEP) * STEP if network.startswith("fcn_") else size
        inputs: Any = torch.rand(count, 3, size, width, device=device)
        if suite.tokens:
            ids = torch.randint(0, 50, (count, size), device=device)
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        optimiser, parameters = optimiser_of(module, recipe), [*module.parameters()]
        saved = {x.untyped_storage().data_ptr(): 0 for x in parameters}

        def keep(x: Tensor) -> Tensor:
            saved.setdefault(x.untyped_storage().data_ptr(), x.untyped_storage().nbytes())
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
    weights = sum(x.nbytes for x in parameters) * (3 if recipe.optimiser == "sgd" else 4)
    memory = weights + sum(saved.values()) * recipe.batch_size / count
    return count / trained, count / forward, memory / 2**30
