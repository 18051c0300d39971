"""Suites: valid as shipped, and every mistake named with the choices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hastelib import suites


def test_a_source_can_have_a_rate_of_its_own():
    suite = suites.load("glyphs").model_copy(update={"rates": {"resnet8@glyphs": 0.5}})
    assert suite.recipe_of("resnet8@glyphs+greek").learning_rate == 0.5
    assert suite.recipe_of("resnet14@glyphs") == suite.recipe
    assert suite.select(learning_rate=0.1)[0].recipe_of("resnet8@glyphs").learning_rate == 0.1


@pytest.mark.parametrize("name", suites.names())
def test_every_suite_is_valid(name: str):
    assert suites.load(name).name == name


def test_glyphs_has_the_papers_proportions():
    suite = suites.load("glyphs")
    families = ("res", "dense", "mobile")
    assert [sum(s.startswith(f) for s in suite.sources) for f in families] == [3, 3, 1]
    assert len(suite.targets) >= 7
    assert all(20 <= spec.train + spec.test <= 80 for spec in suite.targets.values())


def test_target_finds_its_suite():
    for target, name in (("pacs_photo", "pocket"), ("cub200", "paper"), ("greek", "glyphs")):
        assert suites.find(target=target).name == name
    assert suites.find().name == "glyphs"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "pacs_sketch"}, r"in several suites \(paper, pocket\); say which with suite"),
        ({"suite": "pocket", "target": "greek"}, r"unknown target 'greek'; .*pacs_sketch"),
    ],
)
def test_unknown_names_list_the_choices(arguments, message):
    with pytest.raises(ValueError, match=message):
        suites.find(**arguments)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes suites like glyphs, with changes, into the folder that is looked in from then on."""
    values = yaml.safe_load((suites.folder() / "glyphs.yaml").read_text(encoding="utf-8"))

    def write(file: str = "glyphs", **changes: Any) -> None:
        (tmp_path / "suites").mkdir(exist_ok=True)
        (tmp_path / "suites" / f"{file}.yaml").write_text(yaml.safe_dump(values | changes))

    monkeypatch.setenv("HASTE_PARAMS", str(tmp_path))
    return write


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": {"epochs": 1, "learning_rate": 0.1, "lr": 1}}, r"recipe.lr: unknown key"),
        ({"hardness": {"source": "a", "fraction": 1.5}}, r"hardness.fraction: .*less than"),
        ({"sources": []}, r"sources: .*at least 1"),
        ({"seeds": [0, 0]}, r"seeds: .*each of them once"),
    ],
)
def test_invalid_file_says_where(write, changes, message):
    write(**changes)
    with pytest.raises(ValueError, match=message):
        suites.load("glyphs")


def test_ambiguous_target_asks_for_the_suite(write):
    write()
    write("twin", name="twin")
    with pytest.raises(ValueError, match="several suites \\(glyphs, twin\\)"):
        suites.find(target="greek")
    assert suites.find("twin", "greek").name == "twin"


def test_select_overrides_and_leaves_none_alone():
    suite = suites.load("glyphs")
    changes: dict[str, Any] = {"epochs": 2, "fraction": 0.5, "covariance": None, "seeds": (7,)}
    changes["hardness_source"] = "resnet14@glyphs"
    changed, targets = suite.select(targets="greek", **changes)
    assert targets == ("greek",)
    assert (changed.recipe.epochs, changed.hardness.fraction, changed.seeds) == (2, 0.5, (7,))
    assert changed.hardness.source == "resnet14@glyphs"
    assert changed.hardness.covariance == suite.hardness.covariance
    assert suite.select()[1] == tuple(suite.targets)


def test_sections_have_recipes_of_their_own_and_what_is_given_holds_in_all():
    suite: Any = suites.load("paper")
    own, scenes = suite.selection.recipe, suite.segmentation
    assert (suite.recipe.learning_rate, own.learning_rate) == (1e-4, 1e-3)
    assert (suite.recipe.epochs, own.batch_size) == (100, 64)
    for recipe, wanted in (
        (suite.recipe, ("constant", 0, 64)),
        (scenes.recipe, ("constant", 0, 16)),
        (scenes.pretraining, ("plateau", 1e-4, 16)),
    ):
        assert (recipe.schedule, recipe.weight_decay, recipe.batch_size) == wanted
    changed: Any = suite.select(epochs=2)[0]
    assert (changed.recipe.epochs, changed.selection.recipe.epochs) == (2, 2)
    assert changed.selection.recipe.learning_rate == 1e-3
    taught = scenes.pretraining.model_copy(update={"epochs": 2})
    assert scenes.select(epochs=2)[0].pretraining == taught


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": "klingon"}, "unknown target of suite glyphs 'klingon'; choose .*greek"),
        ({"epochs": "many"}, "recipe.epochs: .*integer"),
        ({"covariance": "round"}, "hardness.covariance: .*'spherical'"),
    ],
)
def test_select_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        suites.load("glyphs").select(**changes)
