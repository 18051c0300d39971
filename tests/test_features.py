"""One pass gives what separate passes would, and bad numbers stop it."""

import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
import transformers
from torch import nn

import hastelib
from hastelib import hardness, hooks, models
from hastelib.data import base as data
from hastelib.data.images import Images
from hastelib.features import Features, extract, signature
from hastelib.glyphs import Glyphs
from hastelib.glyphs.networks import CifarResNet
from hastelib.store import Store


@pytest.fixture(scope="module")
def source() -> models.Source:
    return models.load("resnet8@glyphs")


@pytest.fixture(scope="module")
def images(source: models.Source, tmp_path_factory: pytest.TempPathFactory) -> Images:
    store = Store(tmp_path_factory.mktemp("cache"))
    spec = Glyphs(kind="glyphs", characters="α-ε", train=8, test=1)
    return Images(data.load(spec, store)["train"], source.preprocessing, "greek")


def test_features_are_the_networks_outputs(source, images):
    features = extract(source, images, batch_size=7)
    pixels = torch.cat([x for x, _ in images.batches(100)])
    with torch.no_grad():
        module, x = source.module, source.preprocessing.normalise(pixels)
        logits = module(x)
        x = module.layer1(module.relu(module.bn1(module.conv1(x))))
        second = module.layer2(x)
        third = module.layer3(second)
    torch.testing.assert_close(features.probs, logits.softmax(1))
    torch.testing.assert_close(features.embedding, third.mean((2, 3)))
    assert list(features.layers) == list(source.structure.layers)
    wanted = [stage.mean((2, 3)) for stage in (second, third)]
    torch.testing.assert_close([*features.layers.values()], wanted)
    assert torch.equal(features.labels, images.labels)
    everything = [features.embedding, features.probs, *features.layers.values()]
    assert all(x.dtype == torch.float32 and x.device.type == "cpu" for x in everything)
    rough = extract(source, images, precision="bf16")
    assert rough.embedding.dtype == torch.float32
    assert not torch.equal(rough.embedding, features.embedding)
    torch.testing.assert_close(rough.probs, features.probs, rtol=0, atol=0.1)


def test_features_survive_the_store(source, images, tmp_path: Path):
    features: Any = extract(source, images, batch_size=7)
    whole = hardness.source_signature(list(features.layers.values()))
    streamed = signature(source, images, batch_size=7)
    torch.testing.assert_close(streamed.means, whole.means, rtol=1e-12, atol=1e-12)
    store = Store(tmp_path)
    store.write("features", "e", features.arrays(), {})
    entry: Any = store.read("features", "e")
    again: Any = Features.of(entry[0])
    assert list(again.layers) == list(features.layers)
    assert torch.equal(again.probs, features.probs)
    assert all(torch.equal(again.layers[name], x) for name, x in features.layers.items())
    last = [*features.layers][-1]  # it is the embedding: not kept twice
    assert features.layers[last] is features.embedding
    assert again.layers[last] is again.embedding
    assert len(entry[0][f"layer.001.{last}"]) == 0


def test_where_memory_is_short_a_batch_is_halved(source, images, monkeypatch):
    whole = extract(source, images, batch_size=16)
    taps, sizes = source.taps, list[int]()

    def small(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        sizes.append(len(batch))
        if len(batch) > most:
            raise torch.OutOfMemoryError("no")
        return taps(batch)

    most = 5
    monkeypatch.setattr(type(source), "taps", lambda _, batch: small(batch))
    with pytest.warns(UserWarning, match="resnet8@glyphs on greek: memory is short") as told:
        halved = extract(source, images, batch_size=16)
    assert sizes == [16, 8, *[4] * 10]
    assert [str(one.message).split()[-3] for one in told] == ["8", "4"]
    torch.testing.assert_close(halved.embedding, whole.embedding)
    assert torch.equal(halved.labels, whole.labels)
    most = 0
    with pytest.warns(UserWarning, match="of 1 from"), pytest.raises(torch.OutOfMemoryError):
        extract(source, images, batch_size=2)


def test_nan_in_features_names_source_and_data(images):
    broken = models.load("resnet8@glyphs")
    with torch.no_grad():
        broken.module.bn1.weight[0] = float("nan")
    with pytest.raises(ValueError, match="resnet8@glyphs gives NaN or infinity on greek"):
        extract(broken, images)


# Any torch module

FAMILIES = {
    "resnet10t": 64,
    "convnext_atto": 64,
    "vit_tiny_patch16_224": 224,
    "deit_tiny_patch16_224": 224,
    "swin_tiny_patch4_window7_224": 224,
    "mobilenetv3_small_050": 64,
    "mobilenetv4_conv_small_050": 64,
    "efficientnet_b0": 64,
    "tf_efficientnet_lite0": 64,
    "regnetx_002": 64,
    "edgenext_xx_small": 64,
    "poolformer_s12": 64,
    "mixer_s32_224": 224,
    "vgg11": 64,
}


def _images(size: int, n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, size, size, generator=generator), torch.arange(n) % 2


@pytest.mark.parametrize("name", ["mobilenet_v2", "swin_t"])
def test_the_layers_do_not_depend_on_the_shape_of_the_images(name: str):
    """At 256 x 320 the MobileNet has a map of 32 channels and 32 rows."""
    module = torchvision.models.get_model(name).eval()
    square, wide = (hooks.structure(module, torch.randn(1, 3, 256, w)) for w in (256, 320))
    assert square == wide
    found, expected = (wide.read(module, torch.randn(1, 3, 256, w)) for w in (320, 256))
    assert {n: x.shape for n, x in found.items()} == {n: x.shape for n, x in expected.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_embedding_of_timm_families_is_their_own(name: str):
    torch.manual_seed(0)
    module: Any = timm.create_model(name).train()
    x, y = _images(FAMILIES[name])
    found = hastelib.features(module, [(x[:2], y[:2]), (x[2:], y[2:])])
    assert module.training
    with torch.inference_mode():
        module.eval()
        own = module.forward_head(module.forward_features(x), pre_logits=True)
        logits = module(x)
    torch.testing.assert_close(found.embedding, own, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.probs, logits.softmax(1), rtol=1e-5, atol=1e-5)
    assert len(found.layers) >= 2
    assert torch.equal(found.labels, y)


HEADLESS = "resnet10t mobilenetv3_small_050 mobilenetv4_conv_small efficientnet_b0 vgg11"


def test_swin_is_tapped_at_its_blocks_by_depth_here_as_in_torchvision():
    x = torch.randn(1, 3, 224, 224)
    ours = hooks.structure(timm.create_model("swin_tiny_patch4_window7_224").eval(), x).layers
    theirs = hooks.structure(torchvision.models.swin_t().eval(), x).layers
    assert ours == ("layers.2.blocks.1", "layers.2.blocks.4", "layers.3.blocks.1")
    assert theirs == ("features.5.1", "features.5.4", "features.7.1")


@pytest.mark.parametrize("name", [*HEADLESS.split(), "torchvision"])
def test_a_network_without_a_classifier_gives_its_embedding(name: str):
    torch.manual_seed(0)
    if name == "torchvision":  # where the last layer is followed by one that works in place
        module: Any = torchvision.models.alexnet()
        module.classifier[6] = nn.Identity()
    else:
        module = timm.create_model(name, num_classes=0)
    x, y = _images(64)
    found = hastelib.features(module, [(x, y)])
    assert found.probs is None
    with torch.inference_mode():
        torch.testing.assert_close(found.embedding, module.eval()(x))


def test_blocks_of_one_layer_are_tapped_where_there_are_no_larger_ones():
    class Layer(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.linear = nn.Linear(inputs, outputs)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x).relu()

    module = nn.Sequential(Layer(4, 8), Layer(8, 8), Layer(8, 8), Layer(8, 8), nn.Linear(8, 3))
    found = hooks.structure(module.eval(), torch.randn(5, 4))
    assert (found.head, found.layers) == ("4", ("1", "2", "3"))


def test_a_network_whose_output_is_of_no_single_layer_is_read_as_one_names_it():
    # One with two heads says that it has no classifier.
    module, (x, y) = timm.create_model("deit_tiny_distilled_patch16_224"), _images(224)
    with pytest.warns(UserWarning, match="VisionTransformerDistilled: its output is that of no"):
        assert hastelib.features(module, [(x, y)]).probs is None
    named = hastelib.features(module, [(x, y)], head="head", layers=["blocks.3"])
    assert (named.embedding.shape, [*named.layers]) == ((3, 192), ["blocks.3"])


class Branching(CifarResNet):
    """Which way a batch goes depends on its numbers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) if x.sum() > 0 else super().forward(-x)


def test_a_forward_that_depends_on_the_data_and_modules_come_back_untouched():
    module, (x, y) = Branching(1), _images(32)
    module.bn1.eval()
    module.conv1.requires_grad_(False)
    module.to(memory_format=torch.channels_last)
    before = {name: t.clone() for name, t in module.state_dict().items()}
    found = hastelib.features(module, [(x, y), (-x, y)])
    torch.testing.assert_close(found.embedding[:3], found.embedding[3:])
    assert (module.training, module.layer1.training, module.bn1.training) == (True, True, False)
    assert not module.conv1.weight.requires_grad
    assert module.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert not any(part._forward_hooks for part in module.modules())
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())
    # A softmax at the end, and half precision.
    plain = hastelib.features(module, [(x, y)])
    ended = hastelib.features(nn.Sequential(module, nn.Softmax(1)), [(x, y)])
    torch.testing.assert_close(ended.probs, plain.probs)
    torch.testing.assert_close(ended.embedding, plain.embedding)
    binary = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))  # its output is (n,)
    found = hastelib.features(binary, [(torch.ones(2, 2), torch.arange(2))])
    torch.testing.assert_close(found.probs[:, 1], binary(torch.ones(2, 2)).sigmoid().detach())
    half = hastelib.features(module.bfloat16(), [(x, y)])
    assert half.embedding.dtype == torch.float32
    assert next(module.parameters()).dtype == torch.bfloat16
    torch.testing.assert_close(half.embedding, plain.embedding, rtol=0.1, atol=0.05)


def test_texts_are_pooled_over_their_own_tokens():
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32}
    config = transformers.BertConfig(**sizes, num_hidden_layers=4, num_attention_heads=2)
    encoder = transformers.BertModel(config, add_pooling_layer=False)
    ids = torch.randint(1, 50, (3, 9))
    lengths = [9, 4, 6]
    mask = (torch.arange(9) < torch.tensor(lengths)[:, None]).long()
    y = torch.tensor([0, 1, 0])
    batch = {"input_ids": ids * mask, "attention_mask": mask, "labels": y}
    with torch.inference_mode():
        states = encoder.eval()(ids * mask, mask).last_hidden_state
    mean = torch.stack([states[i, :n].mean(0) for i, n in enumerate(lengths)])
    for pool, expected in (("mean", mean), ("cls", states[:, 0])):
        found = hastelib.features(encoder, [batch], pool=pool)
        torch.testing.assert_close(found.embedding, expected, rtol=1e-5, atol=1e-5)
        assert [*found.layers] == ["encoder.layer.1", "encoder.layer.2", "encoder.layer.3"]
        torch.testing.assert_close(found.layers["encoder.layer.3"], mean, rtol=1e-5, atol=1e-5)
    classifier = transformers.BertForSequenceClassification(config)
    assert hastelib.features(classifier, [batch]).probs.shape == (3, 2)


def test_what_does_not_fit_into_memory_is_mapped(source, images, monkeypatch, tmp_path):
    plain = extract(source, images, batch_size=7)
    monkeypatch.setenv("HASTE_CACHE", str(tmp_path))
    monkeypatch.setattr(sys.modules["hastelib.features"], "IN_MEMORY", 5_000)
    mapped = extract(source, images, batch_size=7)
    assert torch.equal(mapped.embedding, plain.embedding)
    assert torch.equal(mapped.labels, plain.labels)
    assert [*mapped.layers] == [*plain.layers]
    assert not [*tmp_path.iterdir()]
