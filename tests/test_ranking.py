"""Models ranked on anybody's data: what may come in, what comes out, what fails alone."""

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torchvision.datasets import ImageFolder

import hastelib
from hastelib import hardness, metrics, models, ranking
from hastelib.glyphs.networks import CifarResNet
from hastelib.store import cache_folder

NAMES = ["resnet8@glyphs", "densenet16@glyphs"]


@pytest.fixture(autouse=True, scope="module")
def _few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "HALVES", 6)
        patch.setattr(ranking, "DRAWS", 3)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright, dark and grey pictures, eight of each."""
    root, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, level in (("bright", 200), ("dark", 40), ("grey", 120)):
        (root / name).mkdir()
        for i in range(8):
            noise = random.normal(level, 25, (40, 48, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noise).save(root / name / f"{i}.png")
    return root


def opened(photos: Path) -> list[tuple[Image.Image, int]]:
    """The pictures in the order of the folder, with their labels."""
    return [(Image.open(file), i // 8) for i, file in enumerate(sorted(photos.glob("*/*.png")))]


def prepared(photos: Path, prepare: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The pictures as a network's preprocessing gives them, and their labels."""
    images, labels = zip(*opened(photos), strict=True)
    return torch.stack([prepare(image) for image in images]), torch.tensor(labels)


@pytest.fixture(scope="module")
def ranked(photos: Path) -> hastelib.Ranking:
    return hastelib.rank(photos, [*NAMES, "resnet9@glyphs"], prior={NAMES[0]: 70, NAMES[1]: 60})


def arrays(n: int = 60, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two embeddings, the first of which tells three classes apart."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    good = random.normal(size=(n, 8)) + 4 * np.eye(8)[labels]
    return {"good": good, "poor": random.normal(size=(n, 8)).astype(np.float32)}, labels


class Turned(IterableDataset):
    """Each pass begins one sample later than the one before."""

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        self.first = getattr(self, "first", 0) + 1
        yield from ((torch.full((3, 8, 8), i % 3 + i / 99), i % 3) for i in range(self.first, 30))


def test_data_whose_order_changes_are_refused():
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    found = hastelib.rank(DataLoader(Turned()), {"a": module}, metrics="logme", hard="cs")
    assert "another order each time" in found.table().loc["a", "reason"]


def test_the_table_has_a_row_a_model_also_where_it_fails(ranked: hastelib.Ranking):
    table = ranked.table()
    scores = "logme logme-cs leep leep-cs nce nce-cs gbc gbc-cs"
    others = "rank rank-cs stability seconds samples reason"
    assert [*table.columns] == f"prior combined {scores} {others}".split()
    assert table.index.name == "model"
    assert table["logme"][:2].is_monotonic_decreasing
    assert [*table["rank"][:2]] == [1, 2]
    assert (table["samples"][:2] == 24).all()
    assert table["stability"].sum() == pytest.approx(1)
    assert ranked.best() == table.index[0]
    assert ranked.plot().axes[0].get_yticklabels()[-1].get_text() == ranked.best()
    assert table["combined"].notna().sum() == 2
    failed = table.loc["resnet9@glyphs"]
    assert "unknown network 'resnet9'" in failed["reason"]
    assert failed[["prior", "logme", "leep-cs", "rank", "stability"]].isna().all()
    own = ranked.frame[ranked.frame["model"] == "resnet9@glyphs"]
    assert len(own) == 4 * 3
    assert own["score"].isna().all()


def test_scores_are_those_of_the_functions(ranked: hastelib.Ranking, photos: Path):
    source = models.load("resnet8@glyphs")
    pixels, labels = prepared(photos, source.preprocessing)
    found = hastelib.features(source.module, [(source.inputs(pixels), labels)])
    row = ranked.table().loc["resnet8@glyphs"]
    assert found.probs is not None
    assert row["logme"] == pytest.approx(metrics.logme(found.embedding, labels), abs=1e-5)
    assert row["leep"] == pytest.approx(metrics.leep(found.probs, labels), abs=1e-5)
    hard = hardness.hardest(hardness.class_specific(found.embedding, labels), 0.25)
    expected = metrics.gbc(found.embedding[hard], labels[hard])
    assert row["gbc-cs"] == pytest.approx(expected, abs=1e-4)
    hardest, files = ranked.hardest(6, "resnet8@glyphs"), sorted(photos.glob("*/*.png"))
    assert [*hardest.index] == hard.tolist()
    assert [*hardest["path"]] == [str(files[i]) for i in hard]
    assert [*hardest["class"]] == [files[i].parent.name for i in hard]


def test_arrays_have_no_leep_and_say_so_and_ties_share_a_rank():
    named, labels = arrays()
    named["same"] = named["good"]
    asked = ("logme", "leep", "knn")
    table = hastelib.rank(None, named, labels=labels, metrics=asked).table()
    assert [*table.index][2] == "poor"
    assert table["leep"].isna().all()
    assert "leep: the source gives no class probabilities" in table["reason"]["good"]
    assert table["logme"]["good"] == pytest.approx(metrics.logme(named["good"], labels))
    assert table["knn"]["good"] > 0.9
    assert [*table["rank"]] == [1, 1, 3]
    assert table["stability"].tolist() == [0.5, 0.5, 0]
    assert "tied with same" in table["reason"]["good"]
    texts = [f"{how} film number {i}" for i in range(8) for how in ("good", "bad")]
    data = datasets.Dataset.from_dict({"text": texts, "label": [1, 0] * 8})
    found = hastelib.rank(data, ["bert2@corpus"], metrics=["logme", "leep"])
    row = found.table().iloc[0]
    assert math.isfinite(row["logme"])
    assert "leep: " in row["reason"]  # its classifier has learnt nothing
    assert found.hardest(1)["text"].iloc[0] in texts


@pytest.mark.parametrize("form", ["dataset", "columns", "tensors", "loader"])
def test_every_form_of_the_data_gives_the_same_scores(photos: Path, ranked, form: str):
    source = models.load(NAMES[0])
    module: object = source.module
    pixels, labels = prepared(photos, source.preprocessing)
    data: object = TensorDataset(source.inputs(pixels), labels)
    if form == "dataset":
        data, module = opened(photos), (source.module, source.preprocessing)
    elif form == "columns":
        files = [*map(str, sorted(photos.glob("*/*.png")))]
        classes = [Path(file).parent.name for file in files]
        columns = {"image": files, "text": classes, "label": classes}  # with captions
        data = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
        module = NAMES[0]
    elif form == "loader":
        data = DataLoader(data, 5)  # type: ignore[arg-type]
    state = torch.get_rng_state()
    found = hastelib.rank(data, {"m": module}, metrics=["logme", "leep"], cache=False).table()
    assert torch.equal(torch.get_rng_state(), state) or form == "loader"  # which is yours
    for metric in ("logme", "leep", "logme-cs"):
        assert found[metric]["m"] == pytest.approx(ranked.table()[metric][NAMES[0]], abs=1e-4)


def test_a_timm_module_brings_its_preprocessing_others_must_be_given_one(photos):
    torch.manual_seed(0)
    module: Any = timm.create_model("resnet10t").train()
    unknown = CifarResNet(1)
    found = hastelib.rank(photos, {"own": module, "unknown": unknown}, metrics=["logme"])
    assert module.training
    assert "which transform does it want? Give a pair" in found.table()["reason"]["unknown"]
    images, labels = prepared(photos, models.timm_transform(module))
    with torch.inference_mode():
        own = module.eval().forward_head(module.forward_features(images), pre_logits=True)
    expected = metrics.logme(own, labels)
    assert found.table()["logme"]["own"] == pytest.approx(expected, abs=1e-4)


def test_half_precision_no_weights_and_labels_that_are_transformed(photos: Path):
    half, see = models.load(NAMES[0]).module.half(), models.load(NAMES[0]).preprocessing
    flat = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = hastelib.rank(photos, {"half": (half, see), "flat": (flat, see)}, metrics=["logme"])
    assert found.table()["logme"].notna().all()
    data = ImageFolder(photos, target_transform=lambda label: label % 2)
    found = hastelib.rank(data, {"flat": (flat, see)}, metrics=["logme"])
    assert found.samples["class"].nunique() == 2


def test_a_class_agnostic_hard_subset_needs_a_signature(photos: Path):
    source = models.load(NAMES[0])
    noise = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    batch = [(source.inputs(noise), torch.arange(20) % 2)]
    layers = hastelib.features(source.module, batch).layers
    signature = hardness.source_signature(list(layers.values()))
    ask: dict[str, Any] = {"metrics": ["logme"], "hard": ["ca"], "fraction": 0.8}
    found = hastelib.rank(photos, NAMES, signature={NAMES[0]: signature}, **ask)
    table = found.table()
    assert math.isfinite(table["logme-ca"][NAMES[0]])
    assert math.isnan(table["logme-ca"][NAMES[1]])
    assert "ca needs a signature" in table["reason"][NAMES[1]]
    assert len(found.hardest(5, NAMES[0], "ca")) == 5
    other = replace(signature, notes={"network": "another", "weights": "0"})
    elsewhere = hastelib.rank(photos, NAMES[:1], signature={NAMES[0]: other}, **ask).table()
    assert "its signature is of another" in elsewhere["reason"][NAMES[0]]
    pixels, labels = prepared(photos, source.preprocessing)
    made = hastelib.features(source.module, [(source.inputs(pixels), labels)])
    of_features = hastelib.rank(None, {"m": made}, labels=labels, signature={"m": other}, **ask)
    assert math.isfinite(of_features.table()["logme-ca"]["m"])
    with pytest.raises(ValueError, match="densenet16@glyphs has no hardness 'ca'"):
        found.hardest(5, NAMES[1], "ca")


def test_halving_passes_fewer_samples_and_tells_who_left():
    random = np.random.default_rng(1)
    labels = np.arange(160) % 4
    named = {
        f"m{i}": random.normal(size=(160, 6)) + shift * np.eye(6)[labels]
        for i, shift in enumerate((0.2, 3, 0.5, 5, 0.1, 1))
    }
    whole = hastelib.rank(None, named, labels=labels, metrics=["logme"])
    found = hastelib.rank(None, named, labels=labels, metrics=["logme"], budget="halving")
    table = found.table()
    assert found.best() == whole.best() == "m3"
    assert table["samples"].tolist() == [160, 160, 80, 40, 20, 20]
    left = [f"left after round {n} of 4" for n in (3, 2, 1, 1)]
    assert table["reason"].tolist() == ["", "", *left]
    assert table["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert set(found.against({name: i for i, name in enumerate(named)})["models"]) == {2}
    few = {name: named[name] for name in ("m0", "m1", "m2")}  # two see all samples
    found_few = hastelib.rank(None, few, labels=labels, metrics=["logme"], budget="halving")
    assert (found_few.table()["samples"] == 160).sum() == 2
    full = found.frame[(found.frame["model"] == "m3") & (found.frame["variant"] == "all")]
    assert full["score"].item() == pytest.approx(metrics.logme(named["m3"], labels))


def test_a_stratified_sample_has_the_classes_in_their_shares():
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    order = ranking._stratified(labels, 0)
    assert sorted(order.tolist()) == list(range(100))
    for k in (10, 25, 50):
        counts = torch.bincount(labels[order[:k]], minlength=3)
        assert (counts - k * torch.tensor([0.6, 0.3, 0.1])).abs().max() <= 1
    named, y = arrays()
    found = hastelib.rank(None, named, labels=y, max_samples=30, metrics=(n for n in ["logme"]))
    assert found.table()["samples"].tolist() == [30, 30]
    # A class without samples does not shift the names of the others.
    data = TensorDataset(torch.randn(12, 3), torch.arange(12) % 2 * 2)
    data.classes = ["cat", "dog", "owl"]
    found = hastelib.rank(data, {"mine": torch.nn.Linear(3, 3)}, metrics=["logme"])
    assert set(found.hardest(12)["class"]) == {"cat", "owl"}
    data.targets = torch.arange(24) % 2  # of the whole that these are a part of
    assert len(hastelib.rank(data, {"mine": torch.nn.Linear(3, 3)}).samples) == 12
    data = [(torch.randn(3), name) for name in data.classes * 4]
    named = type("Named", (list,), {"classes": ["cat", "dog", "owl"]})(data)
    found = hastelib.rank(named, {"mine": torch.nn.Linear(3, 3)}, metrics=["logme"])
    assert set(found.hardest(12)["class"]) == {"cat", "dog", "owl"}


def test_the_prior_and_a_fifth_of_the_score():
    named, labels = arrays()
    named["third"] = named["good"] + named["poor"]
    ask = {"labels": labels, "metrics": ["logme"], "hard": ()}
    table = hastelib.rank(None, named, prior={"good": 3, "poor": 4, "third": 8}, **ask).table()
    both = table[["prior", "logme"]]
    both = (both - both.mean()) / both.std(ddof=0)
    combined = both["prior"] + 0.2 * both["logme"]
    assert table["combined"].tolist() == pytest.approx(combined.tolist())
    assert table["reason"].tolist() == ["", "", ""]
    table = hastelib.rank(None, named, prior={"poor": 4}, **ask).table()
    assert "combined" not in table
    assert table["prior"].isna().to_dict() == {"good": True, "poor": False, "third": True}
    named = {name: named[name] for name in ("poor", "good")}  # once the accuracies are known
    found = hastelib.rank(None, named, prior={"good": 1, "poor": 2}, **ask)
    table = found.against({"poor": 0.5, "good": 0.9})
    assert table.loc[("logme", "all"), "regret"] == 0
    assert table.loc[("prior", "all"), "regret"] == pytest.approx(0.4)
    assert table.loc[("logme", "all"), "pearson"] == pytest.approx(1)
    assert math.isnan(table.loc[("logme", "all"), "pearson_low"])  # two models
    with pytest.raises(ValueError, match="expected models of the ranking"):
        found.against({"other": 1.0})


def test_a_ranking_survives_its_file(ranked: hastelib.Ranking, tmp_path: Path):
    ranked.save(tmp_path / "r.json")
    with pytest.raises(PermissionError, match="free some space, or choose another folder"):
        ranked.save(tmp_path / "r.json" / "r.json")
    again = hastelib.Ranking.load(tmp_path / "r.json")
    pd.testing.assert_frame_equal(again.table(), ranked.table())
    pd.testing.assert_frame_equal(again.hardest(5), ranked.hardest(5))
    pd.testing.assert_series_equal(again.stability("gbc"), ranked.stability("gbc"))
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(ValueError, match=r"expected a file of Ranking.save"):
        hastelib.Ranking.load(tmp_path / "r.json")


@pytest.mark.filterwarnings("ignore:Creating scratch directories")
def test_scores_do_not_depend_on_where_models_run(photos: Path, ranked, monkeypatch):
    """Nor is an image passed again where the features are kept."""

    def entries() -> dict[Path, int]:
        return {f: f.stat().st_mtime_ns for f in cache_folder().glob("features/*.safetensors")}

    kept = entries()
    again = hastelib.rank(photos, NAMES, metrics=["logme", "leep"])
    assert kept == entries() != {}
    monkeypatch.setenv("HASTE_SCHEDULER", "1")
    there = hastelib.rank(photos, NAMES, metrics=["logme", "leep"])
    for one in (again, there):
        assert one.table()["logme"].tolist() == ranked.table()["logme"][:2].tolist()


def test_the_face_is_there_and_light():
    names = {"rank", "Ranking", "features", "Features", "Signature", "metrics", "hardness", "stats"}
    assert names <= {*dir(hastelib)}
    heavy = ("datasets", "sklearn", "matplotlib", "torchvision")
    code = f"import sys, hastelib; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
