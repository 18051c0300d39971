"""Section 5.3: sources that learnt one set of scenes each, compared on a fixed other one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from hastelib import extract, metrics
from hastelib.data import class_names
from hastelib.data.scenes import IGNORE, Pictures
from hastelib.experiments import Grid, taught_on
from hastelib.extract import Features
from hastelib.models import segmentation as networks
from hastelib.models.segmentation import PIXELS
from hastelib.records import Row, frame
from hastelib.report import labels
from hastelib.report.comparison import correlate
from hastelib.report.paper import accuracies
from hastelib.report.tables import Block, Cell, Table, interval, number
from hastelib.suites import Suite

SIZES = (4, 16, PIXELS, 256)
"""Pixels a scene whose effect on the scores is measured."""

DRAWS = 10
MOST = 400_000
"""Pixels that stand for all of them where the effect of drawing some is measured."""


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
        count = max(1, round(fraction * len(order)))
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


def claims(grid: Grid, target: str, scenes: int = 4) -> dict[str, tuple[float, float]]:
    """What the page says of pixels, with what it predicts and what a source gives.

    Args:
        grid: of the segmentation part of a suite.
        target: of it.
        scenes: of its train split, the first.
    """
    source = _network(grid, sources(grid.suite, target)[0])
    whole, drawn = (_features(source.with_pixels(n), grid, target, scenes) for n in (None, PIXELS))
    read = pictures(grid, target)
    images, truth = read[range(scenes)]
    with torch.inference_mode():
        logits = source.logits(source.module, images).flatten(2).transpose(1, 2).flatten(0, 1)
    kept = truth.flatten() >= 0
    flat = metrics.leep(logits.softmax(1)[kept], truth.flatten()[kept])
    wanted = int(truth.flatten(1).ge(0).sum(1).clamp(max=PIXELS).sum())
    outcome = grid.outcome(source.name, target, grid.suite.seeds[0])
    by_hand = _counted_iou(outcome.probs.numpy(), outcome.labels.numpy(), len(read.classes))
    return {
        "LEEP of the rows = LEEP of the enlarged output, flattened": (
            flat,
            metrics.leep(whole.probs, whole.labels),
        ),
        f"rows, at {PIXELS} pixels a scene": (wanted, len(drawn.labels)),
        "rows without a class": (0, int((drawn.labels < 0).sum() + (drawn.labels == IGNORE).sum())),
        "mean IoU, counted pixel by pixel": (by_hand, outcome.accuracy),
    }


def _counted_iou(predicted: np.ndarray, truth: np.ndarray, classes: int) -> float:
    there = truth != IGNORE
    values = []
    for one in range(classes):
        both = ((predicted == one) & (truth == one) & there).sum()
        either = (((predicted == one) | (truth == one)) & there).sum()
        if either:
            values.append(both / either)
    return float(np.mean(values))


def _network(grid: Grid, name: str) -> networks.SegmentationSource:
    found = grid.source(name)
    assert isinstance(found, networks.SegmentationSource)
    return found


def _features(
    source: networks.SegmentationSource, grid: Grid, target: str, scenes: int
) -> Features:
    some = grid.data(target)["train"].select(range(scenes))
    with extract.threaded(grid.suite.recipe.threads):
        return extract.extract(source, source.read(some, f"{target}, {scenes} scenes"))[0]


def pixel_scores(
    grid: Grid,
    target: str,
    names: Sequence[str],
    sizes: Sequence[int] = SIZES,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """The scores of a target's sources from several draws of several numbers of pixels a scene.

    Args:
        grid: of the segmentation part of a suite.
        target: of it.
        names: metrics.
        sizes: pixels a scene.
        draws: of each size, the same pixels for all sources.

    Returns:
        The columns source, metric, pixels, draw, score; pixels is 0 where all pixels were used.
        Taken from as many scenes, evenly spread, as :data:`MOST` pixels allow; the attribute
        ``scenes`` of the frame says how many.
    """
    read = pictures(grid, target)
    area = read.shape[0] * read.shape[1]
    count = min(len(read), max(1, MOST // area))
    chosen = torch.linspace(0, len(read) - 1, count).round().long()
    picked: dict[tuple[int, int], torch.Tensor] = {}
    found: list[dict[str, Any]] = []
    for name in sources(grid.suite, target):
        source = _network(grid, name).with_pixels(None)
        some = grid.data(target)["train"].select(chosen.tolist())
        with extract.threaded(grid.suite.recipe.threads):
            every = extract.extract(source, source.read(some, f"{target}, {count} scenes"))[0]
        assert every.sample is not None
        if not picked:
            picked[0, 0] = torch.arange(len(every.labels))
            for size in sizes:
                picked |= {(size, d): _drawn(every.sample, size, d) for d in range(draws)}
        for (size, d), places in picked.items():
            rows = (every.embedding[places], every.probs[places], every.layers)
            part = Features(*rows, every.labels[places], every.sample[places])
            sample = metrics.Sample(part)
            for metric in names:
                score = metrics.METRICS[metric](sample)
                found.append(
                    {"source": name, "metric": metric, "pixels": size, "draw": d, "score": score}
                )
    table = pd.DataFrame(found)
    table.attrs["scenes"] = count
    return table


def _drawn(sample: torch.Tensor, size: int, draw: int) -> torch.Tensor:
    """Places of rows, at most ``size`` of each scene."""
    random = torch.rand(len(sample), generator=torch.Generator().manual_seed(draw))
    order = random.argsort(stable=True)
    order = order[sample[order].argsort(stable=True)]  # by scene, at random within
    counts = torch.bincount(sample)
    rank = torch.arange(len(sample)) - (counts.cumsum(0) - counts)[sample[order]]
    return order[rank < size].sort()[0]


def pixel_effect(scores: pd.DataFrame, table: pd.DataFrame, target: str) -> pd.DataFrame:
    """What drawing pixels does to the scores, against how much the sources differ.

    Args:
        scores: what :func:`pixel_scores` gives.
        table: the rows of the section, for the mean IoU of the sources.
        target: of the scores.

    Returns:
        Per metric and number of pixels: ``off``, the mean over the draws and sources of the score
        less that of all pixels; ``spread``, the deviation over the draws of a source's score,
        pooled over the sources; ``between``, that of the all-pixel score over the sources; ``low``
        and ``high``, the least and the most Pearson's r with the mean IoU among the draws, and
        ``r``, that of all pixels.
    """
    part = table[table["target"] == target].drop_duplicates("source").set_index("source")
    accuracy = part["accuracy"]
    found = []
    for metric, some in scores.groupby("metric", sort=False):
        whole = some[some["pixels"] == 0].set_index("source")["score"]
        y = accuracy.reindex(whole.index).to_numpy(float)
        r = correlate(whole.to_numpy(float), y)[0]
        for size, drawn in some[some["pixels"] > 0].groupby("pixels"):
            wide = drawn.pivot(index="source", columns="draw", values="score")  # noqa: PD010
            wide = wide.reindex(whole.index)
            rs = [correlate(wide[d].to_numpy(float), y)[0] for d in wide]
            found.append(
                {
                    "metric": metric,
                    "pixels": size,
                    "off": float((wide.sub(whole, axis=0)).to_numpy().mean()),
                    "spread": float(np.sqrt(wide.var(axis=1, ddof=1).mean())),
                    "between": float(whole.std(ddof=1)),
                    "low": float(np.min(rs)),
                    "high": float(np.max(rs)),
                    "r": r,
                }
            )
    return pd.DataFrame(found)


def pixel_table(effect: pd.DataFrame, target: str, scenes: int) -> Table:
    """The numbers of :func:`pixel_effect`, a block per metric."""
    blocks = []
    for metric, part in effect.groupby("metric", sort=False):
        lines = []
        for line in part.to_dict("records"):
            scale = line["between"] or np.nan
            cells = (
                Cell(number(line["off"] / scale, 2, sign=True)),
                Cell(number(line["spread"] / scale, 2)),
                Cell(
                    number((line["low"] + line["high"]) / 2, 2), interval(line["low"], line["high"])
                ),
            )
            lines.append((f"{line['pixels']}", cells))
        whole = (Cell("0"), Cell("0"), Cell(number(part["r"].iloc[0], 2)))
        lines.append(("all", whole))
        head = ("Pixels", "Off", "Spread", "r")
        blocks.append(Block(labels.metric(str(metric)), head, tuple(lines)))
    caption = (
        f"{labels.plain(target)}, {scenes} scenes: scores from so many pixels a scene. Off: mean "
        "difference from the score of all pixels; Spread: standard deviation over "
        f"{DRAWS} draws; both in units of the standard deviation of the all-pixel score over the "
        "sources. r: the middle of Pearson’s r with the mean IoU over the draws, with the least "
        "and the most beneath."
    )
    return Table(caption, tuple(blocks), (), effect)


def pixel_words(effect: pd.DataFrame, used: int = PIXELS) -> str:
    """What drawing the number of pixels that is used costs, as Markdown."""
    part = effect[effect["pixels"] == used]
    items = []
    for line in part.to_dict("records"):
        scale = line["between"] or np.nan
        spread, off = line["spread"] / scale, line["off"] / scale
        items.append(
            f"{labels.metric(line['metric'])}: spread {number(spread, 2)}, shift "
            f"{number(off, 2, sign=True)}, r from {number(line['low'], 2)} to "
            f"{number(line['high'], 2)} (all pixels: {number(line['r'], 2)})"
        )
    worst = part.assign(share=part["spread"] / part["between"])["share"].max()
    width = (part["high"] - part["low"]).max()
    verdict = (
        "small beside what the sources differ by"
        if worst < 0.1
        else "not small beside what the sources differ by"
    )
    return (
        f"With {used} pixels a scene the draw moves a source’s score by a standard deviation of "
        f"at most {number(worst, 2)} of that over the sources, which is {verdict}; r moves "
        f"within {number(width, 2)} over the draws. " + "; ".join(items) + ". "
        "A shift that all sources share does not change a correlation."
    )


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


COMMON = "common"
"""The variant of the hardest scenes as one network ranks them for all sources."""


def one_ranker(
    grid: Grid, wanted: Sequence[str], names: Sequence[str], table: pd.DataFrame
) -> pd.DataFrame:
    """The section's rows, with the scores on the hardest scenes of one ranker as a variant more.

    Where every source ranks for itself, each is scored on other scenes; the suite's
    ``hardness.source`` gives all of them the same.

    Args:
        grid: of the segmentation part of a suite.
        wanted: targets; those that the ranker was trained on are left out.
        names: metrics.
        table: the rows of the section.
    """
    ranker = grid.suite.hardness.source
    wanted = [target for target in wanted if taught_on(ranker)[1] != target]
    found = []
    for target in wanted:
        found += grid.rows("5.3", [target], names, sources=sources(grid.suite, target))
    common = frame(found)
    common = common[common["variant"] == "ca"].assign(variant=COMMON)
    return pd.concat([table[table["target"].isin(wanted)], common], ignore_index=True)


def ranker_table(correlations: pd.DataFrame, ranker: str) -> Table:
    """The correlations with the hardest scenes of each source's own ranking, and of one for all."""
    blocks = []
    variants = ("all", "random", "ca", COMMON)
    for metric, part in correlations.groupby("metric", sort=False):
        wide = part.pivot(index="target", columns="variant", values="value")  # noqa: PD010
        wide = wide.reindex(part["target"].unique())
        lines = [
            (labels.plain(str(target)), tuple(Cell(number(line[v])) for v in variants))
            for target, line in wide.iterrows()
        ]
        summary = len(wide) > 1
        if summary:
            lines.append(("Mean", tuple(Cell(number(float(wide[v].mean()))) for v in variants)))
        head = ("Target", "Baseline", "Random", "CA, own", "CA, one")
        blocks.append(Block(labels.metric(str(metric)), head, tuple(lines), int(summary)))
    caption = (
        "Pearson’s r between score and mean IoU, on all scenes, on random ones, on those hardest "
        f"for each source itself, and on those hardest for {labels.source(ranker)} alone, the same "
        "for all sources."
    )
    return Table(caption, tuple(blocks), (), correlations)


def ranker_words(correlations: pd.DataFrame) -> str:
    """What one ranker for all changes, as Markdown."""
    wide = correlations.pivot(  # noqa: PD010
        index=["target", "metric"], columns="variant", values="value"
    ).dropna()
    if wide.empty:
        return "There are too few sources for a correlation."
    better = int((wide[COMMON].round(3) > wide["ca"].round(3)).sum())
    above = {
        name: int((wide[name].round(3) > wide["random"].round(3)).sum()) for name in ("ca", COMMON)
    }
    means = {name: number(float(wide[name].mean())) for name in ("all", "random", "ca", COMMON)}
    return (
        f"On the same scenes for all sources r is higher than on each source’s own in {better} of "
        f"{len(wide)} comparisons. The random control is beaten in {above['ca']} with own rankings "
        f"and in {above[COMMON]} with one. Mean r over targets and metrics: baseline "
        f"{means['all']}, random {means['random']}, own {means['ca']}, one {means[COMMON]}."
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
