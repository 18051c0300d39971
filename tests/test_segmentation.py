"""FCNs as sources: pixels as samples, what is ignored, mean IoU; section 5.3 on a tiny suite."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import jaccard_score
from torch import nn
from torchvision.models import squeezenet1_1
from torchvision.models.segmentation import fcn_resnet50

from hastelib import finetune, metrics, models
from hastelib.data.base import load
from hastelib.data.images import Images, Preprocessing, table
from hastelib.data.scenes import IGNORE, NO_CLASS
from hastelib.features import extract, signature
from hastelib.glyphs import Scenes
from hastelib.grid import Grid
from hastelib.models import segmentation
from hastelib.store import Store
from hastelib.suites import Recipe, Suite

NAME = "fcn_resnet8@glyphs"
STYLE: dict[str, Any] = {"kind": "scenes", "height": 32, "width": 32, "train": 12, "test": 5}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("segmentation"))


@pytest.fixture(scope="module")
def source() -> models.Source:
    return models.load(NAME, 32)


@pytest.fixture(scope="module")
def split(source: segmentation.SegmentationSource, store: Store) -> Images:
    """Scenes of which a quarter has no class, and one hardly any."""
    found = source.read(load(Scenes(**STYLE), store)["train"], "scenes")
    found.labels[:, :, ::4] = IGNORE
    found.labels[2] = IGNORE
    found.labels[2, 3, 4:7] = 1
    return found


# The network


def test_dilation_keeps_what_the_strided_stage_computes(source):
    plain: Any = models.load("resnet8@glyphs").module
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        x = plain.layer2(plain.layer1(plain.relu(plain.bn1(plain.conv1(x)))))
        strided, dilated = plain.layer3(x), source.module.backbone.layer3(x)
    for wrong in ("fcn_resnet9@glyphs", "fcn_resnet8@pocket", "fcn_resnet50@GLYPHS"):
        with pytest.raises(ValueError, match="choose one of"):
            models.parse(wrong)
    again = models.load(NAME)  # the same network by its name
    assert again.fingerprint == models.load(NAME).fingerprint
    assert again.preprocessing.resize == segmentation.SMALL
    assert dilated.shape[-1] == 2 * strided.shape[-1]
    torch.testing.assert_close(dilated[:, :, ::2, ::2], strided)


def test_a_classifier_made_convolutional_says_the_same_on_average():
    torch.manual_seed(0)
    classifier = models.wrap("x", squeezenet1_1(num_classes=7), Preprocessing(64, 64))
    fcn = segmentation.convolutional(classifier).eval()
    source = segmentation.SegmentationSource("x", fcn, Preprocessing(48, 48))
    images = source.inputs(torch.randint(0, 256, (2, 3, 48, 64), dtype=torch.uint8))
    with torch.inference_mode():
        maps, expected = source.structure.read(fcn, images), classifier.module(images)
    assert maps["logits"].shape[1:] == (7, 2, 3)
    torch.testing.assert_close(maps["logits"].relu().mean((2, 3)), expected)
    assert fcn(images)["out"].shape == (2, 7, 48, 64)
    assert [*maps][-1] == "layer.backbone.network.features.12"
    assert source.with_classes(3)(images)["out"].shape == (2, 3, 48, 64)
    # Its own source data have no masks: their stages alone make the signature.
    photos = np.random.default_rng(0).integers(0, 256, (3, 48, 60, 3), dtype=np.uint8)
    seen = source.read(table(photos, [0, 1, 0], ["a", "b"]), "photographs")
    found = signature(source, seen)
    with torch.inference_mode():
        layer = source.taps(next(seen.batches(3))[0])[f"layer.{source.structure.layers[-1]}"]
    torch.testing.assert_close(found.raw[-1], layer.double().sum(0), rtol=1e-4, atol=1e-4)
    assert found.count == 3


def test_the_papers_fcn_loads_from_torchvisions_files(tmp_path, monkeypatch):
    torch.manual_seed(0)
    whole = fcn_resnet50(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
    path = tmp_path / "fcn.pth"
    torch.save(whole.state_dict(), path)
    monkeypatch.setattr("hastelib.models.files.fetch", lambda *_, **__: path)
    found = models.load("fcn_resnet50@COCO_WITH_VOC_LABELS_V1")
    assert (found.preprocessing.resize, found.classifies) == (520, True)
    assert found.structure.layers == tuple(f"backbone.layer{i}" for i in (2, 3, 4))
    images = torch.randint(0, 256, (1, 3, 32, 40), dtype=torch.uint8)
    whole.eval()
    with torch.inference_mode():
        expected = whole(found.inputs(images))["out"]
        logits = found.logits(found.module, images)
        tapped = found.taps(images)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    read = segmentation.read_at(tapped["logits"][0], torch.arange(32 * 40), (32, 40))
    torch.testing.assert_close(read, expected[0].flatten(1).T, rtol=1e-3, atol=1e-4)
    assert [tapped[f"layer.backbone.layer{i}"].shape[1] for i in (2, 3, 4)] == [512, 1024, 2048]
    changed: Any = found.with_classes(3)
    assert changed.classifier[4].out_channels == 3
    torch.save({"backbone.conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="do not fit FCN"):
        models.load("fcn_resnet50@COCO_WITH_VOC_LABELS_V1")


# Pixels


def test_pixels_are_the_same_for_every_batch_size_and_source(source, split):
    few, many = (extract(source, split, batch_size=size) for size in (2, 12))
    for name, values in few.arrays().items():
        torch.testing.assert_close(values, many.arrays()[name], rtol=1e-4, atol=1e-5)
    other = extract(models.load("fcn_resnet14@glyphs", 32), split)
    assert (few.labels == other.labels).all()
    assert (few.sample == other.sample).all()
    assert (few.labels != NO_CLASS).all()
    counts = torch.bincount(few.sample)
    assert counts[2] == 3  # all that have a class
    assert (counts[torch.arange(12) != 2] == segmentation.PIXELS).all()


def test_pixel_leep_is_the_leep_of_the_flattened_pixels(source, split):
    assert extract(source, split).probs is None  # its head is random
    rows = extract(replace(source, classifies=True, pixels=None), split)
    assert rows.probs is not None
    images, truth = split[range(len(split))]
    with torch.inference_mode():
        probs = source.logits(source.module, images).softmax(1)
    probs, truth = probs.permute(0, 2, 3, 1).flatten(0, 2), truth.flatten()
    there = truth != NO_CLASS
    assert len(rows.labels) == int(there.sum())
    flat = metrics.leep(probs[there], truth[there])
    assert metrics.leep(rows.probs, rows.labels) == pytest.approx(flat, abs=1e-6)
    flat = metrics.nce(probs[there].argmax(1), truth[there])
    assert metrics.nce(rows.probs.argmax(1), rows.labels) == pytest.approx(flat, abs=1e-3)
    images, labels = next(split.batches(4))
    logits = source.logits(source.with_classes(6), images).detach().requires_grad_()
    nn.functional.cross_entropy(logits, labels).backward()
    assert logits.grad is not None
    moved = logits.grad.abs().sum(1) > 0  # a pixel without a class does not count in the loss
    assert torch.equal(moved, labels != NO_CLASS)


# Mean IoU


def test_mean_iou_against_a_count_by_hand():
    truth = torch.tensor([[[0, 0, 1, IGNORE]], [[1, 1, 2, IGNORE]]], dtype=torch.uint8)
    predicted = torch.tensor([[[0, 1, 1, 4]], [[1, 0, 0, 0]]], dtype=torch.uint8)
    # Of class 0: 1 of {2 true, 3 predicted} = 1/4; of 1: 2 of 4 = 1/2; of 2: 0 of 1. Class 3
    # neither occurs nor is predicted, 4 is predicted only where there is no class.
    assert finetune.accuracy(predicted, truth, 5) == pytest.approx(0.25)
    changed = predicted.clone()
    changed[truth == IGNORE] = 2
    assert finetune.accuracy(changed, truth, 5) == finetune.accuracy(predicted, truth, 5)
    # It is scikit-learn's.
    generator = torch.Generator().manual_seed(0)
    truth, predicted = torch.randint(0, 4, (2, 150, 6, 6), generator=generator).byte()
    truth[:, 0] = IGNORE
    whole = jaccard_score(truth[:, 1:].flatten(), predicted[:, 1:].flatten(), average="macro")
    assert finetune.accuracy(predicted, truth, 4) == pytest.approx(whole, abs=1e-12)


# Training, and the section


def test_fine_tuning_learns_and_keeps_the_predicted_classes(store):
    source = models.load(NAME, 32)
    spec = Scenes(**STYLE | {"kinds": ("stars",), "density": (1, 2), "scale": (0.5, 0.7)})
    data = load(spec, store)
    train, test = (source.read(data[name], name) for name in ("train", "test"))
    values = []
    for epochs in (1, 12):
        recipe = Recipe(epochs=epochs, learning_rate=0.05, batch_size=4, threads=1)
        made = finetune.finetune(source, train, test, recipe, 0, store=store, entry=f"{epochs}")
        values.append(made.accuracy)
        assert made.probs.dtype == torch.uint8
        assert made.probs.shape == made.labels.shape == (5, 32, 32)
    assert values[1] > values[0] + 0.05
    assert values[1] > 0.6


@pytest.fixture(scope="module")
def grid(store: Store) -> Grid:
    styles: dict[str, Any] = {name: {"palette": name} for name in ("paper", "night", "colour")}
    styles["noisy"] = {"degradation": 1.0, "kinds": ("stars", "arrows")}
    names = [f"{NAME}+{name}" for name in styles]
    suite = Suite(
        name="tiny",
        about="three sources",
        image_size=32,
        sources=tuple(names),
        targets={name: STYLE | changes for name, changes in styles.items()},
        recipe=Recipe(epochs=2, learning_rate=0.05, batch_size=4, threads=1),
        selection={"sources": names, "targets": ["paper", "noisy"]},
        hardness={"source": names[1], "draws": 3},
    )
    return Grid(suite, store, scheduler="local")


@pytest.fixture(scope="module")
def rows(grid: Grid) -> pd.DataFrame:
    parts = []
    for target in ("paper", "noisy"):
        sources = [name for name in grid.suite.sources if name != f"{NAME}+{target}"]
        options: dict[str, Any] = {"rankers": {name: name for name in sources}, "static": False}
        parts.append(grid.frame("5.3", [target], ["leep", "nce"], sources=sources, **options))
    return pd.concat(parts)


def test_rows_have_three_variants_and_each_source_ranks_for_itself(grid, rows):
    assert set(rows["variant"]) == {"all", "random", "ca"}
    assert not (rows["source"] == rows["target"].map(lambda name: f"{NAME}+{name}")).any()
    assert rows.groupby("target")["source"].nunique().tolist() == [3, 3]
    hard = rows[rows["variant"] == "ca"]
    assert (hard["hardness_source"] == hard["source"]).all()
    assert (hard["samples"] == 3).all()  # scenes, not pixels
    assert rows["accuracy"].between(0, 1).all()
    assert rows["score"].notna().all()
    features: Any = grid.features(f"{NAME}+night", "paper")
    whole = rows[(rows["variant"] == "all") & (rows["target"] == "paper")]
    assert (whole["classes"] == len(features.labels.unique())).all()
    assert len(features) == 12
    assert len(features.labels) == 12 * segmentation.PIXELS
    assert set(grid.hardness("paper", by=f"{NAME}+night")) == {"ca", "dot"}
    part = features.at(torch.tensor([7, 2]))  # all pixels of its scenes and no others
    for place, scene in enumerate([7, 2]):
        mine, of_scene = part.sample == place, features.sample == scene
        torch.testing.assert_close(part.probs[mine], features.probs[of_scene])
        assert (part.labels[mine] == features.labels[of_scene]).all()
    taught: Any = grid.source(f"{NAME}+night")  # it keeps what it learnt
    assert taught.module.classifier[4].out_channels == 6
    assert taught.fingerprint != grid.source(f"{NAME}+colour").fingerprint
