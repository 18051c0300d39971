"""Notebooks: wrong parameters stop in the first cell, and a small run goes through."""

from __future__ import annotations

from pathlib import Path

import nbformat
import papermill
import pytest

from hastelib import analysis, records
from hastelib.analysis import notebook

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "notebooks" / "5_1_source.ipynb"


def _namespace(**values) -> dict:
    return {
        "__annotations__": {"suite": str, "epochs": int | None},
        "In": [],
        "suite": "",
        "epochs": None,
    } | values


def test_parameters_are_what_the_cell_annotates():
    assert analysis.parameters(_namespace(epochs=3)) == {"suite": "", "epochs": 3}
    dry = {"__annotations__": {"dry_run": bool}}
    assert [analysis.parameters(dry | {"dry_run": x}) for x in (True, "true", "false")] == [
        {"dry_run": True},
        {"dry_run": True},
        {"dry_run": False},
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "unknown parameter 'epoch'; choose one of: epochs, suite"),
        ({"epochs": "five"}, "epochs: .*integer.*got 'five'"),
        ({"epochs": True}, "epochs: .*integer.*got True"),
        ({"suite": 1}, "suite: .*string, got 1; papermill's -r passes it on as it is written"),
    ],
)
def test_wrong_parameters(values, message):
    with pytest.raises(ValueError, match=message):
        analysis.parameters(_namespace(**values))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"suite": "glif"}, "unknown suite 'glif'; choose one of: glyphs"),
        ({"target": "klingon"}, "unknown target 'klingon'; choose one of"),
        ({"sources": "resnet8@glyphs, resnet9@glyphs"}, "unknown glyphs network 'resnet9'"),
        ({"metrics": "leep,lip"}, "unknown metric 'lip'; choose one of"),
        ({"metrics": " , "}, "unknown metric ''; choose one of"),
        ({"seeds": 0}, "seeds: .*at least 1"),
        ({"output": "README.md/runs"}, "output: cannot write to README.md/runs"),
        ({"fraction": 2.0}, "hardness.fraction"),
    ],
)
def test_start_refuses(given, message):
    with pytest.raises(ValueError, match=message):
        analysis.start(given)


def test_start_applies_overrides():
    grid, targets = analysis.start(
        {"suite": "", "target": "greek", "seeds": 2, "epochs": None, "fraction": 0.5, "output": "x"}
    )
    assert targets == ("greek",)
    assert grid.suite.seeds == (0, 1)
    assert grid.suite.hardness.fraction == 0.5


def test_own_parameters_are_left_to_the_notebook():
    with pytest.raises(ValueError, match="unknown parameter 'sizes'"):
        analysis.start({"target": "greek", "sizes": "1"})
    grid, targets = analysis.start({"target": "greek", "sizes": "1"}, own=["sizes"])
    assert targets == ("greek",)
    assert "greek" in notebook.setting(grid, targets).loc["Targets"].item()


def _run(folder: Path, **parameters) -> nbformat.NotebookNode:
    return papermill.execute_notebook(
        SOURCE,
        folder / "out.ipynb",
        {"output": str(folder)} | parameters,
        cwd=ROOT,
        progress_bar=False,
    )


def test_a_small_run_writes_its_rows(tmp_path: Path):
    _run(
        tmp_path,
        target="digits",
        sources="resnet8@glyphs,resnet14@glyphs,densenet16@glyphs",
        seeds=1,
        epochs=1,
    )
    (path,) = tmp_path.glob("5_1_source-glyphs-digits-epochs=1-sources=*.csv")
    rows = records.read(path)
    assert len(rows) == 3 * 4 * (1 + 20 + 2 + 1 + 1)  # all, random, CA twice, CS, static
    assert set(rows["target"]) == {"digits"}


def test_a_wrong_parameter_stops_in_the_first_cell(tmp_path: Path):
    with pytest.raises(papermill.PapermillExecutionError, match="unknown parameter 'taget'") as hit:
        _run(tmp_path, taget="greek")
    assert "choose one of" in str(hit.value)
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    ran = [cell for cell in executed.cells if cell.get("execution_count")]
    assert [("parameters" in " ".join(c.metadata.get("tags", []))) for c in ran][:-1] == [
        True,
        True,
    ]
