"""Networks by name: the right layers tapped by rule, weights found, checked and refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from hastelib import models
from hastelib.download import sha256_of
from hastelib.models import CifarResNet, Preprocessing

STAGES = {
    "resnet18": ["layer2", "layer3", "layer4"],
    "densenet121": [f"features.denseblock{i}" for i in (2, 3, 4)],
    "mobilenet_v2": ["features.6", "features.13", "features.17"],
    "vgg11": ["features.5", "features.10", "features.15", "features.20"],
    "squeezenet1_1": ["features.7", "features.12"],
}
WIDTHS = {
    "resnet18": (512, [128, 256, 512]),
    "densenet121": (1024, [512, 1024, 1024]),
    "mobilenet_v2": (1280, [32, 96, 320]),
    "vgg11": (4096, [128, 256, 512, 512]),
    "squeezenet1_1": (512, [256, 512]),
}


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {name: torchvision.models.get_model(name).eval() for name in STAGES}


def _stage(name: str) -> str:
    """``layer2.1`` closes ``layer2``."""
    return name.rpartition(".")[0] if name.startswith("layer") else name


@pytest.mark.parametrize("name", STAGES)
def test_stages_follow_from_the_structure(networks, name: str):
    assert [_stage(s) for s in models.stages(networks[name], 224)] == STAGES[name]


@pytest.mark.parametrize("name", STAGES)
def test_tapped_outputs_are_the_pooled_stages_and_the_classifiers_input(networks, name: str):
    module = networks[name]
    source = models.wrap(name, module, Preprocessing(256, 224))
    tapped = source.tapped()
    seen: dict[str, torch.Tensor] = {}
    handles = [
        module.get_submodule(stage).register_forward_hook(
            lambda _, __, out, stage=stage: seen.update({stage: out.mean((2, 3))})
        )
        for stage in source.stages
    ]
    x = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        logits = module(x)
        found = tapped(x)
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(found["logits"], logits)
    width, depths = WIDTHS[name]
    assert found["embedding"].shape == (2, width)
    assert [found[f"layer.{s}"].shape[1] for s in source.stages] == depths
    for stage in source.stages:
        torch.testing.assert_close(found[f"layer.{stage}"], seen[stage])
    head = module.get_submodule(source.head)
    if isinstance(head, nn.Linear):  # SqueezeNet's is a convolution before the pooling
        torch.testing.assert_close(head(found["embedding"]), logits)


def test_a_classifier_of_a_kind_of_its_own_is_found():
    """Tracing goes through a subclass of a layer, as timm's MobileNets have one."""

    class Own(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x, self.weight, self.bias)

    module = CifarResNet(1)
    module.linear = Own(64, 10)
    source = models.wrap("r", module, Preprocessing(32, 32))
    assert source.head == "linear"
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        found = source.tapped()(x)
        torch.testing.assert_close(module.linear(found["embedding"]), module(x))
        assert source.with_classes(3)(x).shape == (2, 3)


def test_a_network_that_cannot_be_traced_is_refused():
    class Branching(CifarResNet):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else super().forward(-x)

    with pytest.raises(ValueError, match="Branching cannot be traced"):
        models.wrap("b", Branching(1), Preprocessing(32, 32))


def test_cifar_resnets_use_layers_2_and_3():
    source = models.wrap("r", CifarResNet(3), Preprocessing(32, 32))
    assert [_stage(s) for s in source.stages] == ["layer2", "layer3"]
    assert source.head == "linear"


@pytest.mark.parametrize(("depth", "parameters"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_cifar_resnets_have_the_published_size(depth: int, parameters: float):
    """Millions of parameters, He et al. 2016, Table 6."""
    count = sum(p.numel() for p in CifarResNet((depth - 2) // 6).parameters())
    assert round(count / 1e6, 2) == parameters


@pytest.mark.parametrize("name", models.GLYPHS)
def test_glyphs_networks_load_as_shipped(name: str):
    source = models.load(f"{name}@glyphs")
    assert len(source.stages) == 2
    with torch.inference_mode():
        found = source.tapped()(torch.zeros(2, 3, 32, 32))
    assert found["logits"].shape == (2, 52)
    assert source.fingerprint == models.load(f"{name}@glyphs").fingerprint


def test_shipped_weights_are_small():
    files = list(models.GLYPHS_FOLDER.glob("*.safetensors"))
    assert {f.stem for f in files} == set(models.GLYPHS)
    assert sum(f.stat().st_size for f in files) < 4_000_000


def test_a_network_without_convolution_stages_is_refused():
    with pytest.raises(ValueError, match="has 0 convolution stages at 8 px"):
        models.stages(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), 8)


def test_a_transformer_is_refused_and_so_is_a_size_that_does_not_fit():
    with pytest.raises(ValueError, match="has 0 convolution stages"):
        models.stages(torchvision.models.swin_t(), 64)
    with pytest.raises(ValueError, match="VisionTransformer does not run on 64 px"):
        models.stages(torchvision.models.vit_b_32(), 64)


def test_replace_head(networks):
    for name in ("resnet18", "squeezenet1_1"):
        module = torchvision.models.get_model(name).eval()
        models.replace_head(module, models.head(module), 7)
        assert module(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    with pytest.raises(ValueError, match="expected Linear or Conv2d"):
        models.replace_head(networks["resnet18"], "bn1", 7)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet20", "write architecture@weights"),
        ("resnet21@cifar10", "unknown CIFAR-10 network 'resnet21'; choose one of: resnet20"),
        ("resnet50@glyphs", "unknown glyphs network 'resnet50'; choose one of: densenet16"),
        ("resnet51@IMAGENET1K_V1", "unknown torchvision network 'resnet51'; .*resnet50"),
        ("resnet50@IMAGENET", "unknown weights of resnet50 'IMAGENET'; .*IMAGENET1K_V2"),
        (
            "ResNet51_Weights.DEFAULT",
            "unknown torchvision weights 'ResNet51_Weights'; .*ResNet50_W",
        ),
    ],
)
def test_unknown_names_list_the_choices(name: str, message: str):
    with pytest.raises(ValueError, match=message):
        models.parse(name)


def test_names_of_torchvision():
    assert models.parse("ResNet50_Weights.IMAGENET1K_V2") == ("resnet50", "IMAGENET1K_V2")
    assert models.parse("MobileNet_V2_Weights.DEFAULT") == ("mobilenet_v2", "DEFAULT")
    assert models.parse("RegNet_Y_16GF_Weights.DEFAULT") == ("regnet_y_16gf", "DEFAULT")


# Weight files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HASTE_WEIGHTS", str(tmp_path))
    return tmp_path


def _published(folder: Path, monkeypatch: pytest.MonkeyPatch, content: object) -> Path:
    """A file named as the published CIFAR-10 ResNets are, by the hash of its content."""
    path = folder / "cifar10" / "new.th"
    path.parent.mkdir()
    torch.save(content, path)
    name = f"resnet20-{sha256_of(path)[:8]}.th"
    monkeypatch.setitem(models.CIFAR10_FILES, "resnet20", name)
    return path.rename(path.with_name(name))


def _resnet20() -> dict:
    torch.manual_seed(1)
    state = {f"module.{name}": x for name, x in CifarResNet(3).state_dict().items()}
    return {"state_dict": state, "best_prec1": 91.7}


def test_cifar10_weights_are_found_in_the_folder(folder: Path, monkeypatch):
    _published(folder, monkeypatch, _resnet20())
    source = models.load("resnet20@cifar10")
    torch.manual_seed(1)
    assert torch.equal(source.module.state_dict()["conv1.weight"], CifarResNet(3).conv1.weight)
    assert source.preprocessing == Preprocessing(32, 32)


def test_truncated_weights(folder: Path, monkeypatch):
    path = _published(folder, monkeypatch, _resnet20())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        ValueError, match=r"resnet20.*th has SHA-256 .*delete it, and it is fetched"
    ):
        models.load("resnet20@cifar10")


def test_weights_of_another_size(folder: Path, monkeypatch):
    _published(folder, monkeypatch, {"state_dict": CifarResNet(5).state_dict()})
    with pytest.raises(ValueError, match="do not fit CifarResNet"):
        models.load("resnet20@cifar10")


def test_weights_that_would_run_code_are_refused(folder: Path, monkeypatch):
    _published(folder, monkeypatch, {"state_dict": nn.Linear(1, 1)})  # an object, not tensors
    with pytest.raises(ValueError, match="cannot read the weights"):
        models.load("resnet20@cifar10")


def test_densenet_files_with_the_names_of_the_first_version(tmp_path: Path):
    state = torchvision.models.densenet121().state_dict()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", n): x for n, x in state.items()
    }
    assert set(old) != set(state)
    torch.save(old, tmp_path / "old.pth")
    assert set(models.read_state(tmp_path / "old.pth")) == set(state)


def test_safetensors_in_torchvisions_layout(folder: Path):
    torch.manual_seed(2)
    module = torchvision.models.squeezenet1_1(num_classes=12)
    state = {n: t.half() if t.is_floating_point() else t for n, t in module.state_dict().items()}
    save_file(state, folder / "s.safetensors")
    source = models.load("squeezenet1_1@s.safetensors", size=64)
    weight = source.module.state_dict()["classifier.1.weight"]
    assert len(weight) == 12
    assert weight.dtype == torch.float32
    assert source.preprocessing == Preprocessing(64, 64)
    (folder / "s.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match="cannot read the weights"):
        models.load("squeezenet1_1@s.safetensors", size=64)


def test_missing_weight_file_says_where(folder: Path):
    with pytest.raises(FileNotFoundError, match=f"no weight file x.safetensors in {folder}"):
        models.load("resnet18@x.safetensors")


def test_missing_published_weights_are_downloaded_from_the_official_address(
    folder: Path, monkeypatch
):
    asked = []

    def note(url, path, *, sha256):
        asked.append((url.rpartition("/")[2], path.name, sha256))
        raise FileNotFoundError("stop here")

    monkeypatch.setattr("hastelib.models.weights.fetch", note)
    for name in ("resnet20@cifar10", "resnet18@IMAGENET1K_V1"):
        with pytest.raises(FileNotFoundError, match="stop here"):
            models.load(name)
    assert asked == [
        ("resnet20-12fca82f.th", "resnet20-12fca82f.th", "12fca82f"),
        ("resnet18-f37072fd.pth", "resnet18-f37072fd.pth", "f37072fd"),
    ]


def test_torchvision_preprocessing_comes_with_the_weights(folder: Path, monkeypatch):
    name = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    torch.save(torchvision.models.resnet18().state_dict(), folder / name)
    monkeypatch.setattr("hastelib.models.weights.sha256_of", lambda _: "f37072fd")
    assert models.load("resnet18@IMAGENET1K_V1").preprocessing == Preprocessing(256, 224)
    assert models.load("resnet18@IMAGENET1K_V1", size=32).preprocessing == Preprocessing(32, 32)


def test_normalise():
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    out = Preprocessing(4, 4, (0.5,) * 3, (0.25,) * 3).normalise(pixels)
    assert out.amin() == -2
    assert out.amax() == 2
    assert pixels[1, 0, 0, 0] == 255
