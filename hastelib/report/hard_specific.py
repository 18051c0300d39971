"""Class-specific hardness: what Eq. 4 gives where the covariance is singular, shown on numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy import ndarray

from hastelib import hardness
from hastelib.experiments import Grid
from hastelib.metrics import VARIANCE_FLOOR
from hastelib.report import labels
from hastelib.report.tables import Block, Cell, Table

WIDTHS = {"ResNet-18": 512, "BERT": 768, "DenseNet-121": 1024, "ResNet-50": 2048}
"""Widths of the last embedding of some of the paper's sources."""

PAPER = {
    "Flowers102": 10,
    "CUB200": 30,
    "StanfordDogs": 100,
    "Oxford-IIIT": 100,
    "Caltech101": 800,
    "PACS-Sketch": 816,
    "Imagenette": 993,
    "IMDB": 12_500,
}
"""Samples in the largest class of the train split as published; of all images for Caltech101 and
PACS-Sketch, which come without one (a train split has fewer)."""


def distances(x: Float64[ndarray, "n d"], invert: bool = False) -> Float64[ndarray, " n"]:
    r"""Eq. 4 for one class, as it is written: nothing shared with the library.

    .. math::

        H(x_i) = \sqrt{(x_i - \mu)^T \Sigma^{+} (x_i - \mu)}

    Args:
        x: (n, d) samples of one class.
        invert: by the inverse of the covariance; else by its pseudo-inverse.
    """
    residuals = x - x.mean(0)
    if invert:
        inverse = np.linalg.inv(residuals.T @ residuals / len(x))
    else:
        root = np.linalg.pinv(residuals)  # (R'R/n)^+ = n R^+ R^+'
        inverse = len(x) * root @ root.T
    squares = np.einsum("ij,jk,ik->i", residuals, inverse, residuals, optimize=True)
    return np.sqrt(squares.clip(min=0))


def equal_distances(
    sizes: Sequence[tuple[int, int]], seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Claims for :func:`hastelib.report.verify`: the nearest and the farthest sample of a class.

    Args:
        sizes: pairs of samples N and width d with N <= d + 1; by the inverse where N = d + 1.
        seed: of the samples, skewed ones on different scales.
    """
    random = np.random.default_rng(seed)
    claims = {}
    for n, d in sizes:
        x = random.exponential(size=(n, d)) * random.uniform(0.2, 5, d)
        found = distances(x, invert=n == d + 1)
        how = "inverse" if n == d + 1 else "pseudo-inverse"
        for which, value in (("nearest", found.min()), ("farthest", found.max())):
            claims[f"N = {n}, d = {d}, {how}: {which}"] = math.sqrt(n - 1), float(value)
    return claims


def predicted_spread(n: int, d: int) -> float:
    r"""The relative spread of the squared distances of n Gaussian samples from their own mean.

    :math:`H^2 / (n - 1)` has the beta distribution with d/2 and (n - d - 1)/2, so the standard
    deviation over the mean is :math:`\sqrt{2 (n - d - 1) / (d (n + 1))}`; 0 for n <= d + 1.
    """
    return math.sqrt(max(0, 2 * (n - d - 1)) / (d * (n + 1)))


def spread(d: int, sizes: Sequence[int], draws: int = 20, seed: int = 0) -> pd.DataFrame:
    """How different the distances of a class are by its size: simulated and predicted.

    Args:
        d: width of the embedding.
        sizes: samples of the class.
        draws: classes of each size.
        seed: of the samples.

    Returns:
        The columns d, size, measured (the relative spread of the squared distances, by the
        pseudo-inverse) and predicted.
    """
    random = np.random.default_rng(seed)
    found = []
    for n in sizes:
        squares = np.stack([distances(random.normal(size=(n, d))) ** 2 for _ in range(draws)])
        measured = math.sqrt(squares.var(axis=1).mean()) / squares.mean()
        found.append((d, n, measured, predicted_spread(n, d)))
    return pd.DataFrame(found, columns=["d", "size", "measured", "predicted"])


def singular_in_the_paper() -> Table:
    """For which of the paper's data sets every class has N_c <= d + 1."""
    rows = []
    for name, largest in PAPER.items():
        cells = [Cell(f"{largest:,}")]
        cells += [Cell("all" if largest <= d + 1 else "not all") for d in WIDTHS.values()]
        rows.append((name, tuple(cells)))
    widths = ", ".join(f"{d:,} {name}" for name, d in WIDTHS.items())
    caption = (
        "Whether all classes of a data set are so small that Eq. 4 makes every sample equally "
        f"hard, by the width d of the source’s embedding ({widths}): the largest class has at most "
        "d + 1 samples (train split as published; all images of Caltech101 and PACS-Sketch, which "
        "come without a split)."
    )
    head = ("Data set", "N_c ≤", *(f"{d:,}" for d in WIDTHS.values()))
    return Table(caption, (Block("", head, tuple(rows)),))


def mean_squares(grid: Grid, targets: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Claims for :func:`hastelib.report.verify`: in every class of every target's train split the
    mean of H^2 is d under ``spherical`` and ``diagonal``. Classes in which the floor of the
    variance acts, where the mean is lower, are left out and counted.
    """
    claims = {}
    for covariance in ("spherical", "diagonal"):
        means, floored, d = [], 0, 0
        for target in targets:
            features = grid.features(grid.suite.hardness.source, target)
            x, d = features.embedding.double(), features.embedding.shape[1]
            squares = hardness.class_specific(x, features.labels, covariance).square()
            for name in features.labels.unique():
                rows = features.labels == name
                variances = x[rows].var(0, correction=0)
                least = variances.mean() if covariance == "spherical" else variances.min()
                if least > VARIANCE_FLOOR:
                    means.append(float(squares[rows].mean()))
                else:
                    floored += 1
        if means:
            left_out = f", {floored} at the floor left out" if floored else ""
            name = f"{covariance}: farthest from d of {len(means)} classes{left_out}"
            claims[name] = float(d), max(means, key=lambda mean: abs(mean - d))
    return claims


def refusal(grid: Grid, targets: Sequence[str]) -> dict[str, str]:
    """By target, why ``full`` refuses its train split; targets that it serves are left out."""
    found = {}
    for target in targets:
        features = grid.features(grid.suite.hardness.source, target)
        try:
            hardness.class_specific(features.embedding, features.labels, "full")
        except ValueError as error:
            found[target] = str(error)
    return found


def refusal_words(refused: Mapping[str, str], targets: Sequence[str]) -> str:
    """Where ``full`` refuses, and its message, as Markdown.

    Args:
        refused: what :func:`refusal` gives.
        targets: all that were asked for.
    """
    if not refused:
        return f"`full` serves the train split of all {len(targets)} targets."
    target, message = next(iter(refused.items()))
    served = [labels.plain(name) for name in targets if name not in refused]
    return (
        f"`full` refuses the train split of {len(refused)} of {len(targets)} targets and serves "
        f"{', '.join(served) or 'none'}. On {labels.plain(target)} it says:\n\n> {message}"
    )
