"""A.6: the same rows under other correlation coefficients, and what choosing by a score costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy import ndarray

from hastelib import stats
from hastelib.experiments import HARD
from hastelib.records import frame
from hastelib.report import labels
from hastelib.report.comparison import (
    DIGITS,
    FEWEST,
    MEAN,
    Rows,
    counts,
    ordered,
    picks,
    several,
)
from hastelib.report.paper import MARK, paper_numbers
from hastelib.report.tables import NONE, Block, Cell, Table, number

STATISTICS = ("pearson", "spearman", "kendall", "weighted_kendall")
SHORT = {"pearson": "r", "spearman": "ρ", "kendall": "τ", "weighted_kendall": "weighted τ"}
PAPER = {"pearson": 1, "kendall": 10, "weighted_kendall": 11}
"""The paper's tables of source selection by statistic."""

Key = tuple[str, str, str, str]
Samples = Mapping[Key, Float64[ndarray, " b"]]
"""(statistic, target, metric, variant) -> the correlation, then that of each resample."""


def sampled(
    rows: Rows, statistics: Sequence[str] = STATISTICS, resamples: int = 2000, seed: int = 0
) -> dict[Key, Float64[ndarray, " b"]]:
    """Every correlation with its bootstrap over the sources, computed once for all that follows.

    Args:
        rows: one per target, source, metric and variant, of one suite.
        statistics: of :mod:`hastelib.stats`.
        resamples: bootstrap samples of the sources, the same for every cell.
        seed: of the bootstrap.

    Returns:
        A NaN alone where fewer than three sources have a score and an accuracy.

    Raises:
        ValueError: no cell has a correlation.
    """
    found = {}
    table = frame(rows)
    for (target, metric, variant), part in table.groupby(
        ["target", "metric", "variant"], sort=False
    ):
        there = part.dropna(subset=["score", "accuracy"])
        scores, accuracies = (there[name].to_numpy(float) for name in ("score", "accuracy"))
        for name in statistics:
            found[name, str(target), str(metric), str(variant)] = (
                stats.replicates(name, scores, accuracies, resamples, seed)
                if len(there) >= FEWEST
                else np.full(1, np.nan)
            )
    if all(np.isnan(sample[0]) for sample in found.values()):
        raise ValueError(
            f"no correlation over the sources: expected at least {FEWEST} with different scores, "
            f"got {table['source'].nunique()}"
        )
    return found


def correlations(rows: Rows, samples: Samples, statistic: str) -> pd.DataFrame:
    """One statistic in the form of :func:`hastelib.report.correlations`.

    Args:
        rows: as for :func:`sampled`.
        samples: what it gives.
        statistic: one of those sampled.
    """
    table = frame(rows)
    both = table["score"].notna() & table["accuracy"].notna()
    n = both.groupby([table["target"], table["metric"], table["variant"]]).sum()
    suite = str(table["suite"].iloc[0])
    found = [
        (suite, target, metric, variant, name, *stats.interval(sample), n[target, metric, variant])
        for (name, target, metric, variant), sample in samples.items()
        if name == statistic
    ]
    columns = ["suite", "target", "metric", "variant", "statistic", "value", "low", "high", "n"]
    lines = pd.DataFrame(found, columns=columns)
    place = {v: i for i, v in enumerate(ordered(lines["variant"]))}
    return lines.sort_values(
        "variant", key=lambda column: column.map(place), kind="stable", ignore_index=True
    ).sort_values(["target", "metric"], key=_first, kind="stable", ignore_index=True)


def _first(column: pd.Series) -> pd.Series:
    return column.map({name: i for i, name in enumerate(column.unique())})


def gains(samples: Samples) -> pd.DataFrame:
    """What each subset gains by each statistic, over the baseline and over the control.

    Args:
        samples: what :func:`sampled` gives.

    Returns:
        The columns statistic, target (also :data:`MEAN`, over the targets with both), metric,
        variant, other (``all`` or ``random``), gain, low, high (a 95% interval over the sources).
    """
    found: list[dict[str, Any]] = []
    parts: dict[tuple[str, str, str, str], list[ndarray]] = {}
    for (statistic, target, metric, variant), sample in samples.items():
        for other in ("all", "random"):
            base = samples.get((statistic, target, metric, other))
            if variant in ("all", other) or base is None:
                continue
            gain = sample - base
            found.append(_gain(statistic, target, metric, variant, other, gain))
            if not np.isnan(gain[0]):
                parts.setdefault((statistic, metric, variant, other), []).append(gain)
    for (statistic, metric, variant, other), several_targets in parts.items():
        mean = np.mean(several_targets, axis=0)
        found.append(_gain(statistic, MEAN, metric, variant, other, mean))
    lines = pd.DataFrame(found)
    place = {v: i for i, v in enumerate(ordered(lines["variant"]))}
    return lines.sort_values(
        "variant", key=lambda column: column.map(place), kind="stable", ignore_index=True
    )


def _gain(
    statistic: str, target: str, metric: str, variant: str, other: str, sample: ndarray
) -> dict[str, Any]:
    value, low, high = stats.interval(sample)
    cell = {"statistic": statistic, "target": target, "metric": metric, "variant": variant}
    return cell | {"other": other, "gain": value, "low": low, "high": high}


def paper_gains() -> pd.DataFrame:
    """The same columns from the paper's Tables 1, 10 and 11, without intervals or control."""
    samples = {}
    for statistic, which in PAPER.items():
        for line in paper_numbers(which).to_dict("records"):
            key = statistic, line["target"], line["metric"], line["variant"]
            samples[key] = np.array([line["value"]])
    return gains(samples)


def gains_table(found: pd.DataFrame, caption: str) -> Table:
    """The mean gains and wins–ties–losses, a block per metric: statistics down, subsets across.

    Args:
        found: what :func:`gains` or :func:`paper_gains` gives.
        caption: of the table.
    """
    names = ordered(found["variant"])
    blocks = []
    for metric in found["metric"].unique():
        rows = []
        for statistic in found["statistic"].unique():
            part = found[(found["metric"] == metric) & (found["statistic"] == statistic)]
            mean = part[(part["target"] == MEAN) & (part["other"] == "all")].set_index("variant")
            cells = []
            for variant in names:
                if variant not in mean.index:
                    cells.append(Cell(NONE))
                    continue
                line = mean.loc[variant]
                told = part[(part["other"] == "all") & (part["variant"] == variant)]
                single = told.loc[told["target"] != MEAN, "gain"].round(DIGITS)
                won = "–".join(map(str, counts(single)))
                text = number(line["gain"], DIGITS, sign=True)
                bold = variant in HARD and bool(round(line["gain"], DIGITS) > 0)
                cells.append(Cell(text, won, bold))
            rows.append((SHORT[str(statistic)], tuple(cells)))
        head = ("Statistic", *map(labels.variant, names))
        blocks.append(Block(labels.metric(str(metric)), head, tuple(rows)))
    return Table(caption, tuple(blocks), (), found)


def agreement(found: pd.DataFrame) -> pd.DataFrame:
    """Do two statistics say the same of a hard subset against its baseline?

    Args:
        found: what :func:`gains` or :func:`paper_gains` gives.

    Returns:
        Per pair of statistics: first, second, comparisons (targets, metrics, CA and CS), same
        (both better, both equal or both worse) and opposite (one better, one worse).
    """
    single = found[
        (found["target"] != MEAN) & (found["other"] == "all") & found["variant"].isin(HARD)
    ]
    wide = single.pivot(  # noqa: PD010
        index=["target", "metric", "variant"], columns="statistic", values="gain"
    )
    signs = wide.round(DIGITS).map(np.sign)
    lines = []
    for first, second in itertools.combinations(found["statistic"].unique(), 2):
        both = signs[[first, second]].dropna()
        same = int((both[first] == both[second]).sum())
        opposite = int((both[first] * both[second] < 0).sum())
        lines.append((first, second, len(both), same, opposite))
    return pd.DataFrame(lines, columns=["first", "second", "comparisons", "same", "opposite"])


def agreement_table(ours: pd.DataFrame, paper: pd.DataFrame) -> Table:
    """Pairs of statistics down; ours and the paper's across.

    Args:
        ours: what :func:`agreement` gives for our gains.
        paper: and for the paper's.
    """
    printed = {(one["first"], one["second"]): one for one in paper.to_dict("records")}
    rows = []
    for one in ours.to_dict("records"):
        other = printed.get((one["first"], one["second"]))
        cells = [Cell(str(one["same"])), Cell(str(one["opposite"]))]
        cells += [Cell(str(other[n])) if other else Cell(NONE) for n in ("same", "opposite")]
        name = f"{SHORT[one['first']]}, {SHORT[one['second']]}"
        rows.append((name, tuple(cells)))
    caption = (
        "Does a hard subset do better than its baseline, equally well, or worse? In how many "
        f"of {_most(ours)} comparisons (target, metric, CA or CS) two statistics agree on that, "
        f"and in how many they say the opposite (opp.); then of {_most(paper)} in the paper’s "
        "Tables 1, 10 and 11."
    )
    head = ("", "Same", "Opp.", "Paper: same", "Opp.")
    return Table(caption, (Block("", head, tuple(rows)),), (), ours)


def _most(found: pd.DataFrame) -> int:
    return int(found["comparisons"].max())


def regrets(rows: Rows) -> Table:
    """What choosing the source with the highest score costs, in points of accuracy.

    Returns:
        A block per metric: targets down and their mean, variants across. ``frame`` is what
        :func:`hastelib.report.picks` gives.
    """
    found = picks(rows)
    names = ordered(found["variant"])
    blocks = []
    for metric, part in found.groupby("metric", sort=False):
        wide = 100 * part.pivot(index="target", columns="variant", values="regret")  # noqa: PD010
        wide = wide.loc[list(part["target"].unique())].reindex(columns=names)
        right = part.assign(right=part["regret"] == 0).groupby("variant")["right"].sum()
        rows_ = [(labels.plain(str(t)), _costs(line)) for t, line in wide.iterrows()]
        summary = int(len(wide) > 1)
        if summary:
            small = [f"right: {right.get(v, 0)}" for v in names]
            rows_.append(("Mean", _costs(wide.mean(), small)))
        head = ("Target", *map(labels.variant, names))
        blocks.append(Block(labels.metric(str(metric)), head, tuple(rows_), summary))
    caption = (
        "Accuracy lost against the best source by taking the one with the highest score, in "
        "percentage points: lower is better. Right: on how many targets nothing is lost."
    )
    notes = (
        "Bold: a hard subset whose choice loses less than the baseline’s. "
        f"{MARK} marks a random control that loses no more than the better hard subset.",
    )
    return Table(caption, tuple(blocks), notes, found)


def _costs(line: pd.Series, small: Sequence[str] = ()) -> tuple[Cell, ...]:
    values = line.round(1)
    hard = values[[v for v in HARD if v in values]].dropna()
    cells = []
    for place, (name, value) in enumerate(values.items()):
        bold = name in HARD and bool(value < values.get("all", np.nan))
        mark = MARK if name == "random" and len(hard) and value <= hard.min() else ""
        cells.append(Cell(number(value, 1), small[place] if small else "", bold, mark))
    return tuple(cells)


# In words


def step(n: int) -> float:
    """How far one pair of neighbours that changes places moves Kendall's correlation of n units."""
    return 4 / (n * (n - 1))


def findings(found: pd.DataFrame, lines: pd.DataFrame, rows: Rows) -> str:
    """What changes with the statistic, as Markdown.

    Args:
        found: what :func:`gains` gives.
        lines: all correlations, of every statistic.
        rows: what they were computed from.
    """
    mean = found[(found["target"] == MEAN) & found["variant"].isin(HARD)]
    items = []
    for other, called in (("all", "the baseline"), ("random", "the random control")):
        part = mean[mean["other"] == other].assign(sign=lambda t: np.sign(t["gain"].round(DIGITS)))
        if part.empty:
            continue
        cells = part.groupby(["metric", "variant"], sort=False)
        turned = [
            f"{labels.metric(str(m))} {labels.variant(str(v))} ({_signs(one)})"
            for (m, v), one in cells
            if several(one["sign"])
        ]
        sure = part[(part["low"] > 0) | (part["high"] < 0)]
        up = int((sure["low"] > 0).sum())
        items.append(
            f"**Against {called}.** In {len(turned)} of {cells.ngroups} cases (metric and hard "
            f"subset) the sign of the mean gain depends on the statistic"
            f"{': ' + '; '.join(turned) if turned else ''}. Of all {len(part)} mean gains, with "
            f"every statistic, {int((part['sign'] > 0).sum())} are positive; the 95% interval lies "
            f"above zero in {up} and below it in {len(sure) - up}."
        )
    items.append(_best_metric(lines))
    items.append(_resolution(found, rows))
    return "\n".join(f"- {item}" for item in items if item)


def _signs(part: pd.DataFrame) -> str:
    return ", ".join(
        f"{labels.STATISTICS[str(one['statistic'])]} {number(one['gain'], 3, True)}"
        for one in part.to_dict("records")
    )


def _best_metric(lines: pd.DataFrame) -> str:
    """Which metric and subset comes out on top, by statistic."""
    tops = []
    for statistic, part in lines.groupby("statistic", sort=False):
        means = part.groupby(["metric", "variant"])["value"].mean().reset_index()
        best = means.iloc[int(means["value"].to_numpy().argmax())]
        name = f"{labels.metric(str(best['metric']))} {labels.variant(str(best['variant']))}"
        tops.append((str(statistic), name, float(best["value"])))
    names = dict.fromkeys(name for _, name, _ in tops)
    told = ", ".join(
        f"{name} by {labels.STATISTICS[statistic]} ({number(value)})"
        for statistic, name, value in tops
    )
    verdict = "the same" if len(names) == 1 else "not the same"
    return f"**The best column** is {verdict} by every statistic: {told}."


def _resolution(found: pd.DataFrame, rows: Rows) -> str:
    """How coarse Kendall's statistic is over so few sources, and whether accuracies are tied."""
    table = frame(rows)
    one = table.drop_duplicates(["target", "source"])
    tied = int(sum(part["accuracy"].duplicated().any() for _, part in one.groupby("target")))
    n = int(one.groupby("target").size().max())
    text = (
        f"**Steps.** Two neighbours that change places in a ranking of {n} move Kendall’s τ by "
        f"{number(step(n))}. "
    )
    single = found[
        (found["target"] != MEAN)
        & (found["other"] == "all")
        & found["variant"].isin(HARD)
        & (found["statistic"] == "kendall")
    ].dropna(subset=["gain"])
    if len(single):
        few = int((single["gain"].abs() < 1.5 * step(n)).sum())
        text += (
            f"{few} of {len(single)} changes of τ by a hard subset are at most one such step, "
            f"{int((single['gain'].abs() < step(n) / 4).sum())} of them none. "
        )
    many = one["target"].nunique()
    return text + f"Two sources have the same accuracy on {tied} of {many} targets."


def printed_taus() -> dict[str, tuple[float, float]]:
    r"""What Table 10 can hold, as claims to verify.

    Kendall's correlation of seven sources is :math:`k / 21` with odd k without ties, and
    :math:`k / \sqrt{21 \cdot 20}` with even k with one tied pair.
    """
    values = paper_numbers(10)["value"].to_numpy(float)
    plain = [k / 21 for k in range(-21, 22, 2)]
    tied = [k / math.sqrt(21 * 20) for k in range(-20, 21, 2)]

    def among(candidates: Sequence[float], cut: bool) -> np.ndarray:
        shown = [math.trunc(1000 * c + 1e-9) if cut else round(1000 * c) for c in candidates]
        return np.isin(np.round(1000 * values), shown)

    either = among(plain, True) | among(tied, True)
    rounded = among(plain, False) | among(tied, False)
    return {
        "cells of Table 10 that are k/21 or k/√420, cut off": (len(values), int(either.sum())),
        "the same if rounded: all of them": (0.0, float(rounded.all())),
        "some need a tie": (1.0, float((~among(plain, True)).any())),
    }


def paper_findings(found: pd.DataFrame, sources: int = 7) -> str:
    """What changes with the statistic in the paper's own tables, as Markdown.

    Args:
        found: what :func:`paper_gains` gives.
        sources: of the paper's tables.
    """
    mean = found[(found["target"] == MEAN) & found["variant"].isin(HARD)]
    cells = mean.groupby(["metric", "variant"], sort=False)
    turned = [
        f"{labels.metric(str(m))} {labels.variant(str(v))} ({_signs(one)})"
        for (m, v), one in cells
        if several(np.sign(one["gain"].round(DIGITS)))
    ]
    pairs = agreement(found).to_dict("records")
    told = "; ".join(
        f"{labels.STATISTICS[one['first']]} and {labels.STATISTICS[one['second']]} agree in "
        f"{one['same']} of {one['comparisons']} and say the opposite in {one['opposite']}"
        for one in pairs
    )
    tau = found[
        (found["target"] != MEAN) & (found["statistic"] == "kendall") & found["variant"].isin(HARD)
    ]["gain"]
    none = int((tau.abs() < step(sources) / 4).sum())
    one_step = int((tau.abs() < 1.5 * step(sources)).sum()) - none
    return (
        f"In the paper’s tables the sign of the mean gain depends on the statistic in "
        f"{len(turned)} of {cells.ngroups} cases{': ' + '; '.join(turned) if turned else ''}. "
        f"Comparison by comparison, {told}. Of the {len(tau)} changes of Kendall’s τ by a hard "
        f"subset, {none} are zero, and {one_step} are one pair of neighbours changing places."
    )
