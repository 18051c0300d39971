"""The audit in five lines."""

from __future__ import annotations

from hastelib.report.audit.averages import headlines, leverage, summaries
from hastelib.report.audit.common import TOLERANCE, pairs, percent
from hastelib.report.audit.contradictions import rankings
from hastelib.report.audit.points import intervals, williams
from hastelib.report.audit.sentences import claims
from hastelib.report.comparison import counts
from hastelib.report.tables import number


def summary(level: float = 0.95) -> str:
    """What the audit finds, in five items of Markdown computed from the numbers."""
    heads, rows = headlines().frame, leverage().frame
    keys = ["table", "metric"]
    row = rows.set_index(keys).to_dict("index")[1, "leep"]
    line = summaries().frame.set_index(keys).to_dict("index")[1, "leep"]
    won, tied, lost = counts(pairs()["gain"])
    inside = intervals(level).frame.set_index("table").to_dict("index")[1]
    test = williams().frame.set_index("table").to_dict("index")[1]
    verdicts = claims()["verdict"].value_counts()
    bad = int((rankings().frame["cut"] == 0).sum())
    lines = (
        f"**The arithmetic is right.** All {len(heads)} percentages of the text come out of the "
        f"printed tables within {TOLERANCE} points.",
        f"**Single rows carry the averages.** In {int((rows['share'] > 0.5).sum())} of {len(rows)} "
        "mean relative changes one row outweighs all the others together. LEEP’s in Table 1 is "
        f"{percent(row['mean'])}%, but {percent(row['without'])}% without {row['row']} and "
        f"{percent(line['median'])}% in the median; its mean correlation rises by "
        f"{number(line['gain'])}.",
        f"**HASTE wins more often than it loses**: {won} of {won + tied + lost} comparisons, with "
        f"{tied} ties and {lost} losses. But the paper has no random subset of the same size, so "
        "nothing tells hardness from size.",
        f"**Seven sources decide nothing.** {inside['small']} of Table 1’s {inside['comparisons']} "
        f"changes are smaller than the half-width of the baseline’s {level:.0%} interval, and a "
        "paired test finds none significant unless the scores of baseline and HASTE correlate "
        f"above {number(test['lowest'], 2)}.",
        f"**Words and tables disagree in places.** Of {verdicts.sum()} sentences that the tables "
        f"can test {verdicts.get('holds', 0)} hold, {verdicts.get('holds on average', 0)} on "
        f"average, {verdicts.get('does not hold', 0)} not. Rows are swapped (Table 9), repeated "
        "(Tables 3 and 5) or headed by the wrong metric (Table 13), two contradict each other "
        f"(6 and 8), and {bad} cell fits no ranking (Tables 10 and 11).",
    )
    return "\n".join(f"- {text}" for text in lines)
