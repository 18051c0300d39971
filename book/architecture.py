"""The picture of the library, from its imports: what stands on what.

An import may only run downwards in ``LAYERS``, or within a layer, and never in a circle:
``tests/test_project.py`` checks it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

PACKAGE = Path(__file__).resolve().parent.parent / "hastelib"
LAYERS = (
    ("analysis",),
    ("ensembles", "selection", "ranking", "grid"),
    ("scoring", "finetune"),
    ("features",),
    ("models",),
    ("suites",),
    ("glyphs", "data"),
    ("hardness", "bounds", "stats", "metrics"),
    ("plugins", "engine", "records", "code", "hooks", "download", "store", "linalg", "checks"),
)
"""From the top to the ground."""
WIDTH, HEIGHT, EDGE = 7.0, 5.6, 0.13  # inches; from the middle of a name to its frame


@cache
def modules() -> dict[str, Path]:
    """Every module of the library by its name without ``hastelib.``; the face is left out."""
    files = sorted(PACKAGE.rglob("*.py"))
    names = (file.relative_to(PACKAGE).with_suffix("").parts for file in files)
    dotted = (".".join(parts).removesuffix("__init__").rstrip(".") for parts in names)
    return {name: file for name, file in zip(dotted, files, strict=True) if name}


def imported(file: Path) -> Iterator[str]:
    """What a module imports of the library, within functions and for the types alone too."""
    known = modules()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            holder = rest.rpartition(".")[0]  # where the last part is a function or a class
            if package == "hastelib" and (rest in known or holder in known):
                yield rest if rest in known else holder


def imports() -> dict[str, set[str]]:
    """Every module and what it imports."""
    return {name: {*imported(file)} - {name} for name, file in modules().items()}


def parts() -> dict[str, set[str]]:
    """The same between the parts of the layers, ``metrics`` for ``metrics.evidence``."""
    found: dict[str, set[str]] = {name: set() for layer in LAYERS for name in layer}
    for name, others in imports().items():
        own = name.partition(".")[0]
        found.setdefault(own, set()).update(o.partition(".")[0] for o in others)
        found[own].discard(own)
    return found


def reached(name: str, graph: dict[str, set[str]]) -> set[str]:
    """All that a part stands on, at first or second hand."""
    return graph[name].union(*(reached(other, graph) for other in graph[name]))


def rows(graph: dict[str, set[str]]) -> list[list[str]]:
    """Each layer in as many rows as its own imports need, so that all arrows point down."""
    found: list[list[str]] = []
    for layer in LAYERS[:-1]:
        above = {name: sum(name in reached(other, graph) for other in layer) for name in layer}
        found += [[n for n in layer if above[n] == many] for many in sorted({*above.values()})]
    return [*found, [*LAYERS[-1]]]


def picture() -> Figure:
    """The layers, and an arrow for each import that does not follow from the others."""
    graph = parts()
    lines = rows(graph)
    step = HEIGHT / len(lines)
    figure = Figure(figsize=(WIDTH, HEIGHT))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, HEIGHT))
    ax.set_axis_off()
    places = {}
    for row, line in enumerate(lines):
        for i, name in enumerate(line):
            places[name] = WIDTH * (i + 0.5) / len(line), HEIGHT - step * (row + 0.5)
            box = {"boxstyle": "round,pad=0.35", "fc": "white", "ec": "#0173b2", "lw": 0.9}
            ax.text(*places[name], name, ha="center", va="center", fontsize=9, bbox=box)
    for layer in LAYERS[::2]:
        ends = [places[name][1] for name in layer]
        ax.axhspan(min(ends) - step / 2, max(ends) + step / 2, color="#f1f5f9", zorder=0)
    for above, others in graph.items():
        implied = set[str]().union(*(reached(other, graph) for other in others))
        for below in sorted(others - implied - {*LAYERS[-1]}):  # the ground serves all
            (x, y), (to_x, to_y) = places[above], places[below]
            look = {"arrowstyle": "-|>", "color": "#6b7785", "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", (to_x, to_y + EDGE), (x, y - EDGE), arrowprops=look, zorder=1)
    return figure


def write(path: Path) -> None:
    """The picture as an SVG file, the same bytes for the same imports."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "hastelib", "svg.fonttype": "path"}):
        picture().savefig(path, metadata={"Date": None})
