"""The official data sets: where each is to be had, how it lies on disk, and how it is read.

:data:`SETS` is the one table of them. Where the labels of a test split are not public the test
split here is the public ``val``.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import datasets
import numpy as np
import torchvision.datasets as tv
from filelock import FileLock
from PIL import Image
from pydantic import field_validator
from scipy.io import loadmat

from hastelib.data.base import (
    SPLITS,
    MissingDataError,
    Spec,
    Split,
    Splits,
    class_names,
    data_folder,
)
from hastelib.data.folders import image_folder, labelled
from hastelib.data.published import Parquet, Published, Texts
from hastelib.data.scenes import IGNORE, Decoder, Pair, decoded
from hastelib.download import DownloadError, fetch, unpack
from hastelib.store import Store

Found = tuple[list[str], dict[str, Path], dict[str, Path]]
"""The names in a split, its images by name, its masks by name."""


@dataclass(frozen=True)
class File:
    """A file of a data set, and what it becomes in the set's folder.

    ``makes`` are the paths that are there once it is unpacked, each put there in one step; none
    where it is no archive. It is unpacked into the folder ``into``; ``within`` is the folder of
    what comes out that stands for the set's. ``inner`` are archives in it (a pattern), and the
    folder that each is unpacked into, in which STEM stands for its name. Without ``url`` it needs
    a login, or has no checksum.
    """

    name: str
    makes: tuple[str, ...]
    url: str | None = None
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    into: str = ""
    within: str = ""
    inner: tuple[str, str] | None = None

    def missing(self, root: Path) -> str:
        """The first path that is not there; "" where all are."""
        paths = self.makes or (self.name,)
        return next((path for path in paths if not (root / path).exists()), "")

    def bring(self, root: Path) -> None:
        """Download it where it is not there yet, and unpack it."""
        path = root / self.name
        fetch(self.url or self.name, path, md5=self.md5, sha256=self.sha256, size=self.size)
        if not self.makes:
            return
        shutil.rmtree(fresh := root / ".unpacking", ignore_errors=True)  # of a killed process
        try:
            unpack(path, fresh / self.into)
            if self.inner:
                for archive in sorted(fresh.glob(self.inner[0])):
                    unpack(archive, fresh / self.inner[1].replace("STEM", archive.stem))
                    archive.unlink()
            for made in self.makes:
                if not (root / made).exists():
                    if not (fresh / self.within / made).exists():
                        raise DownloadError(f"{path} holds no {made}; delete it, and try again")
                    (root / made).parent.mkdir(parents=True, exist_ok=True)
                    (fresh / self.within / made).rename(root / made)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


@dataclass(frozen=True)
class Scenes:
    """How scenes are read: the classes by index, what a mask file says of them, and the files."""

    names: list[str]
    decode: Decoder
    find: Callable[[Path, Split], Found]

    def pairs(self, root: Path, split: Split) -> list[Pair]:
        """The images and masks of a split; ``LookupError`` where some are missing."""
        names, images, masks = self.find(root, split)
        if not names:
            raise LookupError(f"the {split} split has no images")
        for what, found in (("images", images), ("masks", masks)):
            if gone := [name for name in names if name not in found]:
                part = f"{len(gone)} of {len(names)} {what} of the {split} split"
                raise LookupError(f"{part} are missing, the first is that of {gone[0]}")
        return sorted((images[name], masks[name]) for name in names)


@dataclass(frozen=True)
class Set:
    """A row of the table: a data set as its authors publish it.

    ``train`` and ``test`` count images or texts in the splits used, None where its parts are
    published one by one; ``cite`` is its key in the book's bibliography.
    """

    title: str
    read: Callable[[Path], Splits] | Scenes | Published
    split: str
    classes: int
    train: int | None
    test: int | None
    cite: str
    page: str
    files: tuple[File, ...] = ()
    licence: str = "none found"
    note: str = ""

    def lacks(self, what: str, root: Path) -> MissingDataError:
        """The one error: what is missing, where it was looked for, where and how to get it."""
        sizes = {f.name: f" ({f.size:,} bytes)" if f.size else "" for f in self.files}
        wanted = " and ".join(map("".join, sizes.items())) or f"what it consists of ({self.note})"
        return MissingDataError(
            f"{self.title}: {what}, looked for in {root}; get {wanted} from {self.page} and put it "
            f"there, or set HASTE_DATA to the folder that holds {root.name}"
        )

    def obtain(self, root: Path) -> None:
        """Download and unpack what is not there."""
        if not (wanted := [file for file in self.files if file.missing(root)]):
            return
        for file in wanted:
            if file.url is None and not (root / file.name).is_file():
                raise self.lacks(f"there is no {file.missing(root)}", root)
        try:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / ".lock"):
                for file in wanted:
                    if file.missing(root):  # else another process had it first
                        file.bring(root)
        except OSError as error:
            raise MissingDataError(
                f"{self.title} is not in {root}, and {error} (page: {self.page})"
            ) from error


# --- images --------------------------------------------------------------------------------------


def _split(files: Iterable[Path], labels: Sequence[int], names: list[str]) -> datasets.Dataset:
    """A split of these files, all of which are there."""
    files = list(files)
    if gone := [file for file in files if not file.is_file()]:
        raise LookupError(f"{len(gone)} of {len(files)} images are missing, the first is {gone[0]}")
    return labelled(files, labels, names)


def _folders(files: Mapping[Split, Sequence[str]], base: Path, mark: str) -> Splits:
    """Splits of files, each in a class folder whose name is its number, the mark and the class."""
    folders = sorted({file.partition("/")[0] for some in files.values() for file in some})
    names = [name.partition(mark)[2].replace("_", " ") for name in folders]
    return {
        split: _split(
            (base / file for file in some),
            [folders.index(file.partition("/")[0]) for file in some],
            names,
        )
        for split, some in files.items()
    }


def _cub200_2011(root: Path) -> Splits:
    base = root / "CUB_200_2011"
    files, train = (
        dict(line.split() for line in (base / f"{name}.txt").read_text("utf-8").splitlines())
        for name in ("images", "train_test_split")
    )
    half = {mark: [file for i, file in files.items() if train[i] == mark] for mark in "10"}
    return _folders({"train": half["1"], "test": half["0"]}, base / "images", ".")


def _cub200_2010(root: Path) -> Splits:
    files = {s: (root / f"lists/{s}.txt").read_text("utf-8").split() for s in SPLITS}
    return _folders(files, root / "images", ".")


def _stanford_dogs(root: Path) -> Splits:
    lists = {s: loadmat(root / f"{s}_list.mat", squeeze_me=True)["file_list"] for s in SPLITS}
    return _folders({s: lists[s].tolist() for s in SPLITS}, root / "Images", "-")


def _flowers102(root: Path) -> Splits:
    three = [tv.Flowers102(root, split) for split in ("train", "val", "test")]
    files, labels = ([getattr(one, of) for one in three] for of in ("_image_files", "_labels"))
    return {
        "train": _split(files[0] + files[1], labels[0] + labels[1], tv.Flowers102.classes),
        "test": _split(files[2], labels[2], tv.Flowers102.classes),
    }


def _oxford_pets(root: Path) -> Splits:
    both: dict[Split, Any] = {
        "train": tv.OxfordIIITPet(root, "trainval"),
        "test": tv.OxfordIIITPet(root, "test"),
    }
    names = both["train"].classes
    return {split: _split(one._images, one._labels, names) for split, one in both.items()}


def _caltech101(root: Path) -> Splits:
    found = tv.Caltech101(root)
    base, names = root / "caltech101/101_ObjectCategories", found.categories
    places = zip(found.index, found.y, strict=True)
    files = (base / names[label] / f"image_{number:04}.jpg" for number, label in places)
    return {"train": _split(files, found.y, names)}


def _imagenette(root: Path) -> Splits:
    both: dict[Split, Any] = {
        "train": tv.Imagenette(root, "train"),
        "test": tv.Imagenette(root, "val"),
    }
    names = [name for name, *_ in both["train"].classes]
    return {
        split: _split((Path(file) for file, _ in one._samples), [y for _, y in one._samples], names)
        for split, one in both.items()
    }


def _imagenet(root: Path) -> Splits:
    return {"train": image_folder(root / "train")}


# --- scenes --------------------------------------------------------------------------------------


_ROAD = {c.name: c for c in tv.Cityscapes.classes if 0 <= c.train_id < IGNORE}
_IDD = (
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


def _matched(
    images: str,
    masks: str,
    folders: tuple[str, str] = ("train", "val"),
    members: Callable[[Split, list[str]], list[str]] = lambda split, names: names,
) -> Callable[[Path, Split], Found]:
    """By patterns: NAME is what an image and its mask have in common, folders included.

    SPLIT stands for one of ``folders`` (of train, of test). ``members`` picks a split's names.
    """

    def files(root: Path, split: Split, pattern: str) -> dict[str, Path]:
        start, end = pattern.replace("SPLIT", folders[split == "test"]).split("NAME")
        base, mark = root / start.partition("*")[0], end.partition("*")[0]
        there = root.glob(f"{start}*{end}")
        return {p.relative_to(base).as_posix().rpartition(mark)[0]: p for p in there}

    def find(root: Path, split: Split) -> Found:
        both = files(root, split, images), files(root, split, masks)
        return members(split, sorted(both[0].keys() | both[1].keys())), *both

    return find


def _camvid(split: Split, names: list[str]) -> list[str]:
    dusk = [name for name in names if name.startswith("0001TP_")]
    test = {*dusk[len(dusk) // 2 :], *(name for name in names if name.startswith("Seq05VD_"))}
    validation = {f"0016E5_{number:05}" for number in range(7959, 8160)}
    return [n for n in names if (n in test) == (split == "test") and n not in validation]


def _voc(root: Path, split: Split) -> Found:
    listed = tv.VOCSegmentation(root, image_set="train" if split == "train" else "val")
    images, masks = (
        {Path(p).stem: Path(p) for p in some} for some in (listed.images, listed.masks)
    )
    there = ({name: p for name, p in some.items() if p.is_file()} for some in (images, masks))
    return [*images], next(there), next(there)


# --- the table -----------------------------------------------------------------------------------

_CALTECH = "https://data.caltech.edu/records"
_DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
_DOGS = "http://vision.stanford.edu/aditya86/ImageNetDogs"
_FLOWERS = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
_PETS = "https://www.robots.ox.ac.uk/~vgg/data/pets"
_HUB = "https://huggingface.co/datasets"

# fmt: off
SETS = {
    "cub200_2011": Set(
        "CUB-200-2011", _cub200_2011, "official", 200, 5994, 5794, "cub200_2011",
        "https://www.vision.caltech.edu/datasets/cub_200_2011/",
        (File("CUB_200_2011.tgz", ("CUB_200_2011",),
              f"{_CALTECH}/65de6-vp158/files/CUB_200_2011.tgz", 1_150_585_339,
              "97eceeb196236b17998738112f37df78"),),
        note="Images from Flickr. The target cub200 of the suite paper."),
    "cub200_2010": Set(
        "CUB-200 (2010)", _cub200_2010, "official", 200, 3000, 3033, "cub200",
        "https://www.vision.caltech.edu/datasets/cub_200_2010/",
        (File("images.tgz", ("images",), f"{_DRIVE}1GDr1OkoXdhaXWGA8S3MAq3a522Tak-nx", 679_421_896,
              sha256="2a6d2246bbb9778ca03aa94e2e683ccb4f8821a36b7f235c0822e659d60a803e"),
         File("lists.tgz", ("lists",), f"{_DRIVE}1vZuZPqha0JjmwkdaS_XtYryE3Jf5Q1AC", 201_844,
              sha256="aeacbd5e3539ae84ea726e8a266a9a119c18f055cd80f3836d5eb4500b005428")),
        note="Images from Flickr. The edition that the paper cites."),
    "stanford_dogs": Set(
        "Stanford Dogs", _stanford_dogs, "official", 120, 12_000, 8580, "stanford_dogs",
        f"{_DOGS}/main.html",
        (File("images.tar", ("Images",), f"{_DOGS}/images.tar", 793_579_520,
              "1bb1f2a596ae7057f99d7d75860002ef"),
         File("lists.tar", ("train_list.mat", "test_list.mat"), f"{_DOGS}/lists.tar", 481_280,
              "edbb9f16854ec66506b5f09b583e0656")),
        note="Images from ImageNet."),
    "flowers102": Set(
        "Oxford Flowers 102", _flowers102, "train and val; test", 102, 2040, 6149, "flowers102",
        f"{_FLOWERS}/",
        (File("102flowers.tgz", ("flowers-102/jpg",), f"{_FLOWERS}/102flowers.tgz", 344_862_509,
              "52808999861908f626f3c1f4e79d11fa", into="flowers-102"),
         File("flowers-102/imagelabels.mat", (), f"{_FLOWERS}/imagelabels.mat", 502,
              "e0620be6f572b9609742df49c70aed4d"),
         File("flowers-102/setid.mat", (), f"{_FLOWERS}/setid.mat", 14_989,
              "a5357ecc9cb78c4bef273ce3793fc85c")),
        note="The literature on transfer trains on train and val together: 20 images a class."),
    "oxford_pets": Set(
        "Oxford-IIIT Pets", _oxford_pets, "trainval; test", 37, 3680, 3669, "pets", f"{_PETS}/",
        (File("images.tar.gz", ("oxford-iiit-pet/images",), f"{_PETS}/data/images.tar.gz",
              791_918_971, "5c4f3ee8e5d25df40f4fd59a7f44e54c", into="oxford-iiit-pet"),
         File("annotations.tar.gz", ("oxford-iiit-pet/annotations",),
              f"{_PETS}/data/annotations.tar.gz", 19_173_078,
              "95a8c909bbe2e81eed6a22bccdf3f68f", into="oxford-iiit-pet")),
        licence="CC BY-SA 4.0"),
    "caltech101": Set(
        "Caltech101", _caltech101, "80/20, stratified, seed 0", 101, 6941, 1736, "caltech101",
        f"{_CALTECH}/mzrjq-6wc02",
        (File("caltech-101.zip", ("caltech101/101_ObjectCategories",),
              f"{_CALTECH}/mzrjq-6wc02/files/caltech-101.zip", 137_414_764,
              "3138e1922a9193bfa496528edbbc45d0", into="caltech101",
              inner=("caltech101/caltech-101/101_ObjectCategories.tar.gz", "caltech101")),),
        licence="CC BY 4.0",
        note="Without the background class. There is no official split: the literature draws 15 or "
             "30 training images a class and tests on the rest, or on at most 50 a class."),
    "imagenette": Set(
        "Imagenette", _imagenette, "train; val", 10, 9469, 3925, "imagenette",
        "https://github.com/fastai/imagenette",
        (File("imagenette2.tgz", ("imagenette2",),
              "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2.tgz", 1_557_161_267,
              "fe2fc210e6bb7c5664d602c3cd71e612"),),
        licence="Apache 2.0", note="Version 2, whole images, from ImageNet."),
    "pacs_sketch": Set(
        "PACS, sketches",
        Parquet(kind="parquet", train="pacs/sketch.parquet", where={"domain": "sketch"},
                hub="flwrlabs/pacs", revision="394113073258ead631f617d2e13bb377c0715c4b"),
        "80/20, stratified, seed 0", 7, 3143, 786, "pacs", f"{_HUB}/flwrlabs/pacs",
        note="There is no official split for one domain: the literature on domain generalisation "
             "trains on three domains and tests on all of the fourth."),
    "imagenet": Set(
        "ImageNet (ILSVRC 2012)", _imagenet, "train, all of it", 1000, 1_281_167, None, "imagenet",
        "https://image-net.org/download-images",
        (File("ILSVRC2012_img_train.tar", ("train",), None, 147_897_477_120,
              "1d675b47d978889d74fa0da5fadfb00e", into="train",
              inner=("train/*.tar", "train/STEM")),),
        licence="research and education, by ImageNet's terms of access",
        note="Source data; needs a login. Classes have their WordNet ids as names."),
    "voc2012": Set(
        "Pascal VOC 2012", Scenes(_VOC.split("|"), _listed(range(21)), _voc), "train; val",
        21, 1464, 1449, "voc", "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        (File("VOCtrainval_11-May-2012.tar", ("VOCdevkit/VOC2012",),
              "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
              1_999_639_040, "6cd6e144f989b92b3379bac3b3de84fd"),),
        licence="Flickr's terms of use"),
    "cityscapes": Set(
        "Cityscapes",
        Scenes([*_ROAD], _listed(one.id for one in _ROAD.values()), _matched(
            "leftImg8bit/SPLIT/*/NAME_leftImg8bit.*", "gtFine/SPLIT/*/NAME_gtFine_labelIds.png")),
        "train; val", 19, 2975, 500, "cityscapes", "https://www.cityscapes-dataset.com/downloads/",
        (File("leftImg8bit_trainvaltest.zip", ("leftImg8bit",),
              md5="0a6e97e94b616a514066c9e2adb0c97f"),
         File("gtFine_trainvaltest.zip", ("gtFine",), md5="4237c19de34c8a376e9ba46b495d6f66")),
        licence="non-commercial, by its own terms", note="Needs a login."),
    "camvid": Set(
        "CamVid",
        Scenes([*CAMVID], _coloured(CAMVID), _matched(
            "701_StillsRaw_full/NAME.png", "LabeledApproved_full/NAME_L.png", members=_camvid)),
        "the usual, by sequences; the 101 of its validation split are left out", 11, 367, 233,
        "camvid", "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
        (File("701_StillsRaw_full.zip", ("701_StillsRaw_full",)),
         File("LabeledApproved_full.zip", ("LabeledApproved_full",), into="LabeledApproved_full")),
        note="The published 32 classes are merged into the usual 11. By hand: without a checksum, "
             "and the old address of the images is said to fail."),
    "bdd100k": Set(
        "BDD100K",
        Scenes([*_ROAD], _listed(range(19)), _matched(
            "images/10k/SPLIT/NAME.jpg", "labels/sem_seg/masks/SPLIT/NAME.png")),
        "train; val", 19, 7000, 1000, "bdd100k", "https://bdd-data.berkeley.edu/",
        (File("bdd100k_images_10k.zip", ("images/10k",), within="bdd100k",
              md5="08f26aecceda982568063d3d5873378e"),
         File("bdd100k_sem_seg_labels_trainval.zip", ("labels/sem_seg",), within="bdd100k",
              md5="9a2968dde3345eeb689cffb1e26f9c78")),
        licence="education, research and not-for-profit use", note="Needs a login."),
    "idd": Set(
        "IDD Segmentation",
        Scenes(_IDD.split("|"), _listed(range(26)), _matched(
            "leftImg8bit/SPLIT/*/NAME_leftImg8bit.*",
            "gtFine/SPLIT/*/NAME_gtFine_labellevel3Ids.png")),
        "train; val", 26, None, None, "idd", "https://idd.insaan.iiit.ac.in/",
        licence="by its own terms",
        note="part I, II or both, after a login; the masks are made from the polygons by "
             "createLabels.py of github.com/AutoNUE/public-code with --id-type level3Id"),
    "suim": Set(
        "SUIM",
        Scenes([*SUIM], _coloured(SUIM, 127), _matched(  # some are a little off the pure colours
            "SPLIT/images/NAME.jpg", "SPLIT/masks/NAME.bmp", folders=("train_val", "TEST"))),
        "train_val; TEST", 8, 1525, 110, "suim", "https://irvlab.cs.umn.edu/resources/suim-dataset",
        note="train_val.zip and TEST.zip, by hand and unpacked: no checksum was found"),
    "tweet_eval": Set(
        "TweetEval, emotion",
        Texts(kind="texts", train="tweet_eval/emotion/train.parquet",
              test="tweet_eval/emotion/test.parquet", hub="cardiffnlp/tweet_eval", config="emotion",
              revision="b3a375baf0f409c77e6bc7aa35102b7b3534f8be"),
        "train; test", 4, 3257, 1421, "tweeteval", f"{_HUB}/cardiffnlp/tweet_eval",
        note="The paper does not say which of its tasks."),
    "imdb": Set(
        "IMDB",
        Texts(kind="texts", train="imdb/train.parquet", test="imdb/test.parquet",
              hub="stanfordnlp/imdb", revision="e6281661ce1c48d982bc483cf8a173c1bbeb5d31"),
        "train; test", 2, 25_000, 25_000, "imdb", f"{_HUB}/stanfordnlp/imdb"),
    "emotion": Set(
        "CARER",
        Texts(kind="texts", train="emotion/train.parquet", test="emotion/test.parquet",
              hub="dair-ai/emotion", config="split",
              revision="cab853a1dbdf4c42c2b3ef2173804746df8825fe"),
        "train; test", 6, 16_000, 2000, "carer", f"{_HUB}/dair-ai/emotion",
        licence="education and research"),
    "ag_news": Set(
        "AG News",
        Texts(kind="texts", train="ag_news/train.parquet", test="ag_news/test.parquet",
              hub="fancyzhx/ag_news", revision="eb185aade064a813bc0b7f42de02595523103ca4"),
        "train; test", 4, 120_000, 7600, "ag_news", f"{_HUB}/fancyzhx/ag_news",
        licence="non-commercial"),
}
# fmt: on
"""Name -> what is known of a data set."""


class Official(Spec):
    """A published data set as its authors publish it (``kind: official``): ``name`` says which.

    What is missing is downloaded, once, into ``path``: a folder, for None the set's name; relative
    paths start at ``HASTE_DATA``. It is torchvision's ``root`` for what torchvision has too.
    """

    kind: Literal["official"]
    name: str
    path: str | None = None

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in SETS:
            raise ValueError(f"unknown data set; choose one of: {', '.join(SETS)}")
        return name

    @property
    def root(self) -> Path:
        """The folder that it lies in, or will."""
        return data_folder() / Path(self.path or self.name).expanduser()

    def load(self, store: Store) -> Splits:
        """The splits, with ``image`` and ``label`` (of scenes ``mask`` too), or with ``text``."""
        of = SETS[self.name]
        if isinstance(of.read, Published):
            if self.path is not None:
                raise ValueError(f"{of.title} lies at {of.read.train}, or on the hub: say no path")
            return of.read.load(store)
        of.obtain(root := self.root)
        if not root.is_dir():
            raise of.lacks("there is no such folder", root)
        try:
            if isinstance(of.read, Scenes):
                pairs = {split: of.read.pairs(root, split) for split in SPLITS}
            else:
                found = of.read(root)
        except (OSError, LookupError, RuntimeError, ValueError) as error:
            said = error.args[0] if isinstance(error, LookupError) else error
            made = " and ".join(path for file in of.files for path in file.makes)
            remedy = f"delete {made} there, and try again" if made else f"get it from {of.page}"
            raise MissingDataError(
                f"{of.title}: what lies in {root} is damaged or half unpacked ({said}); {remedy}"
            ) from error
        if isinstance(of.read, Scenes):
            how = of.read.names, of.read.decode, store, self.name
            found = {split: decoded(pairs[split], *how, split) for split in SPLITS}
        count, classes = sum(map(len, found.values())), len(class_names(found["train"]))
        if of.train and (count, classes) != (whole := of.train + (of.test or 0), of.classes):
            warnings.warn(
                f"{of.title}: {count:,} samples of {classes} classes in {root}, where "
                f"{whole:,} of {of.classes} are published",
                stacklevel=3,
            )
        return found

    def __str__(self) -> str:
        return SETS[self.name].title
