"""A score over pixels: what it is, and what drawing some of them does to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from hastelib import extract, metrics
from hastelib.data.scenes import IGNORE
from hastelib.experiments import Grid
from hastelib.extract import Features
from hastelib.models import segmentation as networks
from hastelib.models.segmentation import PIXELS
from hastelib.report import labels
from hastelib.report.comparison import correlate
from hastelib.report.segmentation.sets import pictures, sources
from hastelib.report.tables import Block, Cell, Table, interval, number

SIZES = (4, 16, PIXELS, 256)
"""Pixels a scene whose effect on the scores is measured."""

DRAWS = 10
MOST = 400_000
"""Pixels that stand for all of them where the effect of drawing some is measured."""


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


def pixel_words(effect: pd.DataFrame, fraction: float, used: int = PIXELS) -> str:
    """What drawing the number of pixels that is used costs, as Markdown.

    Args:
        effect: what :func:`pixel_effect` gives.
        fraction: share of the scenes in a hard subset.
        used: pixels a scene.
    """
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
        "A shift that all sources share does not change a correlation. "
        + _of_fewer(effect, fraction * used)
    )


def _of_fewer(effect: pd.DataFrame, pixels: float) -> str:
    """What holds for a hard subset, whose scenes are fewer."""
    sizes = effect.loc[effect["between"] > 0, "pixels"].unique()
    near = min(sizes, key=lambda size: abs(np.log(size / pixels)))
    part = effect[effect["pixels"] == near]
    worst = (part["spread"] / part["between"]).max()
    return (
        "All this is of the whole train split. A hard subset has as many pixels as the whole has "
        f"with {number(pixels, 0)} a scene; with {near} the deviation is up to {number(worst, 2)} "
        "of that between the sources, so its scores are the more uncertain ones."
    )
