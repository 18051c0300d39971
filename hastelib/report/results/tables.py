"""The tables of the results page."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from hastelib.report import labels
from hastelib.report.comparison import DIGITS, HASTE, ordered, several
from hastelib.report.paper import MARK
from hastelib.report.paper import table as correlation_table
from hastelib.report.results.catalogue import CATALOGUE, cell, entry, subset
from hastelib.report.results.lines import MIXED
from hastelib.report.results.numbers import (
    EVERY,
    OWN,
    Often,
    agreement,
    compared,
    often,
    pairs,
    plain,
    votes,
)
from hastelib.report.results.reading import PAPER, Results
from hastelib.report.tables import NONE, Beside, Block, Cell, Table, interval, narrow, number

FEWEST_TARGETS = 5
"""Of fewer a count over targets says next to nothing."""

MISSING = "not measured"
SIGNS = {True: "same sign", False: "opposite"}
NOTE = (
    "Bold: a HASTE variant above its baseline, or a baseline above them all. "
    f"{MARK} marks a random control that is as good as the best HASTE variant. Intervals are on "
    "the section’s own page."
)


def inventory(results: Results) -> Table:
    """What there is of each of the paper's tables on every side.

    Returns:
        A block per side: tables down; the number of targets, of units behind a correlation, and
        of fine-tunings behind an accuracy across.
    """
    blocks = []
    for side in results.sides:
        rows = []
        for one in CATALOGUE:
            found = results.sides[side].get(one.number)
            if found is None:
                rows.append((_short(one.number), (Cell(NONE), Cell(MISSING), Cell(NONE))))
                continue
            sizes = found.lines["n"].dropna()
            ends = dict.fromkeys([int(sizes.min()), int(sizes.max())]) if len(sizes) else {}
            many = "–".join(map(str, ends)) or NONE
            units = Cell(many, one.units)
            seeds = Cell(str(found.seeds) if found.seeds else NONE)
            rows.append((_short(one.number), (Cell(str(_targets(found.lines))), units, seeds)))
        blocks.append(Block(side, ("Table", "Targets", "Units", "Seeds"), tuple(rows)))
    caption = (
        "What stands behind each table: targets (of one source, where there are several sources), "
        "units that a correlation is taken over, fine-tunings behind one accuracy. The paper’s "
        "tables print neither units nor seeds."
    )
    return Table(caption, tuple(blocks))


def _targets(lines: pd.DataFrame) -> int:
    return len(lines[["source", "target"]].drop_duplicates())


def _short(which: int) -> str:
    return f"Table {which}"


def _gain(value: float, wins: float, pairs: float) -> Cell:
    return Cell(number(value, DIGITS, sign=True), f"{int(wins)} of {int(pairs)}")


def _difference(value: float, agree: object) -> Cell:
    told = "" if agree is None else SIGNS[bool(agree)]
    return Cell(number(value, DIGITS, sign=True), told)


def comparison(results: Results, found: pd.DataFrame, which: int) -> Table:
    """What the hard subsets gain in one table, in the paper and here.

    Args:
        results: what :func:`hastelib.report.results.gather` gives.
        found: what :func:`hastelib.report.results.cells` gives for it.
        which: the table's number.

    Returns:
        A block per suite that has the table: metrics and variants down; the mean gain in the
        paper, here, against the random control here, and here less the paper across. A suite that
        does not have it is named as not measured.
    """
    blocks, parts, notes = [], [], []
    for side in results.suites:
        both = compared(found[found["number"] == which], side)
        if both.empty:
            notes.append(f"{side}: {MISSING}.")
            continue
        rows = []
        for line in both.to_dict("records"):
            cells = (
                _gain(line["gain_paper"], line["wins_paper"], line["pairs_paper"]),
                _gain(line["gain_here"], line["wins_here"], line["pairs_here"]),
                _random(line),
                _difference(line["difference"], line["agree"]),
            )
            rows.append((cell(str(line["metric"]), str(line["variant"])), cells))
        head = ("Score", "Paper", "Here", "Random", "Differ")
        blocks.append(Block(side, head, tuple(rows)))
        parts.append(both.assign(side=side))
    caption = (
        f"{entry(which).heading}: the mean over the targets of HASTE less baseline, in print and "
        "here, and beneath it on how many it wins; Random: HASTE less the random control, here; "
        "Differ: here less the paper, and whether the signs agree."
    )
    if not blocks:
        blocks.append(_printed(found[(found["number"] == which) & (found["side"] == PAPER)]))
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return Table(caption, tuple(blocks), tuple(notes), frame)


def _printed(part: pd.DataFrame) -> Block:
    """The paper's gains alone."""
    rows = tuple(
        (
            cell(str(line["metric"]), str(line["variant"])),
            (_gain(line["gain"], line["wins"], line["pairs"]), Cell(MISSING)),
        )
        for line in part.to_dict("records")
    )
    return Block(PAPER, ("Score", "Paper", "Here"), rows)


def _random(line: dict) -> Cell:
    if not line["random_pairs_here"]:
        return Cell(NONE)
    return _gain(line["random_gain_here"], line["random_wins_here"], line["random_pairs_here"])


def summary(results: Results, found: pd.DataFrame) -> Table:
    """One line a table of the paper: does HASTE help, there and here?

    Args:
        results: what :func:`hastelib.report.results.gather` gives.
        found: what :func:`hastelib.report.results.cells` gives for it.

    Returns:
        A block per suite; ``frame`` has the columns side, number, paper and here (mean gains over
        all comparisons), difference, and agree and cells (mean gains of one metric and variant
        whose signs agree, and how many there are).
    """
    blocks, frames = [], []
    for side in results.suites:
        rows = []
        for one in CATALOGUE:
            both = plain(compared(found, side), [one.number])
            there, here = (pairs(results, s, "all", [one.number])["gain"] for s in (PAPER, side))
            printed = _gain(there.mean(), (there > 0).sum(), len(there))
            if both.empty:
                rows.append((_short(one.number), (printed, Cell(MISSING), Cell(NONE), Cell(NONE))))
                continue
            same, signs = agreement(both)
            differ = here.mean() - there.mean()
            cells = (
                printed,
                _gain(here.mean(), (here > 0).sum(), len(here)),
                Cell(number(differ, DIGITS, sign=True)),
                Cell(f"{same} of {signs}"),
            )
            rows.append((_short(one.number), cells))
            frames.append((side, one.number, there.mean(), here.mean(), differ, same, signs))
        head = ("", "Paper", "Here", "Differ", "Signs")
        blocks.append(Block(side, head, tuple(rows)))
    caption = (
        "HASTE less baseline, mean over all targets, metrics and hard subsets of a table, with the "
        "number of comparisons that HASTE wins beneath; Differ: here less the paper; Signs: of the "
        "mean gains of a metric and hard subset, how many have the paper’s sign."
    )
    columns = ["side", "number", "paper", "here", "difference", "agree", "cells"]
    return Table(caption, tuple(blocks), (), pd.DataFrame(frames, columns=columns))


def counting(results: Results) -> Table:
    """How often HASTE wins in all, with an exact sign test.

    Returns:
        A block for comparisons of the tables with experiments of their own, one for those of all
        tables, one with a vote a target. ``frame`` has the columns scope, side, other, wins, ties,
        losses, low, high, p.
    """
    scopes = {
        "Tables of their own experiments": (often, OWN),
        "All thirteen tables": (often, EVERY),
        "One vote a target": (votes, OWN),
    }
    blocks, lines = [], []
    for title, (count, numbers) in scopes.items():
        rows = []
        for side in results.sides:
            for other, called in (("all", "baseline"), ("random", "random")):
                one = count(results, side, other, numbers)
                if side == PAPER and other == "random":
                    continue
                rows.append((f"{side}, {called}", _counts(one)))
                ends = one.interval
                if votes(results, side, other, numbers).n < FEWEST_TARGETS:
                    rows[-1] = (f"{side}, {called}", (_counts(one)[0], Cell(NONE), Cell(NONE)))
                lines.append((title, side, other, one.wins, one.ties, one.losses, *ends, one.p))
        blocks.append(Block(title, ("Against", "W–T–L", "Share", "p"), tuple(rows)))
    caption = (
        "How often HASTE correlates better: won–tied–lost at the printed precision; the share won "
        "of those not tied with its exact (Clopper–Pearson) 95% interval; and the p-value of the "
        "exact two-sided sign test."
    )
    own = ", ".join(map(str, OWN))
    notes = (
        f"Tables with experiments of their own: {own}; the others look at one of theirs again, "
        "with another coefficient or other subsets, so that counting them counts some comparisons "
        "several times.",
        "The tests take comparisons for independent. They are not: all on one target share its "
        "accuracies, all sections share sources and targets, and CA, CS and the metrics share "
        "samples. Intervals and p-values are therefore too small, least so with one vote a target; "
        f"of a suite with fewer than {FEWEST_TARGETS} targets they are left out.",
    )
    columns = ["scope", "side", "other", "wins", "ties", "losses", "low", "high", "p"]
    return Table(caption, tuple(blocks), notes, pd.DataFrame(lines, columns=columns))


def _counts(one: Often) -> tuple[Cell, ...]:
    if not one.n:
        return (Cell(MISSING), Cell(NONE), Cell(NONE))
    decided = one.wins + one.losses
    share = number(one.wins / decided, 2) if decided else NONE
    ends = narrow(interval(*one.interval))
    return (
        Cell(f"{one.wins}–{one.ties}–{one.losses}"),
        Cell(share, ends),
        Cell(probability(one.p)),
    )


def probability(p: float) -> str:
    """A p-value; very small ones by their bound."""
    return NONE if math.isnan(p) else "< .001" if p < 0.001 else narrow(number(p, 3))


def values(results: Results, which: int) -> Beside:
    """All correlations of one table, the paper's and ours side by side, without intervals.

    Args:
        results: what :func:`hastelib.report.results.gather` gives.
        which: the table's number.
    """
    one = entry(which)
    names, tables = [], []
    for side in results.sides:
        found = results.of(side, which)
        if found.empty:
            continue
        if found["variant"].str.startswith(MIXED).any():
            made = _mixtures(found)
        else:
            made = replace(correlation_table(_named(found)), notes=(NOTE,))
        name = labels.STATISTICS[str(found["statistic"].iloc[0])]
        sizes = found["n"].dropna()
        many = f" over up to {int(sizes.max())} {one.units}" if len(sizes) else ""
        names.append(side)
        tables.append(replace(made, caption=f"{side}, {one.heading}: {name}{many}."))
    missing = [f"{side}: {MISSING}." for side in results.suites if side not in names]
    tables[-1] = replace(tables[-1], notes=(*tables[-1].notes, *missing))
    return Beside(tuple(names), tuple(tables))


def _named(lines: pd.DataFrame) -> pd.DataFrame:
    """Sources and rankers as part of the target's name, where there are several."""
    rankers = [by for by in lines["hardness_source"].unique() if by]
    if rankers:  # what does not depend on the ranker stands in each one's row
        shared = lines[lines["hardness_source"] == ""]
        lines = pd.concat(
            [
                part
                for by in rankers
                for part in (
                    lines[lines["hardness_source"] == by],
                    shared.assign(hardness_source=by),
                )
            ],
            ignore_index=True,
        )
    names = lines["target"].map(labels.plain)
    if several(lines["source"]):
        names = lines["source"].map(labels.source) + " → " + names
    if rankers:
        names = names + ", " + lines["hardness_source"].map(labels.source)
    # Without a suite before the names, and in an order that keeps a target's rankers together.
    told = lines.assign(target=names, suite="").drop(columns=["source", "hardness_source"])
    if told["n"].isna().all():
        told = told.drop(columns="n").assign(n=0)
    return told


def _mixtures(lines: pd.DataFrame) -> Table:
    """Table 9: subsets down, targets or a summary of them across."""
    wide = lines.pivot(index="variant", columns="target", values="value")  # noqa: PD010
    wide = wide.loc[ordered(lines["variant"])]
    few = wide.shape[1] <= 3
    shown = wide if few else pd.DataFrame({"Lowest": wide.min(axis=1), "Highest": wide.max(axis=1)})
    table = shown.assign(Mean=wide.mean(axis=1, skipna=False))
    base = table.loc["all"]
    rows = []
    for variant, line in table.iterrows():
        hard = str(variant) in HASTE or str(variant).startswith(MIXED)
        above = (line > base).tolist()
        bold = [hard and (few or i == len(above) - 1) and b for i, b in enumerate(above)]
        cells = [
            Cell(number(value, DIGITS), bold=bool(b)) for value, b in zip(line, bold, strict=True)
        ]
        rows.append((subset(str(variant)), tuple(cells)))
    block = Block(labels.metric(str(lines["metric"].iloc[0])), ("Subset", *table), tuple(rows))
    return Table("", (block,), ("Bold: above the baseline.",), table.reset_index())
