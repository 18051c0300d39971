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
        sample = metrics.Sample(features.at(subset.rows))
        counted = len(subset.rows), len(features.labels[subset.rows].unique())
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
def code(metric: str) -> str:
    """The hash of a metric's code: a score is made anew when it changes."""
    folder = Path(__file__).parents[1]
    parts = [*sorted((folder / "metrics").glob("*.py")), folder / "_linalg.py"]
    parts.append(folder / "_check.py")
    function = metrics.METRICS[metric]
    file = Path(inspect.getsourcefile(function) or "")
    if not file.is_file():  # typed into a notebook
        return "".join(map(sha256_of, parts)) + inspect.getsource(function)
    return "".join(map(sha256_of, parts if file in parts else [*parts, file]))
