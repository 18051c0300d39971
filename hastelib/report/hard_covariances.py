"""Five covariances for class-specific hardness, compared on a suite."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy import ndarray

from hastelib import hardness, metrics, stats
from hastelib.experiments import Grid
from hastelib.extract import Features
from hastelib.report import labels
from hastelib.report.bins import hardness_bins
from hastelib.report.comparison import MEAN, correlations, differences
from hastelib.report.hard import auc, fine_tuned_errors, sides
from hastelib.report.hard_agnostic import agreement, by_reading
from hastelib.report.tables import Block, Cell, Table, interval, narrow, number
from hastelib.specs import Split

NAMES = {
    "spherical": "Spherical",
    "diagonal": "Diagonal",
    "ledoit_wolf": "Ledoit–Wolf",
    "tied": "Tied",
    "full": "Full",
    "ca": "CA",
    "dot": "CA by dot product",
    "nearest": "CA by the nearest",
    "all": "Baseline",
    "random": "Random",
}
SHORT = NAMES | {"spherical": "Spher.", "diagonal": "Diag.", "ledoit_wolf": "L–W"}
SHORT |= {"dot": "CA dot", "nearest": "CA near"}


def rankings(grid: Grid, target: str, split: Split = "train") -> dict[str, Float64[ndarray, " n"]]:
    """The hardness of a split by each covariance, and CA; without those that refuse it."""
    features = grid.features(grid.suite.hardness.source, target, split)
    found = {}
    for covariance in hardness.COVARIANCES:
        try:
            values = hardness.class_specific(features.embedding, features.labels, covariance)
        except ValueError:
            continue
        found[covariance] = values.numpy()
    return found | {"ca": grid.hardness(target, split)["ca"].numpy()}


def overlaps(grid: Grid, targets: Sequence[str]) -> pd.DataFrame:
    """Pairwise agreement on the train split.

    Returns:
        The columns target, first, second, rank (Spearman) and overlap (the share of the hard
        subset that both have).
    """
    found = []
    for target in targets:
        ranked = rankings(grid, target)
        for first, second in itertools.combinations(ranked, 2):
            pair = agreement(ranked[first], ranked[second], grid.suite.hardness.fraction)
            found.append((target, first, second, *pair))
    return pd.DataFrame(found, columns=["target", "first", "second", "rank", "overlap"])


def overlap_table(cells: pd.DataFrame) -> Table:
    """Do the covariances call the same samples hard? Means over the targets that both serve.

    Args:
        cells: what :func:`overlaps` gives.
    """
    names = [n for n in NAMES if n in {*cells["first"], *cells["second"]}]
    blocks = []
    for column, title in (("overlap", "Share of the hard subset"), ("rank", "Spearman")):
        means = cells.groupby(["first", "second"])[column].mean().to_dict()
        rows = []
        for place, first in enumerate(names[:-1]):
            texts = [
                number(means.get((first, second), math.nan), 2) if later >= place else ""
                for later, second in enumerate(names[1:])
            ]
            rows.append((NAMES[first], tuple(map(Cell, texts))))
        blocks.append(Block(title, ("", *(SHORT[n] for n in names[1:])), tuple(rows)))
    served = cells.loc[cells["first"].eq("full") | cells["second"].eq("full"), "target"].unique()
    caption = (
        "How far the hardnesses agree on the train split, means over the targets: the share of "
        "the hard subset that two of them have in common (two random ones share their fraction of "
        "the data), and Spearman’s correlation. Full: over "
        f"{', '.join(map(labels.plain, served)) or 'no target'} only."
    )
    return Table(caption, tuple(blocks), (), cells)


def covariance_errors(grid: Grid, targets: Sequence[str], resamples: int = 200) -> pd.DataFrame:
    """Do the covariances find the errors of the fine-tuned networks (test split)?

    Returns:
        The columns target, covariance (or ``ca``), hardest and easiest (accuracy in the hardest
        and in the easiest fifth, all sources together), auc, low, high.
    """
    found = []
    for target in targets:
        wrong = fine_tuned_errors(grid, target)
        right = {name: ~outcome for name, outcome in wrong.items()}
        for name, values in rankings(grid, target, "test").items():
            bins = hardness_bins(values, right).groupby("bin")[["correct", "total"]].sum()
            shares = (bins["correct"] / bins["total"]).to_numpy()
            area = stats.interval(auc(values, wrong, resamples=resamples))
            found.append((target, name, shares[0], shares[-1], *area))
    columns = ["target", "covariance", "hardest", "easiest", "auc", "low", "high"]
    return pd.DataFrame(found, columns=columns)


def errors_table(cells: pd.DataFrame) -> Table:
    """The errors by covariance, means over the targets that each serves.

    Args:
        cells: what :func:`covariance_errors` gives.
    """
    rows = []
    for name, part in cells.groupby("covariance", sort=False):
        above, below = sides(part)
        texts = (
            number(100 * part["hardest"].mean(), 1),
            number(100 * part["easiest"].mean(), 1),
            number(part["auc"].mean()),
            f"{above} / {below} / {len(part)}",
        )
        rows.append((NAMES[str(name)], tuple(map(Cell, texts))))
    caption = (
        "Accuracy in % of the fine-tuned networks on the hardest and the easiest fifth of the "
        "test split, the AUC of the hardness for their errors, means over the targets that the "
        "covariance serves, and on how many of them the AUC’s 95% interval lies above / below "
        "chance / all. The class means and covariances are those of the test split."
    )
    head = ("Hardness", "Hardest", "Easiest", "AUC", "↑ / ↓ / of")
    return Table(caption, (Block("", head, tuple(rows)),), (), cells)


def balance(grid: Grid, targets: Sequence[str]) -> pd.DataFrame:
    """Which classes are left in the hard subset of the train split?

    Returns:
        The columns target, subset (``random``: the mean of the draws), left (share of the
        classes), evenness (entropy of the classes over its maximum) and largest (share of the
        largest class times the number of classes: 1 where all are equal).
    """
    fraction = grid.suite.hardness.fraction
    found = []
    for target in targets:
        classes = grid.features(grid.suite.hardness.source, target).labels.numpy()
        draws = [s.rows.numpy() for s in grid.subsets(target) if s.variant == "random"]
        groups = {"random": draws} | {
            name: [hardness.hardest(values, fraction)]
            for name, values in rankings(grid, target).items()
        }
        for name, several in groups.items():
            shares = np.mean([_balance(classes, rows) for rows in several], axis=0)
            found.append((target, name, *map(float, shares)))
    return pd.DataFrame(found, columns=["target", "subset", "left", "evenness", "largest"])


def _balance(classes: ndarray, rows: ndarray) -> tuple[float, float, float]:
    names = np.unique(classes)
    counts = np.array([(classes[rows] == name).sum() for name in names])
    shares = counts[counts > 0] / len(rows)
    evenness = float(-(shares * np.log(shares)).sum() / math.log(len(names)))
    return len(shares) / len(names), evenness, float(shares.max() * len(names))


def balance_table(cells: pd.DataFrame) -> Table:
    """The classes that are left, means over the targets that each serves.

    Args:
        cells: what :func:`balance` gives.
    """
    rows = []
    for name in (n for n in NAMES if n in set(cells["subset"])):
        part = cells[cells["subset"] == name]
        texts = (
            number(100 * part["left"].mean(), 1),
            number(100 * part["left"].min(), 1),
            number(part["evenness"].mean()),
            number(part["largest"].mean(), 2),
        )
        rows.append((NAMES[name], tuple(map(Cell, texts))))
    caption = (
        "The classes in the hard subset of the train split: how many of them are left in %, in "
        "the mean and on the worst target; the entropy of their shares over its maximum; the "
        "share of the largest class over what it would be were all equal. Means over the targets."
    )
    head = ("Subset", "Left", "Least", "Evenness", "Largest")
    return Table(caption, (Block("", head, tuple(rows)),), (), cells)


def leep_rows(grid: Grid, targets: Sequence[str], source: Features) -> pd.DataFrame:
    """LEEP of every source on the hard subset of each covariance, beside all, random and CA.

    CA is there three times: as it is, with the dot product, and by the nearest source sample.

    Args:
        grid: of sources and targets.
        targets: of the suite.
        source: what the grid's reference source makes of its own source data.

    Returns:
        The columns that :func:`hastelib.report.correlations` needs; ``variant`` is the subset.
    """
    fraction = grid.suite.hardness.fraction
    accuracies = grid.accuracies(targets)
    found = []
    for target in targets:
        subsets: dict[str, list] = {}
        for subset in grid.subsets(target):
            if subset.variant in ("all", "random"):
                subsets.setdefault(subset.variant, []).append(subset.rows.numpy())
        layers = grid.features(grid.suite.hardness.source, target).layers
        read = by_reading(source.layers, layers)
        ranked = rankings(grid, target) | {name: read[name] for name in ("dot", "nearest")}
        for name, values in ranked.items():
            subsets[name] = [hardness.hardest(values, fraction)]
        for one in grid.suite.sources:
            features = grid.features(one, target)
            probs, classes = features.probs.numpy(), features.labels.numpy()
            accuracy = float(np.mean(accuracies[one, target]))
            for name, several in subsets.items():
                scores = [metrics.leep(probs[rows], classes[rows]) for rows in several]
                found.append((target, one, name, float(np.mean(scores)), accuracy))
    table = pd.DataFrame(found, columns=["target", "source", "variant", "score", "accuracy"])
    return table.assign(suite=grid.suite.name, metric="leep")


def leep_table(rows: pd.DataFrame, resamples: int = 1000) -> Table:
    """Pearson's correlation of LEEP with the accuracy, by covariance.

    Args:
        rows: what :func:`leep_rows` gives.
        resamples: behind the intervals of the mean differences.
    """
    values = correlations(rows, resamples=1)
    tested = differences(rows, resamples=resamples)
    tested = tested[tested["target"] == MEAN].set_index("variant")
    wide = values.pivot(index="target", columns="variant", values="value")  # noqa: PD010
    targets = list(values["target"].unique())
    blocks = []
    for title, names in (
        ("", ("all", "random", "ca", "dot", "nearest")),
        ("Class-specific", hardness.COVARIANCES),
    ):
        shown = [n for n in names if n in wide]
        lines = [
            (
                labels.plain(target),
                tuple(Cell(number(float(wide[n][target]), 2)) for n in shown),
            )
            for target in targets
        ]
        full = wide.notna().all()
        means = [Cell(number(float(wide[n].mean()), 2) if full[n] else "") for n in shown]
        lines.append(("mean", tuple(means)))
        change = [
            Cell(
                number(float(tested["difference"][n]), 2, sign=True),
                narrow(interval(tested["low"][n], tested["high"][n])),
            )
            if n in tested.index and full[n]
            else Cell("")
            for n in shown
        ]
        lines.append(("change", tuple(change)))
        head = ("Target", *(SHORT[n] for n in shown))
        blocks.append(Block(title, head, tuple(lines), summary=2))
    caption = (
        "Pearson’s correlation over the sources between LEEP on each subset of the train split "
        "and the fine-tuned accuracy; at the foot the mean over the targets, and its change "
        "against the whole set with a 95% bootstrap interval over the sources. Means only "
        "where every target is served."
    )
    return Table(caption, tuple(blocks), (), values)


def words(
    agreements: pd.DataFrame, errors: pd.DataFrame, classes: pd.DataFrame, rows: pd.DataFrame
) -> str:
    """What the comparison says, as Markdown.

    Args:
        agreements: what :func:`overlaps` gives.
        errors: what :func:`covariance_errors` gives.
        classes: what :func:`balance` gives.
        rows: what :func:`leep_rows` gives.
    """
    everywhere = [n for n in hardness.COVARIANCES if n != "full"]
    pairs = agreements[agreements["first"].isin(everywhere) & agreements["second"].isin(everywhere)]
    shared = pairs.groupby(["first", "second"])["overlap"].mean()
    ca = agreements.loc[
        (agreements["first"] == "spherical") & (agreements["second"] == "ca"), "overlap"
    ].mean()
    closer = (
        "So the covariance decides which samples are hard, but less than CA or CS does."
        if shared.min() > ca
        else "So the covariance matters as much as the choice between CA and CS."
    )
    areas = errors.groupby("covariance")["auc"].mean().to_dict()
    best = max(everywhere, key=lambda name: areas[name])
    left = {
        name: classes.loc[classes["subset"] == name, "evenness"].mean()
        for name in (*everywhere, "ca", "random")
    }
    more = [n for n in everywhere if left[n] > left["random"]]
    tested = differences(rows, resamples=1000)
    tested = tested[tested["target"] == MEAN].set_index("variant")
    names = [n for n in (*everywhere, "ca", "dot", "nearest") if n in tested.index]
    up = [NAMES[n] for n in names if tested["low"][n] > 0]
    down = [NAMES[n] for n in names if tested["high"][n] < 0]
    change = ", ".join(f"{NAMES[n]} {number(tested['difference'][n], 2, sign=True)}" for n in names)
    return "\n".join(
        [
            f"- **Agreement.** The four that serve every target share {number(shared.min(), 2)} to "
            f"{number(shared.max(), 2)} of their hard subsets; spherical and CA share "
            f"{number(ca, 2)}. {closer}",
            f"- **Errors.** {NAMES[best]} finds them best, with an AUC of {number(areas[best])}; "
            f"the default, spherical, has {number(areas['spherical'])}, CA {number(areas['ca'])}.",
            "- **Classes.** Entropy of the classes over its maximum: "
            + ", ".join(f"{NAMES[n]} {number(left[n], 3)}" for n in left)
            + f". More even than a random subset: {_listed([NAMES[n] for n in more])}.",
            f"- **LEEP.** Mean change of the correlation against the whole set: {change}. The 95% "
            f"interval lies above zero for {_listed(up)}, below zero for {_listed(down)}.",
        ]
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
