"""Notebooks: wrong parameters stop in the first cell; the page *What to beat* on made-up rows."""

import functools
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
import pages
import pandas as pd
import papermill
import pytest
import synthetic
from pages import ROOT

from hastelib import analysis, grid, records, stats
from hastelib.analysis import notebook
from hastelib.stats import replicates


def test_parameters_are_what_the_cell_annotates():
    cell = 'suite: str = ""  # a name\nsizes: str = "2,3"\nepochs: int = 0'
    found = analysis.parameters({"In": [cell], "suite": "", "sizes": "3", "epochs": 5})
    assert found == {"suite": "", "sizes": "3", "epochs": 5}
    assert analysis.named("page", found) == "page-epochs=5-sizes=3"
    dry = {"In": ["dry_run: bool = False"]}
    for value, meant in ((True, True), ("true", True), ("false", False)):
        assert analysis.parameters(dry | {"dry_run": value}) == {"dry_run": meant}


@pytest.mark.parametrize("page", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_papermill_lists_every_parameter(page: Path):
    cells = nbformat.read(page, as_version=4).cells
    lines = [c.source.splitlines() for c in cells if "parameters" in c.metadata.get("tags", [])]
    assert len(papermill.inspect_notebook(page)) == sum(map(len, lines))


def test_start_applies_overrides_and_leaves_own_parameters_to_the_notebook():
    with pytest.raises(ValueError, match="unknown parameter 'sizes'"):
        analysis.start({"target": "greek", "sizes": "1"})
    given = {"suite": "", "target": "greek", "seeds": 2, "epochs": 0, "fraction": 0.5}
    grid, targets = analysis.start(given | {"sizes": "1"}, own=["sizes"])
    assert targets == ("greek",)
    assert grid.suite.seeds == (0, 1)
    assert grid.suite.hardness.fraction == 0.5
    assert "greek" in notebook.setting(grid, targets).loc["Targets"].item()


def test_a_wrong_parameter_stops_in_the_first_cell(tmp_path: Path):
    """In a kernel of its own, as by papermill's command."""
    page, out = ROOT / "notebooks" / "5_1_source.ipynb", tmp_path / "out.ipynb"
    with pytest.raises(papermill.PapermillExecutionError, match="unknown parameter 'taget'") as hit:
        papermill.execute_notebook(page, out, {"taget": "greek"}, cwd=ROOT, progress_bar=False)
    assert "choose one of" in str(hit.value)
    cells = nbformat.read(out, as_version=4).cells
    *before, _ = [cell for cell in cells if cell.get("execution_count")]
    assert len(before) == 2
    assert all("parameters" in " ".join(cell.metadata.tags) for cell in before)


@functools.cache
def _known(statistic: str, scores: bytes, accuracies: bytes, resamples: int) -> np.ndarray:
    """Most is of the published tables, which the page judges whatever the rows are."""
    return replicates(statistic, np.frombuffer(scores), np.frombuffer(accuracies), resamples)


def _what_to_beat(folder: Path, targets: list[str]) -> tuple[str, str]:
    """The page's answer and all that it says, with rows of some targets.

    On all samples a score is noise, on those of CS the accuracy itself.
    """
    frame = synthetic.rows(targets, ["logme"], draws=2).query("variant != 'ca'")
    noise = np.random.default_rng(0).normal(size=len(frame))
    frame = frame.assign(score=frame["accuracy"].where(frame["variant"] == "cs", noise))
    rows = pd.concat([frame, grid.static_rows(frame)])
    records.write(rows, folder / "5_1_source-glyphs-all")
    with mock.patch.object(
        stats, "replicates", lambda of, x, y, n: _known(of, x.tobytes(), y.tobytes(), n)
    ):
        done = pages.execute("what_to_beat", folder, other="", output=str(folder))
    texts = pages.texts(done, "text/markdown")
    return texts[0], " ".join(texts)


def test_what_to_beat_counts_the_scores_that_beat_the_list(tmp_path: Path):
    answer, texts = _what_to_beat(tmp_path, ["greek", "digits", "arrows", "sketch", "georgian"])
    assert "Published scores that do:\n1 of 19** (Model Spider)" in answer
    assert (
        "**On glyphs** 1 of 3 scores beat the list; of those on hard samples, 1 of 1 do" in answer
    )
    assert "Left out: glyphs, no rows of cyrillic, operators, dingbats." in answer
    assert "The best alone: LogME, CS" in texts


def test_what_to_beat_says_what_is_not_there(tmp_path: Path):
    answer, texts = _what_to_beat(tmp_path, ["greek", "digits"])
    assert "glyphs, no rows of cyrillic, georgian" in answer
    assert "glyphs: a list needs accuracies on other targets" in answer
    assert "There are no rows of our own" in texts
