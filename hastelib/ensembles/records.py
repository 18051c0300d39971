"""The tidy rows of ensembles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from hastelib import finetune
from hastelib.ensembles.pools import Pool, gather
from hastelib.ensembles.scoring import accuracies, candidates, scores
from hastelib.experiments import HARD, Grid
from hastelib.records import Row
from hastelib.store import key

JOIN = "|"
"""Stands between the members' names in the name of an ensemble."""


def rows(grid: Grid, pools: Sequence[Pool], sizes: Sequence[int]) -> list[Row]:
    """The tidy rows: every target, size, ensemble, metric and variant.

    ``source`` holds the members' names, :data:`JOIN` between them; ``weights`` is made from the
    fingerprints of all. Ensembles of one are the members themselves, with LEEP under both metrics.
    The section is the paper's: A.3 for ensembles of three, else 5.4.

    Args:
        grid: of the suite; :func:`prepare` has run, else what is missing is made here one by one.
        pools: one for each target.
        sizes: of the ensembles.
    """
    return [row for one in pools for row in _of_pool(grid, one, sizes)]


def _of_pool(grid: Grid, pool: Pool, sizes: Sequence[int]) -> Iterator[Row]:
    members = gather(grid, pool)
    target, seeds = pool.target, grid.suite.seeds
    outcomes = [grid.outcome(name, target, seed) for name in pool.members for seed in seeds]
    hardware = "; ".join(dict.fromkeys(one.provenance["device"] for one in outcomes))
    prints = [grid.source(name).fingerprint for name in pool.members]
    shared: dict[str, Any] = {
        "suite": grid.suite.name,
        "target": target,
        "seeds": len(seeds),
        "data": grid.fingerprint(target, "train")[:12],
        "device": f"{hardware}, threads a job: {grid.suite.recipe.threads}",
        "versions": finetune.versions(),
    }
    every = [candidates(len(pool.members), size) for size in sizes]
    made = scores(members, every, grid.suite.hardness.draws)
    for size, chosen, of_size in zip(sizes, every, made, strict=True):
        right = np.array([accuracies(p, members.truth, chosen) for p in members.finetuned])
        of_ensemble = [
            {
                "section": "A.3" if size == 3 else "5.4",
                "source": JOIN.join(pool.members[i] for i in line),
                "weights": key(members=[prints[i] for i in line])[:12],
                "accuracy": float(right[:, e].mean()),
                "accuracy_std": _deviation(right[:, e]),
            }
            for e, line in enumerate(chosen)
        ]
        rankers = [JOIN.join(dict.fromkeys(pool.rankers[i] for i in line)) for line in chosen]
        for (metric, variant), score in of_size.items():
            for e, columns in enumerate(of_ensemble):
                yield Row(
                    **shared,
                    **columns,
                    metric=metric,
                    variant=variant,
                    score=float(score.values[:, e].mean()),
                    score_std=_deviation(score.values[:, e]),
                    fraction=float(score.samples[e] / len(members.labels)),
                    samples=round(float(score.samples[e])),
                    classes=float(score.classes[e]),
                    draws=len(score.values),
                    hardness_source=rankers[e] if variant in HARD else "",
                )


def _deviation(values: Float64[ndarray, " n"]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan
