"""The page "Your own experiment": its blocks, as they stand there, one after the other."""

import io
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import official_copies
import pages
import pandas as pd
import pytest
import timm
import torch
import torchvision
from official_copies import picture
from pages import ROOT
from papermill.cli import papermill
from safetensors.torch import save_file

from hastelib import models, plugins, records, suites
from hastelib.grid import Grid
from hastelib.hardness import Signature
from hastelib.metrics import METRICS

PAGE = (ROOT / "book" / "own_experiment.md").read_text()
BLOCK = r"^```(?:\{code-block\} )?(\w+)\n(?::caption: (\S+)\n\n)?(.*?)^```$"
BLOCKS = re.findall(BLOCK, PAGE, re.M | re.S)  # the language, the file it goes to or "", the text


def block(words: str) -> tuple[str, str, str]:
    """The only one that has these words, or that goes to the file of this name."""
    (found,) = [one for one in BLOCKS if words == one[1] or words in one[2].split("\n")[0]]
    return found


def write(file: str) -> None:
    Path(file).write_text(block(file)[2])


@pytest.fixture(scope="module", autouse=True)
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder like the root of a clone, with what the page supposes to be there; we are in it."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("notebooks", "hastelib", "book"):  # for blocks that set PYTHONPATH=.
        (folder / name).symlink_to(ROOT / name)
    for name in ("runs", "params/suites", "data", "weights/flowers"):
        (folder / name).mkdir(parents=True)
    photos = {
        f"{name}/{i}.png": picture(y, i)
        for y, name in enumerate(("daisy", "rose", "tulip"))
        for i in range(20)
    }
    official_copies.write(folder / "data" / "flowers", photos)
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=10)
    torch.save(network.state_dict(), folder / "resnet18.pt")
    save_file(network.state_dict(), folder / "weights/flowers/resnet18.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        suite = Path("params/suites/mine.yaml")
        write(str(suite))
        less = suite.read_text().replace("train: 120, test: 30", "train: 12, test: 3")
        suite.write_text(less.replace("epochs: 4", "epochs: 1"))
        for name in ("data", "weights", "params", "cache"):
            patch.setenv(f"HASTE_{name.upper()}", str(folder / name))
        yield folder


def shell(text: str, **variables: str) -> str:
    """What commands print that a user types."""
    given: Any = {"env": os.environ | variables, "stdout": subprocess.PIPE}
    return subprocess.run(["bash", "-ec", text], text=True, check=True, **given).stdout


def run(words: str) -> str:
    """What a block prints. A shell reads its command, which then runs in this process."""
    language, _, text = block(words)
    plugin, path, *command = "", "", "python", "-c", text
    if language == "sh":
        told = 'printf "%s\\0" "$HASTE_PLUGINS" "$PYTHONPATH"'
        heard = [f'{name}() {{ {told} {name} "$@"; }}' for name in ("papermill", "python")]
        said = shell("\n".join([*heard, text]), HASTE_PLUGINS="", PYTHONPATH="")
        plugin, path, *command = said.split("\0")[:-1]
    with pytest.MonkeyPatch.context() as patch, pages.undisturbed():
        patch.setenv("HASTE_PLUGINS", plugin)
        patch.setattr(sys, "path", [path, *sys.path] if path else sys.path)
        with redirect_stdout(io.StringIO()) as printed:
            if command[0] == "papermill":
                papermill([*command[1:], "--engine=here"], standalone_mode=False)
            else:
                assert command[:2] == ["python", "-c"]
                Path("block.py").write_text(command[2])
                runpy.run_path("block.py")
    sys.modules.pop(plugin, None)
    return printed.getvalue()


def rows() -> pd.DataFrame:
    files = Path("runs").glob("5_1_source-mine-flowers*.csv")
    return records.read(max(files, key=lambda path: path.stat().st_mtime))


def test_every_block_is_short_and_known() -> None:
    assert len(BLOCKS) == PAGE.count("```") // 2 == 11
    assert {language for language, _, _ in BLOCKS} == {"yaml", "python", "sh"}
    assert max(len(text.strip().split("\n")) for _, _, text in BLOCKS) <= 10
    assert all(file for language, file, _ in BLOCKS if language == "yaml")


def test_a_signature() -> None:
    run("python -c 'from hastelib")
    path = Path("params/signatures/resnet8@glyphs.safetensors")
    assert Signature.load(path).notes["network"] == "resnet8@glyphs"


def test_a_target() -> None:
    run("runs/flowers.ipynb")
    found = rows()
    assert set(found["target"]) == {"flowers"}
    assert set(found["variant"]) == {"all", "random", "ca", "cs", "static"}
    assert set(found.loc[found["variant"] == "all", "samples"]) == {48}
    assert {"leep", "flowers"} <= {*run("from hastelib import analysis").split()}


def test_a_source_by_its_weights() -> None:
    run("runs/file.ipynb")
    assert "resnet18@flowers/resnet18.safetensors" in set(rows()["source"])


def test_a_source_by_a_function() -> None:
    """As a user would start it, by papermill's command, on a worker."""
    write("my_sources.py")
    shell(block("runs/source.ipynb")[2], HASTE_SCHEDULER="1")
    assert set(rows()["source"]) == {"resnet8@glyphs", "resnet14@glyphs", "resnet18@mine"}
    printed = run("HASTE_PLUGINS=my_sources PYTHONPATH=. python")
    said = re.search(r"For the ResNet above that is (.*?)\. ", PAGE)
    assert said
    assert re.findall(r"[\w.]+", printed) == re.findall(r"`(.*?)`", said.group(1))


def test_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    write("my_metrics.py")
    run("runs/metric.ipynb")
    found = rows().query("metric == 'nearest' and variant != 'static'")
    assert len(set(found["score"])) > 1
    assert found["score"].between(0, 1).all()
    home = Path("my_metrics.py")
    home.write_text(home.read_text().replace(".item()", ".item() + 5"))
    monkeypatch.setenv("HASTE_PLUGINS", "my_metrics")
    monkeypatch.syspath_prepend(".")
    monkeypatch.setitem(METRICS, "nearest", None)
    plugins.load()
    suite, targets = suites.load("mine").select(targets="flowers")
    assert Grid(suite).frame("mine", targets, ["nearest"], seeds=())["score"].min() >= 5


def test_a_hardness() -> None:
    printed = run("from hastelib import hardness")
    scores = re.findall(r"'variant': '(\w+)'.*?'samples': (\d+).*?'score': ([-\d.]+)", printed)
    assert [(variant, int(n)) for variant, n, _ in scores] == [("all", 48), ("unsure", 12)] * 2
    assert len({score for *_, score in scores}) == 4


def test_a_source_from_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name, its weights in the hub's cache, where `pretrained=True` looks first."""
    torch.manual_seed(0)
    network = timm.create_model("convnext_atto.d2_in1k", pretrained=False)
    home = tmp_path / "models--timm--convnext_atto.d2_in1k"
    (home / "snapshots" / "0").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("0")
    save_file(network.state_dict(), home / "snapshots" / "0" / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    name = "timm/convnext_atto.d2_in1k"
    assert name in PAGE
    structure = models.load(name).structure
    assert structure.layers == ("stages.1", "stages.2", "stages.3")
    assert structure.head == "head.fc"
    assert models.load(name, 64).preprocessing.crop == 64
