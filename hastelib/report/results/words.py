"""What came out, in sentences computed from the numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from hastelib import suites
from hastelib.report import labels
from hastelib.report.comparison import DIGITS
from hastelib.report.results.catalogue import CATALOGUE, cell, entry
from hastelib.report.results.numbers import (
    OWN,
    Often,
    agreement,
    chance,
    compared,
    often,
    pairs,
    plain,
    votes,
)
from hastelib.report.results.reading import PAPER, Results, mixed
from hastelib.report.results.tables import MISSING, probability
from hastelib.report.tables import interval, number

HALF = 0.5


def behind(results: Results) -> str:
    """Which files the page read, and whether they belong together, as Markdown."""
    found = []
    for side in results.suites:
        paths = dict.fromkeys(path for one in results.sides[side].values() for path in one.files)
        listed = ", ".join(f"`{_shown(path)}`" for path in paths) or MISSING
        missing = [str(one.number) for one in CATALOGUE if one.number not in results.sides[side]]
        gone = f" Not measured: tables {', '.join(missing)}." if missing and paths else ""
        found.append(f"- **`{side}`**: {listed}.{gone}")
        found += [
            f"- **`{side}`: {pair} disagree on an accuracy or a score of the same source and "
            "target.** Their files come from runs with different parameters: run both again."
            for pair in mixed(results.rows.get(side, {}))
        ]
    return "\n".join(found)


def _shown(path: Path) -> str:
    """Relative to the working folder or the project where it lies in one of them."""
    for root in (Path.cwd(), Path(__file__).parents[3]):
        if path.resolve().is_relative_to(root.resolve()):
            return path.resolve().relative_to(root.resolve()).as_posix()
    return path.as_posix()


def overall(results: Results, found: pd.DataFrame) -> str:
    """Does HASTE help, in the paper and here? As Markdown, one paragraph a side.

    Args:
        results: what :func:`hastelib.report.results.gather` gives.
        found: what :func:`hastelib.report.results.cells` gives for it.
    """
    own = ", ".join(map(str, OWN))
    parts = [
        f"Counted are the comparisons of Tables {own}, each with an experiment of its own. "
        f"**In print** HASTE correlates better than its baseline in "
        f"{_count(often(results, PAPER))}. There is no random control. The 95% intervals take "
        "comparisons for independent, which they are not (see the notes of the counts below)."
    ]
    parts += [_of_suite(results, found, side) for side in results.suites]
    return "\n\n".join(parts)


def _of_suite(results: Results, found: pd.DataFrame, side: str) -> str:
    base = often(results, side)
    if not base.n:
        return f"**On `{side}`** none of the tables is measured."
    control, targets = often(results, side, "random"), votes(results, side)
    measured = [number for number in OWN if number in results.sides[side]]
    both = plain(compared(found, side))
    same, signs = agreement(both)
    there = plain(compared(found, side), measured)
    text = [
        f"**On `{side}`** ({len(measured)} of the {len(OWN)} tables) it does in {_count(base)}: "
        f"{_verdict(base)}{_by_variant(results, side)}. Against the random control it does in "
        f"{_count(control)}. With one vote "
        f"a target HASTE beats the baseline on {targets.wins} of {targets.n} "
        f"(p = {probability(targets.p)}).",
        f"Averaged over the metrics and hard subsets of these tables, HASTE gains "
        f"{_means(there)}{_without_logme(there)}. Of {signs} mean gains {same} have the paper’s "
        f"sign{_by_chance(both)}.",
        _helped(both),
    ]
    return " ".join(part for part in text if part)


def _by_variant(results: Results, side: str) -> str:
    found = pairs(results, side)
    told = [
        f"{labels.variant(str(variant))} wins {int((part['gain'] > 0).sum())} of {len(part)}"
        for variant, part in found.groupby("variant", sort=False)
    ]
    return f" ({', '.join(told)})"


def _means(both: pd.DataFrame) -> str:
    there, here = (float(both[f"gain_{name}"].mean()) for name in ("paper", "here"))
    return f"{number(there, DIGITS, True)} in print and {number(here, DIGITS, True)} here"


def _without_logme(both: pd.DataFrame) -> str:
    """LogME's gains in print are so large that they make half of any mean."""
    rest = both[both["metric"] != "logme"]
    return f" (without LogME {_means(rest)})" if 0 < len(rest) < len(both) else ""


def _by_chance(both: pd.DataFrame) -> str:
    expected = chance(both)
    if math.isnan(expected):
        return ""
    return (
        f"; if those here had nothing to do with the paper’s, about {number(expected, 1)} would "
        "agree by chance"
    )


def _count(one: Often) -> str:
    if not one.n:
        return "none, for want of any"
    decided = one.wins + one.losses
    share = f"{number(one.wins / decided, 2)} {interval(*one.interval)}" if decided else "–"
    tied = f" and ties in {one.ties}" if one.ties else ""
    return f"{one.wins} of {one.n} comparisons{tied} (share of those not tied {share})"


def _verdict(one: Often) -> str:
    low, high = one.interval
    if low > HALF:
        return "in these comparisons it wins more often than it loses, as in the paper"
    if high < HALF:
        return "in these comparisons **it loses more often than it wins**, against the paper"
    return "whether it helps or hurts cannot be told from so few"


def _helped(both: pd.DataFrame) -> str:
    """Where HASTE gains over both the baseline and the control."""
    up = both[both["gain_here"].round(DIGITS) > 0]
    sure = up[up["random_gain_here"].round(DIGITS) > 0]
    if up.empty:
        return "No mean gain here is positive."
    listed = "; ".join(
        f"{cell(str(line['metric']), str(line['variant']))} in Table {line['number']} "
        f"({number(line['gain_here'], DIGITS, True)})"
        for line in sure.to_dict("records")
    )
    text = f"Positive over the baseline are {len(up)} of {len(both)}"
    if sure.empty:
        return f"{text}, none of them also over the random control."
    return f"{text}, of them also over the random control {len(sure)}: {listed}."


def finding(results: Results, found: pd.DataFrame, which: int) -> str:
    """One table in words, as Markdown.

    Args:
        results: what :func:`hastelib.report.results.gather` gives.
        found: what :func:`hastelib.report.results.cells` gives for it.
        which: the table's number.
    """
    printed = pairs(results, PAPER, "all", [which])["gain"]
    text = [f"In print HASTE gains {_gained(printed)}."]
    missing = []
    for side in results.suites:
        if which not in results.sides[side]:
            missing.append(f"`{side}`")
            continue
        base, control = (
            pairs(results, side, other, [which])["gain"] for other in ("all", "random")
        )
        same, signs = agreement(plain(compared(found, side), [which]))
        against = f", and {_gained(control)} over the random control" if len(control) else ""
        text.append(
            f"On `{side}` it {_gains_or_loses(base, which)} {_gained(base)}{against}; "
            f"{same} of {signs} signs of the mean gains agree with the paper’s."
        )
    if missing:
        text.append(f"{MISSING[0].upper()}{MISSING[1:]} on {' and '.join(missing)}.")
    if repeats := entry(which).repeats:
        here = " in print, of Table 2 here," if which == 8 else ""
        text.append(f"The table looks at the experiment of Table {repeats}{here} again.")
    return " ".join(text)


def _gains_or_loses(part: pd.Series, which: int) -> str:
    coefficient = {10: "τ", 11: "weighted τ"}.get(which, "r")
    return f"changes {coefficient} by" if part.mean() <= 0 else "gains"


def _gained(part: pd.Series) -> str:
    wins = int((part > 0).sum())
    return f"{number(float(part.mean()), DIGITS, True)} on average, winning {wins} of {len(part)}"


def settings(results: Results) -> str:
    """In what the suites are smaller than the paper's experiments, as a Markdown list."""
    found = []
    for side in results.suites:
        tables = results.sides[side]
        if not tables:
            continue
        parts = []
        for units, noun in (
            ("sources", "sources"),
            ("subsets", "subsets of a target"),
            ("ensembles", "ensembles"),
        ):
            those = [
                tables[one.number]
                for one in CATALOGUE
                if one.units == units and one.number in tables
            ]
            if those:
                n = pd.concat([one.lines["n"] for one in those])
                ends = dict.fromkeys([int(n.min()), int(n.max())])
                seeds = dict.fromkeys(sorted(one.seeds for one in those))
                parts.append(
                    f"{' to '.join(map(str, ends))} {noun} "
                    f"({' or '.join(map(str, seeds))} fine-tuning{'s' * (max(seeds) > 1)} each)"
                )
        pixels = _sizes(side) if side in suites.names() else ""
        found.append(f"- **`{side}`**: {', '.join(parts)}{pixels}. {_levels(results, side)}")
    return "\n".join(found)


def _sizes(side: str) -> str:
    """How large what the networks see is."""
    suite = suites.load(side)
    text = f", images of {suite.size} px"
    if suite.segmentation:
        text += f", scenes of {suite.segmentation.size} px (their shorter side)"
    if suite.language:
        text += f", texts of up to {suite.language.size} tokens"
    return text


def _levels(results: Results, side: str) -> str:
    """How high the baselines are, which is what HASTE can gain on."""
    parts = []
    for units in ("sources", "subsets", "ensembles"):
        for logme in (False, True):
            numbers = [
                one.number
                for one in CATALOGUE
                if one.units == units
                and (one.metrics == ("logme",)) == logme
                and one.number in OWN
                and one.number in results.sides[side]
            ]
            if numbers:
                there, here = (_base(results, name, numbers) for name in (PAPER, side))
                listed = ", ".join(map(str, numbers))
                parts.append(f"{number(there, 2)} in print and {number(here, 2)} here in {listed}")
    return f"Mean baselines by table: {'; '.join(parts)}." if parts else ""


def _base(results: Results, side: str, numbers: list[int]) -> float:
    found = pd.concat([results.of(side, which) for which in numbers])
    return float(found.loc[found["variant"] == "all", "value"].mean())
