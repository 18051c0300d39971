"""The official data sets: how they are obtained, and read as they lie on disk.

:data:`SETS`, the one table of them, is ``official.yaml``. Where the labels of a test split are not
public the test split here is the public ``val``.
"""

import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import datasets
import numpy as np
import torch
import torchvision.datasets as tv
import yaml
from filelock import FileLock
from PIL import Image
from pydantic import Field, field_validator
from scipy.io import loadmat
from tqdm import tqdm

from hastelib import code
from hastelib.data.base import SPLITS, MissingDataError, Spec, Split, Splits, Strict, data_folder
from hastelib.data.images import encoded, table
from hastelib.data.published import Parquet, Published, Texts
from hastelib.data.scenes import IGNORE, present
from hastelib.download import DownloadError, fetch, unpack
from hastelib.store import Kept, Store, key

Found = tuple[list[str], dict[Split, list[tuple[Any, Any]]]]
"""The classes' names; the image files of each split, with their labels or their mask files."""


class OfficialFile(Strict):
    """A file of a data set, and what it becomes in the set's folder.

    ``makes`` has the paths that are there once it is unpacked, each put there in one step, and
    where they come from in the archive ("" for all of it); none where it is no archive. Without
    ``url`` it needs a login, or has no checksum.
    """

    name: str
    makes: dict[str, str] = Field(default={})
    url: str | None = None
    size: int | None = None
    checksum: str | None = None

    def missing(self, root: Path) -> str:
        """The first path that is not there; "" where all are."""
        return next((path for path in self.makes or [self.name] if not (root / path).exists()), "")

    def bring(self, root: Path) -> None:
        """Download it where it is not there yet, and unpack it."""
        path = fetch(self.url or self.name, root / self.name, self.checksum, self.size)
        if not self.makes:
            return
        shutil.rmtree(unpacked := root / ".unpacking", ignore_errors=True)  # of a killed process
        try:
            unpack(path, unpacked)
            for target, source in self.makes.items():
                if not (root / target).exists():
                    if not (unpacked / source).exists():
                        raise DownloadError(f"{path} holds no {source}; delete it, and try again")
                    (root / target).parent.mkdir(parents=True, exist_ok=True)
                    (unpacked / source).rename(root / target)
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)


class MaskLayout(Strict):
    """How scenes lie on disk, and what a mask file says.

    ``images`` and ``masks`` are patterns: NAME is what an image and its mask have in common,
    folders included; SPLIT stands for one of ``splits`` (of train, of test). ``names`` is a file
    that lists a split's; without it they are all that match. ``values`` has for each class a
    number, or colours as in ``00ff80``; a pixel of any other has none. With ``above`` a channel
    counts as 0 or, above it, as 255; ``stretched`` masks of another size take that of their image.
    """

    values: dict[str, int | str]
    images: str
    masks: str
    splits: tuple[str, str] = ("train", "val")
    names: str = ""
    above: int | None = None
    stretched: bool = False

    def decode(self, file: Image.Image) -> np.ndarray:
        """(h, w) bytes: the index of each pixel's class."""
        colours = str in map(type, self.values.values())
        pixels = np.asarray(file.convert("RGB") if colours else file, np.int64)
        if pixels.ndim != 2 + colours:
            raise ValueError(f"expected one channel, got shape {pixels.shape}")
        if self.above is not None:
            pixels = np.where(pixels > self.above, 255, 0)
        classes = np.full(1 << 24, IGNORE, np.uint8)
        for index, value in enumerate(self.values.values()):
            codes = [int(c, 16) for c in value.split()] if isinstance(value, str) else value
            classes[codes] = index
        return classes[pixels @ np.array([1 << 16, 1 << 8, 1]) if colours else pixels]

    def pairs(self, root: Path, split: Split) -> list[tuple[Path, Path]]:
        """The images and masks of a split, whether they are there or not."""
        images, masks, names_file = (
            pattern.replace("SPLIT", self.splits[SPLITS.index(split)])
            for pattern in (self.images, self.masks, self.names)
        )
        matches = {pattern: _matches(root, pattern) for pattern in (images, masks)}
        names = sorted({*matches[images], *matches[masks]})
        if names_file:
            names = (root / names_file).read_text("utf-8").split()
        elif "SPLIT" not in self.images:
            names = _of_camvid(names, split)
        paths = (
            [files.get(name, root / pattern.replace("NAME", name)) for name in names]
            for pattern, files in matches.items()
        )
        return sorted(zip(*paths, strict=True))


def _matches(root: Path, pattern: str) -> dict[str, Path]:
    """NAME -> the file of the pattern."""
    start, end = pattern.split("NAME")
    base, suffix = root / start.partition("*")[0], end.partition("*")[0]
    paths = root.glob(f"{start}*{end}")
    return {path.relative_to(base).as_posix().rpartition(suffix)[0]: path for path in paths}


def _of_camvid(names: list[str], split: Split) -> list[str]:
    """CamVid's usual splits, which no file lists."""
    dusk = [name for name in names if name.startswith("0001TP_")]
    test = {*dusk[len(dusk) // 2 :], *(name for name in names if name.startswith("Seq05VD_"))}
    validation = {f"0016E5_{number:05}" for number in range(7959, 8160)}
    return sorted(test if split == "test" else {*names} - test - validation)


def _decoded(
    layout: MaskLayout, pairs: Sequence[tuple[Path, Path]], store: Store, name: str
) -> datasets.Dataset:
    """The split of these images and mask files, decoded once, as it may take minutes."""

    def make() -> Kept:
        files, classes = {}, []
        for row, (image, path) in enumerate(tqdm(pairs, f"decoding masks of {name}", leave=False)):
            try:
                with Image.open(path) as file, Image.open(image) as picture:
                    if file.size != picture.size and not layout.stretched:
                        raise ValueError(f"size {file.size}, its image {image} {picture.size}")
                    mask = layout.decode(file.resize(picture.size, Image.Resampling.NEAREST))
            except (OSError, SyntaxError, ValueError) as error:
                raise ValueError(f"cannot read {path} ({error}); fetch the set again") from error
            files[str(row)] = torch.frombuffer(bytearray(encoded(mask, "PNG")), dtype=torch.uint8)
            classes.append(present(mask))
        return files, {"present": classes}

    states = [(str(path), path.stat()) for _, path in pairs]
    masks = [[path, state.st_size, state.st_mtime_ns] for path, state in states]
    files, notes = store.get("masks", key(masks=masks, code=code.of(layout.decode)), make)
    contents = [files[str(row)].numpy().tobytes() for row in range(len(pairs))]
    return table([image for image, _ in pairs], notes["present"], [*layout.values], contents)


# --- images --------------------------------------------------------------------------------------


def _in_folders(base: Path, files: Mapping[Split, Sequence[str]], separator: str) -> Found:
    """Files in class folders, whose names are a number, the separator and the class."""
    folders = sorted({file.partition("/")[0] for paths in files.values() for file in paths})
    names = [folder.partition(separator)[2].replace("_", " ") for folder in folders]
    return names, {
        split: [(base / file, folders.index(file.partition("/")[0])) for file in paths]
        for split, paths in files.items()
    }


def _cub200_2011(root: Path) -> Found:
    base = root / "CUB_200_2011"
    files, is_train = (
        dict(line.split() for line in (base / f"{name}.txt").read_text("utf-8").splitlines())
        for name in ("images", "train_test_split")
    )
    by_flag = {flag: [file for i, file in files.items() if is_train[i] == flag] for flag in "10"}
    return _in_folders(base / "images", {"train": by_flag["1"], "test": by_flag["0"]}, ".")


def _cub200_2010(root: Path) -> Found:
    files = {split: (root / f"lists/{split}.txt").read_text("utf-8").split() for split in SPLITS}
    return _in_folders(root / "images", files, ".")


def _stanford_dogs(root: Path) -> Found:
    lists = {s: loadmat(root / f"{s}_list.mat", squeeze_me=True)["file_list"] for s in SPLITS}
    return _in_folders(root / "Images", {s: lists[s].tolist() for s in SPLITS}, "-")


def _flowers102(root: Path) -> Found:
    parts = (tv.Flowers102(root, split) for split in ("train", "val", "test"))
    train, val, test = ([*zip(part._image_files, part._labels, strict=True)] for part in parts)
    return tv.Flowers102.classes, {"train": train + val, "test": test}


def _oxford_pets(root: Path) -> Found:
    parts = [tv.OxfordIIITPet(root, split) for split in ("trainval", "test")]
    train, test = ([*zip(part._images, part._labels, strict=True)] for part in parts)
    return parts[0].classes, {"train": train, "test": test}


def _caltech101(root: Path) -> Found:
    dataset = tv.Caltech101(root)
    base, names = root / "caltech101/101_ObjectCategories", dataset.categories
    samples = zip(dataset.index, dataset.y, strict=True)
    return names, {"train": [(base / names[y] / f"image_{i:04}.jpg", y) for i, y in samples]}


def _imagenette(root: Path) -> Found:
    train, test = (tv.Imagenette(root, split) for split in ("train", "val"))
    return [name for name, *_ in train.classes], {"train": train._samples, "test": test._samples}


def _imagenet(root: Path) -> Found:
    dataset = tv.ImageFolder(root / "train")
    return dataset.classes, {"train": dataset.samples}


READERS: dict[str, Callable[[Path], Found]] = {
    "cub200_2011": _cub200_2011,
    "cub200_2010": _cub200_2010,
    "stanford_dogs": _stanford_dogs,
    "flowers102": _flowers102,
    "oxford_pets": _oxford_pets,
    "caltech101": _caltech101,
    "imagenette": _imagenette,
    "imagenet": _imagenet,
}


# --- the table -----------------------------------------------------------------------------------


class OfficialSet(Strict):
    """A row of the table; ``read`` is one of :data:`READERS`, or says how the set lies on disk.

    ``train`` and ``test`` count the samples, None where its parts are published one by one.
    """

    title: str
    read: str | MaskLayout | Parquet | Texts
    split: str
    classes: int
    train: int | None = None
    test: int | None = None
    cite: str
    page: str
    files: tuple[OfficialFile, ...] = ()
    licence: str = "none found"
    note: str = ""

    @field_validator("read")
    @classmethod
    def _reader(cls, read: Any) -> Any:
        if isinstance(read, str) and read not in READERS:
            raise ValueError(f"no reader of that name; choose one of: {', '.join(READERS)}")
        return read

    def obtain(self, root: Path) -> None:
        """Download and unpack what is not there; ``MissingDataError`` where that cannot be done."""
        wanted = [file for file in self.files if file.missing(root)]
        absent = [f.missing(root) for f in wanted if not (f.url or (root / f.name).is_file())]
        if not (self.files or root.is_dir()):
            absent = ["such folder"]
        if absent:
            files = [f.name + (f" ({f.size:,} bytes)" if f.size else "") for f in self.files]
            needed = " and ".join(files) or f"what it consists of ({self.note})"
            raise MissingDataError(
                f"{self.title}: there is no {absent[0]}, looked for in {root}; get "
                f"{needed} from {self.page} and put it there, or set HASTE_DATA to the folder that "
                f"holds {root.name}"
            )
        if not wanted:
            return
        try:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / ".lock"):
                for file in wanted:
                    if file.missing(root):  # else another process had it first
                        file.bring(root)
        except OSError as error:
            message = f"{self.title} is not in {root}, and {error} (page: {self.page})"
            raise MissingDataError(message) from error

    def found(self, root: Path) -> Found:
        """The names of the classes and the rows, whose files are all there, as they lie there."""
        if isinstance(self.read, MaskLayout):
            names = [*self.read.values]
            rows = {split: self.read.pairs(root, split) for split in SPLITS}
        else:
            names, rows = READERS[str(self.read)](root)
        for split, pairs in rows.items():
            if not pairs:
                raise LookupError(f"the {split} split has no images")
            for column, files in zip(("images", "masks"), zip(*pairs, strict=True), strict=True):
                if absent := [x for x in files if not (isinstance(x, int) or Path(x).is_file())]:
                    part = f"{len(absent)} of {len(pairs)} {column} of the {split} split"
                    raise LookupError(f"{part} are missing, the first is {absent[0]}")
        return names, rows


_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
SETS = {name: OfficialSet.model_validate(values) for name, values in _TABLE.items()}
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
        entry, root = SETS[self.name], self.root
        if isinstance(entry.read, Published):
            if self.path is not None:
                raise ValueError(f"{self} lies at {entry.read.train}, or on the hub: say no path")
            splits = entry.read.load(store)
            return self._counted(splits, splits["train"].features["label"].names, entry.read.train)
        entry.obtain(root)
        try:
            names, rows = entry.found(root)
        except (OSError, LookupError, RuntimeError, ValueError) as error:
            made = " and ".join(path for file in entry.files for path in file.makes)
            remedy = f"delete {made} there, and try again" if made else f"get it from {entry.page}"
            raise MissingDataError(
                f"{self}: what lies in {root} is damaged or half unpacked ({error}); {remedy}"
            ) from error
        splits = {}
        for split, pairs in rows.items():
            if isinstance(entry.read, MaskLayout):
                splits[split] = _decoded(entry.read, pairs, store, f"{self.name} {split}")
            else:
                splits[split] = table([x for x, _ in pairs], [y for _, y in pairs], names)
        return self._counted(splits, names, root)

    def _counted(self, splits: Splits, names: list[str], place: str | Path) -> Splits:
        """The splits; warns where they are not all that is published."""
        entry, count = SETS[self.name], sum(map(len, splits.values()))
        published = (entry.train or 0) + (entry.test or 0)
        if published and (count, len(names)) != (published, entry.classes):
            warnings.warn(
                f"{entry.title}: {count:,} samples of {len(names)} classes in {place}, where "
                f"{published:,} of {entry.classes} are published",
                stacklevel=4,
            )
        return splits

    def __str__(self) -> str:
        return SETS[self.name].title
