"""What the notebooks share: one bootstrap of long frames, and claims that a run must meet.

:mod:`~hastelib.analysis.tables` and :mod:`~hastelib.analysis.plots` show what comes out,
:mod:`~hastelib.analysis.paper` holds the paper's numbers, :mod:`~hastelib.analysis.notebook` a
notebook's first cell.

A bootstrap is a frame: row 0 is the value, the other rows are resamples of the independent units,
a column is a cell of a table. The same resamples serve all cells with equally many units, so that
differences, means over targets and partial correlations are arithmetic on its columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy import ndarray
from pandas.io.formats.style import Styler

from hastelib import stats
from hastelib.analysis import tables
from hastelib.analysis.notebook import parameters, save, start, words
from hastelib.selection import FEWEST

__all__ = [
    "against",
    "bootstrap",
    "ensemble_weights",
    "mean",
    "parameters",
    "save",
    "spread",
    "start",
    "summary",
    "verify",
    "words",
]

ENOUGH = 3
"""The accuracies' range must be so many times the seeds' deviation, else it is noise."""


def bootstrap(
    frame: pd.DataFrame,
    by: Sequence[str],
    *,
    unit: str = "source",
    x: str = "score",
    y: str = "accuracy",
    within: str = "variant",
    statistic: str = "pearson",
    members: str = "",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """A statistic of x and y over the units of every cell, and its bootstrap.

    Args:
        frame: long, with a row for each cell, unit and ``draw`` (where it has that column).
        by: the columns whose combinations are the cells; ``within`` is one of them.
        unit: column of the independent units.
        x: column of the scores.
        y: column of the accuracies, the same for all cells that differ in ``within`` alone.
        within: cells that differ in this column alone are compared with each other, so they keep
            to the same units: one that lacks x or y in any of them is left out of all. A cell
            without any x is NaN.
        statistic: ``pearson``, ``spearman``, ``kendall``, ``weighted_kendall`` or ``regret``.
        members: what stands between the members' names where the units are ensembles, such as
            ``|``. The members are resampled then, an ensemble counts as often as its members
            can be put together (the product of their counts), and the statistic is Pearson's.
        resamples: how many.
        seed: of the resampling.

    Returns:
        ``1 + resamples`` rows, a column for each cell, its levels named as ``by``. Where a cell has
        several draws it is the mean of the draws' statistics (of those that exist). NaN where
        fewer than three units are left.

    Raises:
        ValueError: no rows, a column that is not there, or a (cell, unit, draw) that stands twice.
    """
    by = list(by)
    draw = ["draw"] if "draw" in frame else []
    needed = [*by, unit, x, y]
    if missing := [name for name in dict.fromkeys([*needed, within]) if name not in frame]:
        raise ValueError(f"frame: expected the columns {needed}, missing {missing}")
    if within not in by:
        raise ValueError(f"by: expected {within!r} (the argument within) among {by}")
    if frame.empty:
        raise ValueError("frame: expected rows, got none")
    twice = frame.duplicated([*by, unit, *draw])
    if twice.any():
        first = frame.loc[twice, [*by, unit, *draw]].iloc[0].to_dict()
        raise ValueError(
            f"frame: expected each cell, {unit} and draw once, got {int(twice.sum())} rows again, "
            f"the first {first}; name what tells them apart in `by`, or choose one of them"
        )
    found: dict[tuple, Float64[ndarray, " b"]] = {}
    rest = [name for name in by if name != within]
    groups = frame.groupby(rest, sort=False, dropna=False) if rest else [((), frame)]
    for key, group in groups:
        wide = group.set_index([unit, within, *draw])[x].unstack([within, *draw], sort=False)
        wide = wide.reindex(group[unit].unique())
        truth = group.groupby(unit, sort=False)[y].first().reindex(wide.index)
        some = wide.loc[:, wide.notna().any()]
        kept = some.notna().all(axis=1) & truth.notna()
        some, truth = some[kept], truth[kept]
        for name in group[within].unique():
            names = some.columns.get_level_values(0)
            own = some.loc[:, names == name]
            values = np.full((1, 1 + resamples), np.nan)
            if len(some) >= FEWEST and own.shape[1]:
                values = _replicates(own, truth, statistic, members, resamples, seed)
            named = dict(zip(rest, key, strict=True)) | {within: name}
            found[tuple(named[n] for n in by)] = _mean(values)
    result = pd.DataFrame(dict(enumerate(found.values())))
    result.columns = pd.MultiIndex.from_tuples(found, names=by)
    if len(by) == 1:  # such a column is called by its name alone
        result.columns = result.columns.get_level_values(0)
    return result


def _mean(values: Float64[ndarray, "d b"]) -> Float64[ndarray, " b"]:
    """The mean over the draws that have a value."""
    there = ~np.isnan(values)
    total = np.where(there, values, 0).sum(0)
    return np.divide(total, there.sum(0), out=np.full(len(total), np.nan), where=there.any(0))


def _replicates(
    scores: pd.DataFrame,
    truth: pd.Series,
    statistic: str,
    members: str,
    resamples: int,
    seed: int,
) -> Float64[ndarray, "d b"]:
    y = truth.to_numpy(float)
    columns = scores.to_numpy(float).T
    if not members:
        return np.array([stats.replicates(statistic, c, y, resamples, seed) for c in columns])
    weights = ensemble_weights(list(scores.index), members, resamples, seed)
    total = weights.sum(1)
    there = (weights > 0).sum(1) >= FEWEST
    safe = np.where(there, total, 1.0)

    def moments(values: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        spread = values.std()
        values = (values - values.mean()) / (spread if spread > 0 else 1.0)
        first = (weights @ values) / safe
        return values, first, (weights @ values**2) / safe - first**2

    target, mean_y, var_y = moments(y)
    found = np.full((len(columns), len(weights)), np.nan)
    for row, column in zip(found, columns, strict=True):
        x, mean_x, var_x = moments(column)
        varied = there & (var_x > 1e-12) & (var_y > 1e-12)
        spread = np.sqrt(np.where(varied, var_x * var_y, 1.0))
        r = ((weights @ (x * target)) / safe - mean_x * mean_y) / spread
        row[varied] = np.clip(r, -1, 1)[varied]
    return found


def ensemble_weights(
    ensembles: Sequence[str], members: str = "|", resamples: int = 2000, seed: int = 0
) -> Float64[ndarray, "b e"]:
    r"""How often each ensemble occurs where its members are resampled: :math:`\prod_{i \in e} m_i`.

    With :math:`m_i` copies of member i in a resample there are so many ways to put together the
    ensemble e; ensembles that hold two copies of one member are none of the candidates. The first
    row is 1.
    """
    sets = [name.split(members) for name in ensembles]
    pool = list(dict.fromkeys(one for names in sets for one in names))
    generator = np.random.default_rng(seed)
    often = generator.multinomial(len(pool), np.full(len(pool), 1 / len(pool)), size=resamples)
    often = np.concatenate([np.ones((1, len(pool))), often])
    return np.stack([often[:, [pool.index(i) for i in names]].prod(1) for names in sets], axis=1)


def summary(boot: pd.DataFrame) -> pd.DataFrame:
    """Value and 95% bootstrap interval of every column: the columns value, low, high.

    The interval is NaN where fewer than half of the resamples have a value.
    """
    found = [stats.interval(boot[column].to_numpy(float)) for column in boot]
    return pd.DataFrame(found, index=boot.columns, columns=["value", "low", "high"])


def against(boot: pd.DataFrame, other: str, level: str = "variant") -> pd.DataFrame:
    """Every column less the one that has ``other`` in that level: gains over a baseline or control.

    Raises:
        ValueError: no column has ``other`` there.
    """
    names = boot.columns.get_level_values(level)
    if other not in names:
        raise ValueError(f"other: expected one of {sorted(set(names))}, got {other!r}")
    base = boot.loc[:, names == other]
    base = base.set_axis(_without(base.columns, level), axis=1)
    rest = boot.loc[:, names != other]
    return rest - base.reindex(columns=_without(rest.columns, level)).set_axis(rest.columns, axis=1)


def _without(columns: pd.Index, level: str) -> pd.MultiIndex:
    names = [str(name) for name in columns.names if name != level]
    levels: list[Any] = [columns.get_level_values(name) for name in names]
    if not levels:  # cells that differ in nothing else
        levels, names = [["all"] * len(columns)], [""]
    return pd.MultiIndex.from_arrays(levels, names=names)


def mean(boot: pd.DataFrame, over: str = "target") -> pd.DataFrame:
    """The mean of the columns over a level, resample by resample.

    A cell without a value is left out; a resample in which another one has none is NaN.
    """
    there = boot.iloc[0].notna().to_numpy()
    places = _without(boot.columns, over)
    wanted = places.unique()
    found = [boot.loc[:, there & (places == place)].mean(axis=1, skipna=False) for place in wanted]
    result = pd.DataFrame(dict(enumerate(found)))
    result.columns = wanted
    return result


def spread(frame: pd.DataFrame) -> pd.DataFrame:
    """Do the accuracies of a target differ by more than their noise?

    Returns:
        By target: low and high (of the sources' accuracies), range, deviation (of the seeds, pooled
        over the sources), times (how often it goes into the range), and verdict: ``nothing to
        predict`` where it is less than three times. A target with one seed has no deviation.
    """
    one = frame.drop_duplicates(["target", "source"]).groupby("target", sort=False)
    found = pd.DataFrame(one["accuracy"].agg(low="min", high="max"))
    found["range"] = found["high"] - found["low"]
    found["deviation"] = one["accuracy_std"].agg(lambda std: np.sqrt((std.dropna() ** 2).mean()))
    found["times"] = found["range"] / found["deviation"].where(found["deviation"] > 0)
    found["verdict"] = np.where(found["times"] < ENOUGH, "nothing to predict", "")
    return found


def verify(
    claims: Mapping[str, tuple[float, float]],
    tolerance: float = 1e-9,
    when: bool = True,
    caption: str = "What each claim expects, and what the run on this page gave.",
) -> Styler | None:
    """A table of claims: expected, got, match. A claim that fails stops the page.

    Args:
        claims: the claim in words -> (expected, got); counts and truth values are numbers too.
        tolerance: how far apart the two may be, absolutely or relative to what is expected.
        when: whether the claims are about this run, such as ``suite == "glyphs"``. Where they are
            not, they are passed over, and the page says so.
        caption: of the table.

    Raises:
        ValueError: some claims do not hold; names each with both numbers.
    """
    if not when:
        print(f"Not checked: {len(claims)} claims of this page are about another run.")  # noqa: T201
        return None
    failed = [
        f"{claim}: expected {expected!r}, got {got!r}"
        for claim, (expected, got) in claims.items()
        if not math.isclose(expected, got, rel_tol=tolerance, abs_tol=tolerance)
    ]
    if failed:
        raise ValueError("these claims do not hold:\n  " + "\n  ".join(failed))
    rows = [(claim, _told(expected), _told(got), "✓") for claim, (expected, got) in claims.items()]
    found = pd.DataFrame(rows, columns=["Claim", "expected", "got", "match"]).set_index("Claim")
    return tables.plain(found, caption)


def _told(value: float) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.6g}".replace("-", tables.MINUS)
