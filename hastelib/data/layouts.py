"""The official folders of the six data sets of the paper's section 5.3, and what their masks say.

A data set's test split is its public ``val``, since the labels of the test splits are not public.
CamVid is split as is usual (367 images to train on, 233 to test on, the 101 of the validation
split left out), Pascal VOC by its own lists in ``ImageSets/Segmentation``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets import Cityscapes

from hastelib.data.base import SPLITS, MissingDataError, Split

Pair = tuple[Path, Path]
Decoder = Callable[[Image.Image], np.ndarray]

IGNORE = 255
"""The value of a mask where a pixel has no class."""

_ROAD = {c.name: c for c in Cityscapes.classes if 0 <= c.train_id < IGNORE}
_IDD1 = "drivable|non-drivable|living things|vehicles|roadside objects|far objects|sky"
_IDD3 = (
    "road|drivable fallback|sidewalk|non-drivable fallback|person|rider|motorcycle|bicycle|"
    "autorickshaw|car|truck|bus|vehicle fallback|curb|wall|fence|guard rail|billboard|traffic sign|"
    "traffic light|pole|structure fallback|building|bridge|vegetation|sky"
)
_VOC = (
    "background|aeroplane|bicycle|bird|boat|bottle|bus|car|cat|chair|cow|dining table|dog|horse|"
    "motorbike|person|potted plant|sheep|sofa|train|tv monitor"
)
CAMVID = {
    "sky": "808080",
    "building": "800000 40c000 008040 400040 c00080",  # building, wall, bridge, tunnel, archway
    "pole": "c0c080 000040",  # column or pole, traffic cone
    "road": "804080 8000c0 c00040",  # road, its markings, other markings
    "pavement": "0000c0 40c080 8080c0",  # sidewalk, parking block, road shoulder
    "tree": "808000 c0c000",  # tree, other vegetation
    "sign": "c08080 808040 004040",  # sign, other text, traffic light
    "fence": "404080",
    "car": "400080 4080c0 c080c0 c04080 804040",  # car, SUV or pick-up, truck or bus, train, other
    "pedestrian": "404000 c08040 4000c0 408040",  # pedestrian, child, cart or pram, animal
    "bicyclist": "0080c0 c000c0",  # bicyclist, motorcycle or scooter
}
"""The usual 11 classes, and the colours of the publication's that each is made of; black, and any
other colour, is void."""

SUIM = {
    "background": "000000",
    "sea-floor": "ffffff",
    "fish": "ffff00",
    "robot": "ff0000",
    "plant": "00ff00",
    "reef": "ff00ff",
    "wreck": "00ffff",
    "diver": "0000ff",
}


def _listed(ids: Iterable[int]) -> Decoder:
    """A mask that holds ids, of class 0, 1, ...; any other value has no class."""
    table = np.full(256, IGNORE, np.uint8)
    for index, one in enumerate(ids):
        table[one] = index

    def decode(file: Image.Image) -> np.ndarray:
        mask = np.asarray(file)
        if mask.ndim != 2:
            raise ValueError(f"expected one channel, got shape {mask.shape}")
        return table[mask.astype(np.uint8)]

    return decode


def _coloured(classes: Mapping[str, str], on: int | None = None) -> Decoder:
    """A mask of colours; with ``on`` a channel counts as 0 or, above it, as 255."""

    def decode(file: Image.Image) -> np.ndarray:
        pixels = np.asarray(file.convert("RGB"), np.int64)
        pixels = pixels if on is None else np.where(pixels > on, 255, 0)
        codes = pixels @ np.array([1 << 16, 1 << 8, 1])
        mask = np.full(codes.shape, IGNORE, np.uint8)
        for index, colours in enumerate(classes.values()):
            mask[np.isin(codes, [int(colour, 16) for colour in colours.split()])] = index
        return mask

    return decode


def _camvid(root: Path, split: Split, names: list[str]) -> list[str]:
    dusk = [name for name in names if name.startswith("0001TP_")]
    test = {*dusk[len(dusk) // 2 :], *(name for name in names if name.startswith("Seq05VD_"))}
    validation = {f"0016E5_{number:05}" for number in range(7959, 8160)}
    return [n for n in names if (n in test) == (split == "test") and n not in validation]


def _voc(root: Path, split: Split, names: list[str]) -> list[str]:
    file = f"ImageSets/Segmentation/{'train' if split == 'train' else 'val'}.txt"
    for path in (root / "VOCdevkit/VOC2012" / file, root / file):
        if path.is_file():
            return path.read_text(encoding="utf-8").split()
    raise LAYOUTS["voc2012"].missing(f"there is no list {file}", root)


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk.

    Its ``title`` stands in messages, with the ``page`` where it is to be had and the ``archives``
    to unpack. ``places`` are pairs of patterns of an image and its mask, where there may be
    several; NAME stands for what both have in common, with its folder where there is one, SPLIT
    for one of ``folders`` (of train, of test). ``names`` are the classes in the order of their
    indices, ``decode`` gives these from a mask file. ``members`` picks the names in a split, given
    the root and the names of all images.
    """

    title: str
    page: str
    archives: str
    places: tuple[tuple[str, str], ...]
    names: list[str]
    decode: Decoder
    folders: tuple[str, str] = ("train", "val")
    members: Callable[[Path, Split, list[str]], list[str]] = lambda root, split, names: names

    def missing(self, what: str, root: Path) -> MissingDataError:
        """The one error: what is missing, where it was looked for, how to get it."""
        return MissingDataError(
            f"{self.title}: {what}. It was looked for in {root}. Get it from {self.page} and "
            f"unpack {self.archives} there, or set HASTE_DATA to the folder that holds {root.name}."
        )

    def found(self, root: Path, split: Split, which: int) -> dict[str, Path]:
        """The images (0) or masks (1) that are there, by name."""
        files: dict[str, Path] = {}
        for patterns in self.places:
            pattern = patterns[which].replace("SPLIT", self.folders[split == "test"])
            start, end = pattern.split("NAME")
            base, there = root / start.partition("*")[0], root.glob(f"{start}*{end}")
            files |= {p.relative_to(base).as_posix().removesuffix(end): p for p in there}
        return files


def pairs(layout: Layout, root: Path) -> dict[Split, list[Pair]]:
    """The images and masks of both splits, in the order of their paths.

    Raises:
        MissingDataError: there is no such folder, a split is empty, or files are missing.
    """
    if not root.is_dir():
        raise layout.missing("there is no such folder", root)
    splits: dict[Split, list[Pair]] = {}
    for split in SPLITS:
        images, masks = (layout.found(root, split, which) for which in (0, 1))
        names = layout.members(root, split, sorted(images.keys() | masks.keys()))
        if not names:
            raise layout.missing(f"the {split} split has no images", root)
        for what, found in (("images", images), ("masks", masks)):
            if gone := [name for name in names if name not in found]:
                part = f"{len(gone)} of {len(names)} {what} of the {split} split"
                raise layout.missing(f"{part} are missing, the first is that of {gone[0]}", root)
        splits[split] = sorted((images[name], masks[name]) for name in names)
    return splits


def _drives(suffix: str) -> tuple[tuple[str, str], ...]:
    mask = f"gtFine/SPLIT/*/NAME_gtFine_{suffix}.png"
    return tuple((f"leftImg8bit/SPLIT/*/NAME_leftImg8bit.{end}", mask) for end in ("png", "jpg"))


LAYOUTS = {
    "cityscapes": Layout(
        "Cityscapes",
        "https://www.cityscapes-dataset.com/downloads/",
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip",
        _drives("labelIds"),
        [*_ROAD],
        _listed(one.id for one in _ROAD.values()),
    ),
    "camvid": Layout(
        "CamVid",
        "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
        "701_StillsRaw_full.zip and LabeledApproved_full.zip, each into a folder of its name,",
        (("701_StillsRaw_full/NAME.png", "LabeledApproved_full/NAME_L.png"),),
        [*CAMVID],
        _coloured(CAMVID),
        members=_camvid,
    ),
    "bdd100k": Layout(
        "BDD100k",
        "https://bdd-data.berkeley.edu/",
        "the 10K images and the semantic segmentation labels",
        (("images/10k/SPLIT/NAME.jpg", "labels/sem_seg/masks/SPLIT/NAME.png"),),
        [*_ROAD],
        _listed(range(len(_ROAD))),
    ),
    "idd": Layout(
        "IDD",
        "https://idd.insaan.iiit.ac.in/",
        "IDD Segmentation (part I, II or both; the masks are made from its polygons by "
        "createLabels.py of github.com/AutoNUE/public-code with --id-type level3Id or level1Id)",
        _drives("labellevel3Ids"),
        _IDD3.split("|"),
        _listed(range(26)),
    ),
    "voc2012": Layout(
        "Pascal VOC 2012",
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        "VOCtrainval_11-May-2012.tar",
        tuple(
            (f"{base}JPEGImages/NAME.jpg", f"{base}SegmentationClass/NAME.png")
            for base in ("", "VOCdevkit/VOC2012/")
        ),
        _VOC.split("|"),
        _listed(range(21)),
        members=_voc,
    ),
    "suim": Layout(
        "SUIM",
        "https://irvlab.cs.umn.edu/resources/suim-dataset",
        "train_val.zip and TEST.zip",
        (("SPLIT/images/NAME.jpg", "SPLIT/masks/NAME.bmp"),),
        [*SUIM],
        _coloured(SUIM, 127),  # some masks are a little off the pure colours
        ("train_val", "TEST"),
    ),
}
"""Kind -> its layout."""


def of(kind: str, root: Path) -> Layout:
    """The layout of a kind; IDD's with 7 classes where its masks of level 1 alone are there."""
    layout = LAYOUTS[kind]
    levels = [n for n in (3, 1) if any(root.glob(f"gtFine/*/*/*_labellevel{n}Ids.png"))]
    if kind != "idd" or levels != [1]:
        return layout
    names, decode = _IDD1.split("|"), _listed(range(7))
    return replace(layout, places=_drives("labellevel1Ids"), names=names, decode=decode)
