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


def _encoded(values: Any, where: str) -> tuple[Tensor, list[Any]]:
    """Labels as integers from 0, and what each class is called: a name, or its own number."""
    if np.ma.is_masked(values):
        raise checks.refuse(where, "a class for each sample", "masked ones; remove them")
    try:
        array = np.asarray(values if hasattr(values, "dtype") else np.array(values, object))
        objects = array.dtype == object and array.flat  # of mixed types NumPy would make strings
        if objects and len({int if isinstance(x, Integral) else type(x) for x in objects}) == 1:
            array = np.asarray(array.tolist())
    except ValueError:  # lists of several lengths
        array = np.empty((1, 2))
    if array.size == 0:
        raise checks.refuse(where, "at least one sample", "none")
    if array.dtype.kind in "iu":
        checks.labels(where, array.ravel())  # no -1 and no 255 for a sample without a class
    if array.ndim != 1 or array.dtype.kind not in "iubUS":
        kind = f"values of type {', '.join(sorted({type(x).__name__ for x in array.flat}))}"
        if array.ndim != 1 or array.dtype.kind == "f":
            kind = "several labels a sample" if array.ndim > 1 else "real numbers"
        got = f"{kind}; no transferability score is defined for that here"
        raise checks.refuse(where, "one class a sample", got)
    names, index = np.unique(array, return_inverse=True)
    return torch.from_numpy(index.astype(np.int64)), names.tolist()


def _read(data: Any, labels: Any) -> tuple[Any, Tensor, list[Any]]:
    """The data set, its labels as integers (n,), and the names of their classes."""
    if data is None and labels is None:
        raise ValueError("data: expected a folder, a data set or a DataLoader, or labels=")
    if data is None:
        return None, *_encoded(labels, "labels")
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
            y, names = _encoded(data["label"][:], "data, column label")
            data = relabelled(data, y.numpy(), [*map(str, names)])
        y = torch.from_numpy(labels_of(data))
        if (y < 0).any():
            raise ValueError(f"data: {int((y < 0).sum())} samples have no label; remove them")
        return data, y, class_names(data)
    if isinstance(data, DataLoader):
        in_order("data", data)
        labels = [parted(batch)[1] for batch in data]
        return data, *_encoded(torch.cat([torch.zeros(0, dtype=torch.int64), *labels]), "data")
    sized = hasattr(data, "__getitem__") and hasattr(data, "__len__") and len(data)
    tabular = isinstance(data, Mapping | pd.DataFrame)
    if sized and not tabular and isinstance(data[0], tuple | list) and len(data[0]) > 1:
        targets: Any = getattr(data, "targets", None)
        probes = range(0, len(data), len(data) // 9 or 1)
        usable = isinstance(targets, list | np.ndarray | Tensor) and len(targets) == len(data)
        if not (usable and all(np.array_equal(targets[i], data[i][1]) for i in probes)):
            targets = [data[i][1] for i in range(len(data))]  # as with a target_transform
        y, names = _encoded(targets, "data")
        classes = getattr(data, "classes", None)  # some of them perhaps without samples
        if isinstance(classes, list | tuple) and all(isinstance(name, int) for name in names):
            if (last := max(names)) >= len(classes):
                raise checks.refuse("data", f"a name for class {last} in classes", classes)
            names = [str(classes[i]) for i in names]
        return data, y, names
    expected = "a folder of class folders, a datasets.Dataset, a torch Dataset of pairs (image, "
    expected += "label) or a DataLoader"
    raise checks.refuse("data", expected, type(data).__name__)


def _stratified(labels: Tensor, seed: int) -> Tensor:
    """The samples in a random order of which every beginning is a stratified sample."""
    generator = torch.Generator().manual_seed(seed)
    position = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique():
        rows = (labels == label).nonzero()[:, 0]
        steps = torch.randperm(len(rows), generator=generator).double()
        start = torch.rand(1, generator=generator, dtype=torch.float64)
        position[rows] = (steps + start) / len(rows)
    return position.argsort(stable=True)


@dataclass(frozen=True)
class _Task:
    """The samples, and the settings by which every model is scored."""

    data: Any
    labels: Tensor
    fingerprint: str  # of the data; empty where features are not to be kept
    metrics: tuple[str, ...]
    hard: tuple[str, ...]
    fraction: float
    batch_size: int
    device: str | None
    seed: int

    def measure(
        self, name: str, model: Any, parts: list[Tensor], signature: Signature | None, dropped: str
    ) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        """A model's rows of the long frame, half-samples too, and its hardness by variant.

        Each of the ``parts`` of the samples has its own entry in the store, for the next round of
        successive halving. Where ``dropped`` gives a reason, only the set of all samples is scored.
        """
        plugins.load()
        start = time.perf_counter()
        source = self.open(name, model)
        by_part = [self.features(source, rows) for rows in parts]
        joined = by_part[0]
        if len(parts) > 1:
            arrays = [part.arrays() for part in by_part]
            joined = Features.of({n: torch.cat([part[n] for part in arrays]) for n in arrays[0]})
            joined = joined.at(torch.cat(parts).argsort())
        hard, missing = dict[str, Tensor](), list[dict[str, Any]]()
        variants, draws, halves = self.hard, DRAWS, HALVES
        if dropped:
            missing = self.missing(["random", *self.hard], dropped)
            variants, draws, halves = (), 0, 0
        for variant in variants:
            try:
                if variant == "cs":
                    hard[variant] = hardness.class_specific(joined.embedding, joined.labels)
                elif signature is None:
                    raise ValueError("ca needs a signature of its source data: signature={...}")
                elif not joined.layers:
                    raise ValueError("ca needs the layers of a network; this has none")
                elif isinstance(source, models.Source) and (
                    signature.notes.get("weights") not in (None, source.fingerprint)
                ):
                    raise ValueError(f"its signature is of {signature.notes.get('network')}")
                else:
                    hard[variant] = hardness.class_agnostic([*joined.layers.values()], signature)
            except ValueError as error:
                missing += self.missing([variant], str(error))
        subsets = scoring.subsets(len(joined), hard, self.fraction, draws, self.seed)
        size = min(math.ceil(len(joined) / 2), HALF_MOST)
        for draw in range(halves):
            half = _stratified(joined.labels, self.seed + draw)[:size]
            subsets.append(scoring.Subset("half", half.sort()[0], draw=draw))
        scores = scoring.score(self.metrics, joined, subsets).items()
        rows = [row | {"metric": metric} for metric, by_subset in scores for row in by_subset]
        prior = models.prior(model) if isinstance(model, str) else math.nan
        frame = pd.DataFrame(rows + missing, columns=COLUMNS)
        columns = {f"{variant}|{name}": values.numpy() for variant, values in hard.items()}
        return frame.assign(seconds=time.perf_counter() - start, prior=prior), columns

    def missing(self, variants: Sequence[str], why: str) -> list[dict[str, Any]]:
        """Rows of the frame for what has no score."""
        row = {"draw": 0, "score": math.nan, "samples": 0, "reason": why}
        return [row | {"metric": m, "variant": v} for v in variants for m in self.metrics]

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
            kind = "transform" if images else "tokenizer"
            raise ValueError(f"which {kind} does it want? Give a pair (module, {kind})")
        return models.yours(name, module, transform)

    def features(self, source: Features | models.Source, rows: Tensor) -> Features:
        if isinstance(source, Features):
            return source.at(rows)
        if not isinstance(self.data, datasets.Dataset):
            batches = self.batches(source.preprocessing, rows)
            result = features(source.module, batches, device=self.device)
            now, first = (checks.classes("y", y)[0] for y in (result.labels, self.labels[rows]))
            if not now.equal(first):
                raise ValueError("the data come in another order each time; turn shuffling off")
            return result

        def compute() -> Features:
            column = "text" if isinstance(source, language.TextSource) else "image"
            if column not in self.data.column_names:
                raise ValueError(f"it reads {column}s; the data have none")
            split = source.read(self.data.select(rows.numpy()), "your data")
            return extract(source, split, batch_size=self.batch_size, device=self.device)

        if not self.fingerprint:
            return compute()
        entry = key(
            weights=source.fingerprint,
            network=code.of_source(source),
            data=self.fingerprint,
            rows=key(rows=rows.tolist()),
            device=torch.device(default_device(self.device)).type,
            numbers=[torch.get_num_threads(), torch.get_float32_matmul_precision()],
            code=code.of(extract),
        )
        return Features.of(Store().get("features", entry, lambda: (compute().arrays(), {}))[0])

    def batches(self, transform: Any, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Some samples of a torch data set as a network wants them, or all that a loader gives."""
        if isinstance(self.data, DataLoader):
            yield from self.data
            return
        for chunk in rows.split(self.batch_size):
            images = [self.data[row][0] for row in chunk.tolist()]
            prepared = isinstance(images[0], Tensor)
            if transform is None and not prepared:
                raise ValueError("which transform does it want? Give a pair (module, transform)")
            if transform is not None and prepared:
                message = "the samples are tensors, used without a model's own preprocessing"
                warnings.warn(message, stacklevel=2)
            batch = torch.stack(images if prepared else [transform(rgb(x)) for x in images])
            if isinstance(transform, Preprocessing) and not prepared:
                batch = transform.normalise(batch)
            yield batch, self.labels[chunk]


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
    default_device(device)  # which refuses what is no device
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
        name: value if isinstance(value, Signature) else Signature.load(value)
        for name, value in (signature or {}).items()
    }
    priors = {} if prior is None else dict(prior)
    for name in (*priors, *signatures):
        one_of("model in prior or signature", name, named)
    if not np.isfinite([*map(float, priors.values())]).all():
        raise checks.refuse("prior", "finite numbers", priors)
    if isinstance(data, DataLoader) and (max_samples is not None or budget):
        raise ValueError("data: a DataLoader is used as it is; leave max_samples and budget out")
    data, y, classes = _read(data, labels)
    if not len(y):
        raise checks.refuse("data", "at least one sample", "none")
    tabular = isinstance(data, datasets.Dataset)
    kept = fingerprint(data) if tabular and cache else ""
    settings = dict[str, Any](fraction=fraction, batch_size=batch_size, device=device, seed=seed)
    task = _Task(data, labels=y, fingerprint=kept, metrics=metrics, hard=hard, **settings)
    order = _stratified(y, seed)[:max_samples]
    steps = [len(order)]
    while budget and len(named) > 1 and steps[0] > LEAST * len(order) + 1:
        steps.insert(0, math.ceil(steps[0] / 2))
    parts = [part.sort()[0] for part in order.split(np.diff([0, *steps]).tolist())]
    frames, hardnesses = dict[str, pd.DataFrame](), dict[str, np.ndarray]()
    active = [*named]
    for round_ in range(1, len(steps) + 1):
        dropped = f"left after round {round_} of {len(steps)}" if round_ < len(steps) else ""
        arguments = {n: (n, named[n], parts[:round_], signatures.get(n), dropped) for n in active}
        jobs = [engine.Job(name, task.measure, args) for name, args in arguments.items()]
        try:
            results, errors = engine.run(jobs, name="models"), {}
        except engine.JobsFailedError as error:
            results, errors = error.results, error.errors
        for name in active:
            if name in errors:
                missing = task.missing(["all", "random", *hard], errors[name])
                frame = pd.DataFrame(missing, columns=COLUMNS).assign(seconds=np.nan, prior=np.nan)
            else:
                frame, columns = results[name]
                hardnesses |= columns
            if name in frames:
                frame["seconds"] += frames[name]["seconds"].iloc[0]
            frames[name] = frame
        scores = pd.Series({name: frames[name]["score"].iloc[0] for name in active}, dtype=float)
        better = scores.drop([*errors]).sort_values(ascending=False, kind="stable").index
        active = [*better[: max(2, round(2 / 3 * len(active)))]]  # the best are often close
    frame = pd.concat(frames, names=["model"]).reset_index("model")
    frame["prior"] = frame["model"].map(priors).astype(float).fillna(frame["prior"])
    halves = frame["variant"] == "half"
    rows = order.sort()[0].numpy()
    samples: dict[str, Any] = {"class": np.array(classes)[y[rows].numpy()]}
    if tabular and "image" in data.column_names:
        samples["path"] = paths(data.select(rows))
    elif tabular:
        samples["text"] = [(text or "")[:80] for text in data.select(rows)["text"]]
    return Ranking(
        frame[~halves].reset_index(drop=True),
        frame.loc[halves, ["model", "metric", "draw", "score"]].reset_index(drop=True),
        pd.DataFrame(samples | hardnesses, index=rows),
        metrics,
    )


@dataclass
class Ranking:
    """The result of :func:`rank`.

    Attributes:
        frame: long: model, metric, variant (``all``, ``random``, ``cs``, ``ca``), draw, score,
            samples, reason, seconds, prior; NaN with the reason where there is no score.
        halves: the scores on each half-sample: model, metric, draw, score.
        samples: index, class, path or text, and hardness by variant and model.
        metrics: the table is sorted by the first.
    """

    frame: pd.DataFrame
    halves: pd.DataFrame
    samples: pd.DataFrame
    metrics: tuple[str, ...]

    def scores(self) -> pd.DataFrame:
        """Model by (metric, variant): the score, over random subsets the mean score."""
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
        scores, rows = self.scores(), self.frame.drop_duplicates("model").set_index("model")
        hard = [v for v in scores.columns.unique("variant") if v not in ("all", "random")]
        suffixes = {"all": ""} | {variant: f"-{variant}" for variant in hard}
        table, first = rows[["prior"]].copy(), self.metrics[0]
        if table["prior"].notna().sum() > 1:
            stayed = scores[first, "all"].where(self._stayed())
            table["combined"] = _standardised(table["prior"]) + PRIOR_WEIGHT * _standardised(stayed)
        for metric in self.metrics:
            for variant, suffix in suffixes.items():
                table[f"{metric}{suffix}"] = scores[metric, variant]
        for variant, suffix in suffixes.items():
            standing = scores[first, variant].rank() + rows["samples"] * len(rows)  # by round first
            table[f"rank{suffix}"] = standing.rank(ascending=False, method="min")
        table["stability"] = self.stability()
        table[["seconds", "samples"]] = rows[["seconds", "samples"]].round(1)
        table["reason"] = [self._reason(name, table["rank"]) for name in table.index]
        return table.sort_values("rank", kind="stable")

    def _reason(self, model: str, ranks: pd.Series) -> str:
        rows = self.frame[self.frame["model"] == model]
        failed = rows[rows["score"].isna()].groupby("reason", sort=False)["metric"].unique()
        reasons = [
            str(reason) if len(names) == len(self.metrics) else f"{', '.join(names)}: {reason}"
            for reason, names in failed.items()
        ]
        tied = ranks.index[(ranks == ranks[model]) & (ranks.index != model)]
        reasons += [f"tied with {', '.join(tied)}"] if len(tied) else []
        return "; ".join(reasons)

    def _stayed(self) -> pd.Series:
        """By model, whether it stayed to the last round of successive halving: on all samples."""
        samples = self.frame.groupby("model", sort=False)["samples"].first()
        return samples == samples.max()

    def best(self, metric: str | None = None) -> str:
        """The name of the model with the highest score on all samples.

        ``ValueError`` where the metric was not asked for, or no model has a score.
        """
        scores = self.scores()[self._metric(metric), "all"].where(self._stayed())
        if scores.isna().all():
            raise ValueError("no model has a score; table() has the reasons")
        return str(scores.idxmax())

    def _metric(self, metric: str | None) -> str:
        one_of("metric of this ranking", metric or self.metrics[0], self.metrics)
        return metric or self.metrics[0]

    def stability(self, metric: str | None = None) -> pd.Series:
        """The share of 100 stratified half-samples in which each model is first.

        They are drawn without replacement (repeated samples would distort class-specific hardness
        and LogME) and hold at most 1,000 samples, so that with more data the order is surer than it
        looks. Equal models share a first place; one that left a round or failed has NaN.
        """
        halves = self.halves[self.halves["metric"] == self._metric(metric)]
        scores = halves.pivot_table("score", "draw", "model")
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
        table = self.samples.filter(["path", "text", "class"]).assign(hardness=self.samples[column])
        return table.sort_values("hardness", ascending=False, kind="stable").head(k)

    def plot(self) -> Figure:
        """Every metric's score, standardised over the models, the best model on top."""
        import matplotlib.pyplot as plt

        scores = self.table().loc[::-1, [*self.metrics]].apply(_standardised)
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
        truth = pd.Series(dict(accuracies), dtype=float)
        if unknown := sorted(set(truth.index) - set(self.frame["model"])):
            raise ValueError(f"accuracies: expected models of the ranking, got {unknown}")
        scores = self.scores()[self._stayed()].copy()
        scores["prior", "all"] = self.frame.groupby("model")["prior"].first()
        truth = truth.reindex(scores.index)  # of equal scores the first counts, as in best()
        statistics = [f"{x}{end}" for x in ("tau_w", "pearson") for end in ("", "_low", "_high")]
        statistics += ["regret", "models"]
        rows = {}
        for column in scores:
            both = pd.DataFrame({"score": scores[column], "accuracy": truth}).dropna()
            if len(both) < 2:
                continue
            pair = both.to_numpy().T
            regret = both["accuracy"].max() - both["accuracy"].iloc[both["score"].argmax()]
            rows[column] = *stats.weighted_kendall(*pair), *stats.pearson(*pair), regret, len(both)
        if not rows:
            raise ValueError("accuracies: expected at least two models that have a score")
        return pd.DataFrame(rows, statistics).T.rename_axis(["metric", "variant"])

    def save(self, path: str | Path) -> None:
        """Write the ranking as JSON; :meth:`load` reads it."""
        with writing(Path(path), "choose another folder") as temporary:
            temporary.write_text(json.dumps(vars(self), default=lambda t: t.to_dict("split")))

    @classmethod
    def load(cls, path: str | Path) -> Ranking:
        """Read what :meth:`save` wrote; ``ValueError`` for another file."""
        try:
            saved: dict[str, Any] = json.loads(Path(path).read_text())
            tables = {n: pd.DataFrame(**saved[n]) for n in ("frame", "halves", "samples")}
            return cls(**tables, metrics=tuple(saved["metrics"]))
        except (KeyError, TypeError, ValueError) as error:
            raise checks.refuse("path", "a file of Ranking.save", f"{path} ({error})") from error


def _standardised(values: pd.Series) -> pd.Series:
    """The values less their mean, over their standard deviation; zeros where all are equal."""
    spread = values.std(ddof=0)
    return (values - values.mean()) / (spread if spread > 0 else 1.0)
