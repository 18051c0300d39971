"""Made-up data: a suite of a few letters, and a frame as a small section would write it."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hastelib import suites
from hastelib.glyphs import Glyphs
from hastelib.records import COLUMNS, SCHEMA, check
from hastelib.suites import Suite

SOURCES = tuple(f"resnet{n}@glyphs" for n in (8, 14, 20)) + tuple(
    f"densenet{n}@glyphs" for n in (10, 16, 22, 28)
)
TARGETS = ("greek", "cyrillic", "georgian")
NOISE = {"all": 0.08, "random": 0.10, "ca": 0.09, "cs": 0.06}


def suite(
    sources: Sequence[str], letters: dict[str, str], seeds: Sequence[int] = (0,), **changes: Any
) -> Suite:
    """The embedded suite with few letters of its targets, fine-tuned for an epoch."""
    chosen, _ = suites.load("glyphs").select(sources=sources, seeds=seeds, epochs=1, draws=3)
    size: Any = {"kind": "glyphs", "train": 10}
    targets = {name: Glyphs(characters=some, test=6, **size) for name, some in letters.items()}
    data = Glyphs(characters="A-C", test=2, **size)
    return chosen.model_copy(update={"targets": targets, "source_data": data, **changes})


def row(**changes: Any) -> dict[str, Any]:
    """One plausible row."""
    values: tuple[Any, ...] = (
        SCHEMA, "5.1", "glyphs", "greek", SOURCES[0], "leep", "all", "", 1.0, "", 0, -1.25, "",
        480, 24.0, 0.9, 0.012, 3, "SGD, 10 epochs", 12.5, "0123456789ab", "ba9876543210",
        "cpu, 2 threads", "hastelib 0.1.0, torch 2.12.1",
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True)) | changes


def rows(
    targets: Sequence[str] = TARGETS,
    metrics: Sequence[str] = ("leep", "gbc"),
    sources: Sequence[str] = SOURCES,
    draws: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """A section's frame; a variant's scores are the accuracies plus its noise."""
    generator = np.random.default_rng(seed)
    found = []
    for target in targets:
        accuracies = generator.uniform(0.6, 0.95, len(sources))
        for metric, (variant, level) in itertools.product(metrics, NOISE.items()):
            for draw in range(draws if variant == "random" else 1):
                scores = accuracies + level * generator.normal(size=len(sources)) - 2
                told = {
                    "target": target,
                    "metric": metric,
                    "variant": variant,
                    "draw": draw,
                    "similarity": "cosine" if variant == "ca" else "",
                    "fraction": 1.0 if variant == "all" else 0.25,
                    "hardness_source": SOURCES[2] if variant in ("ca", "cs") else "",
                }
                found += [
                    row(**told, source=source, score=float(score), accuracy=float(accuracy))
                    for source, score, accuracy in zip(sources, scores, accuracies, strict=True)
                ]
    return check(pd.DataFrame(found))


def gone(frame: pd.DataFrame, where: Any, reason: str = "one class is left") -> pd.DataFrame:
    """The frame without the scores of some rows."""
    return frame.assign(
        score=frame["score"].mask(where, math.nan), reason=frame["reason"].mask(where, reason)
    )


def spoilt(values: np.ndarray, at: int | tuple[int, ...], value: float) -> np.ndarray:
    """A copy with another value at one place."""
    values = values.copy()
    values[at] = value
    return values
