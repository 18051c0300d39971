"""Targets: one form whatever the origin, and clear errors for what is missing or broken."""

from __future__ import annotations

import io
import itertools
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from hastelib import data, suites
from hastelib.data.glyphs import characters, draw, fonts
from hastelib.models import Preprocessing
from hastelib.specs import Digits, Folder, Glyphs, Parquet
from hastelib.store import Store

SMALL = Preprocessing(16, 16)
GREEK = Glyphs(kind="glyphs", characters="α-γ", train=4, test=2)


def _png(value: int, side: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (value, 0, 255 - value)).save(file, "PNG")
    return file.getvalue()


# Glyphs and digits


def test_characters():
    assert characters("A-Cx") == ["A", "B", "C", "x"]
    assert "✅" not in characters("✁-✘")  # no font has it, so the range leaves it out
    with pytest.raises(ValueError, match="no font of matplotlib draws"):
        characters("A✅")
    with pytest.raises(ValueError, match="named twice"):
        characters("A-CB")


@pytest.mark.parametrize("target", suites.load("glyphs").targets)
def test_every_character_of_the_suite_is_drawn_by_two_fonts(target: str):
    spec = suites.load("glyphs").targets[target]
    if isinstance(spec, Glyphs):
        for character in characters(spec.characters):
            assert sum(ord(character) in codes for codes in fonts().values()) >= 2


def test_drawings_are_deterministic_and_vary():
    first, again, other = (draw("ξ", "plain", np.random.default_rng(s)) for s in (1, 1, 2))
    assert first.shape == (32, 32)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_ink_is_dark_on_light_and_outlines_use_less():
    def ink(style: str) -> float:
        sheets = [draw("M", style, np.random.default_rng(s)) for s in range(40)]
        return float(np.mean([np.median(sheet) - sheet.mean() for sheet in sheets]))

    assert ink("plain") > ink("outline") > 0


def test_glyphs_splits(tmp_path: Path):
    splits = data.load(GREEK, Store(tmp_path))
    assert {name: len(split) for name, split in splits.items()} == {"train": 12, "test": 6}
    assert splits["train"].features["label"].names == ["α", "β", "γ"]
    assert splits["train"][0]["image"].size == (32, 32)
    assert data.fingerprint(splits["train"]) != data.fingerprint(splits["test"])


def test_glyphs_are_kept_and_more_of_them_change_no_other(tmp_path: Path):
    store = Store(tmp_path)
    first = data.load(GREEK, store)["train"]
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    assert data.fingerprint(first) == data.fingerprint(data.load(GREEK, store)["train"])
    more = data.load(GREEK.model_copy(update={"train": 5}), store)["train"]
    assert first[0]["image"] == more[0]["image"]
    assert first[4]["image"] == more[5]["image"]


def test_digits(tmp_path: Path):
    splits = data.load(Digits(kind="digits", train=3, test=2), Store(tmp_path))
    for split, count in (("train", 3), ("test", 2)):
        assert np.bincount(splits[split]["label"]).tolist() == [count] * 10
    pixels = np.asarray(splits["train"][0]["image"])
    assert np.median(pixels[:, [0, -1]]) > 200  # paper at the edge: dark ink on light


# Parquet


@pytest.fixture
def parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty images in the hub's layout: two domains, four classes named as WordNet ids."""
    monkeypatch.setenv("HASTE_DATA", str(tmp_path))
    features = datasets.Features(
        img=datasets.Image(),
        domain=datasets.ClassLabel(names=["photo", "sketch"]),
        label=datasets.ClassLabel(names=["n01", "n0201", "n0202", "n03"]),
    )
    columns = {
        "img": [{"bytes": _png(5 * i), "path": None} for i in range(40)],
        "domain": [i // 20 for i in range(40)],
        "label": [i % 4 for i in range(40)],
    }
    path = tmp_path / "set" / "train.parquet"
    path.parent.mkdir()
    datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
    return path


SPEC = Parquet(kind="parquet", train="set/train.parquet", image="img")


def test_parquet_is_split_stratified_and_seeded(parquet: Path):
    splits = data.load(SPEC)
    assert splits["train"].column_names == ["image", "label"]
    assert np.bincount(splits["train"]["label"]).tolist() == [8] * 4
    assert np.bincount(splits["test"]["label"]).tolist() == [2] * 4
    again, other = data.load(SPEC), data.load(SPEC.model_copy(update={"seed": 1}))
    assert data.fingerprint(splits["test"]) == data.fingerprint(again["test"])
    assert data.fingerprint(splits["test"]) != data.fingerprint(other["test"])


def test_parquet_rows_and_classes(parquet: Path):
    spec = SPEC.model_copy(
        update={"test": SPEC.train, "where": {"domain": "sketch"}, "classes": ("n02*", "n03")}
    )
    split = data.load(spec)["train"]
    assert split.features["label"].names == ["n0201", "n0202", "n03"]
    assert np.bincount(split["label"]).tolist() == [5, 5, 5]
    red = [np.asarray(image)[0, 0, 0] for image in split["image"]]
    assert red == [5 * i for i in range(20, 40) if i % 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "class"}, r"no column \['class'\]; it has \['domain', 'img', 'label'\]"),
        ({"classes": ("n9*",)}, r"no class 'n9\*'; it has n01"),
        ({"where": {"domain": "film"}}, "no row has domain 'film'; there are photo, sketch"),
    ],
)
def test_parquet_that_does_not_fit_its_specification(parquet: Path, changes, message):
    with pytest.raises(ValueError, match=message):
        data.load(SPEC.model_copy(update=changes))


@pytest.mark.parametrize("label", [None, -1])
def test_rows_without_label_are_refused(parquet: Path, label):
    split = datasets.Dataset.from_parquet(str(parquet))
    labels = [label, *split["label"][1:]]
    split.remove_columns("label").add_column("label", labels).to_parquet(parquet)
    with pytest.raises(ValueError, match="1 of 40 rows of the train split have no label"):
        data.load(SPEC)


def test_labels_that_are_text_are_numbered_alike_in_both_splits(parquet: Path):
    split = datasets.Dataset.from_parquet(str(parquet))
    names = split.features["label"].names
    text = split.remove_columns("label").add_column("label", [names[i] for i in split["label"]])
    text.to_parquet(parquet)
    text.filter(lambda row: row["label"] != "n01").to_parquet(parquet.with_name("test.parquet"))
    splits = data.load(SPEC.model_copy(update={"test": "set/test.parquet"}))
    assert splits["train"].features["label"].names == names
    assert splits["test"].features["label"].names == names
    assert set(splits["test"]["label"]) == {1, 2, 3}


def test_truncated_parquet(parquet: Path):
    parquet.write_bytes(parquet.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cannot read .*train\.parquet as Parquet"):
        data.load(SPEC)


def test_missing_data_says_where_it_was_looked_for(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HASTE_DATA", str(tmp_path))
    with pytest.raises(data.MissingDataError, match=rf"{tmp_path}/set/train\.parquet.*HASTE_DATA"):
        data.load(SPEC)


def test_missing_data_that_the_hub_has_not_either(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HASTE_DATA", str(tmp_path))
    asked = {}

    def refuse(name, config, **options):
        asked[name] = options
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    spec = SPEC.model_copy(update={"hub": "someone/set", "revision": "abc"})
    with pytest.raises(data.MissingDataError, match=r"someone/set .*no route"):
        data.load(spec)
    assert asked == {"someone/set": {"split": "train", "revision": "abc"}}


def test_hub_serves_where_the_file_is_missing(parquet: Path, monkeypatch):
    published = datasets.Dataset.from_parquet(str(parquet))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: published)
    local = data.load(SPEC)
    parquet.unlink()
    remote = data.load(SPEC.model_copy(update={"hub": "someone/set"}))
    assert data.fingerprint(local["train"]) == data.fingerprint(remote["train"])


# A folder of class folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(10):
            (tmp_path / name / f"{i}.png").write_bytes(_png(10 * i, side=12 + i))
    return tmp_path


def test_folder_is_split(folder: Path):
    splits = data.load(Folder(kind="folder", path=str(folder)))
    assert {name: len(split) for name, split in splits.items()} == {"train": 16, "test": 4}
    assert splits["train"].features["label"].names == ["cat", "dog"]


def test_folder_with_its_own_split(tmp_path: Path):
    for half in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / half / name).mkdir(parents=True)
            (tmp_path / half / name / "0.png").write_bytes(_png(1))
    (tmp_path / "test" / "dog" / "1.png").write_bytes(_png(2))
    spec = Folder(kind="folder", path=str(tmp_path))
    splits = data.load(spec)
    assert {name: len(split) for name, split in splits.items()} == {"train": 2, "test": 3}
    (tmp_path / "test" / "cow").mkdir()
    (tmp_path / "test" / "cow" / "0.png").write_bytes(_png(1))
    with pytest.raises(ValueError, match=r"differ in the classes \['cow'\]"):
        data.load(spec)
    (tmp_path / "val").mkdir()
    with pytest.raises(ValueError, match="exactly train and test; rename or move"):
        data.load(spec)


def test_folder_with_one_class_is_refused_and_hidden_ones_are_ignored(folder: Path):
    (folder / ".cache").mkdir()
    spec = Folder(kind="folder", path=str(folder))
    assert data.load(spec)["train"].features["label"].names == ["cat", "dog"]
    shutil.rmtree(folder / "dog")
    with pytest.raises(ValueError, match=r"at least two classes, got \['cat'\]"):
        data.load(spec)


def test_missing_and_empty_folders(tmp_path: Path):
    with pytest.raises(data.MissingDataError, match=r"no folder .*one folder of images per class"):
        data.load(Folder(kind="folder", path=str(tmp_path / "none")))
    with pytest.raises(ValueError, match="one folder of images per class"):
        data.load(Folder(kind="folder", path=str(tmp_path)))
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match="cat"):
        data.load(Folder(kind="folder", path=str(tmp_path)))


def test_fingerprint_of_files_follows_their_contents(folder: Path):
    spec = Folder(kind="folder", path=str(folder))
    before = data.fingerprint(data.load(spec)["train"])
    for path in folder.rglob("*.png"):
        path.write_bytes(_png(77))
    assert data.fingerprint(data.load(spec)["train"]) != before


# Images


def _images(split: datasets.Dataset, monkeypatch, in_memory: bool) -> data.Images:
    if not in_memory:
        monkeypatch.setattr("hastelib.data.images.IN_MEMORY", 0)
    return data.Images(split, SMALL, "things")


@pytest.mark.parametrize("in_memory", [True, False])
def test_batches_cover_the_split_in_order(folder: Path, monkeypatch, in_memory: bool):
    split = data.load(Folder(kind="folder", path=str(folder)))["train"]
    images = _images(split, monkeypatch, in_memory)
    batches = list(images.batches(5))
    assert [len(labels) for _, labels in batches] == [5, 5, 5, 1]
    pixels = torch.cat([pixels for pixels, _ in batches])
    assert pixels.shape == (16, 3, 16, 16)
    assert pixels.dtype == torch.uint8
    assert torch.equal(torch.cat([labels for _, labels in batches]), images.labels)
    first = np.asarray(split[0]["image"])[0, 0]
    assert pixels[0, :, 8, 8].tolist() == first.tolist()


def test_shuffled_batches_follow_their_generator(folder: Path, monkeypatch):
    images = _images(data.load(Folder(kind="folder", path=str(folder)))["train"], monkeypatch, True)

    def order(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return torch.cat([x[:, 0, 0, 0] for x, _ in images.batches(4, shuffle=generator)]).tolist()

    assert order(0) == order(0) != order(1)
    assert sorted(order(0)) == sorted(order(1))


def test_last_batch_of_one_can_be_left_out(folder: Path, monkeypatch):
    images = _images(data.load(Folder(kind="folder", path=str(folder)))["train"], monkeypatch, True)
    assert [len(y) for _, y in images.batches(5, drop_single=True)] == [5, 5, 5]
    assert [len(y) for _, y in images.batches(6, drop_single=True)] == [6, 6, 4]


@pytest.mark.parametrize("in_memory", [True, False])
def test_corrupt_image_is_named(folder: Path, monkeypatch, in_memory: bool):
    (folder / "cat" / "3.png").write_bytes(_png(1)[:40])
    splits = data.load(Folder(kind="folder", path=str(folder)))
    read = [_images(split, monkeypatch, in_memory).batches(4) for split in splits.values()]
    with pytest.raises(ValueError, match=r"image \d+ of things cannot be decoded"):
        list(itertools.chain(*read))
