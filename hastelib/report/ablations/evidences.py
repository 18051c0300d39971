"""A.7: LogME, exactly and by the fixed point, on the selection of sources and of targets.

Why the two differ is the business of :mod:`hastelib.report.evidence`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from hastelib.experiments import HARD
from hastelib.records import Row, frame
from hastelib.report import labels
from hastelib.report.comparison import DIGITS, MEAN, differences, improvements, ordered
from hastelib.report.paper import beside, paper_numbers, paper_table, table
from hastelib.report.tables import Beside, interval, number

FIXED = "logme_fixed_point"
NAMES = {name: labels.METRICS[name] for name in ("logme", FIXED)}


def named(rows: Iterable[Row] | pd.DataFrame) -> pd.DataFrame:
    """The rows as a table, the two versions by the names that tables show."""
    whole = frame(rows)
    return whole.assign(metric=whole["metric"].map(NAMES))


def printed(which: int) -> pd.DataFrame:
    """The paper's Table 12 or 13 under LogME's name; the latter is headed LEEP in print."""
    return paper_numbers(which).assign(metric="logme")


def tables(correlations: pd.DataFrame, which: int, units: str) -> Beside:
    """Both versions, the exact one beside the paper's numbers.

    Args:
        correlations: of rows that :func:`named` gives.
        which: the paper's table; 0 for none.
        units: what is correlated over.
    """
    ours = table(correlations, units=units)
    if not which:
        return beside(ours)
    paper = paper_table(which)
    blocks = tuple(replace(block, title=NAMES["logme"]) for block in paper.blocks)
    return beside(ours, replace(paper, blocks=blocks))


# In words


def apart(rows: pd.DataFrame, widths: Mapping[str, int], units: str) -> str:
    """How far the two versions are from each other, as Markdown.

    Args:
        rows: what :func:`named` gives; what is correlated over stands in ``source``.
        widths: ``source`` -> the dimensions of the embedding.
        units: what is correlated over.
    """
    exact, fixed = NAMES.values()
    swapped = rows.rename(columns={"metric": "variant", "variant": "metric"})
    tests = differences(swapped, other=fixed, resamples=1000)
    tests = tests[tests["variant"] == exact]
    many = bool((tests["target"] == MEAN).any())
    shown = tests[tests["target"] == MEAN] if many else tests
    keys = ["target", "source", "variant"]
    wide = rows.pivot(index=keys, columns="metric", values="score")  # noqa: PD010
    gap = (wide[fixed] - wide[exact]).abs()
    one = rows[rows["metric"] == exact].set_index(keys)
    short = one["samples"] < one.index.get_level_values("source").map(widths)
    who = dict.fromkeys(labels.source(name) for _, name, _ in one.index[short])
    names = f", all of {', '.join(who)}" if 0 < len(who) < 3 and units == "sources" else ""
    text = [
        f"**Exact and fixed point.** Fewer samples than dimensions: in {int(short.sum())} of "
        f"{len(short)} cells (target, {units.removesuffix('s')}, variant){names}."
    ]
    for name, part in (("There the", gap[short]), ("Elsewhere the", gap[~short])):
        there = part.dropna()
        if len(there):
            where = name if short.any() else "The"
            text.append(
                f"{where} two scores differ by {number(there.median(), 4)} nats in the median, "
                f"at most {number(there.max())}."
            )
    by_variant = {line["metric"]: line for line in shown.to_dict("records")}
    told = [
        f"{labels.variant(v)} {number(by_variant[v]['difference'], 3, True)} "
        f"{interval(by_variant[v]['low'], by_variant[v]['high'], 3)}"
        for v in ordered(by_variant)
    ]
    text.append(
        f"{'Mean r' if many else 'r'} by the exact evidence less that by the fixed point: "
        f"{', '.join(told)}."
    )
    return " ".join(text)


def headline(correlations: pd.DataFrame, which: int) -> str:
    """The paper's mean relative improvement, from its table and from ours, as Markdown.

    Args:
        correlations: of rows that :func:`named` gives.
        which: the paper's table; 0 for none.
    """
    parts = []
    ours = [(str(name), part) for name, part in correlations.groupby("metric", sort=False)]
    paper = [(f"the paper’s Table {which}", printed(which))] if which else []
    for called, part in [*paper, *ours]:
        gained = improvements(part)
        line = gained[gained["variant"] == "haste"].to_dict("records")[0]
        relative = line["relative"]
        percent = "no number" if np.isnan(relative) else f"{number(relative, 2, True)}%"
        parts.append(
            f"{called} {percent}; the mean correlation goes from {number(line['base'])} to "
            f"{number(line['mean'])}, won–tied–lost {line['wins']}–{line['ties']}–{line['losses']}"
        )
    listed = "\n".join(f"- {part[0].upper()}{part[1:]}." for part in parts)
    return f"The mean of (h − b)/|b|, CA and CS together:\n\n{listed}"


def turned() -> str:
    """What is left of Table 13's gain if its negative baselines are read without the sign."""
    numbers = paper_numbers(13)
    wide = numbers.pivot(index="target", columns="variant", values="value")  # noqa: PD010
    negative = wide[wide["all"] < 0]
    gains = {v: wide[v] - wide["all"].abs() for v in HARD}
    told = ", ".join(
        f"{labels.variant(v)} {number(float(gain.mean()), 3, True)}, better on "
        f"{int((gain.round(DIGITS) > 0).sum())} of {len(wide)} targets"
        for v, gain in gains.items()
    )
    return (
        f"{len(negative)} of {len(wide)} baselines in Table 13 are negative, their size "
        f"{number(negative['all'].abs().mean())} in the mean, that of the hard subsets on the same "
        f"targets {number(negative[list(HARD)].to_numpy().mean())}. A score that ranks backwards "
        "reliably is as useful as one that ranks forwards, once that is known: against the "
        f"baselines without their sign the mean gain is {told}."
    )
