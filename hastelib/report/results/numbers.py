"""HASTE less its baseline, in the paper and here; how often it wins; whether the signs agree."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.stats

from hastelib.report.comparison import DIGITS, HASTE, against, counts
from hastelib.report.results import lines
from hastelib.report.results.catalogue import BASIC, CATALOGUE
from hastelib.report.results.lines import is_haste
from hastelib.report.results.reading import PAPER, Results, mixed

BASES = {"all": "baseline", "random": "random control"}
OWN = tuple(entry.number for entry in CATALOGUE if not entry.repeats)
"""The tables with an experiment of their own; the others look at one of theirs again."""
EVERY = tuple(entry.number for entry in CATALOGUE)
LEVEL = 0.95


def gains(correlations: pd.DataFrame, other: str = "all") -> pd.DataFrame:
    """Every correlation on a hard subset beside that of ``other``, at the printed precision.

    Args:
        correlations: in the columns of :mod:`hastelib.report.results.lines`.
        other: ``all``, the baseline, or ``random``, the control.

    Returns:
        The columns of :func:`hastelib.report.comparison.against`; pairs without two numbers are
        left out.
    """
    found = against(correlations, other)
    return found.loc[np.array([is_haste(name) for name in found["variant"]], bool)]


def cells(results: Results) -> pd.DataFrame:
    """The mean gain of every metric and variant of every table, on every side.

    Where the paper does not say whether CA or CS was used (``haste``), both stand for it here.

    Returns:
        The columns side, number (of the table), metric, variant; pairs, and wins, ties and losses
        among them; low, gain and high (the smallest, mean and largest difference to the
        baseline); and the same against the control, random_pairs, random_wins, random_ties,
        random_losses and random_gain, ``nan`` and 0 where there is none.
    """
    found = []
    for side, tables in results.sides.items():
        for number in tables:
            told = set(results.of(PAPER, number)["variant"])
            both = {o: _as_told(gains(results.of(side, number), o), told) for o in BASES}
            for (metric, variant), part in both["all"].groupby(["metric", "variant"], sort=False):
                control = both["random"]
                control = control[(control["metric"] == metric) & (control["variant"] == variant)]
                found.append(
                    {"side": side, "number": number, "metric": metric, "variant": variant}
                    | {"low": part["gain"].min(), "high": part["gain"].max()}
                    | _counted(part["gain"])
                    | {f"random_{name}": v for name, v in _counted(control["gain"]).items()}
                )
    return pd.DataFrame(found)


def _as_told(gained: pd.DataFrame, told: set[str]) -> pd.DataFrame:
    """The variants under the paper's names."""
    if "haste" not in told:
        return gained
    return gained.replace({"variant": {"ca": "haste", "cs": "haste"}})


def _counted(part: pd.Series) -> dict[str, float]:
    names = ("wins", "ties", "losses")
    mean = float(part.mean()) if len(part) else math.nan
    return {"pairs": len(part), "gain": mean, **dict(zip(names, counts(part), strict=True))}


def compared(found: pd.DataFrame, side: str) -> pd.DataFrame:
    """The paper's mean gains beside those of a side, where both have them.

    Args:
        found: what :func:`cells` gives.
        side: a suite.

    Returns:
        The columns number, metric, variant, those of :func:`cells` ending in ``_paper`` and
        ``_here``; difference (here less paper); agree, whether the signs of the printed mean gains
        do (None where one of them is 0).
    """
    keys = ["number", "metric", "variant"]
    paper, here = (found[found["side"] == name].drop(columns="side") for name in (PAPER, side))
    both = paper.merge(here, on=keys, suffixes=("_paper", "_here"), validate="one_to_one")
    both["difference"] = both["gain_here"] - both["gain_paper"]
    signs = [
        np.sign(both[name].astype(float).round(DIGITS)) for name in ("gain_paper", "gain_here")
    ]
    both["agree"] = [
        None if 0 in pair else bool(pair[0] == pair[1]) for pair in zip(*signs, strict=True)
    ]
    both["agree"] = both["agree"].astype(object)
    return both


@dataclass(frozen=True)
class Often:
    """How often one of two wins.

    Attributes:
        wins: comparisons won.
        ties: equal at the printed precision.
        losses: comparisons lost.
    """

    wins: int
    ties: int
    losses: int

    @property
    def n(self) -> int:
        """All comparisons."""
        return self.wins + self.ties + self.losses

    @property
    def p(self) -> float:
        """Two-sided sign test: the exact binomial one, ties left out; ``nan`` without any."""
        decided = self.wins + self.losses
        return float(scipy.stats.binomtest(self.wins, decided).pvalue) if decided else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Exact 95% interval (Clopper–Pearson) of the share of wins, ties left out."""
        decided = self.wins + self.losses
        if not decided:
            return math.nan, math.nan
        ends = scipy.stats.binomtest(self.wins, decided).proportion_ci(LEVEL, method="exact")
        return float(ends.low), float(ends.high)


def pairs(
    results: Results, side: str, other: str = "all", numbers: Sequence[int] = OWN
) -> pd.DataFrame:
    """The :func:`gains` of several tables on a side, without mixtures of hard and easy samples.

    Args:
        results: what :func:`hastelib.report.results.gather` gives.
        side: the paper, or a suite.
        other: ``all``, the baseline, or ``random``, the control.
        numbers: of the tables.
    """
    found = [gains(results.of(side, number), other) for number in numbers]
    table = pd.concat(found, ignore_index=True)
    return table.loc[np.array([name in HASTE for name in table["variant"]], bool)]


def often(results: Results, side: str, other: str = "all", numbers: Sequence[int] = OWN) -> Often:
    """How often a hard subset correlates better than the baseline or the control.

    A comparison is a target, metric and hard subset of a table. Mixtures of hard and easy samples
    (Table 9) do not count.

    Args:
        results: what :func:`hastelib.report.results.gather` gives.
        side: the paper, or a suite.
        other: ``all``, the baseline, or ``random``, the control.
        numbers: of the tables.
    """
    return Often(*counts(pairs(results, side, other, numbers)["gain"]))


def votes(results: Results, side: str, other: str = "all", numbers: Sequence[int] = OWN) -> Often:
    """One vote a target: on how many does HASTE win more of its comparisons than it loses?

    Comparisons on one target share its accuracies; targets share only the sources.

    Args:
        results: as for :func:`often`, like the other arguments.
        side: the paper, or a suite.
        other: ``all`` or ``random``.
        numbers: of the tables.
    """
    found = pairs(results, side, other, numbers)
    balance = np.sign(found["gain"]).groupby(found["target"].map(same_name)).sum()
    return Often(*counts(balance))


def same_name(target: str) -> str:
    """The paper spells its targets in several ways: OxfordPets is Oxford-IIIT, for example."""
    name = re.sub(r"[^a-z0-9]", "", target.lower())
    return "oxfordiiit" if name.startswith("oxford") else name


def plain(both: pd.DataFrame, numbers: Sequence[int] = OWN) -> pd.DataFrame:
    """The lines of some tables, without mixtures of hard and easy samples.

    Args:
        both: what :func:`compared` gives.
        numbers: of the tables.
    """
    return both[both["number"].isin(numbers) & both["variant"].isin(HASTE)]


def chance(both: pd.DataFrame) -> float:
    """How many signs would agree if those here had nothing to do with the paper's.

    With P and H the shares of positive mean gains there and here, n (P H + (1 - P)(1 - H)).

    Args:
        both: what :func:`compared` gives.
    """
    decided = both[both["agree"].notna()]
    if decided.empty:
        return math.nan
    p, h = (float((decided[name] > 0).mean()) for name in ("gain_paper", "gain_here"))
    return len(decided) * (p * h + (1 - p) * (1 - h))


def agreement(both: pd.DataFrame) -> tuple[int, int]:
    """How many signs agree, of how many that are there.

    Args:
        both: what :func:`compared` gives, or lines of it.
    """
    decided = both["agree"].dropna()
    return int(decided.astype(bool).sum()), len(decided)


def claims(results: Results) -> dict[str, tuple[float, float]]:
    """The same experiment in two sections gives the same correlations.

    For :func:`hastelib.report.verify`: the largest difference, 0 expected. Suites whose files do
    not belong together (:func:`hastelib.report.results.mixed`) are left out.
    """
    found = {}
    for side in results.suites:
        rows = results.rows.get(side, {})
        if mixed(rows):
            continue
        first, target = (results.of(side, number) for number in (1, 2))
        ranked = results.of(side, 8)
        own = ranked[ranked["hardness_source"] == ranked["source"]].assign(hardness_source="")
        compared_with = {
            "Table 9, nothing mixed in, is Table 1’s LEEP": (results.of(side, 9), first),
            "Table 8, ranked by the source itself, is Table 2’s LEEP": (own, target),
        }
        for name, stem, number, metrics in (
            ("Table 1 is that of A.6’s rows", "A_6_correlations", 1, BASIC),
            ("Table 12 is that of 5.1’s rows", "5_1_source", 12, ("logme",)),
            ("Table 13 is that of 5.2’s rows", "5_2_target", 13, ("logme",)),
        ):
            read = results.sides[side][number].files if number in results.sides[side] else ()
            if stem in rows and not any(path.name.startswith(f"{stem}-") for path in read):
                made = (
                    lines.over_subsets(rows[stem], metrics, 0)
                    if number == 13
                    else lines.over_sources(rows[stem], metrics)
                )
                compared_with[name] = (made, results.of(side, number))
        for name, (one, two) in compared_with.items():
            keys = ["source", "target", "metric", "variant"]
            one = one[one["variant"] != "random"]
            both = one.merge(two, on=keys).dropna(subset=["value_x", "value_y"])
            if len(both):
                apart = float((both["value_x"] - both["value_y"]).abs().max())
                found[f"{side}: {name} ({len(both)} correlations)"] = (0.0, apart)
    return found
