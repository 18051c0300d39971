"""Is it on the hard samples that networks differ? Section 1's key principle, on a suite."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy import ndarray

from hastelib import stats
from hastelib.experiments import Grid
from hastelib.report import labels
from hastelib.report.bins import hardness_bins
from hastelib.report.hard import fine_tuned_errors
from hastelib.report.tables import Block, Cell, Table, number


def principle(grid: Grid, targets: Sequence[str], draws: int = 20) -> pd.DataFrame:
    """How far the networks differ in each fifth of the test samples, and about what.

    The paper's key principle is that easy samples contribute little to a comparison of networks.

    Returns:
        The columns target, variant (``ca``, ``cs``, or ``random``, the mean over random orders),
        bin (1 is the hardest), spread (standard deviation of the sources' accuracies in the bin)
        and agreement (their Pearson correlation with the accuracies on the rest).
    """
    found = []
    for target in targets:
        right = {name: ~outcome for name, outcome in fine_tuned_errors(grid, target).items()}
        orders = {v: [h.numpy()] for v, h in grid.hardness(target, "test").items()}
        random = np.random.default_rng(0)
        count = len(next(iter(right.values())))
        orders["random"] = [random.permutation(count) for _ in range(draws)]
        for variant, hardnesses in orders.items():
            several = pd.concat([_by_bin(hardness_bins(h, right)) for h in hardnesses])
            if variant == "random":  # its bins are all alike
                several["bin"] = 0
            means = several.groupby("bin", as_index=False)[["spread", "agreement"]].mean()
            found.append(means.assign(target=target, variant=variant))
    return pd.concat(found, ignore_index=True)


def _by_bin(bins: pd.DataFrame) -> pd.DataFrame:
    hits, totals = (
        bins.pivot(index="source", columns="bin", values=name)  # noqa: PD010
        for name in ("correct", "total")
    )
    rest = (hits.sum(axis=1).to_numpy()[:, None] - hits) / (
        totals.sum(axis=1).to_numpy()[:, None] - totals
    )
    shares = hits / totals
    found = [
        (place, shares[place].std(), _pearson(shares[place].to_numpy(), rest[place].to_numpy()))
        for place in shares
    ]
    return pd.DataFrame(found, columns=["bin", "spread", "agreement"])


def _pearson(x: Float64[ndarray, " n"], y: Float64[ndarray, " n"]) -> float:
    return float(stats.replicates("pearson", x, y, 1)[0]) if len(x) > 2 else math.nan


def principle_table(cells: pd.DataFrame) -> Table:
    """Is it on the hard samples that networks differ? Means over the targets.

    Args:
        cells: what :func:`principle` gives.
    """
    means = cells.groupby(["variant", "bin"])[["spread", "agreement"]].mean()
    places = sorted(set(cells["bin"]) - {0})
    variants = [v for v in cells["variant"].unique() if v != "random"]
    blocks = []
    for name, title, scale, digits in (
        ("spread", "Spread of the networks", 100, 1),
        ("agreement", "Agreement with the rest", 1, 2),
    ):
        rows = [
            (
                f"B{place}",
                tuple(Cell(number(scale * means[name][v, place], digits)) for v in variants),
            )
            for place in places
        ]
        control = Cell(number(scale * means[name]["random", 0], digits))
        rows.append(("random fifth", (control,) * len(variants)))
        head = ("Fifth", *map(labels.variant, variants))
        blocks.append(Block(title, head, tuple(rows), summary=1))
    caption = (
        "In each fifth of the test split from the hardest (B1), over the fine-tuned sources and "
        "in the mean over the targets: the standard deviation of their accuracies in points, and "
        "the correlation of these accuracies with those on the other four fifths."
    )
    return Table(caption, tuple(blocks), (), cells)


def principle_words(cells: pd.DataFrame) -> str:
    """What the spread says, as Markdown."""
    wide = cells.pivot(index="target", columns=["variant", "bin"])  # noqa: PD010
    last = int(cells["bin"].max())
    items = []
    for variant in (v for v in cells["variant"].unique() if v != "random"):
        hard, easy = wide["spread", variant, 1], wide["spread", variant, last]
        control = wide["spread", "random", 0]
        items.append(
            f"- **{labels.variant(variant)}**: the networks differ by "
            f"{number(100 * hard.mean(), 1)} points in the hardest fifth, "
            f"{number(100 * easy.mean(), 1)} in the easiest and {number(100 * control.mean(), 1)} "
            f"in a random one; more in the hardest than in the easiest on "
            f"{int((hard > easy).sum())} of {len(wide)} targets, more than in a random one on "
            f"{int((hard > control).sum())}. Accuracies in the hardest fifth correlate with those "
            f"on the rest at {number(wide['agreement', variant, 1].mean(), 2)}, in a random "
            f"fifth at {number(wide['agreement', 'random', 0].mean(), 2)}."
        )
    return "\n".join(items)
