"""What it costs to rank many models: the constants, one network after the other, on one thread.

`python benchmarks/many_models.py` writes `results/many_models.csv`: seconds to load a network from
its file, to decode a photograph for it, to pass it through, and to score 10,000 embeddings. Weights
are random: they cost what trained ones do. The book's page *What a score costs* adds them up.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_images

from hastelib import finetune, models
from hastelib.data.images import Preprocessing, opened, rgb
from hastelib.features import Features, threaded
from hastelib.metrics import Sample

NETWORKS = ("mobilenet_v2", "resnet18", "resnet50", "densenet121", "vit_b_16")
METRICS = ("logme", "leep", "nce", "gbc")
BATCH, SAMPLES, REPEATS = 16, 10_000, 5


def seconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median of some calls, after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def photographs() -> list[bytes]:
    """Two photographs of 427 x 640 pixels, as JPEG files."""
    files = []
    for pixels in load_sample_images().images:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def measure(name: str, folder: Path) -> dict[str, object]:
    see, files = Preprocessing(256, 224), photographs()
    torch.save(torchvision.models.get_model(name).state_dict(), folder / f"{name}.pth")

    def load() -> models.Source:
        module = torchvision.models.get_model(name)
        module.load_state_dict(torch.load(folder / f"{name}.pth", weights_only=True))
        source = models.wrap(name, module, see)
        assert source.fingerprint  # it is told by hashing the weights, which counts too
        return source

    def decode() -> torch.Tensor:
        return torch.stack([see(rgb(opened({"bytes": file}))) for file in files])

    source = load()
    batch = source.inputs(decode()[torch.arange(BATCH) % len(files)])

    @torch.inference_mode()
    def forward() -> object:
        return source.structure.read(source.module, batch)

    width = int(source.structure.read(source.module, batch)["embedding"].shape[1])
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(SAMPLES) % 10
    embedding = torch.randn(SAMPLES, width, generator=random) + labels[:, None] / 10
    probs = torch.randn(SAMPLES, 1000, generator=random).softmax(1)
    features = Features(embedding, probs, {}, labels)
    return {
        "network": name,
        "width": width,
        "load": seconds(load, 2),
        "decode": seconds(decode) / len(files),
        "forward": seconds(forward) / BATCH,
        "score": seconds(lambda: Sample(features).scores(METRICS), 1),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, threaded(1):
        rows = [measure(name, Path(folder)) for name in NETWORKS]
    told = {"device": finetune.describe("cpu"), "versions": finetune.versions()}
    frame = pd.DataFrame(rows).assign(samples=SAMPLES, threads=1, **told)
    frame.to_csv(Path(__file__).parents[1] / "results/many_models.csv", index=False)
    print(frame)


if __name__ == "__main__":
    main()
