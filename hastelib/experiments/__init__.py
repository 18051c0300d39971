"""Grids of sources and targets: features, hardness, scores and accuracies, every cell cached."""

from hastelib.experiments.cells import Cells
from hastelib.experiments.grid import Grid
from hastelib.experiments.names import of_classes, taught_on
from hastelib.experiments.scoring import HARD, Subset

__all__ = ["HARD", "Cells", "Grid", "Subset", "of_classes", "taught_on"]
