"""What the notebooks share: one bootstrap of long frames, and claims that a run must meet.

A bootstrap is a frame: row 0 is the value, the other rows are resamples of the independent units,
a column is a cell of a table. The same resamples of the units, by name, serve all cells, so that
differences, means over targets and partial correlations are arithmetic on its columns. Cells that
share no unit, not even by way of others, are resampled independently.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy import ndarray
from pandas.io.formats.style import Styler

from hastelib import stats
from hastelib.analysis import tables
from hastelib.analysis.dryrun import plan as plan
from hastelib.analysis.notebook import named as named
from hastelib.analysis.notebook import parameters as parameters
from hastelib.analysis.notebook import save as save
from hastelib.analysis.notebook import setting as setting
from hastelib.analysis.notebook import start as start
from hastelib.analysis.notebook import words as words
from hastelib.selection import FEWEST


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
    resamples: int = 0,
) -> pd.DataFrame:
    """A statistic of x and y over the units of every cell, and its bootstrap.

    Args:
        frame: long, with a row for each cell, unit and ``draw`` (where it has that column).
        by: the columns whose combinations are the cells; ``within`` is one of them.
        unit: column of the independent units.
        x: column of the scores.
        y: column of the accuracies, the same for all cells that differ in ``within`` alone.
        within: cells that differ in this column alone keep to the same units: one that lacks x or
            y in any of them is left out of all. A cell without any x is NaN.
        statistic: ``pearson``, ``spearman``, ``kendall``, ``weighted_kendall`` or ``regret``.
        members: stands between the members' names where the units are ensembles, such as ``|``.
            The members are resampled then (:func:`ensemble_weights`), the statistic is Pearson's.
        resamples: how many; for 0 they are 2,000, but of up to ten units, no ensembles, 20,000:
            else chance would decide on which side of 0 an interval ends.

    Returns:
        ``1 + resamples`` rows, a column for each cell, its levels named as ``by``: the mean of the
        statistic over the draws that have it. Where cells lack some of each other's units, only
        Pearson's resamples are the same by name, others' by place. NaN for fewer than three units.

    Raises:
        ValueError: no rows, a column that is not there, or a (cell, unit, draw) that stands twice.
    """
    frame = frame if "draw" in frame else frame.assign(draw=0)
    by, keys, needed = list(by), [*by, unit, "draw"], [*by, unit, x, y]
    if missing := [name for name in dict.fromkeys([*needed, within]) if name not in frame]:
        raise ValueError(f"frame: expected the columns {needed}, missing {missing}")
    if within not in by:
        raise ValueError(f"by: expected {within!r} (the argument within) among {by}")
    if frame.empty:
        raise ValueError("frame: expected rows, got none")
    if (doubled := frame.duplicated(keys)).any():
        raise ValueError(
            f"frame: expected each cell, {unit} and draw once, got {doubled.sum()} rows again, the "
            f"first {frame.loc[doubled, keys].iloc[0].to_dict()}; name what tells them apart in "
            "`by`, or choose one of them"
        )
    outer = [name for name in by if name != within]
    frame = frame[[*dict.fromkeys([*keys, x, y])]]  # each other column costs time in each cell
    cells: dict[tuple, tuple[list[Any], pd.DataFrame, pd.Series]] = {}
    for key, group in frame.groupby(outer, sort=False, dropna=False) if outer else [((), frame)]:
        truth = group.groupby(unit, sort=False)[y].first()
        scores = group.set_index([unit, within, "draw"])[x].unstack([within, "draw"], sort=False)
        scores = scores.reindex(truth.index).loc[:, scores.notna().any()]
        kept = scores.notna().all(axis=1) & truth.notna()
        cells[key] = [*group[within].unique()], scores[kept], truth[kept]
    pools = _pools(truth.index for _, _, truth in cells.values())
    resamples = resamples or (2000 if members or max(map(len, pools)) > 10 else 20_000)
    columns: dict[tuple, Float64[ndarray, " b"]] = {}
    for key, (variants, scores, truth) in cells.items():
        seed, pool = next((i, p) for i, p in enumerate(pools) if p.keys() >= {*truth.index})
        units = [name for name in pool if name in truth.index]
        scores, accuracies = scores.loc[units], truth[units].to_numpy(float)
        if members:
            weights, inverse = ensemble_weights(units, members, resamples), np.arange(1 + resamples)
        elif statistic == "pearson":  # how often each unit is in each resample
            drawn, inverse = stats.drawn(len(pool), resamples, seed)
            weights = np.array([np.bincount(row, minlength=len(pool)) for row in drawn], float)
            weights = weights[:, [name in truth.index for name in pool]]
        for name in variants:
            values = np.full((1, 1 + resamples), np.nan)
            if len(scores) >= FEWEST and name in scores:
                draws = scores[name].to_numpy(float).T
                if members or statistic == "pearson":
                    fewest = FEWEST if members else 2
                    values = _weighted_pearson(draws, accuracies, weights, fewest)[:, inverse]
                else:
                    args = accuracies, resamples, seed
                    values = np.array([stats.replicates(statistic, draw, *args) for draw in draws])
                if not members and len(accuracies) < stats.FEWEST:
                    values[:, 1:] = np.nan
            columns[*key, name] = np.ma.masked_invalid(values).mean(axis=0).filled(np.nan)
    labels = pd.MultiIndex.from_tuples(columns, names=[*outer, within]).reorder_levels(by)
    axis = labels if outer else labels.get_level_values(0)  # a single level's are plain names
    return pd.DataFrame(dict(enumerate(columns.values()))).set_axis(axis, axis=1)


def _pools(cells: Iterable[pd.Index]) -> list[dict[Any, None]]:
    """The units of all cells; those that share a cell, if by way of others, are in one pool."""
    pools: list[dict[Any, None]] = []
    for units in cells:
        apart = [pool for pool in pools if pool.keys().isdisjoint(units)]
        joined = [pool for pool in pools if pool not in apart]
        pools = [*apart, dict.fromkeys(itertools.chain(*joined, units))]
    return pools


def _weighted_pearson(
    draws: Float64[ndarray, "d n"],
    y: Float64[ndarray, " n"],
    weights: Float64[ndarray, "b n"],
    fewest: int,
) -> Float64[ndarray, "d b"]:
    """Pearson's r of each draw with y, the units counted as often as the weights say.

    NaN where fewer than ``fewest`` units have a weight, or either side is constant.
    """
    enough = (weights > 0).sum(1) >= fewest
    total = np.where(enough, weights.sum(1), np.nan)

    def moments(values: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        values = (values - values.mean()) / (values.std() or 1.0)
        mean = weights @ values / total
        return values, mean, weights @ values**2 / total - mean**2

    y, mean_y, var_y = moments(y)
    correlations = []
    for draw in draws:
        x, mean_x, var_x = moments(draw)
        product = np.where((var_x > 1e-12) & (var_y > 1e-12), var_x * var_y, np.nan)
        correlations.append((weights @ (x * y) / total - mean_x * mean_y) / np.sqrt(product))
    return np.clip(correlations, -1, 1)


def ensemble_weights(
    ensembles: Sequence[str], members: str = "|", resamples: int = 2000
) -> Float64[ndarray, "b e"]:
    r"""How often each ensemble occurs where its members are resampled: :math:`\prod_{i \in e} m_i`.

    With :math:`m_i` copies of member i in a resample there are so many ways to put together the
    ensemble e without two copies of one member. The first row is 1.
    """
    membership = pd.Series(ensembles).str.get_dummies(members)
    names = dict.fromkeys(member for ensemble in ensembles for member in ensemble.split(members))
    generator, p = np.random.default_rng(0), len(names)
    counts = generator.multinomial(p, np.full(p, 1 / p), size=resamples)
    counts = np.concatenate([np.ones((1, p)), counts])
    return np.stack([counts[:, row].prod(1) for row in membership[[*names]].to_numpy(bool)], axis=1)


def summary(boot: pd.DataFrame) -> pd.DataFrame:
    """Each column's value, and low and high end of its :func:`hastelib.stats.interval`."""
    intervals = [stats.interval(boot[column].to_numpy(float)) for column in boot]
    return pd.DataFrame(intervals, _used(boot.columns), columns=["value", "low", "high"])


def against(boot: pd.DataFrame, other: str, level: str = "variant") -> pd.DataFrame:
    """Every column less the one with ``other`` in that level: gains over a baseline or control."""
    names = boot.columns.get_level_values(level)
    if other not in names:
        raise ValueError(f"other: expected one of {sorted(set(names))}, got {other!r}")
    base, rest = boot.loc[:, names == other], boot.loc[:, names != other]
    base = base.set_axis(_without(base.columns, level), axis=1)
    rest = rest.set_axis(_used(rest.columns), axis=1)
    return rest - base.reindex(columns=_without(rest.columns, level)).set_axis(rest.columns, axis=1)


def _without(columns: pd.Index, level: str) -> pd.Index:
    if isinstance(columns, pd.MultiIndex):
        return _used(columns.droplevel(level))
    return pd.Index(["all"] * len(columns))  # the cells differ in nothing else


def _used(columns: pd.Index) -> pd.Index:
    """Without unused names, which in pandas' unstack(sort=False) take the places of others."""
    return columns.remove_unused_levels() if isinstance(columns, pd.MultiIndex) else columns


def mean(boot: pd.DataFrame, over: str = "target") -> pd.DataFrame:
    """The mean of the columns over a level, resample by resample.

    A cell without a value is left out; a resample in which another one has none is NaN.
    """
    present, labels = boot.iloc[0].notna().to_numpy(), _without(boot.columns, over)
    cells = labels.unique()
    means = [boot.loc[:, present & (labels == cell)].mean(axis=1, skipna=False) for cell in cells]
    return pd.DataFrame(dict(enumerate(means))).set_axis(cells, axis=1)


def averaged(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The stricter control: one row for each ``by``, with the mean score of the random draws."""
    draws = frame[frame["variant"] == "random"]
    groups = draws.groupby([*by], as_index=False, sort=False, dropna=False)
    return groups[["score", "accuracy"]].mean().assign(variant="averaged", draw=0)


def spread(frame: pd.DataFrame) -> pd.DataFrame:
    """Do the accuracies of a target differ by more than their noise?

    Returns:
        By target: low and high (of the sources' accuracies), range, deviation (of the seeds, pooled
        over the sources), times (how often it goes into the range), and verdict: ``nothing to
        predict`` where that is less than three. A target with one seed has no deviation.
    """
    groups = frame.drop_duplicates(["target", "source"]).groupby("target", sort=False)
    table = pd.DataFrame(groups["accuracy"].agg(low="min", high="max"))
    table["range"] = table["high"] - table["low"]
    table["deviation"] = groups["accuracy_std"].agg(lambda std: np.sqrt((std.dropna() ** 2).mean()))
    table["times"] = table["range"] / table["deviation"].where(table["deviation"] > 0)
    table["verdict"] = np.where(table["times"] < 3, "nothing to predict", "")
    return table


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
        when: whether the claims are about this run, such as ``suite == "glyphs"``; else they are
            passed over, and the page says so.
        caption: of the table.
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

    def text(value: float) -> str:
        if isinstance(value, bool | np.bool_):
            return "yes" if value else "no"
        return f"{value:.6g}".replace("-", tables.MINUS)

    rows = {claim: [*map(text, pair), "✓"] for claim, pair in claims.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["expected", "got", "match"])
    return tables.plain(table.rename_axis("Claim"), caption)
