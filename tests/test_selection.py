"""Target selection: which sources meet class subsets of which targets, and their frame."""

import itertools
import math
from typing import Any

import pytest
import synthetic

from hastelib import metrics, models, selection
from hastelib.data.base import class_subsets
from hastelib.grid import Grid
from hastelib.store import Store
from hastelib.suites import Selection

SOURCE = "resnet8@glyphs"
PAIRS = {f"{SOURCE}+latin": ("greek",), f"{SOURCE}+greek": ("latin",)}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Two tiny targets; the selection's sources are trained on one of them each."""
    letters = {"greek": "α-ε", "latin": "F-J"}
    own = Selection(sources=tuple(PAIRS), targets=tuple(letters), subsets=3)
    suite = synthetic.suite([SOURCE], letters, selection=own)
    return Grid(suite, Store(tmp_path_factory.mktemp("tasks")))


def test_tasks_leave_out_what_a_source_was_trained_on(grid: Grid):
    found = selection.tasks(grid)
    assert found.pairs == PAIRS
    assert found.grid.suite.sources == tuple(PAIRS)
    assert found.subsets["greek"] == tuple(itertools.islice(class_subsets(5), 3))
    assert found.named(["greek"]) == ["greek#0", "greek#1", "greek#2"]
    only = selection.tasks(grid, "greek", [SOURCE], 4)
    assert only.pairs == {SOURCE: ("greek",)}
    assert len(only.subsets["greek"]) == 4
    sizes = [math.comb(5, k) for k in range(2, 6)]  # 40% of 5 classes are 2
    assert len(selection.tasks(grid, "greek", subsets=50).subsets["greek"]) == sum(sizes)


def test_tasks_without_a_selection_use_the_first_sources_and_targets(grid: Grid):
    sources = (SOURCE, "resnet14@glyphs", "resnet20@glyphs")
    suite = grid.suite.model_copy(update={"selection": None, "sources": sources})
    found = selection.tasks(Grid(suite, grid.store), subsets=5).pairs
    assert found == {f"{SOURCE}+greek": ("latin",), "resnet14@glyphs+latin": ("greek",)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"subsets": 2}, "subsets: expected at least 3"),
        ({"target": "klingon"}, "klingon"),
        ({"sources": ["resnet8@glyphs+klingon"]}, "unknown target 'klingon'"),
        ({"target": "greek", "sources": ["resnet8@glyphs+greek"]}, "one that was not trained on"),
    ],
)
def test_tasks_refuse(grid: Grid, given, message):
    with pytest.raises(ValueError, match=message):
        selection.tasks(grid, **given)


def test_the_recipe_is_the_selections_own(grid: Grid):
    own = grid.suite.recipe.model_copy(update={"learning_rate": 0.5})
    assert grid.suite.selection is not None
    told = {"selection": grid.suite.selection.model_copy(update={"recipe": own})}
    suite = grid.suite.model_copy(update=told)
    assert selection.tasks(Grid(suite, grid.store)).grid.suite.recipe == own
    assert selection.tasks(grid).grid.suite.recipe == grid.suite.recipe


def test_the_frame_is_of_the_subsets_and_each_source_ranks_for_itself(grid: Grid):
    tasks = selection.tasks(grid)
    frame = tasks.frame("5.2", ["leep"])
    whole = frame[frame["variant"] == "all"]
    cells = [(source, f"{of}#{i}") for source, (of,) in PAIRS.items() for i in range(3)]
    assert [*zip(whole["source"], whole["target"], strict=True)] == cells
    assert set(frame["variant"]) == {"all", "random", "ca", "cs"}
    for one in frame.to_dict("records"):
        ranked = one["variant"] in ("ca", "cs")
        assert one["hardness_source"] == (one["source"] if ranked else "")
        assert one["whole"] == one["target"].partition("#")[0]
        kept = tasks.subsets[one["whole"]][int(one["target"].partition("#")[2])]
        assert one["size"] == len(kept)
        n = 10 * len(kept)
        assert one["samples"] == (n if one["variant"] == "all" else math.ceil(n / 4))
    # Against features taken straight from the source and its own signature.
    source, target = f"{SOURCE}+latin", "greek#1"
    hard = next(s for s in grid.subsets(target, by=source) if s.similarity == "cosine")
    features: Any = grid.features(source, target).at(hard.rows)
    expected = metrics.leep(features.probs, features.labels)
    found = frame.set_index(["source", "target", "variant"])["score"]
    assert found.loc[(source, target, "ca")].item() == expected


def test_a_source_that_cannot_be_loaded_leaves_the_rows_of_the_others(grid: Grid, monkeypatch):
    def raising() -> Any:
        raise ZeroDivisionError("no such network today")

    monkeypatch.setitem(models.SOURCES, "broken@mine", raising)
    tasks = selection.tasks(grid, "greek", [f"{SOURCE}+latin", "broken@mine"])
    with pytest.warns(UserWarning, match="broken@mine on greek#0"):
        frame = tasks.frame("5.2", ["leep"])
    scored = frame[frame["variant"] == "all"].groupby("source", sort=False)["score"]
    assert scored.agg(["size", "count"]).T.to_dict("list") == {
        f"{SOURCE}+latin": [3, 3],
        "broken@mine": [3, 0],
    }
