"""Grids of sources and targets: features, hardness, scores and accuracies, every cell cached."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import datasets
import numpy as np
import torch
from torch import Tensor

from hastelib import extract, finetune, hardness, metrics, models
from hastelib.data import Images, fingerprint, load
from hastelib.download import sha256_of
from hastelib.extract import Features
from hastelib.records import Row
from hastelib.runner import Local, Runner
from hastelib.store import Store, digest, key
from hastelib.suites import Split, Suite, one_of

T = TypeVar("T")


@dataclass(frozen=True)
class Subset:
    """Rows of a target's train split.

    Attributes:
        variant: ``all``, ``random``, ``ca`` or ``cs``.
        rows: (k,) indices; of a hard subset the hardest first.
    """

    variant: str
    rows: Tensor


class Grid:
    """The sources and targets of a suite, and all that is computed from them.

    Every method computes what it needs and keeps it in the store, so the second call, in this
    process or another, reads it.

    Args:
        suite: what is run on what.
        store: the cache.
        runner: where fine-tunings run; in this process where it is not given.
    """

    def __init__(
        self, suite: Suite, store: Store | None = None, runner: Runner | None = None
    ) -> None:
        for name in (*suite.sources, suite.hardness.source):
            models.parse(name)  # a misspelt source stops here, not an hour later
        self.suite = suite
        self.store = store or Store()
        self.runner = runner or Local()
        self._memory: dict[Any, Any] = {}

    def _once(self, what: tuple[Any, ...], make: Callable[[], T]) -> T:
        if what not in self._memory:
            self._memory[what] = make()
        found: T = self._memory[what]
        return found

    def source(self, name: str) -> models.Source:
        """A source of the suite (or any other), loaded once."""
        return self._once(("source", name), lambda: models.load(name, self.suite.image_size))

    def data(self, target: str | None) -> datasets.DatasetDict:
        """The splits of a target; of the source data for None."""
        spec = self.suite.source_data if target is None else self.suite.target(target)
        return self._once(("data", target), lambda: load(spec, self.store))

    def fingerprint(self, target: str | None, split: Split) -> str:
        """The content hash of a split."""
        return self._once(
            ("fingerprint", target, split), lambda: fingerprint(self.data(target)[split])
        )

    def images(
        self, target: str | None, split: Split, preprocessing: models.Preprocessing
    ) -> Images:
        """A split as a network with this preprocessing sees it, decoded once for all of them."""
        name = f"{target or f'{self.suite.name} source data'} {split}"
        geometry = (preprocessing.resize, preprocessing.crop, preprocessing.interpolation)
        return self._once(
            ("images", target, split, *geometry),
            lambda: Images(self.data(target)[split], preprocessing, name),
        )

    def _entry(self, source: models.Source, target: str | None, split: Split) -> str:
        return key(
            **_network(source),
            data=self.fingerprint(target, split),
            layers=source.stages,
            precision="float32",
        )

    def features(self, source: str, target: str, split: Split = "train") -> Features:
        """What a source makes of a target's split."""
        return self._extracted(source, target, split)[0]

    def throughput(self, source: str, target: str) -> float:
        """Images per second when the features of the train split were extracted."""
        return self._extracted(source, target, "train")[1]

    def _extracted(self, source: str, target: str, split: Split) -> tuple[Features, float]:
        network = self.source(source)
        entry = self._entry(network, target, split)

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            images = self.images(target, split, network.preprocessing)
            with extract.threaded(self.suite.recipe.threads):
                found, speed = extract.extract(network, images)
            return found.arrays(), {"images_per_second": round(speed, 1)}

        def read() -> tuple[Features, float]:
            arrays, notes = self.store.get("features", entry, make)
            return Features.of(arrays), notes["images_per_second"]

        return self._once(("features", entry), read)

    def signature(self) -> hardness.Signature:
        """The reference source's signature of the source data's train split."""
        network = self.source(self.suite.hardness.source)

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            images = self.images(None, "train", network.preprocessing)
            with extract.threaded(self.suite.recipe.threads):
                return extract.signature(network, images).arrays(), {}

        entry = self._entry(network, None, "train")
        return hardness.Signature.of(self.store.get("signatures", entry, make)[0])

    def hardness(self, target: str, split: Split = "train") -> dict[str, Tensor]:
        """The hardness of every sample of a split, by the reference source: ``ca`` and ``cs``.

        One network ranks the samples for all sources (the paper, Sec. 5.1 and A.2).
        """
        settings = self.suite.hardness

        def make() -> dict[str, Tensor]:
            features = self.features(settings.source, target, split)
            layers = list(features.layers.values())
            return {
                "ca": hardness.class_agnostic(layers, self.signature()),
                "cs": hardness.class_specific(
                    features.embedding, features.labels, settings.covariance
                ),
            }

        return self._once(("hardness", target, split), make)

    def subsets(self, target: str) -> list[Subset]:
        """The rows that scores are computed on: all, the random draws, and the two hard subsets.

        The random ones have the size of the hard ones and are the same for every source.
        """
        settings = self.suite.hardness

        def make() -> list[Subset]:
            hard = {
                variant: hardness.hardest(values, settings.fraction)
                for variant, values in self.hardness(target).items()
            }
            n, k = len(self.data(target)["train"]), len(hard["ca"])
            draws = [
                torch.randperm(n, generator=torch.Generator().manual_seed(draw))[:k]
                for draw in range(settings.draws)
            ]
            return [
                Subset("all", torch.arange(n)),
                *(Subset("random", rows) for rows in draws),
                *(Subset(variant, rows) for variant, rows in hard.items()),
            ]

        return self._once(("subsets", target), make)

    def scores(
        self, source: str, target: str, names: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """The scores of some metrics: of each, one a variant, as the columns of a row."""
        for name in names:
            one_of("metric", name, metrics.METRICS)
        features, subsets = self.features(source, target), self.subsets(target)
        shared = {
            "features": self._entry(self.source(source), target, "train"),
            "rows": digest({str(i): subset.rows for i, subset in enumerate(subsets)}),
            "code": _code(),
        }
        entries = {name: key(**shared, metric=name) for name in names}
        made: dict[str, list[dict[str, Any]]] = {}

        def make(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
            if name not in made:  # with it all others that are missing: they share much
                gone = [n for n in names if not self.store.path("scores", entries[n]).exists()]
                with extract.threaded(self.suite.recipe.threads):
                    made.update(_scores({name, *gone}, features, subsets))
            return {}, {"scores": made[name]}

        return {
            name: list(self.store.get("scores", entry, functools.partial(make, name))[1]["scores"])
            for name, entry in entries.items()
        }

    def outcome(self, source: str, target: str, seed: int) -> finetune.Outcome:
        """What fine-tuning the source on the target with this seed leads to."""
        network = self.source(source)
        entry = key(
            **_network(network),
            train=self.fingerprint(target, "train"),
            test=self.fingerprint(target, "test"),
            recipe=self.suite.recipe.model_dump(),
            seed=seed,
        )

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            made = finetune.finetune(
                network,
                self.images(target, "train", network.preprocessing),
                self.images(target, "test", network.preprocessing),
                self.suite.recipe,
                seed,
                store=self.store,
                entry=entry,
            )
            notes = {"accuracy": made.accuracy, "provenance": made.provenance}
            return {"probs": made.probs, "labels": made.labels}, notes

        def read() -> finetune.Outcome:
            arrays, notes = self.store.get("accuracies", entry, make)
            self.store.drop("checkpoints", entry)  # not before the outcome is kept
            return finetune.Outcome(
                notes["accuracy"], arrays["probs"], arrays["labels"], notes["provenance"]
            )

        return self._once(("outcome", entry), read)

    def accuracies(self, targets: Sequence[str]) -> dict[tuple[str, str], list[float]]:
        """Test accuracies by (source, target), one a seed; the jobs go to the runner."""
        cells = [
            (source, target, seed)
            for target in targets
            for source in self.suite.sources
            for seed in self.suite.seeds
        ]
        jobs = [(self.suite.model_dump_json(), str(self.store.folder), *cell) for cell in cells]
        _grids.clear()  # a job that runs in this process shares this grid's memory
        _grids[jobs[0][:2]] = self
        found: dict[tuple[str, str], list[float]] = {}
        values = self.runner.run(accuracy, jobs, "fine-tuning")
        for (source, target, _), value in zip(cells, values, strict=True):
            found.setdefault((source, target), []).append(value)
        return found

    def rows(
        self, section: str, targets: Sequence[str], names: Sequence[str], accuracies: bool = True
    ) -> list[Row]:
        """The tidy rows of a section: every target, source, metric and variant.

        Args:
            section: the paper's section, such as ``5.1``.
            targets: of the suite.
            names: metrics, of :data:`hastelib.metrics.METRICS`.
            accuracies: fine-tune too; without, the accuracy columns are ``nan``.
        """
        measured = self.accuracies(targets) if accuracies else {}
        here = finetune.describe(extract.default_device())
        rows = []
        for target in targets:
            for source in self.suite.sources:
                values = np.array(measured.get((source, target), []))
                seeds = self.suite.seeds if len(values) else ()
                told = [self.outcome(source, target, s).provenance["device"] for s in seeds]
                hardware = "; ".join(dict.fromkeys(told)) or here
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
                for metric, scores in self.scores(source, target, names).items():
                    for score in scores:
                        hard = score["variant"] in ("ca", "cs")
                        ranker = self.suite.hardness.source if hard else ""
                        rows.append(Row(**shared, **score, metric=metric, hardness_source=ranker))
        return rows


def _network(source: models.Source) -> dict[str, Any]:
    """The parts of a key that say which network runs, on what, and in which software."""
    return {
        "weights": source.fingerprint,
        "preprocessing": repr(source.preprocessing),
        "device": torch.device(extract.default_device()).type,
        "versions": finetune.versions(),
    }


def _scores(
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
            "fraction": samples / len(features.labels),
            "samples": samples,
            "classes": float(np.mean([classes for _, classes in sizes[variant]])),
            "draws": len(scores),
        }
        lines.setdefault(name, []).append(line)
    return lines


@functools.cache
def _code() -> str:
    """The hash of the metrics' code: a score is made anew when it changes."""
    folder = Path(__file__).parent
    parts = [*sorted((folder / "metrics").glob("*.py")), folder / "_linalg.py"]
    return "".join(map(sha256_of, [*parts, folder / "_check.py"]))


_grids: dict[tuple[str, str], Grid] = {}


def accuracy(suite: str, folder: str, source: str, target: str, seed: int) -> float:
    """One fine-tuning as a job: a suite as JSON, the store's folder, and which cell."""
    if (suite, folder) not in _grids:
        _grids.clear()
        _grids[suite, folder] = Grid(Suite.model_validate_json(suite), Store(folder))
    return _grids[suite, folder].outcome(source, target, seed).accuracy
