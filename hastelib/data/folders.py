"""A folder of class folders: every image that Pillow reads, once, and a word on what was left out.

``datasets``' own ``imagefolder`` is not used: it labels an image by the innermost folder, sees
splits in the names of files, and leaves out formats and hidden folders without a word.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Literal

import datasets
from PIL import Image

from hastelib.data.base import (
    SPLITS,
    MissingDataError,
    Spec,
    class_names,
    data_folder,
    split_of,
)
from hastelib.store import Store

_STUBS = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}  # recognised by Pillow, not read
_SILENT = {".DS_Store", "Thumbs.db", "desktop.ini"}


class Folder(Spec):
    """Your own images: a folder of class folders (``kind: folder``).

    ``path`` holds one folder per class, or a ``train`` and a ``test`` folder of such folders;
    relative paths start at ``HASTE_DATA``. Without ``test`` the images are split 80/20,
    stratified, with ``seed``.
    """

    kind: Literal["folder"]
    path: str
    seed: int = 0

    def load(self, store: Store) -> datasets.DatasetDict:
        """The splits, with ``image`` and ``label``."""
        root = data_folder() / Path(self.path).expanduser()
        halves = _halves(root)
        if not halves:
            return split_of({"train": image_folder(root)}, self.seed, str(root))
        found = {split: image_folder(halves[split]) for split in SPLITS}
        if odd := set(class_names(found["train"])) ^ set(class_names(found["test"])):
            raise ValueError(f"{root}: train and test differ in the classes {sorted(odd)}")
        return split_of(found, self.seed, str(root))


def image_folder(path: str | Path) -> datasets.Dataset:
    """The images of a folder of class folders, sorted by class, folder and name.

    A class is a folder in ``path``, with all images in it and in folders within. Of a folder with
    ``train`` and ``test`` folders of class folders the train split is read. Left out are hidden
    files and folders, ``__MACOSX``, what Pillow does not read, and links to what is read anyway.

    Returns:
        Columns ``image`` and ``label``; :func:`hastelib.data.paths` gives the file of each row.

    Raises:
        MissingDataError: there is no such folder.
        ValueError: it has no class folders, or one has no image.

    Warns:
        UserWarning: how many files were taken, and how many left out, by reason.
    """
    root = Path(path).expanduser()
    if halves := _halves(root):
        root = halves["train"]
    left = Counter[str]()
    taken, seen = dict[str, list[Path]](), set[str]()
    for one in sorted(root.iterdir()):
        if one.name in _SILENT or _out(one, root, left):
            continue
        if one.is_dir():
            taken[one.name] = _files(one, root, left, seen)
        else:
            left["beside the class folders"] += 1
    said = ", ".join(f"{count} {reason}" for reason, count in sorted(left.items()))
    if not taken or not all(taken.values()):
        empty = [name for name, files in taken.items() if not files]
        raise ValueError(
            f"{root} should hold one folder of images per class: "
            + (f"no image in {empty[:10]}" if empty else "there is none")
            + (f" (left out: {said})" if said else "")
        )
    files = [str(file) for some in taken.values() for file in some]
    if said:
        warnings.warn(f"{root}: {len(files)} images taken; left out: {said}", stacklevel=2)
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=[*taken]))
    labels = [label for label, some in enumerate(taken.values()) for _ in some]
    try:
        return datasets.Dataset.from_dict({"image": files, "label": labels}, features=features)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{root}: a file name is not UTF-8 ({error.object!r}); rename it"
        ) from error


def _halves(root: Path) -> dict[str, Path]:
    """The folders of the train and the test split, in any case; none where there are no splits."""
    if not root.is_dir():
        raise MissingDataError(
            f"no folder {root}. It should hold one folder of images per class (or train/ and "
            "test/ with such folders); relative paths start at HASTE_DATA."
        )
    inside = {one.name: one for one in root.iterdir() if one.is_dir() and not _hidden(one.name)}
    halves = {name.casefold(): one for name, one in inside.items() if name.casefold() in SPLITS}
    if halves and (len(halves) < 2 or len(inside) > 2):
        raise ValueError(
            f"{root} holds {sorted(inside)[:10]}: expected one folder per class, or exactly train "
            "and test; rename or move the others"
        )
    return halves


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _out(path: Path, root: Path, left: Counter[str]) -> bool:
    """Whether a file or folder is left out unseen; it is counted then."""
    real = Path(os.path.realpath(path)) if path.is_symlink() else None
    if _hidden(path.name):
        left["hidden"] += 1
    elif real and real.is_relative_to(os.path.realpath(root)):
        left["linked within the folder"] += 1
    else:
        return False
    return True


def _files(folder: Path, root: Path, left: Counter[str], seen: set[str]) -> list[Path]:
    """The images in a class folder; what is left out is counted by reason.

    ``seen`` are the folders that were read, so that a loop of links elsewhere ends.
    """
    known = Image.registered_extensions()
    readable = {end for end, kind in known.items() if kind in Image.OPEN and kind not in _STUBS}
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            left["linked twice"] += 1
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not _out(Path(place, name), root, left)]
        for path in (Path(place, name) for name in names if name not in _SILENT):
            suffix = path.suffix.lower()
            if not _out(path, root, left):
                if suffix in readable:
                    found.append(path)
                else:
                    left[f"*{suffix}" if suffix else "without a suffix"] += 1
    return sorted(found, key=lambda path: (str(path.parent), path.name))
