"""The pairs of Table 5, their subsets and what counting alone predicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from hastelib.data import class_names
from hastelib.experiments import Grid
from hastelib.experiments.names import taught_on
from hastelib.records import Row
from hastelib.report import labels, selection
from hastelib.report.comparison import correlate, several
from hastelib.report.paper import beside, paper_numbers, paper_table, table
from hastelib.report.selection import Tasks
from hastelib.report.tables import Beside, Block, Cell, Table, interval, narrow, number

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


def of_classes(turned: pd.DataFrame) -> pd.DataFrame:
    """The pairs whose subsets differ in their classes.

    Args:
        turned: what :func:`by_pair` gives.
    """
    return turned[turned.groupby("target")["size"].transform("nunique") > 1]
