"""The headline percentages, what carries them, and other ways to sum up the same numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import scipy.stats

from hastelib import stats
from hastelib.report import labels
from hastelib.report.audit.common import (
    HALF,
    HEADLINES,
    SIZES,
    TOLERANCE,
    by_table,
    pairs,
    percent,
    row_name,
    score,
    short,
    simple,
    tenths,
)
from hastelib.report.comparison import counts
from hastelib.report.tables import NONE, Block, Cell, Table, interval, narrow, number

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
        + ", ".join(f"{labels.metric(str(k))} has {percent(v)}" for k, v in two)
        + ".",
    )
    return simple(
        "Improvements in percent: the text’s, and the mean of (h − b)/|b| over the table.",
        ("Table", "Expected", "Got", "Match", "Range"),
        frame,
        lambda r: (
            *(row_name(r), percent(r["printed"]), percent(r["got"]), "✓"),
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
    return simple(
        "Mean relative change in percent (CA and CS), the points of it that the most influential "
        "row contributes, the mean over the other rows, and that row.",
        ("Table", "Mean", "Row’s", "Without", "Row"),
        frame,
        lambda r: (row_name(r), *(tenths(r[k]) for k in ("mean", "points", "without")), r["row"]),
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
    return simple(
        f"{called[variant]}: mean and median relative change and change of the mean correlation, "
        "in percent; difference of the mean correlations; comparisons won–tied–lost.",
        ("Table", "Mean", "Median", "Ratio", "Gain", "W–T–L"),
        pd.DataFrame(found, columns=columns),
        lambda r: (
            *(row_name(r), *(tenths(r[k]) for k in ("mean", "median", "ratio"))),
            *(short(r["gain"], sign=True), score(r[k] for k in ("wins", "ties", "losses"))),
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
    for which, part in by_table():
        ends: list[float] = []
        for key in ("row", "metric"):
            names = part[key].unique()
            rest = [part.loc[part[key] != name, "gain"].mean() for name in names]
            ends += [min(rest), max(rest)] if len(names) > 1 else [np.nan, np.nan]
        found.append((which, part["gain"].mean(), *ends))
    columns = ["table", "gain", "row_low", "row_high", "metric_low", "metric_high"]
    return simple(
        "Mean gain in r over all comparisons of a table, and its range as each row (target), then "
        "as each metric is left out.",
        ("", "Gain", "Less a row", "Less a metric"),
        pd.DataFrame(found, columns=columns),
        lambda r: (
            *(f"Table {r['table']}", short(r["gain"], sign=True)),
            *(
                narrow(interval(r[f"{k}_low"], r[f"{k}_high"], 3)) or NONE
                for k in ("row", "metric")
            ),
        ),
    )
