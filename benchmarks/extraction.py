"""How much of the bare forward loop's throughput does the extraction reach?

The bare loop runs the network alone on batches that are already tensors on the device; the
extraction decodes nothing either (the images are decoded before), but normalises, taps, pools,
takes the softmax, checks for NaN and brings everything back. The two alternate in one run, and only
the ratio of their medians counts.

    python benchmarks/extraction.py [--source resnet20@glyphs] [--images 4096] [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import time

import datasets
import numpy as np
import torch

from hastelib import models
from hastelib.data import Images
from hastelib.extract import BATCH, default_device, extract
from hastelib.finetune import describe, versions


def pictures(count: int, side: int) -> datasets.Dataset:
    """Noise of the right size."""
    random = np.random.default_rng(0)
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(num_classes=2))
    drawn = [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]
    return datasets.Dataset.from_dict({"image": drawn, "label": [0] * count}, features=features)


def bare(source: models.Source, images: Images, device: str) -> float:
    """Images per second of the network alone."""
    module = source.module.to(device)
    batches = [
        source.preprocessing.normalise(pixels) for pixels, _ in images.batches(BATCH, device)
    ]
    start = time.perf_counter()
    with torch.inference_mode():
        for batch in batches:
            module(batch)
    if device == "cuda":
        torch.cuda.synchronize()
    return len(images) / (time.perf_counter() - start)


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="resnet20@glyphs")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    device = default_device()
    source = models.load(given.source)
    images = Images(
        pictures(given.images, source.preprocessing.crop), source.preprocessing, "noise"
    )
    next(images.batches(1))  # decodes everything
    bare(source, images, device), extract(source, images)  # warm up
    speeds = [
        (bare(source, images, device), extract(source, images)[1]) for _ in range(given.repeats)
    ]
    alone, whole = (statistics.median(column) for column in zip(*speeds, strict=True))
    print(f"{given.source} on {describe(device)}, {torch.get_num_threads()} threads; {versions()}")
    print(f"bare loop {alone:,.0f} images/s, extraction {whole:,.0f}: {whole / alone:.0%}")


if __name__ == "__main__":
    main()
