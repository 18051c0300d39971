"""A whole suite, made tiny, through every notebook: each runs alone by papermill, in any order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
import yaml

from hastelib import suites

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LETTERS = {
    "greek": "α-ζ",
    "cyrillic": "БГДЖЗИ",
    "georgian": "ა-ვ",
    "operators": "∀∂∃∅∇∈",
    "dingbats": "✁-✆",
    "sketch": "A-F",
}


def tiny(values: dict[str, Any]) -> dict[str, Any]:
    """The embedded suite's file with little of everything it names."""
    values = values | {"seeds": [0, 1], "sources": values["sources"][:4]}
    values["source_data"] = values["source_data"] | {"characters": "A-H", "train": 12, "test": 4}
    values["targets"] = {
        name: spec | ({"characters": LETTERS[name]} if name in LETTERS else {})
        | {"train": 14, "test": 10}
        for name, spec in values["targets"].items()
        if name in LETTERS or spec["kind"] == "digits"
    }  # fmt: skip
    values["recipe"] = values["recipe"] | {"epochs": 1}
    values["hardness"] = values["hardness"] | {"draws": 3}
    values["selection"] = values["selection"] | {"targets": ["greek", "georgian"], "subsets": 4}
    pool = ["resnet8@glyphs", "resnet14@glyphs", "densenet16@glyphs", "resnet8@glyphs+greek",
            "densenet16@glyphs+greek", "resnet14@glyphs+operators",
            "mobilenet_v2@glyphs"]  # fmt: skip
    rankers = {"": pool[0], "greek": pool[3], "operators": pool[5]}
    values["ensembles"] = {"pool": pool, "targets": ["georgian", "greek"], "rankers": rankers}

    scenes, texts = values["segmentation"], values["language"]
    styles = [source.partition("+")[2] for source in scenes["sources"][:4]]
    small = {"train": 16, "test": 8, "height": 32, "width": 32}
    scenes |= {"image_size": 32, "sources": scenes["sources"][:4], "seeds": [0]}
    scenes["targets"] = {name: scenes["targets"][name] | small for name in styles}
    scenes["selection"] = {"sources": scenes["sources"], "targets": styles[:2]}
    scenes["hardness"] = {"source": scenes["sources"][0], "draws": 3}
    scenes["recipe"] = scenes["recipe"] | {"epochs": 1}
    few = {"train": 20, "test": 20}
    texts["targets"] = {name: spec | few for name, spec in texts["targets"].items()}
    texts["selection"] = texts["selection"] | {"subsets": 4}
    texts["recipe"] = texts["recipe"] | {"epochs": 1}
    texts["hardness"] = texts["hardness"] | {"draws": 3}
    return values


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("tiny")
    file = folder / "params" / "suites" / "glyphs.yaml"
    file.parent.mkdir(parents=True)
    values = yaml.safe_load((suites.folder() / "glyphs.yaml").read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump(tiny(values), allow_unicode=True), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HASTE_PARAMS", str(folder / "params"))
        patch.setenv("HASTE_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield folder


def executed(notebook: Path, out: Path, given: dict[str, str]) -> nbformat.NotebookNode:
    how: dict[str, Any] = {"kernel_name": "python3", "cwd": ROOT, "progress_bar": False}
    return papermill.execute_notebook(notebook, out, given, **how)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(environment: Path, notebook: Path) -> None:
    told = papermill.inspect_notebook(notebook)
    given = {"output": str(environment / "runs")} if "output" in told else {}
    done = executed(notebook, environment / notebook.name, given)
    assert any(cell.get("outputs") for cell in done.cells)
    if given and notebook.stem not in ("results", "what_to_beat"):  # they read what others wrote
        assert list((environment / "runs").glob(f"{notebook.stem}*.*"))


# Three edits that a new user would make, each in a copy of a notebook.

METRIC = {
    "names = analysis.words(metrics)": """from hastelib.metrics import METRICS
def compact(sample):
    return -sample.embedding.double().var(0).sum().item()
METRICS["compact"] = compact
names = (*analysis.words(metrics), "compact")"""
}
HARDNESS = {
    '    return {\n        "ca"': """
    means = torch.stack([e[y == c].mean(0) for c in y.unique()])
    own = torch.searchsorted(y.unique(), y)[:, None]
    near = torch.cdist(e, means).scatter(1, own, torch.inf).amin(1)
    return {"near": -near,
        "ca\""""
}
FAMILY = {
    'part["network"] = part["source"].map(tables.source)': """
part["network"] = part["source"].map(tables.family)"""
}


def edited(notebook: str, edits: dict[str, str], folder: Path) -> Path:
    """A copy of a notebook with some lines replaced; at most five are changed."""
    book = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4)
    for old, new in edits.items():
        (cell,) = [cell for cell in book.cells if old in cell.source]
        before, cell.source = cell.source, cell.source.replace(old, new.lstrip("\n"))
        changed = set(cell.source.splitlines()) - set(before.splitlines())
        assert 1 <= len(changed) <= 5, changed
    nbformat.write(book, folder / f"{notebook}-edited.ipynb")
    return folder / f"{notebook}-edited.ipynb"


@pytest.mark.parametrize(
    ("notebook", "edits", "word"),
    [
        ("5_1_source", METRIC, "compact"),
        ("5_6_ablations", HARDNESS, "near"),
        ("5_1_source", FAMILY, ""),
    ],
    ids=["metric", "hardness", "family"],
)
def test_an_edit_of_five_lines_works(
    environment: Path, notebook: str, edits: dict[str, str], word: str
) -> None:
    copy = edited(notebook, edits, environment)
    given = {"output": str(environment / "edited"), "metrics": "leep"}
    done = executed(copy, copy.with_suffix(".out.ipynb"), given)
    shown = [str(output.get("data", {}).get("text/html", "")) for cell in done.cells
             for output in cell.get("outputs", ())]  # fmt: skip
    if word:  # in the tables, beside what was there
        assert any(f">{word}<" in html and "<table" in html for html in shown)
    assert any("<img" in html for html in shown)
