"""Targets: one form whatever the origin, and clear errors for what is missing or broken."""

import io
import itertools
import math
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, features
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as v1

from hastelib.data import base as data
from hastelib.data import images
from hastelib.data.folders import Folder, image_folder
from hastelib.data.images import Images, Preprocessing, table
from hastelib.data.published import Parquet

SMALL = Preprocessing(16, 16)


def _png(value: int, side: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (value, 0, 255 - value)).save(file, "PNG")
    return file.getvalue()


# Parquet


@pytest.fixture
def parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty images in the hub's layout: two domains, four classes named as WordNet ids."""
    monkeypatch.setenv("HASTE_DATA", str(tmp_path))
    columns_of = datasets.Features(
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
    datasets.Dataset.from_dict(columns, features=columns_of).to_parquet(path)
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
    whole = data.load(SPEC, whole=True)  # source data, of which no test split is made
    assert {split: len(rows) for split, rows in whole.items()} == {"train": 40}


def test_what_is_not_there_or_does_not_fit(parquet: Path, monkeypatch):
    published, local = datasets.Dataset.from_parquet(str(parquet)), data.load(SPEC)
    for changes, message in (
        ({"label": "class"}, r"no column \['class'\]; it has \['domain', 'img', 'label'\]"),
        ({"where": {"domain": "film"}}, "no row has domain 'film'; there are photo, sketch"),
    ):
        with pytest.raises(ValueError, match=message):
            data.load(SPEC.model_copy(update=changes))
    for label in (None, -1):
        labels = [label, *published["label"][1:]]
        published.remove_columns("label").add_column("label", labels).to_parquet(parquet)
        with pytest.raises(ValueError, match="the train split: 1 of 40 rows have no label"):
            data.load(SPEC)
    parquet.write_bytes(parquet.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cannot read .*train\.parquet as Parquet"):
        data.load(SPEC)
    parquet.unlink()
    told = rf"{parquet.parents[1]}/set/train\.parquet.*HASTE_DATA"
    with pytest.raises(data.MissingDataError, match=told):
        data.load(SPEC)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: published)
    remote = data.load(SPEC.model_copy(update={"hub": "someone/set"}))
    assert data.fingerprint(local["train"]) == data.fingerprint(remote["train"])


def test_parquet_rows_of_a_value(parquet: Path):
    changes = {"test": SPEC.train, "where": {"domain": "sketch"}}
    split = data.load(SPEC.model_copy(update=changes))["train"]
    assert np.bincount(split["label"]).tolist() == [5] * 4
    assert [np.asarray(x)[0, 0, 0] for x in split["image"]] == [5 * i for i in range(20, 40)]


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


@pytest.mark.parametrize("in_memory", [True, False])
def test_several_files_are_one_split(parquet: Path, monkeypatch, in_memory: bool):
    whole = data.load(SPEC)
    split = datasets.Dataset.from_parquet(str(parquet))
    for part in range(2):
        rows = split.select(range(20 * part, 20 * part + 20))
        rows.to_parquet(parquet.with_name(f"train-0000{part}-of-00002.parquet"))
    if not in_memory:
        monkeypatch.setattr("hastelib.data.published.IN_MEMORY", 0)
        monkeypatch.setenv("HASTE_CACHE", str(parquet.parent / "cache"))
    parts = data.load(SPEC.model_copy(update={"train": "set/train-*.parquet"}))
    assert bool(parts["train"].cache_files) != in_memory  # else memory-mapped
    for name in ("train", "test"):
        assert data.fingerprint(parts[name]) == data.fingerprint(whole[name])


def test_images_without_the_hubs_metadata(parquet: Path):
    files = [_png(value) for value in range(20)]
    structs = [{"bytes": file, "path": None} for file in files]
    found = []
    for column in (files, structs):
        pq.write_table(pa.table({"img": column, "label": [*"ab"] * 10}), parquet)
        found.append(data.load(SPEC))
    assert data.fingerprint(found[0]["train"]) == data.fingerprint(found[1]["train"])
    assert found[0]["train"][0]["image"].size == (8, 8)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"img": [None, b"x"], "label": [0, 1]}, "the train split: 1 of 2 rows have no img"),
        ({"img": [1, 2], "label": [0, 1]}, "image files as bytes in column 'image', got"),
        ({"img": [b"x"] * 2, "label": [0.5, 1.0]}, "one class a row in column 'label'.*float"),
        ({"img": [b"x"] * 2, "label": [[0], [1, 2]]}, "one class a row in column 'label'.*List"),
        ({"img": [b"x"] * 3, "label": ["a", "a", "b"]}, r"one sample in \['b'\]"),
    ],
)
def test_parquet_of_another_kind(parquet: Path, columns, message):
    pq.write_table(pa.table(columns), parquet)
    with pytest.raises(ValueError, match=message):
        data.load(SPEC)


# A folder of class folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(10):
            (tmp_path / name / f"{i}.png").write_bytes(_png(10 * i, side=12 + i))
    return tmp_path


def of(path: Path) -> Folder:
    return Folder(kind="folder", path=str(path))


def test_a_folder_is_split_but_source_data_stay_whole(folder: Path, tmp_path_factory):
    """A signature is of all source images, not of the 80% that a target is fine-tuned on."""
    spec = of(folder)
    splits = data.load(spec)
    assert {name: len(split) for name, split in splits.items()} == {"train": 16, "test": 4}
    assert splits["train"].features["label"].names == ["cat", "dog"]
    before, whole = data.fingerprint(splits["train"]), data.load(spec, whole=True)
    assert data.fingerprint(whole["train"]) == data.fingerprint(image_folder(folder))
    assert list(whole) == ["train"]
    both = tmp_path_factory.mktemp("both")
    for half in ("train", "test"):  # a split that is there stays
        shutil.copytree(folder, both / half)
    assert list(data.load(of(both), whole=True)) == ["train", "test"]
    for path in folder.rglob("*.png"):
        path.write_bytes(_png(77))
    assert data.fingerprint(data.load(spec)["train"]) != before  # it follows the contents


def test_folders_that_are_no_data_set(folder: Path):
    (folder / "cat" / os.fsdecode(b"\xff.png")).write_bytes(_png(1))
    with pytest.raises(ValueError, match="not UTF-8"):
        image_folder(folder)
    shutil.rmtree(folder / "cat")
    with pytest.raises(ValueError, match=r"at least two classes, got \['dog'\]"):
        data.load(of(folder))
    shutil.rmtree(folder / "dog")
    (folder / "cat").mkdir()
    with pytest.raises(ValueError, match=r"one folder of images per class: no image in \['cat'\]"):
        data.load(of(folder))
    with pytest.raises(data.MissingDataError, match=r"no folder .*one folder of images per class"):
        data.load(of(folder / "none"))


def test_folder_with_its_own_split(tmp_path: Path):
    for half in ("Train", "TEST"):  # in any case
        for name in ("cat", "dog"):
            (tmp_path / half / name).mkdir(parents=True)
            (tmp_path / half / name / "0.png").write_bytes(_png(1))
    (tmp_path / "TEST/dog/1.png").write_bytes(_png(2))
    splits = data.load(of(tmp_path))
    assert {name: len(split) for name, split in splits.items()} == {"train": 2, "test": 3}
    files = [str(tmp_path / "Train" / name / "0.png") for name in ("cat", "dog")]
    assert images.paths(image_folder(tmp_path)) == files  # of a folder with splits the train split
    (tmp_path / "TEST/cow").mkdir()
    (tmp_path / "TEST/cow/0.png").write_bytes(_png(1))
    with pytest.raises(ValueError, match=r"differ in the classes \['cow'\]"):
        data.load(of(tmp_path))
    (tmp_path / "val").mkdir()
    with pytest.raises(ValueError, match="exactly train and test; rename or move"):
        data.load(of(tmp_path))


def test_every_format_that_pillow_reads_is_an_image(folder: Path):
    endings = ["gif", "jfif", "webp", "bmp", "tif", "TIFF", "JPG", "jpeg", "jp2", "ppm", "tga"]
    endings += ["avif"] if features.check("avif") else []
    for ending in endings:
        Image.new("RGB", (8, 8), "red").save(folder / "dog" / f"x.{ending}")
    split = image_folder(folder)
    assert len(split) == 20 + len(endings)
    seen = Images(split, SMALL)
    for row in range(20, len(split)):
        red, green, blue = seen.sample(row)[0].float().mean((1, 2))
        assert red > 250 > 5 > max(green, blue)


def test_what_is_left_out_is_said_once_with_counts(folder: Path):
    whole = data.fingerprint(image_folder(folder))
    for name in (".ipynb_checkpoints/0.png", "deep/.cache/1.png", "._2.png", "a.heic", "b.HEIC"):
        path = folder / "cat" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_png(1))
    (folder / "__MACOSX" / "cat").mkdir(parents=True)
    for name in ("3.png", "README", ".DS_Store", "cat/Thumbs.db", "cat/LICENSE"):
        (folder / name).write_bytes(_png(1))
    said = r"20 images taken; left out: 2 \*\.heic, 2 beside the class folders, 4 hidden, 1 without"
    with pytest.warns(UserWarning, match=said) as warned:
        assert data.fingerprint(image_folder(folder)) == whole
    assert len(warned) == 1


def test_links_double_nothing_and_rows_tell_their_files(folder: Path, tmp_path_factory):
    (folder / "cat" / "in").mkdir()
    (folder / "cat" / "3.png").rename(folder / "cat" / "in" / "3.png")
    split = image_folder(folder)
    classes = [Path(str(path)).relative_to(folder).parts[0] for path in images.paths(split)]
    assert classes == ["cat"] * 10 + ["dog"] * 10
    assert images.paths(split.select([9])) == [str(folder / "cat" / "in" / "3.png")]
    whole = data.fingerprint(image_folder(folder))
    other = tmp_path_factory.mktemp("other")
    (other / "new.png").write_bytes(_png(3))
    (other / "loop").symlink_to(other)
    (folder / "cat" / "loop").symlink_to(folder / "cat")
    (folder / "cat" / "dogs").symlink_to(folder / "dog")
    (folder / "all").symlink_to(folder)
    (folder / "cat" / "x.png").symlink_to(folder / "dog" / "1.png")
    with pytest.warns(UserWarning, match=r"20 images taken; left out: 4 linked within the folder"):
        assert data.fingerprint(image_folder(folder)) == whole
    (folder / "dog" / "other").symlink_to(other)  # a link to elsewhere is followed, once
    with pytest.warns(UserWarning, match=r"21 images taken.* 1 linked twice"):
        assert images.paths(image_folder(folder))[-1] == str(folder / "dog" / "other" / "new.png")


# Images


@pytest.mark.parametrize("in_memory", [True, False])
def test_batches_cover_the_split_in_order(folder: Path, monkeypatch, in_memory: bool):
    if not in_memory:
        monkeypatch.setattr("hastelib.data.images.IN_MEMORY", 0)
    split = data.load(of(folder))["train"]
    images = Images(split, SMALL, "things")
    batches = list(images.batches(5))
    assert [len(labels) for _, labels in batches] == [5, 5, 5, 1]
    pixels = torch.cat([pixels for pixels, _ in batches])
    assert pixels.shape == (16, 3, 16, 16)
    assert pixels.dtype == torch.uint8
    assert torch.equal(torch.cat([labels for _, labels in batches]), images.labels)
    first = np.asarray(split[0]["image"])[0, 0]
    assert pixels[0, :, 8, 8].tolist() == first.tolist()

    def order(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return torch.cat([x[:, 0, 0, 0] for x, _ in images.batches(4, shuffle=generator)]).tolist()

    assert order(0) == order(0) != order(1)
    assert sorted(order(0)) == sorted(order(1))
    for size, wanted in {5: [5, 5, 5], 6: [6, 6, 4]}.items():  # no last batch of one
        assert [len(y) for _, y in images.batches(size, shuffle=torch.Generator())] == wanted
    (folder / "cat" / "3.png").write_bytes(_png(1)[:40])  # a corrupt one is named
    read = [Images(s, SMALL, "things").batches(4) for s in data.load(of(folder)).values()]
    with pytest.raises(ValueError, match=r"^image \d+ of things .*3\.png.* cannot be decoded"):
        list(itertools.chain(*read))


def _seen(path: Path, transform: Callable[..., torch.Tensor]) -> torch.Tensor:
    """What a network gets of an image file."""
    return Images(table([path], [0], ["a", "b"]), transform, "things").sample(0)[0]


def _saved(image: Image.Image, path: Path) -> torch.Tensor:
    """The (3, 2, 2) bytes that a network gets of an image of 2 x 2 pixels."""
    image.save(path)
    return _seen(path, Preprocessing(2, 2))


@pytest.mark.parametrize(
    ("ending", "kind", "word"),
    [("png", None, ""), ("tif", None, ""), ("pgm", None, ""), ("tif", np.float32, "floats"),
     ("tif", np.int32, "32-bit integers")],
)  # fmt: skip
def test_sixteen_bits_are_scaled_to_eight_and_others_refused(tmp_path, ending, kind, word: str):
    grey, path = np.array([[0, 25700], [25900, 65535]], kind or np.uint16), tmp_path / f"x.{ending}"
    if kind is None:
        assert _saved(Image.fromarray(grey), path).tolist() == [[[0, 100], [101, 255]]] * 3
    else:
        told = rf"image 0 of things \(.*x\.tif\).*{word}.*8 or 16 bits"
        with pytest.raises(ValueError, match=told):
            _saved(Image.fromarray(grey), path)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_composed_on_white(tmp_path: Path, mode: str):
    image = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    if mode != "P":
        image.putpixel((0, 1), (0, 0, 0, 51))
    pixels = _saved(image.convert(mode), tmp_path / "x.png")
    assert pixels.tolist() == [[[255, 0], [255 if mode == "P" else 204, 255]]] * 3


@pytest.mark.parametrize("transform", [Preprocessing(256, 224), lambda _: torch.zeros(3, 2, 2)])
def test_a_sliver_is_refused_before_it_fills_the_memory(tmp_path: Path, transform):
    Image.new("L", (20000, 2)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.png.*20000 px are too long for a shorter side of 2"):
        _seen(tmp_path / "x.png", transform)


@pytest.mark.parametrize("side", [9600, 16000])  # where Pillow warns, where it refuses
def test_a_bomb_is_not_decoded(tmp_path: Path, side: int, monkeypatch):
    content = bytearray(_png(0))
    content[16:24] = side.to_bytes(4, "big") * 2  # its header says that it is so high and wide
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "x.png").write_bytes(content)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(ValueError, match=r"x\.png.* cannot be decoded \(too many pixels"):
        _seen(tmp_path / "x.png", SMALL)


def test_images_are_turned_upright(tmp_path: Path):
    image = Image.new("RGB", (4, 2), "black")
    image.putpixel((0, 0), (255, 255, 255))
    tag = image.getexif()
    tag[0x0112] = 6  # turn it clockwise
    image.save(tmp_path / "x.png", exif=tag)
    seen = _seen(tmp_path / "x.png", lambda image: torch.tensor(np.asarray(image)))
    assert seen.shape == (4, 2, 3)
    assert seen[0, 1].tolist() == [255] * 3
    upright = np.asarray(table([tmp_path / "x.png"], [0], ["a", "b"])[0]["image"])
    assert (upright == seen.numpy()).all()  # as the data set itself has it


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pixels_are_those_of_the_first_version_of_torchvisions_transforms(interpolation: str):
    """On which the features in caches, and the published weights' accuracies, rest."""
    random = np.random.default_rng(0)
    sizes = [(30, 47), (64, 64), (101, 20), (9, 200)]
    images = [Image.fromarray(random.integers(0, 256, (*s, 3), np.uint8)) for s in sizes]
    split = table(images, [0] * len(images), ["a", "b"])
    mode = InterpolationMode(interpolation)
    for resize, crop in ((32, 28), (20, 64)):
        seen = Images(split, Preprocessing(resize, crop, interpolation=interpolation))
        for row, image in enumerate(images):
            expected = np.asarray(v1.center_crop(v1.resize(image, resize, mode), [crop, crop]))
            assert np.array_equal(seen.sample(row)[0].permute(1, 2, 0).numpy(), expected)


# Class subsets


@pytest.mark.parametrize("classes", [25, 60, 200])
def test_subsets_are_valid_and_sizes_even(classes: int) -> None:
    for few, total in ((2, 1), (4, 11), (6, 42), (7, 99)):  # as many as there are
        found = list(data.class_subsets(few))
        assert len(found) == len(set(found)) == total
        assert {len(one) for one in found} == set(range(max(2, math.ceil(0.4 * few)), few + 1))
        assert found == list(data.class_subsets(few))
        assert found != list(data.class_subsets(few, seed=1)) or total == 1
    found = list(itertools.islice(data.class_subsets(classes), 300))
    assert len(set(found)) == 300
    for one in found:
        assert list(one) == sorted(set(one))
        assert 0.4 * classes <= len(one) <= classes
        assert set(one) <= set(range(classes))
    with pytest.raises(ValueError, match="classes: expected at least 2, got 1"):
        next(data.class_subsets(1))
    sizes = [len(one) / classes for one in found]
    assert 0.6 < sum(sizes) / 300 < 0.8  # all sizes alike, not as many as sets of a size
