"""The shipped weights are what the command makes."""

import json
from pathlib import Path
from typing import Any

import pytest
from pretrain import RECIPE, pretrain
from safetensors import safe_open

from hastelib import finetune, suites
from hastelib.data.base import fingerprint, load
from hastelib.glyphs.networks import GLYPHS, GLYPHS_FOLDER
from hastelib.grid import Grid
from hastelib.store import Store
from hastelib.suites import Recipe


def _provenance(path: Path) -> dict:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["provenance"])


def test_provenance_fits_the_suite(tmp_path: Path):
    suite: Any = suites.load("glyphs")
    data = fingerprint(load(suite.source_data)["train"])
    for name in GLYPHS:
        found = _provenance(GLYPHS_FOLDER / f"{name}.safetensors")
        assert Recipe(**found["recipe"]) == RECIPE
        assert found["data"] == data
        assert found["command"] == f"python book/pretrain.py {name}@glyphs"
    with pytest.raises(ValueError, match="choose one of: densenet16"):
        pretrain("resnet50@glyphs", suite, tmp_path)
    bare = suite.model_copy(update={"source_data": None})
    with pytest.raises(ValueError, match="suite glyphs: no source_data"):
        pretrain("resnet8@glyphs", bare, tmp_path)


def test_the_shipped_weights_reach_what_their_provenance_says():
    grid = Grid(suites.load("glyphs"))
    for name in GLYPHS:
        network = grid.source(f"{name}@glyphs")
        test = grid.read(None, "test", network)
        probs = finetune.predict(network, network.module, test, "cpu")
        told = _provenance(GLYPHS_FOLDER / f"{name}.safetensors")["accuracy"]
        assert finetune.accuracy(probs, test.labels, len(test.classes)) == pytest.approx(
            told, abs=2e-3
        )


def test_the_quickest_is_made_afresh(tmp_path: Path):
    """With the shipped recipe; another processor may round differently, so not bit by bit."""
    accuracy = pretrain("resnet8@glyphs", suites.load("glyphs"), tmp_path)
    shipped, made = (
        _provenance(folder / "resnet8.safetensors") for folder in (GLYPHS_FOLDER, tmp_path)
    )
    assert made["accuracy"] == accuracy == pytest.approx(shipped["accuracy"], abs=0.03)
    assert not list((Store().folder / "checkpoints").glob("*.safetensors"))
