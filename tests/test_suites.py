"""Suites: valid as shipped, found by a target's name, changed by what is given."""

from typing import Any

from hastelib import suites
from hastelib.grid import signature_paths
from hastelib.hardness import Signature


def test_a_source_can_have_a_rate_of_its_own():
    suite = suites.load("glyphs").model_copy(update={"rates": {"resnet8@glyphs": 0.5}})
    assert suite.recipe_of("resnet8@glyphs+greek").learning_rate == 0.5
    assert suite.recipe_of("resnet14@glyphs") == suite.recipe
    assert suite.select(learning_rate=0.1)[0].recipe_of("resnet8@glyphs").learning_rate == 0.1


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
    assert [suites.load(name).name for name in suites.names()] == suites.names()


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


def test_the_shipped_signatures_are_those_of_pockets_sources():
    for name in suites.load("pocket").sources:
        shipped = Signature.load(signature_paths(name)[0])
        assert (shipped.notes["network"], shipped.count) == (name, 12_000)
