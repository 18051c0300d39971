"""Target selection (the paper, Secs. 5.2 and 5.5): on which class subset will a source do best?

The units are random class subsets of a target (``greek#3``), one source at a time; every source
ranks the samples by hardness for itself.
"""

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from hastelib.data.base import subset_classes
from hastelib.grid import Grid, taught_on
from hastelib.suites import Selection

FEWEST = 3
"""A correlation needs this many points; through two of them it is always 1 or -1."""


@dataclass(frozen=True)
class Tasks:
    """Which sources meet class subsets of which targets.

    ``grid`` has the sources that have targets, and the selection's recipe; ``pairs`` are, of every
    source, the targets that it was not trained on, possibly none; ``count`` is how many subsets of
    each target there are, or all where there are fewer.
    """

    grid: Grid
    pairs: Mapping[str, tuple[str, ...]]
    count: int

    @functools.cached_property
    def subsets(self) -> dict[str, tuple[tuple[int, ...], ...]]:
        """Target -> the class indices of its subsets, ``target#0`` first."""
        targets = dict.fromkeys(itertools.chain(*self.pairs.values()))
        every = {target: subset_classes(self.grid.data(target)) for target in targets}
        return {target: tuple(itertools.islice(one, self.count)) for target, one in every.items()}

    def named(self, targets: Iterable[str]) -> list[str]:
        """The subsets of some targets by name."""
        return [f"{target}#{i}" for target in targets for i in range(len(self.subsets[target]))]

    def frame(self, section: str, metrics: Sequence[str]) -> pd.DataFrame:
        """The long frame (:data:`hastelib.records.COLUMNS`), its ``target`` a class subset.

        It has the columns ``whole``, the target of the subset, and ``size``, its number of classes.
        """
        named = {source: self.named(targets) for source, targets in self.pairs.items()}
        rankers = {source: source for source in named}
        found = self.grid.frame(section, named, metrics, rankers=rankers, static=False)
        names = found["target"].str.split("#")
        size = [len(self.subsets[whole][int(which)]) for whole, which in names]
        return found.assign(whole=names.str[0], size=size)


def tasks(grid: Grid, target: str = "", sources: Sequence[str] = (), subsets: int = 0) -> Tasks:
    """What a section on target selection runs.

    ``target`` is one of the suite; ``sources`` are any. What is not given is as the suite's
    selection says. A suite without one takes all its targets, and as sources its first source
    fine-tuned on its first target, and its second on its second; with one target these two as they
    are.

    Raises:
        ValueError: an unknown source or target, fewer than three subsets, no source that was not
            trained on the target.
    """
    if subsets and subsets < FEWEST:
        raise ValueError(
            f"subsets: expected at least {FEWEST}, since a correlation needs them, got {subsets}"
        )
    suite = grid.suite
    first = suite.sources[:2]
    if len(suite.targets) > 1:
        first = tuple(f"{a}+{b}" for a, b in zip(first, suite.targets, strict=False))
    told = suite.selection or Selection(sources=first, targets=(*suite.targets,))
    targets, chosen = (target,) if target else told.targets, sources or told.sources
    for one in targets:
        suite.target(one)
    pairs = {one: tuple(t for t in targets if t != taught_on(one)[1]) for one in chosen}
    if not any(pairs.values()):
        raise ValueError(
            f"sources: expected one that was not trained on {', '.join(targets)}, got "
            f"{', '.join(chosen)}"
        )
    changed = suite.select(sources=tuple(one for one in chosen if pairs[one]))[0]
    changed = changed.model_copy(update={"recipe": told.recipe or suite.recipe})
    return Tasks(Grid(changed, grid.store, grid.scheduler), pairs, subsets or told.subsets)
