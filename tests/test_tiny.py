"""A whole suite, made tiny, through every notebook: each runs alone by papermill, in any order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(environment: Path, notebook: Path) -> None:
    told = papermill.inspect_notebook(notebook)
    given = {"output": str(environment / "runs")} if "output" in told else {}
    done = papermill.execute_notebook(
        notebook,
        environment / notebook.name,
        given,
        kernel_name="python3",
        cwd=ROOT,
        progress_bar=False,
    )
    assert any(cell.get("outputs") for cell in done.cells)
    if given and notebook.stem != "results":  # which reads what the others wrote
        assert list((environment / "runs").glob(f"{notebook.stem}*.csv"))
