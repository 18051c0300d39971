"""One forward pass per (source, split): all that every metric and both hardness variants need."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from hastelib.data import Batches
from hastelib.hardness import Signature, source_signature
from hastelib.models import Source, placed

BATCH = 256


@dataclass(frozen=True)
class Features:
    """What a source makes of a split.

    Of images and texts each sample is a row; of scenes several pixels of each are, so that n, the
    number of rows, is more than the number of samples N.

    Attributes:
        embedding: (n, d) float32, the classifier's input.
        probs: (n, z) float32, the softmax over the source's classes.
        layers: name -> (N, d_l) float32, the pooled outputs of the stages, in their order.
        labels: (n,) int64.
        sample: (n,) int64, ascending, the sample that a row is of; None where each is its own.
    """

    embedding: Tensor
    probs: Tensor
    layers: dict[str, Tensor]
    labels: Tensor
    sample: Tensor | None = None

    def __len__(self) -> int:
        """The number of samples."""
        return len(next(iter(self.layers.values())))

    def at(self, samples: Tensor) -> Features:
        """The features of the samples with these indices, in that order."""
        layers = {name: x[samples] for name, x in self.layers.items()}
        rows, sample = samples, None
        if self.sample is not None:
            counts = torch.bincount(self.sample, minlength=len(self))
            kept, starts = counts[samples], counts.cumsum(0) - counts
            sample = torch.repeat_interleave(torch.arange(len(samples)), kept)
            before = torch.repeat_interleave(kept.cumsum(0) - kept, kept)
            rows = starts[samples][sample] + torch.arange(len(sample)) - before
        return Features(self.embedding[rows], self.probs[rows], layers, self.labels[rows], sample)

    def arrays(self) -> dict[str, Tensor]:
        """Named tensors, as the store keeps them."""
        layers = {f"layer.{i}.{name}": x for i, (name, x) in enumerate(self.layers.items())}
        rows = {"embedding": self.embedding, "probs": self.probs, "labels": self.labels}
        return rows | layers | ({} if self.sample is None else {"sample": self.sample})

    @classmethod
    def of(cls, arrays: dict[str, Tensor]) -> Features:
        """The inverse of :meth:`arrays`."""
        numbered = sorted(
            (int(name.split(".", 2)[1]), name.split(".", 2)[2], x)
            for name, x in arrays.items()
            if name.startswith("layer.")
        )
        layers = {name: x for _, name, x in numbered}
        rows = arrays["embedding"], arrays["probs"], layers, arrays["labels"]
        return cls(*rows, arrays.get("sample"))


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
    """``HASTE_DEVICE``; where it is not set ``cuda`` if there is a GPU, else ``cpu``.

    Results of the two have different names in the cache. A client without a GPU whose workers
    have one sets the variable, and finds what they made.
    """
    return os.environ.get("HASTE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")


def outputs(
    source: Source,
    split: Batches,
    *,
    batch_size: int = BATCH,
    device: str | None = None,
    autocast: bool = False,
) -> Iterator[dict[str, Tensor]]:
    """Batch by batch, the parts of the features (on the device, float32) and the labels.

    ``autocast`` runs the network in bfloat16; the softmax is always taken in float32.

    Raises:
        ValueError: an output is NaN or infinite; names the source and the data.
    """
    device = device or default_device()
    network = placed(source.tapped(), device)  # which has the source's own layers
    drawn = torch.Generator().manual_seed(0)
    try:
        with tqdm(total=len(split), unit=source.unit, desc=f"{source.name} on {split.name}") as bar:
            for batch, labels in split.batches(batch_size, device):
                with (
                    torch.inference_mode(),
                    torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
                    torch.autocast(torch.device(device).type, torch.bfloat16, enabled=autocast),
                ):
                    found = network(source.inputs(batch))
                found = {name: x.float() for name, x in found.items()}
                if not torch.stack([x.isfinite().all() for x in found.values()]).all():
                    raise ValueError(
                        f"{source.name} gives NaN or infinity on {split.name}: its weights or its "
                        "preprocessing are wrong, or (with autocast) bfloat16 does not suffice"
                    )
                yield source.outputs(found, labels, drawn)
                bar.update(len(labels))
    finally:
        placed(network)


def extract(
    source: Source,
    split: Batches,
    *,
    batch_size: int = BATCH,
    device: str | None = None,
    autocast: bool = False,
) -> tuple[Features, float]:
    """The features of a split, on the CPU, and the throughput in samples per second.

    Args:
        source: the network.
        split: the data.
        batch_size: samples at a time.
        device: where the network runs; a GPU where there is one.
        autocast: bfloat16 for the network.

    Returns:
        The features, float32, in the order of the split; samples per second, decoding included.
    """
    start = time.perf_counter()
    parts: dict[str, list[Tensor]] = {}
    done = 0
    for found in outputs(source, split, batch_size=batch_size, device=device, autocast=autocast):
        if "sample" in found:
            found["sample"] = found["sample"] + done
        done += len(found[f"layer.{source.stages[0]}"])
        for name, x in found.items():
            parts.setdefault(name, []).append(x.to("cpu", non_blocking=True))
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # the copies above do not wait
    joined = {name: torch.cat(several) for name, several in parts.items()}
    layers = {stage: joined[f"layer.{stage}"] for stage in source.stages}
    rows = joined["embedding"], joined["probs"], layers, joined["labels"]
    features = Features(*rows, joined.get("sample"))
    if split.order is not None:
        features = features.at(split.order.argsort())
    return features, len(split) / (time.perf_counter() - start)


def signature(
    source: Source,
    split: Batches,
    *,
    batch_size: int = BATCH,
    device: str | None = None,
    autocast: bool = False,
) -> Signature:
    """The signature of the source data, streamed: no feature of a single sample is kept.

    It stands in for the source data in the class-agnostic hardness (the paper, Eqs. 1-2).
    """
    total: Signature | None = None
    for found in outputs(source, split, batch_size=batch_size, device=device, autocast=autocast):
        layers = [found[f"layer.{stage}"] for stage in source.stages]
        total = source_signature(layers) if total is None else total.update(layers)
    if total is None:
        raise ValueError(f"{split.name} is empty")
    return total
