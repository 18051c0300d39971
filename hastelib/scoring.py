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
    """Rows of a target's train split; those of a hard subset have the hardest first.

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
    """All of n samples, random subsets as large as the hard ones, and the hard ones.

    ``hard`` has the hardness of every sample by kind: ``cs``, ``ca``, ``dot`` (``ca`` by the dot
    product), or a kind of your own.
    """
    chosen = [Subset("all", torch.arange(n))]
    for draw in range(draws):
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + draw))
        chosen.append(Subset("random", order[: math.ceil(fraction * n - 1e-9)], draw=draw))
    variants = {"ca": ("ca", "cosine"), "dot": ("ca", "dot"), "cs": ("cs", "")}
    for kind, values in hard.items():
        variant, similarity = variants.get(kind, (kind, ""))  # a kind of your own
        chosen.append(Subset(variant, hardness.hardest(values, fraction), similarity))
    return chosen


def score(
    names: Sequence[str], features: Features, subsets: Sequence[Subset]
) -> dict[str, list[dict[str, Any]]]:
    """Metric -> a row for each subset, whose features are factored once for all metrics."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for subset in subsets:
        part = features.at(subset.rows)
        columns = {
            "variant": subset.variant,
            "similarity": subset.similarity,
            "draw": subset.draw,
            "fraction": len(subset.rows) / len(features),
            "samples": len(subset.rows),
            "classes": len(part.labels.unique()),
        }
        for name, (value, reason) in metrics.Sample(part).scores(names).items():
            rows[name].append(columns | {"score": value, "reason": reason})
    return rows
