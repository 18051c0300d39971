"""The sets, what the sources learnt of them, and the mean IoU that they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd

from hastelib import hardness
from hastelib.data import class_names
from hastelib.data.scenes import IGNORE, Pictures
from hastelib.experiments import Grid, taught_on
from hastelib.models import segmentation as networks
from hastelib.records import Row
from hastelib.report import labels
from hastelib.report.comparison import correlate
from hastelib.report.paper import accuracies
from hastelib.report.tables import Block, Cell, Table, interval, number
from hastelib.suites import Suite


def targets(suite: Suite, target: str) -> tuple[str, ...]:
    """The target asked for; for "" those of the suite's selection, or all that it has."""
    if target:
        return (target,)
    return suite.selection.targets if suite.selection else tuple(suite.targets)


def sources(suite: Suite, target: str) -> list[str]:
    """The suite's sources but the one that was trained on the target."""
    return [name for name in suite.sources if taught_on(name)[1] != target]


def set_of(source: str) -> str:
    """What a source was trained on, which is what tells these sources apart."""
    return taught_on(source)[1] or labels.source(source)


def about(told: str) -> str:
    """What is about to run; class-specific hardness has no place here."""
    head, _, tail = told.partition("class-specific with ")
    return head + tail.partition("covariance; ")[2] if tail else told


def rows(grid: Grid, wanted: Sequence[str], names: Sequence[str]) -> list[Row]:
    """The rows of the section. Each source ranks the scenes for itself, by its own set.

    Args:
        grid: of the segmentation part of a suite.
        wanted: targets.
        names: metrics.
    """
    rankers = {name: name for name in grid.suite.sources}
    every = {target: sources(grid.suite, target) for target in wanted}
    found = []
    for target, those in every.items():
        found += grid.rows("5.3", [target], names, sources=those, rankers=rankers)
    return found


def by_set(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with their sources called by the set that each was trained on."""
    return table.assign(source=table["source"].map(set_of))


def described(grid: Grid) -> Table:
    """The sets: how large they are, how the pixels share in the classes, what their sources learnt.

    The mean IoU is that of the suite's source of a set on the test split of that set.
    """
    lines = []
    for name in grid.suite.targets:
        data = grid.data(name)
        masks = [np.asarray(mask) for mask in data["train"]["mask"]]
        counts = np.sum([np.bincount(mask.ravel(), minlength=256) for mask in masks], axis=0)
        shares = counts[: len(class_names(data["train"]))] / counts[:IGNORE].sum()
        void = 100 * counts[IGNORE] / counts.sum()
        taught = [source for source in grid.suite.sources if taught_on(source)[1] == name]
        cells = (
            f"{len(data['train'])} / {len(data['test'])}",
            f"{len(shares)}",
            number(100 * shares.max(), 0),
            number(void, 1),
            number(100 * _learnt(grid, taught[0]), 1) if taught else number(np.nan),
        )
        lines.append((labels.plain(name), tuple(Cell(text) for text in cells)))
    head = ("Set", "Train / test", "Classes", "Largest", "Void", "Mean IoU")
    caption = (
        "The sets: scenes to train and to test on; classes, and the share of the largest one in "
        "the pixels, in %; pixels without a class, in %; the mean IoU on its own test split, in %, "
        "of the network that was trained on it and is a source for the others."
    )
    return Table(caption, (Block("", head, tuple(lines)),))


def _learnt(grid: Grid, source: str) -> float:
    base, taught = taught_on(source)
    assert taught is not None
    entry = grid.outcome_entry(grid.source(base), taught, 0)
    grid.source(source)  # trained now where it is not yet
    kept = grid.store.read("weights", entry)
    return np.nan if kept is None else float(kept[1]["accuracy"])


def pictures(grid: Grid, target: str, split: str = "train") -> Pictures:
    """The scenes of a target as its sources see them."""
    network = grid.source(sources(grid.suite, target)[0])
    found = grid.read(target, cast(Any, split), network)
    assert isinstance(found, Pictures)
    return found


def best_and_worst(table: pd.DataFrame, target: str) -> tuple[str, str]:
    """The sources with the highest and the lowest mean IoU on a target."""
    part = table[table["target"] == target].drop_duplicates("source")
    order = part.sort_values("accuracy", ascending=False, kind="stable")["source"]
    return str(order.iloc[0]), str(order.iloc[-1])


def class_ious(grid: Grid, target: str, names: Sequence[str]) -> Table:
    """The IoU of every class on the test split, after fine-tuning some sources (first seed)."""
    classes = class_names(grid.data(target)["test"])
    truth = pictures(grid, target, "test").labels
    columns = []
    for name in names:
        outcome = grid.outcome(name, target, grid.suite.seeds[0])
        columns.append(networks.iou(outcome.probs, outcome.labels, len(classes)).numpy())
    shares = np.bincount(truth.numpy().ravel(), minlength=256)[: len(classes)]
    shares = shares / shares.sum()
    lines = [
        (
            labels.plain(name),
            (
                Cell(number(100 * shares[i], 1)),
                *(Cell(number(100 * column[i], 1)) for column in columns),
            ),
        )
        for i, name in enumerate(classes)
    ]
    means = tuple(Cell(number(100 * float(np.nanmean(column)), 1)) for column in columns)
    lines.append(("Mean", (Cell(""), *means)))
    head = ("Class", "Pixels", *map(set_of, names))
    caption = (
        f"{labels.plain(target)}: the share of each class in the labelled pixels of the test split "
        "and its IoU after fine-tuning, all in %, for the source with the highest mean IoU and the "
        "one with the lowest (first seed). The mean is over the classes that occur or are "
        "predicted, each counting the same."
    )
    return Table(caption, (Block("", head, tuple(lines), 1),))


def hard_scenes(grid: Grid, target: str) -> Table:
    """Mean IoU on the hardest and on the easiest scenes of the test split.

    ``frame`` has the columns source, hardest, easiest, all, in [0, 1].
    """
    fraction, seed = grid.suite.hardness.fraction, grid.suite.seeds[0]
    classes = len(class_names(grid.data(target)["test"]))
    found: list[dict[str, Any]] = []
    for name in sources(grid.suite, target):
        outcome = grid.outcome(name, target, seed)
        order = grid.hardness(target, "test", name)["ca"].argsort(descending=True, stable=True)
        count = len(hardness.hardest(order.double(), fraction))
        parts = {"hardest": order[:count], "easiest": order[-count:], "all": order}
        values = {
            part: networks.mean_iou(outcome.probs[chosen], outcome.labels[chosen], classes)
            for part, chosen in parts.items()
        }
        found.append({"source": set_of(name), **values})
    lines = tuple(
        (
            str(line["source"]),
            tuple(Cell(number(100 * line[part], 1)) for part in ("hardest", "easiest", "all")),
        )
        for line in found
    )
    caption = (
        f"{labels.plain(target)}: mean IoU in % of the fine-tuned networks (first seed) on the "
        f"{fraction:.0%} of the test scenes that are hardest for the source, on the {fraction:.0%} "
        "that are easiest, and on all."
    )
    block = Block("", ("Source", "Hardest", "Easiest", "All"), lines)
    return Table(caption, (block,), (), pd.DataFrame(found))


def hard_words(table: Table, target: str) -> str:
    """What :func:`hard_scenes` shows, in a sentence."""
    found = table.frame
    worse = int((found["hardest"] < found["easiest"]).sum())
    gap = 100 * float((found["easiest"] - found["hardest"]).mean())
    return (
        f"On {labels.plain(target)} the hardest scenes have a lower mean IoU than the easiest for "
        f"{worse} of {len(found)} sources; the mean gap is {number(gap, 1, sign=True)} points."
    )


def mean_ious(table: pd.DataFrame) -> Table:
    """The mean IoU of every source on every target, with what the seeds do to it."""
    found = accuracies(table)
    seeds = int(table["seeds"].max())
    caption = (
        "Mean IoU in percent on the target’s test split after fine-tuning, by the set that a "
        f"source was trained on; mean over {seeds} seed{'s' if seeds > 1 else ''}, in small type "
        "the standard deviation over them. Bold: the best source of the target. Where the range "
        "over the sources is only a few times that deviation there is little to predict."
    )
    return replace(found, caption=caption)


def interval_words(correlations: pd.DataFrame) -> str:
    """How little a correlation over so few sources says, as Markdown."""
    sizes = sorted({5, *(int(n) for n in correlations["n"])})
    parts = []
    for n in sizes:
        if n < 4:
            parts.append(f"no interval at all for {n}")
            continue
        reach = 1.96 / np.sqrt(n - 3)
        low, high = np.tanh(np.arctanh(0.5) - reach), np.tanh(np.arctanh(0.5) + reach)
        parts.append(f"{interval(float(low), float(high))} for {n}")
    return (
        "Of a correlation of 0.5 the 95% interval (Fisher’s) is "
        + ", ".join(parts)
        + " sources. The paper’s Table 3 has five."
    )


def counted_words(grid: Grid, table: pd.DataFrame) -> str:
    """How far the number of a source's classes alone predicts the mean IoU, as Markdown.

    Args:
        grid: of the suite.
        table: what :func:`by_set` gives.
    """
    names = list(dict.fromkeys(table["source"]))
    sets = {name: grid.data(name)["train"] for name in names}
    classes = {name: len(class_names(data)) for name, data in sets.items()}
    train = [len(data) for data in sets.values()]
    ends = " to ".join(map(str, dict.fromkeys((min(train), max(train)))))
    text = f"The sources’ sets have {ends} scenes to train on"
    if len(set(classes.values())) == 1:
        return f"{text} and all {next(iter(classes.values()))} classes."
    parts = []
    for (target, metric), part in table[table["variant"] == "all"].groupby(
        ["target", "metric"], sort=False
    ):
        counts = np.log(part["source"].map(classes).to_numpy(float))
        with_iou = correlate(counts, part["accuracy"].to_numpy(float))[0]
        with_score = correlate(counts, part["score"].to_numpy(float))[0]
        parts.append((str(target), str(metric), with_iou, with_score))
    found = pd.DataFrame(parts, columns=["target", "metric", "iou", "score"])
    alone = found.drop_duplicates("target")
    listed = ", ".join(
        f"{labels.plain(target)} {number(r, 2)}"
        for target, r in zip(alone["target"], alone["iou"], strict=True)
    )
    scores = ", ".join(
        f"{labels.metric(str(metric))} {number(r, 2)}"
        for metric, r in found.groupby("metric", sort=False)["score"].mean().items()
    )
    return (
        f"{text} and {min(classes.values())} to {max(classes.values())} classes, and a score may "
        "do no more than tell these apart. The log of the number of classes alone has an r with "
        f"the mean IoU of {listed}; with the scores, on average over the targets, of {scores}."
    )
