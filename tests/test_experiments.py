"""Grids: every cell cached by content, every score recorded, and the rows consistent."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from hastelib import finetune, hardness, metrics, suites
from hastelib.experiments import Grid
from hastelib.metrics import METRICS
from hastelib.records import frame
from hastelib.store import DamagedEntryWarning, Store
from hastelib.suites import Glyphs, Suite

SOURCES = ("resnet8@glyphs", "densenet16@glyphs")


@pytest.fixture(scope="module")
def suite() -> Suite:
    chosen, _ = suites.load("glyphs").select(sources=SOURCES, seeds=(0, 1), epochs=1, draws=3)
    small = Glyphs(kind="glyphs", characters="α-ε", train=10, test=6)
    letters = Glyphs(kind="glyphs", characters="A-C", train=10, test=2)
    return chosen.model_copy(update={"targets": {"greek": small}, "source_data": letters})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grid")


@pytest.fixture(scope="module")
def grid(suite: Suite, folder: Path) -> Grid:
    return Grid(suite, Store(folder))


@pytest.fixture(scope="module")
def rows(grid: Grid) -> list:
    return grid.rows("5.1", ["greek"], ["leep", "nce", "gbc", "logme"])


def test_rows_have_every_cell(rows):
    cells = [(r.source, r.metric, r.variant) for r in rows]
    assert len(set(cells)) == len(cells) == 2 * 4 * 4
    for row in rows:
        assert row.samples == (50 if row.variant == "all" else 13)
        assert row.draws == (3 if row.variant == "random" else 1)
        assert row.seeds == 2
        assert bool(row.hardness_source) == (row.variant in ("ca", "cs"))


def test_scores_are_the_metrics_on_the_subsets(grid: Grid, rows):
    features = grid.features("densenet16@glyphs", "greek")
    ranked = grid.features(grid.suite.hardness.source, "greek")
    hard = hardness.class_agnostic(list(ranked.layers.values()), grid.signature())
    chosen = hardness.hardest(hard, 0.25)
    expected = metrics.leep(features.probs[chosen], features.labels[chosen])
    found = {(r.source, r.metric, r.variant): r.score for r in rows}
    assert found["densenet16@glyphs", "leep", "ca"] == expected
    plain = metrics.gbc(features.embedding, features.labels)
    assert found["densenet16@glyphs", "gbc", "all"] == plain


def test_signature_is_that_of_the_source_data(grid: Grid):
    network = grid.source(grid.suite.hardness.source)
    images = grid.images(None, "train", network.preprocessing)
    assert len(images) == grid.signature().count == 30


def test_accuracies_are_means_over_seeds(grid: Grid, rows):
    for source in SOURCES:
        values = [grid.outcome(source, "greek", seed).accuracy for seed in (0, 1)]
        row = next(r for r in rows if r.source == source)
        assert row.accuracy == pytest.approx(np.mean(values))
        assert row.accuracy_std == pytest.approx(np.std(values, ddof=1))


def test_checkpoints_go_when_the_outcome_is_kept(folder: Path, rows):
    assert not list((folder / "checkpoints").glob("*.safetensors"))


def test_random_subsets_are_shared_and_of_the_same_size(grid: Grid):
    first, second = grid.subsets("greek"), grid.subsets("greek")
    assert [s.variant for s in first] == ["all", *["random"] * 3, "ca", "cs"]
    assert all(torch.equal(a.rows, b.rows) for a, b in zip(first, second, strict=True))
    assert len({tuple(s.rows.tolist()) for s in first if s.variant == "random"}) == 3


def test_nothing_is_computed_twice(suite: Suite, folder: Path, rows, monkeypatch):
    def never(*_, **__):
        raise AssertionError("this was cached")

    monkeypatch.setattr("hastelib.extract.outputs", never)
    monkeypatch.setattr(finetune, "finetune", never)
    for name in METRICS:
        monkeypatch.setitem(METRICS, name, never)
    again = Grid(suite, Store(folder)).rows("5.1", ["greek"], ["leep", "nce", "gbc", "logme"])
    assert frame(again).equals(frame(rows))


def test_damaged_features_are_made_again(suite: Suite, folder: Path, rows):
    for path in (folder / "features").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-7])
    with pytest.warns(DamagedEntryWarning):
        again = Grid(suite, Store(folder)).rows("5.1", ["greek"], ["leep"])
    assert frame(again).equals(frame([r for r in rows if r.metric == "leep"]))


def test_a_change_of_recipe_data_or_hardness_is_a_new_cell(suite: Suite, folder: Path, rows):
    def scores(**changes) -> list[float]:
        changed, targets = suite.select(**changes)
        found = Grid(changed, Store(folder)).rows("5.1", targets, ["leep"], accuracies=False)
        return [r.score for r in found]

    base = scores()
    assert scores(epochs=2) == base  # the recipe does not change a score ...
    assert scores(fraction=0.5) != base
    assert scores(hardness_source="densenet16@glyphs") != base
    before = Grid(suite, Store(folder)).outcome(SOURCES[0], "greek", 0)
    other, _ = suite.select(learning_rate=0.001)
    after = Grid(other, Store(folder)).outcome(SOURCES[0], "greek", 0)
    assert not torch.equal(before.probs, after.probs)  # ... but it does change an accuracy


def test_a_score_that_does_not_exist_is_recorded_with_its_reason(suite: Suite, folder: Path):
    """A hard subset of one sample has one class left, too few for LogME."""
    tiny, targets = suite.select(fraction=0.02)
    rows = Grid(tiny, Store(folder)).rows("5.1", targets, ["logme", "leep"], accuracies=False)
    found = {(r.source, r.metric, r.variant): r for r in rows}
    row = found[SOURCES[0], "logme", "ca"]
    assert math.isnan(row.score)
    assert "2 classes" in row.reason or "two classes" in row.reason
    assert row.samples == 1
    assert row.seeds == 0
    assert math.isnan(row.accuracy)
    assert not math.isnan(found[SOURCES[0], "leep", "ca"].score)


def test_a_misspelt_source_stops_before_anything_runs(suite: Suite, folder: Path):
    changed, _ = suite.select(sources=("resnet9@glyphs",))
    with pytest.raises(ValueError, match="unknown glyphs network 'resnet9'; choose one of"):
        Grid(changed, Store(folder))


def test_unknown_metric_lists_the_choices(grid: Grid):
    with pytest.raises(ValueError, match="unknown metric 'leap'; choose one of: gbc"):
        grid.scores(SOURCES[0], "greek", ["leap"])


def test_a_runner_gets_the_jobs_in_order(suite: Suite, folder: Path, rows):
    class Noting:
        def run(self, job, arguments, name=""):
            self.cells = [one[2:] for one in arguments]
            return [job(*one) for one in arguments]

    runner = Noting()
    found = Grid(suite, Store(folder), runner).accuracies(["greek"])
    assert runner.cells == [(s, "greek", seed) for s in SOURCES for seed in (0, 1)]
    assert list(found) == [(s, "greek") for s in SOURCES]
