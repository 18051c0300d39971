"""Which rows there are: the CSVs of this run's notebooks, and those that the project keeps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hastelib.experiments.names import of_classes
from hastelib.records import COLUMNS, frame, read_csv
from hastelib.report.results.catalogue import CATALOGUE, Entry
from hastelib.report.results.lines import none

RESULTS = Path(__file__).parents[3] / "results"
"""The measured tables that the project keeps, a folder a suite."""

PAPER = "paper"
ALL = "all"


@dataclass(frozen=True, eq=False)
class Found:
    """What there is of one of the paper's tables on one side.

    Attributes:
        lines: the correlations, one a line, in the columns that ``results/lines.py`` describes.
        files: the CSVs behind them; none on the paper's side.
        seeds: the number of fine-tunings behind an accuracy, 0 on the paper's side.
    """

    lines: pd.DataFrame
    files: tuple[Path, ...] = ()
    seeds: int = 0


@dataclass(frozen=True, eq=False)
class Results:
    """All that is compared: side (``paper``, or a suite's name) -> number of the table -> lines.

    A table that is not measured on a side is not there.

    Attributes:
        sides: as above; the paper's side comes first and has every table.
        rows: suite -> notebook -> its rows, for what the tables do not show.
    """

    sides: Mapping[str, Mapping[int, Found]]
    rows: Mapping[str, Mapping[str, pd.DataFrame]] = field(default_factory=dict)

    @property
    def suites(self) -> tuple[str, ...]:
        """The sides that were measured here, also those with nothing."""
        return tuple(name for name in self.sides if name != PAPER)

    def of(self, side: str, number: int) -> pd.DataFrame:
        """The lines of a table on a side, none where it is not measured."""
        found = self.sides[side].get(number)
        return none() if found is None else found.lines


def files(stem: str, suite: str, folders: Sequence[Path], target: str = "") -> tuple[Path, ...]:
    """The CSVs of a notebook on a suite.

    Args:
        stem: the notebook's name.
        suite: its name.
        folders: where to look; the first comes first.
        target: one of the suite's; all of them for "".

    Returns:
        The file of the target asked for, or of a run over all; else of all that were run alone,
        each from the first folder that has it. None where there is none.
    """
    for name in dict.fromkeys((target or ALL, ALL)):
        for folder in folders:
            path = folder / f"{stem}-{suite}-{name}.csv"
            if path.is_file():
                return (path,)
    if target:
        return ()
    alone: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob(f"{stem}-{suite}-*.csv")):
            alone.setdefault(path.name, path)
    return tuple(alone.values())


def read(path: Path) -> pd.DataFrame:
    """The rows of a CSV, with the columns that a section adds to those of the records.

    Raises:
        ValueError: as :func:`hastelib.records.read_csv` says, or columns of a record are missing.
    """
    head = pd.read_csv(path, nrows=0).columns
    if set(head) <= set(COLUMNS):
        return frame(read_csv(path))
    if missing := [name for name in COLUMNS if name not in head]:
        raise ValueError(f"{path}: missing columns {missing}; run the notebook that makes it again")
    text = {"section": str, "reason": str, "hardness_source": str}
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=["nan"])


def gather(
    suite: str,
    output: Sequence[str | Path],
    other: str = "",
    target: str = "",
    kept: Path = RESULTS,
    entries: Sequence[Entry] = CATALOGUE,
) -> Results:
    """The paper's numbers, and ours on a suite and on another.

    A run over all targets, wherever it lies, comes before runs over single ones.

    Args:
        suite: read from ``output``, and from what the project keeps where that has nothing.
        output: the folders into which the sections' notebooks have written; the first that has
            a file counts.
        other: a suite read from what the project keeps alone; none for "".
        target: one of the suites'; all of them for "".
        kept: the folder with what the project keeps.
        entries: the tables.
    """
    folders = {suite: (*map(Path, output), kept / suite)}
    if other:
        folders[other] = (kept / other,)
    sides: dict[str, dict[int, Found]] = {
        PAPER: {entry.number: Found(entry.printed) for entry in entries}
    }
    rows: dict[str, dict[str, pd.DataFrame]] = {}
    for name, where in folders.items():
        paths = {
            stem: files(stem, name, where, target)
            for stem in dict.fromkeys(stem for entry in entries for stem in entry.files)
        }
        rows[name] = {stem: _rows(those, target) for stem, those in paths.items() if those}
        sides[name] = {}
        for entry in entries:
            for stem in entry.files:
                lines = entry.lines(rows[name][stem]) if paths[stem] else none()
                if lines["value"].notna().any():
                    seeds = _seeds(rows[name][stem], entry.units == "subsets")
                    sides[name][entry.number] = Found(lines, paths[stem], seeds)
                    break
    return Results(sides, rows)


def _rows(paths: Sequence[Path], target: str) -> pd.DataFrame:
    rows = pd.concat([read(path) for path in paths], ignore_index=True)
    if not target:
        return rows
    return rows.loc[rows["target"].map(lambda name: of_classes(name)[0]) == target]


def _seeds(rows: pd.DataFrame, of_subsets: bool) -> int:
    return int(rows.loc[rows["target"].str.contains("#") == of_subsets, "seeds"].max())


CELL = ["target", "source", "seeds", "metric", "variant", "hardness_source"]


def mixed(rows: Mapping[str, pd.DataFrame]) -> list[str]:
    """Notebooks that differ in an accuracy or a score of the same cell.

    Sections share their fine-tunings and most of their scores: where two differ, their CSVs come
    from runs with different parameters and do not belong on one page.

    Args:
        rows: of one suite, by notebook.

    Returns:
        Pairs that differ, as ``5_1_source and A_7_logme``.
    """
    tables = {stem: _cells(part) for stem, part in rows.items()}
    found = []
    for first, second in itertools.combinations(tables, 2):
        both = tables[first].merge(tables[second], on=CELL)
        of_accuracies = tables[first].merge(
            tables[second].drop_duplicates(CELL[:3]), on=CELL[:3], suffixes=("_x", "_y")
        )
        apart = pd.concat(
            [
                (both["score_x"] - both["score_y"]).abs(),
                (of_accuracies["accuracy_x"] - of_accuracies["accuracy_y"]).abs(),
            ]
        )
        if (apart > 1e-9).any():
            found.append(f"{first} and {second}")
    return found


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a cell; of A.5 what nothing is mixed into, without its own random subsets."""
    if "place" in rows:
        rows = rows[(rows["variant"] == "all") | (rows["place"] == 0)]
        rows = rows[rows["variant"] != "random"]
    return rows.drop_duplicates(CELL)[[*CELL, "score", "accuracy"]]
