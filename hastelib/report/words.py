"""What came out, in sentences computed from the numbers."""

from __future__ import annotations

import pandas as pd

from hastelib.records import frame
from hastelib.report import labels
from hastelib.report.comparison import HASTE, MEAN, Rows, against, counts, differences, picks
from hastelib.report.tables import interval, number

LEVEL = 0.05
"""The share of 95% intervals that misses the truth even where nothing is going on."""

WIDE = 0.5
"""An interval this wide, a quarter of the range from -1 to 1, is called a wide one."""


def findings(
    correlations: pd.DataFrame,
    rows: Rows,
    resamples: int = 2000,
    seed: int = 0,
    units: str = "sources",
) -> str:
    """The results as Markdown: a paragraph over all, then one item per metric.

    Says how often the hard subsets beat the baseline and the random control, by how much and how
    surely, and what choosing a unit by each score costs. Nothing is left out because it is
    disappointing.

    Args:
        correlations: what :func:`hastelib.report.correlations` gives for ``rows``.
        rows: one per suite, target, source, metric and variant.
        resamples: bootstrap samples behind the intervals of differences.
        seed: of that bootstrap.
        units: what is correlated over, in the plural: what the column ``source`` holds.
    """
    statistic = str(correlations["statistic"].iloc[0])
    name = labels.STATISTICS[statistic]
    tests = {
        other: differences(rows, statistic, other, resamples, seed) for other in ("all", "random")
    }
    regret = picks(rows).groupby(["metric", "variant"])["regret"].mean()
    metrics = list(correlations["metric"].unique())
    items = [
        f"- **{labels.metric(metric)}.** "
        + " ".join(
            [
                *_levels(correlations, metric, name),
                *_changes(correlations, tests["all"], metric, "the baseline"),
                *_changes(correlations, tests["random"], metric, "the random control"),
                *_regrets(regret, metric, units),
            ]
        )
        for metric in metrics
    ]
    overall = [*_overall(correlations, tests, units), *_yardsticks(rows, units)]
    return "\n".join([" ".join(overall), "", *items])


def _overall(correlations: pd.DataFrame, tests: dict[str, pd.DataFrame], units: str) -> list[str]:
    targets = correlations[["suite", "target"]].drop_duplicates()
    metrics = correlations["metric"].nunique()
    text = [
        f"{_many(len(targets), 'target')}, {_many(metrics, 'metric')}, "
        f"{_up_to(correlations['n'])} {units}. Intervals resample the {units}, for these targets."
    ]
    for other, called in (("all", "the baseline"), ("random", "the random control")):
        pairs = against(correlations, other)
        pairs = pairs[pairs["variant"].isin(HASTE)]
        if pairs.empty:
            continue
        wins, ties, losses = counts(pairs["gain"])
        test = tests[other]
        single = test[(test["target"] != MEAN) & test["variant"].isin(HASTE)]
        single = single[single["low"].notna()]
        up, down = int((single["low"] > 0).sum()), int((single["high"] < 0).sum())
        verdict = (
            f"**The hard subsets correlate better than {called} in {wins} of {len(pairs)} "
            f"comparisons**, equally in {ties} and worse in {losses}; the 95% interval of the "
            f"difference lies above zero in {up} and below it in {down} of {len(single)}"
        )
        expected = LEVEL * len(single)
        chance = (
            f". If the intervals kept their level, about {number(expected, 1)} of them would miss "
            f"zero by chance, above and below together; with so few {units} the level is rough, "
            f"and the comparisons share their {units}."
            if expected >= 1
            else "."
        )
        text.append(verdict + chance)
    gone = correlations[correlations["value"].isna()]
    if len(gone):
        text.append(
            f"{_many(len(gone), 'correlation')} of {len(correlations)} could not be computed: too "
            f"few {units} have a score, or all of them the same."
        )
    width = (correlations["high"] - correlations["low"]).median()
    if width == width:
        little = f": so few {units} say little about any one of them" if width > WIDE else ""
        how = f"{number(width, 2)} wide in the median{little}"
        text.append(f"The intervals of single correlations are {how}.")
    return text


def _up_to(sizes: pd.Series) -> str:
    return f"{'up to ' if sizes.min() < sizes.max() else ''}{int(sizes.max())}"


def _levels(correlations: pd.DataFrame, metric: str, name: str) -> list[str]:
    of_metric = correlations[correlations["metric"] == metric]
    wide = of_metric.pivot(  # noqa: PD010
        index=["suite", "target"], columns="variant", values="value"
    ).dropna()
    if wide.empty:
        return [f"{name} could not be computed for every variant on any target."]
    means = wide.mean()
    shown = [variant for variant in labels.VARIANTS if variant in means]
    values = ", ".join(f"{labels.variant(v)} {number(means[v])}" for v in shown)
    every = len(of_metric[["suite", "target"]].drop_duplicates())
    fewer = f" over {len(wide)} of {every} targets" if len(wide) < every else ""
    subject = f"mean {name}{fewer}" if len(wide) > 1 else name
    return [f"{subject[0].upper()}{subject[1:]}: {values}."]


def _changes(correlations: pd.DataFrame, test: pd.DataFrame, metric: str, called: str) -> list[str]:
    """Counts and mean changes of CA and CS against the baseline or the control."""
    parts = []
    of_metric = test[test["metric"] == metric]
    if of_metric.empty:
        return []
    pairs = against(correlations, str(of_metric["other"].iloc[0]))
    for variant in (one for one in HASTE if one in set(of_metric["variant"])):
        part = of_metric[of_metric["variant"] == variant]
        single = part[(part["target"] != MEAN) & part["difference"].notna()]
        if single.empty:
            continue
        whole = part[part["target"] == MEAN]
        line = (whole if len(whole) else single).iloc[0]
        gains = pairs.loc[(pairs["metric"] == metric) & (pairs["variant"] == variant), "gain"]
        often = f"better on {counts(gains)[0]} of {len(gains)} targets, " if len(whole) else ""
        change = (
            f"{number(line['difference'], 3, sign=True)} {interval(line['low'], line['high'], 3)}"
        )
        on_mean = "on average " if len(whole) else ""
        parts.append(f"{labels.variant(variant)} {often}{on_mean}{change}{_sure(line)}")
    return [f"Against {called}: {'; '.join(parts)}."] if parts else []


def _sure(line: pd.Series) -> str:
    if line["low"] > 0:
        return ", an interval above zero"
    if line["high"] < 0:
        return ", an interval below zero"
    return ""


def _regrets(regret: pd.Series, metric: str, units: str) -> list[str]:
    there = [v for v in labels.VARIANTS if (metric, v) in regret.index]
    if not there:
        return []
    lost = ", ".join(f"{labels.variant(v)} {number(100 * regret[metric, v], 1)}" for v in there)
    unit = units.removesuffix("s")
    return [f"Points of accuracy lost by taking the {unit} with the highest score: {lost}."]


def _yardsticks(rows: Rows, units: str) -> list[str]:
    """What choosing without a score costs: at random, or always the unit best on average.

    The latter only where several targets have units in common.
    """
    one = frame(rows).drop_duplicates(["suite", "target", "source"])
    wide = one.pivot(  # noqa: PD010
        index=["suite", "target"], columns="source", values="accuracy"
    )
    if wide.isna().all(axis=None):
        return []
    unit = units.removesuffix("s")
    drawn = number(100 * float((wide.max(axis=1) - wide.mean(axis=1)).mean()), 1)
    shared = wide.columns[wide.notna().sum() > 1]  # a target may lack some
    if shared.empty:
        return [
            f"For the points of accuracy lost by choosing a {unit}, below, the yardstick is "
            f"{drawn} for a {unit} drawn at random."
        ]
    lost = 100 * wide[shared].rsub(wide.max(axis=1), axis=0).mean()
    return [
        f"For the points of accuracy lost by choosing a {unit}, below, the yardsticks are "
        f"{drawn} for a {unit} drawn at random and {number(lost.min(), 1)} for always the one that "
        "is best on average."
    ]


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
