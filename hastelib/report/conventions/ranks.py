"""The H-score by rank, shrinkage and arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hastelib import metrics
from hastelib.experiments import Grid
from hastelib.report import labels
from hastelib.report.conventions.effects import cases
from hastelib.report.conventions.forms import Case
from hastelib.report.tables import Block, Cell, Table, number


def rules(case: Case, shuffles: int = 5, seed: int = 0) -> dict[str, float]:
    """The H-score with and without shrinkage, what chance gives either, and 32-bit arithmetic.

    Args:
        case: the samples.
        shuffles: of the labels, behind the chance level of the shrunk score.
        seed: of the shuffles.

    Returns:
        score and chance (the mean over all shuffles, exactly), shrunk and shrunk_chance (with
        ``ledoit_wolf``), and single, by a pseudo-inverse cut at 1e-15 in 32-bit arithmetic.
    """
    n, most = len(case.X), len(case.counts) - 1
    rank = int(np.linalg.matrix_rank(case.X - case.X.mean(0)))
    generator = np.random.default_rng(seed)
    shuffled = [
        metrics.h_score(case.X, generator.permutation(case.index), "ledoit_wolf")
        for _ in range(shuffles)
    ]
    return {
        "score": metrics.h_score(case.X, case.index),
        "chance": rank * most / (n - 1),
        "shrunk": metrics.h_score(case.X, case.index, "ledoit_wolf"),
        "shrunk_chance": float(np.mean(shuffled)),
        "single": _pseudo_inverse(case, np.float32, 1e-15),
    }


def tolerances(grid: Grid, target: str, variants: Sequence[str] = ("all", "cs")) -> Table:
    """How much of the H-score is chance, shrunk or not, and what rounding can make of it.

    Args:
        grid: the sources.
        target: of the suite.
        variants: subsets, a block for each.
    """
    blocks, found = [], []
    by_source = {source: cases(grid, source, target) for source in grid.suite.sources}
    for variant in variants:
        rows = []
        for source, parts in by_source.items():
            case = parts[variant]
            line = rules(case)
            found.append({"variant": variant, "source": source, "d": case.X.shape[1]} | line)
            cells = (
                Cell(number(line["score"], 1), f"d {case.X.shape[1]}", bold=True),
                Cell(number(line["chance"], 1)),
                Cell(number(line["shrunk"], 1), bold=True),
                Cell(number(line["shrunk_chance"], 1)),
                Cell(number(line["single"], 1)),
            )
            rows.append((labels.source(source), cells))
        title = f"{labels.variant(variant)}, n = {len(case.X)}, c − 1 = {len(case.counts) - 1}"
        head = ("Source", "H", "Chance", "L–W", "Chance", "32-bit")
        blocks.append(Block(title, head, tuple(rows)))
    caption = (
        f"The H-score on {labels.plain(target)}, beneath it the width, and what it is in the mean "
        "over shuffled labels; the same two "
        "with the Ledoit–Wolf covariance; and the H-score by a pseudo-inverse that cuts at 1e-15 "
        "in 32-bit arithmetic."
    )
    return Table(caption, tuple(blocks), (), pd.DataFrame(found))


def _pseudo_inverse(case: Case, kind: type[np.floating], tolerance: float) -> float:
    """The H-score by a d x d pseudo-inverse in the arithmetic of ``kind``."""
    X = case.X.astype(kind)
    g = case.means(case.X).astype(kind)[case.index]
    covariances = [(Z - Z.mean(0)).T @ (Z - Z.mean(0)) / kind(len(Z) - 1) for Z in (X, g)]
    return float(np.trace(np.linalg.pinv(covariances[0], rcond=tolerance) @ covariances[1]))
