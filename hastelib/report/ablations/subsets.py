"""Section 5.6: the size of the hard subset, and buckets from hard to easy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
import torch

from hastelib import hardness, metrics
from hastelib.experiments import HARD, Grid
from hastelib.report import labels
from hastelib.report.ablations.common import Curves, Part, scored, shuffled, variants
from hastelib.report.comparison import DIGITS, MEAN, counts, ordered
from hastelib.report.paper import MARK
from hastelib.report.tables import NONE, Block, Cell, Table, interval, narrow, number

CLEARLY = 0.714
"""Spearman's correlation over seven sizes that chance exceeds in one case of twenty."""

CLAIMS = {
    "Sec. 5.6": (0.2, 0.4),
    "the caption of Figure 4": (0.25, 0.33),
    "A.2": (0.1, 0.25),
}
"""Where the paper says that the best sizes lie, and which."""


# What is scored


def sizes(
    grid: Grid, targets: Sequence[str], names: Sequence[str], shares: Sequence[float], draws: int
) -> pd.DataFrame:
    """Scores on the hardest share of every target, and on as many random samples.

    Args:
        grid: of the suite.
        targets: of the suite.
        names: metrics.
        shares: sizes as shares of the train split, in (0, 1].
        draws: random orders; a random part is the beginning of one, so that larger parts hold
            the smaller ones, as with the hard ones.

    Returns:
        What :func:`hastelib.report.ablations.common.scored` gives; ``place`` is the share.

    Raises:
        ValueError: no share, one twice, or one outside (0, 1]; no draw.
    """
    if not shares or len(set(shares)) < len(shares) or not all(0 < b <= 1 for b in shares):
        raise ValueError(f"sizes: expected different shares in (0, 1], got {list(shares)}")
    if draws < 1:
        raise ValueError(f"draws: expected at least 1, got {draws}")

    def parts(target: str) -> list[Part]:
        found = []
        for b in shares:
            for variant, values in grid.hardness(target).items():
                found.append(Part(variant, b, 0, hardness.hardest(values, b)))
            n, k = len(values), len(found[-1].rows)
            found += [Part("random", b, draw, shuffled(n, draw)[:k]) for draw in range(draws)]
        return found

    return scored(grid, "5.6", targets, names, parts)


def buckets(
    grid: Grid, targets: Sequence[str], names: Sequence[str], count: int, draws: int
) -> pd.DataFrame:
    """Scores on equal parts of every target from the hardest to the easiest, and on random ones.

    Args:
        grid: of the suite.
        targets: of the suite.
        names: metrics.
        count: how many parts; the first ``n mod count`` have one sample more.
        draws: random orders that are cut in the same way.

    Returns:
        What :func:`hastelib.report.ablations.common.scored` gives; ``place`` is the number of
        the bucket, 1 the hardest.

    Raises:
        ValueError: fewer than two buckets, or no draw.
    """
    if count < 2 or draws < 1:
        raise ValueError(f"expected at least 2 buckets and 1 draw, got {count} and {draws}")

    def parts(target: str) -> list[Part]:
        orders = [(v, 0, hardness.hardest(h, 1.0)) for v, h in grid.hardness(target).items()]
        n = len(orders[0][2])
        orders += [("random", draw, shuffled(n, draw)) for draw in range(draws)]
        return [
            Part(variant, float(place), draw, rows)
            for variant, draw, order in orders
            for place, rows in enumerate(torch.tensor_split(order, count), start=1)
        ]

    return scored(grid, "5.6", targets, names, parts)


# Small subsets


def blind(grid: Grid, target: str) -> dict[str, tuple[float, float]]:
    """What LEEP and NCE see where every sample has a class of its own, as claims to verify.

    Args:
        grid: of the suite.
        target: of which the first train sample of each class is taken.

    Returns:
        Claims in words -> (expected, got), for each source of the suite.
    """
    claims = {}
    for source in grid.suite.sources:
        features = grid.features(source, target)
        first = [int((features.labels == y).nonzero()[0]) for y in features.labels.unique()]
        part = features.at(torch.tensor(first))
        f = part.probs.double()
        f = f / f.sum(1, keepdim=True)
        mass = f.sum(0)
        known = mass > 0
        expected = float((f[:, known] ** 2 / mass[known]).sum(1).log().mean())
        turned = part.labels.roll(1)
        name = labels.source(source)
        claims[f"{name}: LEEP"] = expected, metrics.leep(part.probs, part.labels)
        claims[f"{name}: LEEP, labels exchanged"] = expected, metrics.leep(part.probs, turned)
        z = part.probs.argmax(1)
        often = z.bincount().double()
        shared = -float((often * often.clamp(min=1).log()).sum()) / len(z)
        claims[f"{name}: NCE"] = shared, metrics.nce(z, part.labels)
    return claims


def composition(table: pd.DataFrame) -> pd.DataFrame:
    """What is left in the parts, over the targets.

    Args:
        table: what :func:`sizes` gives.

    Returns:
        The columns variant, place, least and most (samples), classes (mean left), alone (targets
        on which every sample has a class of its own; for ``random`` the mean over the draws),
        and targets.
    """
    one = table.drop_duplicates(["target", "variant", "place", "draw"])
    one = one[one["variant"] != "all"].assign(alone=one["classes"] == one["samples"])
    draws = one.groupby(["variant", "place", "target"])[["samples", "classes", "alone"]].mean()
    found = draws.groupby(["variant", "place"]).agg(
        least=("samples", "min"),
        most=("samples", "max"),
        classes=("classes", "mean"),
        alone=("alone", "sum"),
        targets=("samples", "size"),
    )
    return found.reset_index()


def composition_table(table: pd.DataFrame) -> Table:
    """How many samples and classes are left by size.

    Args:
        table: what :func:`sizes` gives.
    """
    found = composition(table)
    names = ordered(found["variant"])
    rows = []
    for place, part in found.groupby("place"):
        lines = {str(line["variant"]): line for line in part.to_dict("records")}
        ends = dict.fromkeys(number(part[name].iloc[0], 0) for name in ("least", "most"))
        cells = [Cell("–".join(ends))]
        for name in names:
            alone = lines[name]["alone"]
            small = f"alone: {number(alone, 0 if name in HARD else 1)}" if alone else ""
            cells.append(Cell(number(lines[name]["classes"], 1), small))
        rows.append((share(float(str(place))), tuple(cells)))
    head = ("Size", "Samples", *map(labels.variant, names))
    targets = int(found["targets"].max())
    caption = (
        "Samples in the subset (the range over the targets) and classes left among them, mean "
        f"over the targets. Alone: on how many of {targets} targets every sample has a class of "
        "its own."
    )
    return Table(caption, (Block("", head, tuple(rows)),), (), found)


def share(value: float) -> str:
    """``0.25`` is 25%."""
    return f"{100 * value:g}%"


# The curves, in tables and words


def points(found: Curves, head: str, caption: str) -> Table:
    """The mean correlations at every place, a block per metric.

    Args:
        found: the curves.
        head: what a place is: ``Size`` (shares) or another word (numbers).
        caption: of the table.
    """
    lines = found.table()
    mean = lines[lines["target"] == MEAN]
    names = variants(found)
    blocks = []
    for metric in found.metrics:
        part = mean[mean["metric"] == metric].to_dict("records")
        cells_of = {(str(line["variant"]), float(line["place"])): line for line in part}
        base = float(cells_of["all", 1.0]["value"])
        rows = []
        for place in sorted({p for v, p in cells_of if v != "all"}):
            if head == "Size" and place == 1:  # the baseline
                continue
            values = {v: cells_of[v, place]["value"] for v in names if (v, place) in cells_of}
            best = max((round(values[v], DIGITS) for v in HARD if v in values), default=np.nan)
            cells = []
            for name in names:
                if name not in values:
                    cells.append(Cell(NONE))
                    continue
                line = cells_of[name, place]
                small = narrow(interval(line["gain_low"], line["gain_high"]))
                fewer = int(line["targets"]) < len(found.targets)
                small += f" n = {int(line['targets'])}" if fewer else ""
                bold = name in HARD and bool(round(line["value"], DIGITS) > round(base, DIGITS))
                control = name == "random" and bool(round(line["value"], DIGITS) >= best)
                mark = MARK if control else ""
                cells.append(Cell(number(line["value"], DIGITS), small.strip(), bold, mark))
            rows.append((share(place) if head == "Size" else f"{place:g}", tuple(cells)))
        rows.append(("Baseline", (Cell(number(base, DIGITS)), *[Cell("")] * (len(names) - 1))))
        title = labels.metric(metric)
        blocks.append(Block(title, (head, *map(labels.variant, names)), tuple(rows), 1))
    notes = [
        "Bold: a hard subset above the baseline. In small type: the 95% bootstrap interval, over "
        f"the sources, of the difference to the baseline. {MARK} marks a random part as good as "
        "the better of the two hard ones; its number is a mean over the correlations of single "
        "draws."
    ]
    if len(found.missing):
        notes.append(f"{_missing(found.missing)} n: the targets that are left in a mean.")
    return Table(caption, tuple(blocks), tuple(notes), lines)


def _missing(missing: pd.DataFrame) -> str:
    where = (
        missing.groupby(["metric", "variant", "place", "reason"], sort=False)
        .size()
        .reset_index(name="count")
    )
    parts = [
        f"{labels.metric(str(line['metric']))} {labels.variant(str(line['variant']))} at "
        f"{line['place']:g}, {line['count']} ({line['reason']})"
        for line in where.to_dict("records")
    ]
    return f"Correlations that do not exist: {'; '.join(parts)}."


@dataclass(frozen=True)
class Chosen:
    """The best size, with and without a look at the target.

    Attributes:
        best: target (or :data:`MEAN`) -> the size below 1 with the highest correlation.
        looked: mean gain over the baseline of every target's own best size.
        elsewhere: mean gain of the size that is best on the mean of the other targets; ``nan``
            for a single target.
    """

    best: dict[str, float]
    looked: float
    elsewhere: float


def chosen(found: Curves, metric: str, variant: str) -> Chosen:
    """Which size is best, and how much of its gain is left if it is chosen on other targets.

    Only sizes below 1 on which every target has a correlation can be chosen.
    """
    targets = found.common((metric, "all", 1.0))
    there = [
        p
        for p in found.places(metric, variant)
        if p < 1 and set(targets) <= set(found.samples[metric, variant, p])
    ]
    if not there or not targets:
        return Chosen({}, np.nan, np.nan)
    values = pd.DataFrame(
        {t: [float(found.of((metric, variant, p), t)[0]) for p in there] for t in targets},
        index=there,
    )
    base = pd.Series({t: float(found.of((metric, "all", 1.0), t)[0]) for t in targets})
    best = {t: there[int(values[t].to_numpy().argmax())] for t in targets}
    best[MEAN] = there[int(values.mean(axis=1).to_numpy().argmax())]
    elsewhere = np.nan
    if len(targets) > 1:
        others = {t: values.drop(columns=t).mean(axis=1).to_numpy().argmax() for t in targets}
        elsewhere = float(np.mean([values[t].iloc[others[t]] - base[t] for t in targets]))
    return Chosen(best, float((values.max() - base).mean()), elsewhere)


def size_findings(found: Curves) -> str:
    """What the paper says of the size, against these numbers, as Markdown."""
    return "\n".join(item for metric in found.metrics for item in _of_sizes(found, metric))


def _rises(found: Curves, metric: str, variant: str) -> float:
    """Spearman's correlation of the size and the mean correlation, sizes below 1."""
    line = found.line(metric, variant)
    line = line[line.index < 1]
    if len(line) < 3 or not np.ptp(line.to_numpy()):
        return np.nan
    return float(scipy.stats.spearmanr(line.index, line.to_numpy()).statistic)


def _of_sizes(found: Curves, metric: str) -> list[str]:
    names, called = variants(found), labels.metric(metric)
    mean = "mean r" if len(found.targets) > 1 else "r"
    rises = {name: _rises(found, metric, name) for name in names}
    told = ", ".join(f"{labels.variant(v)} {number(value, 2)}" for v, value in rises.items())
    hard = [rises[v] for v in HARD if v in rises and not np.isnan(rises[v])]
    items = []
    if hard:
        up = all(value > CLEARLY for value in hard)
        random = rises.get("random", np.nan)
        alone = (
            " It rises for random subsets as well, which says that larger samples give steadier "
            "scores and nothing about hardness."
            if up and random > 0
            else ""
        )
        items.append(
            f"- **{called}.** “The correlation performance increases as we increase the bucket "
            "size” "
            f"{'holds here' if up else 'does not clearly hold here for both'}: Spearman’s ρ of "
            f"size and {mean}, below the whole, is {told}.{alone}"
        )
    for variant in (v for v in HARD if v in names):
        picked = chosen(found, metric, variant)
        if not picked.best:
            continue
        best = picked.best[MEAN]
        value = float(found.of((metric, variant, best))[0])
        gain, low, high = found.difference((metric, variant, best), (metric, "all", 1.0))
        control = found.difference((metric, variant, best), (metric, "random", best))
        inside = [name for name, (a, b) in CLAIMS.items() if a <= best <= b]
        item = (
            f"- **{called}, {labels.variant(variant)}** is best at {share(best)} ({mean} "
            f"{number(value)}), "
            f"{number(gain, 3, sign=True)} {interval(low, high, 3)} against the whole set and "
            f"{number(control[0], 3, sign=True)} {interval(*control[1:], 3)} against a random part "
            f"of that size. Of the paper’s three ranges it lies in "
            f"{_places(inside)}."
        )
        own = {t: b for t, b in picked.best.items() if t != MEAN}
        if len(own) > 1:
            item += (
                f" The best of several sizes is looked for, so these intervals are too "
                f"hopeful. Each target at its own best size would change by "
                f"{number(picked.looked, 3, True)}, at the size that is best on the other targets "
                f"by {number(picked.elsewhere, 3, True)}."
            )
        items.append(item)
    return items


def _places(names: Sequence[str]) -> str:
    if not names:
        return "none"
    return f"{'that' if len(names) == 1 else 'those'} of {' and '.join(names)}"


def ranges(found: Curves) -> Table:
    """How often the best size of a target lies where the paper says, and by chance.

    Returns:
        Rows: the paper's statements; columns CA, CS, random; a block per metric. ``frame`` has
        metric, variant, claim, hits, targets and chance, the share of the sizes tried that lie
        in the range.
    """
    found_lines: list[dict[str, Any]] = []
    blocks = []
    for metric in found.metrics:
        names = variants(found)
        rows = []
        for claim, (low, high) in CLAIMS.items():
            cells = []
            chance = np.nan
            for variant in names:
                picked = chosen(found, metric, variant).best
                best = [b for t, b in picked.items() if t != MEAN]
                tried = [p for p in found.places(metric, variant) if p < 1]
                chance = float(np.mean([low <= p <= high for p in tried])) if tried else np.nan
                hits = sum(low <= b <= high for b in best)
                cells.append(Cell(f"{hits} of {len(best)}"))
                line = {"metric": metric, "variant": variant, "claim": claim, "hits": hits}
                found_lines.append(line | {"targets": len(best), "chance": chance})
            expected = chance * len(best)
            cells.append(Cell(number(expected, 1)))
            name = claim.replace("the caption of Figure", "Fig.").removeprefix("Sec. ")
            rows.append((f"{name}: {share(low)}–{share(high)}".replace("%–", "–"), tuple(cells)))
        head = ("Range", *map(labels.variant, names), "Chance")
        blocks.append(Block(labels.metric(metric), head, tuple(rows)))
    caption = (
        "On how many targets the size with the highest correlation, of those below the whole set, "
        "lies in the range that the paper gives in three places. Chance: if every size tried were "
        "as likely to be the best."
    )
    return Table(caption, tuple(blocks), (), pd.DataFrame(found_lines))


def bucket_findings(found: Curves) -> str:
    """Are the hardest buckets the best? As Markdown."""
    return "\n".join(
        f"- **{labels.metric(metric)}, {labels.variant(variant)}.** "
        f"{_of_buckets(found, metric, variant)}"
        for metric in found.metrics
        for variant in HARD
        if variant in variants(found)
    )


def _of_buckets(found: Curves, metric: str, variant: str) -> str:
    line = found.line(metric, variant)
    if len(line) < 2:
        return "Too few buckets have a correlation."
    first, last, best = line.index[0], line.index[-1], found.best(metric, variant)
    trend = float(scipy.stats.spearmanr(line.index, line.to_numpy()).statistic)
    drop, low, high = found.difference((metric, variant, first), (metric, variant, last))
    cell = (metric, variant, float(first))
    per = pd.DataFrame({t: found.line(metric, variant, t) for t in found.targets})
    tops = int((per.idxmax() == first).sum())
    wins = counts((per.loc[first] - per.loc[last]).round(DIGITS))
    gain, control = (
        found.difference(cell, other)
        for other in ((metric, "all", 1.0), (metric, "random", float(first)))
    )
    steady = bool((np.diff(line.to_numpy()) < 0).all())
    holds = best == first and trend < 0
    verdict = "holds here" if holds and steady else "holds in part" if holds else "does not hold"
    listed = ", ".join(number(value) for value in line)
    many = len(found.targets) > 1
    on_targets = (
        f" Bucket {first:g} is the best on {tops} of {len(found.targets)} targets (by chance "
        f"{number(len(found.targets) / len(line), 1)}) and beats the easiest on {wins[0]}, is "
        f"beaten on {wins[2]}."
        if many
        else ""
    )
    return (
        f"{'Mean r' if many else 'r'} from hard to easy is {listed}. "
        f"“Best for harder subsets and gradually degrade” **{verdict}**: the best is bucket "
        f"{best:g}, Spearman’s ρ of bucket and r {number(trend, 2)}; the hardest less the easiest "
        f"is {number(drop, 3, True)} {interval(low, high, 3)}.{on_targets} Against the baseline "
        f"bucket {first:g} has {number(gain[0], 3, True)} {interval(*gain[1:], 3)}, against a "
        f"random bucket {number(control[0], 3, True)} {interval(*control[1:], 3)}."
    )
