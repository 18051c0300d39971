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
"""The targets of all sources, or of each source its own."""
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
    name, hash_, which = target.partition("#")
    if hash_ and not (which.isdecimal() and len(which) < 5):  # they are counted through
        raise ValueError(f"target {target!r}: expected a class subset after #, from 0 to 9999")
    return name, int(which) if hash_ else None


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
"""What makes the entries of a kind; their keys hold the hash of its code."""


def _remembered(method: Callable[Concatenate[Grid, P], T]) -> Callable[Concatenate[Grid, P], T]:
    """A method whose results stay in the memory of its grid; it gets the suite's ``by`` for ""."""
    parameters = inspect.signature(method)

    @functools.wraps(method)
    def kept(grid: Grid, /, *given: P.args, **named: P.kwargs) -> T:
        told = parameters.bind(grid, *given, **named)
        told.apply_defaults()
        if told.arguments.get("by") == "":
            told.arguments["by"] = grid.suite.hardness.source
        make: Callable[..., T] = method  # whose arguments are bound already
        return grid._once((method.__name__, *told.args[1:]), lambda: make(*told.args))

    return kept


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
        return _there, (self.suite.model_dump_json(), str(self.store.folder))

    def check(self, source: str) -> None:
        """Refuse a misspelt source now, not an hour later: ``ValueError`` lists the choices."""
        base, taught = taught_on(source)
        if taught is None:
            models.parse(base)
        else:
            self.check(base)
            self.suite.target(taught)

    def _once(self, what: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What was made before, or is made now; the longest unused goes where memory is short."""
        if what in self._memory:
            self._memory[what] = self._memory.pop(what)  # the last that was used stands last
            return self._memory[what]
        self._memory[what] = found = make()
        for other, kept in self._memory.items():
            if other not in self._sizes or other[0] == "split":  # decoded when it is first used
                self._sizes[other] = _bytes(kept)
        over = sum(self._sizes.values()) - MEMORY
        for other in [*self._memory][:-1]:
            if over > 0 and self._sizes[other]:
                del self._memory[other]
                over -= self._sizes.pop(other)
        return found

    @_remembered
    def source(self, name: str) -> models.Source:
        """A source of the suite (or any other), loaded or trained once."""
        base, target = taught_on(name)
        if target is None:  # a network of yours sees images as it wants them
            yours = self.suite.image_size and name in models.SOURCES
            return models.load(name, None if yours else self.suite.size)
        network, recipe = self.source(base), self.suite.pretraining
        entry = self.outcome_entry(network, target, 0, recipe)

        def train() -> Kept:
            kept, module = self._finetuned(network, target, 0, recipe, entry)
            self.store.write("accuracies", entry, *kept)  # it is an outcome too
            return module.state_dict(), kept[1]

        state = self.store.get("weights", entry, train)[0]
        self.store.drop("checkpoints", entry)
        with torch.random.fork_rng(devices=[]):  # the new head is overwritten
            module = network.with_classes(len(class_names(self.data(target)["train"])))
        module.load_state_dict(state)
        return network.retrained(name, module)

    def trained(self, source: str) -> bool:
        """Whether loading the source trains nothing."""
        base, taught = taught_on(source)
        if taught is None or not self.trained(base):
            return taught is None
        entry = self.outcome_entry(self.source(base), taught, 0, self.suite.pretraining)
        return self.store.has("weights", entry)

    @_remembered
    def data(self, target: str | None) -> datasets.DatasetDict:
        """The splits of a target; of the source data for None."""
        name, part = self._part(target)
        spec = self.suite.source_data if name is None else self.suite.target(name)
        if part:
            return subset(self.data(name), *part)
        if spec is None:
            raise MissingDataError(
                f"suite {self.suite.name} names no source_data; add them to its file, or use "
                "sources that are trained on a target (a@b+target)"
            )
        found = load(spec, self.store, whole=name is None)
        if name is None and (share := self.suite.source_share) < 1:
            options = {"train_size": share, "stratify_by_column": "label", "seed": 0}
            found["train"] = found["train"].train_test_split(**options)["train"]
        return found

    @_remembered
    def _part(self, target: str | None) -> tuple[str | None, Any]:
        """The whole of a target; of a class subset its classes and its rows in each split, too."""
        name, which = (None, None) if target is None else of_classes(target)
        return name, None if which is None else subset_rows(self.data(name), which)

    @_remembered
    def fingerprint(self, target: str | None, split: Split) -> str:
        """The content hash of a split; of a class subset that of the whole and of its rows."""
        name, part = self._part(target)
        if not part:
            return fingerprint(self.data(target)[split])
        whole, (kept, rows) = self.fingerprint(name, split), part
        return key(whole=whole, classes=kept, rows=digest({"": torch.from_numpy(rows[split])}))

    def read(self, target: str | None, split: Split, network: models.Source) -> Batches:
        """A split as a network sees it, decoded once for all networks that see the same."""
        name = f"{target or f'{self.suite.name} source data'} {split}"
        return self._once(
            ("split", target, split, type(network), *network.geometry),
            lambda: network.read(self.data(target)[split], name),
        )

    def _network(self, source: models.Source) -> dict[str, Any]:
        """The parts of a key that say which network runs, on what, and how it is computed."""
        return {
            "network": self._once(
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
        """The store's key of these features."""
        return key(
            **self._network(source),
            data=self.fingerprint(target, split),
            layers=source.structure.layers,
            precision=self.suite.recipe.precision,
            code=code.of(MAKERS["features"]),
        )

    @_remembered
    def features(self, source: str, target: str | None, split: Split = "train") -> Features:
        """What a source makes of a target's split; of the source data's for None."""
        (name, part), network = self._part(target), self.source(source)

        def make() -> Kept:
            samples = self.read(target, split, network)
            with threaded(self.suite.recipe.threads):
                return extract(network, samples, precision=self.suite.recipe.precision).arrays(), {}

        if part:  # rows of the whole
            kept, rows = part
            found = self.features(source, name, split).at(torch.from_numpy(rows[split]))
            return replace(found, labels=torch.searchsorted(torch.tensor(kept), found.labels))
        entry = self.features_entry(network, target, split)
        return Features.of(self.store.get("features", entry, make)[0])

    @_remembered
    def signature(self, by: str = "") -> hardness.Signature:
        """The signature of a network's own source data, their train split; its notes say of what.

        Of the suite's ``source_data`` a file will do (:func:`signature_paths`), if it is of the
        same pixels. ``MissingDataError`` where there are neither.
        """
        network, data = self.source(by), taught_on(by)[1]
        notes = {
            "network": network.name,
            "weights": network.fingerprint,
            "preprocessing": repr(network.preprocessing),
            "versions": finetune.versions(),
        }

        def make() -> Kept:
            samples = self.read(data, "train", network)
            with threaded(self.suite.recipe.threads):
                found = signature(network, samples, precision=self.suite.recipe.precision)
            return found.arrays(), notes | {"data": self.fingerprint(data, "train")}

        for path in signature_paths(by) if data is None else ():
            file = hardness.Signature.load(path)
            of_what = {"network": "another", "weights": "?"} | file.notes
            if of_what["weights"] != network.fingerprint:
                raise ValueError(
                    f"{path}: expected the signature of {by} (weights "
                    f"{network.fingerprint[:12]}), got that of {of_what['network']} "
                    f"({of_what['weights'][:12]}); remove the file, or write it anew"
                )
            if file.notes.get("preprocessing") == notes["preprocessing"]:
                return file
        try:
            made = code.of(MAKERS["signatures"])
            entry = key(features=self.features_entry(network, data), code=made)
            arrays, about = self.store.get("signatures", entry, make)
        except MissingDataError as error:
            raise MissingDataError(
                f"no signature of {by}: no file signatures/{by}.safetensors in "
                f"{suites.folder().parent} or {data_folder()}, and {error}"
            ) from error
        return replace(hardness.Signature.of(arrays), notes=about)

    @_remembered
    def unsigned(self, by: str = "") -> str:
        """Why a network has no class-agnostic hardness here; empty where it has."""
        try:
            self.signature(by)
        except MissingDataError as error:
            return str(error)
        return ""

    @_remembered
    def hardness(self, target: str, split: Split = "train", by: str = "") -> dict[str, Tensor]:
        """The hardness of every sample of a split: ``ca``, ``dot`` and ``cs``; of scenes no ``cs``.

        ``ca`` is class-agnostic by the cosine, ``dot`` by the dot product (Eq. 1 as printed);
        neither is there without a signature (:meth:`unsigned` says why).
        """
        features, found = self.features(by, target, split), {}
        if not self.unsigned(by):
            layers, signature = list(features.layers.values()), self.signature(by)
            found["ca"] = hardness.class_agnostic(layers, signature)
            found["dot"] = hardness.class_agnostic(layers, signature, "dot")
        if features.sample is None:
            found["cs"] = hardness.class_specific(
                features.embedding, features.labels, self.suite.hardness.covariance
            )
        return found

    @_remembered
    def subsets(self, target: str, by: str = "") -> list[Subset]:
        """The rows to score, see :func:`hastelib.scoring.subsets`."""
        n, told = len(self.features(by, target)), self.suite.hardness
        return scoring.subsets(n, self.hardness(target, by=by), told.fraction, told.draws)

    def _score_entries(
        self, source: str, target: str, names: Sequence[str], by: str
    ) -> dict[str, str]:
        """The store's keys of the scores, by metric."""
        rows = {str(i): subset.rows for i, subset in enumerate(self.subsets(target, by))}
        features = self.features_entry(self.source(source), target, "train")
        shared = {"features": features, "rows": digest(rows)}
        made = {name: code.of(MAKERS["scores"], metrics.METRICS[name]) for name in names}
        return {name: key(**shared, metric=name, code=made[name]) for name in names}

    def scores(
        self, source: str, target: str, names: Sequence[str], by: str = ""
    ) -> dict[str, list[dict[str, Any]]]:
        """The scores of some metrics: of each a line a subset, as the columns of a row.

        Without a signature those of ``ca`` are NaN.
        """
        for name in names:
            one_of("metric", name, metrics.METRICS)
        entries = self._score_entries(source, target, names, by)
        made: dict[str, list[dict[str, Any]]] = {}

        def make(name: str) -> Kept:
            if name not in made:  # with it all others that are missing: they share much
                gone = [n for n in names if n == name or not self.store.has("scores", entries[n])]
                features, subsets = self.features(source, target), self.subsets(target, by)
                with threaded(self.suite.recipe.threads):
                    made.update(score(gone, features, subsets))
            return {}, {"scores": made[name]}

        lacking = []
        if reason := self.unsigned(by):
            told = {"variant": "ca", "draw": 0, "fraction": 0.0, "samples": 0, "classes": 0.0}
            told |= {"score": math.nan, "reason": reason}
            lacking = [told | {"similarity": one} for one in ("cosine", "dot")]
        found: dict[str, list[dict[str, Any]]] = {}
        for name, entry in entries.items():
            kept = self.store.get("scores", entry, functools.partial(make, name))[1]["scores"]
            found[name] = sorted(kept + lacking, key=lambda line: line["variant"] == "cs")
        return found

    def outcome_entry(
        self, network: models.Source, target: str, seed: int, recipe: Recipe | None = None
    ) -> str:
        """The store's key of this outcome."""
        return key(
            **self._network(network),
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
        how = recipe or self.suite.recipe_of(network.name)
        made = finetune.finetune(network, train, test, how, seed, store=self.store, entry=entry)
        assert made.module is not None
        notes = {"accuracy": made.accuracy, "provenance": made.provenance}
        return ({"probs": made.probs, "labels": made.labels}, notes), made.module

    @_remembered
    def outcome(
        self, source: str, target: str, seed: int, recipe: Recipe | None = None
    ) -> finetune.Outcome:
        """What fine-tuning the source on the target leads to, by the suite's recipe for None."""
        network = self.source(source)
        entry = self.outcome_entry(network, target, seed, recipe)
        tuned = functools.partial(self._finetuned, network, target, seed, recipe, entry)
        arrays, notes = self.store.get("accuracies", entry, lambda: tuned()[0])
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
        ranked_by = {one: (rankers or {}).get(one, self.suite.hardness.source) for one in sources}
        loaded = dict.fromkeys([*sources, *(ranked_by.values() if names else ())])
        for source in loaded:
            self.check(source)
        for name in names:
            one_of("metric", name, metrics.METRICS)
        pairs = paired(sources, targets)
        asked = dict.fromkeys(target for target, _ in pairs)
        for target in asked:
            self.suite.target(of_classes(target)[0])
        gpus = int(torch.device(default_device()).type == "cuda")
        found, broken = dict[str, Job](), dict[str, str]()

        def ready(one: str) -> Any:
            if one in loaded:
                return self.trained(one) and self.source(one).structure
            return [self.fingerprint(one, split) for split in SPLITS[: 1 + bool(seeds)]]

        for one in [*loaded, *asked]:
            try:
                ready(one)
            except Exception as error:  # of the jobs that need it, and of no other
                broken[one] = str(error)

        def add(name: str, needs: list[str], method: str, source: str, *cell: Any) -> list[str]:
            """The name of the job; none where the store has its result."""
            if why := [broken[one] for one in (source, *cell) if one in broken]:
                found[name] = Job(name, refused, (why[0],))
            elif needs or not self._has(method, source, *cell):
                found[name] = Job(name, work, (self, method, source, *cell), tuple(needs), gpus)
            return [name] if name in found else []

        def train(source: str) -> list[str]:
            base, taught = taught_on(source)
            if taught is None or source in broken:
                return []
            return add(f"train {source}", train(base), "source", source)

        for target, source in pairs:
            for seed in seeds:
                name = f"fine-tune {source} on {target}, seed {seed}"
                add(name, train(source), "outcome", source, target, seed)
            if not names:
                continue
            by, whole, needs = ranked_by[source], of_classes(target)[0], list[str]()
            for one in (source, by) if broken.keys().isdisjoint((source, target, by)) else ():
                needs += add(f"extract {one} on {whole}", train(one), "features", one, whole)
            add(f"score {source} on {target}", needs, "scores", source, target, (*names,), by)
        return list(found.values())

    def _has(self, method: str, source: str, *cell: Any) -> bool:
        """Whether the store has what a method keeps there for a cell of a trained source."""
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
        found = {job.name: job for job in jobs}
        # A source that is trained on a target by the same recipe is a fine-tuning: not done twice.
        trained = [] if self.suite.pretraining else [n for n in found if n.startswith("train ")]
        for name in trained:
            source, target = taught_on(name.removeprefix("train "))
            if same := found.get(f"fine-tune {source} on {target}, seed 0"):
                found[same.name] = replace(same, needs=(*same.needs, name))
        run(list(found.values()), self.scheduler, name="jobs")

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

        ``sources``, ``seeds`` and ``similarity`` are the suite's where they are not given; of no
        seeds, ``()``, the accuracies are NaN. ``similarity`` are the readings of Eq. 1, ``cosine``
        and ``dot``, that have rows of ``ca``; ``static`` adds :func:`static_rows`. A cell that
        fails has NaN scores, with the reason, and the mean accuracy of the seeds there are.

        Raises:
            ValueError: nothing could be computed. A warning names what failed else, and subsets
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

        def kept(job: str, read: Callable[..., T], *cell: Any) -> T | None:
            """What a job has left in the store, or why it has not."""
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
            name, job = f"fine-tune {source} on {target}, seed", f"score {source} on {target}"
            tuned = [kept(f"{name} {seed}", self.outcome, source, target, seed) for seed in seeds]
            outcomes = [one.provenance | {"accuracy": one.accuracy} for one in tuned if one]
            made = pd.DataFrame(outcomes or [untuned])
            scores = kept(job, self.scores, source, target, metrics, by)
            lost = not outcomes and not scores  # perhaps not there
            shared = {
                "schema": SCHEMA,
                "section": section,
                "suite": self.suite.name,
                "target": target,
                "source": source,
                "hardness_source": by,
                "accuracy": made["accuracy"].mean(),
                "accuracy_std": made["accuracy"].std(),
                "seeds": len(outcomes),
                "recipe": "; ".join(dict.fromkeys(Recipe(**one).told for one in made["recipe"])),
                "seconds": made["seconds"].mean(),
                "data": "" if lost else self.fingerprint(target, "train")[:12],
                "weights": "" if lost else self.source(source).fingerprint[:12],
                "device": f"{'; '.join(made['device'].unique())}, threads a job: {threads}",
                "versions": "; ".join(made["versions"].unique()),
            }
            cells.append((shared, scores, errors.get(job, "")))
        lines = {one["target"]: next(iter(scores.values())) for one, scores, _ in cells if scores}
        if errors and not lines and not any(shared["seeds"] for shared, *_ in cells):
            raise ValueError(f"section {section}: nothing could be computed:{summary(errors)}")
        if errors:
            warnings.warn(
                f"section {section}: {len(errors)} jobs failed, and NaN stands for them; a second "
                f"run makes only these:{summary(errors, len(errors))}",
                stacklevel=2,
            )
        # A cell without scores has the lines of another, of the same target if there is one.
        whole = {"variant": "all", "similarity": "", "draw": 0, "fraction": 1.0}
        some, rows = next(iter(lines.values()), [whole]), []
        for shared, scores, reason in cells:
            blank = {"score": math.nan, "reason": reason, "samples": 0, "classes": math.nan}
            blanks = [line | blank for line in lines.get(shared["target"], some)]
            for metric, several in (scores or dict.fromkeys(metrics, blanks)).items():
                rows += [shared | line | {"metric": metric} for line in several]
        found = pd.DataFrame(rows)
        if found["score"].isna().all():
            reason = next(filter(None, found["reason"]), "no metric was asked for")
            raise ValueError(f"section {section}: there is no score at all: {reason}")
        found.loc[~found["variant"].isin(HARD), "hardness_source"] = ""
        found = found[found["similarity"].isin(readings)]
        few = found[found["samples"] < 2 * found["classes"]].drop_duplicates(["target", "variant"])
        if len(few) and "cs" in set(found["variant"]):  # of scenes every pixel is a sample
            row = few.iloc[0]
            warnings.warn(
                f"section {section}: {len(few)} subsets have fewer than two samples a class, and "
                f"scores of them say little, such as {row['samples']} samples of "
                f"{row['classes']:.0f} classes ({row['target']}, {row['variant']}); take a larger "
                "fraction or more samples",
                stacklevel=2,
            )
        return check(pd.concat([found, static_rows(found)]) if static else found)


def signature_paths(name: str) -> list[Path]:
    """Where there is a file with the signature of a source: in ``params`` or ``HASTE_DATA``."""
    folders = suites.folder().parent, data_folder()
    paths = [folder / "signatures" / f"{name}.safetensors" for folder in folders]
    return [path for path in paths if path.exists()]


def _bytes(thing: Any) -> int:
    """The memory of all arrays that a thing of this library holds."""
    if isinstance(thing, Tensor):
        return thing.nbytes
    if isinstance(thing, nn.Module):
        thing = [*thing.parameters(), *thing.buffers()]
    elif type(thing).__module__.startswith("hastelib"):
        thing = getattr(thing, "__dict__", ())
    if isinstance(thing, dict):
        thing = [*thing.values()]
    return sum(map(_bytes, thing)) if isinstance(thing, list | tuple) else 0


def static_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The static control (:func:`hastelib.stats.static`): sources ranked on the other targets.

    Returns:
        A row of the variant ``static`` for each target, source and metric of a suite's frame. With
        a single target the score is NaN, and the reason says so.
    """
    one = frame.drop_duplicates(["target", "source", "metric"])
    wide = one.drop_duplicates(["target", "source"]).pivot_table(
        "accuracy", "target", "source", sort=False, dropna=False
    )
    scores = pd.DataFrame(stats.static(wide.to_numpy(float)), wide.index, wide.columns).unstack()
    found = scores[pd.MultiIndex.from_frame(one[["source", "target"]])].to_numpy()
    told: dict[str, Any] = {"variant": "static", "similarity": "", "hardness_source": "", "draw": 0}
    reason = np.where(np.isnan(found), "no accuracy on another target", "")
    return one.assign(**told, score=found, reason=reason, fraction=0.0, samples=0, classes=0.0)


def refused(why: str) -> None:
    """A job whose source or data could not be loaded."""
    raise ValueError(why)


def work(grid: Grid, method: str, *cell: Any) -> None:
    """One job: what a method of the grid keeps in the store for a cell."""
    getattr(grid, method)(*cell)


@functools.lru_cache(1)
def _there(suite: str, folder: str) -> Grid:
    """A grid on a worker, which its jobs share: of a suite (JSON), on the store in a folder."""
    return Grid(Suite.model_validate_json(suite), Store(folder))
