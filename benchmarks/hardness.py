"""Class-agnostic hardness: the signature of the source data against the similarity matrix.

Both give the same numbers (the tests hold them to 1e-12); only the ratio of the times counts.

    python benchmarks/hardness.py [--source-samples 5000] [--samples 2000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from hastelib import hardness
from hastelib.finetune import describe, versions

WIDTHS = (512, 1024, 2048)  # ResNet-50, stages 2 to 4


def matrix(source: list[torch.Tensor], target: list[torch.Tensor]) -> torch.Tensor:
    """Eqs. 1 and 2 as written: all pairs."""
    pairs = [
        torch.nn.functional.normalize(s, dim=1) @ torch.nn.functional.normalize(t, dim=1).T
        for s, t in zip(source, target, strict=True)
    ]
    return 1 - torch.stack(pairs).mean(0).mean(0)


def seconds(function: Callable[[], torch.Tensor]) -> float:
    """The time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source-samples", type=int, default=5000)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    random = torch.Generator().manual_seed(0)
    source, target = (
        [torch.randn(n, d, generator=random, dtype=torch.float64) for d in WIDTHS]
        for n in (given.source_samples, given.samples)
    )

    def signature() -> torch.Tensor:
        return hardness.class_agnostic(target, hardness.source_signature(source))

    gap = (matrix(source, target) - signature()).abs().max().item()
    times = [
        (seconds(lambda: matrix(source, target)), seconds(signature)) for _ in range(given.repeats)
    ]
    slow, fast = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"M = {given.source_samples}, N = {given.samples}, {describe('cpu')}; {versions()}")
    print(f"matrix {slow:.2f} s, signature {fast:.2f} s: {slow / fast:.1f} times; gap {gap:.1e}")


if __name__ == "__main__":
    main()
