"""Suites: valid as shipped, and every mistake named with the choices."""

from __future__ import annotations

from pathlib import Path

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
    architectures = [source.partition("@")[0] for source in suite.sources]
    assert [sum(a.startswith(f) for a in architectures) for f in ("res", "dense", "mobile")] == [
        3,
        3,
        1,
    ]
    assert len(suite.targets) >= 7
    assert all(20 <= spec.train + spec.test <= 80 for spec in suite.targets.values())


def test_target_finds_its_suite():
    assert suites.find(target="pacs_photo").name == "pocket"
    assert suites.find(target="cub200").name == "paper"
    assert suites.find(target="greek").name == "glyphs"
    assert suites.find().name == "glyphs"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "pacs_sketch"}, r"in several suites \(paper, pocket\); say which with suite"),
        ({"suite": "glyps"}, r"unknown suite 'glyps'; choose one of: glyphs"),
        ({"target": "grek"}, r"unknown target 'grek'; choose one of: .*greek"),
        ({"suite": "pocket", "target": "greek"}, r"unknown target 'greek'; .*pacs_sketch"),
    ],
)
def test_unknown_names_list_the_choices(arguments, message):
    with pytest.raises(ValueError, match=message):
        suites.find(**arguments)


def _write(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes) -> None:
    (folder / "suites").mkdir(exist_ok=True)
    values = yaml.safe_load((suites.folder() / "glyphs.yaml").read_text(encoding="utf-8"))
    name = changes.get("name", "glyphs")
    (folder / "suites" / f"{name}.yaml").write_text(yaml.safe_dump(values | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epocs": 3}, r"epocs: unknown key"),
        ({"recipe": {"epochs": 0, "learning_rate": 0.1}}, r"recipe.epochs: .*greater than 0"),
        ({"recipe": {"epochs": 1, "learning_rate": 0.1, "lr": 1}}, r"recipe.lr: unknown key"),
        ({"hardness": {"source": "a", "fraction": 1.5}}, r"hardness.fraction: .*less than"),
        ({"targets": {"a": {"kind": "film"}}}, r"'glyphs', 'digits', 'parquet', 'folder'"),
        ({"sources": []}, r"sources: .*at least 1"),
        ({"seeds": [0, 0]}, r"seeds: .*each of them once"),
    ],
)
def test_invalid_file_says_where(tmp_path, monkeypatch, changes, message):
    _write(tmp_path, monkeypatch, **changes)
    monkeypatch.setenv("HASTE_PARAMS", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        suites.load("glyphs")


def test_broken_yaml_and_no_suites_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("HASTE_PARAMS", str(tmp_path))
    with pytest.raises(ValueError, match="set HASTE_PARAMS"):
        suites.load("glyphs")
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "glyphs.yaml").write_text("name: [")
    with pytest.raises(ValueError, match=r"glyphs\.yaml is not YAML"):
        suites.load("glyphs")


def test_ambiguous_target_asks_for_the_suite(tmp_path, monkeypatch):
    _write(tmp_path, monkeypatch)
    _write(tmp_path, monkeypatch, name="twin")
    monkeypatch.setenv("HASTE_PARAMS", str(tmp_path))
    with pytest.raises(ValueError, match="several suites \\(glyphs, twin\\)"):
        suites.find(target="greek")
    assert suites.find("twin", "greek").name == "twin"


def test_wrong_name_in_the_file(tmp_path, monkeypatch):
    _write(tmp_path, monkeypatch)
    (tmp_path / "suites" / "glyphs.yaml").rename(tmp_path / "suites" / "other.yaml")
    monkeypatch.setenv("HASTE_PARAMS", str(tmp_path))
    with pytest.raises(ValueError, match="write name: other"):
        suites.load("other")


def test_select_overrides_and_leaves_none_alone():
    suite = suites.load("glyphs")
    changed, targets = suite.select(
        targets="greek",
        epochs=2,
        fraction=0.5,
        covariance=None,
        seeds=(7,),
        hardness_source="resnet14@glyphs",
    )
    assert targets == ("greek",)
    assert (changed.recipe.epochs, changed.hardness.fraction, changed.seeds) == (2, 0.5, (7,))
    assert changed.hardness.source == "resnet14@glyphs"
    assert changed.hardness.covariance == suite.hardness.covariance
    assert suite.select()[1] == tuple(suite.targets)


def test_sections_have_recipes_of_their_own_and_what_is_given_holds_in_all():
    suite = suites.load("paper")
    assert suite.selection is not None
    assert suite.selection.recipe is not None
    assert suite.segmentation is not None
    assert suite.segmentation.pretraining is not None
    rates = suite.recipe.learning_rate, suite.selection.recipe.learning_rate
    assert rates == (1e-4, 1e-3)
    assert (suite.recipe.schedule, suite.recipe.weight_decay) == ("constant", 0)
    assert (suite.recipe.epochs, suite.selection.recipe.batch_size) == (100, 64)
    scenes, taught = suite.segmentation.recipe, suite.segmentation.pretraining
    assert (scenes.schedule, scenes.weight_decay, scenes.batch_size) == ("constant", 0, 16)
    assert (taught.schedule, taught.weight_decay, taught.batch_size) == ("plateau", 1e-4, 16)
    changed = suite.select(epochs=2)[0]
    assert changed.selection is not None
    assert changed.selection.recipe is not None
    assert (changed.recipe.epochs, changed.selection.recipe.epochs) == (2, 2)
    assert changed.selection.recipe.learning_rate == 1e-3
    assert suite.segmentation.select(epochs=2)[0].pretraining == taught.model_copy(
        update={"epochs": 2}
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": "klingon"}, "unknown target of suite glyphs 'klingon'; choose .*greek"),
        ({"epoch": 2}, "unknown parameter 'epoch'; choose .*epochs"),
        ({"fraction": 0.0}, "hardness.fraction: .*greater than 0"),
        ({"epochs": "many"}, "recipe.epochs: .*integer"),
        ({"covariance": "round"}, "hardness.covariance: .*'spherical'"),
    ],
)
def test_select_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        suites.load("glyphs").select(**changes)
