"""The hash of code: it sees every edit that can change a result, and no other."""

import importlib
import os
import pickle
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import torch
import torchvision
from torch import nn
from torchvision import transforms

from hastelib import code, models
from hastelib.features import extract
from hastelib.metrics import METRICS
from hastelib.models import segmentation

MINE = '''
"""A metric."""
import helper
from helper import Scale
K = 2
def inner(x):
    return helper.twice(x) * K
def made(factor):
    def metric(sample, power=1):
        """Of a sample."""
        return [inner(v) * factor**power for v in sample if v in {3, "x"}] + [Scale().by(4)]
    return metric
metric = made(5)
def other():
    return 0
'''
HELPER = '''
class Scale:
    """Of a number."""
    more = 7
    def by(self, x):
        return self.more * x + rest()
def rest():
    return 8
def twice(x):
    return 2 * x
'''


def of_files(folder: Path, edits: dict[str, str]) -> str:
    """The hash of ``mine.metric`` after some replacements in either file."""
    for name, text in {"mine": MINE, "helper": HELPER}.items():
        for old, new in edits.items():
            text = text.replace(old, new)
        (folder / f"{name}.py").write_text(text)
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    return code.of(importlib.import_module("mine").metric)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def test_every_edit_of_what_is_reached_counts(folder: Path) -> None:
    edits = {
        "a global constant": {"K = 2": "K = 3"},
        "a closure": {"made(5)": "made(6)"},
        "a default": {"power=1": "power=2"},
        "a set": {"{3, ": "{4, "},
        "a function": {"(x) * K": "(x) + K"},
        "a helper's function": {"return 2 * x": "return 3 * x"},
        "a helper's class": {"more * x": "more + x"},
        "a class constant": {"more = 7": "more = 8"},
        "what a helper's class reaches": {"return 8": "return 9"},
    }
    found = {what: of_files(folder, edit) for what, edit in edits.items()}
    assert len({*found.values(), of_files(folder, {})}) == len(edits) + 1, found


def test_no_other_edit_counts(folder: Path) -> None:
    whole = of_files(folder, {})
    for edit in (
        {'"""Of a sample."""': '"""Of some samples."""'},
        {'        """Of a sample."""\n': ""},
        {'    """Of a number."""': "    # none"},
        {"K = 2": "K  =  2  # two"},
        {"return 0": "return 1"},
        {"def inner(x):": "def inner(x: int) -> int:"},
    ):
        assert of_files(folder, edit) == whole, edit


def test_it_is_the_same_in_every_process() -> None:
    """Whatever the hash seed, and whether or not types are checked (as in these tests)."""
    lines = "from hastelib import code, models; from hastelib.features import extract"
    lines += "; from hastelib.metrics import METRICS; import torchvision; print(code.of("
    lines += "METRICS['linear_probe'], METRICS['gbc'], extract, models.Source), "
    lines += "code.of_network(torchvision.models.swin_t()))"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    there = subprocess.check_output([sys.executable, "-c", lines], env=environment, text=True)
    here = METRICS["linear_probe"], METRICS["gbc"], extract, models.Source
    sent = pickle.loads(pickle.dumps(torchvision.models.swin_t()))  # noqa: S301
    assert there.split() == [code.of(*here), code.of_network(sent)]  # as a worker has it


def test_a_package_counts_alike_before_and_after_it_is_loaded(folder: Path) -> None:
    """It is not read itself, as a module of yours would be."""
    late = {"return 8": "import timm\n    return timm"}
    found = of_files(folder, late)
    loaded = {
        name: sys.modules.pop(name) for name in [*sys.modules] if name.split(".")[0] == "timm"
    }
    code._foreign.cache_clear()
    try:
        assert of_files(folder, late) == found
    finally:
        sys.modules.update(loaded)


def test_where_a_checkout_lies_does_not_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the same commit in another folder would train anew."""
    place = {"return 8": "return __file__"}
    found = {of_files(folder, place)}
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.syspath_prepend(elsewhere)
    assert found == {of_files(elsewhere, place)}


def test_versions_count_where_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_of() -> list[str]:
        code._library_hash.cache_clear()
        reached = (METRICS["leep"],), (METRICS["linear_probe"],), (extract, models.Source)
        return [code.of(*things) for things in reached]

    before = all_of()
    for package in (torchvision, PIL):
        with monkeypatch.context() as patch:
            patch.setattr(package, "__version__", "0.1")
            leep, probe, features = all_of()
        assert [leep, probe] == before[:2]
        assert features != before[2]
    monkeypatch.setattr(torch, "__version__", "0.1")
    assert not {*all_of()} & {*before}


class Net(nn.Module):
    """Its weights do not say what it does with them."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.linear, self.scale, self.act = nn.Linear(2, 2), scale, torch.relu

    def forward(self, x: Any) -> Any:
        return self.act(self.linear(x)) * self.scale


class Edited(Net):
    def forward(self, x: Any) -> Any:
        return self.act(self.linear(x)) + self.scale


def test_what_a_network_does_counts_and_its_state_does_not() -> None:
    first = code.of_network(Net())
    assert code.of_network(Net().train()) == code.of_network(Net().eval()) == first
    others = Net(2.0), Edited(), nn.Sequential(Net())
    assert len({first, *map(code.of_network, others)}) == 4
    held: list[Any] = [Net() for _ in range(7)]
    held[0].act, held[1].mean, held[2].mean = nn.functional.gelu, torch.ones(2), torch.zeros(2)
    held[3].sizes, held[5]._depth = [1], 3
    held[4].register_buffer("mean", torch.ones(2), persistent=False)
    held[6].register_forward_hook(lambda module, given, output: output + 1)
    assert len({first, *map(code.of_network, held)}) == 8
    kinds: list[Any] = [np.array, np.float32, lambda x: Namespace(power=x, log=sys.stdout)]
    kinds += [(torch.half, torch.float).__getitem__, (torch.relu, torch.tanh).__getitem__]
    for kind in kinds:
        one, same, other = (code.of_network(Net(kind(x))) for x in (0, 0, 1))
        assert one == same != other, kind


def test_all_that_a_source_holds_counts_but_its_name() -> None:
    source = segmentation.SegmentationSource("one", Net(), None)
    first = code.of_source(source)
    assert code.of_source(replace(source, name="other", module=Net())) == first
    for change in ({"pixels": None}, {"classifies": False}, {"preprocessing": len}):
        assert code.of_source(replace(source, **change)) != first


def test_a_transform_counts_with_the_functions_in_it() -> None:
    steps = [transforms.Lambda(lambda x, k=k: k * x) for k in (1, 1, 2)]
    first, same, other = (code.of(transforms.Compose([step])) for step in steps)
    assert first == same != other
