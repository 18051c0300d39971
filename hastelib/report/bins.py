"""Accuracy by hardness: are the samples that are called hard the ones that networks get wrong?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hastelib.report import labels
from hastelib.report.tables import Block, Cell, Table, number

Z = 1.959963984540054
"""The 97.5% quantile of the normal distribution."""


def hardness_bins(hardness: Any, correct: Mapping[str, Any], bins: int = 5) -> pd.DataFrame:
    """Accuracy from the hardest samples to the easiest (the paper's Fig. 1a, there with CA).

    Args:
        hardness: (n,) the test samples' hardness, an array or a tensor.
        correct: per source, (n,) whether its fine-tuned network got the sample right.
        bins: bins of equal size, the first ``n mod bins`` of them one sample larger.

    Returns:
        The columns source, bin (1 is the hardest), correct and total, the counts, accuracy, and
        low and high, its 95% interval (:func:`wilson`).

    Raises:
        ValueError: shapes that are wrong or disagree, a hardness that is not finite, more bins
            than samples.
    """
    values = np.asarray(hardness, dtype=float)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"hardness: expected (n,) finite numbers, got shape {values.shape}")
    if not 1 <= bins <= len(values):
        raise ValueError(f"bins: expected 1 to {len(values)}, the number of samples, got {bins}")
    parts = np.array_split(np.argsort(-values, kind="stable"), bins)
    found = []
    for source, outcome in correct.items():
        right = np.asarray(outcome)
        if right.shape != values.shape or right.dtype != bool:
            raise ValueError(
                f"correct[{source!r}]: expected {len(values)} truth values, got shape "
                f"{right.shape} of {right.dtype}"
            )
        for place, part in enumerate(parts, start=1):
            hits = int(right[part].sum())
            ends = wilson(hits, len(part))
            found.append((source, place, hits, len(part), hits / len(part), *ends))
    columns = ["source", "bin", "correct", "total", "accuracy", "low", "high"]
    return pd.DataFrame(found, columns=columns)


def wilson(hits: int, total: int) -> tuple[float, float]:
    r"""The 95% interval of a share after Wilson (1927), inside [0, 1] for any counts.

    .. math::

        \frac{p + z^2 / 2n \pm z \sqrt{p (1 - p) / n + z^2 / 4n^2}}{1 + z^2 / n}

    with :math:`p` = ``hits / total``, :math:`n` = ``total`` and :math:`z` = 1.96.
    """
    share, scale = hits / total, 1 + Z**2 / total
    centre = share + Z**2 / (2 * total)
    half = Z * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def extremes(bins: Mapping[tuple[str, str], pd.DataFrame]) -> Table:
    """Is what a hardness calls hard what the networks get wrong, on every target?

    Args:
        bins: by target and variant (``ca``, ``cs``), what :func:`hardness_bins` gives.

    Returns:
        A block per variant, targets down: the accuracy in the hardest bin, in the easiest, and
        the difference in points, over all sources taken together; a note says on how many
        targets the hardest bin is classified worse. ``frame`` has the columns target, variant,
        hardest, easiest.
    """
    found = [
        (target, variant, *(_share(part, place) for place in (1, part["bin"].max())))
        for (target, variant), part in bins.items()
    ]
    table = pd.DataFrame(found, columns=["target", "variant", "hardest", "easiest"])
    blocks, notes = [], []
    for variant, part in table.groupby("variant", sort=False):
        gaps = part["easiest"] - part["hardest"]
        lines = []
        for target, hardest, easiest in zip(
            part["target"], part["hardest"], part["easiest"], strict=True
        ):
            shares = (Cell(number(100 * share, 1)) for share in (hardest, easiest))
            gap = Cell(number(100 * (easiest - hardest), 1, sign=True))
            lines.append((labels.plain(target), (*shares, gap)))
        name = labels.variant(str(variant))
        blocks.append(Block(name, ("Target", "Hardest", "Easiest", "Difference"), tuple(lines)))
        worse = int((gaps > 0).sum())
        notes.append(
            f"{name}: the hardest part is classified worse than the easiest on {worse} of "
            f"{len(part)} targets; the mean difference is "
            f"{number(100 * float(gaps.mean()), 1, sign=True)} points."
        )
    caption = (
        "Accuracy in % of the fine-tuned networks (first seed, taken together) on the hardest and "
        "on the easiest part of the test split; CS uses that split's labels and class means. A "
        "positive difference says that this hardness finds what the networks get wrong."
    )
    return Table(caption, tuple(blocks), tuple(notes), table)


def _share(part: pd.DataFrame, place: int) -> float:
    chosen = part[part["bin"] == place]
    return float(chosen["correct"].sum() / chosen["total"].sum())
