"""Many cells: what is missing of them as jobs, and their table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from hastelib import finetune
from hastelib.experiments.cells import Cells
from hastelib.experiments.names import of_classes, taught_on
from hastelib.extract import default_device
from hastelib.records import Row
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

    def accuracies(
        self, targets: Sequence[str], sources: Sequence[str] | None = None
    ) -> dict[tuple[str, str], list[float]]:
        """Test accuracies by (source, target), one a seed."""
        sources = self.suite.sources if sources is None else sources
        self.prepare(sources, targets, seeds=self.suite.seeds)
        return {
            (source, target): [self.outcome(source, target, s).accuracy for s in self.suite.seeds]
            for target in targets
            for source in sources
        }

    def rows(
        self,
        section: str,
        targets: Sequence[str],
        names: Sequence[str],
        accuracies: bool = True,
        sources: Sequence[str] | None = None,
        rankers: Mapping[str, str] = NO_RANKERS,
    ) -> list[Row]:
        """The tidy rows of a section: every target, source, metric and variant.

        Args:
            section: the paper's section, such as ``5.1``.
            targets: of the suite.
            names: metrics, of :data:`hastelib.metrics.METRICS`.
            accuracies: fine-tune too; without, the accuracy columns are ``nan``.
            sources: the suite's where they are not given.
            rankers: source -> the network that ranks the samples for it; the suite's
                ``hardness.source`` for those that are not in it.
        """
        sources = self.suite.sources if sources is None else sources
        seeds = self.suite.seeds if accuracies else ()
        self.prepare(sources, targets, names, seeds, rankers)
        here = finetune.describe(default_device())
        rows = []
        for target in targets:
            for source in sources:
                outcomes = [self.outcome(source, target, seed) for seed in seeds]
                values = np.array([outcome.accuracy for outcome in outcomes])
                told = [outcome.provenance["device"] for outcome in outcomes]
                hardware = "; ".join(dict.fromkeys(told)) or here
                by = rankers.get(source, self.suite.hardness.source)
                shared = {
                    "section": section,
                    "suite": self.suite.name,
                    "target": target,
                    "source": source,
                    "accuracy": float(values.mean()) if len(values) else math.nan,
                    "accuracy_std": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
                    "seeds": len(values),
                    "data": self.fingerprint(target, "train")[:12],
                    "weights": self.source(source).fingerprint[:12],
                    "device": f"{hardware}, threads a job: {self.suite.recipe.threads}",
                    "versions": finetune.versions(),
                }
                for metric, scores in self.scores(source, target, names, by).items():
                    for score in scores:
                        ranker = by if score["variant"] in ("ca", "cs") else ""
                        rows.append(Row(**shared, **score, metric=metric, hardness_source=ranker))
        return rows


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
