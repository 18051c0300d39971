"""A notebook's first cell: its parameters, checked, and the grid and targets they ask for.

papermill only warns of an unknown parameter and passes on a value of the wrong type, so both are
refused here, before anything runs.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import ConfigDict, Field, ValidationError, create_model

from hastelib import plugins, records, suites
from hastelib.features import default_device
from hastelib.finetune import describe, versions
from hastelib.grid import Grid
from hastelib.metrics import METRICS
from hastelib.store import key

_IPYTHON = {"In", "Out", "exit", "quit", "open", "get_ipython"}
_NAMED = {*suites.Recipe.model_fields, *suites.Hardness.model_fields, "hardness_source"}
_NAMED |= {"sources", "pool", "taught", "rankers", "subsets", "image_size", "tokens"}
"""Parameters that stand in the name of a file of rows where they are not 0 or empty."""
_UNNAMED = {"suite", "target", "output", "dry_run", "other"}


class Given(dict[str, Any]):
    """Checked parameters; those that are ``changed`` are not as the notebook has them."""

    changed: set[str]


def parameters(namespace: Mapping[str, Any]) -> Given:
    """The notebook's parameters: the names its parameters cell annotates, with checked types.

    ``namespace`` is ``globals()`` of the notebook, before anything but modules is added to it.

    Raises:
        ValueError: a name that the parameters cell does not define, or a value of another type.
    """
    # Read in the cells: Python 3.14 keeps the annotation of the last statement alone.
    definitions = re.findall(r"(?m)^(\w+): (.+?) = (.+?)(?:  #.*)?$", "\n".join(namespace["In"]))
    annotations = {name: kind for name, kind, _ in definitions}
    for name, value in namespace.items():
        if not (name.startswith("_") or name in _IPYTHON or isinstance(value, ModuleType)):
            suites.one_of("parameter", name, annotations)
    # Strict, else True would be taken for 1; but papermill's -p leaves true a word.
    fields: dict[str, Any] = {
        name: (kind, Field(strict=False) if kind == "bool" else ...)
        for name, kind in annotations.items()
    }
    try:
        model = create_model("Parameters", __config__=ConfigDict(strict=True), **fields)
        checked = model(**{name: namespace[name] for name in fields})
    except ValidationError as error:
        hint = "; papermill's -r passes it on as it is written, -p as a number or a truth value"
        problems = [
            f"{e['loc'][0]}: {e['msg']}, got {e['input']!r}"
            + (hint if e["type"] == "string_type" else "")
            for e in error.errors()
        ]
        raise ValueError("wrong parameters:\n  " + "\n  ".join(problems)) from None
    given = Given(checked.model_dump())
    given.changed = set(given)
    for name, _, default in definitions:
        with suppress(ValueError, SyntaxError):  # no literal: it counts as changed
            if ast.literal_eval(default) == given[name]:
                given.changed.discard(name)
    return given


def words(text: str) -> tuple[str, ...]:
    """The comma-separated words of a parameter."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def start(
    given: Mapping[str, Any],
    part: suites.Part | None = None,
    own: Sequence[str] = (),
    signed: bool = False,
) -> tuple[Grid, tuple[str, ...]]:
    """The grid and the targets that checked parameters ask for.

    The grid is of the suite's ``part``, if one is named; its number of threads holds from here on.
    A parameter that is a field of the suite, of its recipes or of its hardness replaces it, unless
    it is 0 or empty; ``output``, ``dry_run`` and those in ``own`` are left to the notebook, which
    is ``signed`` if it needs class-agnostic hardness.

    Raises:
        ValueError: an unknown suite, target, source or metric (lists the choices), or a value
            that the suite does not admit.
        OSError: the folder ``output`` cannot be made, or there are no source data to be signed.
    """
    plugins.load()
    settings = {k: value or None for k, value in given.items() if k not in (*own, "dry_run")}
    suite = suites.find(settings.pop("suite", None), settings.pop("target", None), part)
    if "metrics" in settings:
        for metric in words(settings.pop("metrics") or "") or ("",):
            suites.one_of("metric", metric, METRICS)
    if output := settings.pop("output", None):
        Path(output).mkdir(parents=True, exist_ok=True)
    if (seeds := settings.pop("seeds", None)) and seeds < 1:
        raise ValueError(f"seeds: expected the number of fine-tunings, at least 1, got {seeds}")
    selected, targets = suite.select(
        targets=given.get("target") or None,
        sources=words(settings.pop("sources", None) or "") or None,
        seeds=tuple(range(seeds)) if seeds else None,
        **settings,
    )
    torch.set_num_threads(selected.recipe.threads)
    grid = Grid(selected)
    if signed:
        grid.signature()
    return grid, targets


def setting(grid: Grid, targets: Sequence[str]) -> pd.DataFrame:
    """What is run on what: suite, sources, targets, recipe, hardness, hardware, software."""
    suite, recipe, hardness = grid.suite, grid.suite.recipe, grid.suite.hardness
    unit = "px" if suite.image_size else "tokens"
    rows = {
        "Suite": f"{suite.name}: {suite.about}",
        "Sources": ", ".join(suite.sources),
        "Targets": ", ".join(targets),
        "Fine-tuning": f"{recipe.told}, {suite.size} {unit}, seeds "
        f"{', '.join(map(str, suite.seeds))}",
        "Hardness": f"by {hardness.source}, the hardest {hardness.fraction:.0%}; class-specific "
        f"with {hardness.covariance} covariance; {hardness.draws} random draws",
        "Hardware": describe(default_device()),
        "Software": versions(),
    }
    return pd.DataFrame({"": rows}).rename_axis("")


def named(stem: str, given: Given) -> str:
    """The stem of a file with what was ``given`` in place of the suite's or the notebook's own.

    As in ``5_1_source-glyphs-greek-epochs=1``; of long values it has a hash.
    """
    for parameter in sorted(((_NAMED & given.keys()) | given.changed) - _UNNAMED):
        if value := given[parameter]:
            text = re.sub(r"[^\w.+@-]", "_", f"{value}")
            stem += f"-{parameter}={text if len(text) <= 30 else key(value=value)[:6]}"
    return stem


def save(frame: pd.DataFrame, stem: str, given: Given) -> None:
    """Write the frame (:func:`hastelib.records.write`), and link to the file from the page."""
    from IPython.display import Markdown, display  # belongs to the book's extra

    name, first = records.write(frame, named(stem, given)).name, frame.iloc[0]
    text = f"[`{name}`]({name}) has the {len(frame):,} rows of this page. Measured on: "
    display(Markdown(f"{text}{first['device']}; fine-tuned by {first['versions']}."))


def outcomes(grid: Grid, targets: Sequence[str]) -> pd.DataFrame:
    """Every test sample of some targets: its hardness, and who gets it right.

    The columns are target, source, sample, label, correct (by the source, fine-tuned with the
    first seed), and the hardness ``ca``, ``dot`` and ``cs``. Not for scenes.
    """
    parts = []
    for target in targets:
        hardness = {name: h.numpy() for name, h in grid.hardness(target, "test").items()}
        for source in grid.suite.sources:
            outcome = grid.outcome(source, target, grid.suite.seeds[0])
            part = pd.DataFrame({"label": outcome.labels.numpy(), **hardness})
            part["correct"] = outcome.probs.argmax(1).numpy() == part["label"]
            parts.append(part.assign(target=target, source=source, sample=part.index))
    return pd.concat(parts, ignore_index=True)


def hardness_bins(samples: pd.DataFrame, variant: str, bins: int = 5) -> pd.DataFrame:
    """The samples of :func:`outcomes` with a column ``bin``: 1 holds the hardest of a target.

    Bins are equally large, but for the first ones, which have a sample more where the number does
    not divide; of equally hard samples the one of lower index counts as harder.
    """
    groups = samples.groupby(["target", "source"], sort=False)[variant]
    place, size = groups.rank(method="first", ascending=False) - 1, groups.transform("size")
    early, late = place // (size // bins + 1), (place - size % bins) // (size // bins)
    return samples.assign(bin=np.maximum(early, late).astype(int) + 1)
