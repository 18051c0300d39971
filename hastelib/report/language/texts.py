"""The texts themselves: what padding does, which are hard and which are easy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import torch

from hastelib import hardness, stats
from hastelib.data import class_names
from hastelib.experiments import Grid
from hastelib.models.language import Texts
from hastelib.report import labels
from hastelib.report.selection import Tasks
from hastelib.report.tables import Table, number
from hastelib.report.verify import verify


def padding(grid: Grid, source: str, target: str, count: int = 32) -> Table:
    """Does the padding of a batch change an embedding?

    Args:
        grid: of the suite.
        source: whose embeddings.
        target: the first ``count`` texts of its train split are embedded one by one, without
            padding, and all at once, padded to the longest.
        count: of texts.

    Raises:
        ValueError: it does, by more than 1e-5.
    """
    network = grid.source(source)
    split = network.read(grid.data(target)["train"].select(range(count)), target)
    with torch.inference_mode():
        alone, together = (
            torch.cat([network.tapped()(x)["embedding"] for x, _ in split.batches(size)])
            for size in (1, count)
        )
    largest = (alone - together).abs().max().item()
    claims = {f"{count} texts, largest difference": (0.0, largest)}
    caption = "Embeddings of single texts against those of a padded batch: expected and got."
    return verify(claims, 1e-5, caption)


def example(tasks: Tasks) -> tuple[str, str]:
    """A pair to show: the target that most sources meet, and the first of them.

    Args:
        tasks: what :func:`tasks` gives.

    Returns:
        Source and target.
    """
    met = {t: [s for s, names in tasks.pairs.items() if t in names] for t in tasks.subsets}
    target = max(met, key=lambda name: len(met[name]))
    return met[target][0], target


@dataclass(frozen=True)
class Extreme:
    """A text at one end of a ranking: which end, by which hardness, its label and value."""

    end: str
    variant: str
    text: str
    label: str
    hardness: float


def extremes(grid: Grid, target: str, by: str, count: int = 3, most: int = 140) -> list[Extreme]:
    """The hardest and easiest texts of a target's train split, by both kinds of hardness.

    Args:
        grid: of the suite.
        target: of the suite.
        by: the source that ranks.
        count: at each end.
        most: characters of a text that are kept.
    """
    data = grid.data(target)["train"]
    names, found = class_names(data), []
    for variant, values in grid.hardness(target, by=by).items():
        order = values.argsort(descending=True, stable=True).tolist()
        for end, chosen in (("hardest", order[:count]), ("easiest", order[::-1][:count])):
            for row in chosen:
                line = " ".join(data[row]["text"].split())
                text = line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
                label = names[data[row]["label"]]
                found.append(Extreme(end, variant, text, label, values[row].item()))
    return found


def extremes_html(found: Sequence[Extreme]) -> str:
    """The texts as lists, one a kind of hardness and end; everything is escaped."""
    parts = []
    for (variant, end), part in itertools.groupby(found, lambda one: (one.variant, one.end)):
        kind = {"ca": "class-agnostic", "cs": "class-specific"}[variant]
        items = "".join(
            f"<li><strong>{escape(one.label)}</strong> ({number(one.hardness, 2)}): "
            f"{escape(one.text)}</li>"
            for one in part
        )
        parts.append(f"<p>{end.capitalize()}, {kind} hardness:</p><ul>{items}</ul>")
    return "".join(parts)


def extreme_words(grid: Grid, target: str, by: str) -> str:
    """What the hard and the easy quarter of a target's train split differ in, as Markdown.

    Args:
        grid: of the suite.
        target: of the suite.
        by: the source that ranks.
    """
    data, split = grid.data(target)["train"], grid.read(target, "train", grid.source(by))
    assert isinstance(split, Texts)
    lengths = split.lengths.double()
    names, texts = class_names(data), []
    for variant, values in grid.hardness(target, by=by).items():
        hard = hardness.hardest(values, grid.suite.hardness.fraction)
        shares = torch.bincount(split.labels[hard], minlength=len(names)) / len(hard)
        usual = torch.bincount(split.labels, minlength=len(names)) / len(values)
        top = int((shares - usual).argmax())
        r = stats.pearson(values, lengths, resamples=200)[0]
        ends = [number(100 * part[top].item(), 0) for part in (shares, usual)]
        texts.append(
            f"By {labels.variant(variant)} the hard subset’s texts have "
            f"{number(lengths[hard].mean().item(), 1)} tokens on average, all texts "
            f"{number(lengths.mean().item(), 1)} (r of hardness and length {number(r, 2)}); "
            + (
                f"its most over-represented class is {labels.plain(names[top])} with {ends[0]}% "
                f"against {ends[1]}%."
                if ends[0] != ends[1]
                else "its classes are in the proportions of all texts."
            )
        )
    return " ".join(texts)
