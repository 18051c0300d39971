"""The page on LEEP's bounds: what it computes on a grid, its counts, its words and its figure."""

from __future__ import annotations

import pandas as pd
import pytest

from hastelib import bounds, metrics, report, suites
from hastelib.experiments import Grid
from hastelib.figures import bounds as drawn
from hastelib.report import bounds as tables
from hastelib.specs import Glyphs
from hastelib.store import Store

SOURCES = ("resnet8@glyphs", "densenet16@glyphs")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    suite, _ = suites.load("glyphs").select(sources=SOURCES, draws=2)
    small = Glyphs(kind="glyphs", characters="α-ε", train=12, test=2)
    letters = Glyphs(kind="glyphs", characters="A-C", train=10, test=2)
    changed = suite.model_copy(update={"targets": {"greek": small}, "source_data": letters})
    return Grid(changed, Store(tmp_path_factory.mktemp("bounds")))


@pytest.fixture(scope="module")
def cells(grid: Grid) -> pd.DataFrame:
    return tables.sandwich(grid, ["greek"], l2=0.01)


def test_cells_are_the_bounds_of_each_subset(grid: Grid, cells: pd.DataFrame) -> None:
    assert list(cells["variant"]) == ["all", "random", "ca", "cs"] * 2
    line = cells[(cells["source"] == SOURCES[1]) & (cells["variant"] == "cs")].iloc[0]
    rows = next(subset.rows for subset in grid.subsets("greek") if subset.variant == "cs")
    part = grid.features(SOURCES[1], "greek").at(rows)
    assert line["samples"] == len(rows) == 15
    assert line["leep"] == metrics.leep(part.probs, part.labels)
    assert line["soft"] == bounds.leep_lower_bound(part.probs, part.labels)
    assert line["counts"] == bounds.leep_lower_bound(part.probs, part.labels, joint="hard")
    assert line["separable"]  # 15 samples in 24 dimensions
    assert line["linear"] == 0
    assert line["penalised"] < 0
    assert tables.sandwich(grid, ["greek"])["penalised"].isna().all()


def test_what_is_proved_holds_on_the_grid(cells: pd.DataFrame) -> None:
    found = tables.violations(cells).frame
    proved = found["claim"].isin(["soft bound ≤ LEEP", "LEEP ≤ l, mixture heads"])
    assert proved.sum() == 8
    assert (found.loc[proved, "failed"] == 0).all()
    assert (found["tried"] == 2).all()


def made_up(**changes: float) -> pd.DataFrame:
    line = {
        "target": "greek",
        "source": "a@x",
        "variant": "all",
        "samples": 40,
        "soft": -2.0,
        "counts": -1.5,
        "leep": -1.0,
        "mixture": -0.8,
        "mixture_gap": 0.0,
        "linear": -0.5,
        "linear_gap": 0.0,
        "separable": False,
        "penalised": -0.7,
    }
    variants = ("all", "random", "ca", "cs")
    return pd.DataFrame([line | changes | {"variant": variant} for variant in variants])


def test_violations_are_counted() -> None:
    good = tables.violations(made_up()).frame
    assert (good["failed"] == 0).all()
    bad = tables.violations(made_up(counts=-0.9, linear=-1.2)).frame.set_index(["claim", "variant"])
    assert bad.loc[("hard-count bound ≤ LEEP", "ca"), "failed"] == 1
    assert bad.loc[("LEEP ≤ l, linear heads", "all"), "failed"] == 1
    gap = tables.violations(made_up(linear=-1.2, linear_gap=0.3)).frame
    assert (gap["failed"] == 0).all()  # the supremum may be above LEEP


def test_words_say_which_subset_is_tighter_and_than_what() -> None:
    cells = made_up()
    cells.loc[cells["variant"] == "cs", "soft"] = -1.4
    cells.loc[cells["variant"] == "random", "soft"] = -1.6
    text = tables.findings(cells)
    assert "tighter than on the whole set for CS, and" in text
    assert "of the same size for CS." in text
    cells.loc[cells["variant"] == "random", "soft"] = -1.2
    assert "of the same size for neither." in tables.findings(cells)
    assert "Baseline 0%" in text


def test_figure_and_its_words(cells: pd.DataFrame) -> None:
    figure = drawn.sandwich(cells)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Baseline, n = 60",
        "Random, n = 15",
        "CA, n = 15",
        "CS, n = 15",
    ]
    assert "the printed lower bound exceeds LEEP for" in drawn.sandwich_alt(cells)


def test_a_claim_that_fails_stops_the_page() -> None:
    table = report.verify({"one": (1.0, 1.0 + 1e-12), "yes": (True, True)})
    assert [line.text for line in table.blocks[0].rows[1][1]] == ["yes", "yes", "✓"]
    with pytest.raises(ValueError, match=r"do not hold:\n  two: expected 2, got 2.1"):
        report.verify({"one": (1, 1), "two": (2, 2.1)})
    with pytest.raises(ValueError, match="expected 0, got nan"):
        report.verify({"nothing": (0, float("nan"))})
    report.verify({"near": (100.0, 100.4)}, tolerance=0.01)
