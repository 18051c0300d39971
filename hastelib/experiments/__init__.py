"""Grids of sources and targets: features, hardness, scores and accuracies, every cell cached."""

from hastelib.experiments.cells import Cells
from hastelib.experiments.grid import Grid, static_rows
from hastelib.experiments.names import of_classes, taught_on
from hastelib.experiments.scoring import HARD, Subset
from hastelib.experiments.selection import Tasks, tasks

__all__ = [
    "HARD",
    "Cells",
    "Grid",
    "Subset",
    "Tasks",
    "of_classes",
    "static_rows",
    "tasks",
    "taught_on",
]
