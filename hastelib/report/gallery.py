"""The hardest and the easiest images of a target: which they are, and what can be counted of them.

The paper shows 25 of each (Figs. 5-9) and says what they look like. Looks are not a number; how
many classes there are among them, how often fine-tuned networks get them wrong, how hard their
classes are and how many edges they have are, and random images of the same number are the control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from numpy import ndarray
from torch import Tensor

from hastelib import extract, finetune
from hastelib.experiments import Grid
from hastelib.report import labels
from hastelib.report.tables import Block, Cell, Table, interval, number
from hastelib.specs import SPLITS, Split
from hastelib.suites import one_of

ENDS = ("easiest", "hardest")
"""In the paper's order: easy left, hard right."""

COLUMNS = {
    "classes": "Classes",
    "error": "Error",
    "class_error": "Of class",
    "edges": "Edges",
}
PERCENT = ("error", "class_error", "edges")
DRAWS = 2000
"""Random sets of images behind the control."""


@dataclass(frozen=True)
class Grids:
    """The images of one target, by variant (``ca``, ``cs``) and end (``easiest``, ``hardest``).

    Attributes:
        target: the data set.
        split: of it.
        rows: (variant, end) -> (count,) indices, the most extreme first.
        images: (variant, end) -> the PIL images.
        hardness: (variant, end) -> their hardness.
    """

    target: str
    split: Split
    rows: Mapping[tuple[str, str], Int64[ndarray, " count"]]
    images: Mapping[tuple[str, str], list[Any]]
    hardness: Mapping[tuple[str, str], list[float]]


def grids(grid: Grid, target: str, split: Split = "test", count: int = 25) -> Grids:
    """The images at both ends of both kinds of hardness.

    Raises:
        ValueError: no such split; the ends would overlap.
    """
    one_of("split", split, SPLITS)
    data = grid.data(target)[split]
    if not 1 <= count <= len(data) // 2:
        raise ValueError(
            f"count: expected 1 to {len(data) // 2}, half of the {split} split, got {count}"
        )
    rows, hardness = {}, {}
    for variant, values in grid.hardness(target, split).items():
        order = values.argsort(descending=True, stable=True).numpy()
        for end, chosen in (("easiest", order[::-1][:count]), ("hardest", order[:count])):
            rows[variant, end] = chosen.copy()
            hardness[variant, end] = values.numpy()[chosen].tolist()
    images = {cell: [data[int(i)]["image"] for i in chosen] for cell, chosen in rows.items()}
    return Grids(target, split, rows, images, hardness)


def edges(pixels: Tensor) -> Float64[ndarray, " n"]:
    r"""How cluttered an image is: the mean change of its grey values from pixel to pixel.

    .. math::

        \frac{1}{(h - 1)(w - 1)} \sum_{ij}
        \sqrt{(g_{i+1,j} - g_{ij})^2 + (g_{i,j+1} - g_{ij})^2}

    with :math:`g` the mean of the three colours, in [0, 1].

    Args:
        pixels: (n, 3, h, w) bytes.

    Returns:
        (n,), 0 for an image of one colour.
    """
    grey = pixels.double().mean(1) / 255
    down = grey[:, 1:, :-1] - grey[:, :-1, :-1]
    right = grey[:, :-1, 1:] - grey[:, :-1, :-1]
    found: Float64[ndarray, " n"] = (down**2 + right**2).sqrt().mean((1, 2)).numpy()
    return found


def measures(
    grid: Grid, target: str, split: Split = "test", sources: Sequence[str] | None = None
) -> pd.DataFrame:
    """Per image of a split: its class, its errors, those of its class, its edges.

    Args:
        grid: of the suite.
        target: the data set.
        split: errors are known on the test split only; ``nan`` on the other.
        sources: whose fine-tuned networks (first seed) are asked; the suite's where it is not
            given, none for an empty one.

    Returns:
        The columns label, error, the share of the networks that get the image wrong,
        class_error, its mean over the split's images of the class, and edges (:func:`edges`).
    """
    network = grid.source(grid.suite.hardness.source)
    images = grid.read(target, split, network)
    labels_ = images.labels.numpy()
    table = pd.DataFrame({"label": labels_, "error": np.nan})
    asked = grid.suite.sources if sources is None else sources
    if split == "test" and asked:
        seed = grid.suite.seeds[0]
        grid.prepare(asked, [target], seeds=[seed])
        outcomes = [grid.outcome(name, target, seed) for name in asked]
        wrong = [(one.probs.argmax(1) != one.labels).numpy() for one in outcomes]
        table["error"] = np.mean(wrong, axis=0)
    table["class_error"] = table.groupby("label")["error"].transform("mean")
    found = [edges(pixels) for pixels, _ in images.batches(extract.BATCH)]
    table["edges"] = np.concatenate(found)
    return table


def _counted(part: pd.DataFrame) -> dict[str, float]:
    means = {name: float(part[name].mean()) for name in ("error", "class_error", "edges")}
    return {"classes": float(part["label"].nunique()), **means}


def compare(shown: Grids, measured: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The grids of a target against random images of the same number.

    Args:
        shown: the images.
        measured: what :func:`measures` gives for the same split.
        seed: of the random images.

    Returns:
        A line per grid, and one for the control: the columns target, split, variant
        (``random`` for the control), end, count, and of :data:`COLUMNS` the mean over the
        images (of classes the number), each with ``_low`` and ``_high``, the central 95% of
        :data:`DRAWS` random sets, the same in every line.
    """
    count = len(next(iter(shown.rows.values())))
    random = np.random.default_rng(seed)
    values = measured[["error", "class_error", "edges"]].to_numpy()
    draws = []
    for _ in range(DRAWS):
        chosen = random.choice(len(measured), count, replace=False)
        classes = len(np.unique(measured["label"].to_numpy()[chosen]))
        draws.append((classes, *values[chosen].mean(0)))
    table = pd.DataFrame(draws, columns=list(COLUMNS))
    ends = {
        f"{name}_{side}": float(table[name].quantile(q))
        for name in COLUMNS
        for side, q in (("low", 0.025), ("high", 0.975))
    }
    shared = {"target": shown.target, "split": shown.split, "count": count}
    means = {name: float(table[name].mean()) for name in COLUMNS}
    lines: list[dict[str, Any]] = [{**shared, "variant": "random", "end": "", **means, **ends}]
    for (variant, end), rows in shown.rows.items():
        counted = _counted(measured.iloc[rows])
        lines.append({**shared, "variant": variant, "end": end, **counted, **ends})
    return pd.DataFrame(lines)


def outside(line: Mapping[Any, Any], name: str) -> int:
    """1 where a grid has more of something than 97.5% of the random sets, -1 less, 0 neither."""
    value, low, high = (float(line[name + side]) for side in ("", "_low", "_high"))
    return int(value > high) - int(value < low)


def _cell(line: Mapping[Any, Any], name: str) -> Cell:
    scale, digits = (100, 1) if name in PERCENT else (1, 0)
    value = float(line[name])
    if line["variant"] != "random":
        return Cell(number(scale * value, digits), bold=bool(outside(line, name)))
    low, high = (scale * float(line[name + side]) for side in ("_low", "_high"))
    return Cell(number(scale * value, digits), interval(low, high, digits))


def table(compared: pd.DataFrame) -> Table:
    """What is in the grids: a block per target.

    Args:
        compared: what :func:`compare` gives, of several targets one below the other.
    """
    blocks = []
    for target, part in compared.groupby("target", sort=False):
        rows = []
        for line in part.to_dict("records"):
            name = f"{labels.variant(line['variant'])} {line['end']}".strip()
            rows.append((name, tuple(_cell(line, column) for column in COLUMNS)))
        head = ("", *COLUMNS.values())
        blocks.append(Block(labels.plain(str(target)), head, tuple(rows)))
    count, split = compared["count"].iloc[0], compared["split"].iloc[0]
    caption = (
        f"Sets of {count} images of the {split} split. Classes: how many there are among them. "
        "Error: how often fine-tuned networks (one a source, first seed) get them wrong, in %. Of "
        "class: the error of all images of their classes, so high where the set holds hard "
        "classes. Edges: mean change of the grey values from pixel to pixel, in %. Random: mean of "
        f"{DRAWS:,} random sets, in small type their central 95%; bold: a set outside of it."
    )
    return Table(caption, tuple(blocks), (), compared)


def sentence(line: Mapping[Any, Any]) -> str:
    """One grid in words, next to random images."""
    classes = {1: "more than", 0: "about as many as", -1: "fewer than"}[outside(line, "classes")]
    text = (
        f"The {int(line['count'])} {line['end']} by {labels.variant(line['variant'])} come from "
        f"{int(line['classes'])} classes, {classes} random ones ({_range(line, 'classes')})"
    )
    if not np.isnan(line["error"]):
        often = {1: "more than", 0: "about as often as", -1: "less than"}[outside(line, "error")]
        text += (
            f"; the networks get {number(100 * line['error'], 1)}% of them wrong, {often} random "
            f"ones ({_range(line, 'error')}%), and {number(100 * line['class_error'], 1)}% of "
            "their classes"
        )
    busy = {1: "more", 0: "about as many", -1: "fewer"}[outside(line, "edges")]
    return f"{text}; they have {busy} edges {'as' if 'as' in busy else 'than'} random ones."


def _range(line: Mapping[Any, Any], name: str) -> str:
    scale, digits = (100, 1) if name in PERCENT else (1, 0)
    return " to ".join(
        number(scale * float(line[name + side]), digits) for side in ("_low", "_high")
    )


def sentences(compared: pd.DataFrame, target: str) -> str:
    """The grids of one target in words, as Markdown."""
    part = compared[(compared["target"] == target) & (compared["variant"] != "random")]
    return "\n".join(f"- {sentence(line)}" for line in part.to_dict("records"))


def findings(compared: pd.DataFrame) -> str:
    """The paper's captions, claim by claim, over all targets, as Markdown."""
    claims = [
        ("ca", "hardest", "edges", 1, "the hardest images by CA are cluttered (Figs. 5, 6)"),
        ("ca", "easiest", "edges", -1, "the easiest images by CA are uncluttered (Figs. 5, 6)"),
        ("cs", "hardest", "class_error", 1, "the hardest by CS are of hard classes (Figs. 7–9)"),
        ("cs", "easiest", "class_error", -1, "the easiest by CS are of easy classes (Figs. 7–9)"),
        ("ca", "hardest", "error", 1, "the networks err more on the hardest by CA"),
        ("cs", "hardest", "error", 1, "the networks err more on the hardest by CS"),
    ]
    lines = []
    for variant, end, name, sign, claim in claims:
        part = compared[(compared["variant"] == variant) & (compared["end"] == end)]
        signs = [
            outside(line, name) for line in part.to_dict("records") if not np.isnan(line[name])
        ]
        if not signs:
            continue
        right, wrong = signs.count(sign), signs.count(-sign)
        lines.append(
            f"- {claim[0].upper()}{claim[1:]}: on {right} of {len(signs)} target"
            f"{'s' if len(signs) > 1 else ''} beyond the random sets, on {wrong} the other way "
            f"round, on {len(signs) - right - wrong} not told from them."
        )
    head = (
        "Measured against random images, of the sentences under the paper's figures, and of the "
        "errors behind them:\n\n"
    )
    return head + "\n".join(lines)


def tidy(grid: Grid, compared: pd.DataFrame) -> pd.DataFrame:
    """The rows of the CSV, with what they were measured on."""
    data = {t: grid.fingerprint(t, s)[:12] for t, s in zip(
        compared["target"], compared["split"], strict=True
    )}  # fmt: skip
    ranker = grid.suite.hardness.source
    return compared.assign(
        section="A.3",
        suite=grid.suite.name,
        hardness_source=ranker,
        data=compared["target"].map(data),
        weights=grid.source(ranker).fingerprint[:12],
        device=finetune.describe(extract.default_device()),
        versions=finetune.versions(),
    )
