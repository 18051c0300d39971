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
_SYSTEM_FILES = {".DS_Store", "Thumbs.db", "desktop.ini"}


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
        folders = _split_folders(root) or {"train": root}
        splits: Splits = {name: image_folder(folders[name]) for name in SPLITS if name in folders}
        classes = [{*class_names(data)} for data in splits.values()]
        if different := classes[0] ^ classes[-1]:
            raise ValueError(f"{root}: train and test differ in the classes {sorted(different)}")
        return splits


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
    root = Path(path).expanduser()
    root = _split_folders(root).get("train", root)
    formats = Image.registered_extensions()
    readable = {suffix for suffix, kind in formats.items() if kind in Image.OPEN.keys() - _STUBS}
    base, seen, omitted = os.path.realpath(root), set[str](), Counter[str]()
    images, folders = dict[str, list[Path]](), [root]
    for folder in folders:  # which grows
        if (real := os.path.realpath(folder)) in seen:  # links elsewhere may lead in a loop
            omitted["linked twice"] += 1
            continue
        seen.add(real)
        for entry in sorted(e for e in folder.iterdir() if e.name not in _SYSTEM_FILES):
            class_name = entry.relative_to(root).parts[0]
            if _hidden(entry.name):
                omitted["hidden"] += 1
            elif entry.is_symlink() and Path(os.path.realpath(entry)).is_relative_to(base):
                omitted["linked within the folder"] += 1
            elif entry.is_dir():
                folders.append(entry)
                images.setdefault(class_name, [])
            elif folder == root:
                omitted["beside the class folders"] += 1
            elif (suffix := entry.suffix.lower()) in readable:
                images[class_name].append(entry)
            else:
                omitted[f"*{suffix}" if suffix else "without a suffix"] += 1
    note = ", ".join(f"{count} {reason}" for reason, count in sorted(omitted.items()))
    note = f"; left out: {note}" if note else ""
    if (empty := [name for name, files in images.items() if not files]) or not images:
        what = f"no image in {empty[:10]}" if empty else "there is none"
        raise ValueError(f"{root} should hold one folder of images per class: {what}{note}")
    files = [file for paths in images.values() for file in sorted(paths, key=os.path.split)]
    if note:
        warnings.warn(f"{root}: {len(files)} images taken{note}", stacklevel=2)
    try:
        labels = [label for label, paths in enumerate(images.values()) for _ in paths]
        return table(files, labels, [*images])
    except UnicodeEncodeError as error:
        raise ValueError(f"{root}: a name is not UTF-8 ({error.object!r}); rename it") from error


def _split_folders(root: Path) -> dict[str, Path]:
    """The folders of the train and the test split, in any case; none where there are no splits."""
    if not root.is_dir():
        layout = "one folder of images per class (or train/ and test/ with such folders)"
        raise MissingDataError(f"no folder {root.absolute()}. It should hold {layout}.")
    folders = [d for d in root.iterdir() if d.is_dir() and not _hidden(d.name)]
    splits = {d.name.casefold(): d for d in folders if d.name.casefold() in SPLITS}
    if splits and (len(splits) < 2 or len(folders) > 2):
        expected = "one folder per class, or exactly train and test; rename or move the others"
        raise ValueError(f"{root}: expected {expected} of {sorted(d.name for d in folders)[:10]}")
    return splits


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
