"""One forward pass per (source, split): all that every metric and both hardness variants need."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from hastelib.data import Images
from hastelib.hardness import Signature, source_signature
from hastelib.models import Source, placed

BATCH = 256


@dataclass(frozen=True)
class Features:
    """What a source makes of a split.

    Attributes:
        embedding: (n, d) float32, the classifier's input.
        probs: (n, z) float32, the softmax over the source's classes.
        layers: name -> (n, d_l) float32, the pooled outputs of the stages, in their order.
        labels: (n,) int64.
    """

    embedding: Tensor
    probs: Tensor
    layers: dict[str, Tensor]
    labels: Tensor

    def at(self, rows: Tensor) -> Features:
        """The features of the samples with these indices."""
        layers = {name: x[rows] for name, x in self.layers.items()}
        return Features(self.embedding[rows], self.probs[rows], layers, self.labels[rows])

    def arrays(self) -> dict[str, Tensor]:
        """Named tensors, as the store keeps them."""
        layers = {f"layer.{i}.{name}": x for i, (name, x) in enumerate(self.layers.items())}
        return {"embedding": self.embedding, "probs": self.probs, "labels": self.labels} | layers

    @classmethod
    def of(cls, arrays: dict[str, Tensor]) -> Features:
        """The inverse of :meth:`arrays`."""
        numbered = sorted(
            (int(name.split(".", 2)[1]), name.split(".", 2)[2], x)
            for name, x in arrays.items()
            if name.startswith("layer.")
        )
        layers = {name: x for _, name, x in numbered}
        return cls(arrays["embedding"], arrays["probs"], layers, arrays["labels"])


@contextmanager
def threaded(threads: int) -> Iterator[None]:
    """A fixed number of CPU threads, so that a result does not depend on the machine's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def default_device() -> str:
    """``cuda`` where there is a GPU, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def outputs(
    source: Source,
    images: Images,
    *,
    batch_size: int = BATCH,
    device: str | None = None,
    autocast: bool = False,
) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Batch by batch, the tapped outputs (on the device, float32) and the labels.

    ``autocast`` runs the network in bfloat16; the softmax is always taken in float32.

    Raises:
        ValueError: an output is NaN or infinite; names the source and the data.
    """
    device = device or default_device()
    network = placed(source.tapped(), device)
    with tqdm(total=len(images), unit="image", desc=f"{source.name} on {images.name}") as progress:
        for pixels, labels in images.batches(batch_size, device):
            with (
                torch.inference_mode(),
                torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
                torch.autocast(torch.device(device).type, torch.bfloat16, enabled=autocast),
            ):
                found = network(source.preprocessing.normalise(pixels))
            found = {name: x.float() for name, x in found.items()}
            if not torch.stack([x.isfinite().all() for x in found.values()]).all():
                raise ValueError(
                    f"{source.name} gives NaN or infinity on {images.name}: its weights or its "
                    "preprocessing are wrong, or (with autocast) bfloat16 does not suffice"
                )
            found["probs"] = found.pop("logits").softmax(1)
            yield found, labels
            progress.update(len(labels))


def extract(
    source: Source,
    images: Images,
    *,
    batch_size: int = BATCH,
    device: str | None = None,
    autocast: bool = False,
) -> tuple[Features, float]:
    """The features of a split, on the CPU, and the throughput in images per second.

    Args:
        source: the network.
        images: the split.
        batch_size: images at a time.
        device: where the network runs; a GPU where there is one.
        autocast: bfloat16 for the network.

    Returns:
        The features, float32, in the order of the split; images per second, decoding included.
    """
    start = time.perf_counter()
    parts: dict[str, list[Tensor]] = {}
    labels = []
    for found, truth in outputs(
        source, images, batch_size=batch_size, device=device, autocast=autocast
    ):
        for name, x in found.items():
            parts.setdefault(name, []).append(x.to("cpu", non_blocking=True))
        labels.append(truth.to("cpu", non_blocking=True))
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # the copies above do not wait
    joined = {name: torch.cat(several) for name, several in parts.items()}
    layers = {stage: joined[f"layer.{stage}"] for stage in source.stages}
    features = Features(joined["embedding"], joined["probs"], layers, torch.cat(labels))
    return features, len(images) / (time.perf_counter() - start)


def signature(
    source: Source,
    images: Images,
    *,
    batch_size: int = BATCH,
    device: str | None = None,
    autocast: bool = False,
) -> Signature:
    """The signature of the source data, streamed: no feature of a single image is kept.

    It stands in for the source data in the class-agnostic hardness (the paper, Eqs. 1-2).
    """
    total: Signature | None = None
    for found, _ in outputs(
        source, images, batch_size=batch_size, device=device, autocast=autocast
    ):
        layers = [found[f"layer.{stage}"] for stage in source.stages]
        total = source_signature(layers) if total is None else total.update(layers)
    if total is None:
        raise ValueError(f"{images.name} holds no images")
    return total
