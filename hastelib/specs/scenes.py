"""Where scenes with a mask come from: drawings, Parquet files, the official folder layouts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from hastelib.specs.base import Split, Strict

Kind = Literal["letters", "digits", "arrows", "stars", "operators"]


class Scenes(Strict):
    """Characters strewn over a ground, with exact masks (``kind: scenes``).

    The classes are the background and the ``kinds`` of characters, see
    :data:`hastelib.data.drawn_scenes.KINDS`. The rest is a style: the ``palette`` of ground and
    ink; ``density``, the least and the most characters in a scene; ``scale``, the least and the
    most height of one, as a share of the scene's; ``clutter`` (strokes of background in the colour
    of ink) and ``degradation`` (blur, noise and lost contrast), each from 0 to 1. ``train`` and
    ``test`` count scenes of ``height`` x ``width`` pixels.
    """

    kind: Literal["scenes"]
    kinds: tuple[Kind, ...] = ("letters", "digits", "arrows", "stars", "operators")
    palette: Literal["paper", "night", "colour"] = "paper"
    density: tuple[int, int] = (3, 5)
    scale: tuple[float, float] = (0.3, 0.5)
    clutter: float = Field(default=0.0, ge=0, le=1)
    degradation: float = Field(default=0.0, ge=0, le=1)
    height: int = Field(default=64, ge=16)
    width: int = Field(default=64, ge=16)
    train: int = Field(gt=1)
    test: int = Field(gt=0)
    seed: int = 0

    @field_validator("kinds")
    @classmethod
    def _some(cls, values: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if not values or len(set(values)) < len(values):
            raise ValueError("expected at least one kind of character, each once")
        return values

    @model_validator(mode="after")
    def _ranges(self) -> Scenes:
        if not 1 <= self.density[0] <= self.density[1]:
            raise ValueError("density: expected [least, most], at least 1")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError("scale: expected [least, most], shares of the scene's height")
        return self


class Masks(Strict):
    """Parquet files with an image and a mask a row, under ``HASTE_DATA`` (``kind: masks``).

    ``train`` and ``test`` are paths under ``HASTE_DATA``. A mask is an image of one channel whose
    values count through ``names``; ``ignore`` lists the values that stand for no class.
    """

    kind: Literal["masks"]
    train: str
    test: str
    names: tuple[str, ...] = Field(min_length=2)
    ignore: tuple[int, ...] = (255,)
    image: str = "image"
    mask: str = "mask"

    def files(self) -> dict[Split, str]:
        """The path of each split."""
        return {"train": self.train, "test": self.test}


class Official(Strict):
    """A published data set in the folders that it is published in, as its ``kind`` says.

    ``path`` is the folder that it was unpacked into, the data set's name for None; relative paths
    start at ``HASTE_DATA``. What lies there: :mod:`hastelib.data.scenes.layouts`.
    """

    kind: Literal["cityscapes", "camvid", "bdd100k", "idd", "voc2012", "suim"]
    path: str | None = None

    @property
    def folder(self) -> str:
        """Where it lies, relative to ``HASTE_DATA`` or absolute."""
        return self.kind if self.path is None else self.path
