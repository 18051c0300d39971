"""Metrics as others compute them, and how much a convention moves a score and a ranking.

:data:`CONVENTIONS` has, for each metric, what the library computes (:data:`DEFAULT`) and what
other code does in its place, written out naively: it is compared here, not offered as a metric.
At the end stand the claims that the book's page on conventions proves, each with what is expected
and what a run gives.
"""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64
from numpy import ndarray

from hastelib import metrics, stats
from hastelib.experiments import Grid
from hastelib.extract import Features
from hastelib.report import labels
from hastelib.report.comparison import ordered
from hastelib.report.tables import NONE, Block, Cell, Table, number

DEFAULT = "default"
FLOOR = metrics.VARIANCE_FLOOR
CELL = ["metric", "convention", "variant"]
COMPONENTS = (1, 2, 4, 8, 16, 32, 64, 128)
RATES = tuple(10.0**power for power in range(-10, 5, 2))
ROUNDING = 1e-6
"""Differences of correlations below this are none."""
LOW = 0.9
"""A convention whose mean tau with the default is below this is said to reorder the sources."""


class Case:
    """Samples as a convention sees them.

    Attributes:
        features: of the samples.
        whole: the case of the whole set that they are a subset of; itself for the whole set.
        X: (n, d) embeddings.
        probs: (n, z) the source's probabilities.
        index: (n,) classes, renumbered from 0.
        counts: (c,) their sizes.
    """

    def __init__(self, features: Features, whole: Case | None = None) -> None:
        self.features = features
        self.sample = metrics.Sample(features)
        self.whole = whole or self
        self.X: Float64[ndarray, "n d"] = np.asarray(features.embedding, np.float64)
        self.probs: Float64[ndarray, "n z"] = np.asarray(features.probs, np.float64)
        self.index: Int64[ndarray, " n"]
        _, self.index, self.counts = np.unique(
            np.asarray(features.labels), return_inverse=True, return_counts=True
        )

    @functools.cached_property
    def svd(self) -> tuple[ndarray, ndarray, ndarray]:
        """The thin singular value decomposition of the centred embeddings."""
        return np.linalg.svd(self.X - self.X.mean(0), full_matrices=False)

    def components(self, count: int) -> Float64[ndarray, "n k"]:
        """The scores of the leading principal components, fitted on these samples."""
        U, S, _ = self.svd
        return (U * S)[:, : min(count, len(U) - 1)]

    def means(self, X: Float64[ndarray, "n d"]) -> Float64[ndarray, "c d"]:
        """The mean of each class."""
        sums = np.zeros((len(self.counts), X.shape[1]))
        np.add.at(sums, self.index, X)
        return sums / self.counts[:, None]


Convention = Callable[[Case], float]


def overlap(
    case: Case,
    X: Float64[ndarray, "n d"],
    *,
    diagonal: bool = False,
    once: bool = False,
    floor: float = FLOOR,
    floor_first: bool = False,
    ddof: int = 0,
) -> float:
    """GBC of embeddings X, over ordered pairs.

    Args:
        case: the samples, for their classes.
        X: their embeddings, reduced or not.
        diagonal: a variance for each dimension.
        once: count the log determinant of a spherical covariance once, not d times.
        floor: of the variances.
        floor_first: floor each dimension's variance before they are averaged.
        ddof: variances divide by the class's size less this.

    Raises:
        ValueError: a class too small for ``ddof``.
    """
    if case.counts.min() <= ddof:
        raise ValueError(f"a class of {case.counts.min()} has no variance with n − {ddof}")
    means = case.means(X)
    variances = case.means((X - means[case.index]) ** 2)
    variances *= (case.counts / (case.counts - ddof))[:, None]
    if floor_first:
        variances = variances.clip(floor)
    if not diagonal:
        variances = variances.mean(1, keepdims=True)
    variances = variances.clip(floor)
    i, j = np.triu_indices(len(means), 1)
    shared = (variances[i] + variances[j]) / 2
    distance = ((means[i] - means[j]) ** 2 / shared).sum(1) / 8
    logs = np.log(shared) - (np.log(variances[i]) + np.log(variances[j])) / 2
    times = 1 if once or diagonal else X.shape[1]
    return -2 * float(np.exp(-distance - times / 2 * logs.sum(1)).sum())


def _reduced(case: Case, count: int = 64, whole: bool = False) -> Float64[ndarray, "n k"]:
    """Principal components; with ``whole`` along the axes of the whole set, not of the subset."""
    if not whole:
        return case.components(count)
    axes = case.whole.svd[2][:count]
    return (case.X - case.whole.X.mean(0)) @ axes.T


def between(
    case: Case,
    *,
    tolerance: float = 0.0,
    components: int | None = None,
    by_element: bool = False,
    equal: bool = False,
    biased: bool = False,
) -> float:
    """The H-score tr(cov(f)^+ cov(g)).

    Args:
        case: the samples.
        tolerance: eigenvalues of cov(f) count above this share of the largest.
        components: keep only so many principal components.
        by_element: the trace of the product element by element, not of the matrix product.
        equal: weigh the class means equally in cov(g), not by size.
        biased: cov(f) divides by n, cov(g) by n - 1.
    """
    _, S, V = case.svd
    n = len(case.X)
    least = max(tolerance, max(case.X.shape) * np.finfo(float).eps)
    kept = (math.sqrt(least) * S[0] < S) & (np.arange(len(S)) < (components or len(S)))
    inverse = (n if biased else n - 1) / S[kept] ** 2
    means = case.means(case.X) - case.X.mean(0)
    weights = case.counts / (n - 1)
    if equal:
        means = means - means.mean(0)
        weights = np.full(len(means), 1 / (len(means) - 1))
    if by_element:
        return float(((V[kept] ** 2 * inverse[:, None]).sum(0) * (weights @ means**2)).sum())
    return float((weights @ (means @ V[kept].T) ** 2 * inverse).sum())


def _standardised(X: Float64[ndarray, "n d"]) -> Float64[ndarray, "n d"]:
    deviation = X.std(0)
    return (X - X.mean(0)) / np.where(deviation > 0, deviation, 1)


def _unit_rows(X: Float64[ndarray, "n d"]) -> Float64[ndarray, "n d"]:
    return X / np.linalg.norm(X, axis=1, keepdims=True).clip(np.finfo(float).tiny)


def _spectra(
    case: Case, X: Float64[ndarray, "n d"], own_centre: bool = False
) -> list[Float64[ndarray, " m"]]:
    """Eigenvalues of Z'Z, for all of X as it is and for each class."""
    parts = [X, *(X[case.index == y] for y in range(len(case.counts)))]
    if own_centre:
        parts[1:] = [Z - Z.mean(0) for Z in parts[1:]]
    grams = (Z @ Z.T if len(Z) <= Z.shape[1] else Z.T @ Z for Z in parts)
    return [np.linalg.eigvalsh(gram).clip(0) for gram in grams]


def _rates(
    spectra: Sequence[Float64[ndarray, " m"]], sizes: Int64[ndarray, " k"], eps: float
) -> Float64[ndarray, " k"]:
    """The coding rate of each set, from the eigenvalues of its Gram matrix and its size."""
    pairs = zip(spectra, sizes, strict=True)
    return np.array([np.log1p(values / (n * eps)).sum() / 2 for values, n in pairs])


def rate_reduction(
    case: Case,
    X: Float64[ndarray, "n d"] | None = None,
    eps: float = 1e-4,
    *,
    weighted: bool = False,
    centred: bool = True,
    own_centre: bool = False,
    whole_n: bool = False,
    per_dimension: bool = False,
) -> float:
    """TransRate R(Z) - sum_j w_j R(Z_j) of embeddings X.

    Args:
        case: the samples.
        X: their embeddings, changed or not; as they are where it is not given.
        eps: the squared distortion.
        weighted: the classes' shares as weights, not 1/c.
        centred: subtract the mean of all samples.
        own_centre: subtract each class's own mean in its R.
        whole_n: divide Z_j'Z_j by the number of all samples, not of the class's.
        per_dimension: d / (n eps) in place of 1 / (n eps).
    """
    X = case.X if X is None else X
    X = X - X.mean(0) if centred else X
    sizes = np.concatenate(
        [[len(X)], np.full(len(case.counts), len(X)) if whole_n else case.counts]
    )
    eps = eps / X.shape[1] if per_dimension else eps
    rates = _rates(_spectra(case, X, own_centre), sizes, eps)
    weights = case.counts / len(X) if weighted else np.full(len(case.counts), 1 / len(case.counts))
    return float(rates[0] - weights @ rates[1:])


def _counted(case: Case, soft_predictions: bool) -> float:
    """LEEP with P(y|z) from counts of the likeliest z, or NCE with P(y, z) from the soft sum."""
    hard = np.eye(case.probs.shape[1])[case.probs.argmax(1)]
    joint = np.zeros((len(case.counts), case.probs.shape[1]))
    np.add.at(joint, case.index, hard if soft_predictions else case.probs)
    mass = joint.sum(0)
    conditional = joint / np.where(mass > 0, mass, 1)
    if soft_predictions:
        return float(np.log((conditional[case.index] * case.probs).sum(1)).mean())
    there = joint > 0
    return float((joint[there] * np.log(conditional[there])).sum() / len(case.X))


def _mixture(case: Case, **settings: object) -> float:
    return metrics.n_leep(case.X, case.index, **settings)  # type: ignore[arg-type]


def _unscaled(case: Case) -> float:
    """N-LEEP without dividing the components by the deviation of the first."""
    from sklearn.mixture import GaussianMixture

    held = np.cumsum(case.svd[1] ** 2)
    scores = case.components(1 + int((held < 0.8 * held[-1]).sum()))
    count = min(5 * len(case.counts), len(scores))
    mixture = GaussianMixture(count, max_iter=1000, random_state=0).fit(scores)
    return metrics.leep(mixture.predict_proba(scores), case.index)


def _default(metric: str) -> Convention:
    return lambda case: metrics.METRICS[metric](case.sample)


CONVENTIONS: dict[str, dict[str, Convention]] = {
    "leep": {
        DEFAULT: _default("leep"),
        "hard counts": lambda case: _counted(case, soft_predictions=True),
    },
    "nce": {
        DEFAULT: _default("nce"),
        "soft joint": lambda case: _counted(case, soft_predictions=False),
    },
    "gbc": {
        DEFAULT: _default("gbc"),
        "pairs once": lambda case: overlap(case, _reduced(case)) / 2,
        "log det once": lambda case: overlap(case, _reduced(case), once=True),
        "diagonal": lambda case: overlap(case, _reduced(case), diagonal=True),
        "no PCA": lambda case: overlap(case, case.X),
        "no PCA, once": lambda case: overlap(case, case.X, once=True, floor_first=True),
        "no PCA, diagonal": lambda case: overlap(case, case.X, diagonal=True),
        "16 components": lambda case: overlap(case, _reduced(case, 16)),
        "PCA of all data": lambda case: overlap(case, _reduced(case, whole=True)),
        "floor 1e-8": lambda case: overlap(case, _reduced(case), floor=1e-8),
        "floor 1e-2": lambda case: overlap(case, _reduced(case), floor=1e-2),
        "floor first": lambda case: overlap(case, _reduced(case), floor_first=True),
        "variance n − 1": lambda case: overlap(case, _reduced(case), ddof=1),
    },
    "h_score": {
        DEFAULT: _default("h_score"),
        "cov f by n": lambda case: between(case, biased=True),
        "pinv to 1e-5": lambda case: between(case, tolerance=1e-5),
        "64 components": lambda case: between(case, components=64),
        "classes equal": lambda case: between(case, equal=True),
        "Ledoit–Wolf": lambda case: metrics.h_score(case.X, case.index, "ledoit_wolf"),
        "by element": lambda case: between(case, tolerance=1e-5, by_element=True),
    },
    "transrate": {
        DEFAULT: _default("transrate"),
        "by size": lambda case: rate_reduction(case, weighted=True),
        "ε = 1e-6": lambda case: rate_reduction(case, eps=1e-6),
        "ε = 1e-2": lambda case: rate_reduction(case, eps=1e-2),
        "ε = 1": lambda case: rate_reduction(case, eps=1.0),
        "d/(nε)": lambda case: rate_reduction(case, per_dimension=True),
        "unit trace": lambda case: rate_reduction(case, case.X / np.linalg.norm(case.X)),
        "unit rows": lambda case: rate_reduction(case, _unit_rows(case.X)),
        "standardised": lambda case: rate_reduction(case, _standardised(case.X)),
        "not centred": lambda case: rate_reduction(case, centred=False),
        "own centres": lambda case: rate_reduction(case, own_centre=True),
        "n of all": lambda case: rate_reduction(case, whole_n=True),
    },
    "n_leep": {
        DEFAULT: _default("n_leep"),
        "seed 1": lambda case: _mixture(case, seed=1),
        "2 a class": lambda case: _mixture(case, gaussians=2),
        "diagonal": lambda case: _mixture(case, covariance="diag"),
        "energy 0.5": lambda case: _mixture(case, energy=0.5),
        "energy 0.95": lambda case: _mixture(case, energy=0.95),
        "not scaled": _unscaled,
    },
}
"""Metric -> name of a convention -> the score under it; the library's own comes first."""


def cases(grid: Grid, source: str, target: str) -> dict[str, Case]:
    """The samples by variant; of the random subsets the first draw."""
    features = grid.features(source, target)
    whole = Case(features)
    subsets = {subset.variant: subset.rows for subset in reversed(grid.subsets(target))}
    return {
        variant: whole if variant == "all" else Case(features.at(subsets[variant]), whole)
        for variant in ordered(subsets)
    }


def _measured(
    grid: Grid,
    targets: Sequence[str],
    scores: Callable[[Case, str], Iterable[tuple[str, Hashable, Callable[[], float]]]],
) -> pd.DataFrame:
    from sklearn.exceptions import ConvergenceWarning

    accuracies = grid.accuracies(targets)
    found = []
    for target, source in itertools.product(targets, grid.suite.sources):
        accuracy = float(np.mean(accuracies[source, target]))
        for variant, case in cases(grid, source, target).items():
            for metric, convention, score in scores(case, target):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    try:
                        value = score()
                    except ValueError:  # not computable on these samples
                        value = np.nan
                found.append((metric, convention, variant, target, source, value, accuracy))
    names = [*CELL, "target", "source", "score", "accuracy"]
    return pd.DataFrame(found, columns=names)


def measure(
    grid: Grid, targets: Sequence[str], mixtures: int | None = None, names: Iterable[str] = ()
) -> pd.DataFrame:
    """Every score under every convention, on every target, source and subset.

    Args:
        grid: the sources.
        targets: of the suite.
        mixtures: targets, the first of them, on which N-LEEP is computed; None: all.
        names: metrics of :data:`CONVENTIONS`; all where none is given.

    Returns:
        The columns metric, convention, variant, target, source, score (``nan`` where it cannot be
        computed) and accuracy (the mean over the seeds).
    """
    chosen = tuple(names) or tuple(CONVENTIONS)
    few = targets[:mixtures]

    def scores(case: Case, target: str) -> Iterable[tuple[str, str, Callable[[], float]]]:
        for metric in chosen:
            if metric != "n_leep" or target in few:
                for name, convention in CONVENTIONS[metric].items():
                    yield metric, name, functools.partial(convention, case)

    return _measured(grid, targets, scores)


def sweep(grid: Grid, targets: Sequence[str]) -> pd.DataFrame:
    """GBC over the number of components and TransRate over eps.

    Returns:
        As :func:`measure`, with the number in the column convention.
    """

    def scores(case: Case, _: str) -> Iterable[tuple[str, float, Callable[[], float]]]:
        for count in COMPONENTS:
            yield (
                "gbc",
                float(count),
                functools.partial(overlap, case, case.components(min(count, len(case.X) - 1))),
            )
        spectra = _spectra(case, case.X - case.X.mean(0))
        sizes = np.concatenate([[len(case.X)], case.counts])
        for eps in RATES:
            rates = _rates(spectra, sizes, eps)
            yield "transrate", eps, functools.partial(float, rates[0] - rates[1:].mean())

    return _measured(grid, targets, scores)


def effects(
    scores: pd.DataFrame,
    defaults: Mapping[str, Hashable] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """What each convention changes, over all targets.

    Args:
        scores: what :func:`measure` or :func:`sweep` gives.
        defaults: metric -> the convention to compare with; :data:`DEFAULT` where not given.
        resamples: bootstrap samples of the sources behind the interval.
        seed: of the bootstrap.

    Returns:
        A row per metric, convention and variant, with the columns missing (scores that cannot be
        computed), targets (those on which all sources have a score, to which what follows
        refers), of (targets in all), change (the largest relative change of a score), tau (mean
        Kendall correlation with the default's scores over the sources), picks (targets on which
        another source has the highest score), r (mean Pearson correlation with the accuracy),
        regret (mean, in [0, 1]), and difference, low, high: r less that of the default, with its
        paired 95% bootstrap interval over the sources.
    """
    cells = {
        key: _by_target(part, resamples, seed) for key, part in scores.groupby(CELL, sort=False)
    }
    found = []
    for (metric, convention, variant), mine in cells.items():
        default = cells[metric, (defaults or {}).get(str(metric), DEFAULT), variant]
        there = [target for target, one in mine.items() if not np.isnan(one.scores).any()]
        pairs = [(mine[target], default[target]) for target in there]
        missing = sum(int(np.isnan(one.scores).sum()) for one in mine.values())
        line = (metric, convention, variant, missing, len(there), len(default))
        if not there:
            found.append((*line, *[np.nan] * 8))
            continue
        gains = np.mean([one.replicates - base.replicates for one, base in pairs], axis=0)
        found.append(
            (
                *line,
                max(_change(one.scores, base.scores) for one, base in pairs),
                np.mean([stats.replicates("kendall", a.scores, b.scores, 1)[0] for a, b in pairs]),
                sum(one.first != base.first for one, base in pairs),
                np.mean([one.replicates[0] for one, _ in pairs]),
                np.mean([one.regret for one, _ in pairs]),
                *stats.interval(gains),
            )
        )
    columns = ["missing", "targets", "of", "change", "tau", "picks", "r", "regret"]
    return pd.DataFrame(found, columns=[*CELL, *columns, "difference", "low", "high"])


class _Target(NamedTuple):
    """The scores of the sources on one target, and what follows from them and the accuracies."""

    scores: Float64[ndarray, " s"]
    first: frozenset[int]
    replicates: Float64[ndarray, " b"]
    regret: float


def _by_target(part: pd.DataFrame, resamples: int, seed: int) -> dict[str, _Target]:
    found = {}
    for target, one in part.groupby("target", sort=False):
        values, accuracies = (one[name].to_numpy(float) for name in ("score", "accuracy"))
        if np.isnan(values).any():
            found[str(target)] = _Target(
                values, frozenset(), np.full(1 + resamples, np.nan), np.nan
            )
            continue
        first = frozenset(np.flatnonzero(values == values.max()).tolist())
        sample = stats.replicates("pearson", values, accuracies, resamples, seed)
        found[str(target)] = _Target(values, first, sample, stats.regret(values, accuracies))
    return found


def _change(scores: Float64[ndarray, " s"], base: Float64[ndarray, " s"]) -> float:
    """The largest relative change; infinite where a score leaves 0."""
    moved = scores != base
    with np.errstate(divide="ignore"):
        return float(np.max(np.abs(scores - base)[moved] / np.abs(base)[moved], initial=0))


def table(found: pd.DataFrame, metric: str) -> Table:
    """The effects of one metric's conventions, a block per subset.

    Args:
        found: what :func:`effects` gives.
        metric: whose conventions.
    """
    part = found[found["metric"] == metric]
    head = ("Convention", "Change", "τ", "Picks", "r", "Regret")
    blocks = tuple(
        Block(
            labels.variant(variant),
            head,
            tuple(
                (str(line["convention"]), _cells(line))
                for line in part[part["variant"] == variant].to_dict("records")
            ),
        )
        for variant in ordered(part["variant"])
    )
    several = part.loc[part["targets"] < part["of"], ["convention", "variant", "targets", "of"]]
    gone = [
        f"{line['convention']} ({labels.variant(line['variant'])}): not computable for every "
        f"source on {line['of'] - line['targets']} of {line['of']} targets."
        for line in several.to_dict("records")
    ]
    caption = (
        f"{labels.metric(metric)} under other conventions, over {int(part['of'].max())} targets: "
        "the largest relative change of a score in % (of the default’s), the mean Kendall τ with "
        "the default’s ranking of the sources, the targets on which another source comes first, "
        "the mean Pearson r with the accuracy, and the mean regret of the first pick in points of "
        "accuracy. * the 95% interval of the difference of r from the default’s leaves out zero."
    )
    return Table(caption, blocks, tuple(gone), part.reset_index(drop=True))


def _cells(line: Mapping[Hashable, Any]) -> tuple[Cell, ...]:
    if line["targets"] < line["of"]:
        return (Cell(NONE),) * 5
    own = line["convention"] == DEFAULT
    return (
        Cell(NONE if own else _percent(line["change"])),
        Cell(NONE if own else number(line["tau"], 2)),
        Cell(NONE if own else f"{line['picks']:.0f}"),
        Cell(number(line["r"], 3), bold=own, mark="*" if _sure(line) else ""),
        Cell(number(100 * line["regret"], 1)),
    )


def _percent(share: float) -> str:
    """A relative change, short: in percent, as a power of ten where that is long."""
    if share == math.inf:
        return "∞"
    if share >= 100:
        return f"{100 * share:.0e}".replace("e+0", "e")
    return number(100 * share, 1 if share < 0.0995 else 0)


def _sure(line: Mapping[Hashable, Any]) -> bool:
    return bool(line["low"] > ROUNDING or line["high"] < -ROUNDING)


def findings(found: pd.DataFrame, scores: pd.DataFrame) -> str:
    """Which conventions matter, in sentences computed from the numbers.

    Args:
        found: what :func:`effects` gives for ``scores``.
        scores: what :func:`measure` gives.
    """
    there = found[found["targets"].eq(found["of"]) & found["convention"].ne(DEFAULT)]
    sure = int(((there["low"] > ROUNDING) | (there["high"] < -ROUNDING)).sum())
    same = int(((there["tau"] > 1 - ROUNDING) & (there["picks"] == 0)).sum())
    overall = (
        f"**{same} of {len(there)} comparisons leave every ranking as it is**, "
        f"{int((there['tau'] < LOW).sum())} have a mean τ below {number(LOW, 1)}. The interval of "
        f"the difference of r leaves out zero in {sure}; by chance {number(0.05 * len(there), 0)} "
        "would, if the intervals kept their level, which with so few sources they do only roughly."
    )
    items = [_item(found, scores, metric) for metric in found["metric"].unique()]
    return "\n".join([overall, "", *items])


def _item(found: pd.DataFrame, scores: pd.DataFrame, metric: str) -> str:
    part = found[found["metric"] == metric]
    own = part[part["convention"] == DEFAULT].set_index("variant")
    other = part[part["convention"] != DEFAULT]
    whole = other[other["targets"] == other["of"]]
    groups: dict[str, list[str]] = {"none": [], "little": [], "much": []}
    for name, lines in whole.groupby("convention", sort=False):
        least, moved = lines["tau"].min(), lines["picks"].sum()
        kind = "much" if least < LOW else "little" if least < 1 - ROUNDING or moved else "none"
        text = f"{name} (τ down to {number(least, 2)})" if kind == "much" else str(name)
        groups[kind].append(text)
    spans = []
    for variant in own.index:
        values = part[(part["variant"] == variant) & (part["targets"] == part["of"])]
        low, high = (values.loc[values["r"].agg(which)] for which in ("idxmin", "idxmax"))
        spans.append(
            f"{labels.variant(variant)} {number(low['r'], 2)} ({low['convention']}) to "
            f"{number(high['r'], 2)} ({high['convention']})"
        )
    hard = [variant for variant in ("random", "ca", "cs") if variant in own.index]
    shifts = ", ".join(
        f"{labels.variant(variant)} {number(own['r'][variant] - own['r']['all'], 2, sign=True)}"
        for variant in hard
    )
    return (
        f"- **{labels.metric(metric)}.** {_listed('Leave every ranking as it is', groups['none'])}"
        f"{_listed('Move it little', groups['little'])}"
        f"{_listed('Reorder the sources', groups['much'])}"
        f"Mean r, over the conventions: {'; '.join(spans)}. For comparison, what the subset "
        f"changes under the default: {shifts}. {_favourite(scores, metric)}"
    )


def _listed(head: str, names: Sequence[str]) -> str:
    return f"{head}: {', '.join(names)}. " if names else ""


def _favourite(scores: pd.DataFrame, metric: str) -> str:
    """Which source the default puts first most often on the whole sets."""
    own = scores[scores["metric"].eq(metric) & scores["convention"].eq(DEFAULT)]
    own = own[own["variant"] == "all"].dropna(subset=["score"])
    picked = own.loc[own.groupby("target")["score"].idxmax(), "source"].value_counts()
    best = own.loc[own.groupby("target")["accuracy"].idxmax(), "source"].value_counts()
    name = str(picked.index[0])
    return (
        f"On the whole sets the default puts {labels.source(name)} first on {picked.iloc[0]} of "
        f"{picked.sum()} targets; it is the best on {best.get(name, 0)}."
    )


# What the page claims, as (expected, got)

Claims = dict[str, tuple[float, float]]


def _problem(
    generator: np.random.Generator, n: int, d: int, c: int
) -> tuple[Float64[ndarray, "n d"], Int64[ndarray, " n"]]:
    """Embeddings around random class centres, and labels in which every class occurs twice."""
    y = np.concatenate([np.repeat(np.arange(c), 2), generator.integers(c, size=n - 2 * c)])
    return generator.normal(size=(c, d))[y] + generator.normal(size=(n, d)), y


def _distance(
    difference: Float64[ndarray, " d"],
    first: Float64[ndarray, "d d"],
    second: Float64[ndarray, "d d"],
) -> float:
    """The Bhattacharyya distance of two Gaussians from the difference of their means."""
    shared = (first + second) / 2
    logs = [float(np.linalg.slogdet(S).logabsdet) for S in (shared, first, second)]
    return float(difference @ np.linalg.solve(shared, difference)) / 8 + (
        logs[0] / 2 - (logs[1] + logs[2]) / 4
    )


def _integral(*gaussians: tuple[Float64[ndarray, " d"], Float64[ndarray, "d d"]]) -> float:
    """The Bhattacharyya coefficient of two Gaussians in the plane, summed up on a fine grid."""
    from scipy.stats import multivariate_normal

    line = np.linspace(-30, 30, 1201)
    plane = np.stack(np.meshgrid(line, line), axis=-1)
    p, q = (multivariate_normal(*one).pdf(plane) for one in gaussians)
    return float(np.sqrt(p * q).sum() * (line[1] - line[0]) ** 2)


def overlaps(seed: int = 0) -> Claims:
    """The distance against an integral, GBC against both, and the log determinant counted once."""
    generator = np.random.default_rng(seed)
    roots = generator.normal(size=(2, 2, 2))
    covariances = [root @ root.T + np.eye(2) / 2 for root in roots]
    means = generator.normal(size=(2, 2))
    full = math.exp(-_distance(means[0] - means[1], *covariances))
    X = generator.normal(size=(60, 2)) * np.where(np.arange(60) < 30, 1.0, 4.0)[:, None]
    y = np.repeat([0, 1], 30)
    X[y == 1] += 3
    parts = [X[y == k] for k in (0, 1)]
    sphere = [(Z.mean(0), Z.var(0).mean() * np.eye(2)) for Z in parts]
    axes = [(Z.mean(0), np.diag(Z.var(0))) for Z in parts]
    once = metrics.gbc(X, y, components=None, log_det="published")
    worse = []
    for _ in range(1000):
        F, labelled = _problem(generator, 30, 6, 4)
        pair = [metrics.gbc(F, labelled, log_det=kind) for kind in ("published", "exact")]
        worse.append(pair[0] > pair[1] + 1e-12)
    return {
        "exp(−D), full covariances": (_integral(*zip(means, covariances, strict=True)), full),
        "GBC, spherical": (-2 * _integral(*sphere), metrics.gbc(X, y, components=None)),
        "GBC, diagonal": (-2 * _integral(*axes), metrics.gbc(X, y, "diagonal", None)),
        "counted once, it is the integral": (
            False,
            math.isclose(once, -2 * _integral(*sphere), rel_tol=1e-3),
        ),
        "counted once it exceeds GBC, of 1000": (0, sum(worse)),
    }


def blanks(seed: int = 0, columns: int = 20) -> Claims:
    """What columns of zeros, which say nothing, do to GBC without a PCA."""
    X, y = _problem(np.random.default_rng(seed), 60, 5, 2)
    wide = np.pad(X, ((0, 0), (0, columns)))
    distances = {}
    for name, Z in (("plain", X), ("wide", wide)):
        once = metrics.gbc(Z, y, components=None, log_det="published")
        case = Case(Features(torch.from_numpy(Z), torch.ones(len(y), 1), {}, torch.from_numpy(y)))
        variances = case.means((Z - case.means(Z)[case.index]) ** 2).mean(1)
        log_det = math.log(variances.mean()) - float(np.log(variances).mean())
        distances[name] = -math.log(-once / 2) - log_det / 2
    return {
        "squared distance over 8 s": (
            distances["plain"] * (5 + columns) / 5,
            distances["wide"],
        ),
        "GBC after PCA": (metrics.gbc(X, y, components=5), metrics.gbc(wide, y, components=5)),
    }


def shares(seed: int = 0) -> Claims:
    """The H-score as a trace, as the product of two projections, and its bounds."""
    generator = np.random.default_rng(seed)
    X, y = _problem(generator, 60, 12, 7)
    n, c = len(X), 7
    F = X - X.mean(0)
    Y = np.eye(c)[y]
    onto_classes = Y @ np.linalg.pinv(Y)
    onto_embedding = F @ np.linalg.pinv(F)
    g = onto_classes @ F
    trace = float(np.trace(np.linalg.pinv(F.T @ F / (n - 1)) @ (g.T @ g / (n - 1))))
    wide = generator.normal(size=(n, n + 5))
    above = 0
    for _ in range(1000):
        size = tuple(generator.integers(2, (24, 12)))
        Z, labelled = _problem(generator, 2 * int(size[1]) + int(size[0]), *map(int, size))
        above += metrics.h_score(Z, labelled) > min(size[0], size[1] - 1) + 1e-9
    return {
        "tr(cov(f)⁺ cov(g))": (trace, metrics.h_score(X, y)),
        "squared norm of P Q": (trace, float(((onto_embedding @ onto_classes) ** 2).sum())),
        "above min(r, c − 1), of 1000": (0, above),
        "H, random features, n ≤ d": (c - 1, metrics.h_score(wide, y)),
        "H, the same, labels shuffled": (c - 1, metrics.h_score(wide, generator.permutation(y))),
    }


def chance(seed: int = 0, shuffles: int = 4000) -> Claims:
    """The mean H-score over shuffled labels against r (c - 1) / (n - 1), for three widths."""
    generator = np.random.default_rng(seed)
    claims: Claims = {}
    for d in (5, 20, 40):
        X, y = _problem(generator, 60, d, 7)
        U, S, _ = np.linalg.svd(X - X.mean(0), full_matrices=False)
        U = U[:, 1e-9 * S[0] < S]
        total = 0.0
        for _ in range(shuffles):
            Y = np.eye(7)[generator.permutation(y)]
            total += float(((U.T @ Y) ** 2 / Y.sum(0)).sum())
        claims[f"mean H of {shuffles} shuffles, d = {d}"] = (d * 6 / 59, total / shuffles)
    return claims


def reductions(seed: int = 0) -> Claims:
    """TransRate: its sign, its determinant on either side, and the scale."""
    generator = np.random.default_rng(seed)
    below = 0
    for _ in range(1000):
        X, y = _problem(generator, 30, int(generator.integers(1, 40)), 5)
        eps = 10 ** generator.uniform(-6, 3)
        case = Case(Features(torch.from_numpy(X), torch.ones(30, 1), {}, torch.from_numpy(y)))
        below += rate_reduction(case, X, eps, weighted=True) < -1e-9
    X, y = lopsided()
    many, few = ((X[y == k, 0] ** 2).mean() for k in (0, 1))
    whole = float((X**2).mean())
    closed = (math.log1p(whole / 1e-4) - (math.log1p(many / 1e-4) + math.log1p(few / 1e-4)) / 2) / 2
    Z, labelled = _problem(generator, 30, 50, 5)
    sides = [
        float(np.linalg.slogdet(np.eye(len(G)) + G / 0.3).logabsdet) for G in (Z @ Z.T, Z.T @ Z)
    ]
    return {
        "by size below 0, of 1000": (0, below),
        "equal weights, the example": (closed, metrics.transrate(X, y)),
        "it is negative": (True, metrics.transrate(X, y) < 0),
        "log det, n × n and d × d": (sides[0], sides[1]),
        "3 Z, ε against Z, ε/9": (
            metrics.transrate(3 * Z, labelled, 0.02),
            metrics.transrate(Z, labelled, 0.02 / 9),
        ),
    }


def lopsided() -> tuple[Float64[ndarray, "n 1"], Int64[ndarray, " n"]]:
    """98 samples close to 0 and two far from it: TransRate with equal weights is negative."""
    X = np.concatenate([np.tile([0.1, -0.1], 49), [1.0, -1.0]])[:, None]
    return X, (np.abs(X[:, 0]) > 0.5).astype(np.int64)


def ends(seed: int = 0) -> Claims:
    """What TransRate tends to for a small and a large eps."""
    generator = np.random.default_rng(seed)
    claims: Claims = {}
    for d in (10, 100):
        X, y = _problem(generator, 60, d, 4)
        F = X - X.mean(0)
        ranks = [int(np.linalg.matrix_rank(part)) for part in (F, *(F[y == k] for k in range(4)))]
        small = [metrics.transrate(X, y, eps) for eps in (1e-12, 1e-10)]
        slope = (small[0] - small[1]) / math.log(100)
        rise = float(ranks[0] - np.mean(ranks[1:])) / 2
        claims[f"slope in log 1/ε, ε → 0, d = {d}"] = (rise, slope)
        traces = [
            float((part**2).sum()) / len(part) for part in (F, *(F[y == k] for k in range(4)))
        ]
        claims[f"ε · TransRate, ε → ∞, d = {d}"] = (
            (traces[0] - float(np.mean(traces[1:]))) / 2,
            1e8 * metrics.transrate(X, y, 1e8),
        )
        claims[f"the same, weights by size, d = {d}"] = (
            0,
            1e8 * metrics.transrate(X, y, 1e8, weighted=True),
        )
    return claims


def posteriors(seed: int = 0) -> Claims:
    """LEEP on posteriors that are sure, and N-LEEP with as many Gaussians as samples."""
    generator = np.random.default_rng(seed)
    X, y = _problem(generator, 60, 4, 5)
    z = generator.integers(8, size=60)
    shuffled = generator.permutation(y)
    return {
        "LEEP of one-hot rows is NCE": (metrics.nce(z, y), metrics.leep(np.eye(8)[z], y)),
        "N-LEEP, a Gaussian a sample": (0, metrics.n_leep(X, y, gaussians=60)),
        "the same, labels shuffled": (0, metrics.n_leep(X, shuffled, gaussians=60)),
    }


def tolerances(grid: Grid, target: str, variants: Sequence[str] = ("all", "cs")) -> Table:
    """The H-score by rank rule: what rounding makes of it where there are no more samples than d.

    Args:
        grid: the sources.
        target: of the suite.
        variants: subsets, a block for each.
    """
    found = []
    for variant, source in itertools.product(variants, grid.suite.sources):
        case = cases(grid, source, target)[variant]
        n, d = case.X.shape
        rank = int(np.linalg.matrix_rank(case.X - case.X.mean(0)))
        single = _pseudo_inverse(case, np.float32, 1e-15)
        found.append(
            {
                "variant": variant,
                "source": source,
                "n": n,
                "d": d,
                "most": len(case.counts) - 1,
                "chance": rank * (len(case.counts) - 1) / (n - 1),
                "score": metrics.h_score(case.X, case.index),
                "loose": between(case, tolerance=1e-5),
                "single": single,
            }
        )
    frame = pd.DataFrame(found)
    blocks = []
    for kind, part in frame.groupby("variant", sort=False):
        first = part.iloc[0]
        rows = tuple(
            (
                labels.source(str(line["source"])),
                (
                    Cell(str(line["d"])),
                    Cell(number(line["chance"], 1)),
                    Cell(number(line["score"], 2), bold=True),
                    Cell(number(line["loose"], 2)),
                    Cell(number(line["single"], 2)),
                ),
            )
            for line in part.to_dict("records")
        )
        title = f"{labels.variant(str(kind))}, n = {first['n']}, c − 1 = {first['most']}"
        head = ("Source", "d", "Chance", "H", "1e-5", "32-bit")
        blocks.append(Block(title, head, rows))
    caption = (
        f"The H-score on {labels.plain(target)}: the width d, what shuffled labels would score, "
        "the score with the numerical rank, with the eigenvalues above 1e-5 of the largest, and "
        "with those above 1e-15 in 32-bit arithmetic, the type of a network’s output."
    )
    return Table(caption, tuple(blocks), (), frame)


def _pseudo_inverse(case: Case, kind: type[np.floating], tolerance: float) -> float:
    """The H-score by a d x d pseudo-inverse in the arithmetic of ``kind``."""
    X = case.X.astype(kind)
    g = case.means(case.X).astype(kind)[case.index]
    covariances = [(Z - Z.mean(0)).T @ (Z - Z.mean(0)) / kind(len(Z) - 1) for Z in (X, g)]
    return float(np.trace(np.linalg.pinv(covariances[0], rcond=tolerance) @ covariances[1]))
