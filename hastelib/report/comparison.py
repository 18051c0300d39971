"""What the rows say, as numbers: correlations, their differences, the sources a score picks.

Everything here takes rows (:class:`hastelib.records.Row`, or their table) and gives a tidy table.
Words and layout are the business of :mod:`hastelib.report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from hastelib import stats
from hastelib.records import Row, frame

Rows = Iterable[Row] | pd.DataFrame
CELL = ["suite", "target", "metric", "variant"]
ORDER = ("all", "random", "ca", "cs", "haste")
HASTE = ("ca", "cs", "haste")
"""Variants that use a hard subset; ``haste`` is one of unknown kind, or CA and CS together."""

MEAN = "mean"
"""Stands for the target where a number is a mean over all of them."""

DIGITS = 3
"""Correlations are printed, and compared, with this many decimals, as the paper's are."""

FEWEST = 3
"""A correlation needs this many points: through two of them it is always 1 or -1."""


def several(column: pd.Series) -> bool:
    """Whether a column holds more than one value."""
    return len(column.unique()) > 1


def ordered(variants: Iterable[str]) -> list[str]:
    """The variants without repetition, the baseline first, unknown ones last."""
    known = {name: place for place, name in enumerate(ORDER)}
    return sorted(dict.fromkeys(variants), key=lambda name: known.get(name, len(known)))


def correlate(
    scores: Float[ndarray, " n"],
    accuracies: Float[ndarray, " n"],
    statistic: str = "pearson",
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """The statistic and its interval; ``nan`` for fewer than :data:`FEWEST` points.

    Raises:
        ValueError: no such statistic.
    """
    if len(scores) < FEWEST:
        return np.nan, np.nan, np.nan
    return stats.interval(stats.replicates(statistic, scores, accuracies, resamples, seed))


def _pivot(rows: Rows, values: str, by: Sequence[str]) -> pd.DataFrame:
    """Sources down, ``by`` across; refuses two rows for one cell."""
    table = frame(rows)
    if table.empty:
        raise ValueError("there are no rows: expected one per suite, target, source and metric")
    twice = table.duplicated([*by, "source"])
    if twice.any():
        first = table.loc[twice, [*by, "source"]].iloc[0].to_dict()
        raise ValueError(
            f"several rows for {first}: choose one section, fraction and hardness source first"
        )
    wide = table.pivot(index="source", columns=list(by), values=values)  # noqa: PD010
    columns = pd.MultiIndex.from_frame(table[list(by)].drop_duplicates())
    return wide.loc[table["source"].drop_duplicates(), columns]


def correlations(
    rows: Rows, statistic: str = "pearson", resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """The correlation over sources between a score and the fine-tuned accuracy.

    Args:
        rows: one per suite, target, source, metric and variant.
        statistic: ``pearson`` (the paper's), ``spearman``, ``kendall`` or ``weighted_kendall``.
        resamples: bootstrap samples of the sources behind each interval.
        seed: of the bootstrap.

    Returns:
        The columns suite, target, metric, variant, statistic, value, low, high (a 95% interval)
        and n, the sources with both a score and an accuracy. ``value`` is ``nan`` for fewer than
        three of them and for scores that are all the same.
    """
    scores = _pivot(rows, "score", CELL)
    accuracies = _pivot(rows, "accuracy", CELL)
    found = []
    for cell in scores:
        x, y = scores[cell].to_numpy(float), accuracies[cell].to_numpy(float)
        there = ~np.isnan(x + y)
        values = correlate(x[there], y[there], statistic, resamples, seed)
        found.append((*cast(tuple, cell), statistic, *values, int(there.sum())))
    table = pd.DataFrame(found, columns=[*CELL, "statistic", "value", "low", "high", "n"])
    place = {name: i for i, name in enumerate(ordered(table["variant"]))}
    keys = {name: {v: i for i, v in enumerate(table[name].unique())} for name in CELL[:3]}
    return table.sort_values(
        CELL, key=lambda column: column.map(keys.get(str(column.name), place)), ignore_index=True
    )


def against(table: pd.DataFrame, other: str = "all") -> pd.DataFrame:
    """Every variant's correlation beside that of ``other`` on the same target and metric.

    ``table`` needs the columns target, metric, variant and value; suite and source tell targets
    of the same name apart where they are there. The other's correlation stands in ``other``;
    pairs of which one is ``nan`` are left out.
    """
    on = [name for name in ("suite", "source", "target", "metric") if name in table]
    there = table[table["value"].notna()]
    base = there.loc[there["variant"] == other, [*on, "value"]]
    pairs = there[there["variant"] != other].merge(
        base.rename(columns={"value": "other"}), on=on, validate="many_to_one"
    )
    pairs["gain"] = pairs["value"].round(DIGITS) - pairs["other"].round(DIGITS)
    pairs["gain"] = pairs["gain"].round(DIGITS)
    return pairs


def counts(gains: pd.Series) -> tuple[int, int, int]:
    """Wins, ties and losses at the printed precision."""
    return int((gains > 0).sum()), int((gains == 0).sum()), int((gains < 0).sum())


def improvements(table: pd.DataFrame) -> pd.DataFrame:
    """The numbers of :func:`hastelib.report.improvements`, one line per metric and variant."""
    base, random = against(table), against(table, "random")
    found: list[dict[str, Any]] = []
    for metric in table["metric"].unique():
        of_metric = base[base["metric"] == metric]
        names = ordered(of_metric["variant"])
        groups = {name: [name] for name in names} | (
            {"haste": ["ca", "cs"]} if {"ca", "cs"} <= set(names) else {}
        )
        for variant, members in groups.items():
            pairs = of_metric[of_metric["variant"].isin(members)]
            control = random[(random["metric"] == metric) & random["variant"].isin(members)]
            b, h = pairs["other"].to_numpy(float), pairs["value"].to_numpy(float)
            mean_b, mean_h = float(b.mean()), float(h.mean())
            found.append(
                {
                    "metric": metric,
                    "variant": variant,
                    "targets": len(pairs),
                    "relative": stats.relative_improvement(b, h) if b.all() else np.nan,
                    "base": mean_b,
                    "mean": mean_h,
                    "difference": mean_h - mean_b,
                    "ratio": 100 * (mean_h / mean_b - 1) if mean_b > 0 else np.nan,
                    **dict(zip(("wins", "ties", "losses"), counts(pairs["gain"]), strict=True)),
                    **dict(
                        zip(
                            ("random_wins", "random_ties", "random_losses"),
                            counts(control["gain"]),
                            strict=True,
                        )
                    ),
                }
            )
    return pd.DataFrame(found)


def differences(
    rows: Rows,
    statistic: str = "pearson",
    other: str = "all",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How much better each variant correlates than ``other``, by a paired bootstrap.

    Both correlations are computed on the same resampled sources, so what they share cancels: the
    interval of a difference is narrower than the two intervals suggest.

    Args:
        rows: one per suite, target, source, metric and variant.
        statistic: as for :func:`correlations`.
        other: the variant to compare with, ``all`` (the baseline) or ``random``.
        resamples: bootstrap samples of the sources.
        seed: of the bootstrap; every cell sees the same samples.

    Returns:
        The columns suite, target, metric, variant, other, difference, low, high (a 95% interval)
        and n, the sources with an accuracy and both scores. With several targets each metric and
        variant also has a row whose target is :data:`MEAN`, the mean over the targets where the
        difference exists; targets with the same sources are resampled together. Its n is the
        smallest of theirs.
    """
    scores = _pivot(rows, "score", CELL)
    accuracies = _pivot(rows, "accuracy", CELL)
    found: list[tuple] = []
    parts: dict[tuple, list[tuple[ndarray, int]]] = {}
    for cell in scores:
        suite, target, metric, variant = cast(tuple, cell)
        base = (suite, target, metric, other)
        if variant == other or base not in scores:
            continue
        columns = (scores[cell], scores[base], accuracies[cell])
        table = np.stack([column.to_numpy(float) for column in columns])
        changed, plain, y = table[:, ~np.isnan(table).any(0)]
        sample = np.full(1, np.nan)
        if len(y) >= FEWEST:
            sample = stats.replicates(statistic, changed, y, resamples, seed)
            sample = sample - stats.replicates(statistic, plain, y, resamples, seed)
        found.append((suite, target, metric, variant, other, *stats.interval(sample), len(y)))
        if not np.isnan(sample[0]):
            parts.setdefault((suite, metric, variant), []).append((sample, len(y)))
    for (suite, metric, variant), several_targets in parts.items():
        if len(several_targets) > 1:
            samples, sizes = zip(*several_targets, strict=True)
            mean = stats.interval(np.mean(samples, axis=0))
            found.append((suite, MEAN, metric, variant, other, *mean, min(sizes)))
    return pd.DataFrame(found, columns=[*CELL, "other", "difference", "low", "high", "n"])


def picks(rows: Rows) -> pd.DataFrame:
    """The source with the highest score, and what choosing it costs.

    Returns:
        Per suite, target, metric and variant: ``picked``, the source with the highest score;
        ``best``, the one with the highest accuracy; ``regret``, the accuracy lost by the choice,
        in [0, 1]. Only sources with both numbers count; cells without any are left out.
    """
    scores, accuracies = _pivot(rows, "score", CELL), _pivot(rows, "accuracy", CELL)
    found = []
    for cell in scores:
        x, y = scores[cell].to_numpy(float), accuracies[cell].to_numpy(float)
        there = np.flatnonzero(~np.isnan(x + y))
        if not len(there):
            continue
        picked, best = there[x[there].argmax()], there[y[there].argmax()]
        names = scores.index[picked], scores.index[best]
        found.append((*cast(tuple, cell), *names, stats.regret(x[there], y[there])))
    return pd.DataFrame(found, columns=[*CELL, "picked", "best", "regret"])
