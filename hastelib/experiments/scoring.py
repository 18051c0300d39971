"""The scores of one source on several subsets of a target."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hastelib import metrics
from hastelib.download import sha256_of
from hastelib.extract import Features
from hastelib.metrics import together

HARD = ("ca", "cs")
"""The variants of hard subsets."""


@dataclass(frozen=True)
class Subset:
    """Rows of a target's train split.

    Attributes:
        variant: ``all``, ``random``, ``ca`` or ``cs``.
        rows: (k,) indices; of a hard subset the hardest first.
    """

    variant: str
    rows: Tensor


def score(
    names: Iterable[str], features: Features, subsets: Sequence[Subset]
) -> dict[str, list[dict[str, Any]]]:
    """Metric -> one line a variant, each subset's features factored once for all metrics."""
    found: dict[tuple[str, str], list[float]] = {}
    reasons: dict[tuple[str, str], str] = {}
    sizes: dict[str, list[tuple[int, int]]] = {}
    for subset in subsets:
        part = features.at(subset.rows)
        sample, counted = metrics.Sample(part), (len(subset.rows), len(part.labels.unique()))
        sizes.setdefault(subset.variant, []).append(counted)
        for name in names:
            cell = name, subset.variant
            try:
                score = metrics.METRICS[name](sample)
            except ValueError as error:  # not computable on these rows: recorded, never dropped
                score, reasons[cell] = math.nan, str(error)
            found.setdefault(cell, []).append(score)
    lines: dict[str, list[dict[str, Any]]] = {}
    for (name, variant), scores in found.items():
        values = np.array([score for score in scores if not math.isnan(score)])
        samples = sizes[variant][0][0]
        line = {
            "variant": variant,
            "score": float(values.mean()) if len(values) else math.nan,
            "score_std": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
            "reason": "" if len(values) else reasons[name, variant],
            "fraction": samples / len(features),
            "samples": samples,
            "classes": float(np.mean([classes for _, classes in sizes[variant]])),
            "draws": len(scores),
        }
        lines.setdefault(name, []).append(line)
    return lines


@functools.cache
def _shared() -> str:
    folder = Path(__file__).parents[1]
    parts = [*sorted((folder / "metrics").glob("*.py")), folder / "_linalg.py"]
    return "".join(map(sha256_of, [*parts, folder / "_check.py", Path(__file__)]))


def code(metric: str) -> str:
    """The hash of a metric's code: a score is made anew when it changes.

    Raises:
        ValueError: the metric is no plain function, so that its code cannot be read.
    """
    function = metrics.METRICS[metric]
    if inspect.getmodule(function) is together:
        return _shared()
    try:
        return _shared() + inspect.getsource(function) + sha256_of(Path(inspect.getfile(function)))
    except FileNotFoundError:  # typed into a notebook
        return _shared() + inspect.getsource(function)
    except TypeError as error:
        raise ValueError(
            f"metric {metric!r}: expected a plain function, got {function!r}; write a def"
        ) from error
