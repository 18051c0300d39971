"""The content of a split in one hash, whatever its modality."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import datasets


def class_names(split: datasets.Dataset) -> list[str]:
    """The names of the classes; of a split with masks, of all classes that a mask may hold."""
    feature = split.features["label"]
    names: list[str] = getattr(feature, "feature", feature).names
    return names


def fingerprint(split: datasets.Dataset) -> str:
    """Hexadecimal SHA-256 of a split's class names and samples, in their order.

    Of images and masks the encoded files count, of texts their UTF-8, of labels the number.
    """
    total = hashlib.sha256(json.dumps(class_names(split)).encode())
    columns = [name for name in ("image", "mask", "text") if name in split.features]
    pictures = [name for name in columns if name != "text"]
    for name in pictures:
        split = split.cast_column(name, datasets.Image(decode=False))
    single = isinstance(split.features["label"], datasets.ClassLabel)
    for row in split:
        parts = [hashlib.sha256(_content(row[name])).digest() for name in columns]
        if single:  # of a mask the classes are in it
            parts.append(int(row["label"]).to_bytes(8, "little"))
        total.update(b"".join(parts))
    return total.hexdigest()


def _content(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    data: bytes | None = value["bytes"]
    return data if data is not None else Path(value["path"]).read_bytes()
