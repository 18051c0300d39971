"""The project's files agree with each other, and the README keeps its promises."""

import graphlib
import re
import shlex
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import architecture
import build
import nbformat
import papermill
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

import hastelib
from hastelib import suites

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYPROJECT = SETTINGS["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text().splitlines()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DOCUMENTS = [ROOT / name for name in ("README.md", "runs/README.md", "CONTRIBUTING.md")]

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
    for package in distributions():  # 3.11.2 is the Python of a whole Debian release
        if canonicalize_name(package.name) in pins:
            needs = str(package.metadata.json.get("requires_python", ""))
            assert "3.11.0" in SpecifierSet(needs), package.name


def test_versions_agree() -> None:
    """Of the library; of Python what is asked for, told, and let pass by the Makefile."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert SETTINGS["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "hastelib.__version__"}
    assert hastelib.__version__ == citation["version"]
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\S+)", changes, flags=re.MULTILINE)[0] == hastelib.__version__
    told = re.findall(r"Python :: (3\.\d+)", " ".join(PYPROJECT["classifiers"]))
    asked = SpecifierSet(PYPROJECT["requires-python"])
    assert told == [v for v in (f"3.{minor}" for minor in range(30)) if f"{v}.0" in asked]
    span = f"Python {told[0]} to {told[-1]}"
    for name in ("Makefile", "README.md"):
        assert span in (ROOT / name).read_text(), name


def test_wheel_holds_the_library_and_its_files_alone() -> None:
    """Every module is in a package, every other file is named by a pattern; below 5 MB."""
    package, rules = ROOT / "hastelib", SETTINGS["tool"]["setuptools"]
    assert rules["packages"]["find"] == {"include": ["hastelib*"]}
    files = {f for f in package.rglob("*") if f.is_file() and "__pycache__" not in f.parts}
    code = {f for f in files if f.suffix == ".py"}
    assert [f for f in code if not (f.parent / "__init__.py").is_file()] == []
    assert list(rules["package-data"]) == ["hastelib"]
    named = [set(package.glob(pattern)) for pattern in rules["package-data"]["hastelib"]]
    assert all(named), "a pattern that names nothing"
    assert set().union(*named) == files - code
    assert sum(f.stat().st_size for f in files) < 5e6


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


@pytest.mark.parametrize("command", PAPERMILL)
def test_papermill_lines_name_what_exists(command: str) -> None:
    words = shlex.split(command)
    notebook, output, *options = words[words.index("papermill") + 1 :]
    assert (ROOT / output).parent.is_dir()
    known = papermill.inspect_notebook(ROOT / notebook)
    names = {options[i + 1]: options[i + 2] for i, word in enumerate(options) if word == "-p"}
    assert names
    assert names.keys() <= known.keys()

    suite = suites.find(names.get("suite"), names.get("target"))
    assert names.get("target") in {None, *suite.targets}
    assert "papermill wants an output path" in (ROOT / "README.md").read_text()


def test_make_lines_name_targets_and_files() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    lines = [shlex.split(c, comments=True) for d in DOCUMENTS for c in commands(d)]
    made = [words for words in lines if words[0] == "make"]
    assert {"book", "test"} <= {words[1] for words in made} <= targets
    for assignment in (word for words in made for word in words[2:]):
        variable, value = assignment.split("=", 1)
        if variable == "NAME":
            assert (ROOT / "notebooks" / f"{value}.ipynb").is_file()
        for file in re.findall(r"tests/\w+\.py", value):
            assert (ROOT / file).is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=["README", "runs", "CONTRIBUTING"])
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text())
    assert links
    inside = [link for link in links if not link.startswith("http")]
    missing = [link for link in inside if not (document.parent / link).exists()]
    assert missing == []


def test_environment_variables_are_documented() -> None:
    """The page on the library names what the library reads, and only that; the README no other."""
    sources = (path.read_text() for path in (ROOT / "hastelib").rglob("*.py"))
    read = {v for text in sources for v in re.findall(r"\"(HASTE_[A-Z]+)\"", text)}
    page = (ROOT / "book" / "api.md").read_text()
    assert {*re.findall(r"^\| `(HASTE_[A-Z]+)`", page, flags=re.MULTILINE)} == read
    assert {*re.findall(r"HASTE_[A-Z]+", (ROOT / "README.md").read_text())} <= read


def test_pages_that_read_results_are_made_again_with_them() -> None:
    pages = {path.stem: path.read_text() for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {name for name, text in pages.items() if '/ \\"results\\"' in text} == build.READ.keys()


def test_imports_run_downwards(tmp_path: Path) -> None:
    """In the layers of the book's picture, and nowhere in a circle."""
    graph = architecture.parts()
    depth = {name: row for row, layer in enumerate(architecture.LAYERS) for name in layer}
    assert graph.keys() == depth.keys(), "every module, and nothing else, stands in one layer"
    upwards = {(a, b) for a, others in graph.items() for b in others if depth[b] < depth[a]}
    assert upwards == set()
    for each in (graph, architecture.imports()):
        tuple(graphlib.TopologicalSorter(each).static_order())  # CycleError names the circle
    file = tmp_path / "module.py"  # imports are seen within functions and for the types alone
    file.write_text(
        "import numpy\nfrom hastelib.metrics import leep\nfrom hastelib import features, rank\n"
        "if TYPE_CHECKING:\n    import hastelib.data.base\n"
        "def late():\n    from hastelib import stats\n"
    )
    assert {*architecture.imported(file)} == {"metrics", "features", "data.base", "stats"}


def test_workflow_runs_what_the_project_runs() -> None:
    """It calls .ci/run, publishes what that built, pins its actions, and may do nothing else."""
    workflow = yaml.load((ROOT / ".github" / "workflows" / "book.yml").read_text(), yaml.BaseLoader)
    assert workflow["permissions"] == {"contents": "read"}
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert ".ci/run" in [step.get("run") for step in build["steps"]]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
    assert "permissions" not in build
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}
    assert publish["if"] == "github.ref == 'refs/heads/main'"
    used = [step["uses"] for job in (build, publish) for step in job["steps"] if "uses" in step]
    assert len(used) == 3
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action) for action in used)
    assert build["steps"][-1]["with"] == {"path": "_build/html"}


TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_issue_forms_ask() -> None:
    forms = [yaml.safe_load(path.read_text()) for path in TEMPLATES]
    assert len(forms) == 3
    for form in forms:
        assert form.keys() == {"name", "description", "labels", "body"}
        fields = [one["id"] for one in form["body"]]
        assert len({*fields}) == len(fields) > 3
        assert all(one["attributes"]["label"] for one in form["body"])
        assert all(one["type"] in ("input", "textarea") for one in form["body"])


def test_no_loader_runs_code() -> None:
    """SECURITY.md: torch.load with weights only, nothing unpickled, no code of the hub."""
    for path in (ROOT / "hastelib").rglob("*.py"):
        text = path.read_text()
        for call in re.findall(r"torch\.load\([^)]*\)", text):
            assert "weights_only=True" in call, f"{path.name}: {call}"
        assert not re.search(r"pickle\.loads?\(|read_pickle|allow_pickle=True|trust_remote", text)
