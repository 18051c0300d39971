"""Build the book: run the notebooks whose inputs changed, stage the pages, render them.

Everything is written under `_build`: `executed/` holds the run notebooks, `source/` what the
renderer reads, `html/` the book. A notebook is run again only if its key changed, and the key is
kept inside its executed copy, which appears in one step: a build killed at any moment is simply
started again.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
EXECUTED, SOURCE, HTML = BUILD / "executed", BUILD / "source", BUILD / "html"
RENDERED = BUILD / "rendered"  # there only while `html` is the complete result of the last build
INPUTS = ("hastelib", "params", "book/paper_tables", "constraints.txt")


def files(path: Path) -> Iterator[Path]:
    """All files under a path (or the path itself), sorted, without what Python leaves behind."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc":
            yield file


def key_of(notebook: Path) -> str:
    """SHA-256 over everything that an executed notebook depends on, its own defaults included."""
    digest = hashlib.sha256()
    for file in (f for path in (notebook, *(ROOT / i for i in INPUTS)) for f in files(path)):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(ROOT).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def is_current(executed: Path, key: str) -> bool:
    """Whether the executed copy was made with this key."""
    if not executed.exists():
        return False
    return bool(nbformat.read(executed, as_version=4).metadata.get("hastelib_key") == key)


def execute(notebook: Path) -> bool:
    """Run one notebook from the project's root; True if it is up to date afterwards."""
    executed = EXECUTED / notebook.name
    failed = executed.with_suffix(".failed.ipynb")
    failed.unlink(missing_ok=True)
    key = key_of(notebook)
    if is_current(executed, key):
        print(f"{notebook.name}: unchanged, not run again", flush=True)
        return True

    import papermill  # slow to import, and not needed when nothing changed

    RENDERED.unlink(missing_ok=True)
    partial = executed.with_suffix(".partial.ipynb")
    start = time.monotonic()
    print(f"{notebook.name}: running ...", flush=True)
    try:
        result = papermill.execute_notebook(
            notebook,
            partial,
            kernel_name="python3",
            cwd=ROOT,
            progress_bar=sys.stderr.isatty(),
            extra_arguments=["--log-level=CRITICAL"],  # the kernel's own talk, not the notebook's
        )
    except papermill.PapermillExecutionError as error:
        partial.replace(failed)
        print(
            f"{notebook.name}: cell {error.cell_index} failed with {error.ename}: {error.evalue}\n"
            f"  {error.source.strip().splitlines()[0]} ...\n"
            f"  the whole traceback is in {failed.relative_to(ROOT)}",
            file=sys.stderr,
        )
        return False
    result.metadata["hastelib_key"] = key
    nbformat.write(result, partial)
    partial.replace(executed)
    print(f"{notebook.name}: took {time.monotonic() - start:.0f} s", flush=True)
    return True


def stage() -> None:
    """Bring `_build/source` up to date.

    A file is written only if its content differs: its time of change tells the renderer what to
    read again.
    """
    wanted = {
        Path("_config.yml"): ROOT / "_config.yml",
        Path("_toc.yml"): ROOT / "_toc.yml",
        **{f.relative_to(ROOT): f for f in files(ROOT / "book") if f.suffix != ".py"},
    }
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        executed = EXECUTED / notebook.name
        wanted[notebook.relative_to(ROOT)] = executed if executed.exists() else notebook

    for file in list(files(SOURCE)):
        if file.relative_to(SOURCE) not in wanted:
            file.unlink()
    for name, origin in wanted.items():
        copy = SOURCE / name
        if not copy.exists() or copy.read_bytes() != origin.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, copy)


def render() -> bool:
    """Render the staged pages with warnings as errors; True if there were none."""
    if not RENDERED.exists():  # a page that failed is not read again, and its warning would be lost
        shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
        shutil.rmtree(HTML, ignore_errors=True)
    RENDERED.unlink(missing_ok=True)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(SOURCE)]
    options = ["--path-output", str(ROOT), "-W", "-n", "--keep-going"]
    if subprocess.run(command + options).returncode != 0:
        return False
    RENDERED.touch()
    return True


def main() -> int:
    """Command line entry; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", metavar="NOTEBOOK", help="run only this one; the other pages stay as they were"
    )
    only = parser.parse_args().only
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    if only is not None:
        names = ", ".join(n.stem for n in notebooks)
        notebooks = [n for n in notebooks if n.stem == Path(only).stem]
        if not notebooks:
            parser.error(f"there is no notebook {only!r}; there are: {names}")

    EXECUTED.mkdir(parents=True, exist_ok=True)
    succeeded = [execute(notebook) for notebook in notebooks]
    if not all(succeeded):
        return 1
    stage()
    if not render():
        return 1
    html = HTML.relative_to(ROOT)
    print(
        f"\nThe book is in {html}/index.html: open it, or, for a search with excerpts,\n"
        f"  python3 -m http.server -d {html}    and open http://localhost:8000"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
