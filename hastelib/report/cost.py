"""What the scores cost: every part timed in one run, and the paper's cost paragraph (A.3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hastelib import extract, finetune, hardness, metrics
from hastelib.data import Images
from hastelib.experiments import Grid
from hastelib.experiments.names import taught_on
from hastelib.report import labels
from hastelib.report.hard_costs import amount, by_matrix
from hastelib.report.tables import NONE, Block, Cell, Table, number

PAPER = {"leep": 7.24, "nce": 7.26, "gbc": 8.33, "ca": 24.98, "cs": 0.56}
"""The paper's seconds (A.3): metrics with the extraction of the target's features, CA and CS on
top of it. A ResNet-18 trained on CUB200, Oxford-IIIT Pets as target, one GPU."""

PARTS = {
    "extraction": "Extraction",
    "forward": "Network alone",
    "together": "All in one call",
    "ca": "CA by the signature",
    "cs": "CS",
    "source": "Making the signature",
    "matrix": "CA by the matrix",
}
"""What the parts are called; a metric goes by its own name."""

SPREAD = 1.5
"""Quartiles further apart than this factor are called a spread."""


@dataclass(frozen=True)
class Measured:
    """All that one run measured.

    Attributes:
        source: the network.
        target: the data set.
        samples: N, of the target's train split.
        source_samples: M, of the source data's train split.
        widths: of the stages that class-agnostic hardness reads.
        metrics: the names of those that were timed.
        difference: the largest one between the class-agnostic hardness by the matrix and by the
            signature.
        seconds: the columns part, repeat, seconds.
        provenance: the columns of the CSV that say what it was measured on.
    """

    source: str
    target: str
    samples: int
    source_samples: int
    widths: tuple[int, ...]
    metrics: tuple[str, ...]
    difference: float
    seconds: pd.DataFrame
    provenance: Mapping[str, str]

    def summary(self) -> pd.DataFrame:
        """Per part the median and the quartiles in seconds, and the share of the extraction."""
        found = {}
        for part, times in self.seconds.groupby("part", sort=False)["seconds"]:
            low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
            found[str(part)] = {"low": low, "seconds": middle, "high": high, "repeats": len(times)}
        table = pd.DataFrame.from_dict(found, orient="index")
        table.index.name = "part"
        table["share"] = table["seconds"] / found["extraction"]["seconds"]
        return table

    def tidy(self) -> pd.DataFrame:
        """The rows of the CSV."""
        table = self.summary().reset_index()
        sizes = {"samples": self.samples, "source_samples": self.source_samples}
        names = {"section": "A.3", "target": self.target, "source": self.source}
        return table.assign(**names, **sizes, **self.provenance)


def measure(
    grid: Grid, source: str, target: str, names: Sequence[str], repeats: int = 5
) -> Measured:
    """Time every part of a score, from the images on, with the suite's number of threads.

    One round goes through all parts, so that a machine that slows down slows all of them; an
    untimed one comes first. Nothing is read from the cache but the images. Metrics and hardness
    are timed on features at hand, each by itself, as if no other were wanted.

    Args:
        grid: of the suite.
        source: the network.
        target: its train split is what is scored.
        names: metrics, of :data:`hastelib.metrics.METRICS`.
        repeats: timed rounds.

    Raises:
        ValueError: no round asked for.
    """
    if repeats < 1:
        raise ValueError(f"repeats: expected at least 1, got {repeats}")
    network, settings = grid.source(source), grid.suite.hardness
    data, taught = grid.data(target)["train"], taught_on(source)[1]
    warm = grid.read(target, "train", network)
    warm_source = grid.read(taught, "train", network)
    with extract.threaded(grid.suite.recipe.threads):
        features = extract.extract(network, warm)[0]
        apart = extract.extract(network, warm_source)[0]  # for the matrix, and warms the images
        layers, of_source = [list(one.layers.values()) for one in (features, apart)]
        signature = hardness.source_signature(of_source)

        def ca() -> Any:
            found = hardness.class_agnostic(layers, signature)
            return hardness.hardest(found, settings.fraction)

        def cs() -> Any:
            found = hardness.class_specific(
                features.embedding, features.labels, settings.covariance
            )
            return hardness.hardest(found, settings.fraction)

        def fresh(split: Any) -> Images:
            return Images(split, network.preprocessing, target)

        parts: dict[str, Callable[[], Any]] = {
            "extraction": lambda: extract.extract(network, fresh(data)),
            "forward": lambda: extract.extract(network, warm),
            **{name: _alone(name, features) for name in names},
            "together": lambda: metrics.score_all(features, names),
            "cs": cs,
            "ca": ca,
            "source": lambda: extract.signature(network, fresh(grid.data(taught)["train"])),
            "matrix": lambda: by_matrix(of_source, layers),
        }
        times = []
        for repeat in range(-1, repeats):
            for part, run in parts.items():
                if repeat < 0 and part in ("source", "matrix"):  # long, and the others warm them
                    continue
                start = time.perf_counter()
                run()
                if repeat >= 0:
                    times.append((part, repeat, time.perf_counter() - start))
    linear = hardness.class_agnostic(layers, signature).numpy()
    return Measured(
        source,
        target,
        len(features.labels),
        signature.count,
        tuple(x.shape[1] for x in layers),
        tuple(names),
        float(abs(linear - by_matrix(of_source, layers)[0]).max()),
        pd.DataFrame(times, columns=["part", "repeat", "seconds"]),
        {
            "suite": grid.suite.name,
            "data": grid.fingerprint(target, "train")[:12],
            "weights": network.fingerprint[:12],
            "device": f"{finetune.describe(extract.default_device())}, "
            f"threads a job: {grid.suite.recipe.threads}",
            "versions": finetune.versions(),
        },
    )


def _alone(name: str, features: extract.Features) -> Callable[[], float]:
    return lambda: metrics.METRICS[name](metrics.Sample(features))


def called(part: str) -> str:
    """The part's name in tables and figures."""
    return PARTS.get(part) or labels.metric(part)


def seconds(value: float) -> str:
    """A duration with three digits, in seconds, milliseconds or microseconds."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size or unit == "µs":
            digits = 2 if value < 10 * size else 1 if value < 100 * size else 0
            return f"{number(value / size, digits)} {unit}"
    raise AssertionError("µs is the last")


def share(value: float) -> str:
    """A share in percent: two digits below 10%, none after the point above."""
    return f"{number(100 * value, 0 if value >= 0.1 else 1 if value >= 0.01 else 2)}%"


def table(measured: Measured) -> Table:
    """Every part by itself: what is shared, the metrics, the hardness."""
    found = measured.summary()
    repeats = int(found["repeats"].max())
    groups = {
        "Shared": ("extraction", "forward"),
        "Metrics": (*measured.metrics, "together"),
        "Hardness": ("cs", "ca", "source", "matrix"),
    }
    blocks = []
    for title, parts in groups.items():
        rows = []
        for part in parts:
            low, middle, high, of_all = (
                float(found[column][part]) for column in ("low", "seconds", "high", "share")
            )
            small = f"{seconds(low)} – {seconds(high)}" if repeats > 1 else ""
            cells = Cell(seconds(middle), small), Cell(share(of_all))
            rows.append((called(part), cells))
        blocks.append(Block(title, ("Part", "Time", "Of extraction"), tuple(rows)))
    sizes = f"N = {measured.samples:,} samples of {labels.plain(measured.target)}"
    caption = (
        f"{_repeated(repeats)}, and "
        f"the share of the extraction: {labels.source(measured.source)} on {sizes}, "
        f"M = {measured.source_samples:,} samples of its source data. "
        f"{measured.provenance['device']}."
    )
    notes = (
        "Extraction is decoding, resizing and the one forward pass that every metric and both "
        "kinds of hardness read; the network alone leaves out the decoding. CA and CS include "
        "taking the hardest part. The source pass is the same for the source data, added up into "
        "the signature: once a network, whatever the targets. The matrix has S of Eq. 1 entry by "
        "entry, from features of the source data at hand.",
    )
    return Table(caption, tuple(blocks), notes, found.reset_index())


def _repeated(repeats: int) -> str:
    if repeats == 1:
        return "Measured once"
    return f"Median of {repeats} repetitions, in small type the quartiles"


def against_paper(measured: Measured) -> Table:
    """The parts as the paper adds them up, in units of its extraction with LEEP."""
    times = measured.summary()["seconds"]
    extraction, source = times["extraction"], times["source"]
    lines = [
        (f"Extraction, {labels.metric(name)}", name, extraction + times[name])
        for name in measured.metrics
    ]
    lines += [
        ("+ CS", "cs", times["cs"]),
        ("+ CA, signature kept", "", times["ca"]),
        ("+ CA, signature made", "", source + times["ca"]),
        ("+ CA, matrix", "ca", times["matrix"]),
        ("+ CA, matrix and pass", "", source + times["matrix"]),
    ]
    unit = extraction + times["leep"] if "leep" in times else extraction
    rows = []
    for name, key, value in lines:
        printed = PAPER.get(key)
        paper = (
            (Cell(NONE), Cell(NONE))
            if printed is None
            else (Cell(number(printed, 2)), Cell(_times(printed / PAPER["leep"])))
        )
        rows.append((name, (Cell(seconds(value)), Cell(_times(value / unit)), *paper)))
    caption = (
        "As the paper adds it up (A.3): metrics together with the extraction, hardness on top of "
        "it (+). Times is relative to LEEP with the extraction; the pass is that over the source "
        "images. The paper's column is in seconds, for "
        "a ResNet-18 trained on CUB200 and Oxford-IIIT Pets on one GPU; it does not say whether "
        "its 24.98 s include a pass over the source images."
    )
    head = ("", "Ours", "Times", "Paper, s", "Times")
    return Table(caption, (Block("", head, tuple(rows)),))


def _times(value: float) -> str:
    return number(value, 2 if value >= 0.1 else 3 if value >= 0.01 else 4)


def matrix_bytes(measured: Measured) -> int:
    """What the M x N matrix S takes in float64."""
    return 8 * measured.samples * measured.source_samples


def findings(measured: Measured) -> str:
    """What came out, as Markdown."""
    found = measured.summary()
    times, shares = found["seconds"], found["share"]
    n, m = measured.samples, measured.source_samples
    single = times[list(measured.metrics)]
    first, last = str(single.idxmin()), str(single.idxmax())
    decoding = 1 - times["forward"] / times["extraction"]
    base = PAPER["leep"]
    items = [
        f"**Extraction.** {n:,} images in {seconds(times['extraction'])}, "
        f"{n / times['extraction']:,.0f} a second; decoding takes "
        f"{share(max(decoding, 0))} of it.",
        f"**Metrics.** On features at hand the cheapest is {labels.metric(first)} with "
        f"{seconds(single[first])}, {share(shares[first])} of the extraction, the dearest "
        f"{labels.metric(last)} with {seconds(single[last])}, {share(shares[last])}. "
        f"{_together(float(times['together']), single)}",
        f"**CS** adds {share(shares['cs'])} of the extraction; in the paper "
        f"{share(PAPER['cs'] / base)} of its extraction with LEEP.",
        f"**CA** adds {share(shares['ca'])} of the extraction where the signature is at hand; in "
        f"the paper {share(PAPER['ca'] / base)}. {_dearest(times, measured.metrics)} "
        f"The signature takes one pass over {m:,} source images, {seconds(times['source'])}, "
        f"{number(shares['source'], 1)} times the extraction for {number(m / n, 1)} times the "
        "images; it is made once and kept for every target.",
        f"**The matrix** has {m:,} × {n:,} entries, {amount(matrix_bytes(measured))}B, and takes "
        f"{seconds(times['matrix'])}, {number(times['matrix'] / times['ca'], 0)} times as long as "
        f"the form with the signature and {share(shares['matrix'])} of the extraction; it still "
        "needs the pass over the source images. "
        + _what_is_dear(float(times["source"]), float(times["matrix"])),
    ]
    items.append(f"**How sure.** {_steady(found)} Measured on: {measured.provenance['device']}.")
    return "\n".join(f"- {item}" for item in items)


def _steady(found: pd.DataFrame) -> str:
    if found["repeats"].max() == 1:
        return "Everything was measured once, so nothing is known of its spread."
    spread = found.index[found["high"] > SPREAD * found["low"]]
    if spread.empty:
        return f"The quartiles of no part are more than a factor of {number(SPREAD, 1)} apart."
    return (
        f"The quartiles are more than a factor of {number(SPREAD, 1)} apart for "
        f"{_listed([called(str(part)) for part in spread])}: something else ran on the machine, "
        "or the times are too short to be steady."
    )


def _together(together: float, single: pd.Series) -> str:
    alone = float(single.sum())
    if len(single) < 2:
        return ""
    change = (
        f"{number(alone / together, 1)} times as fast as"
        if together < alone / 1.2
        else "not measurably faster than"
    )
    return (
        f"All {len(single)} in one call, which shares factorisations, take {seconds(together)}, "
        f"{change} one after the other ({seconds(alone)})."
    )


def _dearest(times: pd.Series, names: Sequence[str]) -> str:
    """Is CA still the most expensive part, as it is in the paper?"""
    ca = float(times["ca"])
    parts = {"extraction": "the extraction", **{part: called(part) for part in (*names, "cs")}}
    dearer = [name for part, name in parts.items() if times[part] > ca]
    if not dearer:
        return "It is the most expensive part here too, even with a signature."
    return (
        "It is **not the most expensive part** any more: dearer "
        f"{'is' if len(dearer) == 1 else 'are'} {_listed(dearer)}."
    )


def _what_is_dear(source: float, matrix: float) -> str:
    if source > matrix:
        return (
            f"At these sizes the pass is {share(source / (source + matrix))} of that route, and "
            "the signature saves it for every target but the first."
        )
    return f"At these sizes the matrix is {share(matrix / (source + matrix))} of that route."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def claims(measured: Measured) -> dict[str, tuple[float, float]]:
    """For :func:`hastelib.report.verify`: the two routes to CA give the same hardness."""
    return {"largest difference, matrix and signature": (0.0, measured.difference)}


def paper_words() -> str:
    """The paper's cost paragraph, taken apart, as Markdown."""
    base = PAPER["leep"]
    return (
        f"In the paper's own numbers, with LEEP and the extraction at {base} s, NCE takes "
        f"{number(PAPER['nce'] - base, 2)} s and GBC {number(PAPER['gbc'] - base, 2)} s more "
        f"({share((PAPER['gbc'] - base) / base)}); CS adds {PAPER['cs']} s "
        f"({share(PAPER['cs'] / base)}), CA {PAPER['ca']} s ({share(PAPER['ca'] / base)}): "
        f"a HASTE-LEEP by CA costs {number((base + PAPER['ca']) / base, 1)} times a LEEP."
    )


def files(path: Path, table: pd.DataFrame) -> str:
    """Where a table that is no table of scores lies, as Markdown."""
    first = table.iloc[0]
    return (
        f"{len(table)} rows are in `{path}`, with the fingerprints of the data and of the weights. "
        f"Measured on: {first['device']}; {first['versions']}."
    )
