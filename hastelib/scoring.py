"""The scores of a source on all samples, on random ones and on the hardest (the paper's Alg. 1)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hastelib import hardness, metrics
from hastelib.features import Features


@dataclass(frozen=True)
class Subset:
    """Rows of a target's train split, of a hard subset the hardest first.

    ``variant`` is ``all``, ``random`` (``draw`` counts them), ``cs`` or ``ca`` (``similarity`` is
    as :func:`hastelib.hardness.class_agnostic` has it).
    """

    variant: str
    rows: Tensor
    similarity: str = ""
    draw: int = 0


def subsets(
    n: int, hard: Mapping[str, Tensor], fraction: float, draws: int, seed: int = 0
) -> list[Subset]:
    """All of n samples, as many as are hard at random (of each draw), and the hard ones.

    ``hard`` has the hardness of every sample: ``cs``, ``ca`` and ``dot``, that by the dot product,
    or of a kind of your own.
    """
    found = [Subset("all", torch.arange(n))]
    for draw in range(draws):
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + draw))
        found.append(Subset("random", order[: math.ceil(fraction * n - 1e-9)], draw=draw))
    told = {"ca": ("ca", "cosine"), "dot": ("ca", "dot"), "cs": ("cs", "")}
    for kind, values in hard.items():
        variant, similarity = told.get(kind, (kind, ""))  # of your own
        found.append(Subset(variant, hardness.hardest(values, fraction), similarity))
    return found


def score(
    names: Sequence[str], features: Features, subsets: Sequence[Subset]
) -> dict[str, list[dict[str, Any]]]:
    """Metric -> a line for each subset, whose features are factored once for all metrics."""
    lines: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for one in subsets:
        part = features.at(one.rows)
        told = {
            "variant": one.variant,
            "similarity": one.similarity,
            "draw": one.draw,
            "fraction": len(one.rows) / len(features),
            "samples": len(one.rows),
            "classes": len(part.labels.unique()),
        }
        for name, (value, reason) in metrics.Sample(part).scores(names).items():
            lines[name].append(told | {"score": value, "reason": reason})
    return lines
