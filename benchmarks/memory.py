"""Peak memory, each measured in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import baselines
import torch
from torch import nn

import hastelib
from hastelib import hardness, metrics

BATCH = 1024
CLASSES = 100
STATUS = Path("/proc/self/status")  # of Linux


def batches(count: int, width: int) -> Iterator[torch.Tensor]:
    """Source samples as they come out of a network, batch by batch."""
    for start in range(0, count, BATCH):
        yield torch.randn(min(BATCH, count - start), width, dtype=torch.float64)


def matrix(count: int, target: torch.Tensor) -> torch.Tensor:
    source = torch.cat([*batches(count, target.shape[1])])
    return baselines.similarity_matrix(source, target)


def signature(count: int, target: torch.Tensor) -> torch.Tensor:
    parts = batches(count, target.shape[1])
    found = hardness.source_signature([next(parts)])
    for part in parts:
        found.update([part])
    return hardness.class_agnostic([target], found)


def moments(count: int, target: torch.Tensor) -> float:
    """LogME and the H-score of ``count`` samples that are never all there."""
    found = metrics.Moments()
    for part in batches(count, target.shape[1]):
        found.update(part.float(), torch.arange(len(part)) % CLASSES)
    return found.logme() + found.h_score()


def transrate(count: int, target: torch.Tensor) -> float:
    return metrics.transrate(target.float(), torch.arange(len(target)) % CLASSES)


def gbc(count: int, target: torch.Tensor) -> float:
    return metrics.gbc(target.float(), torch.arange(len(target)) % CLASSES)


class Shape(nn.Module):
    """What a ResNet-50 gives (its stages but the first, pooled, and 1000 logits), from little."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Linear(8, d) for d in (512, 1024, 2048)])
        self.head = nn.Linear(2048, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head([stage(x) for stage in self.stages][-1])


def extraction(count: int, target: torch.Tensor) -> list[hastelib.Features]:
    """The features that two networks make of ``count`` images, all of them at hand."""
    layers = [f"stages.{i}" for i in range(3)]

    def found() -> hastelib.Features:
        several = ((part.float(), torch.zeros(len(part), dtype=int)) for part in batches(count, 8))
        return hastelib.features(Shape(), several, head="head", layers=layers)

    return [found() for _ in range(2)]


RUNS = {f.__name__: f for f in (matrix, signature, moments, transrate, gbc, extraction)}


def _highest() -> float:
    """MiB at the peak. Linux only: the peak that getrusage gives is the parent's at first."""
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10


def _growth(side: str, count: int, samples: int, width: int, threads: int) -> float:
    torch.set_num_threads(threads)
    run = RUNS[side]
    run(2 * CLASSES, torch.randn(2 * CLASSES, 16, dtype=torch.float64))  # libraries keep memory
    target = torch.randn(samples, width, dtype=torch.float64)
    before = _highest()
    run(count, target)
    return _highest() - before


def peak(side: str, count: int, samples: int, width: int, threads: int) -> float:
    """MiB beyond the target's own embeddings in float64, with ``count`` streamed samples."""
    # glibc then returns what is freed at once, so that the peak is that of what is in use.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(2**17)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_growth, side, count, samples, width, threads).result()
