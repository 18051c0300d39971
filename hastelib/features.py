"""One forward pass for each network and data set: all that metrics and hardness need."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, SequentialSampler
from tqdm import tqdm

from hastelib import hooks
from hastelib.hardness import Signature, source_signature
from hastelib.store import cache_folder

if TYPE_CHECKING:
    from hastelib.data import Batches
    from hastelib.models import Source

T = TypeVar("T")
BATCH = 256
IN_MEMORY = 1 << 30
"""Bytes of features that are collected in memory; what is more goes to mapped files."""


@dataclass(frozen=True)
class Features:
    """What a source makes of a split.

    Of images and texts each sample is a row; of scenes several pixels of each are, so that n, the
    number of rows, is more than the number of samples N.

    Attributes:
        embedding: (n, d) float32, the classifier's input.
        probs: (n, z) float32, the softmax over the source's classes; None where it has none.
        layers: name -> (N, d_l) float32, the pooled outputs of the stages, in their order.
        labels: (n,) int64.
        sample: (n,) int64, ascending, the sample that a row is of; None where each is its own.
    """

    embedding: Tensor
    probs: Tensor | None
    layers: dict[str, Tensor]
    labels: Tensor
    sample: Tensor | None = None

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.labels if self.sample is None else next(iter(self.layers.values())))

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
        probs = None if self.probs is None else self.probs[rows]
        return Features(self.embedding[rows], probs, layers, self.labels[rows], sample)

    def arrays(self) -> dict[str, Tensor]:
        """Named tensors, as the store keeps them; a layer that is the embedding has no rows."""
        same = self.embedding.data_ptr()
        layers = {
            f"layer.{i}.{name}": x[:0] if x.data_ptr() == same else x
            for i, (name, x) in enumerate(self.layers.items())
        }
        rows = {"embedding": self.embedding, "labels": self.labels} | layers
        rows |= {} if self.probs is None else {"probs": self.probs}
        return rows | ({} if self.sample is None else {"sample": self.sample})

    @classmethod
    def of(cls, arrays: Mapping[str, Tensor]) -> Features:
        """The inverse of :meth:`arrays`."""
        embedding = arrays["embedding"]
        numbered = sorted(
            (int(name.split(".", 2)[1]), name.split(".", 2)[2], x)
            for name, x in arrays.items()
            if name.startswith("layer.")
        )
        layers = {name: x if len(x) else embedding for _, name, x in numbered}
        return cls(embedding, arrays.get("probs"), layers, arrays["labels"], arrays.get("sample"))


@contextmanager
def threaded(threads: int) -> Iterator[None]:
    """A fixed number of CPU threads, so that a result does not depend on the machine's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def kernels(precision: str, deterministic: bool = False) -> Iterator[None]:
    """The GPU's matrix products in TF32 where the ``precision`` of a recipe is ``tf32``."""
    tf32, before = precision == "tf32", torch.get_float32_matmul_precision()
    if tf32:
        torch.set_float32_matmul_precision("high")
    with torch.backends.cudnn.flags(enabled=True, deterministic=deterministic, allow_tf32=tf32):
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def autocast(precision: str, device: str) -> torch.autocast:
    """Forward passes in bfloat16 where the ``precision`` of a recipe is ``bf16``."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16")


def shrinking(
    batches: Iterable[tuple[Any, Tensor]], compute: Callable[[Any, Tensor], T], name: str
) -> Iterator[T]:
    """What ``compute`` makes of every batch; where memory is short, of halves from then on."""
    size = sys.maxsize
    for inputs, labels in batches:
        start = 0
        while start < len(labels):
            rows = slice(start, start + size)
            some = (
                {n: x[rows] for n, x in inputs.items()}
                if isinstance(inputs, dict)
                else inputs[rows]
            )
            found = None
            try:
                found = compute(some, labels[rows])
            except torch.OutOfMemoryError:
                if (size := min(size, len(labels)) // 2) == 0:
                    raise
            if found is None:  # the failed pass has let go of its memory by now
                torch.cuda.empty_cache()
                warnings.warn(f"{name}: memory is short; batches of {size} from here", stacklevel=2)
                continue
            yield found
            start = rows.stop


def default_device() -> str:
    """``HASTE_DEVICE``; where it is not set ``cuda`` if there is a GPU, else ``cpu``.

    Results of the two have different names in the cache. A client without a GPU whose workers
    have one sets the variable, and finds what they made.
    """
    given = os.environ.get("HASTE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.device(given)
    except RuntimeError:
        raise ValueError(
            f"HASTE_DEVICE: expected cpu, cuda, or one GPU such as cuda:1, got {given!r}"
        ) from None
    return given


class _Collected:
    """Rows of named matrices, batch by batch: in memory, or beyond a limit in mapped files."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Tensor]] = {}
        self.bytes = 0
        self.folder: tempfile.TemporaryDirectory[str] | None = None

    def add(self, found: Mapping[str, Tensor]) -> None:
        for name, x in found.items():
            self.parts.setdefault(name, []).append(x.to("cpu", non_blocking=True))
            self.bytes += x.nbytes
        if self.bytes > IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # the copies do not wait
        if self.folder is None:
            cache_folder().mkdir(parents=True, exist_ok=True)
            self.folder = tempfile.TemporaryDirectory(prefix="features.", dir=cache_folder())
        for number, several in enumerate(self.parts.values()):
            with Path(self.folder.name, str(number)).open("ab") as file:
                for x in several:
                    x.contiguous().numpy().tofile(file)
            several[:] = [several[-1][:0]]  # its type and width
        self.bytes = 0

    def tensors(self) -> dict[str, Tensor]:
        if self.folder is None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            return {name: torch.cat(several) for name, several in self.parts.items()}
        self._spill()
        found = {}
        for number, (name, (empty,)) in enumerate(self.parts.items()):
            path = Path(self.folder.name, str(number))
            count = path.stat().st_size // empty.element_size()
            mapped = torch.from_file(str(path), False, count, dtype=empty.dtype)
            found[name] = mapped.view(-1, *empty.shape[1:])
        self.folder.cleanup()  # the mapping outlives the name
        return found


@contextmanager
def _borrowed(module: nn.Module, device: str) -> Iterator[tuple[torch.device, torch.dtype]]:
    """The module in evaluation mode on a device, afterwards as it was; the device and type."""
    modes = {part: part.training for part in module.modules()}
    held = [*module.parameters(), *module.buffers()]
    kinds = [x.dtype for x in held if x.is_floating_point()] or [torch.float32]
    homes = {x.device for x in held}
    module.eval()
    try:
        if len(homes) > 1:  # spread over several: inputs go where its first weights are
            yield held[0].device, kinds[0]
        else:
            module.to(device)
            yield torch.device(device), kinds[0]
    finally:
        if len(homes) == 1:
            module.to(homes.pop())
        for part, training in modes.items():
            part.training = training


def _as_wanted(inputs: Any, device: torch.device, kind: torch.dtype) -> Any:
    """A batch on the device; floats in the network's type."""
    if isinstance(inputs, Tensor):
        inputs = inputs.to(device, non_blocking=True)
        return inputs.to(kind) if inputs.is_floating_point() else inputs
    return {name: _as_wanted(x, device, kind) for name, x in inputs.items()}


def _checked(found: dict[str, Tensor], name: str, data: str) -> dict[str, Tensor]:
    found = {part: x.float() for part, x in found.items()}
    if not torch.stack([x.isfinite().all() for x in found.values()]).all():
        raise ValueError(
            f"{name} gives NaN or infinity on {data}: its weights or its preprocessing are wrong, "
            "or its precision does not suffice"
        )
    return found


def features(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    head: str | None = None,
    layers: Sequence[str] | None = None,
    device: str | None = None,
    pool: str = "mean",
) -> Features:
    """What any torch module makes of some batches, read by forward hooks in one pass.

    The embedding is the input of the classifier, the last linear layer or 1 x 1 convolution that
    ran, if what it gives is what the network gives; else it is the network's output, and there are
    no probabilities. See :func:`hastelib.hooks.structure` for the layers. Everything is
    pooled over space or tokens. The module comes back as it was: mode, device, memory layout.

    Args:
        model: a module in any precision; it is called with a batch's inputs.
        batches: (inputs, labels) each, or a mapping of inputs with ``labels``: a tensor, or the
            arguments of the module (``input_ids``, ``attention_mask``). Labels are integers (n,).
        head: the classifier's name, where it is not to be found by the rule.
        layers: names of the modules to tap, where they are not to be found by the rule.
        device: where the module runs; a GPU where there is one.
        pool: of tokens that are the embedding: ``mean`` over the attention mask, or ``cls``, the
            first token.

    Returns:
        :class:`Features`: CPU float32 tensors in the order of the samples; where they would not
        fit into memory, mapped from files.

    Raises:
        ValueError: a shuffling ``DataLoader``, no batches, labels that are not one integer a
            sample, outputs that are not finite, names that the module does not have.
    """
    if pool not in ("mean", "cls"):
        raise ValueError(f"pool: expected mean or cls, got {pool!r}")
    if isinstance(batches, DataLoader):
        in_order("batches", batches)
    network = hooks.unwrapped(model)
    collected, reader = _Collected(), None
    with _borrowed(network, device or default_device()) as (place, kind), torch.inference_mode():
        for batch in tqdm(batches, unit="batch", desc=type(network).__name__):
            inputs, labels = parted(batch)
            inputs = _as_wanted(inputs, place, kind)
            if reader is None:
                read = hooks.structure(network, inputs, head, layers)
                reader = hooks.Reader(network, read, pool=pool, trust=head is not None)
            parts = _checked(reader(inputs), type(network).__name__, "this batch")
            if len(parts["embedding"]) != len(labels):
                raise ValueError(
                    f"labels: expected {len(parts['embedding'])}, one for each sample of the "
                    f"batch, got {len(labels)}"
                )
            if "logits" in parts:
                parts["probs"] = parts.pop("logits").softmax(1)
            collected.add(parts | {"labels": labels})
    if reader is None:
        raise ValueError("batches: expected at least one, got none")
    return _features(collected.tensors(), reader.read.layers)


def in_order(name: str, loader: DataLoader) -> None:
    """Refuse a loader that shuffles: the order is the samples' identity."""
    if not isinstance(loader.sampler, SequentialSampler):
        raise ValueError(
            f"{name}: expected samples in their order, got a DataLoader with a "
            f"{type(loader.sampler).__name__}; build it with shuffle=False"
        )


def parted(batch: Any) -> tuple[Any, Tensor]:
    """The inputs and the labels of a batch."""
    if isinstance(batch, Mapping):
        inputs: Any = {name: x for name, x in batch.items() if name != "labels"}
        labels = batch.get("labels")
    else:
        inputs, labels = batch
    labels = torch.as_tensor(labels)
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex():
        kind = str(labels.dtype).removeprefix("torch.")
        raise ValueError(
            "labels: expected one integer class a sample, got "
            f"{kind} values of shape {tuple(labels.shape)}; real numbers and several labels a "
            "sample have no transferability score here"
        )
    return inputs, labels.long()


def _features(tensors: dict[str, Tensor], names: Sequence[str]) -> Features:
    """Features from their parts; a layer that is the embedding shares its memory."""
    layers = {name: tensors[f"layer.{name}"] for name in names}
    embedding = tensors["embedding"]
    for name, x in layers.items():  # a few rows tell
        if x.shape == embedding.shape and torch.allclose(x[:99], embedding[:99], 1e-5, 1e-6):
            layers[name] = embedding
    rows = embedding, tensors.get("probs"), layers, tensors["labels"]
    return Features(*rows, tensors.get("sample"))


def outputs(
    source: Source,
    split: Batches,
    *,
    batch_size: int = BATCH,
    device: str | None = None,
    precision: str = "float32",
) -> Iterator[dict[str, Tensor]]:
    """Batch by batch, the parts of the features (on the device, float32) and the labels.

    ``precision`` is a recipe's; the softmax is always taken in float32. A batch for which memory
    is short is halved.

    Raises:
        ValueError: an output is NaN or infinite; names the source and the data.
    """
    device = device or default_device()
    reader = source.reader()
    drawn = torch.Generator().manual_seed(0)
    name = f"{source.name} on {split.name}"

    def read(batch: Any, labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        with torch.inference_mode(), kernels(precision), autocast(precision, device):
            return _checked(reader(source.inputs(batch)), source.name, split.name), labels

    with (
        _borrowed(source.module, device),
        tqdm(total=len(split), unit=source.unit, desc=name) as bar,
    ):
        for found, labels in shrinking(split.batches(batch_size, device), read, name):
            yield source.outputs(found, labels, drawn)
            bar.update(len(labels))


def extract(
    source: Source,
    split: Batches,
    *,
    batch_size: int = BATCH,
    device: str | None = None,
    precision: str = "float32",
) -> tuple[Features, float]:
    """The features of a split, on the CPU, and the throughput in samples per second.

    The features are float32, in the order of the split; the throughput includes decoding.
    """
    start = time.perf_counter()
    collected = _Collected()
    done = 0
    for found in outputs(source, split, batch_size=batch_size, device=device, precision=precision):
        if "sample" in found:
            count = len(found[f"layer.{source.structure.layers[0]}"])
            found["sample"] = found["sample"] + done
            done += count
        collected.add(found)
    made = _features(collected.tensors(), source.structure.layers)
    if split.order is not None:
        made = made.at(split.order.argsort())
    return made, len(split) / (time.perf_counter() - start)


def signature(
    source: Source,
    split: Batches,
    *,
    batch_size: int = BATCH,
    device: str | None = None,
    precision: str = "float32",
) -> Signature:
    """The signature of the source data, streamed: no feature of a single sample is kept.

    It stands in for the source data in the class-agnostic hardness (the paper, Eqs. 1-2).

    Raises:
        ValueError: no data, or a network without layers to tap.
    """
    total: Signature | None = None
    for found in outputs(source, split, batch_size=batch_size, device=device, precision=precision):
        layers = [found[f"layer.{name}"] for name in source.structure.layers]
        total = source_signature(layers) if total is None else total.update(layers)
    if total is None:
        raise ValueError(f"{split.name} is empty")
    return total
