"""The official data sets, from made-up copies served over loopback HTTP."""

import io
import re
import runpy
import shutil
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from official_copies import bands
from PIL import Image
from pydantic import ValidationError
from torchvision.datasets import Cityscapes

from hastelib import suites
from hastelib.data import base as data
from hastelib.data import images
from hastelib.data.official import SETS, MaskLayout, Official
from hastelib.data.scenes import IGNORE
from hastelib.store import Store

ROOT = Path(__file__).resolve().parent.parent
DOWNLOADED = [name for name, of in SETS.items() if any(file.url for file in of.files)]
CLASSES = {
    "cub200_2011": "Black footed Albatross",
    "cub200_2010": "Black footed Albatross",
    "stanford_dogs": "Chihuahua",
    "flowers102": "pink primrose",
    "oxford_pets": "Abyssinian",
    "caltech101": "Faces",
    "imagenette": "tench",
    "pacs_sketch": "dog",
    "imagenet": "n01440764",
    "tweet_eval": "anger",
    "imdb": "neg",
    "emotion": "sadness",
    "ag_news": "World",
}


def spec(name: str, **fields: Any) -> Official:
    return Official(kind="official", name=name, **fields)


@pytest.mark.parametrize("name", CLASSES)
def test_a_set_is_read_from_its_published_files(official, name: str):
    official.add(name, images_per_class=1 if name == "flowers102" else 3)
    splits, of = data.load(spec(name), whole=name == "imagenet"), SETS[name]
    assert {split: len(rows) for split, rows in splits.items()} == {
        split: count for split, count in (("train", of.train), ("test", of.test)) if count
    }
    for rows in splits.values():
        assert (names := data.class_names(rows))[0] == CLASSES[name]
        assert len(names) == len(set(names)) == of.classes
        assert {*rows["label"]} == {*range(of.classes)}
        column = "image" if "image" in rows.features else "text"
        assert len({str(row) for row in rows.with_format("numpy")[column]}) > 1
    if name in ("cub200_2011", "stanford_dogs", "oxford_pets", "caltech101", "imagenette"):
        colours: dict[int, list[np.ndarray]] = {}  # of all images of a class the same
        for row in (*splits["train"], *splits["test"]):
            colours.setdefault(row["label"], []).append(np.asarray(row["image"]).mean((0, 1)))
        means = np.array([np.mean(some, axis=0) for some in colours.values()])
        spread = max(np.ptp(some, axis=0).max() for some in colours.values())
        apart = min(np.abs(a - b).max() for i, a in enumerate(means) for b in means[:i])
        assert spread < 10 < apart


@pytest.mark.parametrize("name", [n for n, of in SETS.items() if isinstance(of.read, MaskLayout)])
def test_scenes_are_read_from_their_published_files(official, tmp_path: Path, name: str):
    official.add(name, images_per_class=2)
    store, of = Store(tmp_path / "store"), SETS[name]
    expected = bands(0, 1, 2 if name == "suim" else IGNORE)
    for _ in range(2):  # decoded, then from the store
        splits = data.load(spec(name), store)
        assert (len(splits["train"]), len(splits["test"])) == (of.train, of.test)
        assert len(set(data.class_names(splits["train"]))) == of.classes
        for row in (*splits["train"], *splits["test"]):
            assert row["image"].size == row["mask"].size == expected.shape[::-1]
            np.testing.assert_array_equal(np.asarray(row["mask"]), expected)
            assert row["label"] == [0, 1, 2][: 3 if name == "suim" else 2]


# Downloads


@pytest.mark.parametrize("name", DOWNLOADED)
def test_what_was_interrupted_goes_on(official, name: str):
    folder = official.add(name, images_per_class=1)
    root, file = official.data / name, SETS[name].files[0]
    official.server.cut = True
    with pytest.raises(data.MissingDataError, match="it ended after"):
        data.load(spec(name))
    came = (root / f"{file.name}.part").stat().st_size
    official.server.cut = False
    with ThreadPoolExecutor(2) as pool:  # two that want the same wait for each other
        tuple(pool.map(lambda _: data.load(spec(name)), range(2)))
    asked = [one for one in official.server.asked if one[0] == f"/{name}/{file.name}"]
    assert asked == [(f"/{name}/{file.name}", None), (f"/{name}/{file.name}", f"bytes={came}-")]
    assert not [*root.rglob("*.part"), *root.rglob("*.lock.*"), *root.glob(".unpacking")]

    official.server.asked.clear()  # unpacked: nothing is asked for, with or without the archives
    shutil.rmtree(folder)
    count = len([*root.rglob("*.*")])
    made = next(iter(file.makes))  # as if killed while it was unpacked: from its archive again
    half = root / ".unpacking" / made
    half.parent.mkdir(parents=True)
    (root / made).rename(half)
    next(path for path in half.rglob("*.*") if path.is_file()).unlink()
    data.load(spec(name))
    assert len([*root.rglob("*.*")]) == count
    for one in SETS[name].files:
        if one.makes:
            (root / one.name).unlink()
    data.load(spec(name))
    assert official.server.asked == []


@pytest.mark.parametrize("name", DOWNLOADED)
def test_another_file_is_refused(official, name: str):
    path = official.add(name, images_per_class=1) / Path(SETS[name].files[0].name).name
    content, wanted = bytearray(path.read_bytes()), SETS[name].files[0].checksum
    content[len(content) // 2] ^= 1
    for changed, told in (
        (content, rf"it has the md5 \w+, not {str(wanted).removeprefix('md5:')}"),
        (content + b"more", "bytes, not the"),  # of another size
    ):
        path.write_bytes(changed)
        with pytest.raises(data.MissingDataError, match=told):
            data.load(spec(name))
        assert not [p for p in (official.data / name).rglob("*") if p.name != ".lock"]


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("way", ["up", "root", "link"])
def test_nothing_is_unpacked_elsewhere(official, tmp_path: Path, kind: str, way: str):
    name = "stanford_dogs" if kind == "tar" else "caltech101"
    archive = official.add(name, images_per_class=1) / SETS[name].files[0].name
    place = {"up": "../../../../evil.txt", "root": str(tmp_path / "evil.txt"), "link": "Images"}
    with archive.open("wb") as file:
        if kind == "tar":
            with tarfile.open(fileobj=file, mode="w") as tar:
                member = tarfile.TarInfo(place[way])
                if way == "link":
                    member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path)
                    tar.addfile(member)
                    member = tarfile.TarInfo("Images/evil.txt")
                member.size = 4
                tar.addfile(member, io.BytesIO(b"evil"))
        else:
            with zipfile.ZipFile(file, "w") as packed:
                entry = zipfile.ZipInfo(place[way])
                if way == "link":
                    entry.external_attr = 0o120777 << 16
                packed.writestr(entry, "evil")
    official.point(name)
    with pytest.raises(data.MissingDataError, match="cannot unpack"):
        data.load(spec(name))
    assert not [*tmp_path.rglob("evil.txt")]


def test_archives_that_were_put_there_are_checked(official):
    folder = official.add("cityscapes", images_per_class=1)
    images, labels = (folder / f"{of}_trainvaltest.zip" for of in ("leftImg8bit", "gtFine"))
    labels.write_bytes(b"half of it")
    with pytest.raises(data.MissingDataError, match=r"gtFine_trainvaltest\.zip is there, but has"):
        data.load(spec("cityscapes"))
    shutil.copy(images, labels)
    official.point("cityscapes")
    with pytest.raises(data.MissingDataError, match=r"trainvaltest\.zip holds no gtFine; del"):
        data.load(spec("cityscapes"))
    assert not (folder / ".unpacking").exists()


def test_without_a_network_one_sentence_says_it_all(official):
    official.add("cub200_2011")
    official.server.folder = Path("nowhere")
    with pytest.raises(data.MissingDataError) as told:
        data.load(spec("cub200_2011"))
    said = str(told.value)
    for part in ("CUB-200-2011", str(official.data), official.server.url, " bytes ", "Not Found"):
        assert part in said
    assert ". " not in said
    assert "\n" not in said
    assert said.startswith("CUB-200-2011 is not in ")


@pytest.mark.parametrize(
    "name", [n for n, of in SETS.items() if n not in DOWNLOADED and n not in CLASSES]
)
def test_what_needs_a_login_says_what_goes_where(official, name: str):
    of, root = SETS[name], official.data / name
    told = rf"{of.title}: there is no .*{root}; get .*{of.page} and put it.*HASTE_DATA"
    with pytest.raises(data.MissingDataError, match=told):
        data.load(spec(name))
    root.mkdir(parents=True)
    with pytest.raises(data.MissingDataError, match=f"{of.title}: .*{root}.*{of.page}"):
        data.load(spec(name))


# What lies there


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        ("cub200_2011", "CUB_200_2011/images/001*/*_0.jpg", "1 of 7 images of the train"),
        ("cub200_2010", "lists/test.txt", r"No such file.*test\.txt"),
        ("oxford_pets", "oxford-iiit-pet/images/beagle_1.jpg", "1 of 6 images of the test"),
        ("flowers102", "flowers-102/jpg/image_00003.jpg", "1 of 102 images of the train"),
        ("voc2012", "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", r"No such file.*val\.txt"),
        ("voc2012", "VOCdevkit/VOC2012/JPEGImages/train_a_0.jpg", "1 of 1 images of the train"),
        ("camvid", "LabeledApproved_full/Seq05VD_f00000_L.png", "1 of 2 masks of the test split"),
        ("cityscapes", "leftImg8bit/val/ulm/a_0_*.png", "1 of 1 images of the test split"),
    ],
)
def test_a_file_that_is_missing_is_named(official, name: str, file: str, message: str):
    official.add(name, images_per_class=1)
    data.load(spec(name))
    next((official.data / name).glob(file)).unlink()
    with pytest.raises(data.MissingDataError, match=rf"half unpacked \(.*{message}"):
        data.load(spec(name))


def test_a_path_of_its_own_and_other_counts_than_the_published(official, tmp_path: Path):
    official.add("caltech101")
    here = spec("caltech101", path=str(tmp_path / "else"))
    assert len(data.load(here, whole=True)["train"]) == 42
    assert not (official.data / "caltech101").exists()
    shutil.rmtree(tmp_path / "else/caltech101/101_ObjectCategories/ant")
    with pytest.warns(UserWarning, match="36 samples of 6 classes in .*, where 42 of 7 are"):
        data.load(here)
    official.add("imdb")
    official.patch.setitem(SETS, "imdb", SETS["imdb"].model_copy(update={"train": 50}))
    with pytest.warns(UserWarning, match=r"12 samples .* in imdb/train.parquet, where 56 of 2 are"):
        data.load(spec("imdb"))


def test_a_mask_of_another_size_or_that_is_no_image_is_refused(official, tmp_path: Path):
    official.add("bdd100k")
    store, mask = Store(tmp_path), "labels/sem_seg/masks/train/a_0.png"
    data.load(spec("bdd100k"), store)
    Image.fromarray(bands(0, 1)[:4]).save(official.data / "bdd100k" / mask)
    with pytest.raises(ValueError, match=r"a_0\.png.*size \(64, 4\), its image.*\(64, 48\)"):
        data.load(spec("bdd100k"), store)
    (official.data / "bdd100k" / mask).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"cannot read .*a_0\.png"):
        data.load(spec("bdd100k"), store)


def test_camvid_is_split_as_is_usual(official):
    official.add("camvid", images_per_class=1)
    splits = data.load(spec("camvid"))
    train, test = ([Path(str(p)).stem for p in images.paths(splits[s])] for s in ("train", "test"))
    assert train == ["0001TP_006690", "0006R0_f00930", "0016E5_00390"]
    assert test == ["0001TP_006720", "Seq05VD_f00000"]


def test_the_tables_of_ids_and_colours_are_whole():
    ids = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    cityscapes, suim = SETS["cityscapes"].read, SETS["suim"].read
    assert isinstance(cityscapes, MaskLayout)
    mask = cityscapes.decode(ids)[0]
    assert sorted(mask[mask != IGNORE]) == list(range(19))
    known = {one.name: one.id for one in Cityscapes.classes if 0 <= one.train_id < IGNORE}
    assert cityscapes.values == known  # without the licence plates, id -1
    assert isinstance(suim, MaskLayout)
    drawn = Image.fromarray(np.array([[[255, 0, 255], [0, 0, 255], [9, 250, 1]]], np.uint8))
    assert [[*suim.values][i] for i in suim.decode(drawn)[0]] == ["reef", "diver", "plant"]
    camvid = SETS["camvid"].read
    assert isinstance(camvid, MaskLayout)
    colours = " ".join(map(str, camvid.values.values())).split()
    assert len(set(colours)) == len(colours) == 31  # the 32nd is void


# The table


def test_the_table_is_complete():
    for name, of in SETS.items():
        assert of.title
        assert of.split
        assert of.page.startswith("http")
        assert of.classes > 1
        for file in of.files:
            if file.url is not None:
                assert file.size
                assert re.fullmatch("md5:.{32}|sha256:.{64}", file.checksum or ""), name
    with pytest.raises(ValidationError, match=r"unknown data set; choose one of: cub200_2011"):
        spec("cub")
    targets = suites.load("pocket", "language").targets | suites.load("pocket").targets
    for name, small in targets.items():  # of the same revisions
        of_name = SETS.get({"tweeteval": "tweet_eval"}.get(name, name))
        if of_name is not None and hasattr(small, "revision"):
            for field in ("train", "test", "hub", "config", "revision"):
                assert getattr(of_name.read, field) == getattr(small, field)


def test_the_page_of_data_sets_is_made_from_the_table():
    made = runpy.run_path(str(ROOT / "book/data_page.py"))["page"]
    text = (ROOT / "book/data.md").read_text(encoding="utf-8")
    assert made(text) == text, "run python book/data_page.py"
    assert all(f"| {name} | [{of.title}]({of.page})" in text for name, of in SETS.items())
    keys = re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text(), re.MULTILINE)
    assert {of.cite for of in SETS.values()} <= set(keys)
