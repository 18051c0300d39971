"""One forward pass for each network and data set: all that metrics and hardness need."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, SequentialSampler
from tqdm import tqdm

from hastelib import checks, hooks
from hastelib.checks import refuse
from hastelib.hardness import Signature, source_signature
from hastelib.store import cache_folder

if TYPE_CHECKING:
    from hastelib.data.images import Batches
    from hastelib.models import Source

T = TypeVar("T")
BATCH = 64  # samples at a time: at 224 px DenseNet-121 then takes 2.5 GB
IN_MEMORY = 1 << 30  # bytes of features that are collected; what is more goes to mapped files


@dataclass(frozen=True)
class Features:
    """What a source makes of N samples: n = N rows, or more where they are pixels of scenes.

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
        rows, sample = samples, None
        if self.sample is not None:
            counts = torch.bincount(self.sample, minlength=len(self))
            by_sample = torch.arange(len(self.labels)).split(counts.tolist())
            rows = torch.cat([by_sample[i] for i in samples.tolist()])
            sample = torch.arange(len(samples)).repeat_interleave(counts[samples])
        layers = {name: x[samples] for name, x in self.layers.items()}
        probs = None if self.probs is None else self.probs[rows]
        return Features(self.embedding[rows], probs, layers, self.labels[rows], sample)

    def arrays(self) -> dict[str, Tensor]:
        """Named tensors, as the store keeps them; a layer that is the embedding has no rows."""
        address = self.embedding.data_ptr()
        layers = {
            f"layer.{i:03}.{name}": x[:0] if x.data_ptr() == address else x
            for i, (name, x) in enumerate(self.layers.items())
        }
        parts = vars(self) | layers
        return {name: x for name, x in parts.items() if isinstance(x, Tensor)}

    @classmethod
    def of(cls, arrays: Mapping[str, Tensor]) -> Features:
        """The inverse of :meth:`arrays`."""
        embedding = arrays["embedding"]
        layers = {
            name.split(".", 2)[2]: arrays[name] if len(arrays[name]) else embedding
            for name in sorted(arrays)
            if name.startswith("layer.")
        }
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


@functools.cache
def _keep_memory() -> None:
    """Let the process keep what is freed, up to 1 GiB, where the C library is glibc.

    By default large buffers go back to the system, which fills them with zeros anew for every layer
    of every batch: a third of the time of a forward pass at 224 px.
    """
    with suppress(OSError):  # another C library
        libc = ctypes.CDLL("libc.so.6")
        for option in (-1, -3):  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
            libc.mallopt(option, 1 << 30)


@contextmanager
def kernels(precision: str, deterministic: bool = False) -> Iterator[None]:
    """Compute the GPU's matrix products in TF32 where the ``precision`` of a recipe is ``tf32``;
    ``deterministic`` is cuDNN's."""
    _keep_memory()
    tf32, before = precision == "tf32", torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else before)
    with torch.backends.cudnn.flags(enabled=True, deterministic=deterministic, allow_tf32=tf32):
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def autocast(precision: str, device: str) -> torch.autocast:
    """Run forward passes in bfloat16 where the ``precision`` of a recipe is ``bf16``."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16")


def _map_tensors(inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """A batch with ``function`` applied to its tensor, or to all tensors of its mapping."""
    if isinstance(inputs, Tensor):
        return function(inputs)
    return {name: function(x) for name, x in inputs.items()}


def shrinking(
    batches: Iterable[tuple[Any, Tensor]], compute: Callable[[Any, Tensor], T], name: str
) -> Iterator[T]:
    """``compute`` of every batch; once memory is short, of halves from then on."""
    size = sys.maxsize
    for inputs, labels in batches:
        start = 0
        while start < len(labels):
            rows = slice(start, start + size)
            result = None
            try:
                result = compute(_map_tensors(inputs, itemgetter(rows)), labels[rows])
            except torch.OutOfMemoryError:
                if (size := min(size, len(labels)) // 2) == 0:
                    raise
            if result is None:  # the failed pass has let go of its memory by now
                torch.cuda.empty_cache()
                warnings.warn(f"{name}: memory is short; batches of {size} from here", stacklevel=2)
                continue
            yield result
            start = rows.stop


def default_device(given: str | None = None) -> str:
    """The device given, else ``HASTE_DEVICE``, else ``cuda`` if there is a GPU, else ``cpu``.

    A client without a GPU whose workers have one sets it, and finds in the cache what they made.
    """
    given = given or os.environ.get("HASTE_DEVICE")
    given = given or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if torch.device(given).type == "meta":  # which would take the weights away
            raise RuntimeError
    except RuntimeError:
        expected = "cpu, cuda, or one GPU such as cuda:1"
        raise refuse("device or HASTE_DEVICE", expected, repr(given)) from None
    return given


class _Collected:
    """Rows of named matrices, batch by batch: in memory, or beyond a limit in mapped files."""

    def __init__(self) -> None:
        self.parts, self.bytes = defaultdict[str, list[Tensor]](list), 0
        # The files have no names, so that none is left behind, whatever happens.
        open_file = functools.partial(tempfile.TemporaryFile, dir=cache_folder())
        self.files = defaultdict[str, Any](open_file)

    def add(self, arrays: Mapping[str, Tensor]) -> None:
        for name, x in arrays.items():
            self.parts[name].append(x.cpu())
            self.bytes += x.nbytes
        if self.bytes > IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        cache_folder().mkdir(parents=True, exist_ok=True)
        for name, parts in self.parts.items():
            for x in parts:
                x.contiguous().numpy().tofile(self.files[name])
            parts[:] = [parts[-1][:0]]  # an empty one keeps the type and width
        self.bytes = 0

    def features(self, names: Sequence[str]) -> Features:
        """All rows, with the layers of these names; one that is the embedding shares its memory."""
        if self.files:
            self._spill()
        rows = {name: torch.cat(parts) for name, parts in self.parts.items()}
        for name, file in self.files.items():  # of these the rows in memory are empty
            with file:  # the mapping outlives it
                mapped = np.memmap(file, rows[name].numpy().dtype, "c")
            rows[name] = torch.from_numpy(mapped).view(-1, *rows[name].shape[1:])
        embedding, layers = rows["embedding"], {}
        for name in names:
            x, atol = rows[f"layer.{name}"], 1e-6 * float(embedding[:99].abs().max())
            pairs = zip(x.split(4096), embedding.split(4096), strict=False)
            if x.shape == embedding.shape and all(torch.allclose(*p, 1e-5, atol) for p in pairs):
                x = embedding
            layers[name] = x
        return Features(embedding, rows.get("probs"), layers, rows["labels"], rows.get("sample"))


@contextmanager
def _borrowed(module: nn.Module, device: str) -> Iterator[tuple[torch.device, torch.dtype]]:
    """Lend the module in evaluation mode on a device, with device and type; then restore it."""
    devices = {x.device for x in [*module.parameters(), *module.buffers()]}
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        if len(devices) > 1:  # spread over several: inputs go where its first weights are
            yield hooks.home(module)
        else:
            module.to(device)
            yield torch.device(device), hooks.home(module)[1]
    finally:
        for part, training in modes.items():
            part.training = training
        if len(devices) == 1:
            module.to(devices.pop())


def _checked(outputs: dict[str, Tensor], name: str, data: str) -> dict[str, Tensor]:
    """The outputs as float32; ``ValueError`` where one is not finite."""
    outputs = {part: x.float() for part, x in outputs.items()}
    if not torch.stack([x.isfinite().all() for x in outputs.values()]).all():
        raise ValueError(
            f"{name} gives NaN or infinity on {data}: its weights or its preprocessing are wrong, "
            "or its precision does not suffice"
        )
    return outputs


def features(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    head: str | None = None,
    layers: Sequence[str] | None = None,
    device: str | None = None,
    pool: str = "mean",
) -> Features:
    """The features of some batches from any torch module, read by forward hooks in one pass.

    The embedding is the classifier's input; without one the network's output, and there are no
    probabilities. All is pooled over space or tokens. The module comes back as it was: mode,
    device, memory layout.

    Args:
        model: a module in any precision.
        batches: (inputs, labels) each, or a mapping of the module's arguments (``input_ids``,
            ``attention_mask``) and ``labels``, which are integers (n,).
        head: the classifier's name, where not by the rule of :func:`hastelib.hooks.structure`.
        layers: names of the modules to tap, where not by that rule.
        device: where the module runs; a GPU where there is one.
        pool: of tokens that are the embedding: their ``mean``, or ``cls``, the first.

    Returns:
        CPU float32 tensors in the order of the samples, mapped from files where they are large.

    Raises:
        ValueError: a shuffling ``DataLoader``, no batches, labels that are not one integer a
            sample, outputs that are not finite, names that the module does not have.
    """
    checks.choice("pool", pool, ("mean", "cls"))
    in_order("batches", batches)
    network = hooks.unwrapped(model)
    name, collected, structure = type(network).__name__, _Collected(), None
    with _borrowed(network, default_device(device)) as (home, dtype), torch.no_grad():

        def moved(x: Tensor) -> Tensor:
            return x.to(home, dtype if x.is_floating_point() else x.dtype, non_blocking=True)

        for batch in tqdm(batches, unit="batch", desc=name):
            inputs, labels = parted(batch)
            inputs = _map_tensors(inputs, moved)
            structure = structure or hooks.structure(network, inputs, head, layers)
            outputs = _checked(structure.read(network, inputs, pool), name, "this batch")
            if (n := len(outputs["embedding"])) != len(labels):
                raise refuse("labels", f"{n}, one for each sample of the batch", len(labels))
            if "logits" in outputs:
                outputs["probs"] = outputs.pop("logits").softmax(1)
            collected.add(outputs | {"labels": labels})
    if structure is None:
        raise refuse("batches", "at least one", "none")
    return collected.features(structure.layers)


def in_order(name: str, batches: Any) -> None:
    """Refuse a ``DataLoader`` that shuffles: the order is the samples' identity."""
    if not isinstance(batches, DataLoader) or isinstance(batches.dataset, IterableDataset):
        return
    sampler: Any = batches.batch_sampler or batches.sampler
    sampler = getattr(sampler, "sampler", sampler)
    if not isinstance(sampler, SequentialSampler | list | tuple | range):
        got = f"a DataLoader with a {type(sampler).__name__}; build it with shuffle=False"
        raise refuse(name, "samples in their order", got)


def parted(batch: Any) -> tuple[Any, Tensor]:
    """The inputs and the labels of a batch."""
    if isinstance(batch, Mapping):
        inputs: Any = dict(batch)
        labels = inputs.pop("labels", None)
    elif isinstance(batch, list | tuple) and len(batch) == 2:
        inputs, labels = batch
    else:
        raise refuse("batches", "pairs of inputs and labels, or mappings", checks.describe(batch))
    if not isinstance(inputs, Tensor | dict):
        raise refuse("batches", "inputs that are tensors", checks.describe(inputs))
    return inputs, checks.labels("labels", labels)


def _taps(
    source: Source,
    split: Batches,
    *,
    batch_size: int = BATCH,
    device: str | None = None,
    precision: str = "float32",
) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """The network's tapped outputs, float32, and the labels, batch by batch, on the device."""
    device = default_device(device)
    name = f"{source.name} on {split.name}"

    def read(batch: Any, labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        with torch.no_grad(), kernels(precision), autocast(precision, device):
            return _checked(source.taps(batch), source.name, split.name), labels

    random = torch.random.fork_rng(devices=[])  # loaders draw from the caller's generator
    with _borrowed(source.module, device), random, tqdm(total=len(split), desc=name) as bar:
        for taps, labels in shrinking(split.batches(batch_size, device), read, name):
            yield taps, labels
            bar.update(len(labels))


def extract(source: Source, split: Batches, **how: Any) -> Features:
    """The features of a split, in its order.

    ``how``: ``batch_size``, halved where memory is short, ``device`` and a recipe's ``precision``.
    ``ValueError`` where an output is NaN or infinite.
    """
    collected, generator, start = _Collected(), torch.Generator().manual_seed(0), 0
    for taps, labels in _taps(source, split, **how):
        outputs = source.outputs(taps, labels, generator)
        if "sample" in outputs:
            outputs["sample"] += start
        collected.add(outputs)
        start += len(labels)
    in_batches = collected.features(source.structure.layers)
    return in_batches if split.order is None else in_batches.at(split.order.argsort())


def signature(source: Source, split: Batches, **how: Any) -> Signature:
    """The signature of the source data (:class:`hastelib.hardness.Signature`), streamed.

    ``how`` is as for :func:`hastelib.features.extract`; ``ValueError`` without data or layers.
    """
    total = None
    for taps, _ in _taps(source, split, **how):
        layers = [taps[f"layer.{name}"] for name in source.structure.layers]
        total = source_signature(layers) if total is None else total.update(layers)
    if total is None:
        raise ValueError(f"{split.name} is empty")
    return total
