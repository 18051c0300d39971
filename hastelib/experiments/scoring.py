"""The scores of one source on several subsets of a target."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from hastelib import metrics
from hastelib.download import sha256_of
from hastelib.features import Features
from hastelib.metrics import together

HARD = ("ca", "cs")
"""The variants of hard subsets."""


@dataclass(frozen=True)
class Subset:
    """Rows of a target's train split.

    Attributes:
        variant: ``all``, ``random``, ``ca`` or ``cs``.
        rows: (k,) indices; of a hard subset the hardest first.
        similarity: of ``ca``, as :func:`hastelib.hardness.class_agnostic` has it.
        draw: number of the random subset.
    """

    variant: str
    rows: Tensor
    similarity: str = ""
    draw: int = 0


def score(
    names: Iterable[str], features: Features, subsets: Sequence[Subset]
) -> dict[str, list[dict[str, Any]]]:
    """Metric -> a line for each subset, whose features are factored once for all metrics."""
    names = list(names)
    lines: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for subset in subsets:
        part = features.at(subset.rows)
        sample = metrics.Sample(part)
        told = {
            "variant": subset.variant,
            "similarity": subset.similarity,
            "draw": subset.draw,
            "fraction": len(subset.rows) / len(features),
            "samples": len(subset.rows),
            "classes": len(part.labels.unique()),
        }
        for name in names:
            score, reason = math.nan, ""
            try:
                score = metrics.METRICS[name](sample)
            except ValueError as error:  # not computable on these rows: recorded, never dropped
                reason = str(error)
            lines[name].append(told | {"score": score, "reason": reason})
    return lines


@functools.cache
def _shared() -> str:
    folder = Path(__file__).parents[1]
    parts = [*sorted((folder / "metrics").glob("*.py")), folder / "linalg.py"]
    return "".join(map(sha256_of, [*parts, folder / "checks.py", Path(__file__)]))


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
