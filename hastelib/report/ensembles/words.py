"""What came out of Section 5.4, in sentences computed from the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from jaxtyping import Float64
from numpy import ndarray

from hastelib import ensembles
from hastelib.ensembles import Pool
from hastelib.experiments import taught_on
from hastelib.report import labels
from hastelib.report.comparison import HASTE, MEAN, against, counts
from hastelib.report.comparison import improvements as improved
from hastelib.report.ensembles.numbers import (
    Candidates,
    correlation,
    correlations,
    counted,
    differences,
    left_out,
    naive,
    of_sets,
    picks,
    shares,
)
from hastelib.report.paper import paper_numbers
from hastelib.report.tables import NONE, interval, number

OTHERS = {"all": "the baseline", "random": "the random control"}
Sizes = Mapping[int, Sequence[Candidates]]
NEAR = 0.95
"""A score with a larger rho is called almost a sum over members."""
STRONG = 0.7
"""A correlation above it explains half of the variance."""


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _range(values: Iterable[float], digits: int = 2) -> str:
    """From the lowest to the highest, one number where they print alike; a dash for none."""
    there = [value for value in map(float, values) if not math.isnan(value)]
    if not there:
        return NONE
    ends = [number(end, digits) for end in (min(there), max(there))]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def pools(listed: Sequence[Pool]) -> str:
    """Which members each target has, and who ranks the samples, as Markdown.

    Args:
        listed: the pools.
    """
    members = dict.fromkeys(name for one in listed for name in one.members)
    sizes = {len(one.members) for one in listed}
    each = ", ".join(f"{len(one.members)} for {labels.plain(one.target)}" for one in listed)
    rankers: dict[str, str] = {}
    for one in listed:
        for name, ranker in zip(one.members, one.rankers, strict=True):
            rankers.setdefault(taught_on(name)[1] or "The suite’s source data", ranker)
    ranked = "; ".join(
        f"{labels.plain(data)}: `{labels.source(ranker)}`" for data, ranker in rankers.items()
    )
    same = "" if len(sizes) > 1 else ", the same for every target" if len(listed) > 1 else ""
    return (
        f"- **Pool**: {_many(len(members), 'source')} from {_many(len(rankers), 'source data set')}"
        f"; without those trained on the target itself, {each}{same}.\n"
        "- **Ranking**: in place of the one network above, each source data set has its own, which "
        f"ranks for all members trained on it. {ranked}."
    )


def cost(by_size: Sizes, seeds: int, seconds: float) -> str:
    """What was computed once and what it was used for, as Markdown.

    Args:
        by_size: all ensembles by their size.
        seeds: fine-tunings of each member.
        seconds: that scoring all ensembles took, their accuracies included.
    """
    first = next(iter(by_size.values()))
    made = sum(len(one.members) for one in first) * seeds
    every = sum(len(one.chosen) for many in by_size.values() for one in many)
    alone = seeds * sum(len(one.chosen) * one.size for many in by_size.values() for one in many)
    return (
        f"{_many(every, 'ensemble')} on {_many(len(first), 'target')} were scored by both metrics "
        f"on every subset, and their accuracies measured, in {number(seconds, 1)} s. Behind them "
        f"are {_many(made, 'fine-tuning')} of members on targets; had each ensemble fine-tuned its "
        f"own members, it would have been {alone:,}."
    )


def findings(
    by_size: Sizes,
    single: Sequence[Candidates],
    classes: Mapping[str, int],
    shuffled: Mapping[str, Mapping[str, Float64[ndarray, " p"]]],
    resamples: int = 2000,
    seed: int = 0,
) -> str:
    """The results as Markdown, also where they are disappointing.

    Args:
        by_size: all ensembles by their size; the first size carries what is said once.
        single: the members of each target's pool.
        classes: source classes of each member.
        shuffled: by target, the members' LEEPs with shuffled labels by variant.
        resamples: bootstrap samples of the members behind each interval.
        seed: of the bootstrap.
    """
    compared = {
        size: _Compared(
            correlations(many, resamples, seed),
            {other: differences(many, other, resamples, seed) for other in OTHERS},
        )
        for size, many in by_size.items()
    }
    size, many = next(iter(by_size.items()))
    items = [
        _overall(list(compared.values())),
        "",
        *(line for size_, one in compared.items() for line in _levels(size_, one)),
        _choosing(size, many, single),
        _certainty(size, many, compared[size].correlations, resamples, seed),
        _additive(many, single),
        _classes(counted(many, single, classes, shuffled)),
        _unions(size, of_sets(many)),
    ]
    return "\n".join(items)


@dataclass(frozen=True)
class _Compared:
    """The correlations of one size, and their differences to the baseline and the control."""

    correlations: pd.DataFrame
    tests: Mapping[str, pd.DataFrame]


def _overall(compared: Sequence[_Compared]) -> str:
    """HASTE against the baseline and the control, all sizes together."""
    text = []
    for other, called in OTHERS.items():
        gains = [against(one.correlations, other) for one in compared]
        parts = [pairs.loc[pairs["variant"].isin(HASTE), "gain"] for pairs in gains]
        wins, ties, losses = counts(pd.concat(parts))
        tests = pd.concat([one.tests[other] for one in compared])
        one = tests[(tests["target"] != MEAN) & tests["variant"].isin(HASTE)]
        known = int(one["low"].notna().sum())
        up, down = int((one["low"] > 0).sum()), int((one["high"] < 0).sum())
        text.append(
            f"**The hard subsets correlate better than {called} in {wins} of "
            f"{wins + ties + losses} comparisons**, equally in {ties}, worse in {losses}; the 95% "
            f"interval of the difference lies above zero in {up} and below it in {down} of {known}."
        )
    return " ".join(text)


def _levels(size: int, one: _Compared) -> list[str]:
    lines = []
    found = one.correlations
    alone = len(found["target"].unique()) == 1
    for metric in found["metric"].unique():
        means = found[found["metric"] == metric].groupby("variant")["value"].mean()
        shown = [name for name in labels.VARIANTS if name in means]
        levels = ", ".join(f"{labels.variant(v)} {number(means[v])}" for v in shown)
        changes = [_changes(one.tests[other], str(metric), OTHERS[other]) for other in OTHERS]
        lines.append(
            f"- **{labels.metric(str(metric))}, ensembles of {size}**: "
            f"{'' if alone else 'mean '}r {levels}. {' '.join(changes)}"
        )
    return lines


def _changes(test: pd.DataFrame, metric: str, called: str) -> str:
    parts = []
    for variant in ("ca", "cs"):
        part = test[(test["metric"] == metric) & (test["variant"] == variant)]
        mean = part[part["target"] == MEAN]
        line = (mean if len(mean) else part).iloc[0]
        sure = ", above zero" if line["low"] > 0 else ", below zero" if line["high"] < 0 else ""
        change = number(line["difference"], 3, sign=True)
        edges = interval(line["low"], line["high"], 3)
        parts.append(f"{labels.variant(variant)} {change} {edges}".rstrip() + sure)
    return f"Against {called}: {'; '.join(parts)}."


def _choosing(size: int, many: Sequence[Candidates], single: Sequence[Candidates]) -> str:
    found = picks(many, single)
    scored = found[found["metric"] != "none"]
    distinct = scored.groupby("target")["picked"].nunique()
    common = set.intersection(*map(set, scored["picked"]))
    ordered = [labels.source(name) for name in single[0].members if name in common]
    always = f" Every one of them, on every target, holds {_listed(ordered)}." if ordered else ""
    lost = {
        (str(metric), str(variant)): 100 * float(part["regret"].mean())
        for (metric, variant), part in found.groupby(["metric", "variant"])
    }
    by_metric = "; ".join(
        f"{labels.metric(metric)} "
        + ", ".join(
            f"{labels.variant(v)} {number(lost[metric, v], 1)}"
            for v in labels.VARIANTS
            if (metric, v) in lost
        )
        for metric in ensembles.METRICS
    )
    cells = len(scored[["metric", "variant"]].drop_duplicates())
    differ = _range(distinct, 0)
    return (
        f"- **The choice** of an ensemble of {size} costs, in points of accuracy: {by_metric}. An "
        f"ensemble drawn at random costs {number(lost['none', 'drawn'], 1)}, the members that are "
        f"best alone {number(lost['none', 'best'], 1)}. The {cells} scores, metrics and subsets "
        f"taken together, pick {differ} different ensemble{'' if differ == '1' else 's'} a target."
        f"{always} MS-LEEP always picks the {size} members with the highest LEEP."
    )


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _certainty(
    size: int, many: Sequence[Candidates], found: pd.DataFrame, resamples: int, seed: int
) -> str:
    wide, thin = (
        float((table["high"] - table["low"]).median())
        for table in (found, naive(many, resamples, seed))
    )
    one = left_out(many, "ms_leep").groupby("target")["value"].agg(["min", "max"])
    there = one.dropna()
    moved = ""
    if len(there):
        swing = there.iloc[int((there["max"] - there["min"]).argmax())]
        ends = number(float(swing["min"]), 2), number(float(swing["max"]), 2)
        name = labels.plain(str(swing.name))
        moved = f" Leaving out one member moves MS-LEEP’s r on {name} between {' and '.join(ends)}."
    if math.isnan(wide):
        return f"- **Certainty**: the pool is too small for intervals over its members.{moved}"
    return (
        f"- **Certainty**: the intervals over the members are {number(wide, 2)} wide in the "
        f"median. Taken for independent, the ensembles of {size} would give {number(thin, 2)}, "
        f"{number(wide / thin, 1)} times too narrow.{moved}"
    )


def _additive(many: Sequence[Candidates], single: Sequence[Candidates]) -> str:
    found = shares(many, single)
    gain = 100 * (found["mean"] - found["best_member"])
    near = "almost" if found["rho_e_leep"].min() > NEAR else "not quite"
    over = int((gain > 0).sum())
    return (
        f"- **Members**: a score that is a sum over members can reach at most "
        f"ρ = {_range(found['rho'])} here. The sum of the members’ fine-tuned accuracies reaches "
        f"{_range(found['of_sum'])}, the accuracy of the best member {_range(found['of_best'])}. "
        f"E-LEEP is {near} such a sum itself (ρ = {_range(found['rho_e_leep'], 3)}) and correlates "
        f"{_range(found['metrics'], 3)} with MS-LEEP. The mean ensemble beats the best member on "
        f"{over} of {_many(len(found), 'target')}; the difference is {_range(gain, 1)} points."
    )


def _classes(found: pd.DataFrame) -> str:
    base = found[found["variant"] == "all"]
    there = base.dropna(subset=["of_leep", "plain"])
    if there.empty:
        return "- **Source classes**: every member has as many, so their number explains nothing."
    strong = there["of_leep"].min() > STRONG
    verdict = ", which it tells before anything else" if strong else ""
    beats = int((there["plain"] >= there["value"]).sum())
    means = found.groupby("variant")[["fit", "given"]].mean()
    shown = [name for name in labels.VARIANTS if name in means.index]
    given, fit = (
        ", ".join(
            f"{labels.variant(v)} {number(factor * float(means[column][v]), digits)}{unit}"
            for v in shown
        )
        for column, factor, digits, unit in (("given", 1, 2, ""), ("fit", 100, 0, "%"))
    )
    return (
        f"- **Source classes**: over the members LEEP correlates {_range(there['of_leep'])} with "
        f"the log of the number of source classes{verdict}. The sum of those logs, for which no "
        "sample is needed, correlates with the accuracy as well as MS-LEEP or better on "
        f"{beats} of {_many(len(there), 'target')}. What MS-LEEP adds to it, as mean partial "
        f"correlation: {given}. Of LEEP’s variance over the members this share is left when the "
        f"labels are shuffled: {fit}."
    )


def _unions(size: int, found: pd.DataFrame) -> str:
    means = ", ".join(
        f"{labels.variant(name)} {number(float(found[name].mean()), 2)}"
        for name in labels.VARIANTS
        if name in found
    )
    higher = found["higher"]
    return (
        f"- **The union** of hard subsets holds {number(100 * found['fewest'].min(), 0)} to "
        f"{number(100 * found['most'].max(), 0)}% of the train split, depending on how many source "
        f"data sets an ensemble of {size} draws on. That number correlates with E-LEEP, in the "
        f"mean: {means}; with the accuracy: {number(float(found['accuracy'].mean()), 2)}. Size "
        "alone moves the score: on random sets as large as the unions E-LEEP is "
        f"{_range(higher)} above that on all samples, since it is fitted to what it is computed on."
    )


A2 = {
    "ImageNet": 3,
    "Stanford Dogs": 3,
    "Oxford-IIIT Pets": 2,
    "Flowers102": 2,
    "CUB200": 2,
    "Caltech101": 1,
}
"""Members of the paper's pool (A.2) by what they were trained on."""


def paper_pool(size: int = 4) -> str:
    """What A.2's list of members makes of the paper's targets, as Markdown."""
    total = sum(A2.values())
    trained = ", ".join(f"{name} ({count})" for name, count in A2.items())
    left = ", ".join(
        f"{name} {total - own}, or {math.comb(total - own, size)} ensembles of {size}"
        for name, own in A2.items()
        if name != "ImageNet"
    )
    return (
        f"A.2 lists {total} members, trained on {trained}. Without those trained on the target "
        f"itself there remain for {left}."
    )


def paper_words(by_size: Sizes) -> str:
    """What the paper's Tables 4 and 7 say together, with our pool for comparison.

    Args:
        by_size: all ensembles by their size; 3 and 4 are compared where both are there.
    """
    items = []
    for which, size in ((4, 4), (7, 3)):
        table = paper_numbers(which)
        found = improved(table)
        for metric in ensembles.METRICS:
            line = found[(found["metric"] == metric) & (found["variant"] == "haste")].iloc[0]
            won = f"{line['wins']} of {line['targets']}"
            items.append(
                f"- Table {which} (K = {size}), {labels.metric(metric)}: mean relative change "
                f"{number(line['relative'], 2, sign=True)}%, change of the mean correlation "
                f"{number(line['ratio'], 1, sign=True)}% (from {number(line['base'])} to "
                f"{number(line['mean'])}); HASTE is better in {won} comparisons."
            )
    first, second = (
        table[(table["metric"] == "ms_leep") & (table["variant"] == "all")].set_index("target")
        for table in (paper_numbers(4), paper_numbers(7))
    )
    for target in first.index.intersection(second.index):
        a, b = float(first.loc[target, "value"]), float(second.loc[target, "value"])
        if a * b < 0:
            limit = math.cos(abs(math.acos(a) - math.acos(b)))
            items.append(
                f"- {target}: MS-LEEP’s correlation is {number(a)} with K = 4 and {number(b)} with "
                "K = 3, though the members’ LEEPs are the same numbers. By the theorem above the "
                "members’ mean accuracies for the two sizes then correlate by at most "
                f"{number(limit, 2)}{_ours(by_size)}."
            )
    return "\n".join(items)


def _ours(by_size: Sizes) -> str:
    if not {3, 4} <= set(by_size):
        return ""
    values = [
        correlation(*(ensembles.of_members(one.accuracy, one.chosen) for one in pair))
        for pair in zip(by_size[4], by_size[3], strict=True)
    ]
    return f"; in our pools they correlate {_range(values)}"
