"""Grids of sources and targets: features, hardness, scores and accuracies, every cell kept.

The source ``resnet14@glyphs+greek`` is ``resnet14@glyphs`` trained on the target ``greek`` by the
suite's pretraining, or else its recipe, with seed 0; its source data are greek's train split. The
target ``greek#3`` is random subset 3 of the classes of ``greek``.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import datasets
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from hastelib import code, finetune, hardness, metrics, models, plugins, scoring, stats, suites
from hastelib.data.base import (
    SPLITS,
    MissingDataError,
    Split,
    class_names,
    data_folder,
    fingerprint,
    load,
    subset,
    subset_rows,
)
from hastelib.data.images import Batches
from hastelib.engine import Job, JobsFailedError, run, summary, told
from hastelib.features import Features, default_device, extract, signature, threaded
from hastelib.records import SCHEMA, check
from hastelib.scoring import Subset, score
from hastelib.store import Kept, Store, digest, key
from hastelib.suites import Recipe, Suite, one_of

P = ParamSpec("P")
T = TypeVar("T")
Targets = Sequence[str] | Mapping[str, Sequence[str]]
"""The targets of all sources, or those of each source."""
MEMORY = 2 << 30
"""Bytes that a grid holds in memory; the rest is read or made again."""
HARD = ("ca", "cs")
"""The variants of hard subsets."""


def taught_on(source: str) -> tuple[str, str | None]:
    """``resnet14@glyphs+greek`` is ``resnet14@glyphs`` trained on ``greek``; else None."""
    base, plus, target = source.rpartition("+")
    return (base, target) if plus else (source, None)


def of_classes(target: str) -> tuple[str, int | None]:
    """``greek#3`` is subset 3 of ``greek``; a whole target has None."""
    name, hash_, number = target.partition("#")
    if hash_ and not (number.isdecimal() and len(number) < 5):  # all up to it are enumerated
        raise ValueError(f"target {target!r}: expected a class subset after #, from 0 to 9999")
    return name, int(number) if hash_ else None


def paired(sources: Sequence[str], targets: Targets) -> list[tuple[str, str]]:
    """The pairs of a target and a source: all, or those of a source's own targets."""
    if isinstance(targets, Mapping):
        return [(target, source) for source in sources for target in targets[source]]
    return [*itertools.product(targets, sources)]


MAKERS: dict[str, Callable[..., Any]] = {
    "features": extract,
    "signatures": signature,
    "scores": score,
    "accuracies": finetune.finetune,
}
"""The function that makes the entries of each kind; their keys hold the hash of its code."""


def _memoised(method: Callable[Concatenate[Grid, P], T]) -> Callable[Concatenate[Grid, P], T]:
    """A method whose results its grid keeps in memory; an empty ``by`` means the suite's."""
    parameters = inspect.signature(method)

    @functools.wraps(method)
    def cached(grid: Grid, /, *args: P.args, **kwargs: P.kwargs) -> T:
        bound = parameters.bind(grid, *args, **kwargs)
        bound.apply_defaults()
        if bound.arguments.get("by") == "":
            bound.arguments["by"] = grid.suite.hardness.source
        make: Callable[..., T] = method  # whose arguments are bound already
        return grid._cached((method.__name__, *bound.args[1:]), lambda: make(*bound.args))

    return cached


class Grid:
    """The sources and targets of a suite, and all that is computed from them.

    Every method computes what it needs and keeps it in the store, which the next call reads.
    ``by`` is the network that ranks the samples by hardness, by default the suite's
    ``hardness.source`` for all (Sec. 5.1 and A.2); ``rankers`` names it for some sources.
    ``scheduler`` says where jobs run, see :mod:`hastelib.engine`.

    Raises:
        ValueError: no such network, weights or target; lists the choices.
    """

    def __init__(
        self, suite: Suite, store: Store | None = None, scheduler: str | None = None
    ) -> None:
        plugins.load()
        self.suite, self.store, self.scheduler = suite, store or Store(), scheduler
        self._memory: dict[tuple[Any, ...], Any] = {}
        self._sizes: dict[tuple[Any, ...], int] = {}
        for name in (*suite.sources, suite.hardness.source):
            self.check(name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _worker_grid, (self.suite.model_dump_json(), str(self.store.folder))

    def check(self, source: str) -> None:
        """Refuse a misspelt source now, not an hour later: ``ValueError`` lists the choices."""
        base, target = taught_on(source)
        if target is None:
            models.parse(base)
        else:
            self.check(base)
            self.suite.target(target)

    def _cached(self, cache_key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """A value in memory, made first if need be; least recently used ones make room for it."""
        if cache_key in self._memory:
            self._memory[cache_key] = self._memory.pop(cache_key)  # used last, dropped last
            return self._memory[cache_key]
        self._memory[cache_key] = value = make()
        for other, held in self._memory.items():
            if other not in self._sizes or other[0] == "split":  # decoded when it is first used
                self._sizes[other] = _bytes(held)
        excess = sum(self._sizes.values()) - MEMORY
        for other in [*self._memory][:-1]:
            if excess > 0 and self._sizes[other]:
                del self._memory[other]
                excess -= self._sizes.pop(other)
        return value

    @_memoised
    def source(self, name: str) -> models.Source:
        """A source of the suite (or any other), loaded or trained once."""
        base, target = taught_on(name)
        if target is None:  # a network of yours has a size of its own
            own_size = self.suite.image_size and name in models.SOURCES
            return models.load(name, None if own_size else self.suite.size)
        network, recipe = self.source(base), self.suite.pretraining
        entry = self.outcome_entry(network, target, 0, recipe)

        def train() -> Kept:
            (arrays, notes), module = self._finetuned(network, target, 0, recipe, entry)
            self.store.write("accuracies", entry, arrays, notes)  # it is an outcome too
            return module.state_dict(), notes

        state = self.store.get("weights", entry, train)[0]
        self.store.drop("checkpoints", entry)
        with torch.random.fork_rng(devices=[]):  # the new head is overwritten
            module = network.with_classes(len(class_names(self.data(target)["train"])))
        module.load_state_dict(state)
        return network.retrained(name, module)

    def trained(self, source: str) -> bool:
        """Whether loading the source trains nothing."""
        base, target = taught_on(source)
        if target is None:
            return True
        if not self.trained(base):
            return False
        entry = self.outcome_entry(self.source(base), target, 0, self.suite.pretraining)
        return self.store.has("weights", entry)

    @_memoised
    def data(self, target: str | None) -> datasets.DatasetDict:
        """The splits of a target; of the source data for None."""
        name, part = self._whole_and_rows(target)
        spec = self.suite.source_data if name is None else self.suite.target(name)
        if part:
            return subset(self.data(name), *part)
        if spec is None:
            raise MissingDataError(
                f"suite {self.suite.name} names no source_data; add them to its file, or use "
                "sources that are trained on a target (a@b+target)"
            )
        splits = load(spec, self.store, whole=name is None)
        if name is None and (share := self.suite.source_share) < 1:
            options = {"train_size": share, "stratify_by_column": "label", "seed": 0}
            splits["train"] = splits["train"].train_test_split(**options)["train"]
        return splits

    @_memoised
    def _whole_and_rows(self, target: str | None) -> tuple[str | None, Any]:
        """The target without ``#3``; for a class subset also its classes, and its rows by split."""
        name, number = (None, None) if target is None else of_classes(target)
        return name, None if number is None else subset_rows(self.data(name), number)

    @_memoised
    def fingerprint(self, target: str | None, split: Split) -> str:
        """The content hash of a split; a class subset's is made of its whole's and its rows."""
        name, part = self._whole_and_rows(target)
        if not part:
            return fingerprint(self.data(target)[split])
        whole, (classes, rows) = self.fingerprint(name, split), part
        return key(whole=whole, classes=classes, rows=digest({"": torch.from_numpy(rows[split])}))

    def read(self, target: str | None, split: Split, network: models.Source) -> Batches:
        """A split as a network sees it, decoded once for all networks that see the same."""
        name = f"{target or f'{self.suite.name} source data'} {split}"
        return self._cached(
            ("split", target, split, type(network), *network.geometry),
            lambda: network.read(self.data(target)[split], name),
        )

    def _network_parts(self, source: models.Source) -> dict[str, Any]:
        """The parts of a key that say which network runs, on what, and how it is computed."""
        return {
            "network": self._cached(
                ("network", source.name, source.fingerprint), lambda: code.of_source(source)
            ),
            "weights": source.fingerprint,
            "threads": self.suite.recipe.threads,
            "device": torch.device(default_device()).type,
            "matmul": torch.get_float32_matmul_precision(),
        }

    def features_entry(
        self, source: models.Source, target: str | None, split: Split = "train"
    ) -> str:
        """The store's key of the features that a source extracts from a target's split."""
        return key(
            **self._network_parts(source),
            data=self.fingerprint(target, split),
            layers=source.structure.layers,
            precision=self.suite.recipe.precision,
            code=code.of(MAKERS["features"]),
        )

    @_memoised
    def features(self, source: str, target: str | None, split: Split = "train") -> Features:
        """The features a source extracts from a target's split; from the source data for None."""
        (name, part), network = self._whole_and_rows(target), self.source(source)

        def make() -> Kept:
            samples = self.read(target, split, network)
            with threaded(self.suite.recipe.threads):
                return extract(network, samples, precision=self.suite.recipe.precision).arrays(), {}

        if part:  # rows of the whole
            classes, rows = part
            chosen = self.features(source, name, split).at(torch.from_numpy(rows[split]))
            return replace(chosen, labels=torch.searchsorted(torch.tensor(classes), chosen.labels))
        entry = self.features_entry(network, target, split)
        return Features.of(self.store.get("features", entry, make)[0])

    @_memoised
    def signature(self, by: str = "") -> hardness.Signature:
        """The signature of a network on the train split of its source data; its notes name them.

        For the suite's ``source_data`` a file is enough (:func:`signature_paths`), if made from the
        same pixels. ``MissingDataError`` where there is neither.
        """
        network, target = self.source(by), taught_on(by)[1]
        notes = {
            "network": network.name,
            "weights": network.fingerprint,
            "preprocessing": repr(network.preprocessing),
            "versions": finetune.versions(),
        }

        def make() -> Kept:
            samples = self.read(target, "train", network)
            with threaded(self.suite.recipe.threads):
                computed = signature(network, samples, precision=self.suite.recipe.precision)
            return computed.arrays(), notes | {"data": self.fingerprint(target, "train")}

        for path in signature_paths(by) if target is None else ():
            file = hardness.Signature.load(path)
            recorded = {"network": "another", "weights": "?"} | file.notes
            if recorded["weights"] != network.fingerprint:
                raise ValueError(
                    f"{path}: expected the signature of {by} (weights "
                    f"{network.fingerprint[:12]}), got that of {recorded['network']} "
                    f"({recorded['weights'][:12]}); remove the file, or write it anew"
                )
            if file.notes.get("preprocessing") == notes["preprocessing"]:
                return file
        try:
            code_hash = code.of(MAKERS["signatures"])
            entry = key(features=self.features_entry(network, target), code=code_hash)
            arrays, stored_notes = self.store.get("signatures", entry, make)
        except MissingDataError as error:
            raise MissingDataError(
                f"no signature of {by}: no file signatures/{by}.safetensors in "
                f"{suites.folder().parent} or {data_folder()}, and {error}"
            ) from error
        return replace(hardness.Signature.of(arrays), notes=stored_notes)

    @_memoised
    def unsigned(self, by: str = "") -> str:
        """Why a network has no class-agnostic hardness here; empty where it has."""
        try:
            self.signature(by)
        except MissingDataError as error:
            return str(error)
        return ""

    @_memoised
    def hardness(self, target: str, split: Split = "train", by: str = "") -> dict[str, Tensor]:
        """The hardness of every sample of a split: ``ca``, ``dot`` and ``cs``; of scenes no ``cs``.

        ``ca`` is class-agnostic by the cosine, ``dot`` by the dot product (Eq. 1 as printed);
        neither is there without a signature (:meth:`unsigned` says why).
        """
        features, values = self.features(by, target, split), {}
        if not self.unsigned(by):
            layers, signature = list(features.layers.values()), self.signature(by)
            values["ca"] = hardness.class_agnostic(layers, signature)
            values["dot"] = hardness.class_agnostic(layers, signature, "dot")
        if features.sample is None:
            values["cs"] = hardness.class_specific(
                features.embedding, features.labels, self.suite.hardness.covariance
            )
        return values

    @_memoised
    def subsets(self, target: str, by: str = "") -> list[Subset]:
        """The rows to score, see :func:`hastelib.scoring.subsets`."""
        n, settings = len(self.features(by, target)), self.suite.hardness
        return scoring.subsets(n, self.hardness(target, by=by), settings.fraction, settings.draws)

    def _score_entries(
        self, source: str, target: str, names: Sequence[str], by: str
    ) -> dict[str, str]:
        """The store's keys of the scores, by metric."""
        rows = {str(i): subset.rows for i, subset in enumerate(self.subsets(target, by))}
        features = self.features_entry(self.source(source), target, "train")
        shared = {"features": features, "rows": digest(rows)}
        codes = {name: code.of(MAKERS["scores"], metrics.METRICS[name]) for name in names}
        return {name: key(**shared, metric=name, code=codes[name]) for name in names}

    def scores(
        self, source: str, target: str, names: Sequence[str], by: str = ""
    ) -> dict[str, list[dict[str, Any]]]:
        """Metric -> the columns of a row for each subset; ``ca`` is NaN without a signature."""
        for name in names:
            one_of("metric", name, metrics.METRICS)
        entries = self._score_entries(source, target, names, by)
        computed: dict[str, list[dict[str, Any]]] = {}

        def make(name: str) -> Kept:
            if name not in computed:  # and all others that are missing: they share much
                absent = [n for n in names if n == name or not self.store.has("scores", entries[n])]
                features, subsets = self.features(source, target), self.subsets(target, by)
                with threaded(self.suite.recipe.threads):
                    computed.update(score(absent, features, subsets))
            return {}, {"scores": computed[name]}

        unscored = []
        if reason := self.unsigned(by):
            columns = {"variant": "ca", "draw": 0, "fraction": 0.0, "samples": 0, "classes": 0.0}
            columns |= {"score": math.nan, "reason": reason}
            unscored = [columns | {"similarity": reading} for reading in ("cosine", "dot")]
        scores: dict[str, list[dict[str, Any]]] = {}
        for name, entry in entries.items():
            rows = self.store.get("scores", entry, functools.partial(make, name))[1]["scores"]
            scores[name] = sorted(rows + unscored, key=lambda row: row["variant"] == "cs")
        return scores

    def outcome_entry(
        self, network: models.Source, target: str, seed: int, recipe: Recipe | None = None
    ) -> str:
        """The store's key of the outcome of a fine-tuning."""
        return key(
            **self._network_parts(network),
            train=self.fingerprint(target, "train"),
            test=self.fingerprint(target, "test"),
            recipe=(recipe or self.suite.recipe_of(network.name)).model_dump(exclude_defaults=True),
            seed=seed,
            code=code.of(MAKERS["accuracies"]),
        )

    def _finetuned(
        self, network: models.Source, target: str, seed: int, recipe: Recipe | None, entry: str
    ) -> tuple[Kept, nn.Module]:
        train, test = (self.read(target, split, network) for split in ("train", "test"))
        recipe = recipe or self.suite.recipe_of(network.name)
        tuned = finetune.finetune(network, train, test, recipe, seed, store=self.store, entry=entry)
        assert tuned.module is not None
        notes = {"accuracy": tuned.accuracy, "provenance": tuned.provenance}
        return ({"probs": tuned.probs, "labels": tuned.labels}, notes), tuned.module

    @_memoised
    def outcome(
        self, source: str, target: str, seed: int, recipe: Recipe | None = None
    ) -> finetune.Outcome:
        """The outcome of fine-tuning the source on the target, by the suite's recipe for None."""
        network = self.source(source)
        entry = self.outcome_entry(network, target, seed, recipe)
        train = functools.partial(self._finetuned, network, target, seed, recipe, entry)
        arrays, notes = self.store.get("accuracies", entry, lambda: train()[0])
        self.store.drop("checkpoints", entry)  # not before the outcome is kept
        return finetune.Outcome(probs=arrays["probs"], labels=arrays["labels"], **notes)

    def jobs(
        self,
        sources: Sequence[str],
        targets: Targets,
        names: Sequence[str] = (),
        seeds: Sequence[int] = (),
        rankers: Mapping[str, str] | None = None,
    ) -> list[Job]:
        """What is missing in the store for the pairs of a source and a target, as jobs.

        ``names`` are the metrics to score, ``seeds`` those of the fine-tunings; either may be none.
        """
        ranked_by = {s: (rankers or {}).get(s, self.suite.hardness.source) for s in sources}
        networks = dict.fromkeys([*sources, *(ranked_by.values() if names else ())])
        for source in networks:
            self.check(source)
        for name in names:
            one_of("metric", name, metrics.METRICS)
        pairs = paired(sources, targets)
        unique_targets = dict.fromkeys(target for target, _ in pairs)
        for target in unique_targets:
            self.suite.target(of_classes(target)[0])
        gpus = int(torch.device(default_device()).type == "cuda")
        jobs, failures = dict[str, Job](), dict[str, str]()

        def open_input(name: str) -> Any:
            if name in networks:
                return self.trained(name) and self.source(name).structure
            return [self.fingerprint(name, split) for split in (SPLITS if seeds else SPLITS[:1])]

        for name in [*networks, *unique_targets]:
            try:
                open_input(name)
            except Exception as error:  # fails the jobs that need it, and no other
                failures[name] = str(error)

        def add(name: str, needs: list[str], method: str, source: str, *cell: Any) -> list[str]:
            """Add a job unless its result is stored; the list of the name to wait for, or none."""
            if reasons := [failures[part] for part in (source, *cell) if part in failures]:
                jobs[name] = Job(name, refused, (reasons[0],))
            elif needs or not self._is_stored(method, source, *cell):
                jobs[name] = Job(name, work, (self, method, source, *cell), tuple(needs), gpus)
            return [name] if name in jobs else []

        def train(source: str) -> list[str]:
            base, target = taught_on(source)
            if target is None or source in failures:
                return []
            return add(f"train {source}", train(base), "source", source)

        for target, source in pairs:
            for seed in seeds:
                name = f"fine-tune {source} on {target}, seed {seed}"
                add(name, train(source), "outcome", source, target, seed)
            if not names:
                continue
            by, whole, needs = ranked_by[source], of_classes(target)[0], list[str]()
            for model in () if failures.keys() & {source, target, by} else (source, by):
                needs += add(f"extract {model} on {whole}", train(model), "features", model, whole)
            add(f"score {source} on {target}", needs, "scores", source, target, (*names,), by)
        return list(jobs.values())

    def _is_stored(self, method: str, source: str, *cell: Any) -> bool:
        """Whether the store has the result of a method for a cell of a trained source."""
        if method == "source":
            return self.trained(source)
        network = self.source(source)
        if method == "features":
            return self.store.has("features", self.features_entry(network, *cell))
        if method == "outcome":
            return self.store.has("accuracies", self.outcome_entry(network, *cell))
        with suppress(Exception):  # what raises here raises in the job
            entries = self._score_entries(source, *cell).values()
            return all(self.store.has("scores", entry) for entry in entries)
        return False

    def run(self, jobs: Sequence[Job]) -> None:
        """Run jobs of this grid where the scheduler says; of several lists each job once.

        Raises:
            JobsFailedError: some failed; the others are kept.
        """
        by_name = {job.name: job for job in jobs}
        # Training a source on a target by the same recipe is a fine-tuning: not done twice.
        trainings = [] if self.suite.pretraining else [n for n in by_name if n.startswith("train ")]
        for name in trainings:
            source, target = taught_on(name.removeprefix("train "))
            if finetuning := by_name.get(f"fine-tune {source} on {target}, seed 0"):
                by_name[finetuning.name] = replace(finetuning, needs=(*finetuning.needs, name))
        run(list(by_name.values()), self.scheduler, name="jobs")

    def frame(
        self,
        section: str,
        targets: Targets,
        metrics: Sequence[str],
        *,
        sources: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        rankers: Mapping[str, str] | None = None,
        similarity: Sequence[str] = (),
        static: bool = True,
    ) -> pd.DataFrame:
        """The long frame (:data:`hastelib.records.COLUMNS`) of a section, such as ``5.1``.

        ``sources``, ``seeds`` and ``similarity`` are the suite's where they are not given; without
        seeds, ``()``, the accuracies are NaN. ``similarity`` are the readings of Eq. 1, ``cosine``
        and ``dot``, that have rows of ``ca``; ``static`` adds :func:`static_rows`. A cell that
        fails has NaN scores, with the reason, and the mean accuracy of the seeds there are.

        Raises:
            ValueError: nothing could be computed. A warning names what else failed, and subsets
                with hardly more samples than classes.
        """
        sources = self.suite.sources if sources is None else sources
        seeds = self.suite.seeds if seeds is None else seeds
        readings = {"", *(similarity or [self.suite.hardness.similarity])}
        errors = dict[str, str]()
        try:
            self.run(self.jobs(sources, targets, metrics, seeds, rankers))
        except JobsFailedError as failed:
            errors = failed.errors

        def result(job: str, read: Callable[..., T], *cell: Any) -> T | None:
            """The stored result of a job; None where it failed, and ``errors`` says why."""
            if job not in errors:
                try:
                    return read(*cell)
                except Exception as error:
                    errors[job] = told(error)
            return None

        untuned: dict[str, Any] = {"accuracy": math.nan, "seconds": math.nan}
        untuned |= {"device": finetune.describe(default_device()), "versions": finetune.versions()}
        untuned |= {"recipe": self.suite.recipe.model_dump()}
        cells, threads = [], self.suite.recipe.threads
        for target, source in paired(sources, targets):
            by = (rankers or {}).get(source, self.suite.hardness.source)
            prefix, job = f"fine-tune {source} on {target}, seed", f"score {source} on {target}"
            outcomes = [result(f"{prefix} {s}", self.outcome, source, target, s) for s in seeds]
            records = [o.provenance | {"accuracy": o.accuracy} for o in outcomes if o]
            runs = pd.DataFrame(records or [untuned])
            scores = result(job, self.scores, source, target, metrics, by)
            empty = not (records or scores)  # the data or the source may be missing
            shared = {
                "schema": SCHEMA,
                "section": section,
                "suite": self.suite.name,
                "target": target,
                "source": source,
                "hardness_source": by,
                "accuracy": runs["accuracy"].mean(),
                "accuracy_std": runs["accuracy"].std(),
                "seeds": len(records),
                "recipe": "; ".join(dict.fromkeys(Recipe(**r).told for r in runs["recipe"])),
                "seconds": runs["seconds"].mean(),
                "data": "" if empty else self.fingerprint(target, "train")[:12],
                "weights": "" if empty else self.source(source).fingerprint[:12],
                "device": f"{'; '.join(runs['device'].unique())}, threads a job: {threads}",
                "versions": "; ".join(runs["versions"].unique()),
            }
            cells.append((shared, scores, errors.get(job, "")))
        by_target = {c["target"]: next(iter(scores.values())) for c, scores, _ in cells if scores}
        if errors and not by_target and not any(shared["seeds"] for shared, *_ in cells):
            raise ValueError(f"section {section}: nothing could be computed:{summary(errors)}")
        if errors:
            warnings.warn(
                f"section {section}: {len(errors)} jobs failed, and NaN stands for them; a second "
                f"run makes only these:{summary(errors, len(errors))}",
                stacklevel=2,
            )
        # A cell without scores has the rows of another, of the same target if there is one.
        all_samples = {"variant": "all", "similarity": "", "draw": 0, "fraction": 1.0}
        fallback, rows = next(iter(by_target.values()), [all_samples]), []
        for shared, scores, reason in cells:
            blank = {"score": math.nan, "reason": reason, "samples": 0, "classes": math.nan}
            blanks = [row | blank for row in by_target.get(shared["target"], fallback)]
            for metric, scored in (scores or dict.fromkeys(metrics, blanks)).items():
                rows += [shared | row | {"metric": metric} for row in scored]
        frame = pd.DataFrame(rows)
        if frame["score"].isna().all():
            reason = next(filter(None, frame["reason"]), "no metric was asked for")
            raise ValueError(f"section {section}: there is no score at all: {reason}")
        frame.loc[~frame["variant"].isin(HARD), "hardness_source"] = ""
        frame = frame[frame["similarity"].isin(readings)]
        few = frame[frame["samples"] < 2 * frame["classes"]].drop_duplicates(["target", "variant"])
        if len(few) and "cs" in set(frame["variant"]):  # in scenes every pixel is a sample
            row = few.iloc[0]
            warnings.warn(
                f"section {section}: {len(few)} subsets have fewer than two samples a class, and "
                f"scores of them say little, such as {row['samples']} samples of "
                f"{row['classes']:.0f} classes ({row['target']}, {row['variant']}); take a larger "
                "fraction or more samples",
                stacklevel=2,
            )
        return check(pd.concat([frame, static_rows(frame)]) if static else frame)


def signature_paths(name: str) -> list[Path]:
    """Where there is a file with the signature of a source: in ``params`` or ``HASTE_DATA``."""
    folders = suites.folder().parent, data_folder()
    paths = [folder / "signatures" / f"{name}.safetensors" for folder in folders]
    return [path for path in paths if path.exists()]


def _bytes(value: Any) -> int:
    """The bytes of all arrays that an object of this library holds."""
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, nn.Module):
        value = [*value.parameters(), *value.buffers()]
    elif type(value).__module__.startswith("hastelib"):
        value = getattr(value, "__dict__", ())
    if isinstance(value, dict):
        value = [*value.values()]
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0


def static_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The static control (:func:`hastelib.stats.static`): sources ranked on the other targets.

    Returns:
        A row of the variant ``static`` for each target, source and metric of a suite's frame. With
        a single target the score is NaN, and the reason says so.
    """
    cells = frame.drop_duplicates(["target", "source", "metric"])
    wide = cells.drop_duplicates(["target", "source"]).pivot_table(
        "accuracy", "target", "source", sort=False, dropna=False
    )
    scores = pd.DataFrame(stats.static(wide.to_numpy(float)), wide.index, wide.columns).unstack()
    values = scores[pd.MultiIndex.from_frame(cells[["source", "target"]])].to_numpy()
    columns: dict[str, Any] = {"variant": "static", "similarity": "", "hardness_source": ""}
    columns |= {"draw": 0, "fraction": 0.0, "samples": 0, "classes": 0.0}
    reason = np.where(np.isnan(values), "no accuracy on another target", "")
    return cells.assign(**columns, score=values, reason=reason)


def refused(why: str) -> None:
    """A job whose source or data could not be loaded."""
    raise ValueError(why)


def work(grid: Grid, method: str, *cell: Any) -> None:
    """One job: a method of the grid, which keeps its result for a cell in the store."""
    getattr(grid, method)(*cell)


@functools.lru_cache(1)
def _worker_grid(suite: str, folder: str) -> Grid:
    """The grid of a suite (JSON) and a store's folder, which all jobs of a worker share."""
    return Grid(Suite.model_validate_json(suite), Store(folder))
