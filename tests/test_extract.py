"""One pass gives what separate passes would, and bad numbers stop it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hastelib import data, extract, hardness, models
from hastelib.extract import Features
from hastelib.glyphs import Glyphs
from hastelib.store import Store


@pytest.fixture(scope="module")
def source() -> models.Source:
    return models.load("resnet8@glyphs")


@pytest.fixture(scope="module")
def images(source: models.Source, tmp_path_factory: pytest.TempPathFactory) -> data.Images:
    store = Store(tmp_path_factory.mktemp("cache"))
    spec = Glyphs(kind="glyphs", characters="α-ε", train=8, test=1)
    return data.Images(data.load(spec, store)["train"], source.preprocessing, "greek")


def test_features_are_the_networks_outputs(source, images):
    features, speed = extract.extract(source, images, batch_size=7)
    pixels = torch.cat([x for x, _ in images.batches(100)])
    with torch.no_grad():
        module, x = source.module, source.preprocessing.normalise(pixels)
        logits = module(x)
        x = module.layer1(module.relu(module.bn1(module.conv1(x))))
        second = module.layer2(x)
        third = module.layer3(second)
    assert speed > 0
    torch.testing.assert_close(features.probs, logits.softmax(1))
    torch.testing.assert_close(features.embedding, third.mean((2, 3)))
    assert list(features.layers) == list(source.stages)
    for found, expected in zip(features.layers.values(), (second, third), strict=True):
        torch.testing.assert_close(found, expected.mean((2, 3)))
    assert torch.equal(features.labels, images.labels)
    everything = [features.embedding, features.probs, *features.layers.values()]
    assert all(x.dtype == torch.float32 and x.device.type == "cpu" for x in everything)


def test_features_survive_the_store(source, images, tmp_path: Path):
    features, _ = extract.extract(source, images)
    store = Store(tmp_path)
    store.write("features", "e", features.arrays(), {})
    entry = store.read("features", "e")
    assert entry is not None
    again = Features.of(entry[0])
    assert list(again.layers) == list(features.layers)
    assert torch.equal(again.probs, features.probs)
    assert all(torch.equal(again.layers[name], x) for name, x in features.layers.items())


def test_signature_is_streamed(source, images):
    streamed = extract.signature(source, images, batch_size=7)
    features, _ = extract.extract(source, images, batch_size=7)
    whole = hardness.source_signature(list(features.layers.values()))
    for found, expected in zip(streamed.means, whole.means, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_autocast_stays_close(source, images):
    exact, _ = extract.extract(source, images)
    rough, _ = extract.extract(source, images, autocast=True)
    assert rough.embedding.dtype == torch.float32
    assert not torch.equal(rough.embedding, exact.embedding)
    torch.testing.assert_close(rough.probs, exact.probs, rtol=0, atol=0.1)


def test_nan_in_features_names_source_and_data(images):
    broken = models.load("resnet8@glyphs")
    with torch.no_grad():
        broken.module.bn1.weight[0] = float("nan")
    with pytest.raises(ValueError, match="resnet8@glyphs gives NaN or infinity on greek"):
        extract.extract(broken, images)
