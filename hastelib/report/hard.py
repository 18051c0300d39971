"""Does hardness find the errors? Section 1's observation, tested on a suite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hastelib import stats
from hastelib.experiments import Grid
from hastelib.extract import Features
from hastelib.report import labels
from hastelib.report.tables import Block, Cell, Table, interval, number
from hastelib.specs import Split

CHANCE = 0.5
"""The AUC of a hardness that knows nothing of the errors."""

FOLDS = 5
PENALTY = 10.0
"""Of the ridge head, on standardised embeddings."""

FINE_TUNED = ("test", "fine-tuned")
SETTINGS = {
    FINE_TUNED: "Test, fine-tuned",
    ("test", "linear"): "Test, linear head",
    ("test", "leep"): "Test, LEEP’s head",
    ("train", "linear"): "Train, linear head",
    ("train", "leep"): "Train, LEEP’s head",
}
"""Split and predictor: what the errors are errors of."""


def auc(
    hardness: Float64[ndarray, " n"],
    wrong: Mapping[str, Bool[ndarray, " n"]],
    groups: Int64[ndarray, " n"] | None = None,
    resamples: int = 300,
    seed: int = 0,
) -> Float64[ndarray, " b"]:
    r"""How well a hardness tells errors from the rest: Mann and Whitney's statistic as a share.

    .. math::

        \mathrm{AUC} = P(H_{\mathrm{wrong}} > H_{\mathrm{right}})
        + \tfrac12 P(H_{\mathrm{wrong}} = H_{\mathrm{right}}),

    over all pairs of a sample that a network gets wrong and one that it gets right; 1/2 where
    hardness says nothing. The mean over the networks, which share the samples: a resample draws
    samples, for all networks the same.

    Args:
        hardness: of the samples.
        wrong: per network, whether it errs on the sample.
        groups: compare only pairs of one group, such as a class; all pairs where not given.
        resamples: of the bootstrap; 0 for none.
        seed: of the bootstrap.

    Returns:
        (1 + resamples,): the value, then that of each resample, as
        :func:`hastelib.stats.interval` takes them; NaN where there is no pair.
    """
    n = len(hardness)
    group = np.zeros(n, dtype=np.int64) if groups is None else groups
    order = np.lexsort((hardness, group))
    h, g = hardness[order], group[order]
    other = np.diff(g) != 0
    tied, grouped = _runs(other | (np.diff(h) != 0)), _runs(other)
    counts = np.ones((n, 1 + resamples))
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    counts[:, 1:] = draws.T[order]
    found = []
    for outcome in wrong.values():
        errs = outcome[order, None]
        bad, right = counts * errs, counts * ~errs
        sums = np.concatenate([np.zeros((1, right.shape[1])), right.cumsum(0)])
        start, end = (sums[places] for places in grouped)
        easier = sum(sums[places] for places in tied) / 2 - start
        pairs = (bad * (end - start)).sum(0)
        with np.errstate(invalid="ignore"):
            found.append((bad * easier).sum(0) / pairs)
    return _mean(np.stack(found))


def _runs(borders: Bool[ndarray, " m"]) -> tuple[Int64[ndarray, " n"], Int64[ndarray, " n"]]:
    """For each place, where its run starts and where the next one does."""
    starts = np.flatnonzero(np.concatenate([[True], borders]))
    sizes = np.diff(np.append(starts, len(borders) + 1))
    return np.repeat(starts, sizes), np.repeat(starts + sizes, sizes)


def _mean(values: Float64[ndarray, "s b"]) -> Float64[ndarray, " b"]:
    """The mean over the first axis of what is there; NaN where nothing is."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(there, values, 0).sum(0) / there.sum(0)


def fine_tuned_errors(grid: Grid, target: str) -> dict[str, Bool[ndarray, " n"]]:
    """Per source, which test samples its fine-tuned network (first seed) gets wrong."""
    seed = grid.suite.seeds[0]
    outcomes = {name: grid.outcome(name, target, seed) for name in grid.suite.sources}
    return {name: (o.probs.argmax(1) != o.labels).numpy() for name, o in outcomes.items()}


def errors(grid: Grid, target: str) -> dict[tuple[str, str], dict[str, Bool[ndarray, " n"]]]:
    r"""By setting (:data:`SETTINGS`) and source, which samples are classified wrongly.

    The fine-tuned networks are those of the first seed. A frozen source gets either LEEP's own
    head, :math:`\sum_z P(y|z) f(x)_z`, fitted on the train split as LEEP does, or a linear head
    (ridge regression on the classes), fitted on the train split; its errors *on* the train split
    are those of five-fold cross-validation.
    """
    found: dict[tuple[str, str], dict[str, ndarray]] = {setting: {} for setting in SETTINGS}
    found[FINE_TUNED] = fine_tuned_errors(grid, target)
    for source in grid.suite.sources:
        train, test = grid.features(source, target), grid.features(source, target, "test")
        x, y = train.embedding.numpy(), train.labels.numpy()
        head = make_pipeline(StandardScaler(), RidgeClassifier(alpha=PENALTY))
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        guesses = {
            ("test", "leep"): _through(train, test),
            ("train", "leep"): _through(train, train),
            ("train", "linear"): cross_val_predict(head, x, y, cv=folds),
            ("test", "linear"): head.fit(x, y).predict(test.embedding.numpy()),
        }
        truth = {"train": y, "test": test.labels.numpy()}
        for (split, predictor), guess in guesses.items():
            found[split, predictor][source] = guess != truth[split]
    return found


def _through(train: Features, other: Features) -> Int64[ndarray, " n"]:
    """The classes that LEEP's head, fitted on one split, gives to another."""
    classes, index = train.labels.unique(return_inverse=True)
    joint = torch.nn.functional.one_hot(index).double().T @ train.probs.double()
    table = joint / joint.sum(0).clamp(min=torch.finfo(torch.float64).tiny)
    return classes[(other.probs.double() @ table.T).argmax(1)].numpy()


def discrimination(grid: Grid, targets: Sequence[str], resamples: int = 300) -> pd.DataFrame:
    """The AUC of both kinds of hardness for the errors, in every setting.

    Hardness is that of the split on which the errors are counted, by the suite's reference.

    Returns:
        The columns target, split, predictor, variant, errors (their share, mean over the
        sources), auc, low, high, and the same among the samples of one class: within,
        within_low, within_high. Intervals are 95%, from resampled samples.
    """
    found = []
    for target in targets:
        for (split, predictor), wrong in errors(grid, target).items():
            side: Split = "train" if split == "train" else "test"
            classes = grid.features(grid.suite.sources[0], target, side).labels.numpy()
            share = float(np.mean([outcome.mean() for outcome in wrong.values()]))
            for variant, values in grid.hardness(target, side).items():
                h = values.numpy().astype(float)
                whole = stats.interval(auc(h, wrong, resamples=resamples))
                within = stats.interval(auc(h, wrong, classes, resamples))
                found.append((target, split, predictor, variant, share, *whole, *within))
    columns = ["target", "split", "predictor", "variant", "errors", "auc", "low", "high"]
    return pd.DataFrame(found, columns=[*columns, "within", "within_low", "within_high"])


def _of_fine_tuned(cells: pd.DataFrame) -> pd.DataFrame:
    split, predictor = FINE_TUNED
    return cells[(cells["split"] == split) & (cells["predictor"] == predictor)]


def _value(line: pd.Series, names: tuple[str, str, str]) -> Cell:
    value, low, high = (line[name] for name in names)
    return Cell(number(value), interval(low, high), bold=low > CHANCE)


ALL_PAIRS = ("auc", "low", "high")
WITHIN = ("within", "within_low", "within_high")


def auc_table(cells: pd.DataFrame) -> Table:
    """Does hardness find the errors of the fine-tuned networks, target by target?

    Args:
        cells: what :func:`discrimination` gives.
    """
    part = _of_fine_tuned(cells)
    blocks = []
    for variant, lines in part.groupby("variant", sort=False):
        rows: list[tuple[str, tuple[Cell, ...]]] = [
            (labels.plain(line["target"]), (_value(line, ALL_PAIRS), _value(line, WITHIN)))
            for _, line in lines.iterrows()
        ]
        means = (Cell(number(lines[name].mean())) for name in ("auc", "within"))
        rows.append(("mean", tuple(means)))
        head = ("Target", "All pairs", "Within a class")
        blocks.append(Block(labels.variant(str(variant)), head, tuple(rows), summary=1))
    caption = (
        "How often a sample that a fine-tuned network gets wrong is harder than one that it gets "
        "right (AUC, mean over the sources; 0.5 is chance), over all pairs and over pairs of one "
        "class, with 95% intervals over the test samples. Bold: the interval lies above chance."
    )
    return Table(caption, tuple(blocks), (), part)


def sides(lines: pd.DataFrame, names: tuple[str, str, str] = ALL_PAIRS) -> tuple[int, int]:
    """How many intervals lie above chance, and how many below."""
    _, low, high = names
    return int((lines[low] > CHANCE).sum()), int((lines[high] < CHANCE).sum())


def settings_table(cells: pd.DataFrame) -> Table:
    """Does the answer depend on the split, and on whose errors they are?

    Args:
        cells: what :func:`discrimination` gives.
    """
    blocks = []
    for variant, of_variant in cells.groupby("variant", sort=False):
        rows = []
        for (split, predictor), name in SETTINGS.items():
            part = of_variant[
                (of_variant["split"] == split) & (of_variant["predictor"] == predictor)
            ]
            above, below = sides(part)
            texts = (
                number(100 * part["errors"].mean(), 1),
                number(part["auc"].mean()),
                number(part["within"].mean()),
                f"{above} / {below}",
            )
            rows.append((name, tuple(map(Cell, texts))))
        head = ("Errors of", "%", "All", "Within", "↑ / ↓")
        blocks.append(Block(labels.variant(str(variant)), head, tuple(rows)))
    count = cells["target"].nunique()
    caption = (
        "The same AUC, mean over the targets, for other errors: the share of errors in %, the AUC "
        "over all pairs and within a class, and on how many of "
        f"{count} targets its interval (all pairs) lies above / below chance. The hardness is that "
        "of the split on which the errors are counted."
    )
    return Table(caption, tuple(blocks), (), cells)


def auc_words(cells: pd.DataFrame) -> str:
    """What the AUCs say, as Markdown."""
    count = cells["target"].nunique()
    items = []
    for variant, of_variant in cells.groupby("variant", sort=False):
        part = _of_fine_tuned(of_variant)
        above, below = sides(part)
        middle = count - above - below
        value, within = part["auc"].mean(), part["within"].mean()
        if above > count / 2:
            verdict = "finds the errors**: what it calls hard is what the networks get wrong"
        elif below > count / 2:
            verdict = (
                "is the wrong way round here**: what it calls hard is classified *better* than "
                "the rest"
            )
        else:
            verdict = "says little about the errors**"
        others = of_variant.drop(part.index)
        agree = int(((others["auc"] > CHANCE) == (value > CHANCE)).sum())
        kept = (
            abs(within - CHANCE) / abs(value - CHANCE) if abs(value - CHANCE) > 0.01 else math.nan
        )
        same = (within > CHANCE) == (value > CHANCE)
        share = (
            f", so {number(100 * kept, 0)}% of its distance from chance is left within a class; "
            "the rest is about which classes are hard"
            if kept == kept and same and kept < 1
            else ", no less than over all pairs: it is about samples, not about hard classes"
            if kept == kept and same
            else ""
        )
        items.append(
            f"- **{labels.variant(str(variant))} {verdict}. On the test split the AUC is "
            f"{number(value)} in the mean; the interval lies above chance on {above} of {count} "
            f"targets, below on {below}, and includes it on {middle}. Within a class it is "
            f"{number(within)}{share}. Of the {len(others)} other settings and targets, {agree} "
            f"lie on the same side of chance."
        )
    return "\n".join(items)


def contrast(grid: Grid, targets: Sequence[str]) -> pd.DataFrame:
    """Does hardness rank by what a picture looks like? The contrast of the test samples.

    Returns:
        The columns target, variant and rank, Spearman's correlation of the hardness with the
        standard deviation of the grey levels.
    """
    found = []
    for target in targets:
        pictures = (sample["image"] for sample in grid.data(target)["test"])
        levels = np.array([np.asarray(picture.convert("L")).std() for picture in pictures])
        for variant, values in grid.hardness(target, "test").items():
            rank = stats.replicates("spearman", values, levels, 1)[0]
            found.append((target, variant, float(rank)))
    return pd.DataFrame(found, columns=["target", "variant", "rank"])


def contrast_words(cells: pd.DataFrame) -> str:
    """What the contrasts say, as Markdown."""
    parts = []
    for variant, part in cells.groupby("variant", sort=False):
        ranks = part["rank"]
        parts.append(
            f"{labels.variant(str(variant))} {number(ranks.mean(), 2)} in the mean "
            f"({number(ranks.min(), 2)} to {number(ranks.max(), 2)})"
        )
    return (
        "A number for what the eye sees: the rank correlation of the hardness with the contrast "
        "of the picture (standard deviation of its grey levels), over the "
        f"{cells['target'].nunique()} targets: {'; '.join(parts)}. Where it is positive, pictures "
        "of high contrast count as hard."
    )
