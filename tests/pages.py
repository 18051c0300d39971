"""Notebooks, run by papermill in this process: no kernel starts, nothing is imported again."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jaxtyping
import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import papermill
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from papermill.engines import Engine, papermill_engines
from traitlets.config import Config

from hastelib import analysis
from hastelib.metrics import METRICS
from hastelib.models import SOURCES

ROOT = Path(__file__).parents[1]
FEW = {"resamples": 100}  # of every bootstrap of a page


class Here(Engine):
    """IPython's own shell, new for every notebook, runs the cells."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: Any) -> None:
        InteractiveShell.clear_instance()
        shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
        for cell in nb_man.nb.cells:
            if cell.cell_type != "code":
                continue
            with shell.display_trap, capture_output() as shown:
                done = shell.run_cell(cell.source, store_history=True)
            cell.outputs = [nbformat.v4.new_output("stream", text=shown.stdout)]
            cell.outputs += [
                nbformat.v4.new_output("display_data", data=one.data) for one in shown.outputs
            ]
            if isinstance(done.error_in_exec, SystemExit):
                return
            done.raise_error()


papermill_engines.register("here", Here)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """As for a user: no shapes are checked, and nothing stays of what a page changes."""
    with contextlib.ExitStack() as stack:
        jaxtyping.config.update("jaxtyping_disable", True)
        stack.callback(jaxtyping.config.update, "jaxtyping_disable", False)
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        stack.enter_context(mpl.rc_context({"figure.dpi": 30}))
        stack.enter_context(mock.patch.object(Figure, "tight_layout"))  # slow, and nobody looks
        stack.enter_context(mock.patch.object(ConstrainedLayoutEngine, "execute"))
        stack.enter_context(mock.patch.dict(METRICS))
        stack.enter_context(mock.patch.dict(SOURCES))
        stack.callback(plt.close, "all")
        stack.callback(sys.modules.__setitem__, "__main__", sys.modules["__main__"])
        stack.enter_context(mock.patch.dict(analysis.bootstrap.__kwdefaults__, FEW))
        yield


def execute(notebook: Path | str, folder: Path, **given: Any) -> nbformat.NotebookNode:
    """A page of the book (its name) or another notebook (its path) with these parameters."""
    path = ROOT / "notebooks" / f"{notebook}.ipynb" if isinstance(notebook, str) else notebook
    with undisturbed():
        return papermill.execute_notebook(
            path, folder / "out.ipynb", given, engine_name="here", cwd=ROOT, progress_bar=False
        )


def texts(done: nbformat.NotebookNode, kind: str = "text/html") -> list[str]:
    """What a notebook that has run shows, of one kind."""
    outputs = [one for cell in done.cells for one in cell.get("outputs", ())]
    return [one["data"][kind] for one in outputs if kind in one.get("data", ())]
