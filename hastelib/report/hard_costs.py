"""Class-agnostic hardness two ways: through the M x N matrix and in linear time, and their cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from numpy import ndarray
from torch import Tensor

from hastelib import extract, hardness
from hastelib.experiments import Grid
from hastelib.report import labels
from hastelib.report.tables import Block, Cell, Table, number

IMAGENET, CUB200 = 1_281_167, 5_994
"""Images in the train splits."""
RESNET50 = (512, 1024, 2048)
"""Widths of the stages that are tapped."""


def unit(x: Tensor) -> Tensor:
    """Rows of norm 1 in float64, written out here so that the check shares no code."""
    x = x.double()
    norms = x.norm(dim=1, keepdim=True)
    return x / torch.where(norms > 0, norms, 1.0)


def by_matrix(
    source: Sequence[Tensor], target: Sequence[Tensor], block: int = 512
) -> tuple[Float64[ndarray, " n"], Float64[ndarray, " n"]]:
    """Eqs. 1-2 as they are defined, through every entry of the matrix S.

    Args:
        source: for each layer the embeddings (M, d_l) of the source samples.
        target: for each layer the embeddings (n, d_l) of the target samples.
        block: target samples whose part of S is held at a time.

    Returns:
        (n,) one less the mean of each column of S, the class-agnostic hardness; (n,) one less
        its largest entry, the distance to the nearest source sample.
    """
    left, right = [unit(x) for x in source], [unit(x) for x in target]
    found = []
    for start in range(0, len(right[0]), block):
        parts = [a @ b[start : start + block].T for a, b in zip(left, right, strict=True)]
        S = torch.stack(parts).mean(0)
        found.append(torch.stack([1 - S.mean(0), 1 - S.amax(0)]))
    mean, nearest = torch.cat(found, 1).numpy()
    return mean, nearest


def matrix_work(source: int, target: int, width: int) -> tuple[int, int]:
    """Multiplications, and bytes of S in float64, of the route through the matrix."""
    return source * target * width + 2 * (source + target) * width, 8 * source * target


def signature_work(source: int, target: int, width: int) -> tuple[int, int]:
    """Multiplications, and bytes of the signature in float64, of the linear-time form."""
    return target * width + 2 * (source + target) * width, 8 * (width + 1)


def costs(grid: Grid, target: str) -> Table:
    """Operations and memory of both routes, on a target of the suite and at the paper's sizes."""
    layers = grid.features(grid.suite.hardness.source, target).layers.values()
    size = grid.signature().count, len(next(iter(layers))), sum(x.shape[1] for x in layers)
    sizes = {
        labels.plain(target): size,
        "CUB200, 10%": (round(IMAGENET / 10), CUB200, sum(RESNET50)),
        "CUB200, all": (IMAGENET, CUB200, sum(RESNET50)),
    }
    work: list[tuple[str, tuple[Cell, ...]]] = []
    memory: list[tuple[str, tuple[Cell, ...]]] = []
    for name, (m, n, d) in sizes.items():
        (steps, bytes_), (fewer, less) = matrix_work(m, n, d), signature_work(m, n, d)
        for rows, pair in ((work, (steps, fewer)), (memory, (bytes_, less))):
            texts = (*map(amount, pair), f"{pair[0] / pair[1]:,.0f}")
            rows.append((name, tuple(map(Cell, texts))))
    listed = "; ".join(
        f"{name}: M = {m:,}, N = {n:,}, d = {d:,}" for name, (m, n, d) in sizes.items()
    )
    caption = (
        "Multiplications and bytes kept, by the M × N matrix and by the signature, and how many "
        "times more the matrix takes, with d the sum of the widths of the layers. "
        f"{listed}. The last two are ResNet-50 with a tenth of ImageNet, the paper's sample, and "
        "with all of it."
    )
    blocks = (
        Block("Multiplications", ("Target", "Matrix", "Signature", "Times"), tuple(work)),
        Block("Bytes", ("Target", "S", "Signature", "Times"), tuple(memory)),
    )
    return Table(caption, blocks)


def amount(value: float) -> str:
    """A count with three digits and k, M, G or T."""
    power = min(4, int(math.log10(max(value, 1)) // 3))
    return f"{value / 1000**power:.3g} {['', 'k', 'M', 'G', 'T'][power]}".strip()


def _through_matrix(source: Tensor, target: Tensor) -> tuple[Tensor, int]:
    S = unit(source) @ unit(target).T
    return 1 - S.mean(0), S.nelement() * S.element_size()


def _through_signature(source: Tensor, target: Tensor) -> tuple[Tensor, int]:
    made = hardness.source_signature([source])
    kept = sum(x.nelement() * x.element_size() for x in made.arrays().values())
    return hardness.class_agnostic([target], made), kept


ROUTES: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, int]]] = {
    "matrix": _through_matrix,
    "signature": _through_signature,
}


def growth(
    sizes: Sequence[int] = (256, 512, 1024, 2048, 4096),
    fixed: int = 512,
    width: int = 128,
    repeats: int = 3,
) -> pd.DataFrame:
    """Time and memory of both routes while M, N, or both grow, on random data and one thread.

    Returns:
        The columns grows (``M``, ``N``, ``M = N``), size, route, seconds (the best of the
        repeats) and bytes (of S, or of the signature).
    """
    random = torch.Generator().manual_seed(0)
    found = []
    with extract.threaded(1):
        for grows in ("M", "N", "M = N"):
            for size in sizes:
                m, n = (size if name in grows else fixed for name in ("M", "N"))
                data = [torch.randn(k, width, generator=random).double() for k in (m, n)]
                for route, run in ROUTES.items():
                    seconds = []
                    for _ in range(1 + repeats):  # the first one warms up
                        start = time.perf_counter()
                        _, kept = run(*data)
                        seconds.append(time.perf_counter() - start)
                    found.append((grows, size, route, min(seconds[1:]), kept))
    return pd.DataFrame(found, columns=["grows", "size", "route", "seconds", "bytes"])


def slopes(grown: pd.DataFrame, column: str = "seconds") -> dict[tuple[str, str], float]:
    """By what grows and route, the exponent of growth: the slope in the log-log plot.

    Fitted to the larger half of the sizes, where constant costs matter less.
    """
    found = {}
    for key, part in grown.groupby(["grows", "route"], sort=False):
        upper = part.sort_values("size").tail((len(part) + 1) // 2)
        line = np.polyfit(np.log(upper["size"]), np.log(upper[column]), 1)
        found[str(key[0]), str(key[1])] = float(line[0]) + 0.0
    return found


def growth_words(grown: pd.DataFrame) -> str:
    """The exponents and the largest ratio, as Markdown."""
    times, memory = slopes(grown), slopes(grown, "bytes")
    both = grown[grown["grows"] == "M = N"]
    largest = both[both["size"] == both["size"].max()]
    ratio = {
        name: float(largest.loc[largest["route"] == "matrix", name].iloc[0])
        / float(largest.loc[largest["route"] == "signature", name].iloc[0])
        for name in ("seconds", "bytes")
    }
    listed = ", ".join(
        f"{number(times[grows, 'matrix'], 2)} and {number(times[grows, 'signature'], 2)} in {grows}"
        for grows in grown["grows"].unique()
    )
    return (
        "Exponents of growth over the larger sizes, matrix and signature: time "
        f"{listed}; memory {number(memory['M = N', 'matrix'], 2)} and "
        f"{number(memory['M = N', 'signature'], 2)} in M = N. At "
        f"M = N = {int(both['size'].max()):,} the matrix takes {ratio['seconds']:,.0f} times the "
        f"time and {ratio['bytes']:,.0f} times the memory. These are one run on the machine that "
        "built this page: the exponents and ratios vary from run to run."
    )
