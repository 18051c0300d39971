"""Rows as a small section would write them, from made-up accuracies and scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hastelib.records import Row

SOURCES = (
    "resnet8@glyphs",
    "resnet14@glyphs",
    "resnet20@glyphs",
    "densenet10@glyphs",
    "densenet16@glyphs",
    "densenet22@glyphs",
    "mobilenet_v2@glyphs",
)
TARGETS = ("greek", "cyrillic", "armenian", "georgian", "operators", "outlined_latin", "digits")
METRICS = ("leep", "nce", "gbc", "logme")
NOISE = {"all": 0.08, "random": 0.10, "ca": 0.09, "cs": 0.06}


def row(**changes: Any) -> Row:
    """One plausible row."""
    values: dict[str, Any] = {
        "section": "5.1",
        "suite": "glyphs",
        "target": "greek",
        "source": SOURCES[0],
        "metric": "leep",
        "variant": "all",
        "score": -1.25,
        "fraction": 1.0,
        "samples": 480,
        "classes": 24.0,
        "accuracy": 0.9,
        "accuracy_std": 0.012,
        "seeds": 3,
        "data": "0123456789ab",
        "weights": "ba9876543210",
        "device": "cpu, 2 threads",
        "versions": "hastelib 0.1.0, torch 2.12.1",
    }
    return Row(**(values | changes))


def rows(
    targets: Sequence[str] = TARGETS,
    metrics: Sequence[str] = METRICS,
    sources: Sequence[str] = SOURCES,
    noise: dict[str, float] = NOISE,
    seed: int = 0,
) -> list[Row]:
    """A section's rows; a variant's scores are the accuracies plus its noise."""
    generator = np.random.default_rng(seed)
    found = []
    for target in targets:
        accuracies = generator.uniform(0.6, 0.95, len(sources))
        for metric in metrics:
            for variant, level in noise.items():
                scores = accuracies + level * generator.normal(size=len(sources)) - 2
                found += [
                    row(
                        target=target,
                        source=source,
                        metric=metric,
                        variant=variant,
                        score=float(score),
                        score_std=0.02 if variant == "random" else math.nan,
                        fraction=1.0 if variant == "all" else 0.25,
                        draws=20 if variant == "random" else 1,
                        hardness_source=SOURCES[2] if variant in ("ca", "cs") else "",
                        accuracy=float(accuracy),
                    )
                    for source, score, accuracy in zip(sources, scores, accuracies, strict=True)
                ]
    return found


def gone(one: Row, reason: str = "one class is left") -> Row:
    """The row without its score."""
    return one.model_copy(update={"score": math.nan, "reason": reason})
