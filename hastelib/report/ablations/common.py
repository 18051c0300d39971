"""Scores on any parts of the targets, and their correlations as curves over size or share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from numpy import ndarray
from torch import Tensor

from hastelib import extract, stats
from hastelib.experiments import HARD, Grid, Subset, scoring
from hastelib.records import frame
from hastelib.report.comparison import FEWEST, MEAN, ordered
from hastelib.store import key, writing

Cell3 = tuple[str, str, float]
"""A metric, a variant and a place."""


@dataclass(frozen=True)
class Part:
    """Rows of a target's train split to score, and what they are.

    Attributes:
        variant: ``ca``, ``cs`` or ``random``, by what the rows were chosen.
        place: where on the axis of the curve: a size, a bucket's number, a share.
        draw: which repetition, 0 where nothing is random.
        rows: (k,) indices.
    """

    variant: str
    place: float
    draw: int
    rows: Tensor


def shuffled(n: int, draw: int) -> Tensor:
    """A random order of n samples; the grid's random subsets begin it."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(draw))


def scored(
    grid: Grid,
    section: str,
    targets: Sequence[str],
    names: Sequence[str],
    parts: Callable[[str], list[Part]],
) -> pd.DataFrame:
    """The scores of every source on the parts of every target, kept in the store.

    Args:
        grid: of the suite.
        section: the paper's.
        targets: of the suite.
        names: metrics.
        parts: the parts of a target, the same for all sources.

    Returns:
        The columns of :class:`hastelib.records.Row`, and ``place`` and ``draw``: a line per
        target, source, metric and part, and one of place 1 for ``all``, the baseline.
    """
    whole = frame(grid.rows(section, targets, names))
    found: list[dict[Any, Any]] = []
    chosen = {target: parts(target) for target in targets}
    for line in whole[whole["variant"] == "all"].to_dict("records"):
        found.append(line | {"place": 1.0, "draw": 0})
        of_target = chosen[line["target"]]
        scores = _kept(grid, line["source"], line["target"], line["metric"], of_target)
        for part, score in zip(of_target, scores, strict=True):
            by = grid.suite.hardness.source if part.variant in HARD else ""
            told = {"variant": part.variant, "place": part.place, "draw": part.draw}
            found.append(line | score | told | {"hardness_source": by})
    return pd.DataFrame(found)


def _kept(
    grid: Grid, source: str, target: str, metric: str, parts: Sequence[Part]
) -> list[dict[str, Any]]:
    """The score of each part, as columns of a row, from the store where it is there."""
    # A name for each part, so that none is averaged with another.
    subsets = [Subset(f"part {i}", part.rows) for i, part in enumerate(parts)]

    def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
        with extract.threaded(grid.suite.recipe.threads):
            features = grid.features(source, target)
            return {}, {"scores": scoring.score([metric], features, subsets).get(metric, [])}

    entry = key(parts=grid.score_entries(source, target, [metric], subsets)[metric])
    return list(grid.store.get("scores", entry, make)[1]["scores"])


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a tidy table as CSV, whole or not at all; missing numbers as ``nan``."""
    with writing(path) as temporary:
        table.to_csv(temporary, index=False, na_rep="nan", lineterminator="\n")


def about_file(path: Path, table: pd.DataFrame, extra: str) -> str:
    """Where the lines lie, and what they have beyond the columns of a row, as Markdown."""
    first = table.iloc[0]
    return (
        f"{len(table)} lines are in `{path}`: the columns that "
        f"[`hastelib.records`](../book/api.md) documents, and {extra}. Measured on: "
        f"{first['device']}; {first['versions']}."
    )


@dataclass(frozen=True)
class Curves:
    """Correlations over the sources at every place, with their bootstrap.

    Attributes:
        samples: (metric, variant, place) -> target -> (draws, 1 + resamples), for every draw the
            correlation and then that of each resample of the sources. The same sources are
            resampled together everywhere, so that differences are paired. Cells without a
            correlation are left out.
        missing: the cells without one: metric, variant, place, target and why.
    """

    samples: Mapping[Cell3, Mapping[str, Float64[ndarray, "draws b"]]]
    missing: pd.DataFrame

    @property
    def metrics(self) -> list[str]:
        """In their order."""
        return list(dict.fromkeys(metric for metric, _, _ in self.samples))

    @property
    def targets(self) -> list[str]:
        """In their order."""
        return list(dict.fromkeys(name for cells in self.samples.values() for name in cells))

    def places(self, metric: str, variant: str) -> list[float]:
        """Where the curve has a point, ascending."""
        return sorted(p for m, v, p in self.samples if (m, v) == (metric, variant))

    def of(self, cell: Cell3, target: str = MEAN) -> Float64[ndarray, " b"]:
        """A cell's mean over the draws, and over its targets unless one is named."""
        parts = self.samples.get(cell, {})
        chosen = list(parts.values()) if target == MEAN else [parts[target]]
        return np.mean([part.mean(0) for part in chosen], axis=0)

    def common(self, *cells: Cell3) -> list[str]:
        """The targets on which all these cells have a correlation."""
        return [t for t in self.targets if all(t in self.samples.get(c, {}) for c in cells)]

    def difference(
        self, first: Cell3, second: Cell3, target: str = MEAN
    ) -> tuple[float, float, float]:
        """The first cell less the second, with a 95% interval, on the targets of both."""
        both = self.common(first, second)
        both = both if target == MEAN else [name for name in both if name == target]
        if not both:
            return np.nan, np.nan, np.nan
        sample = [self.of(first, name) - self.of(second, name) for name in both]
        return stats.interval(np.mean(sample, axis=0))

    def table(self) -> pd.DataFrame:
        """All points.

        Returns:
            The columns target (:data:`MEAN` for the mean over them), metric, variant, place;
            value, low, high (95% over the sources); std over the draws (``nan`` for one), draws
            and targets (behind the point); gain, gain_low, gain_high against the baseline, and
            control, control_low, control_high against the random part at the same place.
        """
        return self._lines.copy()

    @cached_property
    def _lines(self) -> pd.DataFrame:
        found = []
        for cell, parts in self.samples.items():
            metric, variant, place = cell
            for target in (*parts, MEAN):
                chosen = [*parts.values()] if target == MEAN else [parts[target]]
                value, low, high = stats.interval(self.of(cell, target))
                draws = min(len(part) for part in chosen)
                each = np.mean([part[:draws, 0] for part in chosen], axis=0)
                line: dict[str, Any] = {
                    "target": target,
                    "metric": metric,
                    "variant": variant,
                    "place": place,
                    "value": value,
                    "low": low,
                    "high": high,
                    "std": float(each.std(ddof=1)) if draws > 1 else np.nan,
                    "draws": draws,
                    "targets": len(chosen),
                }
                for name, other in (
                    ("gain", (metric, "all", 1.0)),
                    ("control", (metric, "random", place)),
                ):
                    ends = (name, f"{name}_low", f"{name}_high")
                    gain = self.difference(cell, other, target)
                    line |= dict(zip(ends, gain, strict=True))
                found.append(line)
        return pd.DataFrame(found)

    def line(self, metric: str, variant: str, target: str = MEAN) -> pd.Series:
        """A curve's values by place."""
        places = [p for p in self.places(metric, variant) if self._has(metric, variant, p, target)]
        values = [float(self.of((metric, variant, p), target)[0]) for p in places]
        return pd.Series(values, index=places, dtype=float)

    def best(self, metric: str, variant: str, target: str = MEAN) -> float:
        """The place of a curve's highest value."""
        line = self.line(metric, variant, target)
        return float(line.index[int(line.to_numpy().argmax())])

    def _has(self, metric: str, variant: str, place: float, target: str) -> bool:
        return target == MEAN or target in self.samples[metric, variant, place]


def curves(
    table: pd.DataFrame, statistic: str = "pearson", resamples: int = 1000, seed: int = 0
) -> Curves:
    """The correlations over the sources of every target, metric, variant, place and draw.

    Args:
        table: what :func:`scored` gives.
        statistic: of :mod:`hastelib.stats`.
        resamples: bootstrap samples of the sources.
        seed: of the bootstrap.

    Raises:
        ValueError: some metric has no correlation of the baseline on any target.
    """
    found: dict[Cell3, dict[str, list[ndarray]]] = {}
    missing: list[dict[str, Any]] = []
    groups = ["metric", "variant", "place", "target", "draw"]
    for cell, part in table.groupby(groups, sort=False):
        metric, variant, place, target, _ = cast("tuple[str, str, float, str, int]", cell)
        there = part.dropna(subset=["score", "accuracy"])
        sample = np.full(1, np.nan)
        if len(there) >= FEWEST:
            scores, accuracies = (there[name].to_numpy(float) for name in ("score", "accuracy"))
            sample = stats.replicates(statistic, scores, accuracies, resamples, seed)
        if np.isnan(sample[0]):
            told = [text for text in part["reason"].unique() if text]
            why = told[0] if told else f"{len(there)} sources have a score"
            why = "all sources have the same score" if len(there) >= FEWEST else why
            missing.append(dict(zip(groups, cell, strict=True)) | {"reason": why})
            continue
        found.setdefault((metric, variant, place), {}).setdefault(target, []).append(sample)
    for metric in table["metric"].unique():
        if (metric, "all", 1.0) not in found:
            raise ValueError(
                f"{metric}: no correlation over the sources on any target; expected at least "
                f"{FEWEST} sources with different scores, got {table['source'].nunique()} sources"
            )
    samples = {cell: {t: np.stack(s) for t, s in parts.items()} for cell, parts in found.items()}
    return Curves(samples, pd.DataFrame(missing, columns=[*groups, "reason"]))


def variants(found: Curves) -> list[str]:
    """What the curves were chosen by, without the baseline."""
    return [name for name in ordered(v for _, v, _ in found.samples) if name != "all"]
