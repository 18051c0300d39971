"""Two sides of a comparison, timed alternately in one run; at the end one table of all ratios.

A ratio is the median time of the slow side over that of the fast side, which is always what the
library offers, checks of its input included. A ratio that misses what is wanted fails the run, at
the end, so that all are measured.
"""

from __future__ import annotations

import csv
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from hastelib.features import threaded
from hastelib.finetune import describe, versions

SAMPLES, WIDTH, SOURCE_CLASSES, CLASSES = 8041, 2048, 1000, 200
THREADS = 2

Side = tuple[str, Callable[[], Any]]


@dataclass
class Row:
    """One comparison; ``wanted`` is the least ratio, or the most where ``at_most``."""

    what: str
    precision: str
    slow_side: str
    slow: float
    fast_side: str
    fast: float
    unit: str = "s"
    wanted: float | None = None
    at_most: bool = False
    rounds: str = ""
    device: str = field(default_factory=lambda: f"{describe('cpu')}, threads a job: {THREADS}")
    versions: str = field(default_factory=versions)

    @property
    def ratio(self) -> float:
        return self.slow / self.fast if self.fast else math.inf

    @property
    def met(self) -> str:
        if self.wanted is None:
            return ""
        kept = self.ratio <= self.wanted if self.at_most else self.ratio >= self.wanted
        return "yes" if kept else "NO"

    @property
    def wish(self) -> str:
        if self.wanted is None:
            return ""
        return f"{'at most' if self.at_most else 'at least'} {self.wanted:.3g}"


@dataclass
class Features:
    """What ``hastelib.metrics.Sample`` takes, and source embeddings."""

    embedding: torch.Tensor
    probs: torch.Tensor
    source: torch.Tensor
    labels: torch.Tensor

    def to(self, kind: torch.dtype) -> Features:
        arrays = (self.embedding, self.probs, self.source)
        return Features(*(x.to(kind) for x in arrays), self.labels)


ROWS = pytest.StashKey[list[Row]]()
RESULTS = pytest.StashKey[dict[str, tuple[Any, list[float]]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--csv", type=Path, help="write the table of ratios here, too")
    parser.addoption("--source", default="resnet20@glyphs", help="the network of bench_extraction")
    parser.addoption("--images", type=int, default=2048, help="how many it sees")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS], config.stash[RESULTS] = [], {}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with threaded(THREADS):
        yield


@pytest.fixture(scope="session")
def drawn() -> Features:
    """Random float32 data with all classes present: the sizes of Stanford Cars and ResNet-50."""
    random = torch.Generator().manual_seed(0)
    embedding, source = (torch.randn(SAMPLES, WIDTH, generator=random) for _ in range(2))
    probs = torch.randn(SAMPLES, SOURCE_CLASSES, generator=random).softmax(1)
    order = torch.randperm(SAMPLES, generator=random)
    return Features(embedding, probs, source, (torch.arange(SAMPLES) % CLASSES)[order])


@pytest.fixture(scope="session")
def double(drawn: Features) -> Features:
    """The same numbers in float64, for the slow sides: converting is no part of their time."""
    return drawn.to(torch.float64)


@pytest.fixture(params=["float64", "float32"])
def features(request: pytest.FixtureRequest, drawn: Features, double: Features) -> Features:
    """What the fast sides are given."""
    return {"float64": double, "float32": drawn}[request.param]


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[Row], None]:
    """Add a row to the table."""
    return request.config.stash[ROWS].append


@pytest.fixture
def compare(
    benchmark: Any, request: pytest.FixtureRequest, record: Callable[[Row], None]
) -> Callable[..., None]:
    """Check that both sides agree, time them in alternation, and add the row.

    With ``once`` the slow side runs a single time, for all precisions. What is wanted is wanted
    of float64; float32, as extracted, has to be converted on top, by the fast side alone.
    """
    call = getattr(request.node, "callspec", None)
    precision = call.params.get("features", "") if call else ""
    results = request.config.stash[RESULTS]

    def timed(function: Callable[[], Any], times: list[float]) -> Any:
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
        return result

    def run(
        what: str,
        slow: Side,
        fast: Side,
        agree: Callable[[Any, Any], None],
        wanted: float | None = None,
        rounds: int = 5,
        once: bool = False,
    ) -> None:
        times: list[float] = []
        if once and what in results:
            result, times = results[what]
        else:
            result = timed(slow[1], times)
            if once:
                results[what] = result, times
        agree(result, fast[1]())
        if not once:
            times.clear()  # that was warming up

        def before() -> None:
            if not once:
                timed(slow[1], times)

        benchmark.pedantic(fast[1], setup=before, rounds=rounds)
        row = Row(
            what,
            precision,
            slow[0],
            statistics.median(times),
            fast[0],
            benchmark.stats.stats.median,
            wanted=None if precision == "float32" else wanted,
            rounds=f"{len(times)} and {rounds}",
        )
        benchmark.extra_info.update(slow=row.slow, ratio=row.ratio)
        record(row)

    return run


def pytest_sessionfinish(session: pytest.Session) -> None:
    rows = session.config.stash[ROWS]
    if session.exitstatus == pytest.ExitCode.OK and any(row.met == "NO" for row in rows):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash[ROWS]
    if not rows:
        return
    terminalreporter.section(f"{rows[0].device}; {rows[0].versions}")
    table = [("what", "input", "slow side", "", "fast side", "", "ratio", "wanted", "met")]
    for r in rows:
        slow, fast = (f"{value:.3g} {r.unit}" for value in (r.slow, r.fast))
        ratio = f"{r.ratio:.3g}"
        table.append(
            (r.what, r.precision, r.slow_side, slow, r.fast_side, fast, ratio, r.wish, r.met)
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        terminalreporter.write_line("  ".join(cells).rstrip())
    for r in rows:
        if r.met == "NO":
            line = f"missed: {r.what} {r.precision}: {r.ratio:.3g} times, {r.wish} wanted"
            terminalreporter.write_line(line, red=True)
    if path := config.getoption("csv"):
        with path.open("w", newline="") as file:
            named = [asdict(r) | {"ratio": r.ratio, "met": r.met} for r in rows]
            writer = csv.DictWriter(file, named[0])
            writer.writeheader()
            writer.writerows(named)
