"""Notebooks: wrong parameters stop in the first cell, and a small run goes through."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
import synthetic

from hastelib import analysis, grid, records
from hastelib.analysis import notebook

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "notebooks" / "5_1_source.ipynb"


def _namespace(**values) -> dict:
    kinds = {"suite": str, "epochs": int | None}
    return {"__annotations__": kinds, "In": [], "suite": "", "epochs": None} | values


def test_parameters_are_what_the_cell_annotates():
    assert analysis.parameters(_namespace(epochs=3)) == {"suite": "", "epochs": 3}
    dry = {"__annotations__": {"dry_run": bool}}
    for value, meant in ((True, True), ("true", True), ("false", False)):
        assert analysis.parameters(dry | {"dry_run": value}) == {"dry_run": meant}


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
        ({"sources": "resnet8@glyphs, resnet9@glyphs"}, "unknown network 'resnet9'"),
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
    sources = "resnet8@glyphs,resnet14@glyphs,densenet16@glyphs"
    _run(tmp_path, target="digits", sources=sources, seeds=1, epochs=1)
    (path,) = tmp_path.glob("5_1_source-glyphs-digits-epochs=1-sources=*.csv")
    rows = records.read(path)
    assert len(rows) == 3 * 4 * (1 + 20 + 2 + 1 + 1)  # all, random, CA twice, CS, static
    assert set(rows["target"]) == {"digits"}


def test_a_wrong_parameter_stops_in_the_first_cell(tmp_path: Path):
    with pytest.raises(papermill.PapermillExecutionError, match="unknown parameter 'taget'") as hit:
        _run(tmp_path, taget="greek")
    assert "choose one of" in str(hit.value)
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    *before, _ = [cell for cell in executed.cells if cell.get("execution_count")]
    assert len(before) == 2
    assert all("parameters" in " ".join(cell.metadata.tags) for cell in before)


def _rows(targets: list[str]) -> pd.DataFrame:
    """Rows of 5.1: on all samples a score is noise, on those of CS the accuracy itself."""
    frame = synthetic.rows(targets, ["logme"], draws=2).query("variant != 'ca'")
    noise = np.random.default_rng(0).normal(size=len(frame))
    frame = frame.assign(score=frame["accuracy"].where(frame["variant"] == "cs", noise))
    return pd.concat([frame, grid.static_rows(frame)])


def _what_to_beat(folder: Path, targets: list[str]) -> tuple[str, str]:
    """The page's answer and all that it says, with rows of some targets."""
    records.write(_rows(targets), folder / "5_1_source-glyphs-all")
    done = papermill.execute_notebook(
        ROOT / "notebooks" / "what_to_beat.ipynb",
        folder / "out.ipynb",
        {"other": "", "output": str(folder)},
        cwd=ROOT,
        progress_bar=False,
    )
    outputs = [output.get("data", {}) for cell in done.cells for output in cell.get("outputs", [])]
    texts = [data["text/markdown"] for data in outputs if "text/markdown" in data]
    return texts[0], " ".join(texts)


def test_what_to_beat_counts_the_scores_that_beat_the_list(tmp_path: Path):
    answer, texts = _what_to_beat(tmp_path, ["greek", "digits", "arrows", "sketch", "georgian"])
    assert "Of the published ones\n1 of 19** (Model Spider)" in answer
    assert "**On glyphs** 1 of 3 scores beat the list, of those on hard samples 1 of 1" in answer
    assert "Not here: glyphs, no rows of cyrillic, operators, dingbats." in answer
    assert "The best alone: LogME, CS" in texts


def test_what_to_beat_says_what_is_not_there(tmp_path: Path):
    answer, texts = _what_to_beat(tmp_path, ["greek", "digits"])
    assert "glyphs, no rows of cyrillic, georgian" in answer
    assert "glyphs: a list needs accuracies on other targets" in answer
    assert "There are no rows of our own" in texts
