"""Sentences of the paper that its printed numbers can test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hastelib.report import labels
from hastelib.report.audit.common import SIZES, pairs, printed_table, score
from hastelib.report.audit.contradictions import hardness_sources
from hastelib.report.comparison import counts
from hastelib.report.tables import number

# Sentences that the printed numbers can test


def claims() -> pd.DataFrame:
    """Sentences of the paper, what the tables say about them, and whether they hold.

    Returns:
        The columns section, sentence (the paper's words), found, verdict (``holds``, ``holds on
        average``, ``does not hold``).
    """
    table = pairs()
    gains = {which: table.loc[table["table"] == which, "gain"] for which in SIZES}
    won = {which: score(counts(gain)) for which, gain in gains.items()}
    lost = {which: counts(gain)[2] for which, gain in gains.items()}
    means = table.groupby(["table", "metric"], sort=False)["gain"].mean()
    rises = {which: bool((means[which] > 0).all()) for which in SIZES}
    every = counts(table["gain"])
    rows = table[table["table"] == 1].groupby(["metric", "row"], sort=False)["gain"].min() > 0
    both = rows.groupby("metric", sort=False).sum()
    size = len(rows) // len(both)
    tops = {which: list(map(str, _columns(which).idxmax(axis=1))) for which in (1, 2, 6)}
    best = {which: str(_columns(which).mean().idxmax()) for which in (2, 6)}
    haste = ("LEEP CA", "LEEP CS")
    leep = {which: sum(name in haste for name in tops[which]) for which in (2, 6)}
    firsts = list(dict.fromkeys(tops[1]))
    eight = hardness_sources().frame
    above = int((eight["value"] > eight["baseline"]).sum())
    six = eight.loc[eight["table 6"] <= eight["baseline"], "table 6"].nunique()
    nine = {variant: _mixtures(variant) for variant in ("cs", "ca")}
    three = [pairs([which]) for which in (1, 10, 11)]
    signs = np.sign(np.stack([one["gain"].to_numpy() for one in three]))
    same, opposite = (np.ptp(signs, axis=0) == k for k in (0, 2))
    up = all((one.groupby("metric")["gain"].mean() > 0).all() for one in three)
    found = [
        (
            *("Abstract", "HASTE-modified metrics are consistently better or on par"),
            f"Of {sum(every)} comparisons {every[0]} are won, {every[1]} tied, {every[2]} lost, "
            f"{int((table['gain'] < -0.01).sum())} of these by more than 0.01.",
            *(every[2] == 0, all(rises.values())),
        ),
        (
            *("5.1", "for most target datasets, both CA and CS variants … outperform the baseline"),
            f"Rows of Table 1 in which both do: {int(rows.sum())} of {len(rows)}; "
            + ", ".join(f"{labels.metric(str(k))} {v} of {size}" for k, v in both.items())
            + ".",
            *(bool((2 * both > size).all()), bool(2 * rows.sum() > len(rows))),
        ),
        (
            *("5.2", "HASTE-LEEP achieves the highest correlation for the target selection task"),
            f"It has a row’s highest value in {leep[2]} of {len(tops[2])} rows of Table 2 and "
            f"{leep[6]} of {len(tops[6])} of Table 6. The column with the highest mean is "
            f"{best[2]} in Table 2 and {best[6]} in Table 6.",
            sum(leep.values()) == len(tops[2]) + len(tops[6]),
            all(name in haste for name in best.values()),
        ),
        (
            *("5.2", "and outperform their respective baseline methods (Table 2)"),
            f"Won–tied–lost {won[2]}.",
            *(lost[2] == 0 and "–0–" in won[2], rises[2]),
        ),
        (
            *("5.3", "on average … HASTE-modified metrics outperform their baseline methods"),
            f"The mean of every metric in Table 3 rises; won–tied–lost {won[3]}.",
            *(rises[3], False),
        ),
        (
            *("5.4", "on average … HASTE-modified metrics outperform their baseline methods"),
            f"The mean of both metrics in Table 4 rises; won–tied–lost {won[4]}. With three models "
            f"an ensemble (Table 7, {won[7]}) the mean changes are "
            + ", ".join(
                f"{number(v, 3, sign=True)} ({labels.metric(str(k))})" for k, v in means[7].items()
            )
            + ".",
            *(rises[4], False),
        ),
        (
            *("5.5", "HASTE-modified transferability metrics outperform their baseline"),
            f"Won–tied–lost {won[5]} in Table 5.",
            *(lost[5] == 0 and "–0–" in won[5], rises[5]),
        ),
        (
            *("6", "In contrast to … one metric doesn’t work for all"),
            f"The {len(tops[1])} rows of Table 1 have their highest values in {len(firsts)} "
            f"different columns: {', '.join(firsts)}.",
            *(len(firsts) == 1, False),
        ),
        (
            *("A.4", "HASTE-LEEP outperforms LEEP … across all three architectures (Table 8)"),
            f"It does in {above} of {len(eight)} cells. In Table 6, with the same targets and "
            f"baselines, {six} value does not.",
            *(above == len(eight), False),
        ),
        (
            *("A.5", "the results come out to be worse than when using only hard subsets"),
            f"Mixtures of Table 9 worse–equal–better than CS: {score(nine['cs'][::-1])}; than CA: "
            f"{score(nine['ca'][::-1])}.",
            *(nine["cs"][:2] == (0, 0), nine["cs"][0] < nine["cs"][2]),
        ),
        (
            *("A.6", "HASTE approach is agnostic to the choice of correlation coefficient"),
            f"Won–tied–lost {', '.join(score(counts(one['gain'])) for one in three)} by r, τ and "
            f"weighted τ (Tables 1, 10, 11). The three agree on better, equal or worse in "
            f"{same.sum()} of {len(same)} comparisons, and two of them point in opposite ways in "
            f"{opposite.sum()}.",
            *(bool(same.all()), up),
        ),
    ]
    verdicts = [
        "holds" if w else "holds on average" if a else "does not hold" for *_, w, a in found
    ]
    frame = pd.DataFrame([line[:3] for line in found], columns=["section", "sentence", "found"])
    return frame.assign(verdict=verdicts)


def claims_in_words() -> str:
    """:func:`claims` as a Markdown list, counted at its end."""
    frame = claims()
    lines = [
        f"- **{r['section']}**, “{r['sentence']}”: {r['found']} **{r['verdict'].capitalize()}.**"
        for r in frame.to_dict("records")
    ]
    tally = ", ".join(f"{count} {name}" for name, count in frame["verdict"].value_counts().items())
    return "\n".join([*lines, "", f"Verdicts on the {len(frame)} sentences: {tally}."])


def _columns(which: int) -> pd.DataFrame:
    """A table as it is printed: rows down, metric and variant across."""
    table = printed_table(which)
    names = table["metric"].map(labels.metric) + " " + table["variant"].map(labels.variant)
    wide = table.assign(column=names).pivot(index="row", columns="column", values="value")  # noqa: PD010
    return wide.loc[list(table["row"].unique())]


def _mixtures(variant: str) -> tuple[int, int, int]:
    """How often Table 9's mixtures are better than, equal to, worse than a hard subset."""
    table = printed_table(9)
    hard = table[table["variant"] == variant].set_index("target")["value"]
    mixed = table[table["variant"].str.startswith("stochastic")]
    return counts((mixed["value"] - mixed["target"].map(hard)).round(3))
