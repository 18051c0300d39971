"""The page "Your own experiment": its blocks, as they stand there, one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from hastelib import plugins, records, suites
from hastelib.grid import Grid
from hastelib.hardness import Signature
from hastelib.metrics import METRICS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "book" / "own_experiment.md"
CLASSES = ("daisy", "rose", "tulip")


class Block(NamedTuple):
    """A block of code: its language, the file it goes to (else empty), its text."""

    language: str
    file: str
    text: str


def blocks() -> list[Block]:
    pattern = r"^```(?:\{code-block\} )?(\w+)\n(?::caption: (\S+)\n\n)?(.*?)^```$"
    return [Block(*found) for found in re.findall(pattern, PAGE.read_text(), re.M | re.S)]


def block(words: str) -> Block:
    """The only one that has these words, or that goes to the file of this name."""
    (found,) = [one for one in blocks() if words == one.file or words in one.text.split("\n")[0]]
    return found


class Place:
    """A folder like the root of a clone, with what the page supposes to be there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("notebooks", "hastelib", "book"):  # for blocks that set PYTHONPATH=.
            (folder / name).symlink_to(ROOT / name)
        for name in ("runs", "params/suites", "data", "weights/flowers"):
            (folder / name).mkdir(parents=True)
        random = np.random.default_rng(0)
        for number, name in enumerate(CLASSES):
            home = folder / "data" / "flowers" / name
            home.mkdir(parents=True)
            for i in range(20):
                pixels = random.integers(0, 120, (40, 40, 3))
                pixels[..., number] += 100
                Image.fromarray(pixels.astype(np.uint8)).save(home / f"{i}.png")
        torch.manual_seed(0)
        network = torchvision.models.resnet18(num_classes=10)
        torch.save(network.state_dict(), folder / "resnet18.pt")
        save_file(network.state_dict(), folder / "weights/flowers/resnet18.safetensors")

    def write(self, file: str) -> None:
        (self.folder / file).write_text(block(file).text)

    def run(self, one: Block, **variables: str) -> str:
        """What the block prints; python or sh, as a user would start it."""
        folders = ("data", "weights", "params", "cache")
        given = {f"HASTE_{name.upper()}": str(self.folder / name) for name in folders} | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "OMP_NUM_THREADS": "1",
        }
        shell = {"python": [sys.executable, "-c"], "sh": ["bash", "-ec"]}[one.language]
        environment = os.environ | given | variables
        done = subprocess.run(
            [*shell, one.text],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def rows(self) -> pd.DataFrame:
        files = (self.folder / "runs").glob("5_1_source-mine-flowers*.csv")
        return records.read(max(files, key=lambda path: path.stat().st_mtime))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("clone"))
    made.write("params/suites/mine.yaml")
    return made


def test_every_block_is_short_and_known() -> None:
    found = blocks()
    assert len(found) == PAGE.read_text().count("```") // 2 == 10
    assert {one.language for one in found} == {"yaml", "python", "sh"}
    longest = max(len(one.text.strip().split("\n")) for one in found)
    assert longest <= 10
    assert all(one.file for one in found if one.language == "yaml")


def test_a_signature(place: Place) -> None:
    place.run(block("python -c 'from hastelib"))
    path = place.folder / "params" / "signatures" / "resnet8@glyphs.safetensors"
    assert Signature.load(path).notes["network"] == "resnet8@glyphs"


def test_a_target(place: Place) -> None:
    place.run(block("runs/flowers.ipynb"))
    rows = place.rows()
    assert set(rows["target"]) == {"flowers"}
    assert set(rows["variant"]) == {"all", "random", "ca", "cs", "static"}
    assert set(rows.loc[rows["variant"] == "all", "samples"]) == {48}
    assert {"leep", "flowers"} <= {*place.run(block("from hastelib import analysis")).split()}


def test_a_source_by_its_weights(place: Place) -> None:
    place.run(block("runs/file.ipynb"))
    assert "resnet18@flowers/resnet18.safetensors" in set(place.rows()["source"])


def test_a_source_by_a_function(place: Place) -> None:
    place.write("my_sources.py")
    place.run(block("runs/source.ipynb"), HASTE_SCHEDULER="1")
    assert set(place.rows()["source"]) == {"resnet8@glyphs", "resnet14@glyphs", "resnet18@mine"}
    printed = place.run(block("HASTE_PLUGINS=my_sources PYTHONPATH=. python"))
    said = re.search(r"For the ResNet above that is (.*?)\. ", PAGE.read_text())
    assert said
    assert re.findall(r"[\w.]+", printed) == re.findall(r"`(.*?)`", said.group(1))


def test_a_metric(place: Place) -> None:
    place.write("my_metrics.py")
    place.run(block("runs/metric.ipynb"))
    rows = place.rows().query("metric == 'nearest' and variant != 'static'")
    assert len(set(rows["score"])) > 1
    assert rows["score"].between(0, 1).all()
    home = place.folder / "my_metrics.py"
    home.write_text(home.read_text().replace(".item()", ".item() + 5"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("params", "data", "weights", "cache"):
            patch.setenv(f"HASTE_{name.upper()}", str(place.folder / name))
        patch.setenv("HASTE_PLUGINS", "my_metrics")
        patch.syspath_prepend(place.folder)
        patch.setitem(METRICS, "nearest", None)
        plugins.load()
        suite, targets = suites.load("mine").select(targets="flowers")
        assert Grid(suite).frame("mine", targets, ["nearest"], seeds=())["score"].min() >= 5


def test_a_source_from_timm(place: Place, tmp_path: Path) -> None:
    """By its name, its weights in the hub's cache, where `pretrained=True` looks first."""
    torch.manual_seed(0)
    network = timm.create_model("convnext_atto.d2_in1k", pretrained=False)
    home = tmp_path / "hub" / "models--timm--convnext_atto.d2_in1k"
    (home / "snapshots" / "0").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("0")
    save_file(network.state_dict(), home / "snapshots" / "0" / "model.safetensors")
    name = "timm/convnext_atto.d2_in1k"
    assert name in PAGE.read_text()
    text = (
        "from hastelib import models;"
        f"source, small = models.load('{name}'), models.load('{name}', 64);"
        "print(*source.structure.layers, source.structure.head, small.preprocessing.crop)"
    )
    printed = place.run(Block("python", "", text), HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert printed.split() == ["stages.1", "stages.2", "stages.3", "head.fc", "64"]
