"""Section 5.5: target selection with texts, the paper's Table 5.

As in :mod:`hastelib.report.selection` the units are subsets of a target, ``tweets#3``. What is new:
the pairs of source and target are Table 5's four, a row each; and a target of two classes has no
class subsets, so its subsets are random parts of its train samples.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
import pandas as pd
import scipy.stats
import torch

from hastelib import hardness, stats
from hastelib.data import class_names, class_subsets
from hastelib.experiments import Grid
from hastelib.experiments.names import taught_on
from hastelib.models.language import Texts
from hastelib.records import Row
from hastelib.report import labels, selection
from hastelib.report.comparison import correlate, several
from hastelib.report.comparison import improvements as _improvements
from hastelib.report.paper import beside, paper_numbers, paper_table, table
from hastelib.report.selection import Tasks
from hastelib.report.tables import Beside, Block, Cell, Table, interval, narrow, number
from hastelib.report.verify import verify

UNITS = "subsets"
ROLES = {
    "emotion": "Emotion",
    "emotions": "Emotion",
    "ag_news": "AGNews",
    "topics": "AGNews",
    "tweeteval": "TweetEval",
    "tweets": "TweetEval",
    "imdb": "IMDB",
    "reviews": "IMDB",
}
"""What a set of a suite stands for in Table 5."""


def tasks(
    grid: Grid, target: str = "", sources: Sequence[str] = (), subsets: int | None = None
) -> Tasks:
    """What the section runs: the pairs of the suite's selection that Table 5 has.

    Args:
        grid: of the suite.
        target: one of the suite's, with every source; the suite's selection for "".
        sources: with every target; the suite's selection where they are not given.
        subsets: of each target, or as many as there are; the suite's number for None.

    Raises:
        ValueError: as :func:`hastelib.report.selection.tasks`.
    """
    whole = selection.tasks(grid, target, sources, subsets)
    if target or sources:
        return whole
    printed = {(row["source"], row["target"]) for row in paper_numbers(5).to_dict("records")}

    def kept(source: str, name: str) -> bool:
        pair = ROLES.get(taught_on(source)[1] or ""), ROLES.get(name)
        return None in pair or pair in printed

    pairs = {
        source: tuple(name for name in names if kept(source, name))
        for source, names in whole.pairs.items()
    }
    return replace(whole, pairs=pairs)


def about(tasks: Tasks, text: str) -> str:
    """What is about to run, in the words of :func:`hastelib.notebooks.about`, for this section.

    Args:
        tasks: what :func:`tasks` gives.
        text: what ``about`` says of their grid and targets.
    """
    pairs = ", ".join(pair(source, name) for source, names in tasks.pairs.items() for name in names)
    counts = ", ".join(f"{len(found)} of {name}" for name, found in tasks.subsets.items())
    runs = sum(len(tasks.named(names)) for names in tasks.pairs.values())
    runs *= len(tasks.grid.suite.seeds)
    return f"{text}\n- **Pairs**: {pairs}\n- **Subsets**: {counts}, which makes {runs} fine-tunings"


def pair(source: str, target: str) -> str:
    """A source and a target as Table 5 names them: what the source learnt, then the target."""
    return f"{labels.plain(taught_on(source)[1] or source)} → {labels.plain(target)}"


def rows(tasks: Tasks, names: Sequence[str]) -> list[Row]:
    """The rows of the section; every source ranks by hardness for itself.

    Args:
        tasks: what :func:`tasks` gives.
        names: metrics.
    """
    grid, rankers = tasks.grid, {source: source for source in tasks.pairs}
    # The jobs of all pairs at once, so that the sources are trained beside each other.
    jobs = []
    for source, targets in tasks.pairs.items():
        jobs += grid.jobs([source], tasks.named(targets), names, grid.suite.seeds, rankers)
    grid.run(jobs)
    found = []
    for source, targets in tasks.pairs.items():
        subsets = tasks.named(targets)
        found += grid.rows("5.5", subsets, names, sources=[source], rankers=rankers)
    return found


def by_pair(rows: Iterable[Row] | pd.DataFrame) -> pd.DataFrame:
    """The rows turned: a pair in ``target``, what is correlated over in ``source``.

    Returns:
        What :func:`hastelib.report.selection.over_targets` gives, one table for all sources, with
        the pair (:func:`pair`) in the place of the target.
    """
    parts = []
    for source, part in selection.over_targets(rows).items():
        names = [pair(source, str(target)) for target in part["target"]]
        parts.append(part.assign(target=names))
    return pd.concat(parts, ignore_index=True)


def tables(correlations: pd.DataFrame) -> Beside:
    """The correlations, a pair a row, beside the paper's Table 5.

    Args:
        correlations: of what :func:`by_pair` gives.
    """
    ours, printed = table(correlations, units=UNITS), paper_table(5)
    there = {block.title for block in ours.blocks}
    kept = tuple(block for block in printed.blocks if block.title in there)
    return beside(ours, *([replace(printed, blocks=kept)] if kept else []))


def sources(tasks: Tasks) -> Table:
    """The sources: size, layers, and how well they do what they were trained for."""
    lines = []
    for name in tasks.pairs:
        source, taught = tasks.grid.source(name), taught_on(name)[1]
        size = sum(p.numel() for p in source.module.parameters())
        found = tasks.grid.features(name, taught, "test")
        accuracy = source.accuracy(found.probs, found.labels, found.probs.shape[1])
        texts = (
            f"{size / 1e6:,.2f}",
            str(found.probs.shape[1]),
            str(found.embedding.shape[1]),
            str(len(source.stages)),
            number(100 * accuracy, 1),
        )
        lines.append((labels.source(name), tuple(map(Cell, texts))))
    head = ("Source", "Parameters", "Classes", "Width", "Layers", "Accuracy")
    caption = (
        "The sources: parameters in millions, classes of the set they were trained on, width of "
        "the embedding, layers tapped for the class-agnostic hardness (all but the first), and "
        "accuracy in percent on the test split of their own set."
    )
    return Table(caption, (Block("", head, tuple(lines)),))


def described(tasks: Tasks, rows: Iterable[Row] | pd.DataFrame) -> Table:
    """The subsets of the targets, and how the accuracies spread over them.

    Args:
        tasks: what :func:`tasks` gives.
        rows: what :func:`rows` gives.

    Returns:
        A block about the subsets and one about the accuracies, in percent. ``frame`` has the
        columns of :func:`hastelib.report.selection.spreads`.
    """
    parts = selection.over_targets(rows)
    spreads = selection.spreads(tasks, parts)
    every = pd.concat(parts.values())
    every = every[every["variant"] == "all"]
    lines = []
    for name, found in tasks.subsets.items():
        units = every[every["target"] == name]
        classes, texts = (f"{units[c].min():.0f}–{units[c].max():.0f}" for c in ("size", "samples"))
        few = len(class_names(tasks.grid.data(name)["train"])) == 2
        what = "texts" if few else "classes"
        cells = (what, str(len(found)), "2" if few else classes, texts)
        lines.append((labels.plain(name), tuple(map(Cell, cells))))
    blocks = [Block("Subsets", ("Target", "Of", "Number", "Classes", "Texts"), tuple(lines))]
    lines = [
        (
            pair(one["source"], one["target"]),
            tuple(Cell(number(100 * one[name], 1)) for name in ("low", "high", "std", "error")),
        )
        for one in spreads.to_dict("records")
    ]
    head = ("Pair", "Lowest", "Highest", "Std", "Error")
    blocks.append(Block("Accuracy", head, tuple(lines)))
    caption = (
        "The subsets of each target: what they are drawn from, how many there are, their sizes in "
        "classes and in train texts. Then for each pair the lowest and highest fine-tuned accuracy "
        "in percent, its standard deviation over the subsets, and the standard error that a test "
        "split of this size gives one accuracy. Where the deviation is not well above the error, "
        "there is little to predict."
    )
    return Table(caption, tuple(blocks), (), spreads)


def counting(turned: pd.DataFrame) -> Table:
    """What two counts say of the accuracy: of the classes and of the train texts.

    Args:
        turned: what :func:`by_pair` gives.

    Returns:
        A pair a row: Pearson's r with minus log c, and with log n. ``frame`` has the columns
        target, count (``classes`` or ``texts``), value, low and high.
    """
    units = turned[turned["variant"] == "all"].drop_duplicates(["target", "source"])
    found, lines = [], []
    for name, part in units.groupby("target", sort=False):
        cells = []
        for count, predictor in (
            ("classes", -np.log(part["size"])),
            ("texts", np.log(part["samples"])),
        ):
            ends = (np.nan,) * 3
            if several(predictor):
                ends = correlate(predictor.to_numpy(float), part["accuracy"].to_numpy(float))
            found.append((name, count, *ends))
            cells.append(Cell(number(ends[0]), narrow(interval(*ends[1:]))))
        lines.append((str(name), tuple(cells)))
    caption = (
        "Pearson’s r of the accuracy with two numbers that need no source, over the subsets of a "
        "pair’s target: minus the logarithm of the number of classes, and the logarithm of the "
        "number of train texts. A dash: all subsets have as many classes."
    )
    block = Block("", ("Pair", "−log classes", "log texts"), tuple(lines))
    columns = ["target", "count", "value", "low", "high"]
    return Table(caption, (block,), (), pd.DataFrame(found, columns=columns))


def padding(grid: Grid, source: str, target: str, count: int = 32) -> Table:
    """Does the padding of a batch change an embedding?

    Args:
        grid: of the suite.
        source: whose embeddings.
        target: the first ``count`` texts of its train split are embedded one by one, without
            padding, and all at once, padded to the longest.
        count: of texts.

    Raises:
        ValueError: it does, by more than 1e-5.
    """
    network = grid.source(source)
    split = network.read(grid.data(target)["train"].select(range(count)), target)
    with torch.inference_mode():
        alone, together = (
            torch.cat([network.tapped()(x)["embedding"] for x, _ in split.batches(size)])
            for size in (1, count)
        )
    largest = (alone - together).abs().max().item()
    claims = {f"{count} texts, largest difference": (0.0, largest)}
    caption = "Embeddings of single texts against those of a padded batch: expected and got."
    return verify(claims, 1e-5, caption)


def example(tasks: Tasks) -> tuple[str, str]:
    """A pair to show: the target that most sources meet, and the first of them.

    Args:
        tasks: what :func:`tasks` gives.

    Returns:
        Source and target.
    """
    met = {t: [s for s, names in tasks.pairs.items() if t in names] for t in tasks.subsets}
    target = max(met, key=lambda name: len(met[name]))
    return met[target][0], target


@dataclass(frozen=True)
class Extreme:
    """A text at one end of a ranking: which end, by which hardness, its label and value."""

    end: str
    variant: str
    text: str
    label: str
    hardness: float


def extremes(grid: Grid, target: str, by: str, count: int = 3, most: int = 140) -> list[Extreme]:
    """The hardest and easiest texts of a target's train split, by both kinds of hardness.

    Args:
        grid: of the suite.
        target: of the suite.
        by: the source that ranks.
        count: at each end.
        most: characters of a text that are kept.
    """
    data = grid.data(target)["train"]
    names, found = class_names(data), []
    for variant, values in grid.hardness(target, by=by).items():
        order = values.argsort(descending=True, stable=True).tolist()
        for end, chosen in (("hardest", order[:count]), ("easiest", order[::-1][:count])):
            for row in chosen:
                line = " ".join(data[row]["text"].split())
                text = line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
                label = names[data[row]["label"]]
                found.append(Extreme(end, variant, text, label, values[row].item()))
    return found


def extremes_html(found: Sequence[Extreme]) -> str:
    """The texts as lists, one a kind of hardness and end; everything is escaped."""
    parts = []
    for (variant, end), part in itertools.groupby(found, lambda one: (one.variant, one.end)):
        kind = {"ca": "class-agnostic", "cs": "class-specific"}[variant]
        items = "".join(
            f"<li><strong>{escape(one.label)}</strong> ({number(one.hardness, 2)}): "
            f"{escape(one.text)}</li>"
            for one in part
        )
        parts.append(f"<p>{end.capitalize()}, {kind} hardness:</p><ul>{items}</ul>")
    return "".join(parts)


def extreme_words(grid: Grid, target: str, by: str) -> str:
    """What the hard and the easy quarter of a target's train split differ in, as Markdown.

    Args:
        grid: of the suite.
        target: of the suite.
        by: the source that ranks.
    """
    data, split = grid.data(target)["train"], grid.read(target, "train", grid.source(by))
    assert isinstance(split, Texts)
    lengths = split.lengths.double()
    names, texts = class_names(data), []
    for variant, values in grid.hardness(target, by=by).items():
        hard = hardness.hardest(values, grid.suite.hardness.fraction)
        shares = torch.bincount(split.labels[hard], minlength=len(names)) / len(hard)
        usual = torch.bincount(split.labels, minlength=len(names)) / len(values)
        top = int((shares - usual).argmax())
        r = stats.pearson(values, lengths, resamples=200)[0]
        ends = [number(100 * part[top].item(), 0) for part in (shares, usual)]
        texts.append(
            f"By {labels.variant(variant)} the hard subset’s texts have "
            f"{number(lengths[hard].mean().item(), 1)} tokens on average, all texts "
            f"{number(lengths.mean().item(), 1)} (r of hardness and length {number(r, 2)}); "
            + (
                f"its most over-represented class is {labels.plain(names[top])} with {ends[0]}% "
                f"against {ends[1]}%."
                if ends[0] != ends[1]
                else "its classes are in the proportions of all texts."
            )
        )
    return " ".join(texts)


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


def of_classes(turned: pd.DataFrame) -> pd.DataFrame:
    """The pairs whose subsets differ in their classes.

    Args:
        turned: what :func:`by_pair` gives.
    """
    return turned[turned.groupby("target")["size"].transform("nunique") > 1]


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


__all__ = [
    "UNITS",
    "Extreme",
    "about",
    "by_pair",
    "counting",
    "described",
    "example",
    "extreme_words",
    "extremes",
    "extremes_html",
    "findings",
    "headline",
    "headline_words",
    "of_classes",
    "padding",
    "pair",
    "rows",
    "sources",
    "tables",
    "tasks",
]
