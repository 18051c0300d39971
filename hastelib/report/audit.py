r"""The paper's tables, audited: what follows from the printed numbers, and what does not.

All of it reads the paper's numbers (:func:`hastelib.report.paper_numbers`) and nothing else. A
*comparison* is a HASTE variant's correlation h beside its baseline's b in the same row; its
*relative change* is 100 (h - b) / \|b\|, whose mean is the paper's headline. The ``frame`` of
every table has the numbers behind what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from jaxtyping import Float
from numpy import ndarray

from hastelib import stats
from hastelib.report import labels
from hastelib.report.comparison import against, counts, several
from hastelib.report.paper import paper_numbers
from hastelib.report.tables import NONE, Block, Cell, Table, interval, narrow, number

HEADLINES = {
    **{(1, "leep"): 129.74, (1, "nce"): 29.38, (1, "gbc"): -0.07},
    **{(2, "leep"): 0.99, (2, "nce"): 1.15, (2, "gbc"): 5.11},
    **{(3, "leep"): 182.23, (3, "nce"): 33.34, (3, "gbc"): 149.30},
    **{(4, "ms_leep"): 14.43, (4, "e_leep"): 4.10},
    **{(5, "leep"): 38.13, (5, "nce"): 33.40, (5, "gbc"): 57.24},
    **{(12, "logme"): 120.53, (13, "logme"): 236.16},
}
"""By table and metric, the improvements in percent that the text prints (5.1 to 5.5, A.7)."""

SIZES = {1: 7, 2: 50, 3: 5, 4: 330, 5: 50, 6: 50, 7: 165, 12: 7, 13: 50}
"""The points behind a correlation, for the tables of distinct experiments by Pearson's r. For the
ensembles it follows from the text's P = 11; 5.5 gives none, 5.2's 50 is assumed."""

POOL = {"Stanford Dogs": 3, "Oxford-IIIT": 2, "Flowers102": 2, "CUB200": 2, "Caltech101": 1}
"""The members of A.2's pool of source models that were trained on a target of Table 4."""

OTHERS = 3
"""Members of the pool trained on ImageNet."""

CLASSES = {"IMDB": 2, "CARER": 6, "PACS-Sketch": 7, "Oxford-IIIT": 37}
"""Classes of the targets with the fewest, from the data sets' own descriptions."""

CLASS_SIZES = (
    ("5.1", "Flowers102", 2048, 10, 10),
    ("5.1", "CUB200", 2048, 29, 30),
    ("5.1", "Oxford-IIIT", 2048, 93, 100),
    ("5.1", "StanfordDogs", 2048, 100, 100),
    ("5.1", "Caltech101", 2048, 31, 800),
    ("5.1", "PACS-Sketch", 2048, 80, 816),
    ("5.1", "Imagenette", 2048, 858, 993),
    ("5.2", "PACS-Sketch", 512, 80, 816),
    ("5.5", "CARER", 768, 572, 5362),
    ("5.5", "IMDB", 768, 12500, 12500),
)
"""Section, target, width of the embedding (ResNet-50; ResNet-18 and -34; BERT), training samples
of the smallest and largest class (Caltech101, PACS: of all), from the data sets' own files."""

TOLERANCE = 0.02
HALF = 0.0005
"""Half a unit of the third decimal: how far rounding moves a correlation."""

Line = dict[Any, Any]


def _table(
    caption: str,
    head: Sequence[str],
    frame: pd.DataFrame,
    texts: Callable[[Line], Sequence[str]],
    notes: Sequence[str] = (),
    summary: int = 0,
) -> Table:
    lines = [texts(line) for line in frame.to_dict("records")]
    rows = tuple((line[0], tuple(Cell(text) for text in line[1:])) for line in lines)
    return Table(caption, (Block("", tuple(head), rows, summary),), tuple(notes), frame)


def _percent(value: float) -> str:
    return number(value, 2, sign=True)


def _tenths(value: float) -> str:
    return number(value, 1, sign=True)


def _short(value: float, digits: int = 3, sign: bool = False) -> str:
    return narrow(number(value, digits, sign))


def _name(line: Line) -> str:
    return f"{line['table']} {labels.metric(line['metric'])}"


def _score(wins: Iterable[int]) -> str:
    return "–".join(map(str, wins))


@cache
def _printed(which: int) -> pd.DataFrame:
    table = paper_numbers(which)
    table["row"] = table["target"]
    if several(table["source"]):
        table["row"] = table["source"] + "–" + table["target"]
    if which == 13:
        table["metric"] = "logme"  # its header says LEEP, A.7's 236.16% says LogME
    return table


def pairs(tables: Iterable[int] = tuple(SIZES)) -> pd.DataFrame:
    """Every comparison of some tables, in the order of print.

    Returns:
        The columns table, row (the target; in Table 5 source and target), metric, variant, other
        (b), value (h), gain (h - b) and relative (in percent, ``nan`` for a base of 0).
    """
    table = pd.concat([against(_printed(which)) for which in tables], ignore_index=True)
    base = table["other"].where(table["other"] != 0)
    table["relative"] = 100 * (table["value"] - base) / base.abs()
    columns = ["table", "row", "metric", "variant", "other", "value", "gain", "relative"]
    return table[columns]


def _by_table() -> list[tuple[int, pd.DataFrame]]:
    return [(which, pairs([which])) for which in SIZES]


# The headlines


def headlines(tolerance: float = TOLERANCE) -> Table:
    """Does every percentage of the text come out of its table?

    Args:
        tolerance: the largest difference, in percentage points, that counts as a match.

    Returns:
        Printed, recomputed, and what is possible if the correlations were rounded.

    Raises:
        ValueError: one does not come out (names it).
    """
    found = []
    groups = dict(list(pairs().groupby(["table", "metric"])))
    for (table, metric), printed in HEADLINES.items():
        part = groups[table, metric]
        got = stats.relative_improvement(part["other"].to_numpy(), part["value"].to_numpy())
        if abs(got - printed) > tolerance:
            raise ValueError(f"Table {table}, {metric}: expected {printed}, got {got:.4f}")
        found.append((table, metric, printed, got, *_possible(part)))
    frame = pd.DataFrame(found, columns=["table", "metric", "printed", "got", "low", "high"])
    off = (frame["got"] - frame["printed"]).abs()
    smaller = int((frame["printed"].abs() <= frame["got"].abs()).sum())
    rounded = int((frame["got"].round(2) == frame["printed"]).sum())
    finer = float(((frame["high"] - frame["low"]) / 2 / off).median())
    two = pairs([2, 6]).groupby("metric", sort=False)["relative"].mean().items()
    notes = (
        f"All {len(frame)} match within {tolerance} points. {rounded} are the recomputed value "
        f"rounded; {smaller} are no larger than it in size, as if digits were cut off.",
        "Range: what is possible if the correlations were rounded to three decimals. In the median "
        f"it reaches {number(finer, 0)} times farther than the printed number is off, which "
        "suggests that the percentages were computed from the printed correlations.",
        "5.2 speaks of two source data sets, but its percentages are Table 2’s alone. With the "
        "other source’s, Table 6, "
        + ", ".join(f"{labels.metric(str(k))} has {_percent(v)}" for k, v in two)
        + ".",
    )
    return _table(
        "Improvements in percent: the text’s, and the mean of (h − b)/|b| over the table.",
        ("Table", "Expected", "Got", "Match", "Range"),
        frame,
        lambda r: (
            *(_name(r), _percent(r["printed"]), _percent(r["got"]), "✓"),
            f"{number(r['low'], 1)} to {number(r['high'], 1)}",
        ),
        notes,
    )


def _possible(part: pd.DataFrame) -> tuple[float, float]:
    """The lowest and highest mean relative change if b and h are off by at most HALF."""
    low = high = 0.0
    for _, row in part.groupby("row"):
        bases = row["other"].iloc[0] + np.array([-HALF, HALF])
        h = row["value"].to_numpy()[:, None]
        low += ((h - HALF - bases) / np.abs(bases)).sum(0).min()
        high += ((h + HALF - bases) / np.abs(bases)).sum(0).max()
    return 100 * low / len(part), 100 * high / len(part)


def contributions(tables: Iterable[int] = tuple(SIZES)) -> pd.DataFrame:
    """The points that each row adds to a mean relative change: table, metric, row, points."""
    table = pairs(tables)
    size = table.groupby(["table", "metric"])["relative"].transform("size")
    table["points"] = table["relative"] / size
    return table.groupby(["table", "metric", "row"], sort=False)["points"].sum().reset_index()


def leverage() -> Table:
    """How much of each mean relative change comes from its most influential row?"""
    found = []
    for (table, metric), part in contributions().groupby(["table", "metric"], sort=False):
        size, mean = part["points"].abs(), part["points"].sum()
        top = size.to_numpy().argmax()
        row, points = str(part["row"].iloc[top]), float(part["points"].iloc[top])
        without = (mean - points) * len(part) / (len(part) - 1)
        found.append((table, metric, mean, row, points, without, abs(points) / size.sum()))
    columns = ["table", "metric", "mean", "row", "points", "without", "share"]
    frame = pd.DataFrame(found, columns=columns)
    most = int((frame["share"] > 0.5).sum())
    return _table(
        "Mean relative change in percent (CA and CS), the points of it that the most influential "
        "row contributes, the mean over the other rows, and that row.",
        ("Table", "Mean", "Row’s", "Without", "Row"),
        frame,
        lambda r: (_name(r), *(_tenths(r[k]) for k in ("mean", "points", "without")), r["row"]),
        (f"In {most} of {len(frame)} one row outweighs all the others together.",),
    )


# Other ways to sum up the same numbers


def summaries(variant: str = "both") -> Table:
    """The same comparisons summed up in ways that a base near 0 moves more, or less.

    Args:
        variant: ``ca``, ``cs``, or ``both`` (then with Table 7's, of unknown kind).

    Raises:
        ValueError: another variant.
    """
    called = {"ca": "CA", "cs": "CS", "both": "CA and CS"}
    if variant not in called:
        raise ValueError(f"variant: expected ca, cs or both, got {variant!r}")
    table = pairs()
    table = table if variant == "both" else table[table["variant"] == variant]
    found = []
    for (which, metric), part in table.groupby(["table", "metric"], sort=False):
        b, h = part["other"].mean(), part["value"].mean()
        ratio = 100 * (h / b - 1) if b > 0 else np.nan
        middle = part["relative"].median()
        row = which, metric, part["relative"].mean(), middle, ratio, h - b, *counts(part["gain"])
        found.append(row)
    columns = ["table", "metric", "mean", "median", "ratio", "gain", "wins", "ties", "losses"]
    return _table(
        f"{called[variant]}: mean and median relative change and change of the mean correlation, "
        "in percent; difference of the mean correlations; comparisons won–tied–lost.",
        ("Table", "Mean", "Median", "Ratio", "Gain", "W–T–L"),
        pd.DataFrame(found, columns=columns),
        lambda r: (
            *(_name(r), *(_tenths(r[k]) for k in ("mean", "median", "ratio"))),
            *(_short(r["gain"], sign=True), _score(r[k] for k in ("wins", "ties", "losses"))),
        ),
    )


def wins() -> Table:
    """Wins, ties and losses by table, for CA, CS and both, with the exact sign test.

    The test leaves ties out and is two-sided; in ``frame`` table 0 is all of them.
    """
    table = pairs()
    found, blocks = [], []
    for variant, title in (("ca", "CA"), ("cs", "CS"), ("both", "Both")):
        part = table if variant == "both" else table[table["variant"] == variant]
        lines = []
        for which in (*part["table"].unique(), 0):
            gains = part["gain"] if which == 0 else part.loc[part["table"] == which, "gain"]
            won, tied, lost = counts(gains)
            p = float(scipy.stats.binomtest(won, won + lost).pvalue)
            found.append((variant, which, won, tied, lost, p))
            cells = (str(won), str(tied), str(lost), f"{p:.3f}" if p >= 0.001 else "< .001")
            lines.append((f"Table {which}" if which else "All", tuple(map(Cell, cells))))
        blocks.append(Block(title, ("", "Won", "Tied", "Lost", "p"), tuple(lines), 1))
    frame = pd.DataFrame(found, columns=["variant", "table", "wins", "ties", "losses", "p"])
    caption = (
        "Comparisons of HASTE with its baseline at the printed precision, and the p-value of an "
        "exact sign test. It is a yardstick only: rows share their sources, and metrics their "
        "accuracies, so the comparisons are not independent and p is too small."
    )
    return Table(caption, tuple(blocks), (), frame)


def left_out() -> Table:
    """Does the mean gain in r survive without any one row, and without any one metric?"""
    found = []
    for which, part in _by_table():
        ends: list[float] = []
        for key in ("row", "metric"):
            names = part[key].unique()
            rest = [part.loc[part[key] != name, "gain"].mean() for name in names]
            ends += [min(rest), max(rest)] if len(names) > 1 else [np.nan, np.nan]
        found.append((which, part["gain"].mean(), *ends))
    columns = ["table", "gain", "row_low", "row_high", "metric_low", "metric_high"]
    return _table(
        "Mean gain in r over all comparisons of a table, and its range as each row (target), then "
        "as each metric is left out.",
        ("", "Gain", "Less a row", "Less a metric"),
        pd.DataFrame(found, columns=columns),
        lambda r: (
            *(f"Table {r['table']}", _short(r["gain"], sign=True)),
            *(
                narrow(interval(r[f"{k}_low"], r[f"{k}_high"], 3)) or NONE
                for k in ("row", "metric")
            ),
        ),
    )


# What the number of points allows


def fisher(r: Float[ndarray, " m"], n: int, level: float = 0.95) -> Float[ndarray, "2 m"]:
    r"""The interval of Pearson correlations over n independent pairs of normal variables.

    .. math:: \tanh\bigl(\operatorname{artanh} r \pm z / \sqrt{n - 3}\bigr)

    Args:
        r: the correlations, inside (-1, 1).
        n: points behind each, at least 4.
        level: of the interval; z is the normal quantile of (1 + level) / 2.

    Raises:
        ValueError: a correlation, n or level outside these ranges.
    """
    if n < 4 or not 0 < level < 1 or not (np.abs(r) < 1).all():
        raise ValueError(
            f"expected correlations inside (-1, 1), n of at least 4 and a level inside (0, 1), got "
            f"{r}, {n} and {level}"
        )
    half = scipy.stats.norm.ppf((1 + level) / 2) / math.sqrt(n - 3)
    return np.tanh(np.arctanh(r) + np.array([[-half], [half]]))


def printed_intervals(which: int, level: float = 0.95) -> pd.DataFrame:
    """A table's correlations with Fisher's intervals, as :func:`hastelib.figures.forest` wants it.

    Raises:
        ValueError: not a table in :data:`SIZES`.
    """
    if which not in SIZES:
        raise ValueError(f"table: expected one of {', '.join(map(str, SIZES))}, got {which}")
    table = _printed(which)
    low, high = fisher(table["value"].to_numpy(float), SIZES[which], level)
    return table.assign(suite="paper", target=table["row"], low=low, high=high, n=SIZES[which])


def widths(level: float = 0.95) -> Table:
    """How wide is the interval of a correlation over so many points?"""
    sizes = sorted({*SIZES.values()})
    ends = [fisher(np.array([0.0, 0.5, 0.9]), n, level) for n in sizes]
    frame = pd.DataFrame({"n": sizes, "ends": [one.T.tolist() for one in ends]})
    return _table(
        f"{level:.0%} intervals (Fisher’s z) of three correlations over n points.",
        ("n", "r = 0", "r = 0.5", "r = 0.9"),
        frame,
        lambda r: (str(r["n"]), *(narrow(interval(*pair)) for pair in r["ends"])),
    )


def intervals(level: float = 0.95) -> Table:
    """How many correlations differ from 0, and how many changes exceed their interval?"""
    found = []
    for which, part in _by_table():
        every, n = printed_intervals(which, level), SIZES[which]
        low, high = fisher(part["other"].to_numpy(float), n, level)
        half = ((every["high"] - every["low"]) / 2).median()
        zero = int(((every["low"] < 0) & (every["high"] > 0)).sum())
        small = int((part["gain"].abs() < (high - low) / 2).sum())
        found.append((which, n, half, zero, len(every), small, len(part)))
    columns = ["table", "n", "half", "zero", "correlations", "small", "comparisons"]
    return _table(
        f"±: median half-width of the {level:.0%} intervals. Holds 0: correlations that cannot be "
        "told from 0. Inside: changes from baseline to HASTE smaller than the half-width of the "
        "baseline’s interval. Where n is 50 or more the points overlap, and the true intervals are "
        "wider.",
        ("", "n", "±", "Holds 0", "Inside"),
        pd.DataFrame(found, columns=columns),
        lambda r: (
            *(f"Table {r['table']}", str(r["n"]), _short(r["half"], 2)),
            *(f"{r['zero']} of {r['correlations']}", f"{r['small']} of {r['comparisons']}"),
        ),
    )


def williams(between: Sequence[float] = (0.5, 0.9, 0.95, 0.99), alpha: float = 0.05) -> Table:
    """Which changes would a paired test call significant, if the two scores correlate like this?

    The paper does not print the correlation between a baseline's scores and HASTE's, so it is
    varied; values that the two printed correlations rule out are left out.

    Args:
        between: the correlations of the two scores to try.
        alpha: the level of :func:`hastelib.stats.williams_t`.

    Returns:
        A row per table; in ``frame`` ``hits`` and ``possible`` are lists along ``between``, and
        ``lowest`` is the lowest correlation at which any change is significant, infinity if none.
    """
    found = []
    for which, part in _by_table():
        n, cells = SIZES[which], list(zip(part["value"], part["other"], strict=True))
        hits, possible = [], []
        for r12 in between:
            there = [pair for pair in cells if _bounds(*pair)[0] <= r12 <= _bounds(*pair)[1]]
            hits.append(sum(stats.williams_t(*pair, r12, n)[1] < alpha for pair in there))
            possible.append(len(there))
        lowest = min(_lowest(*pair, n, alpha) for pair in cells)
        found.append((which, n, hits, possible, lowest))
    return _table(
        f"Williams’ test: changes with p below {alpha:g}, of those possible, if the scores of "
        "baseline and HASTE correlate as the head of the column says. From: the lowest such "
        "correlation at which any change of the table is significant.",
        ("r between", *(narrow(f"{r12:g}") for r12 in between), "From"),
        pd.DataFrame(found, columns=["table", "n", "hits", "possible", "lowest"]),
        lambda r: (
            f"Table {r['table']}, n = {r['n']}",
            *(f"{hit}/{all_}" for hit, all_ in zip(r["hits"], r["possible"], strict=True)),
            _short(r["lowest"], 2),
        ),
    )


def _bounds(r1: float, r2: float) -> tuple[float, float]:
    """Between which correlations of two variables a third one with r1 and r2 can exist."""
    spread = math.sqrt((1 - r1**2) * (1 - r2**2))
    return r1 * r2 - spread, r1 * r2 + spread


def _lowest(r1: float, r2: float, n: int, alpha: float) -> float:
    """The lowest correlation between the scores at which r1 and r2 differ; infinity if at none."""
    low, high = _bounds(r1, r2)
    tries = high - (high - low) * np.geomspace(1, 1e-5, 300)  # dense at the upper end
    return next((r for r in tries if stats.williams_t(r1, r2, r, n)[1] < alpha), math.inf)


# Sentences that the printed numbers can test


def claims() -> pd.DataFrame:
    """Sentences of the paper, what the tables say about them, and whether they hold.

    Returns:
        The columns section, sentence (the paper's words), found, verdict (``holds``, ``holds on
        average``, ``does not hold``).
    """
    table = pairs()
    gains = {which: table.loc[table["table"] == which, "gain"] for which in SIZES}
    won = {which: _score(counts(gain)) for which, gain in gains.items()}
    lost = {which: counts(gain)[2] for which, gain in gains.items()}
    means = table.groupby(["table", "metric"], sort=False)["gain"].mean()
    rises = {which: bool((means[which] > 0).all()) for which in SIZES}
    every = counts(table["gain"])
    rows = table[table["table"] == 1].groupby(["metric", "row"], sort=False)["gain"].min() > 0
    both = rows.groupby("metric", sort=False).sum()
    size = len(rows) // len(both)
    tops = {which: list(map(str, _columns(which).idxmax(axis=1))) for which in (1, 2, 6)}
    best = {which: str(_columns(which).mean().idxmax()) for which in (2, 6)}
    haste = ("LEEP CA", "LEEP CS")
    leep = {which: sum(name in haste for name in tops[which]) for which in (2, 6)}
    firsts = list(dict.fromkeys(tops[1]))
    eight = hardness_sources().frame
    above = int((eight["value"] > eight["baseline"]).sum())
    six = eight.loc[eight["table 6"] <= eight["baseline"], "table 6"].nunique()
    nine = {variant: _mixtures(variant) for variant in ("cs", "ca")}
    three = [pairs([which]) for which in (1, 10, 11)]
    signs = np.sign(np.stack([one["gain"].to_numpy() for one in three]))
    same, opposite = (np.ptp(signs, axis=0) == k for k in (0, 2))
    up = all((one.groupby("metric")["gain"].mean() > 0).all() for one in three)
    found = [
        (
            *("Abstract", "HASTE-modified metrics are consistently better or on par"),
            f"Of {sum(every)} comparisons {every[0]} are won, {every[1]} tied, {every[2]} lost, "
            f"{int((table['gain'] < -0.01).sum())} of these by more than 0.01.",
            *(every[2] == 0, all(rises.values())),
        ),
        (
            *("5.1", "for most target datasets, both CA and CS variants … outperform the baseline"),
            f"Rows of Table 1 in which both do: {int(rows.sum())} of {len(rows)}; "
            + ", ".join(f"{labels.metric(str(k))} {v} of {size}" for k, v in both.items())
            + ".",
            *(bool((2 * both > size).all()), bool(2 * rows.sum() > len(rows))),
        ),
        (
            *("5.2", "HASTE-LEEP achieves the highest correlation for the target selection task"),
            f"It has a row’s highest value in {leep[2]} of {len(tops[2])} rows of Table 2 and "
            f"{leep[6]} of {len(tops[6])} of Table 6. The column with the highest mean is "
            f"{best[2]} in Table 2 and {best[6]} in Table 6.",
            sum(leep.values()) == len(tops[2]) + len(tops[6]),
            all(name in haste for name in best.values()),
        ),
        (
            *("5.2", "and outperform their respective baseline methods (Table 2)"),
            f"Won–tied–lost {won[2]}.",
            *(lost[2] == 0 and "–0–" in won[2], rises[2]),
        ),
        (
            *("5.3", "on average … HASTE-modified metrics outperform their baseline methods"),
            f"The mean of every metric in Table 3 rises; won–tied–lost {won[3]}.",
            *(rises[3], False),
        ),
        (
            *("5.4", "on average … HASTE-modified metrics outperform their baseline methods"),
            f"The mean of both metrics in Table 4 rises; won–tied–lost {won[4]}. With three models "
            f"an ensemble (Table 7, {won[7]}) the mean changes are "
            + ", ".join(
                f"{number(v, 3, sign=True)} ({labels.metric(str(k))})" for k, v in means[7].items()
            )
            + ".",
            *(rises[4], False),
        ),
        (
            *("5.5", "HASTE-modified transferability metrics outperform their baseline"),
            f"Won–tied–lost {won[5]} in Table 5.",
            *(lost[5] == 0 and "–0–" in won[5], rises[5]),
        ),
        (
            *("6", "In contrast to … one metric doesn’t work for all"),
            f"The {len(tops[1])} rows of Table 1 have their highest values in {len(firsts)} "
            f"different columns: {', '.join(firsts)}.",
            *(len(firsts) == 1, False),
        ),
        (
            *("A.4", "HASTE-LEEP outperforms LEEP … across all three architectures (Table 8)"),
            f"It does in {above} of {len(eight)} cells. In Table 6, with the same targets and "
            f"baselines, {six} value does not.",
            *(above == len(eight), False),
        ),
        (
            *("A.5", "the results come out to be worse than when using only hard subsets"),
            f"Mixtures of Table 9 worse–equal–better than CS: {_score(nine['cs'][::-1])}; than CA: "
            f"{_score(nine['ca'][::-1])}.",
            *(nine["cs"][:2] == (0, 0), nine["cs"][0] < nine["cs"][2]),
        ),
        (
            *("A.6", "HASTE approach is agnostic to the choice of correlation coefficient"),
            f"Won–tied–lost {', '.join(_score(counts(one['gain'])) for one in three)} by r, τ and "
            f"weighted τ (Tables 1, 10, 11). The three agree on better, equal or worse in "
            f"{same.sum()} of {len(same)} comparisons, and two of them point in opposite ways in "
            f"{opposite.sum()}.",
            *(bool(same.all()), up),
        ),
    ]
    verdicts = [
        "holds" if w else "holds on average" if a else "does not hold" for *_, w, a in found
    ]
    frame = pd.DataFrame([line[:3] for line in found], columns=["section", "sentence", "found"])
    return frame.assign(verdict=verdicts)


def claims_in_words() -> str:
    """:func:`claims` as a Markdown list, counted at its end."""
    frame = claims()
    lines = [
        f"- **{r['section']}**, “{r['sentence']}”: {r['found']} **{r['verdict'].capitalize()}.**"
        for r in frame.to_dict("records")
    ]
    tally = ", ".join(f"{count} {name}" for name, count in frame["verdict"].value_counts().items())
    return "\n".join([*lines, "", f"Verdicts on the {len(frame)} sentences: {tally}."])


def _columns(which: int) -> pd.DataFrame:
    """A table as it is printed: rows down, metric and variant across."""
    table = _printed(which)
    names = table["metric"].map(labels.metric) + " " + table["variant"].map(labels.variant)
    wide = table.assign(column=names).pivot(index="row", columns="column", values="value")  # noqa: PD010
    return wide.loc[list(table["row"].unique())]


def _mixtures(variant: str) -> tuple[int, int, int]:
    """How often Table 9's mixtures are better than, equal to, worse than a hard subset."""
    table = _printed(9)
    hard = table[table["variant"] == variant].set_index("target")["value"]
    mixed = table[table["variant"].str.startswith("stochastic")]
    return counts((mixed["value"] - mixed["target"].map(hard)).round(3))


# Numbers that contradict each other


def hardness_sources() -> Table:
    """Table 8's values, by the network that ranks, beside Table 6's for the same experiment."""
    eight, six = _printed(8), _printed(6)
    known = six[six["metric"] == "leep"].set_index(["row", "variant"])["value"]
    base = eight[eight["variant"] == "all"].set_index("target")["value"]
    frame = eight[eight["variant"] != "all"].copy()
    frame["row"] = frame["target"].str.removesuffix(" Pets")
    frame["baseline"] = frame["target"].map(base)
    frame["table 6"] = [known[key] for key in zip(frame["row"], frame["variant"], strict=True)]
    networks = list(frame["hardness_source"].unique())
    keys = ["row", "variant", "table 6", "baseline"]
    wide = frame.pivot(index=keys, columns="hardness_source", values="value")  # noqa: PD010
    shown = _table(
        "HASTE-LEEP of CUB200 sources: in Table 8, by the network that ranks (RN: ResNet); in "
        "Table 6; and Table 8’s baseline.",
        ("", *(name.replace("ResNet", "RN") for name in networks), "Table 6", "Base"),
        wide.reset_index(),
        lambda r: (
            f"{r['row']} {labels.variant(r['variant'])}",
            *(_short(r[key]) for key in (*networks, "table 6", "baseline")),
        ),
    )
    same = int((frame["value"] == frame["table 6"]).sum())
    note = f"{same} of Table 8’s {len(frame)} values are Table 6’s, whichever network ranked there."
    return Table(shown.caption, shown.blocks, (note,), frame)


def mislabelled() -> Table:
    """Table 13, headed LEEP, beside Table 2's LEEP, whose caption it repeats."""
    blocks, parts = [], []
    for which, metric in ((2, "leep"), (13, "logme")):
        part = _printed(which)
        part = part[part["metric"] == metric]
        wide = part.pivot(index="row", columns="variant", values="value")  # noqa: PD010
        parts.append(wide.loc[list(part["row"].unique())])
        lines = [
            (str(row), tuple(Cell(_short(line[k])) for k in ("all", "ca", "cs")))
            for row, line in parts[-1].iterrows()
        ]
        blocks.append(Block(f"Table {which}", ("", "Base", "CA", "CS"), tuple(lines)))
    frame = pd.concat(parts, axis=1, keys=["2", "13"])
    means = pairs([2, 13]).groupby("metric")["relative"].mean()
    same = int((parts[0] == parts[1].loc[parts[0].index]).to_numpy().sum())
    note = (
        f"{same} of {parts[0].size} values agree. Mean relative change: Table 2’s LEEP "
        f"{_percent(means['leep'])}%, Table 13 {_percent(means['logme'])}%; for LogME the text "
        f"prints {_percent(HEADLINES[13, 'logme'])}%."
    )
    caption = "What stands under the header LEEP for Caltech101 sources in Tables 2 and 13."
    return Table(caption, tuple(blocks), (note,), frame)


def repeated() -> Table:
    """Rows whose baseline and CA are those of another row, to three decimals, with both CS."""
    keys = ["table", "row", "metric"]
    every = pd.concat([_printed(which) for which in (*SIZES, 9)])
    wide = every.pivot(index=keys, columns="variant", values="value").reset_index()  # noqa: PD010
    wide = wide[wide["all"].ne(wide["ca"]) & wide["ca"].notna()]
    frame = wide[wide.duplicated(["all", "ca"], keep=False)].sort_values(["all", "ca", "table"])
    return _table(
        "Rows that have baseline and CA in common with another row.",
        ("Row", "Base", "CA", "CS"),
        frame[[*keys, "all", "ca", "cs"]],
        lambda r: (
            f"T{r['table']} {r['row']} {labels.metric(r['metric'])}",
            *(_short(r[key]) for key in ("all", "ca", "cs")),
        ),
    )


# Rank correlations of seven sources


@cache
def _rankings(n: int = 7) -> tuple[ndarray, ndarray, ndarray]:
    """Of all rankings by score: whether two accuracies are tied, tau and weighted tau."""
    orders = np.array(list(permutations(range(n))))
    first, second = np.triu_indices(n, 1)
    found = []
    for tied in range(n):  # 0: no tie; else the accuracies at tied - 1 and tied are equal
        y = np.arange(n) - (np.arange(n) >= max(tied, 1)) * (tied > 0)
        here = orders[orders[:, tied - 1] < orders[:, tied]] if tied else orders  # each one once
        truth = np.sign(y[first] - y[second])
        signs = np.sign(here[:, first] - here[:, second])
        tau = signs @ truth / math.sqrt(len(truth) * np.abs(truth).sum())
        weighted = np.array([scipy.stats.weightedtau(order, y).statistic for order in here])
        found.append((np.full(len(here), tied > 0), tau, weighted))
    ties, taus, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return ties, taus, weights


def _thousandths(values: Float[ndarray, " m"], cut: bool) -> ndarray:
    scaled = np.round(1000 * values, 6)  # 1000 * 0.29 is not quite 290
    return (np.trunc(scaled) if cut else np.round(scaled)).astype(int)


def rankings() -> Table:
    """Can seven sources be ranked so that both their Kendall correlations are as printed?

    All rankings by score are tried against accuracies without ties and with one tied pair, which
    gives the same values as a tied pair of scores. In ``frame``, a row per cell of Tables 10 and
    11, ``tied`` says that the printed tau needs a tie, and ``tau cut``, ``tau rounded``, ``cut``
    and ``rounded`` count the rankings that give tau alone and both, cut off or rounded.
    """
    keys = ["row", "metric", "variant"]
    both = [_printed(which).set_index(keys)["value"] for which in (10, 11)]
    frame = pd.concat(both, axis=1, keys=["tau", "weighted"]).reset_index()
    ties, tau, weighted = _rankings()
    printed = [_thousandths(frame[name].to_numpy(), False)[:, None] for name in ("tau", "weighted")]
    for cut, name in ((True, "cut"), (False, "rounded")):
        right = _thousandths(tau, cut) == printed[0]
        frame[f"tau {name}"] = right.sum(1)
        frame[name] = (right & (_thousandths(weighted, cut) == printed[1])).sum(1)
        frame["tied"] = frame.get("tied", True) & ~(right & ~ties).any(1)
    columns = ["tied", "tau rounded", "tau cut", "cut"]
    found = (frame[columns] > 0).groupby(frame["row"], sort=False).sum()
    found.loc["All"] = found.sum()
    notes = [
        f"Both at once: {int((frame['cut'] > 0).sum())} of {len(frame)} cells if cut off, "
        f"{int((frame['rounded'] > 0).sum())} if rounded."
    ]
    for r in frame[frame["cut"] == 0].to_dict("records"):
        near = weighted[_thousandths(tau, True) == round(1000 * r["tau"])]
        notes.append(
            f"{r['row']}, {labels.metric(r['metric'])} {labels.variant(r['variant'])}: no ranking "
            f"of seven with τ = {_short(r['tau'])} has weighted τ = {_short(r['weighted'])}; the "
            f"nearest is {_short(near[np.abs(near - r['weighted']).argmin()], 4)}."
        )
    shown = _table(
        f"Of the {len(frame) // (len(found) - 1)} cells of each target: τ (Table 10) that only a "
        "tied pair can give; τ that some ranking of seven gives, rounded, or cut off after three "
        "decimals; and τ together with the weighted τ of Table 11, both cut off.",
        ("", "Tied", "τ rounded", "τ cut", "Both cut"),
        found.reset_index(),
        lambda r: (r["row"], *(str(r[name]) for name in columns)),
        summary=1,
    )
    return Table(shown.caption, shown.blocks, tuple(notes), frame)


def unchanged() -> str:
    """How often HASTE leaves both rank correlations as they were, and what r did there."""
    r, tau, weighted = (pairs([which])["gain"] for which in (1, 10, 11))
    still = (tau == 0) & (weighted == 0)
    up, same, down = counts(r[still])
    return (
        f"In {int(still.sum())} of {len(r)} comparisons both rank correlations stay exactly as "
        "they were: on the hard subset the scores rank the sources no better and no worse. "
        f"Pearson’s r went up in {up} of these, down in {down}, and stayed in {same}. Of the "
        f"{int((r > 0).sum())} comparisons that HASTE wins by r, it wins "
        f"{int(((r > 0) & (tau > 0)).sum())} by τ and {int(((r > 0) & (weighted > 0)).sum())} by "
        "weighted τ."
    )


# What the text gives as numbers


def pools() -> Table:
    """How many ensembles are there, if a target's own models are left out of A.2's pool?"""
    total = OTHERS + sum(POOL.values())
    frame = pd.DataFrame({"target": POOL.keys(), "own": POOL.values()})
    frame["pool"] = total - frame["own"]
    for k in (4, 3):
        frame[f"of {k}"] = [math.comb(pool, k) for pool in frame["pool"]]
    return _table(
        f"A.2 lists {total} models. Per target its own, what is left (P), and the ensembles of K.",
        ("Target", "Own", "P", "K = 4", "K = 3"),
        frame,
        lambda r: [str(value) for value in r.values()],
    )


def tasks(least: float = 0.4) -> Table:
    """How many different target tasks are there with 40% to 100% of the classes?"""
    frame = pd.DataFrame({"target": CLASSES.keys(), "classes": CLASSES.values()})
    frame["smallest"] = np.ceil(least * frame["classes"] - 1e-9).astype(int)
    frame["sets"] = [
        float(sum(math.comb(c, k) for k in range(smallest, c + 1)))
        for c, smallest in zip(frame["classes"], frame["smallest"], strict=True)
    ]
    return _table(
        f"Different sets of {least:.0%} to 100% of the classes; 5.2 draws {SIZES[2]} of them.",
        ("Target", "Classes", "Smallest", "Sets"),
        frame,
        lambda r: (
            *(r["target"], str(r["classes"]), str(r["smallest"])),
            f"{r['sets']:.0f}" if r["sets"] < 1000 else "> 1000",
        ),
    )


def covariances() -> Table:
    """For which classes can Eq. 4's inverse exist? It needs more than d samples of a class."""
    columns = ["section", "target", "width", "smallest", "largest"]
    frame = pd.DataFrame(CLASS_SIZES, columns=columns)
    ends = [frame[name] > frame["width"] for name in ("smallest", "largest")]
    frame["inverse"] = np.where(ends[0], "all", np.where(ends[1], "some", "none"))
    return _table(
        "Width d of the embedding, samples of the smallest and the largest class, and which "
        "classes can have an invertible covariance.",
        ("Target", "d", "Samples", "Inverse"),
        frame,
        lambda r: (
            *(f"{r['section']} {r['target']}", str(r["width"])),
            *(_score(dict.fromkeys([r["smallest"], r["largest"]])), r["inverse"]),
        ),
    )


def summary(level: float = 0.95) -> str:
    """What the audit finds, in five items of Markdown computed from the numbers."""
    heads, rows = headlines().frame, leverage().frame
    keys = ["table", "metric"]
    row = rows.set_index(keys).to_dict("index")[1, "leep"]
    line = summaries().frame.set_index(keys).to_dict("index")[1, "leep"]
    won, tied, lost = counts(pairs()["gain"])
    inside = intervals(level).frame.set_index("table").to_dict("index")[1]
    test = williams().frame.set_index("table").to_dict("index")[1]
    verdicts = claims()["verdict"].value_counts()
    bad = int((rankings().frame["cut"] == 0).sum())
    lines = (
        f"**The arithmetic is right.** All {len(heads)} percentages of the text come out of the "
        f"printed tables within {TOLERANCE} points.",
        f"**Single rows carry the averages.** In {int((rows['share'] > 0.5).sum())} of {len(rows)} "
        "mean relative changes one row outweighs all the others together. LEEP’s in Table 1 is "
        f"{_percent(row['mean'])}%, but {_percent(row['without'])}% without {row['row']} and "
        f"{_percent(line['median'])}% in the median; its mean correlation rises by "
        f"{number(line['gain'])}.",
        f"**HASTE wins more often than it loses**: {won} of {won + tied + lost} comparisons, with "
        f"{tied} ties and {lost} losses. But the paper has no random subset of the same size, so "
        "nothing tells hardness from size.",
        f"**Seven sources decide nothing.** {inside['small']} of Table 1’s {inside['comparisons']} "
        f"changes are smaller than the half-width of the baseline’s {level:.0%} interval, and a "
        "paired test finds none significant unless the scores of baseline and HASTE correlate "
        f"above {number(test['lowest'], 2)}.",
        f"**Words and tables disagree in places.** Of {verdicts.sum()} sentences that the tables "
        f"can test {verdicts.get('holds', 0)} hold, {verdicts.get('holds on average', 0)} on "
        f"average, {verdicts.get('does not hold', 0)} not. Rows are swapped (Table 9), repeated "
        "(Tables 3 and 5) or headed by the wrong metric (Table 13), two contradict each other "
        f"(6 and 8), and {bad} cell fits no ranking (Tables 10 and 11).",
    )
    return "\n".join(f"- {text}" for text in lines)
