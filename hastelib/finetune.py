"""Training a network: fine-tuning on a target, and pre-training the embedded sources."""

import functools
import io
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

import hastelib
from hastelib.data.images import Batches
from hastelib.data.scenes import IGNORE
from hastelib.features import BATCH, autocast, default_device, kernels, shrinking, threaded
from hastelib.models import Source, placed
from hastelib.store import Store
from hastelib.suites import Recipe

APART = 10.0  # seconds between two checkpoints, at least: a short training takes none


@dataclass(frozen=True)
class Outcome:
    """What fine-tuning led to.

    Attributes:
        accuracy: on the test split, see :func:`hastelib.finetune.accuracy`.
        probs: what it predicts there, see :func:`hastelib.finetune.predict`.
        labels: (n_test,) the truth; of scenes (n_test, h, w).
        provenance: recipe, seed, device, versions, seconds.
        module: the fine-tuned network on the CPU; None where the outcome was read from the store.
    """

    accuracy: float
    probs: Tensor
    labels: Tensor
    provenance: dict[str, Any]
    module: nn.Module | None = None


@contextmanager
def seeded(seed: int, threads: int, precision: str = "float32") -> Iterator[None]:
    """A fixed random state, number of threads and choice of kernels, put back afterwards."""
    with threaded(threads), torch.random.fork_rng(), kernels(precision, deterministic=True):
        torch.manual_seed(seed)
        yield


def optimiser_of(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD or Adam, as the recipe has it."""
    weights, rate, decay = module.parameters(), recipe.learning_rate, recipe.weight_decay
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(weights, rate, recipe.momentum, weight_decay=decay)
    return torch.optim.Adam(weights, rate, weight_decay=decay, fused=True)


def _pack(parts: Mapping[str, Any], order: torch.Generator) -> Tensor:
    """The state from which a training goes on as if it had not stopped, as bytes."""
    state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
    state |= {"order": order.get_state(), "random": torch.get_rng_state()}
    file = io.BytesIO()
    torch.save(state | {"cuda": torch.cuda.get_rng_state_all()}, file)
    return torch.frombuffer(file.getbuffer(), dtype=torch.uint8).clone()


def _unpack(saved: Tensor, parts: Mapping[str, Any], order: torch.Generator) -> None:
    file = io.BytesIO(saved.numpy().data)
    state = torch.load(file, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    order.set_state(state["order"])
    torch.set_rng_state(state["random"])
    torch.cuda.set_rng_state_all(state["cuda"])


def train(
    source: Source,
    module: nn.Module,
    split: Batches,
    recipe: Recipe,
    seed: int,
    *,
    device: str,
    store: Store,
    entry: str,
    name: str,
) -> None:
    """Train ``module``, which is fed as the ``source`` is; checkpoints lie under ``entry``.

    A checkpoint is written after an epoch, where the last one is ten seconds old. A killed run that
    is started again goes on from there, and ends with the same weights as an unbroken one on the
    same machine. (Not so an FCN on a GPU: the gradient of its bilinear enlargement is not
    deterministic there.) ``seed`` is that of the samples' order.

    Raises:
        ValueError: fewer than two samples; the loss is NaN or infinite; the checkpoint is of
            another source, recipe, seed or data set.
    """
    n = len(split)
    if n < 2:
        raise ValueError(f"{split.name}: expected at least two samples to train on")
    steps = n // recipe.batch_size + (n % recipe.batch_size > 1)  # a last batch of one is left out
    order, optimiser = torch.Generator().manual_seed(seed), optimiser_of(module, recipe)
    parts: dict[str, Any] = {"module": module, "optimiser": optimiser}
    if recipe.schedule == "onecycle":
        parts["onecycle"] = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, recipe.learning_rate, recipe.epochs * steps, cycle_momentum=False
        )
    elif recipe.schedule == "plateau":
        parts["plateau"] = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=0.5, patience=recipe.patience
        )
    setup = {
        "source": source.fingerprint,
        "recipe": recipe.model_dump(),
        "seed": seed,
        "data": [split.name, n, split.classes],
    }
    arrays, notes = store.read("checkpoints", entry) or ({}, {"epochs": 0, "made": setup})
    if notes["made"] != setup:
        raise ValueError(
            f"entry: {entry} holds a checkpoint of another "
            f"{' and '.join(key for key in setup if setup[key] != notes['made'].get(key))}; give "
            "every source, recipe, seed and data set an entry of its own"
        )
    if arrays:
        _unpack(arrays["state"], parts, order)
    start, saved_at = notes["epochs"], time.monotonic()
    module.train()
    with tqdm(desc=name, total=recipe.epochs * n, initial=start * n) as progress:
        for epoch in range(start, recipe.epochs):
            loss_sum = torch.zeros((), device=device)
            for batch, labels in split.batches(recipe.batch_size, device, order):
                if recipe.flips:
                    batch, labels = _mirrored(batch, labels, order)
                if labels.ndim == 1 or (labels >= 0).any():  # else no pixel has a class
                    with autocast(recipe.precision, device):
                        logits = source.logits(module, batch)
                    loss = nn.functional.cross_entropy(logits.float(), labels)
                    optimiser.zero_grad()
                    loss.backward()
                    if recipe.clip:
                        nn.utils.clip_grad_norm_(module.parameters(), recipe.clip)
                    optimiser.step()
                    loss_sum += loss.detach() * len(labels)
                if recipe.schedule == "onecycle":
                    parts["onecycle"].step()
                progress.update(len(labels))
            mean_loss = loss_sum.item() / n
            progress.set_postfix(loss=f"{mean_loss:.3f}")
            if not mean_loss < float("inf"):  # which holds for NaN, too
                raise ValueError(
                    f"{name}: the loss is {mean_loss} after epoch {epoch + 1}; lower the learning "
                    f"rate (now {recipe.learning_rate})"
                )
            if recipe.schedule == "plateau":
                parts["plateau"].step(mean_loss)
            if time.monotonic() - saved_at >= APART:
                notes = {"epochs": epoch + 1, "made": setup}
                store.write("checkpoints", entry, {"state": _pack(parts, order)}, notes)
                saved_at = time.monotonic()
    module.eval()


def _mirrored(batch: Any, labels: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flip each image left to right with probability one half, a scene's mask with it."""
    if not isinstance(batch, Tensor):
        raise ValueError("flips: expected images, got texts; leave flips out of the recipe")
    flip = (torch.rand(len(batch), generator=random) < 0.5).to(batch.device)
    batch = torch.where(flip[:, None, None, None], batch.flip(-1), batch)
    if labels.ndim == 3:
        labels = torch.where(flip[:, None, None], labels.flip(-1), labels)
    return batch, labels


@torch.inference_mode()
def predict(
    source: Source, module: nn.Module, split: Batches, device: str, precision: str = "float32"
) -> Tensor:
    """What a network, fed as the ``source`` is, predicts on a split, in its order, on the CPU.

    Of images and texts (n, c) float32, the softmax; of scenes (n, h, w) uint8, each pixel's class.
    ``ValueError`` for NaN or infinity, as after a learning rate that is too high.
    """

    def forward(batch: Any, _: Tensor) -> Tensor:
        with autocast(precision, device):
            logits = source.logits(module, batch)
        if not logits.isfinite().all():
            raise ValueError(
                f"{source.name} predicts NaN or infinity on {split.name}: its training diverged; "
                "lower the learning rate"
            )
        scenes = logits.ndim == 4
        return (logits.argmax(1).byte() if scenes else logits.float().softmax(1)).cpu()

    outputs = torch.cat([*shrinking(split.batches(BATCH, device), forward, split.name)])
    return outputs if split.order is None else outputs[split.order.argsort()]


def accuracy(predicted: Tensor, labels: Tensor, classes: int) -> float:
    """The accuracy of predictions, in [0, 1]: top-1; of scenes the mean intersection over union.

    The mean is over the classes that occur or are predicted; pixels of label 255 do not count.
    """
    if labels.ndim == 1:
        return (predicted.argmax(1) == labels).double().mean().item()
    counts = torch.zeros(classes**2, dtype=torch.int64)
    for scene, truth in zip(predicted, labels, strict=True):
        valid = truth != IGNORE
        counts += (classes * truth[valid].long() + scene[valid]).bincount(minlength=len(counts))
    confusion = counts.view(classes, classes)
    both = confusion.diagonal().double()
    return (both / (confusion.sum(0) + confusion.sum(1) - both)).nanmean().item()


def finetune(
    source: Source,
    train_split: Batches,
    test_split: Batches,
    recipe: Recipe,
    seed: int,
    *,
    store: Store,
    entry: str,
) -> Outcome:
    """Fine-tune all of a source, under a new classifier, on a target (the paper, Sec. 3); test it.

    The source stays as it is. The ``seed`` is that of the new weights and of the samples' order.
    The ``store`` keeps the checkpoints under ``entry``, a hash of all that decides the result, the
    last one until the caller drops it.

    Raises:
        ValueError: the splits differ in their classes, or training diverged.
        MemoryError: the device's memory is too small for the recipe's batches.
    """
    if train_split.classes != test_split.classes:
        raise ValueError(
            f"{train_split.name} has the classes {train_split.classes}, {test_split.name} "
            f"{test_split.classes}; they must agree"
        )
    device, start = default_device(), time.perf_counter()
    with seeded(seed, recipe.threads, recipe.precision):
        module = placed(source.with_classes(len(train_split.classes)), device)
        name = f"{source.name} to {train_split.name}, seed {seed}"
        options: dict[str, Any] = {"device": device, "store": store, "entry": entry, "name": name}
        try:
            train(source, module, train_split, recipe, seed, **options)
        except torch.OutOfMemoryError as error:
            raise MemoryError(
                f"{name}: the memory of {device} is too small for batches of {recipe.batch_size}; "
                "lower batch_size in the suite's recipe"
            ) from error
        probs = predict(source, module, test_split, device, recipe.precision)
    provenance = {
        "recipe": recipe.model_dump(),
        "seed": seed,
        "device": describe(device),
        "versions": versions(),
        "seconds": round(time.perf_counter() - start, 2),
    }
    test_accuracy = accuracy(probs, test_split.labels, len(test_split.classes))
    return Outcome(test_accuracy, probs, test_split.labels, provenance, module.cpu())


def describe(device: str) -> str:
    """The hardware in words: the GPU's name, or the processor's, its cores and instruction set."""
    if torch.device(device).type == "cuda":
        available = torch.cuda.is_available()  # else on the workers only
        return torch.cuda.get_device_name(device) if available else "a GPU"
    cpuinfo = Path("/proc/cpuinfo")  # the one place that names the processor, where it exists
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    names = re.findall(r"^model name\s*: (.+)$", text, re.MULTILINE) or [platform.machine()]
    instructions = torch.backends.cpu.get_cpu_capability()  # they decide how sums are rounded
    return f"{names[0].strip()}, {os.cpu_count()} cores, {instructions}"


@functools.cache
def versions() -> str:
    """The versions that made a result, for its provenance; in a clone with the commit."""
    root, commit = Path(hastelib.__file__).parents[1], ""
    if (root / ".git").exists() and shutil.which("git"):
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        commit = f" ({run.stdout.strip()})" if run.stdout.strip() else ""
    return f"hastelib {hastelib.__version__}{commit}, torch {torch.__version__.partition('+')[0]}"
