r"""The page *LogME, exactly*: what the common fixed point does to scores and rankings.

The versions of the score that are compared (``exact``, ``fixed``, ``mended``), and all that needs
neither the suite nor the paper's tables, are those of :mod:`hastelib.logme`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchvision.models import get_model_weights

from hastelib import hardness, logme, metrics
from hastelib.logme import VERSIONS, Claims
from hastelib.report import labels
from hastelib.report.comparison import (
    DIGITS,
    MEAN,
    correlate,
    correlations,
    differences,
    ordered,
    picks,
)
from hastelib.report.paper import paper_numbers
from hastelib.report.tables import Block, Cell, Table, interval, narrow, number

if TYPE_CHECKING:
    from hastelib.experiments import Grid

HARD = ("ca", "cs")

WIDTHS = {
    "ResNet-50": ("resnet50", 2048),
    "ResNet-101": ("resnet101", 2048),
    "ResNet-152": ("resnet152", 2048),
    "DenseNet-121": ("densenet121", 1024),
    "DenseNet-169": ("densenet169", 1664),
    "DenseNet-201": ("densenet201", 1920),
    "MobileNetV2": ("mobilenet_v2", 1280),
}
"""The paper's sources (Sec. 5.1): torchvision's name, and the width of the embedding."""

TRAIN = {
    "CUB200": (("2011", 5994), ("2010", 3000)),
    "StanfordDogs": (("", 12000),),
    "Flowers102": (("train", 1020), ("+ val", 2040)),
    "Oxford-IIIT": (("", 3680),),
    "Caltech101": (("80%", 6942), ("30 each", 3030)),
    "Imagenette": (("", 9469),),
    "PACS-Sketch": (("80%", 3144), ("all", 3929)),
}
"""Training images of the paper's targets (Sec. 5.1) by edition or split, the likeliest first: as
the data sets' authors split them; 80% of the images, or other habits, where they do not."""

RESNET34 = 512
"""The width of the source behind Table 13."""

SHARES = 0.4, 1.0
"""The shares of a target's classes in the tasks of Sec. 5.2."""

FRACTIONS = 1.0, 0.25, 0.10
"""The whole train split, and the ends of what A.2 calls a good size of the hard subset."""

Line = dict[Any, Any]


def _block(
    title: str,
    head: Sequence[str],
    frame: pd.DataFrame,
    name: Callable[[Line], str],
    cells: Callable[[Line], Iterable[Cell]],
    summary: int = 0,
) -> Block:
    lines = frame.to_dict("records")
    return Block(title, tuple(head), tuple((name(x), tuple(cells(x))) for x in lines), summary)


def scales(
    seed: int = 0, problems: int = 50, units: Sequence[float] = (1e-2, 1.0, 1e2, 1e4)
) -> Table:
    """The fixed point on problems with n > d and several maxima, by the unit of F.

    Returns:
        Per unit of F: the exact score and the fixed point's on the first problem; then, over the
        classes of all problems, how many have not converged, and how many end more than 0.001
        nats below the maximum, with the worst shortfall. ``frame`` has the columns unit, exact,
        fixed, classes, unconverged, below, worst.
    """
    sets = [logme.two_scales(seed + i) for i in range(problems)]
    log_t = np.linspace(-logme.END, logme.END, 4001)
    best = np.concatenate([np.asarray(metrics.logme_profile(*one, log_t)).max(1) for one in sets])
    first, y = sets[0]
    found = []
    for unit in units:
        points = [logme.fixed_point(unit * F, labels) for F, labels in sets]
        short = best - np.concatenate([point.value for point in points])
        found.append(
            {
                "unit": unit,
                "exact": metrics.logme(unit * first, y),
                "fixed": metrics.logme_fixed_point(unit * first, y),
                "classes": len(best),
                "unconverged": int(sum((~point.converged).sum() for point in points)),
                "below": int((short > 1e-3).sum()),
                "worst": float(short.max()),
            }
        )
    frame = pd.DataFrame(found)

    def cells(one: Line) -> tuple[Cell, ...]:
        numbers = (Cell(number(one[name], 4)) for name in ("exact", "fixed"))
        below = Cell(f"{one['below']}", f"by up to {number(one['worst'], 2)}" * (one["below"] > 0))
        return *numbers, Cell(f"{one['unconverged']}"), below

    caption = (
        "The same embeddings in four units. Exact and Fixed: the scores on the first problem. Open "
        f"and Below: of {len(best)} classes in {problems} problems, those that have not converged "
        "in 11 rounds, and those that end more than 0.001 nats below the maximum."
    )
    head = ("F times", "Exact", "Fixed", "Open", "Below")
    block = _block("", head, frame, lambda one: f"{one['unit']:g}", cells)
    return Table(caption, (block,), (), frame)


# The suite


def scores(grid: Grid, targets: Sequence[str]) -> pd.DataFrame:
    """The three versions of all sources on all subsets, beside the fine-tuned accuracies.

    Returns:
        A line per target, source, variant and version, which stands as the metric: the columns
        suite, target, source, metric, variant, score, accuracy, fraction, samples, and width, the
        dimensions of the embedding. The random variant has the means over its draws.
    """
    measured = grid.accuracies(targets)
    found: list[Line] = []
    for target in targets:
        for source in grid.suite.sources:
            features = grid.features(source, target)
            n, width = features.embedding.shape
            several: dict[str, list[Line]] = {}
            for subset in grid.subsets(target):
                X, y = features.embedding[subset.rows], features.labels[subset.rows]
                line = {"samples": len(subset.rows)} | _versions(X, y)
                several.setdefault(subset.variant, []).append(line)
            for variant, lines in several.items():
                means = pd.DataFrame(lines).mean()
                shared = {
                    "suite": grid.suite.name,
                    "target": target,
                    "source": source,
                    "variant": variant,
                    "accuracy": float(np.mean(measured[source, target])),
                    "fraction": means["samples"] / n,
                    "samples": int(means["samples"]),
                    "width": width,
                }
                found += [{**shared, "metric": v, "score": means[v]} for v in VERSIONS]
    return pd.DataFrame(found)


def _versions(embeddings: Tensor, classes: Tensor) -> dict[str, float]:
    try:
        return logme.versions(embeddings, classes)
    except ValueError:  # no score on these rows, such as those of one class
        return dict.fromkeys(VERSIONS, math.nan)


def _cells(lines: pd.DataFrame) -> pd.DataFrame:
    """A line per target, source and variant, with ``wide``: fewer samples than dimensions."""
    cells = lines[lines["metric"] == "exact"]
    return cells.assign(wide=cells["samples"] < cells["width"])


def compared(lines: pd.DataFrame, resamples: int = 2000, seed: int = 0) -> Table:
    """Pearson's r of each version with the accuracies, a block per subset.

    Args:
        lines: what :func:`scores` gives.
        resamples: of the bootstrap behind the intervals of the difference.
        seed: of it.

    Returns:
        ``frame`` has the columns target (``mean`` for the mean over them), variant, exact, fixed,
        mended, and difference (exact less fixed) with low and high.
    """
    values = correlations(lines, resamples=2).pivot(  # noqa: PD010
        index=["variant", "target"], columns="metric", values="value"
    )
    # The differences between versions, not between subsets: the two change places.
    swapped = lines.rename(columns={"metric": "variant", "variant": "metric"})
    tests = differences(swapped, "pearson", "fixed", resamples, seed)
    tests = tests[tests["variant"] == "exact"].drop(columns="variant")
    tests = tests.rename(columns={"metric": "variant"}).set_index(["variant", "target"])
    targets = list(lines["target"].unique())
    summary = int(len(targets) > 1)
    if summary:
        means = values.groupby("variant").mean().assign(target=MEAN)
        values = pd.concat([values, means.set_index("target", append=True)])
        targets.append(MEAN)
    keys = [(variant, name) for variant in ordered(lines["variant"]) for name in targets]
    frame = values.join(tests[["difference", "low", "high"]]).loc[keys].reset_index()

    def cells(one: Line) -> tuple[Cell, ...]:
        small = narrow(interval(one["low"], one["high"]))
        change = Cell(number(one["difference"], DIGITS, sign=True), small)
        return *(Cell(number(one[version], DIGITS)) for version in ("exact", "fixed")), change

    head = ("Target", "Exact", "Fixed", "Difference")
    blocks = [
        _block(labels.variant(str(variant)), head, part, _target, cells, summary)
        for variant, part in frame.groupby("variant", sort=False)
    ]
    caption = (
        f"Pearson’s r between LogME and fine-tuned accuracy over {len(lines['source'].unique())} "
        "sources, by the exact evidence and by the fixed point, and the difference of the two with "
        "its 95% bootstrap interval over the sources."
    )
    return Table(caption, tuple(blocks), (), frame)


def _target(one: Line) -> str:
    return "Mean" if one["target"] == MEAN else labels.plain(one["target"])


def _ranks(lines: pd.DataFrame) -> pd.DataFrame:
    """By variant and source, the mean rank over the targets by accuracy and by each version."""
    keys = ["variant", "target", "source"]
    wide = lines.pivot(index=keys, columns="metric", values="score")  # noqa: PD010
    wide["accuracy"] = _cells(lines).set_index(keys)["accuracy"]
    ranks = wide.groupby(["variant", "target"]).rank(ascending=False)
    return ranks.groupby(["variant", "source"]).mean()


def places(lines: pd.DataFrame, variants: Sequence[str] = ("all", "cs")) -> Table:
    """Where the accuracy and two versions place the sources, as mean ranks over the targets.

    Returns:
        ``frame`` has per variant and source the columns width, wide (targets with n < d), and
        the mean ranks accuracy, exact and fixed, 1 the best.
    """
    cells = _cells(lines)
    about = cells.groupby(["variant", "source"]).agg({"width": "first", "wide": "sum"})
    keys = [(variant, name) for variant in variants for name in lines["source"].unique()]
    frame = about.join(_ranks(lines)).loc[keys].reset_index()

    def texts(one: Line) -> tuple[Cell, ...]:
        width = Cell(f"{one['width']}", f"n < d: {one['wide']}" if one["wide"] else "")
        return width, *(Cell(number(one[name], 1)) for name in ("accuracy", "exact", "fixed"))

    head = ("Source", "d", "Accuracy", "Exact", "Fixed")
    blocks = [
        _block(
            labels.variant(str(variant)),
            head,
            part,
            lambda one: labels.source(one["source"]),
            texts,
        )
        for variant, part in frame.groupby("variant", sort=False)
    ]
    caption = (
        "The mean rank of each source over the targets, 1 the best, by fine-tuned accuracy, by the "
        "exact evidence and by the fixed point. In small type: on how many of the targets "
        f"({len(lines['target'].unique())}) its n is below d."
    )
    return Table(caption, tuple(blocks), (), frame)


def choices(lines: pd.DataFrame) -> Table:
    """The first choice by each version and the accuracy that it loses.

    Returns:
        ``frame`` has per variant: targets; changed, on how many the versions choose differently;
        exact and fixed, the mean accuracy lost, in [0, 1].
    """
    chosen = picks(lines[lines["metric"] != "mended"])
    found = []
    for variant in ordered(chosen["variant"]):
        part = chosen[chosen["variant"] == variant]
        who = part.pivot(index="target", columns="metric", values="picked")  # noqa: PD010
        lost = part.groupby("metric")["regret"].mean()
        changed = int((who["exact"] != who["fixed"]).sum())
        found.append((variant, len(who), changed, lost["exact"], lost["fixed"]))
    frame = pd.DataFrame(found, columns=["variant", "targets", "changed", "exact", "fixed"])

    def texts(one: Line) -> tuple[Cell, ...]:
        lost = (Cell(number(100 * one[name], 1)) for name in ("exact", "fixed"))
        return Cell(f"{one['changed']} of {one['targets']}"), *lost

    caption = (
        "On how many targets the fixed point chooses another source than the exact evidence, and "
        "the accuracy lost against the best source by following each, in percentage points, mean "
        "over the targets."
    )
    head = ("Subset", "Other choice", "Exact loses", "Fixed loses")
    block = _block("", head, frame, lambda one: labels.variant(one["variant"]), texts)
    return Table(caption, (block,), (), frame)


def by_fraction(parts: Iterable[pd.DataFrame]) -> Table:
    """The mean correlation of each version as the subsets shrink.

    Args:
        parts: what :func:`scores` gives, once for each size of the hard subset.

    Returns:
        ``frame`` has per variant and fraction: cells, wide (those with n < d), and the mean r of
        each version.
    """
    found: list[Line] = []
    for lines in parts:
        values = correlations(lines, resamples=2)
        for variant, part in _cells(lines).groupby("variant", sort=False):
            means = values[values["variant"] == variant].groupby("metric")["value"].mean()
            counted = {"cells": len(part), "wide": int(part["wide"].sum())}
            shared = {"variant": variant, "fraction": float(part["fraction"].mean()), **counted}
            found.append(shared | {version: float(means[version]) for version in VERSIONS})
    frame = pd.DataFrame(found)
    frame = frame[frame["variant"] != "all"].sort_values("fraction", ignore_index=True)

    def texts(one: Line) -> tuple[Cell, ...]:
        return Cell(f"{one['wide']} of {one['cells']}"), *(Cell(number(one[v])) for v in VERSIONS)

    head = ("Kept", "n < d", "Exact", "Fixed", "Mended")
    blocks = []
    for variant in ordered(frame["variant"]):
        part = frame[frame["variant"] == variant]
        title = labels.variant(variant)
        blocks.append(_block(title, head, part, lambda one: f"{one['fraction']:.0%}", texts))
    caption = (
        "Pearson’s r with the accuracy, mean over the targets, by the size of the subset, and how "
        "many of the pairs of a source and a target have n < d. Mended: the fixed point with its "
        "missing terms put right."
    )
    return Table(caption, tuple(blocks), (), frame)


def span(lines: pd.DataFrame) -> float:
    """How far apart the sources' exact scores are, median over targets and hard subsets."""
    part = _cells(lines)
    groups = part[part["variant"].isin(HARD)].groupby(["target", "variant"])["score"]
    return float((groups.max() - groups.min()).median())


def _levels(table: pd.DataFrame, first: str, second: str) -> str:
    means = table.groupby("variant")[[first, second]].mean().to_dict("index")
    return "; ".join(
        f"{labels.variant(v)} {number(means[v][first])} and {number(means[v][second])}"
        for v in ordered(table["variant"])
    )


def findings(whole: Table, chosen: Table, shrinking: Table, lines: pd.DataFrame) -> str:
    """What came out on the suite, as Markdown.

    Args:
        whole: of :func:`compared`.
        chosen: of :func:`choices`.
        shrinking: of :func:`by_fraction`.
        lines: what :func:`scores` gave for the first two.
    """
    cells = _cells(lines)
    hard = cells[cells["variant"].isin(HARD)]
    wide = [labels.source(name) for name in cells.loc[cells["wide"], "source"].unique()]
    one = len(wide) == 1
    who = f"{', '.join(wide) or 'No source'} {'has' if one or not wide else 'have'}"
    items = [
        f"**Where.** {who} more dimensions than a subset has samples: "
        f"{int(hard['wide'].sum())} of the {len(hard)} cells of the hard subsets, "
        f"{int(cells.loc[cells['variant'] == 'all', 'wide'].sum())} of "
        f"{int((cells['variant'] == 'all').sum())} of the whole train splits."
    ]
    single = whole.frame[whole.frame["target"] != MEAN].dropna(subset=["exact", "fixed"])
    if single.empty:
        return f"- {items[0]}\n- There are too few sources for a correlation."
    better, worse = (
        int((sign * (single["exact"].round(DIGITS) - single["fixed"].round(DIGITS)) > 0).sum())
        for sign in (1, -1)
    )
    items.append(
        f"**Correlation.** The exact evidence correlates better with the accuracy than the fixed "
        f"point in {better} of {len(single)} comparisons, worse in {worse}. Mean r by the exact "
        f"evidence and the fixed point: {_levels(single, 'exact', 'fixed')}."
    )
    apart = (single["mended"] - single["exact"]).abs()
    higher = int((single["mended"].round(DIGITS) > single["exact"].round(DIGITS)).sum())
    if cells["wide"].any():
        items.append(
            f"**Which fault.** With its missing terms put right the fixed point is within "
            f"{number(apart.max())} of the exact evidence (mean {number(apart.mean())}), above it "
            f"in {higher} of {len(single)}. The rest, either way, is the other two faults."
        )
    ranks = _ranks(lines).to_dict("index")
    for name in cells.loc[cells["wide"], "source"].unique() if one else ():
        texts = "; ".join(
            f"{labels.variant(variant)} {number(ranks[variant, name]['exact'], 1)} and "
            f"{number(ranks[variant, name]['fixed'], 1)}"
            for variant in ordered(lines["variant"])
        )
        items.append(
            f"**The wide one.** By accuracy {labels.source(name)} has the mean rank "
            f"{number(ranks['all', name]['accuracy'], 1)}. By the exact evidence and the fixed "
            f"point: {texts}."
        )
    tests = single.dropna(subset=["low"])
    above, below = int((tests["low"] > 0).sum()), int((tests["high"] < 0).sum())
    sure = (
        f"**How sure.** The interval of the difference lies above zero in {above} and below it in "
        f"{below} of {len(tests)}."
    )
    if one:
        n = len(lines["source"].unique())
        sure += (
            f" A bootstrap resample of the {n} sources leaves out the one that is concerned with "
            f"probability {number((1 - 1 / n) ** n, 2)}, and the versions then all but agree, so "
            "an interval can hardly leave out zero: on this suite the effect is that of one "
            "network on every target, not of many networks."
        )
    items.append(sure)
    table = chosen.frame.to_dict("records")
    lost = "; ".join(
        f"{labels.variant(line['variant'])} {number(100 * line['exact'], 1)} against "
        f"{number(100 * line['fixed'], 1)}"
        for line in table
    )
    items.append(
        f"**Choice.** The fixed point chooses another source in "
        f"{sum(line['changed'] for line in table)} of {sum(line['targets'] for line in table)} "
        f"cases. Accuracy lost, exact against fixed, in points: {lost}."
    )
    sizes = shrinking.frame
    worst = max(sizes.to_dict("records"), key=lambda one: abs(one["mended"] - one["exact"]))
    ahead = sizes[sizes["fixed"].round(DIGITS) > sizes["exact"].round(DIGITS)]
    names = ", ".join(
        f"{labels.variant(line['variant'])} at {line['fraction']:.0%}"
        for line in ahead.to_dict("records")
    )
    items.append(
        f"**Other sizes.** Of {len(sizes)} mean correlations the fixed point has the higher "
        f"one in {len(ahead)}{f' ({names})' if names else ''}. The mended one is farthest from the "
        f"exact at {labels.variant(worst['variant'])} {worst['fraction']:.0%}: "
        f"{number(worst['mended'])} against {number(worst['exact'])}."
    )
    return "\n".join(f"- {item}" for item in items)


# The paper's tables


def _kept(n: float, fraction: float) -> int:
    return math.ceil(fraction * round(n) - 1e-9)


def _below(n: int) -> int:
    """How many of the paper's sources have more dimensions than n."""
    return sum(n < width for _, width in WIDTHS.values())


def _head(fractions: Sequence[float]) -> tuple[str, ...]:
    return "Target", *("All" if one == 1 else f"{one:.0%}" for one in fractions)


def regimes(fractions: Sequence[float] = FRACTIONS) -> Table:
    """How many of the paper's seven sources have n < d, by target and size of the subset.

    Returns:
        ``frame`` has the columns target, split, fraction, n, below.
    """
    found = [
        (target, split, fraction, _kept(train, fraction), _below(_kept(train, fraction)))
        for target, splits in TRAIN.items()
        for split, train in splits
        for fraction in fractions
    ]
    frame = pd.DataFrame(found, columns=["target", "split", "fraction", "n", "below"])
    lines = [
        (", ".join(str(word) for word in key if word), part.to_dict("records"))
        for key, part in frame.groupby(["target", "split"], sort=False)
    ]
    rows = tuple(
        (name, tuple(Cell(f"{one['below']} of 7", f"n = {one['n']:,}") for one in part))
        for name, part in lines
    )
    widths = ", ".join(f"{name} {width}" for name, (_, width) in WIDTHS.items())
    caption = (
        "How many of the paper’s seven sources have n < d, on the whole train split and on its "
        f"hardest part. The widths d: {widths}."
    )
    return Table(caption, (Block("", _head(fractions), rows),), (), frame)


def _printed(which: int, metric: str) -> pd.DataFrame:
    """Targets down, variants across."""
    table = paper_numbers(which)
    part = table[table["metric"] == metric]
    return part.pivot(index="target", columns="variant", values="value")  # noqa: PD010


def changes(fraction: float = 0.25) -> Table:
    """Table 12's changes by regime, beside those of LEEP in Table 1, which has no regimes.

    Returns:
        ``frame`` has the columns target, whole and hard (sources with n < d on the train split
        and on its hard subset), base (LogME's), logme and leep (mean changes of CA and CS).
    """
    wide = {"logme": _printed(12, "logme"), "leep": _printed(1, "leep")}
    gains = {metric: part[[*HARD]].mean(axis=1) - part["all"] for metric, part in wide.items()}
    frame = pd.DataFrame({"base": wide["logme"]["all"], **gains}).reset_index()
    trains = frame["target"].map({target: splits[0][1] for target, splits in TRAIN.items()})
    frame["whole"] = trains.map(_below)
    frame["hard"] = trains.map(lambda n: _below(_kept(n, fraction)))
    frame = frame.sort_values(["hard", "whole", "logme"], ignore_index=True)

    def texts(one: Line) -> tuple[Cell, ...]:
        change = (Cell(number(one[name], sign=True)) for name in ("logme", "leep"))
        return Cell(f"{one['whole']} → {one['hard']}"), Cell(number(one["base"])), *change

    caption = (
        "The paper’s targets by how many of the seven sources have n < d: on the train split → on "
        f"its hardest {fraction:.0%}. Base: LogME’s baseline correlation in Table 12. Then how "
        "much the hard subsets change the correlation, mean of CA and CS: LogME’s in Table 12 and, "
        "for comparison, LEEP’s in Table 1."
    )
    head = ("Target", "n < d", "Base", "LogME", "LEEP")
    block = _block("", head, frame, lambda one: one["target"], texts)
    return Table(caption, (block,), (), frame)


def verdict(table: Table) -> str:
    """What :func:`changes` comes to, in words."""
    frame = table.frame
    touched, rest = frame[frame["hard"] > 0], frame[frame["hard"] == 0]

    def means(part: pd.DataFrame) -> str:
        values = (number(part[name].mean(), sign=True) for name in ("logme", "leep"))
        return "{} (LEEP’s by {})".format(*values)

    still = min(touched.to_dict("records"), key=lambda one: abs(one["logme"]))
    return (
        f"In the {len(touched)} rows whose hard subset leaves sources with n < d, LogME’s "
        f"correlation changes by {means(touched)} on average. In the {len(rest)} others "
        f"({', '.join(rest['target'])}) it changes by {means(rest)}, from baselines of "
        f"{' and '.join(number(value) for value in rest['base'])}. That is what the fault could "
        f"do, but no proof that it did: {still['target']}, where {still['hard']} sources have "
        f"n < d on the hard subset, changes by only {number(still['logme'], sign=True)}, from a "
        f"baseline of {number(still['base'])}. Rows that begin high have no room to rise."
    )


def fingerprint(whole: Table, halves: pd.DataFrame) -> str:
    """How far CA and CS are apart: by each version here, and in Table 12; in words.

    Args:
        whole: of :func:`compared`.
        halves: of :func:`hastelib.logme.halves`.
    """
    frame = whole.frame[whole.frame["target"] != MEAN]
    ours = frame.pivot(index="target", columns="variant", values=["exact", "fixed"])  # noqa: PD010
    apart = {v: (ours[v]["ca"] - ours[v]["cs"]).abs() for v in ("exact", "fixed")}
    printed = _printed(12, "logme")
    paper = (printed["ca"] - printed["cs"]).abs()
    most = halves.groupby("version")["change"].max()
    here, there = (
        [number(value) for value in (apart[v].mean(), apart[v].max(), most[v])]
        for v in ("exact", "fixed")
    )
    return (
        f"On this suite the correlations on CA and CS are {here[0]} apart in the mean by the exact "
        f"evidence and {there[0]} by the fixed point (at most {here[1]} and {there[1]}). In "
        "synthetic zoos of the paper’s widths, divided by four, two halves of the samples differ "
        f"by at most {here[2]} and {there[2]}. In Table 12 CA and CS are "
        f"{number(paper.mean())} apart in the mean and at most {number(paper.max())} "
        f"({paper.idxmax()})."
    )


def width_alone() -> float:
    """Pearson's r over the paper's sources between width and accuracy on ImageNet.

    The accuracies are those that torchvision states for its first weights of each.
    """
    stated = [get_model_weights(code)["IMAGENET1K_V1"].meta for code, _ in WIDTHS.values()]
    accuracies = np.array([meta["_metrics"]["ImageNet-1K"]["acc@1"] for meta in stated])
    widths = np.array([width for _, width in WIDTHS.values()], float)
    return correlate(widths, accuracies, resamples=2)[0]


def tasks(fractions: Sequence[float] = FRACTIONS, width: int = RESNET34) -> Table:
    """The samples of the target tasks behind Table 13, against the width of its one source.

    Returns:
        ``frame`` has the columns target, fraction, fewest, most (samples), below (``none``,
        ``some`` or ``all`` of the tasks have n < d).
    """
    found = []
    for target in paper_numbers(13)["target"].unique():
        for fraction in fractions:
            fewest, most = (_kept(share * TRAIN[target][0][1], fraction) for share in SHARES)
            below = "all" if most < width else "some" if fewest < width else "none"
            found.append((target, fraction, fewest, most, below))
    frame = pd.DataFrame(found, columns=["target", "fraction", "fewest", "most", "below"])
    lines = [(name, part.to_dict("records")) for name, part in frame.groupby("target", sort=False)]
    rows = tuple(
        (
            str(name),
            tuple(Cell(one["below"], f"{one['fewest']:,}–{one['most']:,}") for one in part),
        )
        for name, part in lines
    )
    caption = (
        f"Which of the target tasks behind Table 13 have n < d = {width}, ResNet-34’s width, on "
        "the whole train split and on its hardest part; in small type the samples of the smallest "
        "and the largest task, all classes taken as equally large."
    )
    return Table(caption, (Block("", _head(fractions), rows),), (), frame)


def untouched(table: Table, fraction: float = 0.25) -> str:
    """Table 13's targets without a task that has n < d, in words; ``table`` is of :func:`tasks`."""
    frame = table.frame
    hard = frame[frame["fraction"].isin([1.0, fraction])]
    none = (hard["below"] == "none").groupby(hard["target"], sort=False).all()
    printed = _printed(13, "leep").to_dict("index")  # LogME's numbers, under LEEP's head
    texts = []
    for name in none[none].index:
        base, ca, cs = (number(printed[name][variant]) for variant in ("all", *HARD))
        texts.append(f"{name} (from {base} to {ca} and {cs})")
    return (
        f"With these numbers of samples the missing terms cannot explain {' and '.join(texts)}: "
        f"there no task has n < d, neither as a whole nor on its hardest {fraction:.0%}."
    )


def floor(counts: Iterable[int]) -> Claims:
    """The score of features that say nothing, by the number of equally large classes."""
    claims: Claims = {}
    for classes in counts:
        y = np.arange(4 * classes) % classes
        nothing = np.zeros((len(y), 1))
        claims[f"{classes} classes"] = logme.noise(1 / classes), metrics.logme(nothing, y)
    return claims


def by_classes(grid: Grid, source: str, target: str, seed: int = 0, tasks: int = 50) -> str:
    """How the exact score goes with the number of classes, over tasks made as in 5.2; in words.

    Every task has 40 to 100% of the classes, drawn at random, with all their samples. Its hard
    subset is class-specific, of the suite's size.
    """
    features, hard = grid.features(source, target), grid.hardness(target)["cs"]
    fraction = grid.suite.hardness.fraction
    generator = np.random.default_rng(seed)
    names = features.labels.unique().numpy()
    found = []
    for _ in range(tasks):
        count = max(2, round(generator.uniform(*SHARES) * len(names)))
        chosen = torch.from_numpy(generator.choice(names, count, replace=False))
        whole = torch.isin(features.labels, chosen).nonzero()[:, 0]
        parts = whole, whole[hardness.hardest(hard[whole], fraction)]
        scored = (metrics.logme(features.embedding[i], features.labels[i]) for i in parts)
        found.append((float(count), *scored))
    counts, *scored_parts = np.array(found).T
    texts, clear = [], True
    for scored_part in scored_parts:
        value, low, high = correlate(scored_part, counts, seed=seed)
        texts.append(f"{number(value, 2)} {interval(low, high)}")
        clear = clear and low > 0
    end = (
        "Accuracy mostly falls with it, so a negative correlation of the two is to be expected, on "
        "the whole split and on its hard subset alike."
        if clear
        else "Here that says little."
    )
    return (
        f"Over {tasks} such tasks made from {labels.plain(target)}, with the embeddings of "
        f"{source}, the exact score correlates with the number of classes at r = {texts[0]}, and "
        f"on the hardest {fraction:.0%} of each task (class-specific) at r = {texts[1]}. {end}"
    )
