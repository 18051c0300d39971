"""One cell of a grid: features, hardness, scores or an accuracy, computed once and kept."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import datasets
import torch
from torch import Tensor

from hastelib import extract, finetune, hardness, metrics, models, plugins
from hastelib.data import (
    Batches,
    Split,
    class_names,
    fingerprint,
    load,
    subset,
    subset_rows,
)
from hastelib.experiments import scoring
from hastelib.experiments.names import of_classes, taught_on
from hastelib.experiments.scoring import Subset
from hastelib.extract import Features
from hastelib.store import Store, digest, key
from hastelib.suites import Suite, one_of

T = TypeVar("T")

KEPT = {"split": 8, "features": 64}
"""How many decoded splits and features stay in memory; others are made or read again."""


class Cells:
    """All that is computed from the sources and targets of a suite, cell by cell.

    Every method computes what it needs and keeps it in the store, so the second call, in this
    process or another, reads it. Two forms of names go beyond those in the suite's file:

    - the source ``resnet14@glyphs+greek`` is ``resnet14@glyphs`` fine-tuned on the target
      ``greek`` with the suite's recipe and seed 0; its source data are greek's train split;
    - the target ``greek#3`` is random subset 3, counted from 0, of the classes of ``greek``
      (:func:`hastelib.data.subset`).

    Args:
        suite: what is run on what.
        store: the cache.
    """

    def __init__(self, suite: Suite, store: Store | None = None) -> None:
        plugins.load()
        self.suite = suite
        self.store = store or Store()
        self._memory: dict[Any, Any] = {}
        for name in (*suite.sources, suite.hardness.source):
            self.check(name)

    def check(self, source: str) -> None:
        """Refuse a misspelt source now, not an hour later.

        Raises:
            ValueError: no such network, weights or target; lists the choices.
        """
        base, taught = taught_on(source)
        if taught is None:
            models.parse(base)
        else:
            self.check(base)
            self.suite.target(taught)

    def _once(self, what: tuple[Any, ...], make: Callable[[], T]) -> T:
        found: T = self._memory.pop(what) if what in self._memory else make()
        self._memory[what] = found  # the last that was used stands last
        if what[0] in KEPT:
            same = [other for other in self._memory if other[0] == what[0]]
            for other in same[: -KEPT[what[0]]]:
                del self._memory[other]
        return found

    def source(self, name: str) -> models.Source:
        """A source of the suite (or any other), loaded or trained once."""
        base, taught = taught_on(name)
        if taught is None:
            return self._once(("source", name), lambda: models.load(name, self.suite.size))
        return self._once(("source", name), lambda: self._taught(name, base, taught))

    def _taught(self, name: str, base: str, target: str) -> models.Source:
        """A source fine-tuned on a target, as a source of its own."""
        network = self.source(base)
        entry = self.outcome_entry(network, target, 0)

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            made = self._finetuned(network, target, 0, entry)
            assert made.module is not None
            arrays, notes = _kept(made)
            self.store.write("accuracies", entry, arrays, notes)  # it is an outcome too
            return made.module.state_dict(), notes

        state = self.store.get("weights", entry, make)[0]
        self.store.drop("checkpoints", entry)
        with torch.random.fork_rng(devices=[]):  # the new head is overwritten
            module = network.with_classes(len(class_names(self.data(target)["train"])))
        module.load_state_dict(state)
        return network.retrained(name, module)

    def data(self, target: str | None) -> datasets.DatasetDict:
        """The splits of a target; of the source data for None."""
        if target is None:
            spec = self.suite.source_data
            if spec is None:
                raise ValueError(
                    f"suite {self.suite.name} names no source_data; add them to its file, or use "
                    "sources that are trained on a target (a@b+target)"
                )
            return self._once(("data", None), lambda: load(spec, self.store))
        name, which = of_classes(target)
        if which is None:
            return self._once(("data", name), lambda: load(self.suite.target(name), self.store))
        return self._once(("data", target), lambda: subset(self.data(name), which))

    def fingerprint(self, target: str | None, split: Split) -> str:
        """The content hash of a split."""
        return self._once(
            ("fingerprint", target, split), lambda: fingerprint(self.data(target)[split])
        )

    def read(self, target: str | None, split: Split, network: models.Source) -> Batches:
        """A split as a network sees it, decoded once for all networks that see the same."""
        name = f"{target or f'{self.suite.name} source data'} {split}"
        return self._once(
            ("split", target, split, type(network), *network.geometry),
            lambda: network.read(self.data(target)[split], name),
        )

    def features_entry(self, source: models.Source, target: str | None, split: Split) -> str:
        """The store's key of these features."""
        return key(
            **_network(source),
            data=self.fingerprint(target, split),
            layers=source.stages,
            precision="float32",
        )

    def features(self, source: str, target: str | None, split: Split = "train") -> Features:
        """What a source makes of a target's split; of the source data's for None.

        Of a class subset it is the rows of the whole.
        """
        name, which = (None, None) if target is None else of_classes(target)
        if which is None:
            return self._extracted(source, target, split)

        def make() -> Features:
            whole = self.features(source, name, split)
            kept, rows = subset_rows(self.data(name), which)
            part = whole.at(torch.from_numpy(rows[split]))
            return replace(part, labels=torch.searchsorted(torch.tensor(kept), part.labels))

        return self._once(("features", source, target, split), make)

    def _extracted(self, source: str, target: str | None, split: Split) -> Features:
        network = self.source(source)
        entry = self.features_entry(network, target, split)

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            samples = self.read(target, split, network)
            with extract.threaded(self.suite.recipe.threads):
                found, speed = extract.extract(network, samples)
            return found.arrays(), {"images_per_second": round(speed, 1)}

        return self._once(
            ("features", entry), lambda: Features.of(self.store.get("features", entry, make)[0])
        )

    def signature(self, by: str | None = None) -> hardness.Signature:
        """A source's signature of its own source data, their train split.

        Args:
            by: the source; the suite's ``hardness.source`` where it is not given.
        """
        name = by or self.suite.hardness.source
        network = self.source(name)
        data = taught_on(name)[1]

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            samples = self.read(data, "train", network)
            with extract.threaded(self.suite.recipe.threads):
                return extract.signature(network, samples).arrays(), {}

        entry = key(features=self.features_entry(network, data, "train"), sums=["unit", "raw"])
        return hardness.Signature.of(self.store.get("signatures", entry, make)[0])

    def hardness(
        self, target: str, split: Split = "train", by: str | None = None
    ) -> dict[str, Tensor]:
        """The hardness of every sample of a split: ``ca``, ``dot`` and ``cs``; of scenes no ``cs``.

        ``ca`` is class-agnostic by the cosine, ``dot`` by the dot product (Eq. 1 as printed).

        Args:
            target: of the suite.
            split: of the target.
            by: the network that ranks the samples; the suite's ``hardness.source`` where it is
                not given. The paper has one for all (Sec. 5.1 and A.2).
        """
        name = by or self.suite.hardness.source

        def make() -> dict[str, Tensor]:
            features = self.features(name, target, split)
            layers = list(features.layers.values())
            signature = self.signature(name)
            found = {
                "ca": hardness.class_agnostic(layers, signature),
                "dot": hardness.class_agnostic(layers, signature, "dot"),
            }
            if features.sample is None:
                found["cs"] = hardness.class_specific(
                    features.embedding, features.labels, self.suite.hardness.covariance
                )
            return found

        return self._once(("hardness", target, split, name), make)

    def subsets(self, target: str, by: str | None = None) -> list[Subset]:
        """The rows that scores are computed on: all, the random draws, and the hard subsets.

        The random ones have the size of the hard ones and are the same for every source. ``by``
        ranks, as in :meth:`hardness`.
        """
        settings = self.suite.hardness

        def make() -> list[Subset]:
            hard = {
                variant: hardness.hardest(values, settings.fraction)
                for variant, values in self.hardness(target, by=by).items()
            }
            n, k = len(self.data(target)["train"]), len(hard["ca"])
            draws = [
                torch.randperm(n, generator=torch.Generator().manual_seed(draw))[:k]
                for draw in range(settings.draws)
            ]
            found = [Subset("all", torch.arange(n))]
            found += [Subset("random", rows, draw=draw) for draw, rows in enumerate(draws)]
            found += [Subset("ca", hard["ca"], "cosine"), Subset("ca", hard["dot"], "dot")]
            if "cs" in hard:  # not of scenes
                found.append(Subset("cs", hard["cs"]))
            return found

        return self._once(("subsets", target, by or settings.source), make)

    def score_entries(
        self, source: str, target: str, names: Sequence[str], subsets: Sequence[Subset]
    ) -> dict[str, str]:
        """Metric -> the store's key of its scores on these subsets."""
        shared = {
            "features": self.features_entry(self.source(source), target, "train"),
            "rows": digest({str(i): subset.rows for i, subset in enumerate(subsets)}),
        }
        return {name: key(**shared, metric=name, code=scoring.code(name)) for name in names}

    def scores(
        self, source: str, target: str, names: Sequence[str], by: str | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """The scores of some metrics: of each a line a subset, as the columns of a row.

        ``by`` ranks, as in :meth:`hardness`.
        """
        for name in names:
            one_of("metric", name, metrics.METRICS)
        features, subsets = self.features(source, target), self.subsets(target, by)
        entries = self.score_entries(source, target, names, subsets)
        made: dict[str, list[dict[str, Any]]] = {}

        def make(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
            if name not in made:  # with it all others that are missing: they share much
                gone = [
                    n
                    for n in names
                    if n == name or not self.store.path("scores", entries[n]).exists()
                ]
                with extract.threaded(self.suite.recipe.threads):
                    made.update(scoring.score(gone, features, subsets))
            return {}, {"scores": made[name]}

        return {
            name: list(self.store.get("scores", entry, functools.partial(make, name))[1]["scores"])
            for name, entry in entries.items()
        }

    def outcome_entry(self, network: models.Source, target: str, seed: int) -> str:
        """The store's key of this outcome."""
        return key(
            **_network(network),
            train=self.fingerprint(target, "train"),
            test=self.fingerprint(target, "test"),
            recipe=self.suite.recipe.parts(),
            seed=seed,
        )

    def _finetuned(
        self, network: models.Source, target: str, seed: int, entry: str
    ) -> finetune.Outcome:
        return finetune.finetune(
            network,
            self.read(target, "train", network),
            self.read(target, "test", network),
            self.suite.recipe,
            seed,
            store=self.store,
            entry=entry,
        )

    def outcome(self, source: str, target: str, seed: int) -> finetune.Outcome:
        """What fine-tuning the source on the target with this seed leads to."""
        network = self.source(source)
        entry = self.outcome_entry(network, target, seed)

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            return _kept(self._finetuned(network, target, seed, entry))

        def read() -> finetune.Outcome:
            arrays, notes = self.store.get("accuracies", entry, make)
            self.store.drop("checkpoints", entry)  # not before the outcome is kept
            return finetune.Outcome(
                notes["accuracy"], arrays["probs"], arrays["labels"], notes["provenance"]
            )

        return self._once(("outcome", entry), read)

    def trained(self, source: str) -> bool:
        """Whether the source is there, so that loading it trains nothing."""
        base, taught = taught_on(source)
        if taught is None:
            return True
        if not self.trained(base):
            return False
        return self.store.path("weights", self.outcome_entry(self.source(base), taught, 0)).exists()


def _kept(made: finetune.Outcome) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An outcome as the store keeps it."""
    notes = {"accuracy": made.accuracy, "provenance": made.provenance}
    return {"probs": made.probs, "labels": made.labels}, notes


def _network(source: models.Source) -> dict[str, Any]:
    """The parts of a key that say which network runs, on what, and in which software."""
    return {
        "weights": source.fingerprint,
        "preprocessing": repr(source.preprocessing),
        "device": torch.device(extract.default_device()).type,
        "versions": finetune.versions(),
    }
