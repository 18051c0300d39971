"""A whole suite, made tiny, through every notebook: each runs alone, in any order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pages
import papermill
import pytest
import yaml

from hastelib import records, suites

NOTEBOOKS = sorted((pages.ROOT / "notebooks").glob("*.ipynb"))
NOTEBOOKS = [path for path in NOTEBOOKS if path.stem != "what_to_beat"]  # in test_notebooks.py
LETTERS = {"greek": "α-ζ", "georgian": "ა-ვ", "operators": "∀∂∃∅∇∈", "sketch": "A-F"}
FEWER = {"problems": 20, "mixtures": 1, "repetitions": 2, "repeats": 3}


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
    operators = [f"{name}@glyphs+operators" for name in ("resnet14", "densenet22")]
    values["selection"] = {"sources": operators, "targets": ["greek", "georgian"], "subsets": 4}
    taught = [f"{name}@glyphs+greek" for name in ("resnet8", "densenet16")]
    pool = [*values["sources"][:4], *taught, operators[0]]
    rankers = {"": pool[0], "greek": taught[0], "operators": pool[-1]}
    values["ensembles"] = {"pool": pool, "targets": ["georgian", "greek"], "rankers": rankers}

    scenes, texts = values["segmentation"], values["language"]
    styles = [source.partition("+")[2] for source in scenes["sources"][:4]]
    small = {"train": 16, "test": 8, "height": 32, "width": 32}
    scenes |= {"image_size": 32, "sources": scenes["sources"][:4], "seeds": [0]}
    scenes["targets"] = {name: scenes["targets"][name] | small for name in styles}
    scenes["selection"] = {"sources": scenes["sources"], "targets": styles[:2]}
    scenes["hardness"] = {"source": scenes["sources"][0]}
    few = {"train": 20, "test": 20}
    texts["targets"] = {name: spec | few for name, spec in texts["targets"].items()}
    texts["selection"] = texts["selection"] | {"subsets": 4}
    for part in (values, scenes, texts):
        part["recipe"] = part["recipe"] | {"epochs": 1}
        part["hardness"] = part["hardness"] | {"draws": 3}
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


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(environment: Path, notebook: Path) -> None:
    known = papermill.inspect_notebook(notebook)
    writes = "output" in known
    given: dict[str, Any] = {name: value for name, value in FEWER.items() if name in known}
    given |= {"output": str(environment / "runs")} if writes else {}
    done = pages.execute(notebook, environment, **given)
    assert any(cell.get("outputs") for cell in done.cells)
    if writes and notebook.stem != "results":  # it reads what others wrote
        assert list((environment / "runs").glob(f"{notebook.stem}*.*"))


# Three edits that a new user would make, in copies of notebooks: a metric, a figure, a hardness.

METRIC = {
    "names = analysis.words(metrics)": """from hastelib.metrics import METRICS
def compact(sample):
    return -sample.embedding.double().var(0).sum().item()
METRICS["compact"] = compact
names = (*analysis.words(metrics), "compact")"""
}
FAMILY = {'part["source"].map(tables.source)': 'part["source"].map(tables.family)'}
HARDNESS = {
    '    return {\n        "ca"': """
    means = torch.stack([e[y == c].mean(0) for c in y.unique()])
    own = torch.searchsorted(y.unique(), y)[:, None]
    near = torch.cdist(e, means).scatter(1, own, torch.inf).amin(1)
    return {"near": -near,
        "ca\""""
}


@pytest.mark.parametrize(
    ("notebook", "edits", "word"),
    [("5_1_source", METRIC | FAMILY, "compact"), ("5_6_ablations", HARDNESS, "near")],
)
def test_an_edit_of_five_lines_works(environment: Path, notebook: str, edits, word) -> None:
    book = nbformat.read(pages.ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4)
    for old, new in edits.items():
        (cell,) = [cell for cell in book.cells if old in cell.source]
        before, cell.source = cell.source, cell.source.replace(old, new.lstrip("\n"))
        assert 1 <= len({*cell.source.splitlines()} - {*before.splitlines()}) <= 5
    copy = environment / f"{notebook}-edited.ipynb"
    nbformat.write(book, copy)
    given = {"output": str(environment / "edited"), "metrics": "leep"}
    shown = pages.texts(pages.execute(copy, environment, **given))
    assert any(f">{word}<" in html and "<table" in html for html in shown)  # beside what was there
    assert any("<img" in html for html in shown)
    if notebook == "5_1_source":
        rows = records.read(environment / "edited" / "5_1_source-glyphs-all-metrics=leep.csv")
        # of 5 targets, 4 sources, 2 metrics: all, random, CA twice, CS, static
        assert len(rows) == 5 * 4 * 2 * (1 + 3 + 2 + 1 + 1)
