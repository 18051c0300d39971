"""The official folders of the six data sets of the paper's section 5.3, and what their masks say.

========== =================================================================== ==================
kind       images; masks                                                       classes
========== =================================================================== ==================
cityscapes ``leftImg8bit/SPLIT/CITY/*_leftImg8bit.png``;                       19 of 34 ids
           ``gtFine/SPLIT/CITY/*_gtFine_labelIds.png``
camvid     ``701_StillsRaw_full/*.png``; ``LabeledApproved_full/*_L.png``      11 of 32 colours
bdd100k    ``images/10k/SPLIT/*.jpg``; ``labels/sem_seg/masks/SPLIT/*.png``    19
idd        ``leftImg8bit/SPLIT/DRIVE/*_leftImg8bit.png`` (or ``.jpg``);        26, or 7
           ``gtFine/SPLIT/DRIVE/*_gtFine_labellevel3Ids.png`` (or level1)
voc2012    ``JPEGImages/*.jpg``; ``SegmentationClass/*.png``, under            21
           ``VOCdevkit/VOC2012`` or not
suim       ``train_val/images/*.jpg``; ``train_val/masks/*.bmp``, and ``TEST`` 8 colours
========== =================================================================== ==================

SPLIT is ``train`` and, since the labels of the test splits are not public, ``val``, which is the
test split here. CamVid is split as is usual (367 images to train on, 233 to test on, the 101 of
the validation split left out), Pascal VOC by its own lists in ``ImageSets/Segmentation``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets import Cityscapes

from hastelib.data.files import MissingDataError
from hastelib.specs import SPLITS, Split

Pair = tuple[Path, Path]
Decoder = Callable[[Image.Image], np.ndarray]
_IGNORE = 255

ROAD_NAMES = tuple(c.name for c in Cityscapes.classes if 0 <= c.train_id < _IGNORE)
"""The 19 classes of Cityscapes that are evaluated, BDD100k's too, in the order of their ids."""

CAMVID = {
    "sky": {"Sky": (128, 128, 128)},
    "building": {
        "Building": (128, 0, 0),
        "Wall": (64, 192, 0),
        "Bridge": (0, 128, 64),
        "Tunnel": (64, 0, 64),
        "Archway": (192, 0, 128),
    },
    "pole": {"Column_Pole": (192, 192, 128), "TrafficCone": (0, 0, 64)},
    "road": {
        "Road": (128, 64, 128),
        "LaneMkgsDriv": (128, 0, 192),
        "LaneMkgsNonDriv": (192, 0, 64),
    },
    "pavement": {
        "Sidewalk": (0, 0, 192),
        "ParkingBlock": (64, 192, 128),
        "RoadShoulder": (128, 128, 192),
    },
    "tree": {"Tree": (128, 128, 0), "VegetationMisc": (192, 192, 0)},
    "sign": {
        "SignSymbol": (192, 128, 128),
        "Misc_Text": (128, 128, 64),
        "TrafficLight": (0, 64, 64),
    },
    "fence": {"Fence": (64, 64, 128)},
    "car": {
        "Car": (64, 0, 128),
        "SUVPickupTruck": (64, 128, 192),
        "Truck_Bus": (192, 128, 192),
        "Train": (192, 64, 128),
        "OtherMoving": (128, 64, 64),
    },
    "pedestrian": {
        "Pedestrian": (64, 64, 0),
        "Child": (192, 128, 64),
        "CartLuggagePram": (64, 0, 192),
        "Animal": (64, 128, 64),
    },
    "bicyclist": {"Bicyclist": (0, 128, 192), "MotorcycleScooter": (192, 0, 192)},
}
"""The usual 11 classes, and the 32 of the publication that they are made of, by colour; black, and
any other colour, is void."""

IDD_LEVEL1 = (
    "drivable", "non-drivable", "living things", "vehicles", "roadside objects", "far objects",
    "sky",
)  # fmt: skip
IDD_LEVEL3 = (
    "road", "drivable fallback", "sidewalk", "non-drivable fallback", "person", "rider",
    "motorcycle", "bicycle", "autorickshaw", "car", "truck", "bus", "vehicle fallback", "curb",
    "wall", "fence", "guard rail", "billboard", "traffic sign", "traffic light", "pole",
    "structure fallback", "building", "bridge", "vegetation", "sky",
)  # fmt: skip

VOC = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa",
    "train", "tv monitor",
)  # fmt: skip

SUIM = (
    "background", "sea-floor", "fish", "robot", "plant", "reef", "wreck", "diver",
)  # fmt: skip
_SUIM_COLOURS = "000 111 110 100 010 101 011 001"
"""Red, green and blue of each class: on or off."""


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk.

    Attributes:
        title: its name in messages.
        page: where it is to be had.
        archives: what to unpack.
        find: the root and a split -> pairs of an image and where its mask should be.
        from_masks: the root -> where the image of each mask should be.
        names: root -> the classes.
        decoder: root -> what turns a mask file into class indices.
    """

    title: str
    page: str
    archives: str
    find: Callable[[Path, Split], Iterable[Pair]]
    from_masks: Callable[[Path], Iterable[Path]]
    names: Callable[[Path], Sequence[str]]
    decoder: Callable[[Path], Decoder]

    def missing(self, what: str, root: Path) -> MissingDataError:
        """The one error: what is missing, where it was looked for, how to get it."""
        return MissingDataError(
            f"{self.title}: {what}. It was looked for in {root}. Get it from {self.page} and "
            f"unpack {self.archives} there, or set HASTE_DATA to the folder that holds {root.name}."
        )


def pairs(layout: Layout, root: Path) -> dict[Split, list[Pair]]:
    """The images and masks of both splits.

    Raises:
        MissingDataError: there is no such folder, a split is empty, or images or masks are
            missing, as after unpacking only a part.
    """
    if not root.is_dir():
        raise layout.missing("there is no such folder", root)
    masks = list(layout.from_masks(root))
    if lost := sorted(image for image in masks if not image.is_file()):
        raise layout.missing(
            f"{len(lost)} of {len(masks)} masks have no image, the first that is missing is "
            f"{lost[0].relative_to(root)}",
            root,
        )
    found: dict[Split, list[Pair]] = {}
    for split in SPLITS:
        listed = sorted(layout.find(root, split))
        if not listed:
            raise layout.missing(f"the {split} split has no images", root)
        for place, what in enumerate(("image", "mask")):
            gone = [pair[place] for pair in listed if not pair[place].is_file()]
            if gone:
                raise layout.missing(
                    f"{len(gone)} of {len(listed)} {what}s of the {split} split are missing, the "
                    f"first is {gone[0].relative_to(root)}",
                    root,
                )
        found[split] = listed
    return found


def _indices(file: Image.Image) -> np.ndarray:
    """A mask that holds class indices: grey, or a palette's numbers."""
    mask = np.asarray(file)
    if mask.ndim != 2:
        raise ValueError(f"expected one channel, got shape {mask.shape}")
    return mask.astype(np.uint8)


def _looked_up(table: np.ndarray) -> Decoder:
    def decode(file: Image.Image) -> np.ndarray:
        found: np.ndarray = table[_indices(file)]
        return found

    return decode


def _below(classes: int) -> Decoder:
    """Indices from 0; what lies beyond the classes has none (IDD writes 254 and 255)."""
    return _looked_up(np.where(np.arange(256) < classes, np.arange(256), _IGNORE).astype(np.uint8))


def _cityscapes_ids() -> np.ndarray:
    table = np.full(256, _IGNORE, np.uint8)
    for one in Cityscapes.classes:
        if one.id >= 0 and 0 <= one.train_id < _IGNORE:
            table[one.id] = one.train_id
    return table


def _camvid_colours(file: Image.Image) -> np.ndarray:
    pixels = np.asarray(file.convert("RGB")).astype(np.int64)
    codes = (pixels[..., 0] << 16) + (pixels[..., 1] << 8) + pixels[..., 2]
    mask = np.full(codes.shape, _IGNORE, np.uint8)
    for index, members in enumerate(CAMVID.values()):
        for red, green, blue in members.values():
            mask[codes == (red << 16) + (green << 8) + blue] = index
    return mask


def _suim_colours(file: Image.Image) -> np.ndarray:
    # Some masks are a little off the pure colours, so each channel counts as on or off.
    on = np.asarray(file.convert("RGB")) > 127
    codes = on @ np.array([4, 2, 1])
    order = [int(code, 2) for code in _SUIM_COLOURS.split()]
    table = np.zeros(8, np.uint8)
    table[order] = np.arange(len(order))
    found: np.ndarray = table[codes]
    return found


def _drives(root: Path, split: Split, suffix: str) -> list[Pair]:
    """``leftImg8bit/SPLIT/*/NAME_leftImg8bit.png`` and ``gtFine/SPLIT/*/NAME`` + suffix."""
    place = {"train": "train", "test": "val"}[split]
    folder = root / "leftImg8bit" / place
    mark = "_leftImg8bit"
    images = [path for end in (".png", ".jpg") for path in folder.glob(f"*/*{mark}{end}")]
    masks = root / "gtFine" / place
    return [(p, masks / p.parent.name / (p.stem.removesuffix(mark) + suffix)) for p in images]


def _drive_images(root: Path, suffix: str) -> list[Path]:
    """Where the images of the masks are, as :func:`_drives` has them."""
    found = []
    for place in ("train", "val"):
        for mask in (root / "gtFine" / place).glob(f"*/*{suffix}"):
            folder = root / "leftImg8bit" / place / mask.parent.name
            images = [
                folder / f"{mask.name.removesuffix(suffix)}_leftImg8bit{end}"
                for end in (".png", ".jpg")
            ]
            found.append(next((path for path in images if path.is_file()), images[0]))
    return found


def _idd_level(root: Path) -> int:
    """Level 1 where its masks are there and those of level 3 are not."""
    having = [n for n in (3, 1) if any(root.glob(f"gtFine/*/*/*_gtFine_labellevel{n}Ids.png"))]
    return having[0] if having else 3


def _idd_names(root: Path) -> Sequence[str]:
    return IDD_LEVEL3 if _idd_level(root) == 3 else IDD_LEVEL1


def _camvid(root: Path, split: Split) -> list[Pair]:
    images = sorted((root / "701_StillsRaw_full").glob("*.png"))
    dusk = [path for path in images if path.name.startswith("0001TP_")]
    early = set(dusk[: len(dusk) // 2])  # the first half is to train on, the second to test on

    def place(path: Path) -> str:
        sequence, _, number = path.stem.partition("_")
        if sequence == "Seq05VD" or (sequence == "0001TP" and path not in early):
            return "test"
        if sequence == "0016E5" and 7959 <= int(number.lstrip("f")) <= 8159:
            return "validation"
        return "train"

    masks = root / "LabeledApproved_full"
    return [(p, masks / f"{p.stem}_L.png") for p in images if place(p) == split]


def _bdd100k(root: Path, split: Split) -> list[Pair]:
    place = {"train": "train", "test": "val"}[split]
    masks = root / "labels" / "sem_seg" / "masks" / place
    images = (root / "images" / "10k" / place).glob("*.jpg")
    return [(path, masks / f"{path.stem}.png") for path in images]


def _voc(root: Path, split: Split) -> list[Pair]:
    inner = root / "VOCdevkit" / "VOC2012"
    base = inner if inner.is_dir() else root
    listed = base / "ImageSets" / "Segmentation" / {"train": "train.txt", "test": "val.txt"}[split]
    if not listed.is_file():
        raise LAYOUTS["voc2012"].missing(f"there is no list {listed.relative_to(root)}", root)
    names = listed.read_text(encoding="utf-8").split()
    folders = base / "JPEGImages", base / "SegmentationClass"
    return [(folders[0] / f"{name}.jpg", folders[1] / f"{name}.png") for name in names]


def _suim(root: Path, split: Split) -> list[Pair]:
    base = root / {"train": "train_val", "test": "TEST"}[split]
    images = (base / "images").glob("*.jpg")
    return [(path, base / "masks" / f"{path.stem}.bmp") for path in images]


LAYOUTS: dict[str, Layout] = {
    "cityscapes": Layout(
        "Cityscapes",
        "https://www.cityscapes-dataset.com/downloads/",
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip",
        lambda root, split: _drives(root, split, "_gtFine_labelIds.png"),
        lambda root: _drive_images(root, "_gtFine_labelIds.png"),
        lambda _: ROAD_NAMES,
        lambda _: _looked_up(_cityscapes_ids()),
    ),
    "camvid": Layout(
        "CamVid",
        "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
        "701_StillsRaw_full.zip and LabeledApproved_full.zip, each into a folder of its name,",
        _camvid,
        lambda root: [
            root / "701_StillsRaw_full" / f"{mask.stem.removesuffix('_L')}.png"
            for mask in root.glob("LabeledApproved_full/*_L.png")
        ],
        lambda _: tuple(CAMVID),
        lambda _: _camvid_colours,
    ),
    "bdd100k": Layout(
        "BDD100k",
        "https://bdd-data.berkeley.edu/",
        "the 10K images and the semantic segmentation labels",
        _bdd100k,
        lambda root: [
            root / "images" / "10k" / mask.parent.name / f"{mask.stem}.jpg"
            for place in ("train", "val")
            for mask in root.glob(f"labels/sem_seg/masks/{place}/*.png")
        ],
        lambda _: ROAD_NAMES,
        lambda _: _below(len(ROAD_NAMES)),
    ),
    "idd": Layout(
        "IDD",
        "https://idd.insaan.iiit.ac.in/",
        "IDD Segmentation (part I, II or both; the masks are made from its polygons by "
        "createLabels.py of github.com/AutoNUE/public-code with --id-type level3Id or level1Id)",
        lambda root, split: _drives(root, split, f"_gtFine_labellevel{_idd_level(root)}Ids.png"),
        lambda root: _drive_images(root, f"_gtFine_labellevel{_idd_level(root)}Ids.png"),
        _idd_names,
        lambda root: _below(len(_idd_names(root))),
    ),
    "voc2012": Layout(
        "Pascal VOC 2012",
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        "VOCtrainval_11-May-2012.tar",
        _voc,
        lambda _: (),  # its lists name what there must be
        lambda _: VOC,
        lambda _: _below(len(VOC)),
    ),
    "suim": Layout(
        "SUIM",
        "https://irvlab.cs.umn.edu/resources/suim-dataset",
        "train_val.zip and TEST.zip",
        _suim,
        lambda root: [
            mask.parents[1] / "images" / f"{mask.stem}.jpg"
            for place in ("train_val", "TEST")
            for mask in root.glob(f"{place}/masks/*.bmp")
        ],
        lambda _: SUIM,
        lambda _: _suim_colours,
    ),
}
"""Kind -> its layout."""
