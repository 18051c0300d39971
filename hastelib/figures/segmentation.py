"""Scenes, their masks and predictions, and what drawing pixels does to a score."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, StrMethodFormatter

from hastelib.data import class_names
from hastelib.data.drawn_scenes import BACKGROUND
from hastelib.data.scenes import IGNORE, Pictures
from hastelib.experiments import Grid
from hastelib.figures.draw import MARKERS, WIDTH, new_figure
from hastelib.models import segmentation as networks
from hastelib.report import labels
from hastelib.report import segmentation as report
from hastelib.report.tables import number

GROUND = (0.93, 0.93, 0.93)
VOID = (1.0, 1.0, 1.0)


def colours(names: Sequence[str]) -> np.ndarray:
    """(classes, 3): a colour for each class, light grey for the background."""
    cycle = mpl.colormaps["tab20"].colors  # type: ignore[attr-defined]
    order = [*cycle[::2], *cycle[1::2], (0.2, 0.2, 0.2)]
    others = iter(order * (1 + len(names) // len(order)))
    found = [GROUND if name == BACKGROUND else next(others)[:3] for name in names]
    return np.array(found)


def coloured(mask: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """A mask (h, w) as a picture (h, w, 3) of floats; white where a pixel has no class."""
    table = np.full((256, 3), VOID)
    table[: len(names)] = colours(names)
    found: np.ndarray = table[mask]
    return found


def strips(
    lines: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    beside: Sequence[str] = (),
    names: Sequence[str] = (),
) -> Figure:
    """Pictures in lines and columns, such as scenes beside their masks.

    Args:
        lines: per line, pictures (h, w, 3): bytes, or floats in [0, 1].
        titles: of the columns.
        beside: what stands to the left of each line.
        names: of the classes, for the legend; "" for a column of masks of several sets.
    """
    columns = max(map(len, lines))
    high, wide = lines[0][0].shape[:2]
    size = (WIDTH - 0.5) / columns
    legend = 0.3 + 0.22 * -(-len(names) // 4) if names else 0.1
    with new_figure(len(lines) * (size * high / wide + 0.08) + 0.25 + legend) as figure:
        grid = figure.subplots(len(lines), columns, squeeze=False)
        for i, (line, row) in enumerate(zip(lines, grid, strict=True)):
            for j, axes in enumerate(row):
                axes.set(xticks=[], yticks=[])
                axes.grid(visible=False)
                axes.spines[:].set_visible(False)
                if j < len(line):
                    axes.imshow(line[j], interpolation="nearest")
                if i == 0 and j < len(titles):
                    axes.set_title(titles[j], fontsize=8.5)
            if beside:
                row[0].set_ylabel(beside[i], fontsize=8.5)
        if names:
            handles = [
                Patch(facecolor=colour, label=labels.plain(name))
                for name, colour in zip(names, colours(names), strict=True)
            ]
            figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))
    return figure


def _scene(pictures: Pictures, row: int) -> np.ndarray:
    return pictures.image(row).permute(1, 2, 0).numpy()


def sets(grid: Grid, count: int = 4) -> Figure:
    """What do the sets look like? Some scenes of each, each over its mask.

    A colour stands for the same class in all sets that have the class.
    """
    every = list(
        dict.fromkeys(n for t in grid.suite.targets for n in class_names(grid.data(t)["train"]))
    )
    lines, beside = [], []
    for name in grid.suite.targets:
        some = grid.source(grid.suite.sources[0]).read(grid.data(name)["train"], name)
        assert isinstance(some, Pictures)
        own = np.array([every.index(one) for one in some.classes] + [IGNORE] * 256, np.uint8)
        rows = range(min(count, len(some)))
        lines.append(
            [
                picture
                for row in rows
                for picture in (
                    _scene(some, row),
                    coloured(own[some.mask(row).numpy()], every),
                )
            ]
        )
        beside.append(labels.plain(name))
    titles = ["scene", "mask"] * count
    return strips(lines, titles, beside, every)


def sets_alt(grid: Grid, count: int = 4) -> str:
    """The alternative text of :func:`sets`."""
    parts = [
        f"{labels.plain(name)} ({', '.join(class_names(grid.data(name)['train']))})"
        for name in grid.suite.targets
    ]
    return (
        f"{count} scenes of each set beside their masks, a line per set, with its classes: "
        + "; ".join(parts)
        + "."
    )


def predictions(grid: Grid, target: str, names: Sequence[str], rows: Sequence[int]) -> Figure:
    """Where do fine-tuned networks go wrong? Test scenes, true masks, and what they predict.

    Args:
        grid: of the segmentation part of a suite.
        target: of it.
        names: sources, fine-tuned with the first seed.
        rows: of the test split.
    """
    some = report.pictures(grid, target, "test")
    outcomes = [grid.outcome(name, target, grid.suite.seeds[0]) for name in names]
    lines = []
    for row in rows:
        masks = [some.mask(row), *(outcome.probs[row] for outcome in outcomes)]
        lines.append([_scene(some, row), *(coloured(mask.numpy(), some.classes) for mask in masks)])
    titles = ["scene", "true mask", *(f"{report.set_of(name)}" for name in names)]
    return strips(lines, titles, names=some.classes)


def predictions_alt(grid: Grid, target: str, names: Sequence[str], rows: Sequence[int]) -> str:
    """The alternative text of :func:`predictions`."""
    classes = len(class_names(grid.data(target)["test"]))
    parts = []
    for name in names:
        outcome = grid.outcome(name, target, grid.suite.seeds[0])
        chosen = list(rows)
        value = networks.mean_iou(outcome.probs[chosen], outcome.labels[chosen], classes)
        parts.append(f"{report.set_of(name)} {number(100 * value, 1)}%")
    return (
        f"{len(rows)} test scenes of {labels.plain(target)}, each beside its true mask and the "
        f"masks that fine-tuned networks predict. Mean IoU on these scenes: {', '.join(parts)}."
    )


def hard_and_easy(
    grid: Grid, target: str, source: str, count: int = 6
) -> tuple[list[list[np.ndarray]], list[str], list[list[float]]]:
    """The hardest and the easiest train scenes for a source, as ``figures.gallery`` wants them."""
    some = report.pictures(grid, target)
    hardness = grid.hardness(target, by=source)["ca"]
    order = hardness.argsort(descending=True, stable=True).tolist()
    groups = {"hardest": order[:count], "easiest": order[-count:]}
    pictures = [[_scene(some, row) for row in rows] for rows in groups.values()]
    titles = [f"{end} for {report.set_of(source)}" for end in groups]
    return pictures, titles, [[hardness[row].item() for row in rows] for rows in groups.values()]


def pixel_effect(effect: pd.DataFrame) -> Figure:
    """How many pixels of a scene does a score need?

    A line per metric: the deviation of a score over the draws, as a share of its deviation over
    the sources, against the pixels a scene. Below the horizontal line the draw moves a score by
    less than a tenth of what the sources differ by. The vertical line marks what is used.

    Args:
        effect: what :func:`hastelib.report.segmentation.pixel_effect` gives.
    """
    with new_figure(2.9) as figure:
        axes = figure.subplots()
        axes.axhline(0.1, color="#888888", linewidth=0.9)
        axes.axvline(networks.PIXELS, color="#888888", linewidth=0.9, linestyle=":")
        for i, (metric, part) in enumerate(effect.groupby("metric", sort=False)):
            share = part["spread"] / part["between"].replace(0, np.nan)
            marker = MARKERS[i % len(MARKERS)]
            axes.plot(part["pixels"], share, marker=marker, label=labels.metric(str(metric)))
        axes.set(xscale="log", yscale="log")
        sizes = sorted(effect["pixels"].unique())
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.minorticks_off()
        axes.set_xlabel("pixels a scene")
        axes.set_ylabel("spread over draws / sources")
        figure.legend(loc="outside upper center", ncols=4)
    return figure


def pixel_effect_alt(effect: pd.DataFrame) -> str:
    """The alternative text of :func:`pixel_effect`."""
    parts = []
    for metric, part in effect.groupby("metric", sort=False):
        values = ", ".join(
            f"{number(line['spread'] / (line['between'] or np.nan), 2)} at {line['pixels']}"
            for line in part.to_dict("records")
        )
        parts.append(f"{labels.metric(str(metric))} {values}")
    return (
        "Line plot on logarithmic axes: the spread of a score over the draws, as a share of its "
        f"spread over the sources, against the pixels a scene. {'; '.join(parts)}."
    )
