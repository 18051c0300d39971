r"""Ensembles of fine-tuned sources (the HASTE paper, Sec. 5.4): all of a given size.

A pool of P members gives :math:`\binom{P}{K}` ensembles of K from P extractions and P fine-tunings.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from hastelib import hardness, metrics
from hastelib.grid import HARD, Grid, taught_on
from hastelib.records import check
from hastelib.store import key
from hastelib.suites import Suite

METRICS = ("ms_leep", "e_leep")
JOIN = "|"
"""Stands between the members' names in the name of an ensemble."""


@dataclass(frozen=True)
class Pool:
    """The sources that ensembles for a target are made of.

    ``members`` are sources, none of them trained on the target; ``rankers``, for each of them, the
    member that ranks the samples for all that were trained on the same data (A.2: one similarity
    matrix a source data set).
    """

    target: str
    members: tuple[str, ...]
    rankers: tuple[str, ...]

    @property
    def sets(self) -> Int64[ndarray, " p"]:
        """The number of each member's source data set, in order of first appearance."""
        return pd.factorize(np.array(self.rankers))[0]

    @property
    def ranked_by(self) -> dict[str, str]:
        """Member -> its ranker."""
        return dict(zip(self.members, self.rankers, strict=True))


def pool(suite: Suite, target: str, members: Sequence[str] = ()) -> Pool:
    """The pool for a target: the suite's, or ``members``, without those trained on that target.

    Raises:
        ValueError: the suite has no pool, or fewer than two members are left.
    """
    suite.target(target)
    settings = suite.ensembles
    if not (candidates := tuple(members) or (settings.pool if settings else ())):
        raise ValueError(
            f"suite {suite.name!r} has no pool to make ensembles of: add `ensembles:` to "
            f"params/suites/{suite.name}.yaml as in glyphs.yaml, or name the members with the "
            "notebook's parameter `pool`"
        )
    kept = tuple(name for name in candidates if target not in name.split("+")[1:])
    if len(kept) < 2:
        raise ValueError(f"pool: expected at least two members not trained on {target}, got {kept}")
    datasets = [taught_on(name)[1] or "" for name in kept]
    first = dict(zip(reversed(datasets), reversed(kept), strict=True))
    rankers = {d: m for d, m in (settings.rankers if settings else {}).items() if m in kept}
    return Pool(target, kept, tuple((first | rankers)[d] for d in datasets))


def prepare(grid: Grid, pools: Sequence[Pool]) -> Grid:
    """The grid with the pools' members as its sources: trained, extracted and fine-tuned.

    Raises:
        ValueError: a member that is no source; lists the choices.
        JobsFailedError: some failed; the others are kept.
    """
    members = tuple(dict.fromkeys(name for pool in pools for name in pool.members))
    grid = Grid(grid.suite.select(sources=members)[0], grid.store, grid.scheduler)
    jobs = []  # of all pools together
    for pool in pools:
        jobs += grid.jobs(pool.members, [pool.target], ["leep"], grid.suite.seeds, pool.ranked_by)
    grid.run(jobs)
    return grid


@dataclass(frozen=True)
class Members:
    """What the members of a pool make of the train split of its target.

    ``probs`` are the softmax over each one's source classes; ``hard``, by variant and number of
    the source data set, the rows of its hard subset: no ``ca`` where a ranker has no signature.
    """

    pool: Pool
    probs: tuple[Float[Tensor, "n _"], ...]
    labels: Int64[Tensor, " n"]
    hard: dict[str, tuple[Int64[Tensor, " _"], ...]]


def gather(grid: Grid, pool: Pool) -> Members:
    """Read what :func:`prepare` has made."""
    features = [grid.features(name, pool.target) for name in pool.members]
    ranked = [grid.hardness(pool.target, by=ranker) for ranker in dict.fromkeys(pool.rankers)]
    hard = {
        v: tuple(hardness.hardest(values[v], grid.suite.hardness.fraction) for values in ranked)
        for v in HARD
        if all(v in values for values in ranked)
    }
    probs = tuple(torch.as_tensor(metrics.Sample(f).probs) for f in features)
    return Members(pool, probs, features[0].labels, hard)


def shuffled(n: int, draw: int, number: int) -> Int64[Tensor, " n"]:
    """The rows in a random order, one for each draw and number of a source data set."""
    return torch.from_numpy(np.random.default_rng([draw, number]).permutation(n))


def subsets(members: Members, draws: int) -> dict[str, list[list[Tensor]]]:
    """By variant and draw, the rows that the members of each source data set are scored on."""
    n, hard = len(members.labels), members.hard
    random = [
        [shuffled(n, d, number)[: len(rows)] for number, rows in enumerate(hard["cs"])]
        for d in range(draws)
    ]
    whole = [torch.arange(n)] * len(hard["cs"])
    return {"all": [whole], "random": random} | {v: [list(rows)] for v, rows in hard.items()}


def scores(members: Members, chosen: Sequence[tuple[int, ...]], draws: int) -> pd.DataFrame:
    r"""MS-LEEP and E-LEEP of ensembles, each the numbers of its members.

    MS-LEEP is the sum of the members' LEEPs, each on the hard subset of its own source data set;
    E-LEEP needs one set of samples for all, the union of the hard subsets of the ensemble's source
    data sets (A.2). The random control has as many samples: for MS-LEEP a random subset for each
    source data set, for E-LEEP a random one as large as the CA's and the CS's union in turn.

    Returns:
        A row for each metric, variant, draw and ensemble: the columns metric, variant, draw,
        ensemble (its place in ``chosen``), score, and samples and classes, the numbers of those
        used; of MS-LEEP the mean over its members.
    """
    parts = []
    for (variant, by_draw), metric in itertools.product(subsets(members, draws).items(), METRICS):
        for draw, rows in enumerate(by_draw):
            if metric == "e_leep":
                values = _e_leep(members, chosen, rows, draw if variant == "random" else None)
            else:
                values = _ms_leep(members, chosen, rows)
            part = pd.DataFrame(values, columns=["score", "samples", "classes"])
            part = part.assign(metric=metric, variant=variant, draw=draw, ensemble=part.index)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _ms_leep(
    members: Members, chosen: Sequence[tuple[int, ...]], rows: Sequence[Tensor]
) -> Float64[ndarray, "e 3"]:
    """Score, samples and classes of each ensemble."""
    per_member = []
    for probs, subset in zip(members.probs, [rows[i] for i in members.pool.sets], strict=True):
        labels = members.labels[subset]
        per_member.append((metrics.leep(probs[subset], labels), len(subset), len(labels.unique())))
    values = np.array(per_member)
    return np.array([(values[[*e], 0].sum(), *values[[*e], 1:].mean(0)) for e in chosen])


def _e_leep(
    members: Members, chosen: Sequence[tuple[int, ...]], rows: Sequence[Tensor], draw: int | None
) -> Float64[ndarray, "e 3"]:
    """Score, samples and classes of each ensemble; a random ``draw`` is as large as a union."""
    hard = [*members.hard.values()]
    rows = rows if draw is None else hard[draw % len(hard)]
    sets = [tuple(np.unique(members.pool.sets[[*e]])) for e in chosen]
    values = np.empty((len(chosen), 3))
    for numbers in dict.fromkeys(sets):
        union = torch.cat([rows[number] for number in numbers]).unique()
        if draw is not None:
            union = shuffled(len(members.labels), draw, len(rows))[: len(union)]
        labels = members.labels[union]
        present = np.flatnonzero(np.isin(members.pool.sets, numbers)).tolist()
        eep = {i: np.asarray(metrics.eep(members.probs[i][union], labels)) for i in present}
        for place in [i for i, other in enumerate(sets) if other == numbers]:
            mean = np.log(np.mean([eep[i] for i in chosen[place]], axis=0)).mean()
            # Rounding may lead above 0.
            values[place] = min(mean, 0.0), len(union), len(labels.unique())
    return values


def frame(grid: Grid, pools: Sequence[Pool], sizes: Sequence[int]) -> pd.DataFrame:
    """A row for every target, ensemble, metric, variant and draw; ``grid`` is of :func:`prepare`.

    An ensemble predicts the mean of its fine-tuned members' softmax. ``source`` holds the members'
    names, :data:`JOIN` between them; ``weights`` is made from the fingerprints of all. Ensembles of
    one are the members themselves, with LEEP under both metrics. The section is the paper's: A.3
    for ensembles of three, else 5.4.
    """
    parts = []
    for pool in pools:
        target, seeds, members = pool.target, grid.suite.seeds, gather(grid, pool)
        indices = range(len(pool.members))
        chosen = [e for size in sizes for e in itertools.combinations(indices, size)]
        fingerprints = [grid.source(name).fingerprint for name in pool.members]
        accuracies = []
        for seed in seeds:
            outcomes = [grid.outcome(name, target, seed) for name in pool.members]
            probs = np.array([outcome.probs.numpy() for outcome in outcomes], dtype=np.float64)
            truth = outcomes[0].labels.numpy()
            accuracies.append([(probs[[*e]].mean(0).argmax(1) == truth).mean() for e in chosen])
        alone = grid.frame(
            "5.4", [target], ["leep"], sources=pool.members, rankers=pool.ranked_by, static=False
        ).drop_duplicates("source")
        shared: Any = alone[["schema", "suite", "target", "data", "seeds"]].iloc[0].to_dict()
        shared |= {c: "; ".join(alone[c].unique()) for c in ("recipe", "device", "versions")}
        ensembles = pd.DataFrame(
            {
                "source": [JOIN.join(pool.members[i] for i in e) for e in chosen],
                "section": ["A.3" if len(e) == 3 else "5.4" for e in chosen],
                "hardness_source": [
                    JOIN.join(dict.fromkeys(pool.rankers[i] for i in e)) for e in chosen
                ],
                "weights": [key(members=[fingerprints[i] for i in e])[:12] for e in chosen],
                "accuracy": pd.DataFrame(accuracies).mean(),
                "accuracy_std": pd.DataFrame(accuracies).std(),
            }
        ).assign(**shared, seconds=alone["seconds"].mean())
        table = scores(members, chosen, grid.suite.hardness.draws).assign(reason="")
        if reason := next(filter(None, map(grid.unsigned, dict.fromkeys(pool.rankers))), ""):
            unscored = table[table["variant"] == "all"].assign(variant="ca", reason=reason)
            table = pd.concat([table, unscored.assign(score=np.nan, samples=0.0, classes=0.0)])
        table = table.join(ensembles, on="ensemble").drop(columns="ensemble")
        table["similarity"] = np.where(table["variant"] == "ca", "cosine", "")
        table.loc[~table["variant"].isin(HARD), "hardness_source"] = ""
        parts.append(table.assign(fraction=table["samples"] / len(members.labels)))
    return check(pd.concat(parts))
