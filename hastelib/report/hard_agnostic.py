"""Class-agnostic hardness: how much of the source data it needs, and what it measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.stats
import torch
from jaxtyping import Float64, Int64
from numpy import ndarray
from torch import Tensor

from hastelib import hardness, stats
from hastelib.experiments import Grid
from hastelib.extract import Features
from hastelib.report import labels
from hastelib.report.hard import CHANCE, auc, fine_tuned_errors, sides
from hastelib.report.hard_costs import by_matrix, unit
from hastelib.report.tables import Block, Cell, Table, number

READINGS = {
    "cosine": "Mean cosine, ours",
    "dot": "Dot product, as printed",
    "norm": "Minus the norm",
    "nearest": "Nearest by cosine",
}


def agreement(
    first: Float64[ndarray, " n"], second: Float64[ndarray, " n"], fraction: float
) -> tuple[float, float]:
    """Spearman's correlation of two hardnesses, and the share of the hard subset they share."""
    rank = float(scipy.stats.spearmanr(first, second).statistic)
    hard = [set(hardness.hardest(values, fraction).tolist()) for values in (first, second)]
    return rank, len(hard[0] & hard[1]) / len(hard[0])


def sampled(
    grid: Grid,
    targets: Sequence[str],
    source: Features,
    shares: Sequence[float] = (0.01, 0.1),
    draws: int = 20,
) -> pd.DataFrame:
    """Hardness from a sample of the source data, drawn from each class alike, against all of it.

    Args:
        grid: whose reference source ranks.
        targets: of the suite.
        source: what the grid's reference source makes of its own source data.
        shares: of the source data.
        draws: samples of each size.

    Returns:
        The columns share, samples, draw, target, rank (Spearman's correlation with the hardness
        from all source samples) and overlap (the share of the hard subset that is the same).
    """
    fraction = grid.suite.hardness.fraction
    every = list(source.layers.values())
    layers = {
        target: list(grid.features(grid.suite.hardness.source, target).layers.values())
        for target in targets
    }

    def ranked(signature: hardness.Signature) -> dict[str, Float64[ndarray, " n"]]:
        return {
            target: hardness.class_agnostic(x, signature).numpy() for target, x in layers.items()
        }

    whole = ranked(hardness.source_signature(every))
    found = []
    for share in shares:
        for draw in range(draws):
            rows = _stratified(source.labels.numpy(), share, draw)
            part = ranked(hardness.source_signature([x[rows] for x in every]))
            for target in targets:
                pair = agreement(whole[target], part[target], fraction)
                found.append((share, len(rows), draw, target, *pair))
    columns = ["share", "samples", "draw", "target", "rank", "overlap"]
    return pd.DataFrame(found, columns=columns)


def _stratified(classes: Int64[ndarray, " m"], share: float, seed: int) -> Int64[ndarray, " k"]:
    """Rows of a sample that takes the same share of each class, at least one."""
    random = np.random.default_rng(seed)
    parts = []
    for one in np.unique(classes):
        rows = np.flatnonzero(classes == one)
        parts.append(random.choice(rows, max(1, round(share * len(rows))), replace=False))
    return np.concatenate(parts)


def sampled_table(cells: pd.DataFrame) -> Table:
    """How much a sample of the source data changes: mean over the draws, the worst beneath.

    Args:
        cells: what :func:`sampled` gives.
    """
    blocks = []
    for (share, samples), part in cells.groupby(["share", "samples"]):
        rows = []
        for target, lines in part.groupby("target", sort=False):
            pair = (
                Cell(number(lines[name].mean()), f"≥ {number(lines[name].min())}")
                for name in ("rank", "overlap")
            )
            rows.append((labels.plain(str(target)), tuple(pair)))
        title = f"{100 * float(str(share)):.3g}% of the source ({samples})"
        blocks.append(Block(title, ("Target", "Spearman", "Overlap"), tuple(rows)))
    caption = (
        "Class-agnostic hardness from a sample of the source data against that from all of it: "
        "rank correlation over the train split, and the share of the hard subset that is the "
        f"same. Mean over {cells['draw'].nunique()} samples, the lowest beneath."
    )
    return Table(caption, tuple(blocks), (), cells)


def sampled_words(cells: pd.DataFrame) -> str:
    """What a sample of the source data changes, as Markdown."""
    parts = []
    for share, part in cells.groupby("share"):
        overlap = 100 * part["overlap"]
        parts.append(
            f"{100 * float(str(share)):.3g}% of the source data keep {number(overlap.mean(), 0)}% "
            f"of the hard subset in the mean and {number(overlap.min(), 0)}% at worst, with a rank "
            f"correlation of {number(part['rank'].mean())}"
        )
    return f"Means over targets and draws: {'; '.join(parts)}."


def readings(grid: Grid, targets: Sequence[str], source: Features) -> pd.DataFrame:
    """Eqs. 1-2 read in other ways: do they rank the same samples as hard, and find the errors?

    Besides :data:`READINGS` each layer by itself (the cosine).

    Returns:
        The columns target, reading, rank and overlap (with the cosine, train split), rank_dot
        (with the dot product), and auc, low, high (for the errors of the fine-tuned networks, test
        split).
    """
    fraction, name = grid.suite.hardness.fraction, grid.suite.hardness.source
    found = []
    for target in targets:
        wrong = fine_tuned_errors(grid, target)
        sides_ = {
            split: by_reading(source.layers, grid.features(name, target, split).layers)
            for split in ("train", "test")
        }
        for reading, train in sides_["train"].items():
            pair = agreement(sides_["train"]["cosine"], train, fraction)
            dot, _ = agreement(sides_["train"]["dot"], train, fraction)
            test = stats.interval(auc(sides_["test"][reading], wrong, resamples=200))
            found.append((target, reading, *pair, dot, *test))
    columns = ["target", "reading", "rank", "overlap", "rank_dot", "auc", "low", "high"]
    return pd.DataFrame(found, columns=columns)


def by_reading(
    source: dict[str, Tensor], target: dict[str, Tensor]
) -> dict[str, Float64[ndarray, " n"]]:
    """The hardness of the target samples under each reading, from the layers of both sides."""
    mean, nearest = by_matrix(list(source.values()), list(target.values()))
    pairs = [(source[name].double(), target[name].double()) for name in source]
    dots = torch.stack([x @ s.mean(0) for s, x in pairs]).mean(0)
    norms = torch.stack([x.norm(dim=1) for _, x in pairs]).mean(0)
    found = {
        "cosine": mean,
        "dot": (1 - dots).numpy(),
        "norm": (-norms).numpy(),
        "nearest": nearest,
    }
    for name, x in target.items():
        cosine = unit(x) @ unit(source[name]).mean(0)
        found[f"only {name.removesuffix('.0')}"] = (1 - cosine).numpy()
    return found


def readings_table(cells: pd.DataFrame) -> Table:
    """The readings of Eqs. 1-2 side by side, means over the targets.

    Args:
        cells: what :func:`readings` gives.
    """
    rows = []
    for reading, part in cells.groupby("reading", sort=False):
        above, below = sides(part)
        texts = (
            number(part["rank"].mean(), 2),
            number(part["overlap"].mean(), 2),
            number(part["auc"].mean()),
            f"{above} / {below}",
        )
        name = READINGS.get(str(reading), labels.plain(str(reading)).capitalize())
        rows.append((name, tuple(map(Cell, texts))))
    count = cells["target"].nunique()
    caption = (
        "Eqs. 1–2 read in different ways, means over the targets: Spearman’s correlation with the "
        "mean cosine and the share of the hard subset that is the same (train split; two random "
        "subsets would share their fraction), the AUC for the errors of the fine-tuned networks "
        f"(test split, 0.5 is chance), and on how many of {count} targets its 95% interval lies "
        "above / below chance."
    )
    head = ("Hardness", "Spearman", "Overlap", "AUC", "↑ / ↓")
    return Table(caption, (Block("", head, tuple(rows)),), (), cells)


def readings_words(cells: pd.DataFrame) -> str:
    """What the readings change, as Markdown."""
    rank, overlap, area, like_dot = (
        {str(name): float(value) for name, value in cells.groupby("reading")[column].mean().items()}
        for column in ("rank", "overlap", "auc", "rank_dot")
    )
    wide = cells.pivot(index="target", columns="reading", values="auc")  # noqa: PD010
    turned = (
        "The two disagree even on the direction: what the dot product calls hard is classified "
        "worse than the rest, what the cosine calls hard better. "
        if area["cosine"] < CHANCE < area["dot"]
        else ""
    )
    decides = "decides" if rank["dot"] < 0.5 else "matters little"
    return (
        f"**Whether the embeddings are normalised {decides}.** The dot product, Eq. 1 as printed, "
        f"correlates with the cosine at {number(rank['dot'], 2)}, and its hard subset shares "
        f"{number(100 * overlap['dot'], 0)}% with that of the cosine. {turned}The dot product has "
        f"the higher AUC on {int((wide['dot'] > wide['cosine']).sum())} of {len(wide)} targets. "
        f"With minus the norm of the embedding it correlates at {number(like_dot['norm'], 2)} "
        f"(the cosine at {number(rank['norm'], 2)}), and the norm alone has an AUC of "
        f"{number(area['norm'])} against its {number(area['dot'])}. Taking the nearest source "
        f"sample instead of the mean over all gives {number(area['nearest'])} against the "
        f"cosine’s {number(area['cosine'])}."
    )
