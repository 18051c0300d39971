"""Target selection: which sources meet class subsets of which targets, and their frame."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from hastelib import metrics, selection, suites
from hastelib.data import class_subsets
from hastelib.glyphs import Glyphs
from hastelib.grid import Grid
from hastelib.store import Store
from hastelib.suites import Selection


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Two tiny targets; the selection's sources are trained on one of them each."""
    chosen, _ = suites.load("glyphs").select(
        sources=["resnet8@glyphs"], seeds=(0,), epochs=1, draws=2
    )
    small = {
        "greek": Glyphs(kind="glyphs", characters="α-ε", train=8, test=6),
        "latin": Glyphs(kind="glyphs", characters="F-J", train=8, test=6),
    }
    changed = {
        "targets": small,
        "source_data": Glyphs(kind="glyphs", characters="A-C", train=6, test=2),
        "selection": Selection(
            sources=("resnet8@glyphs+latin", "resnet8@glyphs+greek"),
            targets=("greek", "latin"),
            subsets=3,
        ),
    }
    return Grid(chosen.model_copy(update=changed), Store(tmp_path_factory.mktemp("tasks")))


# What is run


def test_tasks_leave_out_what_a_source_was_trained_on(grid: Grid):
    found = selection.tasks(grid)
    assert found.pairs == {
        "resnet8@glyphs+latin": ("greek",),
        "resnet8@glyphs+greek": ("latin",),
    }
    assert found.grid.suite.sources == ("resnet8@glyphs+latin", "resnet8@glyphs+greek")
    assert found.subsets["greek"] == tuple(itertools.islice(class_subsets(5), 3))
    assert found.named(["greek"]) == ["greek#0", "greek#1", "greek#2"]
    only = selection.tasks(grid, "greek", ["resnet8@glyphs"], 4)
    assert only.pairs == {"resnet8@glyphs": ("greek",)}
    assert len(only.subsets["greek"]) == 4


def test_tasks_take_as_many_subsets_as_there_are(grid: Grid):
    sizes = [math.comb(5, k) for k in range(2, 6)]  # 40% of 5 classes are 2
    assert len(selection.tasks(grid, "greek", subsets=50).subsets["greek"]) == sum(sizes)


def test_tasks_without_a_selection_use_the_first_sources_and_targets(grid: Grid):
    sources = ("resnet8@glyphs", "resnet14@glyphs", "resnet20@glyphs")
    suite = grid.suite.model_copy(update={"selection": None, "sources": sources})
    found = selection.tasks(Grid(suite, grid.store), subsets=5)
    assert found.pairs == {
        "resnet8@glyphs+greek": ("latin",),
        "resnet14@glyphs+latin": ("greek",),
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"subsets": 2}, "subsets: expected at least 3"),
        ({"target": "klingon"}, "klingon"),
        ({"sources": ["resnet9@glyphs"]}, "unknown glyphs network 'resnet9'"),
        ({"sources": ["resnet8@glyphs+klingon"]}, "unknown target 'klingon'"),
        (
            {"target": "greek", "sources": ["resnet8@glyphs+greek"]},
            r"expected one that was not trained on greek, got resnet8@glyphs\+greek",
        ),
    ],
)
def test_tasks_refuse(grid: Grid, given, message):
    with pytest.raises(ValueError, match=message):
        selection.tasks(grid, **given)


def test_the_recipe_is_the_selections_own(grid: Grid):
    own = grid.suite.recipe.model_copy(update={"learning_rate": 0.5})
    assert grid.suite.selection is not None
    told = grid.suite.selection.model_copy(update={"recipe": own})
    suite = grid.suite.model_copy(update={"selection": told})
    assert selection.tasks(Grid(suite, grid.store)).grid.suite.recipe == own
    assert selection.tasks(grid).grid.suite.recipe == grid.suite.recipe


def test_the_frame_is_of_the_subsets_and_each_source_ranks_for_itself(grid: Grid):
    tasks = selection.tasks(grid)
    frame = tasks.frame("5.2", ["leep"])
    whole = frame[frame["variant"] == "all"]
    assert list(zip(whole["source"], whole["target"], strict=True)) == [
        *(("resnet8@glyphs+latin", f"greek#{i}") for i in range(3)),
        *(("resnet8@glyphs+greek", f"latin#{i}") for i in range(3)),
    ]
    assert set(frame["variant"]) == {"all", "random", "ca", "cs"}
    for one in frame.to_dict("records"):
        ranked = one["variant"] in ("ca", "cs")
        assert one["hardness_source"] == (one["source"] if ranked else "")
        assert one["whole"] == one["target"].partition("#")[0]
        kept = tasks.subsets[one["whole"]][int(one["target"].partition("#")[2])]
        assert one["size"] == len(kept)
        n = 8 * len(kept)
        assert one["samples"] == (n if one["variant"] == "all" else math.ceil(n / 4))
    # Against features taken straight from the source and its own signature.
    source, target = "resnet8@glyphs+latin", "greek#1"
    hard = next(s for s in grid.subsets(target, by=source) if s.similarity == "cosine")
    features: Any = grid.features(source, target).at(hard.rows)
    expected = metrics.leep(features.probs, features.labels)
    found = frame.set_index(["source", "target", "variant"])["score"]
    assert found.loc[(source, target, "ca")].item() == expected
