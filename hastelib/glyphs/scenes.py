"""Scenes for segmentation: characters strewn over a ground, and the class of every pixel.

A style changes what separates real sets from each other: colours, how much is in a scene and how
large, what else is there, and how bad the camera is.
"""

import colorsys
import zlib
from typing import Literal, Self, get_args

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from pydantic import Field, model_validator

from hastelib.data.base import Split
from hastelib.glyphs.characters import SCALE, Drawn, characters, font, fonts
from hastelib.store import Kept

KINDS = {
    "letters": "A-HJ-Z",
    "digits": "2-9",
    "arrows": "←↑→↓↔↕↖↗↘↙",
    "stars": "★✦✱✲✳✴✵✶✷✸✹✺",
    "operators": "≡≈⊕⊗∞∑∏√∩∪",
}
"""Class -> its characters. I, 0 and 1 are left out, as strokes of several classes."""
Kind = Literal["letters", "digits", "arrows", "stars", "operators"]
Range = tuple[float, float]
Rgb = tuple[int, ...]

_COLOURS: dict[str, tuple[Range, Range]] = {
    "paper": ((0, 0.08), (0.85, 1)),
    "night": ((0, 0.3), (0.02, 0.18)),
    "colour": ((0.4, 0.8), (0.35, 0.65)),
    "ink on paper": ((0, 0.3), (0.05, 0.35)),
    "ink on night": ((0, 0.4), (0.65, 1)),
}
"""The ranges of saturation and value of a palette's ground and ink; the hue is any. The ink of
``colour`` depends on its ground."""


class Scenes(Drawn):
    """Characters strewn over a ground, with exact masks (``kind: scenes``).

    The classes are the background and the ``kinds`` of characters. ``train`` and ``test`` count
    scenes of ``height`` x ``width`` pixels; two styles have none in common. A style is: the
    ``palette`` of ground and ink; ``density``, the least and the most characters in a scene;
    ``scale``, the least and the most height of one, as a share of the scene's; ``clutter`` (strokes
    in the colour of ink) and ``degradation`` (blur, noise, lost contrast), each from 0 to 1.
    """

    kind: Literal["scenes"]
    kinds: tuple[Kind, ...] = get_args(Kind)
    palette: Literal["paper", "night", "colour"] = "paper"
    density: tuple[int, int] = (3, 5)
    scale: tuple[float, float] = (0.3, 0.5)
    clutter: float = Field(default=0.0, ge=0, le=1)
    degradation: float = Field(default=0.0, ge=0, le=1)
    height: int = Field(default=64, ge=16)
    width: int = Field(default=64, ge=16)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise ValueError("kinds: expected at least one kind of character, each once")
        if not 1 <= self.density[0] <= self.density[1]:
            raise ValueError("density: expected [least, most], at least 1")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError("scale: expected [least, most], shares of the scene's height")
        return self

    def drawn(self, split: Split) -> Kept:
        """(n, h, w, 3) bytes, (n, h, w) masks, the classes in the order of their numbers there."""
        style = zlib.crc32(self.model_dump_json(exclude={"train", "test", "seed"}).encode())
        streams = [[self.seed, style, split == "test", i] for i in range(getattr(self, split))]
        scenes = zip(*(draw(self, np.random.default_rng(s)) for s in streams), strict=True)
        images, masks = (torch.from_numpy(np.stack(arrays)) for arrays in scenes)
        return {"images": images, "labels": masks}, {"names": ["background", *self.kinds]}


def _colour(hue: float, saturation: float, value: float) -> Rgb:
    return tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def _random_colour(random: np.random.Generator, ranges: tuple[Range, Range]) -> Rgb:
    return _colour(random.uniform(), random.uniform(*ranges[0]), random.uniform(*ranges[1]))


def _ink(palette: str, ground: Rgb, random: np.random.Generator) -> Rgb:
    if palette != "colour":
        return _random_colour(random, _COLOURS[f"ink on {palette}"])
    hue = colorsys.rgb_to_hsv(*(value / 255 for value in ground))[0]
    # The other side of the circle of hues, lighter or darker than the ground.
    value = random.uniform(0.85, 1) if random.random() < 0.5 else random.uniform(0.05, 0.2)
    return _colour(hue + random.uniform(0.35, 0.65), random.uniform(0.3, 0.9), value)


def _character(text: str, height: float, random: np.random.Generator) -> Image.Image:
    """One character, turned, as coverage: its ink is as high as asked for before the turn."""
    usable = [path for path, codes in fonts().items() if ord(text) in codes]
    bold = [path for path in usable if "Bold" in path.stem] or usable
    path = bold[random.integers(len(bold))]
    size = max(8, round(height * 1.3))
    left, top, right, bottom = font(path, size).getbbox(text)
    size = max(8, round(size * height / max(right - left, bottom - top, 1)))
    left, top, right, bottom = font(path, size).getbbox(text)
    side = round(1.5 * max(right - left, bottom - top)) + 4
    mask = Image.new("L", (side, side))
    corner = (side - left - right) / 2, (side - top - bottom) / 2
    ImageDraw.Draw(mask).text(corner, text, fill=255, font=font(path, size), stroke_width=1)
    return mask.rotate(random.normal(0, 9), Image.Resampling.BILINEAR)


def draw(spec: Scenes, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One scene: (h, w, 3) bytes, and (h, w) bytes that say each pixel's class.

    A pixel belongs to a character that covers at least half of it.
    """
    height, width = SCALE * spec.height, SCALE * spec.width
    ground = _random_colour(random, _COLOURS[spec.palette])
    sheet = Image.new("RGB", (width, height), ground)
    pen = ImageDraw.Draw(sheet)
    for _ in range(random.binomial(14, spec.clutter)):
        # Strokes in the colours of ink, thin to thick: none of them is a character.
        x, y = random.uniform(0, width), random.uniform(0, height)
        angle, length = random.uniform(0, 2 * np.pi), random.uniform(0.2, 0.7) * height
        ends = x, y, x + length * np.cos(angle), y + length * np.sin(angle)
        fill = _ink(spec.palette, ground, random)
        pen.line([round(v) for v in ends], fill=fill, width=int(random.integers(1, 6)))
    scene = np.asarray(sheet.reduce(SCALE), dtype=float)
    mask, occupied = np.zeros(scene.shape[:2], np.uint8), np.zeros(scene.shape[:2])
    for _ in range(random.integers(spec.density[0], spec.density[1] + 1)):
        kind = int(random.integers(len(spec.kinds)))
        choices = characters(KINDS[spec.kinds[kind]])
        text = choices[random.integers(len(choices))]
        glyph = _character(text, random.uniform(*spec.scale) * height, random)
        ink = _ink(spec.palette, ground, random)
        for _ in range(12):  # places tried; a full scene takes no more
            layer = Image.new("L", (width, height))
            centre = [random.uniform(0.3, side - 0.3 * glyph.width) for side in (width, height)]
            left, top = (round(v - glyph.width * 0.35) for v in centre)
            layer.paste(glyph, (left, top))
            covered = np.asarray(layer.reduce(SCALE), dtype=float) / 255
            # Something of it, and less than a tenth hidden behind what is there.
            if np.minimum(occupied, covered).sum() < 0.1 * covered.sum():
                break
        else:
            continue
        scene += covered[..., None] * (np.array(ink) - scene)
        mask[covered >= 0.5] = kind + 1
        occupied = np.maximum(occupied, covered)
    # A worse picture of the same scene: contrast, sharpness and noise, each up to its most.
    fade, blur, noise = (float(v) for v in spec.degradation * random.uniform(0.4, 1, size=3))
    faded = 128 + (1 - 0.75 * fade) * (scene - 128)
    image = Image.fromarray(faded.round().clip(0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(1.6 * blur))
    noisy = np.asarray(image, dtype=float) + random.normal(0, 34 * noise, scene.shape)
    return noisy.round().clip(0, 255).astype(np.uint8), mask
