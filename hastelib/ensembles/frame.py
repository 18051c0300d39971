"""The long frame of ensembles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from hastelib import finetune
from hastelib.ensembles.pools import Pool, gather
from hastelib.ensembles.scoring import accuracies, candidates, scores
from hastelib.experiments import HARD, Grid
from hastelib.experiments.grid import mean_and_deviation
from hastelib.records import SCHEMA, check
from hastelib.store import key

JOIN = "|"
"""Stands between the members' names in the name of an ensemble."""


def frame(grid: Grid, pools: Sequence[Pool], sizes: Sequence[int]) -> pd.DataFrame:
    """A row for every target, ensemble, metric, variant and draw.

    ``source`` holds the members' names, :data:`JOIN` between them; ``weights`` is made from the
    fingerprints of all. Ensembles of one are the members themselves, with LEEP under both metrics.
    The section is the paper's: A.3 for ensembles of three, else 5.4.

    Args:
        grid: of the suite; :func:`prepare` has run, else what is missing is made here one by one.
        pools: one for each target.
        sizes: of the ensembles.
    """
    return check(pd.concat([part for pool in pools for part in _of_pool(grid, pool, sizes)]))


def _of_pool(grid: Grid, pool: Pool, sizes: Sequence[int]) -> Iterator[pd.DataFrame]:
    members = gather(grid, pool)
    target, seeds = pool.target, grid.suite.seeds
    outcomes = [grid.outcome(name, target, seed) for name in pool.members for seed in seeds]
    hardware = "; ".join(dict.fromkeys(one.provenance["device"] for one in outcomes))
    prints = [grid.source(name).fingerprint for name in pool.members]
    every = [candidates(len(pool.members), size) for size in sizes]
    made = scores(members, every, grid.suite.hardness.draws)
    for size, chosen, of_size in zip(sizes, every, made, strict=True):
        right = np.array([accuracies(p, members.truth, chosen) for p in members.finetuned])
        shared = pd.DataFrame([mean_and_deviation(right[:, e]) for e in range(len(chosen))]).assign(
            schema=SCHEMA,
            section="A.3" if size == 3 else "5.4",
            suite=grid.suite.name,
            target=target,
            source=[JOIN.join(pool.members[i] for i in line) for line in chosen],
            seeds=len(seeds),
            data=grid.fingerprint(target, "train")[:12],
            weights=[key(members=[prints[i] for i in line])[:12] for line in chosen],
            device=f"{hardware}, threads a job: {grid.suite.recipe.threads}",
            versions=finetune.versions(),
            reason="",
        )
        rankers = [JOIN.join(dict.fromkeys(pool.rankers[i] for i in line)) for line in chosen]
        for (metric, variant), score in of_size.items():
            for draw, values in enumerate(score.values):
                yield shared.assign(
                    metric=metric,
                    variant=variant,
                    similarity="cosine" if variant == "ca" else "",
                    hardness_source=rankers if variant in HARD else "",
                    draw=draw,
                    score=values,
                    fraction=score.samples[draw] / len(members.labels),
                    samples=np.round(score.samples[draw]).astype(int),
                    classes=score.classes[draw],
                )
