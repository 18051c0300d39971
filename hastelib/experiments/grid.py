"""Many cells: what is missing of them as jobs, and their table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch

from hastelib import finetune, stats
from hastelib.experiments.cells import Cells
from hastelib.experiments.names import of_classes, taught_on
from hastelib.experiments.scoring import HARD
from hastelib.features import default_device
from hastelib.records import SCHEMA, check
from hastelib.runner import Job, run
from hastelib.store import Store
from hastelib.suites import Suite

NO_RANKERS: Mapping[str, str] = MappingProxyType({})


class Grid(Cells):
    """The sources and targets of a suite, and all that is computed from them.

    Args:
        suite: what is run on what.
        store: the cache.
        scheduler: where jobs run, see :mod:`hastelib.runner`.
    """

    def __init__(
        self, suite: Suite, store: Store | None = None, scheduler: str | None = None
    ) -> None:
        super().__init__(suite, store)
        self.scheduler = scheduler

    def jobs(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        names: Sequence[str] = (),
        seeds: Sequence[int] = (),
        rankers: Mapping[str, str] = NO_RANKERS,
    ) -> list[Job]:
        """What is missing in the store for these cells, as jobs.

        Args:
            sources: and
            targets: every pair of them.
            names: metrics to score; none where only accuracies are wanted.
            seeds: of fine-tunings; none where only scores are wanted.
            rankers: source -> the network that ranks the samples for it.
        """
        gpus = int(torch.device(default_device()).type == "cuda")
        where = (self.suite.model_dump_json(), str(self.store.folder))
        found: dict[str, Job] = {}

        def add(name: str, method: str, *cell: Any, needs: Sequence[str] = ()) -> str:
            found[name] = Job(name, work, (*where, method, *cell), tuple(needs), gpus)
            return name

        def train(source: str) -> list[str]:
            base, taught = taught_on(source)
            if taught is None or self.trained(source):
                return []
            return [add(_training(source), "source", source, needs=train(base))]

        def extract(source: str, target: str) -> list[str]:
            whole = of_classes(target)[0]
            trained = train(source)
            if not trained:
                entry = self.features_entry(self.source(source), whole, "train")
                if self.store.path("features", entry).exists():
                    return []
            return [add(f"extract {source} on {whole}", "features", source, whole, needs=trained)]

        for target, source in itertools.product(targets, sources):
            for seed in seeds:
                trained = train(source)
                if not trained:
                    entry = self.outcome_entry(self.source(source), target, seed)
                    if self.store.path("accuracies", entry).exists():
                        continue
                name = _finetuning(source, target, seed)
                add(name, "outcome", source, target, seed, needs=trained)
            if names:
                by = rankers.get(source, self.suite.hardness.source)
                needs = [*extract(source, target), *extract(by, target)]
                if not needs:
                    subsets = self.subsets(target, by)
                    entries = self.score_entries(source, target, names, subsets).values()
                    if all(self.store.path("scores", entry).exists() for entry in entries):
                        continue
                add(
                    f"score {source} on {target}",
                    "scores",
                    source,
                    target,
                    [*names],
                    by,
                    needs=needs,
                )
        return list(found.values())

    def prepare(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        names: Sequence[str] = (),
        seeds: Sequence[int] = (),
        rankers: Mapping[str, str] = NO_RANKERS,
    ) -> None:
        """Run the :meth:`jobs` of these cells where the scheduler says, so that all is kept.

        Raises:
            JobsFailedError: some failed; the others are kept.
        """
        self.run(self.jobs(sources, targets, names, seeds, rankers))

    def run(self, jobs: Sequence[Job]) -> None:
        """Run jobs of this grid where the scheduler says; of several lists each job once.

        Raises:
            JobsFailedError: some failed; the others are kept.
        """
        found = {job.name: job for job in jobs}
        for job in jobs:
            _, _, method, source, *rest = job.arguments
            if method == "outcome" and rest[1] == 0:
                # A source that is trained on a target is this very fine-tuning: not done twice.
                same = _training(f"{source}+{rest[0]}")
                if same in found:
                    found[job.name] = replace(job, needs=(*job.needs, same))
        _grids.clear()  # a job that runs in this process shares this grid's memory
        _grids[self.suite.model_dump_json(), str(self.store.folder)] = self
        run(list(found.values()), self.scheduler, name="jobs")

    def frame(
        self,
        section: str,
        targets: Sequence[str],
        metrics: Sequence[str],
        *,
        sources: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        rankers: Mapping[str, str] = NO_RANKERS,
        similarity: Sequence[str] = (),
        static: bool = True,
    ) -> pd.DataFrame:
        """The long frame of a section, see :data:`hastelib.records.COLUMNS`.

        Args:
            section: the paper's section, such as ``5.1``.
            targets: of the suite.
            metrics: of :data:`hastelib.metrics.METRICS`.
            sources: the suite's where they are not given.
            seeds: of the fine-tunings; the suite's where they are not given. None of them, ``()``:
                the accuracies are NaN.
            rankers: source -> the network that ranks the samples for it; the suite's
                ``hardness.source`` for those that are not in it.
            similarity: the readings of Eq. 1 that have rows of ``ca``, ``cosine`` and ``dot``; the
                suite's where they are not given.
            static: add the rows of that control (:func:`static_rows`).

        Raises:
            JobsFailedError: some cells failed; the others are kept.
        """
        sources = self.suite.sources if sources is None else sources
        seeds = self.suite.seeds if seeds is None else seeds
        readings = {"", *(similarity or [self.suite.hardness.similarity])}
        self.prepare(sources, targets, metrics, seeds, rankers)
        here = finetune.describe(default_device())
        rows = []
        for target, source in itertools.product(targets, sources):
            outcomes = [self.outcome(source, target, seed) for seed in seeds]
            told = [outcome.provenance["device"] for outcome in outcomes]
            hardware = "; ".join(dict.fromkeys(told)) or here
            by = rankers.get(source, self.suite.hardness.source)
            shared = {
                "schema": SCHEMA,
                "section": section,
                "suite": self.suite.name,
                "target": target,
                "source": source,
                **mean_and_deviation([outcome.accuracy for outcome in outcomes]),
                "seeds": len(outcomes),
                "data": self.fingerprint(target, "train")[:12],
                "weights": self.source(source).fingerprint[:12],
                "device": f"{hardware}, threads a job: {self.suite.recipe.threads}",
                "versions": finetune.versions(),
            }
            for metric, scores in self.scores(source, target, metrics, by).items():
                rows += [
                    shared | line | {"metric": metric, "hardness_source": ranker}
                    for line in scores
                    if line["similarity"] in readings
                    for ranker in [by if line["variant"] in HARD else ""]
                ]
        found = pd.DataFrame(rows)
        return check(pd.concat([found, static_rows(found)]) if static else found)


def mean_and_deviation(accuracies: Sequence[float] | np.ndarray) -> dict[str, float]:
    """The columns ``accuracy`` and ``accuracy_std`` from the accuracies of all seeds."""
    values = np.array(accuracies)
    return {
        "accuracy": float(values.mean()) if len(values) else math.nan,
        "accuracy_std": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
    }


def static_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The static control: rank the sources by how they did on the other targets.

    A source's score is its accuracy, standardised over the sources of a target, in the mean over
    all targets but the row's own (:func:`hastelib.stats.static`). It has seen nothing of this
    target; what a metric adds to a fixed list shows beside it.

    Args:
        frame: of one suite, with accuracies.

    Returns:
        A row of the variant ``static`` for each target, source and metric. With a single target
        the score is NaN, and the reason says so.
    """
    one = frame.drop_duplicates(["target", "source", "metric"]).copy()
    wide = one.drop_duplicates(["target", "source"]).pivot_table(
        "accuracy", "target", "source", sort=False, dropna=False
    )
    scores = pd.DataFrame(stats.static(wide.to_numpy(float)), wide.index, wide.columns)
    one["score"] = [scores.loc[t, s] for t, s in zip(one["target"], one["source"], strict=True)]
    one["reason"] = np.where(one["score"].isna(), "no accuracy on another target", "")
    return one.assign(
        variant="static",
        similarity="",
        hardness_source="",
        draw=0,
        fraction=0.0,
        samples=0,
        classes=0.0,
    )


def _training(source: str) -> str:
    return f"train {source}"


def _finetuning(source: str, target: str, seed: int) -> str:
    return f"fine-tune {source} on {target}, seed {seed}"


_grids: dict[tuple[str, str], Grid] = {}


def work(suite: str, folder: str, method: str, *cell: Any) -> None:
    """One job: a method of the grid of a suite (JSON) on the store in a folder, for a cell.

    What it makes stays in the store, which whoever asks next reads.
    """
    if (suite, folder) not in _grids:
        _grids.clear()
        _grids[suite, folder] = Grid(Suite.model_validate_json(suite), Store(folder))
    getattr(_grids[suite, folder], method)(*cell)
