"""How much of the bare forward loop's throughput does the extraction reach?

The bare loop runs the network alone on batches that are already tensors on the device; the
extraction decodes nothing either (the images are decoded before), but normalises, taps, pools,
takes the softmax, checks for NaN and brings everything back. Here the ratio is a share.
"""

from __future__ import annotations

import datasets
import numpy as np
import torch

from hastelib import models
from hastelib.data.images import Images
from hastelib.features import BATCH, default_device, extract


def pictures(count: int, side: int) -> datasets.Dataset:
    """Noise of the right size."""
    random = np.random.default_rng(0)
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(num_classes=2))
    drawn = [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]
    return datasets.Dataset.from_dict({"image": drawn, "label": [0] * count}, features=features)


def bench_extraction(compare, request):
    name, count = request.config.getoption("source"), request.config.getoption("images")
    device = default_device()
    source = models.load(name)
    images = Images(pictures(count, source.preprocessing.crop), source.preprocessing, "noise")
    batches = [
        source.preprocessing.normalise(pixels) for pixels, _ in images.batches(BATCH, device)
    ]

    def bare():
        module = source.module.to(device).eval()
        with torch.inference_mode():
            logits = [module(batch) for batch in batches]
        if device == "cuda":
            torch.cuda.synchronize()
        return logits

    def agree(logits, features):
        torch.testing.assert_close(torch.cat(logits).softmax(1).cpu(), features.probs)

    compare(
        f"{name}, {count} images",
        ("bare network", bare),
        ("extraction", lambda: extract(source, images)),
        agree,
    )
