"""What came out, and what the paper's headline rests on."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import scipy.stats

from hastelib.data import class_names, class_subsets
from hastelib.report import labels
from hastelib.report.comparison import correlate
from hastelib.report.comparison import improvements as _improvements
from hastelib.report.paper import paper_numbers
from hastelib.report.selection import Tasks
from hastelib.report.tables import Block, Cell, Table, number


def findings(turned: pd.DataFrame, correlations: pd.DataFrame, counted: Table) -> str:
    """What this section adds to the general findings, as Markdown.

    Args:
        turned: what :func:`by_pair` gives.
        correlations: of it.
        counted: what :func:`counting` gives.
    """
    base = correlations[correlations["variant"] == "all"]
    counts = counted.frame.set_index(["count", "target"])["value"]
    # A pair's subsets are of texts where they all have as many classes.
    sizes = turned[turned["variant"] == "all"].groupby("target", sort=False)["size"].nunique()
    predictors = {
        "classes": (sizes.index[sizes > 1], "minus the log of the number of classes"),
        "texts": (sizes.index[sizes == 1], "the log of the number of texts"),
    }
    items = []
    for kind, (names, called) in predictors.items():
        if names.empty:
            continue
        part, rival = base[base["target"].isin(names)], counts[kind]
        means = part.groupby("metric", sort=False)["value"].mean()
        listed = ", ".join(f"{labels.metric(str(m))} {number(r, 2)}" for m, r in means.items())
        above = int((part["value"].to_numpy() > rival[part["target"]].to_numpy()).sum())
        items.append(
            f"- **Subsets of {kind}** ({', '.join(map(str, names))}): the baselines have a "
            f"{'mean ' * (len(names) > 1)}r of {listed}; {called} alone has "
            f"{number(rival[names].mean(), 2)}, and is beaten in {above} of {len(part)} cases."
        )
        if kind == "texts":
            leaning = _with_texts(turned[turned["target"].isin(names)])
            listed = ", ".join(
                f"{labels.metric(str(m))} {number(r, 2)}" for m, r in leaning.items()
            )
            items[-1] += (
                f" The scores themselves have an r of {listed} with the log of the number of "
                f"texts; {_chance(turned[turned['target'].isin(names)])}"
            )
    for metric, part in base.groupby("metric", sort=False):
        if negative := int((part["value"] < 0).sum()):
            items.append(
                f"- {labels.metric(str(metric))}’s baseline is negative for {negative} of "
                f"{len(part)} pairs: a subset that “beats” it there is only less wrong."
            )
    sure = int((base["low"] > 0).sum())
    items.append(
        f"- Of {len(base)} baseline correlations {sure} have an interval above zero, "
        f"{int((base['high'] < 0).sum())} one below."
    )
    return "\n".join(items)


def overlap_words(tasks: Tasks) -> str:
    """What the intervals over subsets do not say, as Markdown."""
    whole, texts = [], []
    for target, subsets in tasks.subsets.items():
        classes = len(class_names(tasks.grid.data(target)["train"]))
        if classes == 2:
            texts.append(target)
        elif len(list(itertools.islice(class_subsets(classes), len(subsets) + 1))) == len(subsets):
            whole.append(f"{labels.plain(target)} ({len(subsets)})")
    text = (
        "Subsets of a target share most of their "
        f"{'classes' if len(texts) < len(tasks.subsets) else 'texts'}, so for other data of the "
        "kind **the intervals are too narrow**, as in 5.2."
    )
    if whole:
        text += (
            f" Of {' and '.join(whole)} they are all the class subsets that there are: the "
            "interval then says how far r rests on single subsets, and no more."
        )
    return text


def _chance(turned: pd.DataFrame) -> str:
    """How large an r of unrelated columns gets, and whether there is anything to predict."""
    n = turned["source"].nunique()
    t = scipy.stats.t.ppf(0.975, n - 2)
    return (
        f"with {n} subsets an r of up to {number(t / math.sqrt(n - 2 + t**2), 2)} either way comes "
        "by chance. Whether these accuracies differ by more than their error at all stands in the "
        "first table."
    )


def _with_texts(turned: pd.DataFrame) -> pd.Series:
    """Metric -> mean r of the baseline with the log of the number of train texts."""
    cells = {
        cell: correlate(part["score"].to_numpy(float), np.log(part["samples"].to_numpy(float)))[0]
        for cell, part in turned[turned["variant"] == "all"]
        .dropna(subset=["score"])
        .groupby(["metric", "target"], sort=False)
    }
    return pd.Series(cells).groupby(level=0, sort=False).mean()


def headline() -> Table:
    """The paper's improvements in Table 5, of all four pairs and of those but Emotion to IMDB.

    Returns:
        ``frame`` has the columns metric, pairs (``all`` or ``without``) and relative, in percent.
    """
    numbers = paper_numbers(5)
    few = numbers["target"] == "IMDB"
    found = []
    for name, part in (("all", numbers), ("without", numbers[~few])):
        told = _improvements(part.assign(target=part["source"] + " → " + part["target"]))
        told = told[told["variant"] == "haste"]
        found += [(m, name, r) for m, r in zip(told["metric"], told["relative"], strict=True)]
    lines = pd.DataFrame(found, columns=["metric", "pairs", "relative"])
    rows = tuple(
        (
            labels.metric(str(metric)),
            tuple(Cell(f"{number(value, 2, sign=True)}%") for value in part["relative"]),
        )
        for metric, part in lines.groupby("metric", sort=False)
    )
    caption = (
        "The mean relative change over the pairs and both variants, computed from the printed "
        "Table 5: of all four pairs, the paper’s headline, and without Emotion → IMDB."
    )
    block = Block("", ("Metric", "All pairs", "Without IMDB"), rows)
    return Table(caption, (block,), (), lines)


def headline_words(subsets: int = 50) -> str:
    """What Emotion to IMDB has to do with the headline, as Markdown.

    Args:
        subsets: how many the paper has of IMDB, where that is not said.
    """
    lines = headline().frame.set_index(["metric", "pairs"])["relative"]
    printed = paper_numbers(5)
    base = printed[(printed["target"] == "IMDB") & (printed["variant"] == "all")]
    values = ", ".join(number(value, 3) for value in base["value"])
    t = scipy.stats.t.ppf(0.975, subsets - 2)
    chance = t / math.sqrt(subsets - 2 + t**2)
    shares = ", ".join(
        f"{labels.metric(str(m))} {number(lines[m, 'without'], 2, sign=True)}% instead of "
        f"{number(lines[m, 'all'], 2, sign=True)}%"
        for m in base["metric"]
    )
    within = int((base["value"].abs() < chance).sum())
    return (
        f"Without Emotion → IMDB the means are {shares}. That is the very pair for which it is "
        f"unknown what its subsets are. Its baselines are {values}; if it had {subsets} subsets, "
        f"as the text of 5.2 says, {within} of {len(base)} would be no larger than what two "
        f"unrelated columns of that length give in 95% of cases, an r of up to "
        f"{number(chance, 2)} either way."
    )
