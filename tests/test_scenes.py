"""Scenes with masks: Parquet files, and batches of them."""

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from hastelib.data import images
from hastelib.data.base import MissingDataError, class_names, load
from hastelib.data.images import table
from hastelib.data.published import Masks
from hastelib.data.scenes import IGNORE, NO_CLASS, SceneBatches


def _parquet(folder: Path, masks: list[np.ndarray]) -> None:
    images = [np.full((*mask.shape, 3), 90, np.uint8) for mask in masks]
    data = table(images, [[]] * len(masks), ["a"], masks).remove_columns("label")
    for name in ("train", "test"):
        data.to_parquet(folder / f"{name}.parquet")


SPEC = Masks(
    kind="masks", train="train.parquet", test="test.parquet", names=("road", "sky"), ignore=(11,)
)


def test_parquet_masks_are_read_and_the_void_ignored(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HASTE_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match=r"train\.parquet.*HASTE_DATA"):
        load(SPEC)
    mask = np.array([[0, 1], [11, 1]], np.uint8)
    _parquet(tmp_path, [mask, np.full((2, 2), 11, np.uint8)])
    data = load(SPEC)["train"]
    np.testing.assert_array_equal(np.asarray(data[0]["mask"]), [[0, 1], [IGNORE, 1]])
    assert data["label"][:] == [[0, 1], []]
    assert class_names(data) == ["road", "sky"]
    _parquet(tmp_path, [np.full((2, 2), 5, np.uint8)])
    with pytest.raises(ValueError, match=r"row 0: the mask holds \[5\], but there are 2 names"):
        load(SPEC)
    masks = datasets.Dataset.from_parquet(str(tmp_path / "train.parquet")).to_dict()["mask"]
    features = datasets.Features(image=datasets.Image(), mask=datasets.Image())
    lost = datasets.Dataset.from_dict({"image": [None], "mask": masks}, features=features)
    for rows, words in (
        (lost, "1 of 1 rows have no image"),
        (lost.remove_columns("mask"), r"no column \['mask'\]"),
    ):
        rows.to_parquet(tmp_path / "train.parquet")
        with pytest.raises(ValueError, match=words):
            load(SPEC)
    whole = _split([(8, 8)] * 2).cast_column("mask", datasets.Image(decode=False))
    broken = [whole[0]["mask"], {"bytes": b"no image", "path": None}]
    damaged = whole.remove_columns("mask").add_column("mask", broken)
    damaged = damaged.cast_column("mask", datasets.Image())
    with pytest.raises(ValueError, match="mask 1 of streets cannot be decoded"):
        list(SceneBatches(damaged, 8, "bilinear", "streets").batches(2))


def _split(shapes: list[tuple[int, int]]) -> datasets.Dataset:
    """Scenes whose left half is white and of class 1, the right half black and without a class."""
    images, masks = [], []
    for high, wide in shapes:
        left = np.arange(wide) < wide // 2
        image = np.broadcast_to(np.where(left, 255, 0)[None, :, None], (high, wide, 3))
        mask = np.broadcast_to(np.where(left, 1, IGNORE)[None], (high, wide))
        images.append(image.astype(np.uint8))
        masks.append(mask.astype(np.uint8))
    return table(images, [[1]] * len(shapes), ["a", "b"], masks)


def test_image_and_mask_are_resized_and_cut_together() -> None:
    split = SceneBatches(_split([(60, 80), (90, 90), (40, 160)]), 24, "bilinear")
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
    assert SceneBatches(_split([(80, 60)]), 24, "bilinear").shape == (32, 24)


def test_scenes_come_in_order_shuffled_or_without_a_single_one(monkeypatch) -> None:
    data = _split([(8, 8)] * 5)
    split = SceneBatches(data, 8, "bilinear")
    split.everything = (
        torch.arange(5)[:, None, None, None].expand(5, 3, 8, 8).byte(),
        split.labels,
    )

    def order(**options: Any) -> list[int]:
        return [int(i) for images, _ in split.batches(2, **options) for i in images[:, 0, 0, 0]]

    assert order() == [0, 1, 2, 3, 4]
    shuffled = order(shuffle=torch.Generator().manual_seed(0))
    assert len({*shuffled} & {*order()}) == len(shuffled) == 4  # a last batch of one is left out
    assert shuffled == order(shuffle=torch.Generator().manual_seed(0))
    # A split too large to keep is decoded in every pass, to the same batches.
    monkeypatch.setattr(images, "IN_MEMORY", 0)
    monkeypatch.setattr(images, "cores", lambda: 0)
    kept, lazy = SceneBatches(data, 8, "bilinear"), SceneBatches(data, 8, "bilinear")
    kept.kept = True
    assert not lazy.kept
    for one, other in zip(kept.batches(2), lazy.batches(2), strict=True):
        assert (one[0] == other[0]).all()
        assert (one[1] == other[1]).all()
    assert (kept.labels == lazy.labels).all()
