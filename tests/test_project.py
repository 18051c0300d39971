"""The project's files agree with each other, and the README keeps its promises."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

import hastelib

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text().splitlines()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DOCUMENTS = [ROOT / "README.md", ROOT / "runs" / "README.md"]

# conda-forge's name where it differs from the package index's
CONDA = {
    "matplotlib-base": "matplotlib",
    "pytorch": "torch",
    "seaborn-base": "seaborn",
    "dask-core": "dask",
    "playwright-python": "playwright",
}


def required() -> dict[NormalizedName, Requirement]:
    """Everything that pyproject.toml asks for, extras included, by canonical name."""
    groups = [PYPROJECT["dependencies"], *PYPROJECT["optional-dependencies"].values()]
    requirements = [Requirement(text) for group in groups for text in group]
    return {canonicalize_name(r.name): r for r in requirements}


def test_environment_agrees_with_pyproject() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    texts = [*(d for d in listed if isinstance(d, str)), *listed[-1]["pip"]]
    conda = {canonicalize_name(CONDA.get(r.name, r.name)): r for r in map(Requirement, texts)}
    assert conda.pop(canonicalize_name("python")).specifier == PYPROJECT["requires-python"]
    assert conda.pop(canonicalize_name("pip")).specifier == ""
    expected = {name: requirement.specifier for name, requirement in required().items()}
    assert {name: requirement.specifier for name, requirement in conda.items()} == expected


def test_constraints_pin_all_that_is_required() -> None:
    pins: dict[NormalizedName, str] = {}
    for line in CONSTRAINTS:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!_-]+", line), f"not a plain pin: {line}"
        name, version = line.split("==")
        pins[canonicalize_name(name)] = version
    for name, requirement in required().items():
        assert name in pins, f"{name} is not locked"
        assert requirement.specifier.contains(pins[name]), f"{requirement}: locked at {pins[name]}"


def test_one_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert hastelib.__version__ == PYPROJECT["version"] == citation["version"]


def test_runs_exists_in_a_clone() -> None:
    assert (ROOT / "runs" / "README.md").is_file()
    assert "!runs/README.md" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_clean(path: Path) -> None:
    """The generic kernel, no outputs, no counters."""
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    for cell in notebook.cells:
        assert not cell.get("outputs"), f"outputs in {cell['source'][:60]!r}"
        assert cell.get("execution_count") is None
    nbformat.validate(notebook)


def commands(document: Path) -> list[str]:
    """Shell lines of a Markdown page."""
    blocks = re.findall(r"```sh\n(.*?)```", document.read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


PAPERMILL = [c for d in DOCUMENTS for c in commands(d) if re.search(r"papermill (?!--help)", c)]


def test_readme_shows_papermill_with_an_output_path() -> None:
    assert PAPERMILL
    assert "papermill wants an output path" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("command", PAPERMILL)
def test_papermill_lines_name_what_exists(command: str) -> None:
    words = shlex.split(command)
    notebook, output, *options = words[words.index("papermill") + 1 :]
    assert (ROOT / output).parent.is_dir()
    known = papermill.inspect_notebook(ROOT / notebook)
    names = {options[i + 1]: options[i + 2] for i, word in enumerate(options) if word == "-p"}
    assert names
    assert names.keys() <= known.keys()

    from hastelib import suites

    suite = suites.find(names.get("suite"), names.get("target"))
    assert names.get("target") in {None, *suite.targets}


def test_make_lines_name_targets_and_files() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    lines = [shlex.split(c, comments=True) for c in commands(ROOT / "README.md")]
    made = [words for words in lines if words[0] == "make"]
    assert {"book", "test"} <= {words[1] for words in made} <= targets
    for assignment in (word for words in made for word in words[2:]):
        variable, value = assignment.split("=", 1)
        if variable == "NAME":
            assert (ROOT / "notebooks" / f"{value}.ipynb").is_file()
        for file in re.findall(r"tests/\w+\.py", value):
            assert (ROOT / file).is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=["README", "runs"])
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text())
    assert links
    inside = [link for link in links if not link.startswith("http")]
    missing = [link for link in inside if not (document.parent / link).exists()]
    assert missing == []


def test_environment_variables_are_documented_alike() -> None:
    """The README and the page on the library name what the library reads, and only that."""
    sources = (path.read_text() for path in (ROOT / "hastelib").rglob("*.py"))
    read = {v for text in sources for v in re.findall(r"\"(HASTE_[A-Z]+)\"", text)}
    for page in (ROOT / "README.md", ROOT / "book" / "api.md"):
        named = re.findall(r"^\| `(HASTE_[A-Z]+)`", page.read_text(), flags=re.MULTILINE)
        assert set(named) == read, page.name
