"""Characters drawn with the fonts that matplotlib ships.

Every drawing varies in font, size, position, rotation, stroke, contrast and clutter, each by its
own amount, so that some are clearly hard. Ink is dark on light, as on paper.
"""

import functools
import re
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import torch
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont
from pydantic import Field
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from hastelib import code
from hastelib.data.base import SPLITS, Spec, Split, Splits
from hastelib.data.images import table
from hastelib.data.scenes import present
from hastelib.store import Kept, Store, key

SIDE = 32
SCALE = 2  # drawn at twice the size, then reduced: smooth edges at any angle


class Counted(Spec):
    """What is made from a ``seed``; ``train`` and ``test`` count samples of each class.

    Every (class, split) has its own random stream, so more of one changes no other.
    """

    train: int = Field(gt=0)
    test: int = Field(gt=0)
    seed: int = 0


class Drawn(Counted):
    """What is drawn once and then kept in the store."""

    def drawn(self, split: Split) -> Kept:
        """The ``images`` of a split, (n, h, w) or (n, h, w, 3) bytes, their ``labels``, (n,) or as
        masks (n, h, w), and the ``names`` of the classes."""
        raise NotImplementedError

    def load(self, store: Store) -> Splits:
        """The splits, drawn anew where specification, code or the packages it uses are others."""
        splits: Splits = {}
        for split in SPLITS:
            entry = key(spec=self.model_dump(), split=split, code=code.of(type(self).drawn))
            arrays, notes = store.get("drawings", entry, functools.partial(self.drawn, split))
            images, labels = arrays["images"].numpy(), arrays["labels"].numpy()
            masks = labels if labels.ndim > 1 else None
            classes = labels.tolist() if masks is None else map(present, masks)
            splits[split] = table(images, classes, notes["names"], masks)
        return splits


class Glyphs(Drawn):
    """Characters drawn with the fonts that matplotlib ships (``kind: glyphs``).

    ``characters`` is a string of characters or of ranges such as ``α-ω``.
    """

    kind: Literal["glyphs"]
    characters: str
    style: Literal["plain", "outline"] = "plain"

    def drawn(self, split: Split) -> Kept:
        """(n, 32, 32) bytes, (n,) labels, the characters."""
        names, count, images = characters(self.characters), getattr(self, split), []
        for character in names:
            stream = [self.seed, ord(character), split == "test", self.style == "outline"]
            random = np.random.default_rng(stream)
            images += [draw(character, self.style, random) for _ in range(count)]
        labels = torch.arange(len(names)).repeat_interleave(count)
        return {"images": torch.from_numpy(np.stack(images)), "labels": labels}, {"names": names}


class Digits(Drawn):
    """scikit-learn's handwritten digits, 8 x 8 scans enlarged to 32 x 32 (``kind: digits``)."""

    kind: Literal["digits"]

    def drawn(self, split: Split) -> Kept:
        """(n, 32, 32) bytes, (n,) labels, the digits."""
        scans, labels = load_digits(return_X_y=True)
        size = {"train_size": 10 * self.train, "test_size": 10 * self.test}
        rows = train_test_split(range(len(labels)), stratify=labels, random_state=self.seed, **size)
        chosen = np.sort(rows[SPLITS.index(split)])
        grey = (255 - scans.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)[chosen]
        images = [np.asarray(Image.fromarray(scan).resize((SIDE, SIDE))) for scan in grey]
        arrays = {"images": np.stack(images), "labels": labels[chosen]}
        return {name: torch.from_numpy(x) for name, x in arrays.items()}, {"names": [*"0123456789"]}


@functools.cache
def fonts() -> dict[Path, frozenset[int]]:
    """The text fonts that matplotlib ships, and the code points each of them draws."""
    files = sorted(Path(matplotlib.get_data_path()).glob("fonts/ttf/*.ttf"))
    text = [f for f in files if re.match("(DejaVuSans|DejaVuSerif|STIXGeneral)(?!Display)", f.stem)]
    return {file: frozenset(FT2Font(str(file)).get_charmap()) for file in text}


@functools.cache
def characters(text: str) -> list[str]:
    """The characters of ``αβγ`` as it stands, of ``α-ω`` those in the range that can be drawn.

    Raises:
        ValueError: a character that no font draws, or one named twice.
    """
    drawable = frozenset[int]().union(*fonts().values())
    chars: list[str] = []
    for first, last, single in re.findall("(.)-(.)|(.)", text, re.DOTALL):
        span = [] if single else range(ord(first), ord(last) + 1)
        chars += single or [chr(code) for code in span if code in drawable]
    if (missing := [c for c in chars if ord(c) not in drawable]) or not chars:
        raise ValueError(f"characters {text!r}: no font of matplotlib draws {missing or 'any'}")
    if len(set(chars)) != len(chars):
        raise ValueError(f"characters {text!r}: some are named twice")
    return chars


@functools.lru_cache(maxsize=512)
def font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """A font file at a size in pixels."""
    # The basic layout engine: the same on every machine, whether libraqm is there or not.
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def draw(character: str, style: str, random: np.random.Generator) -> np.ndarray:
    """One drawing of a character: 32 x 32, 8-bit grey.

    ``style`` is ``plain`` (filled) or ``outline`` (only the contour, as in a sketch).
    """
    usable = [path for path, codes in fonts().items() if ord(character) in codes]
    path = usable[random.integers(len(usable))]
    # Beta(1, 2.5): most drawings are clean, a tail is hard.
    turn, fade, clutter, shift = random.beta(1, 2.5, size=4)
    size = int(random.uniform(15, 26) * SCALE)
    paper, side = int(random.integers(200, 256)), SIDE * SCALE
    ink = int(paper - 40 - (1 - fade) * 160)

    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    stroke = int(random.integers(0, 3)) if style == "plain" else 2
    centre = side / 2 + shift * side * random.uniform(-0.22, 0.22, size=2)
    options: dict[str, Any] = {"font": font(path, size), "anchor": "mm"}
    # The anchor is the line's middle; centring the ink itself keeps every character in view.
    left, top, right, bottom = pen.textbbox(tuple(centre), character, **options)
    place = tuple(2 * centre - ((left + right) / 2, (top + bottom) / 2))
    pen.text(place, character, fill=255, stroke_width=stroke, **options)
    if style == "outline":
        pen.text(place, character, fill=0, **options)
    mask = mask.rotate(turn * random.choice((-1, 1)) * 40, Image.Resampling.BILINEAR)

    sheet = Image.new("L", (side, side), paper)
    sheet.paste(ink, mask=mask)
    pen = ImageDraw.Draw(sheet)
    for _ in range(int(clutter * 7)):
        ends = [int(v) for v in random.integers(0, side, size=4)]
        pen.line(ends, fill=int(random.integers(ink, paper)), width=int(random.integers(1, 4)))
    pixels = np.asarray(sheet.reduce(SCALE), dtype=float)
    pixels += random.normal(0, 2 + 14 * random.beta(1, 2.5), size=pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8)
