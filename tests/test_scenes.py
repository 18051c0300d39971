"""Scenes with masks: the drawings, Parquet files, the official folders, and batches of them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from hastelib.data import (
    Masks,
    MissingDataError,
    Official,
    class_names,
    images,
    layouts,
    load,
)
from hastelib.data.scenes import IGNORE, NO_CLASS, Pictures
from hastelib.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


# --- Parquet -------------------------------------------------------------------------------------


def _bytes(array: np.ndarray, kind: str = "PNG") -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return {"bytes": file.getvalue(), "path": None}


def _parquet(folder: Path, masks: list[np.ndarray]) -> None:
    features = datasets.Features(image=datasets.Image(), mask=datasets.Image())
    images = [_bytes(np.full((*mask.shape, 3), 90, np.uint8)) for mask in masks]
    columns = {"image": images, "mask": [_bytes(mask) for mask in masks]}
    data = datasets.Dataset.from_dict(columns, features=features)
    for name in ("train", "test"):
        data.to_parquet(folder / f"{name}.parquet")


SPEC = Masks(
    kind="masks", train="train.parquet", test="test.parquet", names=("road", "sky"), ignore=(11,)
)


def test_parquet_masks_are_read_and_the_void_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HASTE_DATA", str(tmp_path))
    mask = np.array([[0, 1], [11, 1]], np.uint8)
    _parquet(tmp_path, [mask, np.full((2, 2), 11, np.uint8)])
    data = load(SPEC)["train"]
    np.testing.assert_array_equal(np.asarray(data[0]["mask"]), [[0, 1], [IGNORE, 1]])
    assert data["label"][:] == [[0, 1], []]
    assert class_names(data) == ["road", "sky"]


def test_parquet_masks_with_unknown_values_or_columns_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HASTE_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match=r"train\.parquet.*HASTE_DATA"):
        load(SPEC)
    _parquet(tmp_path, [np.full((2, 2), 5, np.uint8)])
    with pytest.raises(ValueError, match=r"row 0: the mask holds \[5\], but there are 2 names"):
        load(SPEC)
    with pytest.raises(ValueError, match=r"no column \['segmentation'\]"):
        load(SPEC.model_copy(update={"mask": "segmentation"}))
    data = datasets.Dataset.from_parquet(str(tmp_path / "train.parquet")).to_dict()
    features = datasets.Features(image=datasets.Image(), mask=datasets.Image())
    data = datasets.Dataset.from_dict({"image": [None], "mask": data["mask"]}, features=features)
    data.to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="1 of 1 rows have no image"):
        load(SPEC)


# --- official folders ----------------------------------------------------------------------------

PLACES = [(slice(0, 2), 0), (slice(2, 4), 1), (slice(4, 6), IGNORE)]
"""Rows of a made-up mask 6 px high, and the class that they have."""


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _bands(*values: Any) -> np.ndarray:
    """A mask 8 px wide of bands, each of one value (a number or a colour)."""
    return np.stack([np.full((8, *np.shape(v)), v, np.uint8) for v in values for _ in range(2)])


PICTURE = np.full((6, 8, 3), 120, np.uint8)


def _cityscapes(root: Path) -> None:
    for split in ("train", "val"):
        for name in ("ulm_000000_000019", "ulm_000001_000019"):
            _save(root / f"leftImg8bit/{split}/ulm/{name}_leftImg8bit.png", PICTURE)
            mask = root / f"gtFine/{split}/ulm/{name}_gtFine_labelIds.png"
            _save(mask, _bands(7, 8, 4))  # road, sidewalk, static


def _camvid(root: Path) -> None:
    stems = ["0001TP_006690", "0001TP_006720", "0006R0_f00930", "0016E5_00390", "0016E5_07959"]
    for stem in [*stems, "Seq05VD_f00000"]:
        _save(root / f"701_StillsRaw_full/{stem}.png", PICTURE)
        mask = _bands((128, 128, 128), (192, 0, 128), (0, 0, 0))  # sky, archway, void
        _save(root / f"LabeledApproved_full/{stem}_L.png", mask)


def _bdd100k(root: Path) -> None:
    for split in ("train", "val"):
        _save(root / f"images/10k/{split}/0004a4c0.jpg", PICTURE)
        _save(root / f"labels/sem_seg/masks/{split}/0004a4c0.png", _bands(0, 1, 255))


def _idd(root: Path, level: int = 3) -> None:
    for split, end in (("train", "png"), ("val", "jpg")):
        _save(root / f"leftImg8bit/{split}/201/frame0029_leftImg8bit.{end}", PICTURE)
        mask = root / f"gtFine/{split}/201/frame0029_gtFine_labellevel{level}Ids.png"
        _save(mask, _bands(0, 1, 254))


def _voc(root: Path) -> None:
    base = root / "VOCdevkit/VOC2012"
    for name in ("2007_000032", "2007_000033", "2007_000039"):
        _save(base / f"JPEGImages/{name}.jpg", PICTURE)
        mask = Image.fromarray(_bands(0, 1, 255), "L").convert("P")
        mask.putdata([int(v) for v in _bands(0, 1, 255).ravel()])
        path = base / f"SegmentationClass/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        mask.save(path)
    lists = base / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000032\n2007_000039\n")
    (lists / "val.txt").write_text("2007_000033\n")


def _suim(root: Path) -> None:
    for base in ("train_val", "TEST"):
        _save(root / base / "images/d_r_1_.jpg", PICTURE)
        mask = _bands((3, 0, 2), (255, 250, 255), (255, 255, 0))  # water, sea-floor, fish
        _save(root / base / "masks/d_r_1_.bmp", mask)


MADE: dict[str, tuple[Callable[[Path], None], tuple[int, int], int, list[int]]] = {
    # layout -> how it is made up, scenes in train and test, classes, the classes of its bands
    "cityscapes": (_cityscapes, (2, 2), 19, [0, 1, IGNORE]),
    "camvid": (_camvid, (3, 2), 11, [0, 1, IGNORE]),
    "bdd100k": (_bdd100k, (1, 1), 19, [0, 1, IGNORE]),
    "idd": (_idd, (1, 1), 26, [0, 1, IGNORE]),
    "voc2012": (_voc, (2, 1), 21, [0, 1, IGNORE]),
    "suim": (_suim, (1, 1), 8, [0, 1, 2]),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HASTE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.parametrize("kind", MADE)
def test_an_official_layout_is_read(kind: Any, here: Path, store: Store) -> None:
    make, sizes, classes, bands = MADE[kind]
    make(here / kind)
    for _ in range(2):  # decoded, then from the store
        data = load(Official(kind=kind), store)
        assert (len(data["train"]), len(data["test"])) == sizes
        assert len(class_names(data["train"])) == len(set(class_names(data["train"]))) == classes
        for row in (*data["train"], *data["test"]):
            assert row["image"].size == row["mask"].size == (8, 6)
            np.testing.assert_array_equal(np.asarray(row["mask"]), _bands(*bands))
            assert row["label"] == [one for one in bands if one != IGNORE]


@pytest.mark.parametrize("kind", MADE)
def test_a_data_set_that_is_missing_or_half_unpacked_gives_one_clear_error(
    kind: Any, here: Path, store: Store
) -> None:
    make, *_ = MADE[kind]
    page = layouts.LAYOUTS[kind].page
    told = rf"{layouts.LAYOUTS[kind].title}: .*{here / kind}.*{page}.*HASTE_DATA"
    with pytest.raises(MissingDataError, match=told):
        load(Official(kind=kind), store)
    (here / kind).mkdir(parents=True)
    with pytest.raises(MissingDataError, match=told):
        load(Official(kind=kind), store)
    make(here / kind)
    masks = [p for p in (here / kind).rglob("*.*") if p.suffix in (".png", ".bmp")]
    last = sorted(p for p in masks if not p.stem.endswith("_leftImg8bit") and "Raw" not in str(p))
    last[-1].unlink()
    with pytest.raises(
        MissingDataError, match=r"1 of \d masks of the (train|test) split are missing"
    ):
        load(Official(kind=kind), store)
    shutil.rmtree(here / kind)
    make(here / kind)
    layouts.pairs(layouts.LAYOUTS[kind], here / kind)["train"][0][0].unlink()
    with pytest.raises(MissingDataError, match=r"1 of \d+ images of the train split are missing"):
        load(Official(kind=kind), store)


def test_idd_also_comes_with_its_seven_coarse_classes(here: Path, store: Store) -> None:
    _idd(here / "idd", level=1)
    data = load(Official(kind="idd"), store)
    assert class_names(data["train"]) == layouts._IDD1.split("|")


def test_pascal_voc_without_its_lists_is_half_unpacked(here: Path, store: Store) -> None:
    _voc(here / "voc2012")
    (here / "voc2012/VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(MissingDataError, match=r"there is no list .*val\.txt"):
        load(Official(kind="voc2012"), store)


def test_camvid_is_split_as_is_usual(here: Path) -> None:
    _camvid(here / "camvid")
    found = layouts.pairs(layouts.LAYOUTS["camvid"], here / "camvid")
    train, test = ([image.stem for image, _ in found[split]] for split in ("train", "test"))
    assert train == ["0001TP_006690", "0006R0_f00930", "0016E5_00390"]
    assert test == ["0001TP_006720", "Seq05VD_f00000"]


def test_the_tables_of_ids_and_colours_are_whole() -> None:
    ids = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    mask = layouts.LAYOUTS["cityscapes"].decode(ids)[0]
    assert sorted(mask[mask != IGNORE]) == list(range(19))
    assert mask[26] == layouts.LAYOUTS["cityscapes"].names.index("car")
    assert mask[255] == IGNORE  # the licence plates, id -1
    suim = layouts.LAYOUTS["suim"]
    drawn = Image.fromarray(np.array([[[255, 0, 255], [0, 0, 255], [9, 250, 1]]], np.uint8))
    assert [suim.names[i] for i in suim.decode(drawn)[0]] == ["reef", "diver", "plant"]
    colours = " ".join(layouts.CAMVID.values()).split()
    assert len(set(colours)) == len(colours) == 31  # the 32nd is void


def test_a_mask_of_another_size_or_that_is_no_image_is_refused(here: Path, store: Store) -> None:
    _bdd100k(here / "bdd100k")
    mask = here / "bdd100k/labels/sem_seg/masks/train/0004a4c0.png"
    _save(mask, _bands(0, 1))
    with pytest.raises(ValueError, match=r"0004a4c0\.png.*size \(8, 4\), its image.*\(8, 6\)"):
        load(Official(kind="bdd100k"), store)
    mask.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"cannot read .*0004a4c0\.png"):
        load(Official(kind="bdd100k"), store)


# --- batches -------------------------------------------------------------------------------------


def _split(shapes: list[tuple[int, int]]) -> datasets.Dataset:
    """Scenes whose left half is white and of class 1, the right half black and without a class."""
    images, masks = [], []
    for high, wide in shapes:
        left = np.arange(wide) < wide // 2
        image = np.broadcast_to(np.where(left, 255, 0)[None, :, None], (high, wide, 3))
        mask = np.broadcast_to(np.where(left, 1, IGNORE)[None], (high, wide))
        images.append(_bytes(image.astype(np.uint8)))
        masks.append(_bytes(mask.astype(np.uint8)))
    features = datasets.Features(
        image=datasets.Image(),
        mask=datasets.Image(),
        label=datasets.List(datasets.ClassLabel(names=["a", "b"])),
    )
    columns = {"image": images, "mask": masks, "label": [[1]] * len(shapes)}
    return datasets.Dataset.from_dict(columns, features=features)


def test_image_and_mask_are_resized_and_cut_together() -> None:
    split = Pictures(_split([(60, 80), (90, 90), (40, 160)]), 24, "bilinear")
    assert split.shape == (24, 32)
    (images, labels), *rest = split.batches(8)
    assert not rest
    assert images.shape == (3, 3, 24, 32)
    assert labels.shape == (3, 24, 32)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    white, kept = images.float().mean(1) > 127, labels == 1
    assert ((labels == 1) | (labels == NO_CLASS)).all()
    assert (white == kept).float().mean() > 0.96  # but for the column where they meet
    assert split.labels.unique().tolist() == [1, IGNORE]


def test_a_tall_split_stays_tall() -> None:
    assert Pictures(_split([(80, 60)]), 24, "bilinear").shape == (32, 24)


def test_scenes_come_in_order_shuffled_or_without_a_single_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = _split([(8, 8)] * 5)
    split = Pictures(data, 8, "bilinear")
    split.everything = (
        torch.arange(5)[:, None, None, None].expand(5, 3, 8, 8).byte(),
        split.labels,
    )

    def order(**options: Any) -> list[int]:
        return [int(i) for images, _ in split.batches(2, **options) for i in images[:, 0, 0, 0]]

    assert order() == [0, 1, 2, 3, 4]
    shuffled = order(shuffle=torch.Generator().manual_seed(0))
    assert sorted(shuffled) == order()
    assert shuffled == order(shuffle=torch.Generator().manual_seed(0))
    assert len(order(drop_single=True)) == 4
    # A split too large to keep is decoded in every pass, to the same batches.
    monkeypatch.setattr(images, "IN_MEMORY", 0)
    monkeypatch.setattr(images, "cores", lambda: 0)
    kept, lazy = Pictures(data, 8, "bilinear"), Pictures(data, 8, "bilinear")
    kept.kept = True
    assert not lazy.kept
    for one, other in zip(kept.batches(2), lazy.batches(2), strict=True):
        assert (one[0] == other[0]).all()
        assert (one[1] == other[1]).all()
    assert (kept.labels == lazy.labels).all()


def test_a_damaged_scene_is_named() -> None:
    data = _split([(8, 8)] * 2).cast_column("mask", datasets.Image(decode=False))
    broken = [data[0]["mask"], {"bytes": b"no image", "path": None}]
    data = data.remove_columns("mask").add_column("mask", broken)
    data = data.cast_column("mask", datasets.Image())
    with pytest.raises(ValueError, match="mask 1 of streets cannot be decoded"):
        list(Pictures(data, 8, "bilinear", "streets").batches(2))
