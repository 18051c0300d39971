"""Which of these models will transfer best to this data? Scores before any fine-tuning."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hastelib import checks, code, engine, hardness, models, plugins, stats
from hastelib.data import Preprocessing, class_names, fingerprint, image_folder, paths
from hastelib.data.base import labels_of
from hastelib.data.images import rgb
from hastelib.features import Features, default_device, extract, features, in_order, parted
from hastelib.hardness import Signature
from hastelib.metrics import METRICS, Sample
from hastelib.store import Store, key, writing
from hastelib.suites import one_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWS = 20
"""Random subsets of the size of the hard ones."""
HALVES = 100
"""Half-samples behind the stability,"""
HALF_MOST = 1000
"""and the most samples in one of them."""
PRIOR_WEIGHT = 0.2
"""What a standardised score adds to a standardised prior. Of LogME it is the best weight in the
mean of three published cases, in which it raises the weighted tau from .735 to .754: the book's
page *What to beat*."""
_COLUMNS = ["metric", "variant", "draw", "score", "samples", "reason"]
LEAST = 1 / 8
"""The share of the samples in the first round of successive halving."""


@dataclass(frozen=True)
class _Data:
    """The samples: labels, and how a network reads some of them.

    Attributes:
        labels: (n,) int64.
        classes: names of the classes.
        kind: ``image``, ``text``, ``inputs`` (what a network is called with) or ``arrays``.
        rows: what holds them: a ``datasets.Dataset``, a torch data set, a loader, or nothing.
        content: the file or text of each sample, where there is one.
        fingerprint: of the content; empty where it cannot be told without reading everything twice.
    """

    labels: Tensor
    classes: list[str]
    kind: str
    rows: Any = None
    content: list[str | None] = field(default_factory=list)
    fingerprint: str = ""


class _Items(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Some samples of a torch data set, its images as a network wants them."""

    def __init__(self, data: Any, rows: Sequence[int], transform: Any, labels: Tensor) -> None:
        self.data, self.rows, self.transform, self.labels = data, rows, transform, labels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        image = self.data[self.rows[place]][0]
        if not isinstance(image, Tensor):
            image = self.transform(rgb(image))
        return image, self.labels[self.rows[place]]


def _one_class(values: Any, where: str) -> tuple[Tensor, list[str]]:
    """Labels as integers with the names of their classes."""
    if np.ma.is_masked(values):
        raise ValueError(f"{where}: expected a class for each sample, got masked ones; remove them")
    array = np.asarray(values)
    if array.dtype.kind in "iu" and array.size:
        checks.labels(where, array.ravel(), None)  # no -1 and no 255 for a sample without a class
    if array.ndim != 1 or array.dtype.kind == "f":
        what = "several labels a sample" if array.ndim > 1 else "real numbers"
        raise ValueError(
            f"{where}: expected one class a sample, got {what}; no transferability score is "
            "defined for that here"
        )
    names, index = np.unique(array, return_inverse=True)
    return torch.from_numpy(index.astype(np.int64)), [str(name) for name in names]


def _data(data: Any, labels: Any) -> _Data:
    """The samples of whatever the caller has."""
    import datasets  # seconds, which no other use of the face should pay

    if data is None:
        if labels is None:
            raise ValueError("data: expected a folder, a data set or a DataLoader, or labels=")
        y, names = _one_class(labels, "labels")
        return _Data(y, names, "arrays")
    if labels is not None:
        raise ValueError("labels: expected none beside data, which has its own")
    if isinstance(data, str | Path):
        data = image_folder(data)
    if isinstance(data, datasets.DatasetDict):
        if "train" not in data:
            raise ValueError(f"data: expected a split train, got {', '.join(data)}; give one split")
        data = data["train"]
    if isinstance(data, datasets.Dataset):
        return _of_table(data)
    if isinstance(data, DataLoader):
        in_order("data", data)
        y, names = _one_class(torch.cat([parted(batch)[1] for batch in data]), "data")
        return _Data(y, names, "inputs", data)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        found = getattr(data, "targets", None)
        found = [data[i][1] for i in range(len(data))] if found is None else found
        y, names = _one_class(found, "data")
        return _Data(y, list(getattr(data, "classes", names)), "items", data)
    raise ValueError(
        "data: expected a folder of class folders, a datasets.Dataset, a torch Dataset or a "
        f"DataLoader, got {type(data).__name__}"
    )


def _of_table(data: Any) -> _Data:
    import datasets

    kind = next((name for name in ("image", "text") if name in data.column_names), None)
    if kind is None or "label" not in data.column_names:
        raise ValueError(
            "data: expected the columns image or text, and label, got "
            f"{', '.join(data.column_names)}; rename them with rename_columns"
        )
    if not isinstance(data.features["label"], datasets.ClassLabel):
        y, names = _one_class(data["label"][:], "data, column label")
        data = data.remove_columns("label").add_column(
            "label", y.tolist(), feature=datasets.ClassLabel(names=names)
        )
    y = torch.from_numpy(labels_of(data))
    if (y < 0).any():
        raise ValueError(f"data: {int((y < 0).sum())} samples have no label; remove them")
    content = paths(data) if kind == "image" else [text[:80] for text in data["text"]]
    return _Data(y, class_names(data), kind, data, content, fingerprint(data))


def _order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """The samples in a random order whose every beginning has the classes in their shares."""
    place = torch.empty(len(labels), dtype=torch.float64)
    for name in labels.unique():
        own = (labels == name).nonzero()[:, 0]
        steps = torch.randperm(len(own), generator=generator).double()
        start = torch.rand(1, generator=generator, dtype=torch.float64)
        place[own] = (steps + start) / len(own)
    return place.argsort(stable=True)


@dataclass(frozen=True)
class _Asked:
    """What is asked of every model."""

    metrics: tuple[str, ...]
    hard: tuple[str, ...]
    fraction: float
    batch_size: int
    device: str | None
    seed: int
    cache: bool


def _features(name: str, model: Any, data: _Data, rows: Tensor, asked: _Asked) -> Features:
    """What a model makes of some of the samples."""
    if isinstance(model, np.ndarray | Tensor):
        model = Features(checks.stored(name, model), None, {}, data.labels)
    if isinstance(model, Features):
        if len(model.embedding) != len(data.labels):
            raise ValueError(f"it has {len(model.embedding)} samples, not {len(data.labels)}")
        return replace(model, labels=data.labels).at(rows)
    if data.kind == "arrays":
        raise ValueError("without data a model is an array (n, d) or Features")
    module, transform = model if isinstance(model, tuple) else (model, None)
    source = None
    if isinstance(module, models.Source):  # it was named
        source, module, transform = module, module.module, module.preprocessing
    if not isinstance(module, nn.Module):
        raise ValueError(f"expected a name, a module, Features or an array, got {type(module)}")
    if data.kind in ("image", "text") and source is None:
        source = _own(name, module, transform, data.kind)

    def make() -> Features:
        if source is not None and data.kind in ("image", "text"):
            some = data.rows.select(rows.numpy())
            split = source.read(some, "your data")
            return extract(source, split, batch_size=asked.batch_size, device=asked.device)[0]
        return features(module, _batches(data, rows, transform, asked), device=asked.device)

    stable = source is not None and " at 0x" not in repr(transform)
    if not (asked.cache and data.fingerprint and stable):
        return make()
    assert source is not None
    entry = key(
        weights=source.fingerprint,
        network=code.of_network(source.module),
        preprocessing=repr(transform),
        data=data.fingerprint,
        rows=key(rows=rows.tolist()),
        device=torch.device(asked.device or default_device()).type,
        numbers=[torch.get_num_threads(), torch.get_float32_matmul_precision()],
        code=code.of(extract, type(source), type(transform)),
    )
    return Features.of(Store().get("features", entry, lambda: (make().arrays(), {}))[0])


def _own(name: str, module: nn.Module, transform: Any, kind: str) -> models.Source:
    """A caller's module as a source; it is not changed."""
    if transform is None and kind == "image" and hasattr(module, "pretrained_cfg"):
        transform = models.timm_transform(module)
    if transform is None:
        what = "transform" if kind == "image" else "tokenizer"
        raise ValueError(f"which {what} does it want? Give a pair (module, {what})")
    if kind == "text":
        from hastelib.models import language

        read = language.Tokenising(transform, language.TOKENS)
        return language.TextSource(name, module, read)
    return models.Source(name, module, transform)


def _batches(data: _Data, rows: Tensor, transform: Any, asked: _Asked) -> Iterable[Any]:
    if data.kind == "inputs":
        if len(rows) < len(data.labels):
            raise ValueError("a DataLoader is used as it is; leave max_samples and budget out")
        return data.rows
    first = data.rows[0][0]
    if transform is None and not isinstance(first, Tensor):
        raise ValueError("which transform does it want? Give a pair (module, transform)")
    items = _Items(data.rows, rows.tolist(), transform, data.labels)
    loader = DataLoader(items, asked.batch_size)
    if isinstance(transform, Preprocessing) and not isinstance(first, Tensor):
        return ((transform.normalise(images), labels) for images, labels in loader)
    return loader


def _measure(
    name: str,
    model: Any,
    data: _Data,
    rows: Sequence[Tensor],
    asked: _Asked,
    signature: Signature | None,
    last: bool,
) -> dict[str, Any]:
    """One model: scores on all samples, random and hard ones, half-samples, hardness.

    ``rows`` are parts, each of which has its features; together they are the samples. In a round of
    successive halving that is not the ``last`` only all samples are scored.
    """
    plugins.load()
    start = time.perf_counter()
    if isinstance(model, str) and data.kind != "arrays":
        model = models.load(model)  # once for all parts
    parts = [_features(name, model, data, part, asked) for part in rows]
    place = torch.cat([*rows]).argsort()
    whole = _joined(parts).at(place) if len(parts) > 1 else parts[0]
    n = len(whole)
    found: dict[str, Any] = {"hardness": {}}
    subsets, lines = [("all", 0, torch.arange(n))], []
    for variant in asked.hard if last else ():
        try:
            if variant == "cs":
                values = hardness.class_specific(whole.embedding, whole.labels)
            elif signature is None:
                raise ValueError("ca needs a signature of its source data: signature={model: ...}")
            else:
                values = hardness.class_agnostic([*whole.layers.values()], signature)
        except ValueError as error:
            lines += [(metric, variant, 0, math.nan, 0, str(error)) for metric in asked.metrics]
            continue
        found["hardness"][variant] = values
        subsets.append((variant, 0, hardness.hardest(values, asked.fraction)))
    for draw in range(DRAWS if last else 0):
        generator = torch.Generator().manual_seed(asked.seed + draw)
        rows_ = torch.randperm(n, generator=generator)[: math.ceil(asked.fraction * n - 1e-9)]
        subsets.append(("random", draw, rows_))
    for variant, draw, chosen in subsets:
        for metric, (score, reason) in Sample(whole.at(chosen)).scores(asked.metrics).items():
            lines.append((metric, variant, draw, score, len(chosen), reason))
    found["frame"] = pd.DataFrame(lines, columns=_COLUMNS)
    found["halves"] = _halves(whole, asked) if last else None
    found["seconds"] = time.perf_counter() - start
    return found


def _joined(parts: Sequence[Features]) -> Features:
    first = parts[0]
    return Features(
        torch.cat([part.embedding for part in parts]),
        None if first.probs is None else torch.cat([p.probs for p in parts if p.probs is not None]),
        {name: torch.cat([part.layers[name] for part in parts]) for name in first.layers},
        torch.cat([part.labels for part in parts]),
    )


def _halves(whole: Features, asked: _Asked) -> pd.DataFrame:
    """The metrics, a column each, on stratified half-samples, the same for every model."""
    lines = []
    for draw in range(HALVES):
        order = _order(whole.labels, torch.Generator().manual_seed(asked.seed + draw))
        half = whole.at(order[: min(math.ceil(len(order) / 2), HALF_MOST)].sort().values)
        scores = Sample(half).scores(asked.metrics)
        lines.append({name: score for name, (score, _) in scores.items()})
    return pd.DataFrame(lines)


def rank(
    data: Any,
    models: Sequence[str] | Mapping[str, Any],
    *,
    labels: Any = None,
    metrics: Sequence[str] = ("logme", "leep", "nce", "gbc"),
    hard: Sequence[str] = ("cs",),
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

    Every model sees the samples once, as its publisher prepares them: its own size, cropping and
    normalisation. It is scored on all samples, on random subsets and on the hardest by its own
    embedding (the paper HASTE, Eq. 5). A model that fails is a row with its reason; the others go
    on. Models are jobs of :mod:`hastelib.engine`, so they run where ``HASTE_SCHEDULER`` says; what
    is done is kept in ``HASTE_CACHE``, and a killed run goes on with the next model.

    Args:
        data: a folder of class folders (or with ``train``, which alone is read); a
            ``datasets.Dataset`` with the columns ``image`` or ``text``, and ``label``; a torch
            data set of (image or tensor, label); a ``DataLoader`` of (batch, labels), used as it
            is; or None with ``labels``, where the models are arrays.
        models: names (:mod:`hastelib.models`), or your names with a name, a module, a pair (module,
            transform or tokenizer), :class:`Features`, or an embedding (n, d).
        labels: (n,) integers, with ``data=None``.
        metrics: of :data:`hastelib.metrics.METRICS`; the table is sorted by the first.
        hard: ``cs`` (class-specific) and ``ca`` (class-agnostic, which needs a signature).
        fraction: of the samples that counts as hard.
        signature: model -> the signature of its source data, or its file.
        prior: model -> what is known of it beforehand, such as its accuracy on ImageNet; where
            there is none, the published accuracy of torchvision's and timm's models.
        max_samples: a stratified sample of so many.
        budget: ``halving``: every model on an eighth of the samples, the better half on a quarter,
            and so on to all of them.
        batch_size: samples at a time.
        device: where networks run; a GPU where there is one.
        seed: of the random subsets and half-samples.
        cache: keep features of named models and of folders in ``HASTE_CACHE``.

    Raises:
        ValueError: no models, or an argument that is not as above.
    """
    plugins.load()
    for name in metrics:
        one_of("metric", name, METRICS)
    for name in hard:
        one_of("hard variant", name, ("ca", "cs"))
    checks.positive("fraction", fraction, most=1)
    checks.whole("seed", seed, 0)
    checks.whole("batch_size", batch_size, 1)
    if max_samples is not None:
        checks.whole("max_samples", max_samples, 1)
    asked = _Asked(tuple(metrics), tuple(hard), fraction, batch_size, device, seed, cache)
    if isinstance(models, str) or not all(isinstance(name, str) for name in models):
        raise ValueError("models: expected a list of names, or {your name: name, module, ...}")
    named = dict(models) if isinstance(models, Mapping) else {name: name for name in models}
    if not named or not metrics:
        raise ValueError("models, metrics: expected at least one of each")
    if budget not in (None, "halving"):
        raise ValueError(f"budget: expected None or halving, got {budget!r}")
    samples = _data(data, labels)
    n = len(samples.labels)
    order = torch.arange(n)
    if max_samples is not None or budget:
        order = _order(samples.labels, torch.Generator().manual_seed(seed))[:max_samples]
    signatures = {
        name: one if isinstance(one, Signature) else Signature.load(one)
        for name, one in (signature or {}).items()
    }
    steps = [len(order)]
    while budget and len(named) > 1 and steps[0] > LEAST * len(order) + 1:
        steps.insert(0, math.ceil(steps[0] / 2))
    made: dict[str, dict[str, Any]] = {}
    parts: list[Tensor] = []
    left, start = list(named), 0
    for round_, stop in enumerate(steps, 1):
        parts.append(order[start:stop].sort().values)
        start = stop
        jobs = [
            engine.Job(
                name,
                _measure,
                (
                    name,
                    named[name],
                    samples,
                    tuple(parts),
                    asked,
                    signatures.get(name),
                    round_ == len(steps),
                ),
            )
            for name in left
        ]
        try:
            results, errors = engine.run(jobs, name="models"), {}
        except engine.JobsFailedError as error:
            results, errors = error.results, error.errors
        for name, one in results.items():
            one["seconds"] += made.get(name, {}).get("seconds", 0.0)
            made[name] = one | {"round": round_, "error": ""}
        for name, reason in errors.items():
            made[name] = {"round": round_, "error": reason, "seconds": math.nan}
        if stop < len(order):
            scores = {name: _first(made[name]) for name in results}
            best = sorted(scores, key=lambda name: -scores[name])
            left = best[: math.ceil(len(left) / 2)]
    return _ranking(named, made, samples, order, asked, prior or {}, steps)


def _first(one: Mapping[str, Any]) -> float:
    frame = one["frame"]
    score = frame["score"][frame["variant"] == "all"].iloc[0]
    return -math.inf if math.isnan(score) else score


def _ranking(
    named: Mapping[str, Any],
    made: Mapping[str, Any],
    data: _Data,
    order: Tensor,
    asked: _Asked,
    prior: Mapping[str, float],
    steps: Sequence[int],
) -> Ranking:
    frames, halves = [], {}
    hard: dict[tuple[str, str], np.ndarray] = {}
    variants = ["all", "random", *asked.hard]
    rows = torch.sort(order)[0]
    for name, model in named.items():
        one = made[name]
        # The caller's, or the published accuracy of a named model.
        known = isinstance(model, str) and not one["error"]
        before = prior.get(name, models.prior(model) if known else math.nan)
        told = {"seconds": one["seconds"], "prior": float(before)}
        found = one.get("frame", pd.DataFrame(columns=_COLUMNS))
        missing = [v for v in variants if v not in set(found["variant"])]
        why = one["error"] or f"left after round {one['round']} of {len(steps)}"
        rest = [(m, v, 0, math.nan, 0, why) for m in asked.metrics for v in missing]
        found = pd.DataFrame([*found.itertuples(index=False), *rest], columns=_COLUMNS)
        frames.append(found.assign(model=name, **told, round=one["round"]))
        if not one["error"] and one["round"] == len(steps):
            halves[name] = one["halves"]
            hard |= {(name, variant): h.numpy() for variant, h in one["hardness"].items()}
    frame = pd.concat(frames, ignore_index=True)
    names = np.array(data.classes)
    samples = pd.DataFrame({"class": names[data.labels[rows].numpy()]}, index=rows.numpy())
    if data.content:
        column = "text" if data.kind == "text" else "path"
        samples[column] = [data.content[row] for row in rows.tolist()]
    for (name, variant), values in hard.items():
        samples[f"{variant}|{name}"] = values
    return Ranking(
        frame[["model", *frame.columns.drop("model")]],
        pd.concat([half.assign(model=name) for name, half in halves.items()])
        if halves
        else pd.DataFrame(columns=["model", *asked.metrics]),
        samples,
        asked.metrics,
        tuple(steps),
    )


@dataclass
class Ranking:
    """What :func:`rank` found.

    Attributes:
        frame: long: model, metric, variant (``all``, ``random``, ``cs``, ``ca``), draw, score,
            samples, reason, seconds, prior, round. A model that failed has a row with NaN for every
            metric and variant.
        halves: model, and a column a metric: the scores on each half-sample.
        samples: index, class, path or text, and hardness by variant and model.
        metrics: the first sorts.
        steps: samples in each round of successive halving.
    """

    frame: pd.DataFrame
    halves: pd.DataFrame
    samples: pd.DataFrame
    metrics: tuple[str, ...]
    steps: tuple[int, ...]

    def scores(self) -> pd.DataFrame:
        """Model by (metric, variant): the scores, of random subsets their mean."""
        wide = self.frame.groupby(["model", "metric", "variant"], sort=False)["score"].mean()
        return wide.unstack(["metric", "variant"]).loc[self.frame["model"].unique()]

    def table(self) -> pd.DataFrame:
        """One row a model, best first.

        Columns: ``prior``; ``combined``, the standardised prior and a fifth of the standardised
        first metric, where two models have a prior; for every metric its score, and
        ``METRIC-VARIANT`` on the hard subset; ``rank`` by the first metric, and on the hard subset
        ``rank-VARIANT`` (1 is best, ties share a rank); ``stability``; ``seconds``; ``samples``;
        ``reason``: what could not be scored and why, ties, a missing prior. Models that left a
        round of successive halving stand below those that stayed; they have fewer samples.
        """
        scores, one = self.scores(), self.frame.drop_duplicates("model").set_index("model")
        hard = [v for v in scores.columns.unique("variant") if v not in ("all", "random")]
        found = one[["prior"]].copy()
        first = scores[self.metrics[0]]
        last = one["round"] == len(self.steps)
        if found["prior"].notna().sum() > 1:
            found["combined"] = _standard(found["prior"]) + PRIOR_WEIGHT * _standard(
                first["all"].where(last)
            )
        for metric in self.metrics:
            found[metric] = scores[metric]["all"]
            for variant in hard:
                found[f"{metric}-{variant}"] = scores[metric][variant]
        for variant in ["all", *hard]:
            ranks = _ranks(one["round"], first[variant])
            found["rank" if variant == "all" else f"rank-{variant}"] = ranks
        found["stability"] = self.stability()
        found["seconds"] = one["seconds"].round(1)
        whole = self.frame[self.frame["variant"] == "all"]
        found["samples"] = whole.groupby("model", sort=False)["samples"].max()
        found["reason"] = [self._reason(name, found["rank"]) for name in found.index]
        return found.sort_values("rank", kind="stable")

    def _reason(self, model: str, ranks: pd.Series) -> str:
        own = self.frame[self.frame["model"] == model]
        failed = own[own["score"].isna()]
        told = []
        for reason, names in failed.groupby("reason", sort=False)["metric"].unique().items():
            every = len(names) == len(self.metrics)
            told.append(f"{reason}" if every else f"{', '.join(names)}: {reason}")
        same = ranks.index[(ranks == ranks[model]) & (ranks.index != model)]
        told += [f"tied with {', '.join(same)}"] if len(same) else []
        told += ["no prior"] if own["prior"].isna().all() else []
        return "; ".join(told)

    def best(self, metric: str | None = None) -> str:
        """The name of the model with the highest score on all samples.

        Raises:
            ValueError: the metric was not asked for, or no model has a score.
        """
        last = self.frame["round"] == len(self.steps)
        own = self.frame[(self.frame["variant"] == "all") & last]
        own = own[own["metric"] == self._metric(metric)].dropna(subset="score")
        if own.empty:
            raise ValueError("no model has a score; table() has the reasons")
        return str(own["model"].iloc[own["score"].argmax()])

    def _metric(self, metric: str | None) -> str:
        if metric is None:
            return self.metrics[0]
        if metric not in self.metrics:
            raise ValueError(
                f"metric: expected one of {', '.join(self.metrics)}, got {metric!r}; rank again "
                "with it"
            )
        return metric

    def stability(self, metric: str | None = None) -> pd.Series:
        """The share of 100 stratified half-samples in which each model is first.

        They are drawn without replacement (repeated samples would distort class-specific hardness
        and LogME) and hold at most 1,000 samples, so that of more data the order is surer than it
        looks. Models that are equal share a first place. A model that left a round of successive
        halving, or failed, has NaN.
        """
        name = self._metric(metric)
        draws = self.halves.assign(draw=self.halves.groupby("model", sort=False).cumcount())
        scores = draws.pivot_table(name, "draw", "model")
        first = scores.eq(scores.max(axis=1), axis=0)
        shares = first.div(first.sum(axis=1), axis=0).mean()
        return shares.reindex(self.frame["model"].unique()).rename("stability")

    def hardest(self, k: int = 20, model: str | None = None, variant: str = "cs") -> pd.DataFrame:
        """The k hardest samples for a model, the best one where none is named, the hardest first.

        Returns:
            Index into your data; path or text, class, hardness. Mislabelled samples stand here.

        Raises:
            ValueError: the model has no such hardness.
        """
        name = model or self.best()
        column = f"{variant}|{name}"
        if column not in self.samples:
            raise ValueError(f"variant: {name} has no hardness {variant!r}; table() has the reason")
        about = [c for c in ("path", "text", "class") if c in self.samples]
        found = self.samples[about].assign(hardness=self.samples[column])
        return found.sort_values("hardness", ascending=False, kind="stable").head(k)

    def plot(self) -> Figure:
        """Every metric's score, standardised over the models, the best model on top."""
        import matplotlib.pyplot as plt

        scores, order = self.scores(), self.table().index[::-1]
        figure, axes = plt.subplots(figsize=(7, 1 + 0.35 * len(order)), layout="constrained")
        for metric in self.metrics:
            values = _standard(scores[metric]["all"].reindex(order))
            axes.plot(values, np.arange(len(order)), "o", label=metric, alpha=0.8)
        axes.set_yticks(np.arange(len(order)), order)
        axes.set_xlabel("score, standardised over the models")
        axes.grid(axis="x", alpha=0.3)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        plt.close(figure)
        return figure

    def against(self, accuracies: Mapping[str, float]) -> pd.DataFrame:
        """How well each score has told the accuracies, once they are known.

        Args:
            accuracies: model -> accuracy after fine-tuning.

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
        scores = self.scores()
        scores["prior", "all"] = self.frame.groupby("model")["prior"].first()
        lines = {}
        for cell in scores:
            both = pd.DataFrame({"score": scores[cell], "accuracy": known}).dropna()
            if len(both) < 2:
                continue
            tau, r = (
                dict(zip((name, f"{name}_low", f"{name}_high"), f(*both.to_numpy().T), strict=True))
                for name, f in (("tau", stats.weighted_kendall), ("pearson", stats.pearson))
            )
            missed = both["accuracy"].max() - both["accuracy"].iloc[both["score"].argmax()]
            lines[cell] = tau | r | {"regret": missed, "models": len(both)}
        if not lines:
            raise ValueError("accuracies: expected at least two models that have a score")
        return pd.DataFrame(lines).T.rename_axis(["metric", "variant"])

    def save(self, path: str | Path) -> None:
        """Write the ranking as JSON; :meth:`load` reads it."""
        tables = {"frame": self.frame, "halves": self.halves, "samples": self.samples}
        told: dict[str, Any] = {n: t.to_dict("split") for n, t in tables.items()}
        told |= {"metrics": self.metrics, "steps": self.steps}
        with writing(Path(path)) as temporary:
            temporary.write_text(json.dumps(told))

    @classmethod
    def load(cls, path: str | Path) -> Ranking:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: it is no such file.
        """
        try:
            told = json.loads(Path(path).read_text())
            names = "frame", "halves", "samples"
            frame, halves, samples = (pd.DataFrame(**told[name]) for name in names)
            steps = tuple(told["steps"])
            return cls(frame, halves, samples, tuple(told["metrics"]), steps)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"path: expected a file of Ranking.save, got {path} ({error})"
            ) from error


def _ranks(rounds: pd.Series, scores: pd.Series) -> pd.Series:
    """1 is best, equal scores share a rank; those that came further stand before the others."""
    found, ahead = pd.Series(math.nan, scores.index), 0
    for round_ in sorted(rounds.unique(), reverse=True):
        own = scores[rounds == round_].dropna()
        found[own.index] = own.rank(ascending=False, method="min") + ahead
        ahead += len(own)
    return found


def _standard(values: pd.Series) -> pd.Series:
    """Less the mean, over the standard deviation; zeros where all are equal."""
    spread = values.std(ddof=0)
    return (values - values.mean()) / (spread if spread > 0 else 1.0)
