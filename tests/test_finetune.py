"""Fine-tuning: it learns, it repeats, and a killed run ends where an unbroken one does."""

from pathlib import Path
from typing import Any, Literal
from unittest import mock

import pytest
import torch
import torchvision
from torch import nn

from hastelib import finetune as finetune_module
from hastelib import models
from hastelib.data import base as data
from hastelib.data import images
from hastelib.finetune import Outcome, finetune
from hastelib.glyphs import Glyphs
from hastelib.glyphs.networks import GLYPHS_INPUT
from hastelib.store import DamagedEntryWarning, Store
from hastelib.suites import Recipe

RECIPE = Recipe(epochs=4, learning_rate=0.02, batch_size=8, schedule="onecycle", threads=1)


def split(store: Store, name: Literal["train", "test"], characters: str = "α-δ") -> images.Images:
    spec = Glyphs(kind="glyphs", characters=characters, train=12, test=10)
    return images.Images(data.load(spec, store)[name], GLYPHS_INPUT, f"greek {name}")


def run(folder: Path, seed: int = 0, source: str = "resnet8", **changes: Any) -> Outcome:
    """Fine-tune on a few Greek letters."""
    store, recipe = Store(folder), RECIPE.model_copy(update=changes)
    train, test = split(store, "train"), split(store, "test")
    network = models.load(f"{source}@glyphs")
    return finetune(network, train, test, recipe, seed, store=store, entry="cell")


@pytest.fixture(autouse=True)
def always_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hastelib.finetune.APART", 0.0)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(tmp_path_factory.mktemp("unbroken"))


def test_it_learns_and_says_how(unbroken: Outcome):
    assert unbroken.accuracy > 0.5  # chance is a quarter
    torch.testing.assert_close(unbroken.probs.sum(1), torch.ones(40))
    assert unbroken.probs.shape[1] == 4
    hits = (unbroken.probs.argmax(1) == unbroken.labels).double().mean().item()
    assert unbroken.accuracy == hits
    assert unbroken.provenance["recipe"] == RECIPE.model_dump()
    assert unbroken.provenance["seed"] == 0
    assert {"device", "versions", "seconds"} <= set(unbroken.provenance)


def test_the_seed_decides_and_nothing_around_changes(
    unbroken: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    path = Store(tmp_path).path("checkpoints", "cell")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a checkpoint")
    with pytest.warns(DamagedEntryWarning):  # it starts over
        assert torch.equal(run(tmp_path).probs, unbroken.probs)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    for told, changes in (("seed", {"seed": 1}), ("recipe", {"learning_rate": 0.01})):
        with pytest.raises(ValueError, match=rf"entry: cell holds a checkpoint of another {told};"):
            run(tmp_path, **changes)
    monkeypatch.setattr("hastelib.finetune.APART", 60.0)  # too short a training for a checkpoint
    assert not torch.equal(run(tmp_path / "b", seed=1).probs, unbroken.probs)
    assert not Store(tmp_path / "b").has("checkpoints", "cell")


def with_dropout() -> tuple[nn.Module, images.Preprocessing]:
    torch.manual_seed(0)
    module = torchvision.models.mobilenet_v2(num_classes=2, width_mult=0.25, dropout=0.5)
    return module, GLYPHS_INPUT


# Dropout needs torch's own random state, a loss that goes up and down that of the schedule.
PLATEAU = {"schedule": "plateau", "patience": 0, "learning_rate": 0.3}


@pytest.mark.parametrize(
    ("changes", "source"), [({}, "dropout"), (PLATEAU, "mobilenet_v2")], ids=["dropout", "plateau"]
)
def test_stopped_between_epochs_goes_on(changes, source: str, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(models.SOURCES, "dropout@glyphs", with_dropout)
    unbroken = run(tmp_path / "unbroken", source=source, **changes)
    write, epochs = Store.write, []

    def stop_after_two(self, kind, entry, arrays, notes):
        write(self, kind, entry, arrays, notes)
        if kind == "checkpoints":
            epochs.append(notes["epochs"])
            if notes["epochs"] == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, source=source, **changes)
    assert torch.equal(run(tmp_path, source=source, **changes).probs, unbroken.probs)
    assert epochs == [1, 2, 3, 4]  # none was run twice


def test_what_cannot_be_fine_tuned(tmp_path: Path, monkeypatch):
    store, source = Store(tmp_path), models.load("resnet8@glyphs")
    before = {name: x.clone() for name, x in source.module.state_dict().items()}
    train, test = split(store, "train"), split(store, "test")
    recipe = RECIPE.model_copy(update={"epochs": 1})
    finetune(source, train, test, recipe, 0, store=store, entry="other")
    assert all(torch.equal(x, before[name]) for name, x in source.module.state_dict().items())
    whole = split(store, "train")
    one = images.Images(whole.split.select([0]), GLYPHS_INPUT, "one")
    other = split(store, "test", "а-г")
    for train, test, words in (
        (one, whole, "one: expected at least two samples"),
        (whole, other, "must agree"),
    ):
        with pytest.raises(ValueError, match=words):
            finetune(source, train, test, RECIPE, 0, store=store, entry="e")

    # Divergence in training, and in the last step, where the predictions alone are NaN.
    changes: dict[str, Any] = {"learning_rate": 1e30, "schedule": "constant", "epochs": 1}
    for batch in (8, 48):
        with pytest.raises(ValueError, match="lower the learning rate"):
            run(tmp_path / f"{batch}", batch_size=batch, **changes)
    full = mock.Mock(side_effect=torch.OutOfMemoryError("no"))
    monkeypatch.setattr(models.Source, "logits", full)
    with pytest.raises(MemoryError, match=r"memory of cpu .* batches of 8; lower batch_size"):
        run(tmp_path)


def test_flips_mirror_half_of_the_images_and_their_masks(unbroken: Outcome, tmp_path: Path):
    images, masks = torch.rand(64, 3, 4, 5), torch.randint(0, 9, (64, 4, 5))
    random = torch.Generator().manual_seed(0)
    turned, labels = finetune_module._mirrored(images, masks, random)
    flipped = [not torch.equal(a, b) for a, b in zip(images, turned, strict=True)]
    assert 16 < sum(flipped) < 48
    for i, flip in enumerate(flipped):
        assert torch.equal(turned[i], images[i].flip(-1) if flip else images[i])
        assert torch.equal(labels[i], masks[i].flip(-1) if flip else masks[i])
    with pytest.raises(ValueError, match="leave flips out"):
        finetune_module._mirrored({"input_ids": masks}, masks, random)
    assert not torch.equal(run(tmp_path, flips=True).probs, unbroken.probs)


def test_bfloat16_learns_and_tf32_is_float32_on_a_processor(unbroken: Outcome, tmp_path: Path):
    half = run(tmp_path / "half", precision="bf16")
    assert half.accuracy > 0.5
    assert half.probs.dtype == torch.float32
    assert not torch.equal(half.probs, unbroken.probs)
    before = torch.get_float32_matmul_precision()
    rounded = run(tmp_path / "tf32", precision="tf32")
    assert torch.equal(rounded.probs, unbroken.probs)
    assert torch.get_float32_matmul_precision() == before
