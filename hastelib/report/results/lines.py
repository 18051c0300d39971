"""Correlations of every kind of experiment in one form, from the rows of the sections.

A line is one correlation. The columns are :data:`COLUMNS`: suite; source (where one source is
correlated over the subsets of a target, its name, else empty); target; metric; variant;
hardness_source (where several networks rank in turn, the one that did, else empty); statistic;
value; and n, the units behind it. Intervals stand on the sections' own pages.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from hastelib import suites
from hastelib.report import ensembles
from hastelib.report.ablations.common import curves
from hastelib.report.ablations.subsets import share
from hastelib.report.comparison import HASTE, MEAN, correlations
from hastelib.report.selection import over_targets

COLUMNS = (
    "suite",
    "source",
    "target",
    "metric",
    "variant",
    "hardness_source",
    "statistic",
    "value",
    "n",
)
MIXED = "stochastic_"
"""Begins the variants of Table 9 with easy samples mixed into the CS subset."""


def none() -> pd.DataFrame:
    """No lines."""
    return pd.DataFrame(columns=list(COLUMNS))


def is_haste(variant: str) -> bool:
    """Whether a variant uses a hard subset, easy samples mixed into it or not."""
    return variant in HASTE or variant.startswith(MIXED)


def _lines(found: pd.DataFrame, **told: str) -> pd.DataFrame:
    """The columns in order; those that are not there hold what is told, or nothing."""
    return found.assign(**({"source": "", "hardness_source": ""} | told))[[*COLUMNS]]


def over_sources(
    rows: pd.DataFrame, metrics: Sequence[str], statistic: str = "pearson"
) -> pd.DataFrame:
    """Over the sources, on every whole target.

    Args:
        rows: of any section; those of class subsets and of other metrics are left out.
        metrics: which.
        statistic: of :func:`hastelib.report.correlations`.
    """
    part = rows[~rows["target"].str.contains("#") & rows["metric"].isin(metrics)]
    return _lines(correlations(part, statistic, resamples=1)) if len(part) else none()


def over_subsets(
    rows: pd.DataFrame, metrics: Sequence[str], place: int | None = None
) -> pd.DataFrame:
    """Over the subsets of every target (``greek#3``), one source at a time.

    Args:
        rows: of any section; those of whole targets and of other metrics are left out.
        metrics: which.
        place: of the source in the suite's selection, or, where it has none, among the rows;
            all sources for None.
    """
    part = rows[rows["target"].str.contains("#") & rows["metric"].isin(metrics)]
    if part.empty:
        return none()
    turned = over_targets(part)
    names = list(turned)
    if place is not None:
        names = [name for name in _order(part)[place : place + 1] if name in turned]
    found = [_lines(correlations(turned[name], resamples=1), source=name) for name in names]
    return pd.concat(found, ignore_index=True) if found else none()


def _order(rows: pd.DataFrame) -> list[str]:
    """The sources of the suite's selection, then others as they come."""
    name = str(rows["suite"].iloc[0])
    selection = suites.load(name).selection if name in suites.names() else None
    told = selection.sources if selection else ()
    return list(dict.fromkeys([*told, *rows["source"]]))


def over_ensembles(rows: pd.DataFrame, size: int) -> pd.DataFrame:
    """Over all ensembles of a size.

    Args:
        rows: what :func:`hastelib.ensembles.rows` gives, as a table.
        size: members of an ensemble.
    """
    if not (rows["source"].str.count(r"\|") == size - 1).any():
        return none()
    return _lines(ensembles.correlations(ensembles.read(rows, size), resamples=1))


def by_ranker(rows: pd.DataFrame, metric: str = "leep") -> pd.DataFrame:
    """Over the subsets of every target, with several networks in turn ranking the samples.

    Args:
        rows: of A.4; the baseline and the control stand there once.
        metric: which.
    """
    part = rows[rows["target"].str.contains("#") & (rows["metric"] == metric)]
    ranker = part["hardness_source"]
    found = [
        over_subsets(part[(ranker == "") | (ranker == by)], [metric]).assign(hardness_source=by)
        for by in ranker.unique()
        if by
    ]
    if not found:
        return none()
    together = pd.concat(found, ignore_index=True)
    shared = ~together["variant"].map(is_haste)
    together.loc[shared, "hardness_source"] = ""
    keys = ["source", "target", "variant", "hardness_source"]
    return together.drop_duplicates(keys, ignore_index=True)


def of_mixtures(rows: pd.DataFrame) -> pd.DataFrame:
    """Over the sources, with easy samples mixed into the CS subset: ``stochastic_1%`` and so on.

    Means over the repetitions. CA, CS and random are those without anything mixed in.

    Args:
        rows: of A.5, with the columns place and draw.
    """
    hard_alone = (rows["place"] == 0) | (rows["variant"] == "all")
    wanted = (rows["metric"] == "leep") & (hard_alone | (rows["variant"] == "cs"))
    if not wanted.any():
        return none()
    found = curves(rows[wanted], resamples=1).table()
    found = found[found["target"] != MEAN]
    base, plain = found["variant"] == "all", found["place"] == 0
    mixed = (found["variant"] == "cs") & ~plain
    found.loc[mixed, "variant"] = [f"{MIXED}{share(place)}" for place in found["place"][mixed]]
    sources = float(rows["source"].nunique())
    kept = found[base | plain | mixed].reset_index(drop=True)
    return _lines(kept.assign(suite=rows["suite"].iloc[0], n=sources, statistic="pearson"))
