"""The paper's own suite: its architectures on random weights, its plans, its pages end to end."""

import math
import re
from pathlib import Path
from typing import Any

import pages
import pandas as pd
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from hastelib import records, suites
from hastelib.analysis import dryrun, paper
from hastelib.grid import taught_on
from hastelib.hooks import structure
from hastelib.models.language import TextClassifier

SUITE = suites.load("paper")


def networks() -> list[str]:
    """All that sections 5.1, 5.2 and 5.4 start from."""
    assert SUITE.selection is not None
    assert SUITE.ensembles is not None
    every = *SUITE.sources, *SUITE.selection.sources, *SUITE.ensembles.pool
    return [*dict.fromkeys(taught_on(taught_on(name)[0])[0] for name in every)]


PLACES = {  # the head and the layers
    "resnet": ("fc", r"layer[234]\.\d+"),
    "densenet": ("classifier", r"features\.denseblock[234].*"),
    "mobilenet_v": ("classifier.1", r"features\.\d+"),
    "vgg": ("classifier.6", r"features\.\d+"),
}


@pytest.mark.parametrize("name", networks())
def test_the_head_and_the_layers_of_every_architecture_are_found(name: str):
    torch.manual_seed(0)
    found = structure(dryrun.untrained(name, 64).eval(), torch.randn(2, 3, 64, 64))
    ((head, layers),) = [places for family, places in PLACES.items() if name.startswith(family)]
    assert found.head == head
    assert len(found.layers) >= 3 - name.startswith("vgg")
    assert pd.Series(found.layers).str.fullmatch(layers).all()


def test_bert_is_read():
    bert = dryrun.untrained("bert-base-uncased@hub", 16)
    assert isinstance(bert, TextClassifier)
    assert bert.head.in_features == 768
    ids = torch.randint(0, 50, (2, 5))
    found = structure(bert.eval(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    assert found.head == "head"
    assert found.layers == tuple(f"encoder.encoder.layer.{i}" for i in (5, 8, 11))


def test_the_pool_is_a_2s():
    assert SUITE.ensembles is not None
    counts = pd.Series([taught_on(name)[1] or "" for name in SUITE.ensembles.pool]).value_counts()
    sizes = {"": 3, "stanford_dogs": 3, "oxford_pets": 2, "flowers102": 2, "cub200": 2}
    assert counts.to_dict() == sizes | {"caltech101": 1}
    assert set(SUITE.ensembles.rankers.values()) <= set(SUITE.ensembles.pool)
    assert set(SUITE.ensembles.rankers) == set(counts.index)
    assert len(SUITE.sources) == 7


def test_the_printed_row_has_fishers_interval():
    printed = paper.read(1)
    index = pd.MultiIndex.from_product([["leep", "nce"], ["all", "random", "ca", "cs"]])
    ours = pd.DataFrame({"value": 0.5, "low": 0.1, "high": 0.7}, index)
    row = paper.row(ours, printed, "oxford_pets", units=7)
    assert [*row.index] == [(m, v) for m in ("leep", "nce") for v in ("all", "ca", "cs")]
    value, low, high = row.loc[("leep", "all"), "Paper"]
    assert value == 0.921
    assert math.atanh(high) - math.atanh(value) == pytest.approx(1.959964 / 2, abs=1e-4)
    assert math.atanh(value) - math.atanh(low) == pytest.approx(1.959964 / 2, abs=1e-4)
    spelt = {target: len(paper.row(ours, printed, target, 7)) for target in SUITE.targets}
    assert set(spelt.values()) == {6}
    assert paper.row(ours, printed, "greek", units=7).empty


# The pages, on made-up copies of the official sets


RESNET, MOBILE = "resnet18@resnet18.safetensors", "mobilenet_v2@mobilenet_v2.safetensors"


@pytest.fixture
def place(official: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The copies, two small networks with random weights, and a cache of their own."""
    torch.manual_seed(0)
    for name in ("resnet18", "mobilenet_v2"):
        module = torchvision.models.get_model(name, num_classes=9)
        save_file(module.state_dict(), tmp_path / f"{name}.safetensors")
    monkeypatch.setenv("HASTE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HASTE_CACHE", str(tmp_path / "cache"))
    return official


def run(folder: Path, notebook: str, **given: Any) -> str:
    """What a page shows."""
    done = pages.execute(notebook, folder, output=str(folder), **given)
    printed = [one.get("text", "") for cell in done.cells for one in cell.get("outputs", ())]
    return "\n".join([*printed, *pages.texts(done)])


def rows(folder: Path) -> pd.DataFrame:
    (path,) = folder.glob("*.csv")  # named by what was given
    assert "epochs=1" in path.name
    return records.read(path)


def test_source_selection_runs_to_its_table(place: Any, tmp_path: Path):
    place.add("cub200_2011")
    given = {"sources": f"{RESNET},{MOBILE}", "hardness_source": RESNET, "image_size": 64}
    assert "Fisher" in run(tmp_path, "5_1_source", target="cub200", epochs=1, **given)
    found = rows(tmp_path)
    assert set(found["suite"]) == {"paper"}
    assert set(found["source"]) == {RESNET, MOBILE}
    assert found["accuracy"].between(0, 1).all()
    ca = found["variant"] == "ca"
    assert found.loc[ca, "reason"].str.contains("ILSVRC2012_img_train.tar").all()
    assert found[found["variant"].isin(["all", "random", "cs"])]["score"].notna().all()


def test_target_selection_runs_to_its_table(place: Any, tmp_path: Path):
    place.add("cub200_2011")
    place.add("caltech101")
    given = {"sources": f"{RESNET}+caltech101", "subsets": 4, "image_size": 64, "epochs": 1}
    assert "Fisher" in run(tmp_path, "5_2_target", target="cub200", **given)
    found = rows(tmp_path)
    assert set(found["whole"]) == {"cub200"}
    assert found["target"].nunique() == 4
    assert found["score"].notna().mean() > 0.9


def test_segmentation_runs_to_its_table(place: Any, tmp_path: Path):
    for name in ("camvid", "suim", "voc2012", "bdd100k"):
        place.add(name)
    learnt = [f"fcn_resnet8@glyphs+{name}" for name in ("suim", "voc2012", "bdd100k")]
    given = {"sources": ",".join(learnt), "hardness_source": learnt[0], "image_size": 32}
    given |= {"suite": "paper", "target": "camvid", "epochs": 1}
    assert "Fisher" in run(tmp_path, "5_3_segmentation", **given)
    assert set(rows(tmp_path)["source"]) == {*learnt}


def test_ensembles_run_to_their_tables(place: Any, tmp_path: Path):
    place.add("cub200_2011")
    place.add("caltech101")
    given = {"pool": f"{RESNET},{MOBILE},{RESNET}+caltech101", "sizes": "2", "image_size": 64}
    run(tmp_path, "5_4_ensemble", target="cub200", epochs=1, **given)
    found = rows(tmp_path)
    assert found["source"].nunique() == 3 + 3
    assert set(found["variant"]) == {"all", "random", "ca", "cs"}
    assert found["score"].isna().equals(found["variant"] == "ca")


def test_language_runs_to_its_table(place: Any, tmp_path: Path):
    for name in ("tweet_eval", "emotion", "ag_news"):
        place.add(name, 8)
    sources = "bert2@corpus+emotion,bert2@corpus+ag_news"
    given = {"sources": sources, "subsets": 4, "tokens": 16, "epochs": 1, "suite": "paper"}
    assert "Fisher" in run(tmp_path, "5_5_language", target="tweeteval", **given)
    assert rows(tmp_path)["score"].notna().mean() > 0.9


TWO = "densenet121@IMAGENET1K_V1,mobilenet_v2@IMAGENET1K_V1"
TAUGHT = "resnet18@IMAGENET1K_V1+flowers102"


SMALL = {"target": "cub200", "image_size": 32}


@pytest.mark.parametrize(
    ("notebook", "given"),
    [
        ("5_1_source", SMALL | {"sources": TWO}),
        ("5_2_target", SMALL),
        ("5_3_segmentation", {"suite": "paper", "target": "camvid", "image_size": 32}),
        ("5_4_ensemble", SMALL | {"pool": f"{TWO},{TAUGHT}", "sizes": "2"}),
        ("5_5_language", {"suite": "paper", "target": "imdb", "tokens": 8}),
    ],
)
def test_a_dry_run_downloads_nothing(notebook: str, given: Any, tmp_path: Path, monkeypatch):
    for name in ("HASTE_DATA", "HASTE_WEIGHTS", "HASTE_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    shown = run(tmp_path, notebook, dry_run=True, **given)
    assert "Plan of suite paper" in shown
    for told in (
        r"\d fine-tunings, about [\d,.]+ h on .* memory for batches of \d+: [\d.]+ GiB",
        r"data to download: .*(GB|from stanfordnlp/imdb)",
        r"weights to download: .*(\d MB|hub)",
    ):
        assert re.search(told, shown)
    assert ("none, so CA has no scores" in shown) == (notebook in ("5_1_source", "5_4_ensemble"))
    assert not [*tmp_path.rglob("*.csv")]
    assert not (tmp_path / "HASTE_DATA").exists()
