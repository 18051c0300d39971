"""Small made-up copies of the official data sets: class names real, files as they are published.

In a test, the fixture ``official`` (``conftest.py``) is a :class:`Copies`: ``official.add(name)``
makes a copy, serves its archives over loopback HTTP, and points the table of official sets at it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import Flowers102

from hastelib.data.official import SETS
from hastelib.data.published import Published

NAMES = {
    of: names.split()
    for of, names in {
        "birds": "001.Black_footed_Albatross 002.Laysan_Albatross 003.Sooty_Albatross "
        "004.Groove_billed_Ani 005.Crested_Auklet 006.Least_Auklet 007.Parakeet_Auklet",
        "dogs": "n02085620-Chihuahua n02085782-Japanese_spaniel n02085936-Maltese_dog "
        "n02086079-Pekinese n02086240-Shih-Tzu n02086646-Blenheim_spaniel n02086910-papillon",
        "pets": "Abyssinian american_bulldog american_pit_bull_terrier basset_hound beagle Bengal",
        "objects": "BACKGROUND_Google Faces Faces_easy Leopards Motorbikes accordion airplanes ant",
        "wordnet": "n01440764 n02102040 n02979186 n03000684 n03028079 n03394916 n03417042 "
        "n03425413 n03445777 n03888257",
        "sketches": "dog elephant giraffe guitar horse house person",
        "flowers": " ".join(map(str, range(102))),
        "tweet_eval/emotion": "anger joy optimism sadness",
        "imdb": "neg pos",
        "emotion": "sadness joy love anger fear surprise",
        "ag_news": "World Sports Business Sci/Tech",
    }.items()
}
IMAGES = {
    "cub200_2011": ("birds", "CUB_200_2011.tgz/CUB_200_2011/images/{name}/{name}_{i}.jpg"),
    "cub200_2010": ("birds", "images.tgz/images/{name}/{name}_{i}.jpg"),
    "stanford_dogs": ("dogs", "images.tar/Images/{name}/{name}_{i}.jpg"),
    "flowers102": ("flowers", "102flowers.tgz/jpg/image_{count:05}.jpg"),
    "oxford_pets": ("pets", "images.tar.gz/images/{name}_{i}.jpg"),
    "caltech101": (
        "objects",
        "caltech-101.zip/caltech-101/101_ObjectCategories.tar.gz/101_ObjectCategories/{name}/"
        "image_{next:04}.jpg",
    ),
    "imagenette": ("wordnet", "imagenette2.tgz/imagenette2/{split}/{name}/{i}.JPEG"),
    "imagenet": ("wordnet", "ILSVRC2012_img_train.tar/{name}.tar/{name}_{i}.JPEG"),
}
"""Name of a set -> its classes, and where an image lies; an archive is a folder."""
_VOC = "VOCtrainval_11-May-2012.tar/VOCdevkit/VOC2012"
SCENES: dict[str, tuple[str, str, tuple[Any, Any, Any]]] = {
    "voc2012": (
        f"{_VOC}/JPEGImages/{{split}}_{{name}}.jpg",
        f"{_VOC}/SegmentationClass/{{split}}_{{name}}.png",
        (0, 1, 255),
    ),
    "cityscapes": (
        "leftImg8bit_trainvaltest.zip/leftImg8bit/{split}/ulm/{name}_leftImg8bit.png",
        "gtFine_trainvaltest.zip/gtFine/{split}/ulm/{name}_gtFine_labelIds.png",
        (7, 8, 4),  # road, sidewalk, static
    ),
    "camvid": (
        "701_StillsRaw_full.zip/701_StillsRaw_full/{name}.png",
        "LabeledApproved_full.zip/{name}_L.png",
        ((128, 128, 128), (192, 0, 128), (0, 0, 0)),  # sky, archway, void
    ),
    "bdd100k": (
        "bdd100k_images_10k.zip/bdd100k/images/10k/{split}/{name}.jpg",
        "bdd100k_sem_seg_labels_trainval.zip/bdd100k/labels/sem_seg/masks/{split}/{name}.png",
        (0, 1, 255),
    ),
    "idd": (
        "leftImg8bit/{split}/201/{name}_leftImg8bit.{end}",
        "gtFine/{split}/201/{name}_gtFine_labellevel3Ids.png",
        (0, 1, 254),
    ),
    "suim": (
        "{split}/images/{name}.jpg",
        "{split}/masks/{name}.bmp",
        ((3, 0, 2), (255, 250, 255), (255, 255, 0)),  # water, sea-floor, fish
    ),
}
"""Name of a set -> where an image and its mask lie, and the bands of the mask."""
SHAPE = (48, 64)
"""Height and width of a scene."""

Files = dict[str, Any]
"""By path: pixels, lines, a table of MATLAB or of Parquet."""
Counts = tuple[int, int, int | None]
"""Of the classes, of train and of test samples."""


def picture(label: int, number: int, shape: tuple[int, int] = (48, 40)) -> np.ndarray:
    """A photograph of its class's colour and pattern, with noise."""
    random, (high, wide) = np.random.default_rng((label, number)), shape
    wave = np.arange(high)[:, None] * (label % 7 + 1) / 7 + np.arange(wide) * (label % 5) / 5
    colour = np.random.default_rng(label).uniform(40, 215, 3)
    pixels = colour + 30 * np.sin(wave)[..., None] + random.normal(0, 20, (*shape, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def bands(*values: Any) -> np.ndarray:
    """A mask of three bands, each of one value (a number or a colour)."""
    rows = SHAPE[0] // len(values)
    return np.concatenate([np.full((rows, SHAPE[1], *np.shape(v)), v, np.uint8) for v in values])


def _images(name: str, each: int) -> tuple[Files, Counts]:
    names, path = NAMES[IMAGES[name][0]], IMAGES[name][1]
    each = max(each, 3) if name == "caltech101" else each  # to be split 80/20
    made: Files = {}
    rows: dict[str, list[tuple[str, int]]] = {"train": [], "val": []}
    if name == "imagenet":
        del rows["val"]
    for half, (split, some) in enumerate(rows.items()):
        for label, of in enumerate(names):
            for i in range(half * each, (half + 1) * each):
                told = {"name": of, "i": i, "next": i + 1, "count": len(made) + 1, "split": split}
                made[path.format(**told)] = picture(label, i)
                some.append((path.format(**told), label))
    count = len(names) * each
    if name == "caltech101":
        made["caltech-101.zip/caltech-101/show_annotation.m"] = ["% shows an annotation"]
        hidden = "__MACOSX/caltech-101/._101_ObjectCategories.tar.gz"
        made[f"caltech-101.zip/{hidden}"] = ["no archive"]
        return made, _fifth(len(names) - 1, 2 * each)
    return made | _lists(name, rows), (len(names), count, None if name == "imagenet" else count)


def _lists(name: str, rows: dict[str, list[tuple[str, int]]]) -> Files:
    """What says which image is of which split, or class."""
    train, test = (
        [re.split("/images/|/Images/", path)[-1] for path, _ in rows.get(split, ())]
        for split in ("train", "val")
    )
    if name == "cub200_2011":
        half = [1] * len(train) + [0] * len(test)
        lists: Files = {"images": train + test, "train_test_split": half}
        return {
            f"CUB_200_2011.tgz/CUB_200_2011/{of}.txt": [f"{i} {x}" for i, x in enumerate(some, 1)]
            for of, some in lists.items()
        } | {"CUB_200_2011.tgz/attributes.txt": ["1 has_bill_shape::curved_(up_or_down)"]}
    if name == "cub200_2010":
        lists = {"lists/train.txt": train, "lists/test.txt": test}
        hidden = {"images.tgz/images/._001.Black_footed_Albatross": ["not a folder"]}
        return {f"lists.tgz/{file}": some for file, some in lists.items()} | hidden
    if name == "stanford_dogs":
        lists = {"train": train, "test": test, "file": ["all"]}
        tables = {of: {"file_list": np.array(some, object)[:, None]} for of, some in lists.items()}
        return {f"lists.tar/{of}_list.mat": table for of, table in tables.items()}
    if name == "oxford_pets":
        return {
            f"annotations.tar.gz/annotations/{of}.txt": [
                f"{Path(path).stem} {label + 1} 1 1" for path, label in some
            ]
            for of, some in zip(("trainval", "test"), rows.values(), strict=True)
        }
    if name == "flowers102":
        labels = np.array([[label + 1 for some in rows.values() for _, label in some]])
        ids = np.split(np.arange(1, labels.size + 1)[None], 2, axis=1)
        parts = {"trnid": ids[0][:, ::2], "valid": ids[0][:, 1::2], "tstid": ids[1]}
        return {"imagelabels.mat": {"labels": labels}, "setid.mat": parts}
    return {}


def _fifth(classes: int, each: int) -> Counts:
    """Where so many samples a class are split 80/20."""
    test = -(-classes * each // 5)
    return classes, classes * each - test, test


def _scenes(name: str, each: int) -> tuple[Files, Counts]:
    (image, mask, values), made, classes = SCENES[name], Files(), SETS[name].classes
    splits = ("train_val", "TEST") if name == "suim" else ("train", "val")
    names, counts = [f"a_{i}" for i in range(each)], (classes, each, each)
    if name == "camvid":  # both splits in one folder
        names = [f"0001TP_{6690 + 30 * number:06}" for number in range(2 * each)]
        names += ["0006R0_f00930", "0016E5_00390", "0016E5_07959", "Seq05VD_f00000"]
        counts = classes, each + 2, each + 1
    for split, end in zip(splits, ("png", "jpg"), strict=True):
        for number, of in enumerate(names):
            told = {"split": split, "end": end, "name": of}
            made[image.format(**told)] = picture(3, number, SHAPE)
            made[mask.format(**told)] = drawn = Image.fromarray(bands(*values))
            if name == "voc2012":
                drawn.putpalette([*range(256)] * 3)
            if name == "suim":  # some are of another size than their image
                made[mask.format(**told)] = drawn.resize((SHAPE[1], 2 * SHAPE[0]), 0)
        if name == "voc2012":
            made[f"{_VOC}/ImageSets/Segmentation/{split}.txt"] = [f"{split}_{of}" for of in names]
    return made, counts


def _hub(name: str, each: int) -> tuple[Files, Counts]:
    if name == "pacs_sketch":
        names, each = NAMES["sketches"], max(2 * each, 5)
        photos = [Image.fromarray(picture(y, i)) for y in range(len(names)) for i in range(each)]
        content: Files = {"image": photos, "domain": ["sketch"] * len(photos)}
        return {"pacs/sketch.parquet": _table(names, each, content)}, _fifth(len(names), each)
    place = "tweet_eval/emotion" if name == "tweet_eval" else name
    names, made = NAMES[place], Files()
    for split in ("train", "test"):
        texts = [f"{split} text {i} of much {of}" for of in names for i in range(each)]
        made[f"{place}/{split}.parquet"] = _table(names, each, {"text": texts})
    return made, (len(names), len(names) * each, len(names) * each)


def _table(names: list[str], each: int, columns: Files) -> datasets.Dataset:
    labels = [label for label in range(len(names)) for _ in range(each)]
    table = datasets.Dataset.from_dict(columns | {"label": labels})
    return table.cast_column("label", datasets.ClassLabel(names=names))


def write(folder: Path, files: Files) -> None:
    """The files, each by its kind; then folders that are named as archives are packed."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, datasets.Dataset):
            content.to_parquet(path)
        elif isinstance(content, dict):
            savemat(path, content)
        elif isinstance(content, list):
            path.write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
        else:
            image = content if isinstance(content, Image.Image) else Image.fromarray(content)
            image.save(path)
    kinds = {".tar": "tar", ".gz": "gztar", ".tgz": "gztar", ".zip": "zip"}
    for place in sorted(folder.rglob("*"), reverse=True):  # the inner ones first
        if place.is_dir() and place.suffix in kinds:
            packed = shutil.make_archive(f"{place}.packed", kinds[place.suffix], place)
            shutil.rmtree(place)
            Path(packed).rename(place)


# --- serving -------------------------------------------------------------------------------------


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the files of a folder, whole or from a place on."""

    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append((self.path, asked))
        self.directory = str(self.server.folder)
        file = Path(self.translate_path(self.path))
        content = file.read_bytes() if file.is_file() else b""
        start = int(re.findall(r"\d+", asked)[0]) if asked and self.server.ranges else 0
        if start >= len(content):
            self.send_error(416 if content else 404)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Type", self.guess_type(file))
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        self.wfile.write(rest[: len(rest) // 2] if self.server.cut else rest)

    def log_message(self, *_: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """What it was ``asked`` for; where ``cut`` it stops half-way; ``ranges``: from a place on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.cut, self.ranges = folder, False, True
        self.asked: list[tuple[str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """The files of a folder, over loopback HTTP."""
    with Server(folder) as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.02))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Copies:
    """Copies of official sets, served from ``served``; what is unpacked goes to ``data``."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, server: Server) -> None:
        self.served, self.data, self.server, self.patch = server.folder, folder, server, patch
        patch.setenv("HASTE_DATA", str(folder))

    def add(self, name: str, images_per_class: int = 3) -> Path:
        """Make a copy of a set, as many samples a class and split; its files' folder."""
        of = SETS[name]
        folder = (self.served if any(file.url for file in of.files) else self.data) / name
        if isinstance(of.read, Published):
            folder = self.data
        make = _images if name in IMAGES else _scenes if name in SCENES else _hub
        files, (classes, train, test) = make(name, images_per_class)
        write(folder, files)
        counts = {"classes": classes, "train": train, "test": test}
        self.patch.setitem(SETS, name, of.model_copy(update=counts))
        self.point(name)
        return folder

    def point(self, name: str) -> None:
        """Point the table at the files as they are now."""
        of, files = SETS[name], []
        for file in of.files:
            short = Path(file.name).name
            content = ((self.served if file.url else self.data) / name / short).read_bytes()
            md5 = hashlib.md5(content).hexdigest()
            url = f"{self.server.url}/{name}/{short}" if file.url else None
            told = {"url": url, "size": len(content), "checksum": f"md5:{md5}"}
            files.append(file.model_copy(update=told))
            for key, (file_name, _) in [*Flowers102._file_dict.items()]:  # checked once more
                if file_name == short:
                    self.patch.setitem(Flowers102._file_dict, key, (short, md5))
        self.patch.setitem(SETS, name, of.model_copy(update={"files": tuple(files)}))
