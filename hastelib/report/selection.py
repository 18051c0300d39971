"""Section 5.2: of several target data sets, on which will a source do best?

The units are random class subsets of one target (``greek#3``), one source at a time. The rows of
the grid are turned for that (:func:`over_targets`): the subset goes into the column ``source`` and
its target into ``target``, so that everything in :mod:`hastelib.report` that correlates over
sources correlates over subsets. :mod:`hastelib.report.selection_classes` is about what the number
of classes has to do with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hastelib.data import subset_classes
from hastelib.experiments import Grid
from hastelib.experiments.names import of_classes, taught_on
from hastelib.records import Row, frame
from hastelib.report import labels
from hastelib.report.comparison import FEWEST, improvements
from hastelib.report.paper import beside, paper_numbers, paper_table, table
from hastelib.report.tables import Beside, Block, Cell, Table, number

UNITS = "class subsets"
DEFAULT_SUBSETS = 50
"""The paper's number, for a suite that names none."""


@dataclass(frozen=True)
class Tasks:
    """Which sources meet class subsets of which targets.

    Attributes:
        grid: of the suite, with the sources that have targets.
        pairs: source -> its targets, those it was not trained on; possibly none.
        subsets: target -> the class indices of its subsets, ``target#0`` first.
    """

    grid: Grid
    pairs: Mapping[str, tuple[str, ...]]
    subsets: Mapping[str, tuple[tuple[int, ...], ...]]

    def named(self, targets: Iterable[str]) -> list[str]:
        """The subsets of some targets by name."""
        return [f"{target}#{i}" for target in targets for i in range(len(self.subsets[target]))]


def tasks(
    grid: Grid, target: str = "", sources: Sequence[str] = (), subsets: int | None = None
) -> Tasks:
    """What the section runs.

    Args:
        grid: of the suite.
        target: one of the suite's; the suite's selection where it is not given. Without a
            selection in the suite's file, all its targets.
        sources: the suite's selection where they are not given. Without a selection, the suite's
            first source fine-tuned on its first target, and its second on its second.
        subsets: of each target, or as many as there are; the suite's number where it is not given.

    Raises:
        ValueError: an unknown source or target, fewer than three subsets, no source that was not
            trained on the target.
    """
    suite, told = grid.suite, grid.suite.selection
    if subsets is not None and subsets < FEWEST:
        raise ValueError(
            f"subsets: expected at least {FEWEST}, since a correlation needs them, got {subsets}"
        )
    count = subsets or (told.subsets if told else DEFAULT_SUBSETS)
    targets = (target,) if target else told.targets if told else (*suite.targets,)
    both = zip(suite.sources[:2], suite.targets, strict=False)
    chosen = sources or (told.sources if told else [f"{one}+{data}" for one, data in both])
    pairs = {one: tuple(t for t in targets if t != taught_on(one)[1]) for one in chosen}
    if not any(pairs.values()):
        raise ValueError(
            f"sources: expected one that was not trained on {', '.join(targets)}, got "
            f"{', '.join(chosen)}"
        )
    found = {}
    for name in targets:
        found[name] = tuple(itertools.islice(subset_classes(grid.data(name)), count))
    changed = suite.select(sources=tuple(one for one in chosen if pairs[one]))[0]
    return Tasks(Grid(changed, grid.store, grid.scheduler), pairs, found)


def about(tasks: Tasks, text: str) -> str:
    """What is about to run, in the words of :func:`hastelib.notebooks.about`, for this section.

    Args:
        tasks: what :func:`tasks` gives.
        text: what ``about`` says of their grid and targets.
    """
    counts = sorted({len(found) for found in tasks.subsets.values()})
    drawn = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    runs = sum(len(tasks.named(targets)) for targets in tasks.pairs.values())
    runs *= len(tasks.grid.suite.seeds)
    return "\n".join(
        [
            text,
            f"- **Class subsets**: {drawn} of each target, which makes {runs} fine-tunings",
        ]
    )


def rows(tasks: Tasks, names: Sequence[str], section: str = "5.2") -> list[Row]:
    """The rows of the section; every source ranks by hardness for itself.

    Args:
        tasks: what :func:`tasks` gives.
        names: metrics.
        section: of the paper.
    """
    grid, rankers = tasks.grid, {source: source for source in tasks.pairs}
    jobs = []  # of all pairs at once, so that the work is spread over the workers
    for source, targets in tasks.pairs.items():
        jobs += grid.jobs([source], tasks.named(targets), names, grid.suite.seeds, rankers)
    grid.run(jobs)
    found = []
    for source, targets in tasks.pairs.items():
        subsets = tasks.named(targets)
        found += grid.rows(section, subsets, names, sources=[source], rankers=rankers)
    return found


def over_targets(rows: Iterable[Row] | pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows turned, by source: what is correlated over are the class subsets of a target.

    Returns:
        Source -> its rows with the subset's name (``greek#3``) in ``source``, the target's
        (``greek``) in ``target``, and the subset's number of classes in ``size``.
    """
    whole = frame(rows)
    sizes = whole[whole["variant"] == "all"].groupby("target")["classes"].first()
    turned = whole.assign(
        source=whole["target"],
        target=[of_classes(name)[0] for name in whole["target"]],
        size=whole["target"].map(sizes),
    )
    return {
        str(source): turned[whole["source"] == source].reset_index(drop=True)
        for source in whole["source"].unique()
    }


def jaccard(sets: Sequence[Sequence[int]]) -> float:
    r"""How far sets overlap: the mean of :math:`|A \cap B| / |A \cup B|` over all pairs."""
    found = [
        len(set(a) & set(b)) / len(set(a) | set(b)) for a, b in itertools.combinations(sets, 2)
    ]
    return float(np.mean(found)) if found else np.nan


def overlaps(tasks: Tasks) -> pd.DataFrame:
    """The class subsets of each target.

    Returns:
        The columns target, classes (of the target), subsets, least and most (classes of one), and
        jaccard, their mean overlap (:func:`jaccard`).
    """
    found = []
    for target, sets in tasks.subsets.items():
        classes = tasks.grid.data(target)["train"].features["label"].num_classes
        sizes = [len(one) for one in sets]
        found.append((target, classes, len(sets), min(sizes), max(sizes), jaccard(sets)))
    columns = ["target", "classes", "subsets", "least", "most", "jaccard"]
    return pd.DataFrame(found, columns=columns)


def spreads(tasks: Tasks, parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How far the accuracies of a target's class subsets spread.

    Args:
        tasks: what :func:`tasks` gives.
        parts: what :func:`over_targets` gives.

    Returns:
        The columns source, target, low and high (the ends of the accuracies), std (their standard
        deviation) and error: the standard error of one accuracy a, as the root of the mean of
        a (1 - a) over the test samples of its subset. All in [0, 1].
    """
    samples: dict[str, int] = {}
    for target, sets in tasks.subsets.items():
        data = tasks.grid.data(target)["test"]
        labelled = np.bincount(data.with_format("numpy")["label"][:])
        counts = [int(labelled[list(one)].sum()) for one in sets]
        samples |= dict(zip(tasks.named([target]), counts, strict=True))
    found = []
    for source, part in parts.items():
        for name, units in part.drop_duplicates("source").groupby("target", sort=False):
            a = units["accuracy"].to_numpy(float)
            variance = a * (1 - a) / units["source"].map(samples).to_numpy(float)
            found.append((source, name, a.min(), a.max(), a.std(ddof=1), variance.mean() ** 0.5))
    return pd.DataFrame(found, columns=["source", "target", "low", "high", "std", "error"])


def described(tasks: Tasks, parts: Mapping[str, pd.DataFrame]) -> Table:
    """The class subsets: how many, how large, how far they overlap, how the accuracies spread.

    Args:
        tasks: what :func:`tasks` gives.
        parts: what :func:`over_targets` gives.

    Returns:
        A block about the subsets and one per source about the accuracies, in percent. ``frame``
        has the columns of :func:`spreads` and of :func:`overlaps`.
    """
    sets, found = overlaps(tasks), spreads(tasks, parts)
    rows = [
        (
            labels.plain(one["target"]),
            (
                Cell(str(one["classes"])),
                Cell(str(one["subsets"])),
                Cell(f"{one['least']}–{one['most']}"),
                Cell(number(one["jaccard"], 2)),
            ),
        )
        for one in sets.to_dict("records")
    ]
    head = ("Target", "Classes", "Subsets", "Sizes", "Overlap")
    blocks = [Block("Class subsets", head, tuple(rows))]
    for source, part in found.groupby("source", sort=False):
        lines = [
            (
                labels.plain(one["target"]),
                tuple(Cell(number(100 * one[name], 1)) for name in ("low", "high", "std", "error")),
            )
            for one in part.to_dict("records")
        ]
        head = ("Target", "Lowest", "Highest", "Std", "Error")
        blocks.append(Block(labels.source(str(source)), head, tuple(lines)))
    caption = (
        "The class subsets of each target, their sizes in classes, and how far two of them overlap "
        "(mean share of common classes, the Jaccard index); then, for each source, the lowest and "
        "highest fine-tuned accuracy in percent, its standard deviation over the subsets, and the "
        "standard error that a test split of this size gives one accuracy. Where the deviation is "
        "not well above the error, there is little to predict."
    )
    return Table(caption, tuple(blocks), (), found.merge(sets, on="target"))


def overlap_words(described: Table) -> str:
    """What the overlap means for the intervals, as Markdown.

    Args:
        described: what :func:`described` gives.
    """
    found = described.frame
    overlap = found.drop_duplicates("target")["jaccard"]
    ends = dict.fromkeys(number(end, 2) for end in (overlap.min(), overlap.max()))
    noisy = int((found["std"] < 2 * found["error"]).sum())
    return (
        f"Two subsets of a target share on average {' to '.join(ends)} of their classes. They are "
        "random draws from the sets of *this* target’s classes, and the intervals below hold "
        "for other such draws; for other classes of the same kind, which is what one would like to "
        "know, **the intervals are too narrow**, since the same classes come again and again. "
        f"The deviation of the accuracies is less than twice their error in {noisy} of "
        f"{len(found)} cases."
    )


PAPER = ((2, 13), (6,))
"""The paper's tables of its first and of its second source; 13 is LogME's."""


def tables(place: int, correlations: pd.DataFrame) -> Beside:
    """The correlations of a source beside the paper's.

    Args:
        place: of the source: the first stands beside Tables 2 and 13, the second beside Table 6.
        correlations: of the rows of that source that :func:`over_targets` gives.
    """
    ours = table(correlations, units=UNITS)
    there = {block.title for block in ours.blocks}
    shown = []
    for which in PAPER[place] if place < len(PAPER) else ():
        printed = paper_table(which)
        if which == 13:  # headed LEEP in print
            printed = replace(
                printed,
                blocks=tuple(replace(b, title=labels.metric("logme")) for b in printed.blocks),
            )
        kept = tuple(block for block in printed.blocks if block.title in there)
        if kept:
            shown.append(replace(printed, blocks=kept))
    return beside(ours, *shown)


def clearest(described: Table, source: str) -> str:
    """The target on which a source's accuracies stand out most from their error.

    Args:
        described: what :func:`described` gives.
        source: one of its sources.
    """
    found = described.frame[described.frame["source"] == source]
    return str(found["target"].iloc[int((found["std"] / found["error"]).argmax())])


def headlines() -> Table:
    """The paper's mean relative changes for 5.2: Table 2's, Table 6's, and of both together."""
    parts = {"Table 2": paper_numbers(2), "Table 6": paper_numbers(6)}
    parts["Both"] = pd.concat(parts.values(), ignore_index=True)
    found = []
    for name, part in parts.items():
        told = improvements(part)
        found.append(told[told["variant"] == "haste"].assign(which=name))
    lines = pd.concat(found, ignore_index=True)
    cells = {
        str(metric): tuple(
            Cell(f"{number(line['relative'], 2, sign=True)}%", number(line["difference"], 3, True))
            for line in part.to_dict("records")
        )
        for metric, part in lines.groupby("metric", sort=False)
    }
    caption = (
        "The mean relative change over all rows and both variants, computed from the printed "
        "tables; beneath it the difference of the mean correlations."
    )
    block_rows = tuple((labels.metric(name), cell) for name, cell in cells.items())
    kept = lines[["which", "metric", "targets", "relative", "difference"]]
    return Table(caption, (Block("", ("Metric", *parts), block_rows),), (), kept)
