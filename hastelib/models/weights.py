"""Weight files: found or downloaded, read without running code, and fitted into a network."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hastelib.download import fetch, sha256_of
from hastelib.hooks import replace_head

CIFAR10_URL = (
    "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/{file}"
)
CIFAR10_FILES = {
    "resnet20": "resnet20-12fca82f.th",
    "resnet32": "resnet32-d509ac18.th",
    "resnet44": "resnet44-014dd654.th",
    "resnet56": "resnet56-4bfd9763.th",
}
_OLD_DENSENET = r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)"


def weights_folder() -> Path:
    """``HASTE_WEIGHTS``, or torch's own checkpoint folder where it is not set."""
    given = os.environ.get("HASTE_WEIGHTS")
    return Path(given).expanduser() if given else Path(torch.hub.get_dir()) / "checkpoints"


def find(file: str, url: str | None = None) -> Path:
    """A weight file under the weights folder (in a subfolder or flat), else downloaded."""
    root = weights_folder()
    # torch's convention: the name of a published file carries the first digits of its SHA-256.
    prefix = Path(file).stem.rpartition("-")[2]
    for path in (root / file, root / Path(file).name):
        if path.is_file():
            if url is not None and not (found := sha256_of(path)).startswith(prefix):
                raise ValueError(
                    f"{path} has SHA-256 {found[:8]}..., not the {prefix} of the published file; "
                    "it is damaged or another one: delete it, and it is fetched again"
                )
            return path
    if url is None:
        raise FileNotFoundError(
            f"no weight file {file} in {root}; put it there, or set HASTE_WEIGHTS to the folder "
            "that holds it"
        )
    return fetch(url, root / file, sha256=prefix)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file, float32: safetensors, or a torch file without code.

    Raises:
        ValueError: the file is cut short, not a weight file, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            state: dict[str, Any] = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise ValueError(_damaged(path, error)) from error
    except Exception as error:  # pickle's own errors, which share no base class
        if type(error).__module__ not in {"_pickle", "pickle"}:
            raise
        raise ValueError(_damaged(path, error)) from error
    state = state.get("state_dict", state)
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    # torchvision's DenseNet files still have the names of its first version.
    state = {re.sub(_OLD_DENSENET, r"\1\2", name): tensor for name, tensor in state.items()}
    return {n: t.float() if t.is_floating_point() else t for n, t in state.items()}


def _damaged(path: Path, error: Exception) -> str:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"cannot read the weights in {path} ({first}); delete the file and fetch it again"


def fill(module: nn.Module, path: Path) -> None:
    """Load a weight file into a network; ``ValueError`` where names or shapes do not fit.

    The number of classes is the file's.
    """
    state, own = read_state(path), module.state_dict()
    for name, x in state.items():
        layer, _, part = name.rpartition(".")
        other = part == "bias" and name in own and own[name].shape != x.shape
        if other and isinstance(module.get_submodule(layer), nn.Linear | nn.Conv2d):
            replace_head(module, layer, len(x))
    fit(module, state, path)


def fit(module: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load the tensors of a weight file; ``ValueError`` where names or shapes do not fit."""
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {path} do not fit {type(module).__name__}: "
            + "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        ) from error
