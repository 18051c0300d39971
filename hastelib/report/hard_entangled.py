"""Are hard subsets more entangled than the whole set? Figure 2, in numbers and as a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from hastelib.experiments import Grid
from hastelib.report import labels
from hastelib.report.comparison import ordered
from hastelib.report.tables import Block, Cell, Table, number

MEASURES = {
    "silhouette": "Silhouette",
    "purity": "Purity",
    "whole": "In the whole",
}


def purity(
    x: Float64[ndarray, "n d"],
    classes: Int64[ndarray, " n"],
    rows: Int64[ndarray, " k"],
    neighbours: int,
) -> Float64[ndarray, " k"]:
    """For some of the samples, the share of their nearest others that are of their class."""
    found = NearestNeighbors(n_neighbors=min(neighbours + 1, len(x))).fit(x)
    nearest = found.kneighbors(x[rows], return_distance=False)
    others = nearest != rows[:, None]
    others[others.all(1), -1] = False  # twins can push a sample out of its own list
    same = (classes[nearest] == classes[rows, None]) & others
    return same.sum(1) / others.sum(1)


def entangled(grid: Grid, targets: Sequence[str], neighbours: int = 10) -> pd.DataFrame:
    """How far the classes overlap in the reference's embedding, by subset of the train split.

    Returns:
        The columns target, variant, draw, samples, silhouette (mean, among the subset), purity
        (share of the nearest neighbours among the subset that are of the same class) and whole
        (the same, but neighbours are looked for in the whole train split, so that the size of
        the subset plays no part).
    """
    found = []
    for target in targets:
        features = grid.features(grid.suite.hardness.source, target)
        x, classes = features.embedding.numpy().astype(float), features.labels.numpy()
        among = purity(x, classes, np.arange(len(x)), neighbours)
        draws: dict[str, int] = {}
        for subset in grid.subsets(target):
            rows = subset.rows.numpy()
            own = purity(x[rows], classes[rows], np.arange(len(rows)), neighbours)
            draw = draws.setdefault(subset.variant, 0)
            draws[subset.variant] += 1
            values = silhouette(x[rows], classes[rows]), own.mean(), among[rows].mean()
            found.append((target, subset.variant, draw, len(rows), *map(float, values)))
    return pd.DataFrame(found, columns=["target", "variant", "draw", "samples", *MEASURES])


def silhouette(x: Float64[ndarray, "n d"], classes: Int64[ndarray, " n"]) -> float:
    """The mean silhouette; NaN where there are fewer than two classes, or as many as samples."""
    count = len(np.unique(classes))
    return float(silhouette_score(x, classes)) if 1 < count < len(x) else np.nan


def entangled_table(cells: pd.DataFrame) -> Table:
    """Entanglement by subset, means over the targets.

    Args:
        cells: what :func:`entangled` gives.
    """
    rows = []
    for variant in ordered(cells["variant"]):
        part = cells[cells["variant"] == variant].groupby("target")[list(MEASURES)].mean()
        values = tuple(Cell(number(float(part[name].mean()))) for name in MEASURES)
        rows.append((labels.variant(variant), values))
    caption = (
        "How separate the classes are in the reference network’s embedding, means over the "
        "targets (random: and over the draws): the silhouette; the share of the nearest neighbours "
        "that are of the sample’s own class, looked for in the subset (purity) and in the whole "
        "train split. Lower is more entangled."
    )
    head = ("Subset", *MEASURES.values())
    return Table(caption, (Block("", head, tuple(rows)),), (), cells)


def entangled_words(cells: pd.DataFrame) -> str:
    """What the entanglement says against the random control, as Markdown."""
    items = []
    targets = list(cells["target"].unique())
    random = cells[cells["variant"] == "random"].groupby("target")[list(MEASURES)]
    low, high = random.min(), random.max()
    for variant in ("ca", "cs"):
        part = cells[cells["variant"] == variant].set_index("target").loc[targets]
        parts = []
        for name, title in MEASURES.items():
            below = int((part[name] < low.loc[targets, name]).sum())
            above = int((part[name] > high.loc[targets, name]).sum())
            parts.append(f"{title.lower()} {below} / {above}")
        below = int((part["whole"] < low.loc[targets, "whole"]).sum())
        above = int((part["whole"] > high.loc[targets, "whole"]).sum())
        half = len(targets) / 2
        verdict = (
            "is more entangled than chance"
            if below > half
            else "is **less** entangled than chance"
            if above > half
            else "is not clearly more entangled than chance"
        )
        items.append(
            f"- **{labels.variant(variant)}** {verdict}. Below the lowest / above the highest of "
            f"the {cells.loc[cells['variant'] == 'random', 'draw'].nunique()} random draws, of "
            f"{len(targets)} targets: {', '.join(parts)}."
        )
    whole, control = (
        cells[cells["variant"] == v].groupby("target")[list(MEASURES)].mean().mean()
        for v in ("all", "random")
    )
    items.append(
        f"- **Size alone** takes the silhouette from {number(float(whole['silhouette']))} to "
        f"{number(float(control['silhouette']))} and the purity from "
        f"{number(float(whole['purity']))} to {number(float(control['purity']))}: a smaller set "
        "looks more entangled whichever samples it has. The last column is free of that."
    )
    return "\n".join(items)


@dataclass(frozen=True)
class Map:
    """A two-dimensional map of some classes.

    Attributes:
        points: (n, 2).
        classes: (n,) names.
        members: by variant, which of the points belong to it; ``all``, one random draw, CA, CS.
    """

    points: Float64[ndarray, "n 2"]
    classes: list[str]
    members: dict[str, Bool[ndarray, " n"]]


def tsne(grid: Grid, target: str, classes: int = 5, seed: int = 0) -> Map:
    """One t-SNE of the train split's samples of some random classes, for all subsets alike.

    Args:
        grid: whose reference source embeds and ranks.
        target: of the suite.
        classes: how many, drawn at random.
        seed: of that draw and of the t-SNE.
    """
    features = grid.features(grid.suite.hardness.source, target)
    present = features.labels.unique().numpy()
    chosen = np.sort(
        np.random.default_rng(seed).choice(present, min(classes, len(present)), replace=False)
    )
    rows = np.flatnonzero(np.isin(features.labels.numpy(), chosen))
    fit = TSNE(perplexity=min(30, (len(rows) - 1) / 3), init="pca", random_state=seed)
    points = fit.fit_transform(features.embedding.numpy()[rows]).astype(float)
    names = grid.data(target)["train"].features["label"].names
    subsets = {subset.variant: subset for subset in reversed(grid.subsets(target))}
    members = {
        variant: np.isin(rows, subsets[variant].rows.numpy()) for variant in ordered(subsets)
    }
    return Map(points, [names[int(i)] for i in features.labels[rows]], members)
