"""A folder of class folders: every image that Pillow reads, once, and what was left out.

``datasets``' own ``imagefolder`` is not used: it labels an image by the innermost folder, sees
splits in the names of files, and leaves out formats and hidden folders without a word.
"""

import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Literal

import datasets
from PIL import Image

from hastelib.data.base import SPLITS, MissingDataError, Spec, Splits, class_names, data_folder
from hastelib.data.images import table
from hastelib.store import Store

_STUBS = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}  # recognised by Pillow, not read
_SILENT = {".DS_Store", "Thumbs.db", "desktop.ini"}


class Folder(Spec):
    """Your own images (``kind: folder``): ``path`` holds one folder per class, or ``train`` and
    ``test`` with such folders; without, they are split 80/20, stratified, with ``seed``. Relative
    paths start at ``HASTE_DATA``."""

    kind: Literal["folder"]
    path: str
    seed: int = 0

    def __str__(self) -> str:
        return str(data_folder() / Path(self.path).expanduser())

    def load(self, store: Store) -> Splits:
        """The splits, with ``image`` and ``label``."""
        root = Path(str(self))
        halves = _halves(root) or {"train": root}
        found: Splits = {split: image_folder(halves[split]) for split in SPLITS if split in halves}
        names = [{*class_names(data)} for data in found.values()]
        if odd := names[0] ^ names[-1]:
            raise ValueError(f"{root}: train and test differ in the classes {sorted(odd)}")
        return found


def image_folder(path: str | Path) -> datasets.Dataset:
    """The images of a folder of class folders, sorted by class, folder and name.

    A class is a folder in ``path``, with all images in it and in folders within. Of a folder with
    ``train`` and ``test`` folders of class folders the train split is read. Left out are hidden
    files and folders, ``__MACOSX``, what by its name is no image or lies beside the class folders,
    and links to what is read anyway; a ``UserWarning`` counts them by reason.

    Raises:
        MissingDataError: there is no such folder.
        ValueError: it has no class folders, or one has no image.
    """
    root = _halves(root := Path(path).expanduser()).get("train", root)
    known = Image.registered_extensions()
    readable = {end for end, kind in known.items() if kind in Image.OPEN and kind not in _STUBS}
    base, seen, left = os.path.realpath(root), set[str](), Counter[str]()
    taken, folders = dict[str, list[Path]](), [root]
    for folder in folders:  # which grows
        if (real := os.path.realpath(folder)) in seen:  # links elsewhere may lead in a loop
            left["linked twice"] += 1
            continue
        seen.add(real)
        for one in sorted(one for one in folder.iterdir() if one.name not in _SILENT):
            of_class = one.relative_to(root).parts[0]
            if _hidden(one.name):
                left["hidden"] += 1
            elif one.is_symlink() and Path(os.path.realpath(one)).is_relative_to(base):
                left["linked within the folder"] += 1
            elif one.is_dir():
                folders.append(one)
                taken.setdefault(of_class, [])
            elif folder == root:
                left["beside the class folders"] += 1
            elif (suffix := one.suffix.lower()) in readable:
                taken[of_class].append(one)
            else:
                left[f"*{suffix}" if suffix else "without a suffix"] += 1
    said = ", ".join(f"{count} {reason}" for reason, count in sorted(left.items()))
    said = f"; left out: {said}" if said else ""
    if (empty := [name for name, files in taken.items() if not files]) or not taken:
        what = f"no image in {empty[:10]}" if empty else "there is none"
        raise ValueError(f"{root} should hold one folder of images per class: {what}{said}")
    files = [file for some in taken.values() for file in sorted(some, key=os.path.split)]
    if said:
        warnings.warn(f"{root}: {len(files)} images taken{said}", stacklevel=2)
    try:
        labels = [label for label, some in enumerate(taken.values()) for _ in some]
        return table(files, labels, [*taken])
    except UnicodeEncodeError as error:
        raise ValueError(f"{root}: a name is not UTF-8 ({error.object!r}); rename it") from error


def _halves(root: Path) -> dict[str, Path]:
    """The folders of the train and the test split, in any case; none where there are no splits."""
    if not root.is_dir():
        wanted = "one folder of images per class (or train/ and test/ with such folders)"
        raise MissingDataError(f"no folder {root.absolute()}. It should hold {wanted}.")
    inside = [one for one in root.iterdir() if one.is_dir() and not _hidden(one.name)]
    halves = {one.name.casefold(): one for one in inside if one.name.casefold() in SPLITS}
    if halves and (len(halves) < 2 or len(inside) > 2):
        expected = "one folder per class, or exactly train and test; rename or move the others"
        raise ValueError(f"{root}: expected {expected} of {sorted(d.name for d in inside)[:10]}")
    return halves


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
