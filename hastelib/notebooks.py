"""What the notebooks share: their first cell, and what they show besides tables and figures.

papermill only warns of an unknown parameter and passes on a value of the wrong type, so both are
refused here, before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import ValidationError, create_model

from hastelib import plugins, suites
from hastelib.experiments import Grid
from hastelib.extract import default_device
from hastelib.finetune import describe, versions
from hastelib.metrics import METRICS
from hastelib.records import SCHEMA, Row
from hastelib.report import Block, Cell, Table, hardness_bins
from hastelib.specs import Split

_IPYTHON = {"In", "Out", "exit", "quit", "open", "get_ipython"}


def parameters(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook's parameters: the names its parameters cell annotates, with checked types.

    Args:
        namespace: ``globals()`` of the notebook, before anything but modules is added to it.

    Raises:
        ValueError: a name that the parameters cell does not define, or a value of another type.
    """
    annotations = namespace["__annotations__"]
    for name, value in namespace.items():
        if not (name.startswith("_") or name in _IPYTHON or isinstance(value, ModuleType)):
            suites.one_of("parameter", name, annotations)
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in annotations.items()}
    try:
        checked = create_model("Parameters", **fields)(**{n: namespace[n] for n in fields})
    except ValidationError as error:
        problems = [f"{e['loc'][0]}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
        raise ValueError("wrong parameters:\n  " + "\n  ".join(problems)) from None
    return checked.model_dump()


def words(text: str) -> tuple[str, ...]:
    """The comma-separated words of a parameter."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def start(
    given: Mapping[str, Any], part: suites.Part | None = None
) -> tuple[Grid, tuple[str, ...]]:
    """The grid and the targets that checked parameters ask for.

    Of the suite it is the ``part``, where one is named. The notebook computes with its number of
    threads from here on.

    ``suite``, ``target``, ``sources``, ``seeds`` and ``metrics`` are read as their comments in the
    notebooks say; a parameter that is a field of the suite's recipe or hardness replaces it;
    ``output`` and ``figures`` are left to the notebook.

    Raises:
        ValueError: an unknown suite, target, source or metric (lists the choices), or a value
            that the suite does not admit.
    """
    plugins.load()
    rest = dict(given)
    suite = suites.find(rest.pop("suite", None), rest.pop("target", None) or None, part)
    metrics = rest.pop("metrics", None)
    if metrics is not None:
        for metric in words(metrics) or ("",):
            suites.one_of("metric", metric, METRICS)
    if output := rest.pop("output", None):
        try:
            Path(output).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"output: cannot write to {output} ({error})") from error
    sources = words(rest.pop("sources", None) or "")
    seeds = rest.pop("seeds", None)
    if seeds is not None and seeds < 1:
        raise ValueError(f"seeds: expected the number of fine-tunings, at least 1, got {seeds}")
    chosen, targets = suite.select(
        targets=given.get("target") or None,
        sources=sources or None,
        seeds=None if seeds is None else tuple(range(seeds)),
        **rest,
    )
    torch.set_num_threads(chosen.recipe.threads)
    return Grid(chosen), targets


def about(grid: Grid, targets: Sequence[str], ranker: str = "", part: str = "train split") -> str:
    """What is about to run, as a Markdown list.

    Args:
        grid: of the suite.
        targets: that it runs on.
        ranker: who ranks by hardness, in words; the suite's ``hardness.source`` for "".
        part: what the hard subset is a part of.
    """
    suite, device = grid.suite, describe(default_device())
    recipe, hardness = suite.recipe, suite.hardness
    fields = (
        ("Suite", f"`{suite.name}`. {suite.about}"),
        ("Sources", ", ".join(f"`{name}`" for name in suite.sources)),
        ("Targets", ", ".join(targets)),
        (
            "Fine-tuning",
            f"{recipe.method}, {recipe.epochs} epochs, learning rate "
            f"{recipe.learning_rate:g} ({recipe.schedule}), batches of {recipe.batch_size}, "
            f"{suite.size} {'px' if suite.image_size else 'tokens'}; seeds "
            f"{', '.join(map(str, suite.seeds))}",
        ),
        (
            "Hardness",
            f"by {ranker or f'`{hardness.source}`'}, the hardest {hardness.fraction:.0%} of the "
            f"{part}; "
            f"class-specific with {hardness.covariance} covariance; {hardness.draws} random draws",
        ),
        ("Hardware", device),
        ("Software", versions()),
    )
    return "\n".join(f"- **{name}**: {text}" for name, text in fields)


def sources(grid: Grid, target: str) -> Table:
    """The networks: size, source classes, width, the tapped stages, and their speed on a target."""
    rows = []
    for name in grid.suite.sources:
        source = grid.source(name)
        classes, width = source.module.state_dict()[f"{source.head}.weight"].shape[:2]
        size = sum(p.numel() for p in source.module.parameters())
        speed = f"{grid.throughput(name, target):,.0f}"
        stages = ", ".join(stage.removeprefix("features.") for stage in source.stages)
        texts = f"{size / 1e3:,.0f}", f"{classes}", f"{width}", speed, stages
        rows.append((name, tuple(Cell(text) for text in texts)))
    head = ("Source", "Parameters", "Classes", "Width", "Images/s", "Stages")
    caption = (
        "The source networks: parameters in thousands, classes they were trained on, width of the "
        "embedding, speed of the one forward pass that gives everything the metrics need (decoding "
        f"included, on {target}), and the stages tapped for class-agnostic hardness."
    )
    return Table(caption, (Block("", head, tuple(rows)),))


def hard_and_easy(
    grid: Grid, target: str, count: int, split: Split = "train"
) -> tuple[list[list[Any]], list[str], list[list[float]]]:
    """The hardest and easiest samples of a split by both kinds, as a gallery wants them."""
    samples = grid.data(target)[split]
    names = {"ca": "class-agnostic", "cs": "class-specific"}
    pictures, titles, values = [], [], []
    for variant, hardness in grid.hardness(target, split).items():
        order = hardness.argsort(descending=True, stable=True).tolist()
        for which, chosen in (("hardest", order[:count]), ("easiest", order[-count:])):
            pictures.append([samples[i]["image"] for i in chosen])
            titles.append(f"{which}, {names[variant]}")
            values.append([hardness[i].item() for i in chosen])
    return pictures, titles, values


def bins(grid: Grid, targets: Sequence[str]) -> dict[tuple[str, str], pd.DataFrame]:
    """By target and kind of hardness, the accuracy from the hardest test samples to the easiest."""
    return {
        (target, variant): hardness_bins(hardness, correct(grid, target))
        for target in targets
        for variant, hardness in grid.hardness(target, "test").items()
    }


def correct(grid: Grid, target: str) -> dict[str, np.ndarray]:
    """Per source, which test samples its fine-tuned network (first seed) gets right."""
    seed = grid.suite.seeds[0]
    outcomes = {name: grid.outcome(name, target, seed) for name in grid.suite.sources}
    return {name: (o.probs.argmax(1) == o.labels).numpy() for name, o in outcomes.items()}


def files(path: Path, rows: Sequence[Row]) -> str:
    """Where the rows lie and how to read them, as Markdown."""
    return (
        f"{len(rows)} rows are in `{path}`, in version {SCHEMA} of the columns that "
        "[`hastelib.records`](../book/api.md) documents: "
        "`hastelib.records.read_csv` reads them. They carry the fingerprints of the data and of "
        f"the weights. Measured on: {rows[0].device}; {rows[0].versions}."
    )
