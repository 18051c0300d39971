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

    ``grid`` has the sources that have targets, and the selection's recipe; ``pairs`` has, for
    every source, the targets that it was not trained on, possibly none; ``count`` is how many
    subsets of each target are taken, or all where there are fewer.
    """

    grid: Grid
    pairs: Mapping[str, tuple[str, ...]]
    count: int

    @functools.cached_property
    def subsets(self) -> dict[str, tuple[tuple[int, ...], ...]]:
        """Target -> the class indices of its subsets, ``target#0`` first."""
        targets = dict.fromkeys(itertools.chain(*self.pairs.values()))
        iterators = {t: subset_classes(self.grid.data(t)) for t in targets}
        return {t: tuple(itertools.islice(subsets, self.count)) for t, subsets in iterators.items()}

    def named(self, targets: Iterable[str]) -> list[str]:
        """The names of the subsets of some targets."""
        return [f"{target}#{i}" for target in targets for i in range(len(self.subsets[target]))]

    def frame(self, section: str, metrics: Sequence[str]) -> pd.DataFrame:
        """The long frame (:data:`hastelib.records.COLUMNS`), its ``target`` a class subset.

        It has the columns ``whole``, the target of the subset, and ``size``, its number of classes.
        """
        subset_names = {source: self.named(targets) for source, targets in self.pairs.items()}
        rankers = {source: source for source in subset_names}
        frame = self.grid.frame(section, subset_names, metrics, rankers=rankers, static=False)
        names = frame["target"].str.split("#")
        sizes = [len(self.subsets[whole][int(number)]) for whole, number in names]
        return frame.assign(whole=names.str[0], size=sizes)


def tasks(grid: Grid, target: str = "", sources: Sequence[str] = (), subsets: int = 0) -> Tasks:
    """What a section on target selection runs.

    ``target`` is one of the suite; ``sources`` are any. Whatever is not given comes from the
    suite's selection. A suite without one takes all its targets, and as sources its first source
    fine-tuned on its first target, and its second on its second; with one target, these two
    sources themselves.

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
    selection = suite.selection or Selection(sources=first, targets=(*suite.targets,))
    targets, chosen = (target,) if target else selection.targets, sources or selection.sources
    for name in targets:
        suite.target(name)
    pairs = {name: tuple(t for t in targets if t != taught_on(name)[1]) for name in chosen}
    if not any(pairs.values()):
        raise ValueError(
            f"sources: expected one that was not trained on {', '.join(targets)}, got "
            f"{', '.join(chosen)}"
        )
    changed = suite.select(sources=tuple(name for name in chosen if pairs[name]))[0]
    changed = changed.model_copy(update={"recipe": selection.recipe or suite.recipe})
    return Tasks(Grid(changed, grid.store, grid.scheduler), pairs, subsets or selection.subsets)
