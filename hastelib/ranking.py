"""Which of these models will transfer best to this data? Scores before any fine-tuning."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hastelib import checks, code, engine, hardness, hooks, models, plugins, scoring, stats
from hastelib.data.base import class_names, fingerprint, labels_of, relabelled
from hastelib.data.folders import image_folder
from hastelib.data.images import Preprocessing, paths, rgb
from hastelib.features import Features, default_device, extract, features, in_order, parted
from hastelib.hardness import Signature
from hastelib.metrics import METRICS
from hastelib.models import language
from hastelib.store import Store, key, writing
from hastelib.suites import one_of

DRAWS = 20  # random subsets of the size of the hard ones
HALVES, HALF_MOST = 100, 1000  # half-samples behind the stability, the most samples in one
LEAST = 1 / 8  # the share of the samples in the first round of successive halving
PRIOR_WEIGHT = 0.2
"""What a standardised score adds to a standardised prior; of LogME the best weight in the mean of
three published cases (weighted tau .754 for .735), see the book's page *What to beat*."""
COLUMNS = ["metric", "variant", "draw", "score", "samples", "reason"]


def _one_class(values: Any, where: str) -> tuple[Tensor, list[Any]]:
    """Labels as integers from 0, and what each class is called: a name, or its own number."""
    if np.ma.is_masked(values):
        raise checks.refuse(where, "a class for each sample", "masked ones; remove them")
    try:
        array = np.asarray(values if hasattr(values, "dtype") else np.array(values, object))
        whole = array.dtype == object and array.flat  # of several kinds NumPy would make words
        if whole and len({int if isinstance(x, Integral) else type(x) for x in whole}) == 1:
            array = np.asarray(array.tolist())
    except ValueError:  # lists of several lengths
        array = np.empty((1, 2))
    if array.size == 0:
        raise checks.refuse(where, "at least one sample", "none")
    if array.dtype.kind in "iu":
        checks.labels(where, array.ravel())  # no -1 and no 255 for a sample without a class
    if array.ndim != 1 or array.dtype.kind not in "iubUS":
        what = f"values of type {', '.join(sorted({type(one).__name__ for one in array.flat}))}"
        if array.ndim != 1 or array.dtype.kind == "f":
            what = "several labels a sample" if array.ndim > 1 else "real numbers"
        got = f"{what}; no transferability score is defined for that here"
        raise checks.refuse(where, "one class a sample", got)
    names, index = np.unique(array, return_inverse=True)
    return torch.from_numpy(index.astype(np.int64)), names.tolist()


def _read(data: Any, labels: Any) -> tuple[Any, Tensor, list[Any]]:
    """What holds the samples, their classes (n,), and the names of the classes."""
    if data is None and labels is None:
        raise ValueError("data: expected a folder, a data set or a DataLoader, or labels=")
    if data is None:
        return None, *_one_class(labels, "labels")
    if labels is not None:
        raise ValueError("labels: expected none beside data, which has its own")
    if isinstance(data, str | Path):
        data = image_folder(data)
    if isinstance(data, datasets.DatasetDict):
        if "train" not in data:
            raise checks.refuse("data", "a split train", f"{', '.join(data)}; give one split")
        data = data["train"]
    if isinstance(data, datasets.Dataset):
        if data.format["type"] == "custom":
            raise checks.refuse("data", "no transform of its own", "one; use reset_format()")
        data, columns = data.with_format(None), data.column_names
        if not {"image", "text"} & {*columns} or "label" not in columns:
            got = f"{', '.join(columns)}; rename them with rename_columns"
            raise checks.refuse("data", "the columns image or text, and label", got)
        if not isinstance(data.features["label"], datasets.ClassLabel):
            y, names = _one_class(data["label"][:], "data, column label")
            data = relabelled(data, y.numpy(), [*map(str, names)])
        y = torch.from_numpy(labels_of(data))
        if (y < 0).any():
            raise ValueError(f"data: {int((y < 0).sum())} samples have no label; remove them")
        return data, y, class_names(data)
    if isinstance(data, DataLoader):
        in_order("data", data)
        several = [parted(batch)[1] for batch in data]
        return data, *_one_class(torch.cat([torch.zeros(0, dtype=torch.int64), *several]), "data")
    sized = hasattr(data, "__getitem__") and hasattr(data, "__len__") and len(data)
    table = isinstance(data, Mapping | pd.DataFrame)
    if sized and not table and isinstance(data[0], tuple | list) and len(data[0]) > 1:
        found: Any = getattr(data, "targets", None)
        some = range(0, len(data), len(data) // 9 or 1)
        usable = isinstance(found, list | np.ndarray | Tensor) and len(found) == len(data)
        if not usable or any(not np.array_equal(found[i], data[i][1]) for i in some):
            found = [data[i][1] for i in range(len(data))]  # as with a target_transform
        y, names = _one_class(found, "data")
        known = getattr(data, "classes", None)  # perhaps of more than there are samples of
        if isinstance(known, list | tuple) and all(isinstance(name, int) for name in names):
            if (last := max(names)) >= len(known):
                raise checks.refuse("data", f"a name for class {last} in classes", known)
            names = [str(known[number]) for number in names]
        return data, y, names
    expected = "a folder of class folders, a datasets.Dataset, a torch Dataset of pairs (image, "
    expected += "label) or a DataLoader"
    raise checks.refuse("data", expected, type(data).__name__)


def _order(labels: Tensor, seed: int) -> Tensor:
    """The samples in a random order whose every beginning has the classes in their shares."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.empty(len(labels), dtype=torch.float64)
    for name in labels.unique():
        own = (labels == name).nonzero()[:, 0]
        steps = torch.randperm(len(own), generator=generator).double()
        start = torch.rand(1, generator=generator, dtype=torch.float64)
        place[own] = (steps + start) / len(own)
    return place.argsort(stable=True)


@dataclass(frozen=True)
class _Task:
    """The samples, and what is asked of every model.

    ``fingerprint`` is that of the data where features are to be kept, else empty.
    """

    data: Any
    labels: Tensor
    fingerprint: str
    metrics: tuple[str, ...]
    hard: tuple[str, ...]
    fraction: float
    batch_size: int
    device: str | None
    seed: int

    def measure(
        self, name: str, model: Any, parts: list[Tensor], signature: Signature | None, leaves: str
    ) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        """A model's part of the long frame, half-samples too, and its hardness by variant.

        Each of the ``parts`` of the samples has its own entry in the store, for the next round of
        successive halving. Where ``leaves`` says why, all samples alone are scored.
        """
        plugins.load()
        start = time.perf_counter()
        opened = self.open(name, model)
        found = [self.features(opened, rows) for rows in parts]
        whole = found[0]
        if len(found) > 1:
            arrays = [some.arrays() for some in found]
            whole = Features.of({n: torch.cat([some[n] for some in arrays]) for n in arrays[0]})
            whole = whole.at(torch.cat(parts).argsort())
        hard = dict[str, Tensor]()
        missing = self.missing(["random", *self.hard], leaves) if leaves else []
        for variant in () if leaves else self.hard:
            try:
                if variant == "cs":
                    hard[variant] = hardness.class_specific(whole.embedding, whole.labels)
                elif signature is None:
                    raise ValueError("ca needs a signature of its source data: signature={...}")
                elif not whole.layers:
                    raise ValueError("ca needs the layers of a network; this has none")
                elif isinstance(opened, models.Source) and (
                    signature.notes.get("weights") not in (None, opened.fingerprint)
                ):
                    raise ValueError(f"its signature is of {signature.notes.get('network')}")
                else:
                    hard[variant] = hardness.class_agnostic([*whole.layers.values()], signature)
            except ValueError as error:
                missing += self.missing([variant], str(error))
        n, draws = len(whole), 0 if leaves else DRAWS
        subsets = scoring.subsets(n, hard, self.fraction, draws, self.seed)
        for draw in range(0 if leaves else HALVES):
            half = _order(whole.labels, self.seed + draw)[: min(math.ceil(n / 2), HALF_MOST)]
            subsets.append(scoring.Subset("half", half.sort()[0], draw=draw))
        scores = scoring.score(self.metrics, whole, subsets).items()
        lines = [line | {"metric": metric} for metric, several in scores for line in several]
        prior = models.prior(model) if isinstance(model, str) else math.nan
        frame = pd.DataFrame(lines + missing, columns=COLUMNS)
        values = {f"{variant}|{name}": some.numpy() for variant, some in hard.items()}
        return frame.assign(seconds=time.perf_counter() - start, prior=prior), values

    def missing(self, variants: Sequence[str], why: str) -> list[dict[str, Any]]:
        """Lines of the frame for what has no score."""
        told = {"draw": 0, "score": math.nan, "samples": 0, "reason": why}
        return [told | {"metric": m, "variant": v} for v in variants for m in self.metrics]

    def open(self, name: str, model: Any) -> Features | models.Source:
        """A model as a source, or its features where they are given; modules are not changed."""
        if isinstance(model, np.ndarray | Tensor):
            model = Features(checks.stored(name, model).cpu(), None, {}, self.labels)
        if isinstance(model, Features):
            if len(model.embedding) != len(self.labels):
                raise ValueError(f"it has {len(model.embedding)} samples, not {len(self.labels)}")
            return replace(model, labels=self.labels)
        if self.data is None:
            raise ValueError("without data a model is an array (n, d) or Features")
        model = models.load(model) if isinstance(model, str) else model
        if isinstance(model, models.Source):
            return model
        module, transform = model if isinstance(model, tuple) else (model, None)
        if not isinstance(module, nn.Module):
            raise ValueError(f"expected a name, a module, Features or an array, got {type(module)}")
        hooks.unwrapped(module)  # which refuses what cannot be read
        if not isinstance(self.data, datasets.Dataset):
            return models.Source(name, module, transform)
        images = "image" in self.data.column_names
        if transform is None and images and hasattr(module, "pretrained_cfg"):
            transform = models.timm_transform(module)
        if transform is None:
            what = "transform" if images else "tokenizer"
            raise ValueError(f"which {what} does it want? Give a pair (module, {what})")
        return models.yours(name, module, transform)

    def features(self, source: Features | models.Source, rows: Tensor) -> Features:
        if isinstance(source, Features):
            return source.at(rows)
        if not isinstance(self.data, datasets.Dataset):
            batches = self.batches(source.preprocessing, rows)
            made = features(source.module, batches, device=self.device)
            now, first = (checks.classes("y", y)[0] for y in (made.labels, self.labels[rows]))
            if not now.equal(first):
                raise ValueError("the data come in another order each time; turn shuffling off")
            return made

        def make() -> Features:
            what = "text" if isinstance(source, language.TextSource) else "image"
            if what not in self.data.column_names:
                raise ValueError(f"it reads {what}s; the data have none")
            split = source.read(self.data.select(rows.numpy()), "your data")
            return extract(source, split, batch_size=self.batch_size, device=self.device)

        if not self.fingerprint:
            return make()
        entry = key(
            weights=source.fingerprint,
            network=code.of_source(source),
            data=self.fingerprint,
            rows=key(rows=rows.tolist()),
            device=torch.device(default_device(self.device)).type,
            numbers=[torch.get_num_threads(), torch.get_float32_matmul_precision()],
            code=code.of(extract),
        )
        return Features.of(Store().get("features", entry, lambda: (make().arrays(), {}))[0])

    def batches(self, transform: Any, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Some samples of a torch data set as a network wants them, or all that a loader gives."""
        if isinstance(self.data, DataLoader):
            yield from self.data
            return
        for some in rows.split(self.batch_size):
            images = [self.data[row][0] for row in some.tolist()]
            prepared = isinstance(images[0], Tensor)
            if transform is None and not prepared:
                raise ValueError("which transform does it want? Give a pair (module, transform)")
            if transform is not None and prepared:
                told = "the samples are tensors, used without a model's own preprocessing"
                warnings.warn(told, stacklevel=2)
            batch = torch.stack(images if prepared else [transform(rgb(one)) for one in images])
            if isinstance(transform, Preprocessing) and not prepared:
                batch = transform.normalise(batch)
            yield batch, self.labels[some]


def rank(
    data: Any,
    models: Sequence[str] | Mapping[str, Any],
    *,
    labels: Any = None,
    metrics: Iterable[str] = ("logme", "leep", "nce", "gbc"),
    hard: Iterable[str] = ("cs",),
    fraction: float = 0.25,
    signature: Mapping[str, Signature | str | Path] | None = None,
    prior: Mapping[str, float] | None = None,
    max_samples: int | None = None,
    budget: str | None = None,
    batch_size: int = 64,
    device: str | None = None,
    seed: int = 0,
    cache: bool = True,
) -> Ranking:
    """Rank models by how well they will transfer to your data, without fine-tuning any of them.

    Every model sees the samples once, as its publisher prepares them (size, cropping,
    normalisation), and is scored on all of them, on random subsets and on the hardest by its own
    embedding (the paper HASTE, Eq. 5). A model that fails is a row with its reason. Models are jobs
    of :mod:`hastelib.engine`: they run where ``HASTE_SCHEDULER`` says, and a killed run goes on
    with the next one.

    Args:
        data: a folder of class folders (or with ``train`` and ``test``; the first is read); a
            ``datasets.Dataset`` with the columns ``image`` or ``text``, and ``label``; a torch
            data set of (image or tensor, label); a ``DataLoader`` of (batch, labels), used as it
            is; or None with ``labels``, where the models are arrays.
        models: names (:mod:`hastelib.models`), or your names with a name, a module, a pair (module,
            transform or tokenizer), :class:`Features`, or an embedding (n, d).
        labels: a class for each sample, integers or names, with ``data=None``.
        metrics: of :data:`hastelib.metrics.METRICS`; the table is sorted by the first.
        hard: ``cs`` (class-specific) and ``ca`` (class-agnostic, which needs a signature).
        fraction: of the samples that counts as hard.
        signature: model -> the signature of its source data, or its file.
        prior: model -> what is known of it beforehand; where there is none, the published accuracy
            of torchvision's and timm's models on ImageNet, in percent.
        max_samples: a stratified sample of so many.
        budget: ``halving``: every model on an eighth of the samples, the better two thirds on a
            quarter, and so on to all of them.
        batch_size: samples at a time.
        device: where networks run; a GPU where there is one.
        seed: of what is drawn at random.
        cache: keep the features of folders and tables in ``HASTE_CACHE``.

    Raises:
        ValueError: no models, or an argument that is not as above.
        FileNotFoundError: there is no such folder, or no such file of a signature.
    """
    plugins.load()
    metrics, hard = ((x,) if isinstance(x, str) else tuple(x) for x in (metrics, hard))
    for name in metrics:
        one_of("metric", name, METRICS)
    for name in hard:
        one_of("hard variant", name, ("ca", "cs"))
    checks.positive("fraction", fraction, most=1)
    seed = checks.whole("seed", seed, 0)
    batch_size = checks.whole("batch_size", batch_size, 1)
    default_device(device)  # which refuses what is none
    if max_samples is not None:
        checks.whole("max_samples", max_samples, 1)
    if isinstance(models, str) or not all(isinstance(name, str) for name in models):
        raise ValueError("models: expected a list of names, or {your name: name, module, ...}")
    named = dict(models) if isinstance(models, Mapping) else {name: name for name in models}
    if not named or not metrics:
        raise ValueError("models, metrics: expected at least one of each")
    if budget not in (None, "halving"):
        raise ValueError(f"budget: expected None or halving, got {budget!r}")
    signatures = {
        name: one if isinstance(one, Signature) else Signature.load(one)
        for name, one in (signature or {}).items()
    }
    known = {} if prior is None else dict(prior)
    for name in (*known, *signatures):
        one_of("model in prior or signature", name, named)
    if not np.isfinite([*map(float, known.values())]).all():
        raise checks.refuse("prior", "finite numbers", known)
    if isinstance(data, DataLoader) and (max_samples is not None or budget):
        raise ValueError("data: a DataLoader is used as it is; leave max_samples and budget out")
    data, y, classes = _read(data, labels)
    if not len(y):
        raise checks.refuse("data", "at least one sample", "none")
    table = isinstance(data, datasets.Dataset)
    asked = metrics, hard, fraction, batch_size, device, seed
    task = _Task(data, y, fingerprint(data) if table and cache else "", *asked)
    order = _order(y, seed)[:max_samples]
    steps = [len(order)]
    while budget and len(named) > 1 and steps[0] > LEAST * len(order) + 1:
        steps.insert(0, math.ceil(steps[0] / 2))
    parts = [part.sort()[0] for part in order.split(np.diff([0, *steps]).tolist())]
    frames, hardnesses = dict[str, pd.DataFrame](), dict[str, np.ndarray]()
    left = [*named]
    for round_ in range(1, len(steps) + 1):
        leaves = f"left after round {round_} of {len(steps)}" if round_ < len(steps) else ""
        given = {name: (parts[:round_], signatures.get(name), leaves) for name in left}
        jobs = [engine.Job(n, task.measure, (n, named[n], *rest)) for n, rest in given.items()]
        try:
            results, errors = engine.run(jobs, name="models"), {}
        except engine.JobsFailedError as error:
            results, errors = error.results, error.errors
        for name in left:
            if name in errors:
                nothing = task.missing(["all", "random", *hard], errors[name])
                frame = pd.DataFrame(nothing, columns=COLUMNS).assign(seconds=np.nan, prior=np.nan)
            else:
                frame, found = results[name]
                hardnesses |= found
            if name in frames:
                frame["seconds"] += frames[name]["seconds"].iloc[0]
            frames[name] = frame
        scores = pd.Series({name: frames[name]["score"].iloc[0] for name in left}, dtype=float)
        better = scores.drop([*errors]).sort_values(ascending=False, kind="stable").index
        left = [*better[: max(2, round(2 / 3 * len(left)))]]  # the first places are often close
    frame = pd.concat(frames, names=["model"]).reset_index("model")
    frame["prior"] = frame["model"].map(known).astype(float).fillna(frame["prior"])
    halves = frame["variant"] == "half"
    rows = order.sort()[0].numpy()
    about: dict[str, Any] = {"class": np.array(classes)[y[rows].numpy()]}
    if table:
        own = data.select(rows)
        images = "image" in data.column_names
        texts = () if images else own["text"]
        about |= {"path": paths(own)} if images else {"text": [(x or "")[:80] for x in texts]}
    return Ranking(
        frame[~halves].reset_index(drop=True),
        frame.loc[halves, ["model", "metric", "draw", "score"]].reset_index(drop=True),
        pd.DataFrame(about | hardnesses, index=rows),
        metrics,
    )


@dataclass
class Ranking:
    """What :func:`rank` found.

    Attributes:
        frame: long: model, metric, variant (``all``, ``random``, ``cs``, ``ca``), draw, score,
            samples, reason, seconds, prior; NaN with the reason where there is no score.
        halves: the scores on each half-sample: model, metric, draw, score.
        samples: index, class, path or text, and hardness by variant and model.
        metrics: the first sorts.
    """

    frame: pd.DataFrame
    halves: pd.DataFrame
    samples: pd.DataFrame
    metrics: tuple[str, ...]

    def scores(self) -> pd.DataFrame:
        """Model by (metric, variant): the scores, of random subsets their mean."""
        wide = self.frame.groupby(["model", "metric", "variant"], sort=False)["score"].mean()
        return wide.unstack(["metric", "variant"]).loc[self.frame["model"].unique()]

    def table(self) -> pd.DataFrame:
        """One row a model, best first.

        Columns: ``prior``; ``combined``, the standardised prior and a fifth of the standardised
        first metric, where two models have a prior; every metric's score, and ``METRIC-VARIANT`` on
        the hard subset; ``rank`` and ``rank-VARIANT`` by the first metric (1 is best, ties share a
        rank); ``stability``; ``seconds``; ``samples``; ``reason``: what could not be scored and
        why, and ties. Models that left a round of successive halving stand below those that stayed;
        they have fewer samples.
        """
        scores, one = self.scores(), self.frame.drop_duplicates("model").set_index("model")
        hard = [v for v in scores.columns.unique("variant") if v not in ("all", "random")]
        ends = {"all": ""} | {variant: f"-{variant}" for variant in hard}
        found, first = one[["prior"]].copy(), self.metrics[0]
        if found["prior"].notna().sum() > 1:
            stayed = scores[first, "all"].where(self._stayed())
            found["combined"] = _standard(found["prior"]) + PRIOR_WEIGHT * _standard(stayed)
        for metric in self.metrics:
            for variant, end in ends.items():
                found[f"{metric}{end}"] = scores[metric, variant]
        for variant, end in ends.items():
            standing = scores[first, variant].rank() + one["samples"] * len(one)  # by round first
            found[f"rank{end}"] = standing.rank(ascending=False, method="min")
        found["stability"] = self.stability()
        found[["seconds", "samples"]] = one[["seconds", "samples"]].round(1)
        found["reason"] = [self._reason(name, found["rank"]) for name in found.index]
        return found.sort_values("rank", kind="stable")

    def _reason(self, model: str, ranks: pd.Series) -> str:
        own = self.frame[self.frame["model"] == model]
        failed = own[own["score"].isna()].groupby("reason", sort=False)["metric"].unique()
        told = [
            str(reason) if len(names) == len(self.metrics) else f"{', '.join(names)}: {reason}"
            for reason, names in failed.items()
        ]
        same = ranks.index[(ranks == ranks[model]) & (ranks.index != model)]
        told += [f"tied with {', '.join(same)}"] if len(same) else []
        return "; ".join(told)

    def _stayed(self) -> pd.Series:
        """By model whether it has all samples: it left no round of successive halving."""
        samples = self.frame.groupby("model", sort=False)["samples"].first()
        return samples == samples.max()

    def best(self, metric: str | None = None) -> str:
        """The name of the model with the highest score on all samples.

        ``ValueError`` where the metric was not asked for, or no model has a score.
        """
        own = self.scores()[self._metric(metric), "all"].where(self._stayed())
        if own.isna().all():
            raise ValueError("no model has a score; table() has the reasons")
        return str(own.idxmax())

    def _metric(self, metric: str | None) -> str:
        one_of("metric of this ranking", metric or self.metrics[0], self.metrics)
        return metric or self.metrics[0]

    def stability(self, metric: str | None = None) -> pd.Series:
        """The share of 100 stratified half-samples in which each model is first.

        They are drawn without replacement (repeated samples would distort class-specific hardness
        and LogME) and hold at most 1,000 samples, so that of more data the order is surer than it
        looks. Equal models share a first place; one that left a round or failed has NaN.
        """
        own = self.halves[self.halves["metric"] == self._metric(metric)]
        scores = own.pivot_table("score", "draw", "model")
        first = scores.eq(scores.max(axis=1), axis=0)
        shares = first.div(first.sum(axis=1), axis=0).mean()
        return shares.reindex(self.frame["model"].unique()).rename("stability")

    def hardest(self, k: int = 20, model: str | None = None, variant: str = "cs") -> pd.DataFrame:
        """The k hardest samples for a model, the best one where none is named, the hardest first.

        Index into your data; path or text, class, hardness. Mislabelled samples appear here. Raises
        ``ValueError`` where the model has no such hardness.
        """
        name = model or self.best()
        one_of("model of this ranking", name, self.frame["model"])
        column = f"{variant}|{name}"
        if column not in self.samples:
            remedy = f"ask rank for hard=[{variant!r}], or see the reason in table()"
            raise ValueError(f"variant: {name} has no hardness {variant!r}; {remedy}")
        checks.whole("k", k, 1)
        found = self.samples.filter(["path", "text", "class"]).assign(hardness=self.samples[column])
        return found.sort_values("hardness", ascending=False, kind="stable").head(k)

    def plot(self) -> Figure:
        """Every metric's score, standardised over the models, the best model on top."""
        import matplotlib.pyplot as plt

        scores = self.table().loc[::-1, [*self.metrics]].apply(_standard)
        figure, axes = plt.subplots(figsize=(7, 1 + 0.35 * len(scores)), layout="constrained")
        axes.plot(scores, range(len(scores)), "o", label=self.metrics, alpha=0.8)
        axes.set_yticks(range(len(scores)), scores.index)
        axes.set_xlabel("score, standardised over the models")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        plt.close(figure)
        return figure

    def against(self, accuracies: Mapping[str, float]) -> pd.DataFrame:
        """How well each score predicted the accuracies, once they are known (model -> accuracy).

        Models that left a round of successive halving do not count: they saw fewer samples.

        Returns:
            A row for each metric and variant, and for the prior: weighted Kendall tau and Pearson's
            r with 95% intervals over the models, the regret (the best accuracy less that of the
            first choice), and the number of models.

        Raises:
            ValueError: an unknown model, or fewer than two.
        """
        known = pd.Series(dict(accuracies), dtype=float)
        if unknown := sorted(set(known.index) - set(self.frame["model"])):
            raise ValueError(f"accuracies: expected models of the ranking, got {unknown}")
        scores = self.scores()[self._stayed()].copy()
        scores["prior", "all"] = self.frame.groupby("model")["prior"].first()
        known = known.reindex(scores.index)  # of equal scores the first counts, as in best()
        names = [f"{name}{end}" for name in ("tau_w", "pearson") for end in ("", "_low", "_high")]
        names += ["regret", "models"]
        lines = {}
        for cell in scores:
            both = pd.DataFrame({"score": scores[cell], "accuracy": known}).dropna()
            if len(both) < 2:
                continue
            pair = both.to_numpy().T
            missed = both["accuracy"].max() - both["accuracy"].iloc[both["score"].argmax()]
            lines[cell] = *stats.weighted_kendall(*pair), *stats.pearson(*pair), missed, len(both)
        if not lines:
            raise ValueError("accuracies: expected at least two models that have a score")
        return pd.DataFrame(lines, names).T.rename_axis(["metric", "variant"])

    def save(self, path: str | Path) -> None:
        """Write the ranking as JSON; :meth:`load` reads it."""
        with writing(Path(path), "choose another folder") as temporary:
            temporary.write_text(json.dumps(vars(self), default=lambda t: t.to_dict("split")))

    @classmethod
    def load(cls, path: str | Path) -> Ranking:
        """Read what :meth:`save` wrote; ``ValueError`` for another file."""
        try:
            told: dict[str, Any] = json.loads(Path(path).read_text())
            tables = {n: pd.DataFrame(**told[n]) for n in ("frame", "halves", "samples")}
            return cls(**tables, metrics=tuple(told["metrics"]))
        except (KeyError, TypeError, ValueError) as error:
            raise checks.refuse("path", "a file of Ranking.save", f"{path} ({error})") from error


def _standard(values: pd.Series) -> pd.Series:
    """Less the mean, over the standard deviation; zeros where all are equal."""
    spread = values.std(ddof=0)
    return (values - values.mean()) / (spread if spread > 0 else 1.0)
