"""Build the book: run the notebooks whose inputs changed, stage the pages, render them.

Everything is written under `_build`: `executed/` holds the run notebooks, `rows/` their tables as
CSV, `made/` what the build itself knows, `source/` what the renderer reads, `html/` the book. A
notebook is run again only if its key changed, and the key is kept inside its executed copy, which
appears in one step: a build killed at any moment is simply started again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
EXECUTED, MADE, SOURCE, HTML = (BUILD / n for n in ("executed", "made", "source", "html"))
RUNS, ROWS = ROOT / "runs", BUILD / "rows"  # where notebooks write; what the book's own wrote
RENDERED = BUILD / "rendered"  # there only while `html` is the complete result of the last build
INPUTS = ("hastelib", "params", "book/paper_tables", "book/published", "constraints.txt")
FIRST = ("5_1_source", "5_5_language", "5_3_segmentation", "5_2_target", "5_4_ensemble")
"""They fine-tune what the others read, two at a time; in this order both end at about one time."""
LAST = ("results", "what_to_beat")
"""They read the rows of all others."""
COLLECTOR = "import gc; gc.set_threshold(100_000)"
READ: dict[str, tuple[str, ...]] = dict.fromkeys(LAST, ("_build/rows", "results"))
READ |= dict.fromkeys(
    ("1_hard_subsets", "5_6_ablations", "A_3_cost", "A_3_gallery", "why_hard_subsets"), ("results",)
)
"""What some pages read beside the inputs, where it is there."""


def files(path: Path) -> Iterator[Path]:
    """All files under a path (or the path itself), sorted, without what Python leaves behind."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc":
            yield file


def key_of(notebook: Path) -> str:
    """SHA-256 over everything that an executed notebook depends on, its own defaults included."""
    digest = hashlib.sha256()
    inputs = [notebook, *(ROOT / name for name in INPUTS)]
    inputs += [ROOT / name for name in READ.get(notebook.stem, ()) if (ROOT / name).exists()]
    for file in (f for path in inputs for f in files(path)):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(ROOT).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def is_current(executed: Path, key: str) -> bool:
    """Whether the executed copy was made with this key."""
    if not executed.exists():
        return False
    return bool(nbformat.read(executed, as_version=4).metadata.get("hastelib_key") == key)


def execute(notebook: Path) -> float | None:
    """Run one notebook from the project's root; the seconds it took, None if it failed."""
    executed = EXECUTED / notebook.name
    failed = executed.with_suffix(".failed.ipynb")
    failed.unlink(missing_ok=True)
    key = key_of(notebook)
    if is_current(executed, key):
        print(f"{notebook.name}: unchanged, not run again", flush=True)
        return 0.0

    import papermill  # slow to import, and not needed when nothing changed

    RENDERED.unlink(missing_ok=True)
    partial = executed.with_suffix(".partial.ipynb")
    start, since = time.monotonic(), time.time()
    print(f"{notebook.name}: running ...", flush=True)
    try:
        result = papermill.execute_notebook(
            notebook,
            partial,
            kernel_name="python3",
            cwd=ROOT,
            progress_bar=False,
            # Without the kernel's own talk; a fifth of an import is the garbage collector's time.
            extra_arguments=["--log-level=CRITICAL", f"--IPKernelApp.exec_lines={COLLECTOR}"],
            shutdown_kernel="immediate",  # which an interpreter takes two seconds to do by itself
        )
    except papermill.PapermillExecutionError as error:
        partial.replace(failed)
        print(
            f"{notebook.name}: cell {error.cell_index} failed with {error.ename}: {error.evalue}\n"
            f"  {error.source.strip().splitlines()[0]} ...\n"
            f"  the whole traceback is in {failed.relative_to(ROOT)}",
            file=sys.stderr,
        )
        return None
    ROWS.mkdir(exist_ok=True)
    for table in RUNS.glob(f"{notebook.stem}-*"):
        if table.stat().st_mtime >= since:  # what a reader ran earlier stays out
            for old in ROWS.glob(f"{table.stem}.*"):
                old.unlink()
            shutil.copyfile(table, ROWS / table.name)
    from hastelib.finetune import versions

    result.metadata |= {"hastelib_key": key, "hastelib_versions": versions()}
    nbformat.write(result, partial)
    partial.replace(executed)
    took = time.monotonic() - start
    print(f"{notebook.name}: took {took:.0f} s", flush=True)
    return took


def execute_all(notebooks: list[Path]) -> dict[str, float | None]:
    """Run notebooks; name -> what :func:`execute` gives."""
    from hastelib.data.images import cores  # seconds, which a book that is there need not wait

    first = [one for name in FIRST for one in notebooks if one.stem == name]
    last = [one for one in notebooks if one.stem in LAST]
    rest = [one for one in notebooks if one not in first + last]
    cpus, found = cores(), dict[str, float | None]()
    if cpus <= 2:  # what reads another's networks waits for them
        first, rest = first + rest, []
    # Two that train share the cores: while one computes its tables, the other trains.
    for some, most in ((first, 2), (rest, cpus), (last, cpus)):
        lanes = max(1, min(len(some), most, cpus))
        each = cpus // lanes
        with (
            environment(HASTE_SCHEDULER=str(each) if each > 1 else "local", OMP_NUM_THREADS="1"),
            environment(TQDM_DISABLE="1"),  # nobody sees the bars, and each step would be kept
            ThreadPoolExecutor(lanes) as pool,
        ):
            found |= zip([one.stem for one in some], pool.map(execute, some), strict=True)
    return found


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Variables for the kernels that are started inside, unless the caller has set them."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def settings() -> dict[str, Any]:
    """`_config.yml`, with the version, and with the links where the repository has an address."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    theme = found["sphinx"]["config"]["html_theme_options"]
    theme["extra_footer"] = f"Version {version()}"
    theme["repository_url"] = os.environ.get("BOOK_REPOSITORY") or theme["repository_url"]
    for button in ("repository", "issues", "edit_page"):
        theme[f"use_{button}_button"] = bool(theme["repository_url"])
    return found


def version() -> str:
    """That of the library, which need not be imported for it."""
    face = (ROOT / "hastelib" / "__init__.py").read_text(encoding="utf-8")
    (found,) = re.findall(r'^__version__ = "(.+)"$', face, flags=re.MULTILINE)
    return str(found)


def executions() -> str:
    """When each notebook was run, how long it took, and with what: a table in Markdown."""
    rows = [("Page", "Run (UTC)", "Seconds", "Software"), ("---", "---", "--:", "---")]
    for path in sorted(EXECUTED.glob("*.ipynb")):
        if path.suffixes == [".ipynb"]:  # no failed or partial one
            notebook = nbformat.read(path, as_version=4)
            run, title = notebook.metadata["papermill"], notebook.cells[0]["source"].split("\n")[0]
            python = f"Python {notebook.metadata['language_info']['version']}"
            software = filter(None, (python, notebook.metadata.get("hastelib_versions")))
            row = (
                f"[{title.lstrip('# ')}](../notebooks/{path.name})",
                run["start_time"][:16].replace("T", " "),
                f"{run['duration']:.0f}",
                ", ".join(software),
            )
            rows.append(row)
    several = len({row[-1] for row in rows[2:]}) != 1
    said = "" if several else f"All were run with {rows[2][-1]}.\n\n"
    return said + "\n".join(f"| {' | '.join(row[: 3 + several])} |" for row in rows)


def make() -> None:
    """Write what the build itself knows: settings, the table of the executions, a picture."""
    import architecture  # and Matplotlib

    page = (ROOT / "book" / "executions.md").read_text(encoding="utf-8")
    texts = {
        "_config.yml": yaml.safe_dump(settings(), allow_unicode=True),
        "book/executions.md": page.replace("<!-- table: book/build.py -->", executions()),
    }
    for name, text in texts.items():
        (MADE / name).parent.mkdir(parents=True, exist_ok=True)
        (MADE / name).write_text(text, encoding="utf-8")
    architecture.write(MADE / "book" / "_static" / "architecture.svg")


def stage() -> None:
    """Bring `_build/source` up to date.

    A file is written only if its content differs: its time of change tells the renderer what to
    read again.
    """
    make()
    wanted = {
        Path("_toc.yml"): ROOT / "_toc.yml",
        **{f.relative_to(ROOT): f for f in files(ROOT / "book") if f.suffix != ".py"},
        **{f.relative_to(MADE): f for f in files(MADE)},
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
    shutil.copytree(ROWS, HTML / "notebooks", dirs_exist_ok=True)  # pages link to their rows
    url = settings()["sphinx"]["config"]["html_theme_options"]["repository_url"] or "URL"
    for notebook in (HTML / "_sources" / "notebooks").glob("*.ipynb"):  # its button to download
        installable(notebook, url)
    RENDERED.touch()
    return True


def installable(notebook: Path, url: str) -> None:
    """Put a cell before a downloaded notebook that installs what it needs, from the ``url``."""
    content = nbformat.read(notebook, as_version=4)
    lines = (
        "# Once, where this notebook does not run in a clone with its environment:",
        f"# !git clone --depth 1 {url} haste",
        '# %pip install -q -c haste/constraints.txt -e "haste[book,language]"',
        "# %cd haste",
    )
    if content.cells[0].get("id") != "install":
        content.cells.insert(0, nbformat.v4.new_code_cell("\n".join(lines), id="install"))
        nbformat.write(content, notebook)


def main() -> int:
    """Command line entry; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", metavar="PAGE", help="run only this one; the other pages stay as they were"
    )
    only = parser.parse_args().only
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    if only is not None:
        names = [page.stem for page in (*notebooks, *(ROOT / "book").rglob("*.md"))]
        if Path(only).stem not in names:
            parser.error(f"there is no page {only!r}; there are: {', '.join(names)}")
        notebooks = [n for n in notebooks if n.stem == Path(only).stem]

    EXECUTED.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    took = execute_all(notebooks)
    if any(seconds is None for seconds in took.values()):
        return 1
    ran = time.monotonic() - start
    stage()
    if not render():
        return 1
    print("\nWhere the time went:")
    for name, seconds in sorted(took.items(), key=lambda item: -(item[1] or 0)):
        if seconds:
            print(f"  {seconds:6.0f} s  {name}")
    print(f"  {ran:6.0f} s  all notebooks, some side by side")
    print(f"  {time.monotonic() - start - ran:6.0f} s  rendering")
    html = HTML.relative_to(ROOT)
    print(
        f"\nThe book is in {html}/index.html: open it, or, for a search with excerpts,\n"
        f"  python3 -m http.server -d {html}    and open http://localhost:8000"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
