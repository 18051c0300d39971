"""What the number of points behind a correlation allows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.stats
from jaxtyping import Float
from numpy import ndarray

from hastelib import stats
from hastelib.report.audit.common import SIZES, by_table, printed_table, short, simple
from hastelib.report.tables import Table, interval, narrow

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
    table = printed_table(which)
    low, high = fisher(table["value"].to_numpy(float), SIZES[which], level)
    return table.assign(suite="paper", target=table["row"], low=low, high=high, n=SIZES[which])


def widths(level: float = 0.95) -> Table:
    """How wide is the interval of a correlation over so many points?"""
    sizes = sorted({*SIZES.values()})
    ends = [fisher(np.array([0.0, 0.5, 0.9]), n, level) for n in sizes]
    frame = pd.DataFrame({"n": sizes, "ends": [one.T.tolist() for one in ends]})
    return simple(
        f"{level:.0%} intervals (Fisher’s z) of three correlations over n points.",
        ("n", "r = 0", "r = 0.5", "r = 0.9"),
        frame,
        lambda r: (str(r["n"]), *(narrow(interval(*pair)) for pair in r["ends"])),
    )


def intervals(level: float = 0.95) -> Table:
    """How many correlations differ from 0, and how many changes exceed their interval?"""
    found = []
    for which, part in by_table():
        every, n = printed_intervals(which, level), SIZES[which]
        low, high = fisher(part["other"].to_numpy(float), n, level)
        half = ((every["high"] - every["low"]) / 2).median()
        zero = int(((every["low"] < 0) & (every["high"] > 0)).sum())
        small = int((part["gain"].abs() < (high - low) / 2).sum())
        found.append((which, n, half, zero, len(every), small, len(part)))
    columns = ["table", "n", "half", "zero", "correlations", "small", "comparisons"]
    return simple(
        f"±: median half-width of the {level:.0%} intervals. Holds 0: correlations that cannot be "
        "told from 0. Inside: changes from baseline to HASTE smaller than the half-width of the "
        "baseline’s interval. Where n is 50 or more the points overlap, and the true intervals are "
        "wider.",
        ("", "n", "±", "Holds 0", "Inside"),
        pd.DataFrame(found, columns=columns),
        lambda r: (
            *(f"Table {r['table']}", str(r["n"]), short(r["half"], 2)),
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
    for which, part in by_table():
        n, cells = SIZES[which], list(zip(part["value"], part["other"], strict=True))
        hits, possible = [], []
        for r12 in between:
            there = [pair for pair in cells if _bounds(*pair)[0] <= r12 <= _bounds(*pair)[1]]
            hits.append(sum(stats.williams_t(*pair, r12, n)[1] < alpha for pair in there))
            possible.append(len(there))
        lowest = min(_lowest(*pair, n, alpha) for pair in cells)
        found.append((which, n, hits, possible, lowest))
    return simple(
        f"Williams’ test: changes with p below {alpha:g}, of those possible, if the scores of "
        "baseline and HASTE correlate as the head of the column says. From: the lowest such "
        "correlation at which any change of the table is significant.",
        ("r between", *(narrow(f"{r12:g}") for r12 in between), "From"),
        pd.DataFrame(found, columns=["table", "n", "hits", "possible", "lowest"]),
        lambda r: (
            f"Table {r['table']}, n = {r['n']}",
            *(f"{hit}/{all_}" for hit, all_ in zip(r["hits"], r["possible"], strict=True)),
            short(r["lowest"], 2),
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
