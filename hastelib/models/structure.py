"""What follows from a network's own structure: its stages, its classifier, its inner outputs."""

from __future__ import annotations

import itertools
from functools import partial

import torch
from torch import Tensor, nn
from torch.fx.proxy import TraceError
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names


def _blocks(module: nn.Module) -> dict[str, nn.Module]:
    """The outermost modules of a class that recurs and holds at least two weight layers."""
    count: dict[type, int] = {}
    for part in module.modules():
        count[type(part)] = count.get(type(part), 0) + 1

    def is_block(part: nn.Module) -> bool:
        layers = sum(isinstance(p, (nn.Conv2d, nn.Linear)) for p in part.modules())
        plain = isinstance(part, (nn.Sequential, nn.ModuleList))
        return count[type(part)] > 1 and layers > 1 and not plain

    found: dict[str, nn.Module] = {}
    for name, part in module.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if name and not inside and is_block(part):
            found[name] = part
    return found


def stages(module: nn.Module, size: int) -> tuple[str, ...]:
    """The modules whose outputs close the convolution stages of a network, but the first.

    A stage is a run of blocks with outputs of equal resolution, a block an outermost module of a
    recurring class (``BasicBlock``, ``InvertedResidual``, ``_DenseBlock``); its output is that of
    its last block. Of these the last three are taken, never the first (the paper, A.2: three or
    four layers, none from the first block). A network without blocks (VGG, AlexNet) has one
    stage a pooling layer, and all but the first are taken. For example ResNet ``layer2-4``, the
    CIFAR ResNets ``layer2-3``, DenseNet ``denseblock2-4`` before the transition, MobileNetV2 the
    last block at strides 8, 16 and 32, VGG pools 2-5.

    Args:
        module: the network.
        size: side of its square input, in pixels.

    Raises:
        ValueError: fewer than two stages were found (no convolutional network).
    """
    blocks = _blocks(module)
    pools = {n: m for n, m in module.named_modules() if isinstance(m, nn.MaxPool2d)}
    sides: dict[str, int] = {}

    def record(name: str, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen = output if blocks else inputs[0]  # a pool closes the stage that it reads
        # Square maps only: a transformer's tokens, or its channels-last maps, are no such stage.
        if isinstance(seen, Tensor) and seen.ndim == 4 and seen.shape[-2] == seen.shape[-1] > 1:
            sides[name] = seen.shape[-1]

    watched = blocks or pools
    handles = [part.register_forward_hook(partial(record, name)) for name, part in watched.items()]
    training = module.training
    try:
        module.eval()
        with torch.inference_mode():
            module(torch.zeros(1, 3, size, size, device=next(module.parameters()).device))
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f"{type(module).__name__} does not run on {size} px images ({error}); choose another "
            "image size"
        ) from error
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    last = {side: name for name, side in sides.items()}  # of each resolution the last
    closing = [name for name in sides if name in last.values()]
    if len(closing) < 2:
        raise ValueError(
            f"{type(module).__name__} has {len(closing)} convolution stages at {size} px; the "
            "class-agnostic hardness needs at least two. Use a convolutional network, or a "
            "larger image size."
        )
    return tuple(closing[1:] if not blocks else closing[max(1, len(closing) - 3) :])


def placed(module: nn.Module, device: str = "cpu") -> nn.Module:
    """The module on a device, in the channels-last layout that convolutions are fastest in."""
    moved: nn.Module = module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def _nodes(module: nn.Module) -> list[str]:
    """The steps of the network in evaluation mode, named by the modules they are in.

    Raises:
        ValueError: the network cannot be traced.
    """
    try:
        nodes: list[str] = get_graph_node_names(module)[1]
    except TraceError as error:
        raise ValueError(
            f"{type(module).__name__} cannot be traced ({error}), so that its classifier's input "
            "cannot be found; use a network without branches that depend on the data"
        ) from error
    return nodes


def head(module: nn.Module) -> str:
    """The name of the last linear (or convolution) layer that runs: the classifier.

    Raises:
        ValueError: there is none, or the network cannot be traced.
    """
    parts = dict(module.named_modules())
    for node in reversed(_nodes(module)):
        # A subclass of such a layer is traced through: its steps begin with its name.
        for place in itertools.accumulate(node.split("."), "{}.{}".format):
            if isinstance(parts.get(place), (nn.Linear, nn.Conv2d)):
                return place
    raise ValueError(f"{type(module).__name__} has no linear or convolution layer to replace")


def replace_head(module: nn.Module, name: str, classes: int) -> None:
    """Put a new, randomly initialised classifier with ``classes`` outputs in place of ``name``."""
    old = module.get_submodule(name)
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(old.in_features, classes)
    elif isinstance(old, nn.Conv2d):
        new = nn.Conv2d(old.in_channels, classes, kernel_size=1)
    else:
        raise ValueError(f"{name} is a {type(old).__name__}; expected Linear or Conv2d")
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, new)


class Tapped(nn.Module):
    """A network with more outputs, pooled over space; see :meth:`hastelib.models.Source.tapped`."""

    def __init__(self, module: nn.Module, stages: tuple[str, ...], head: str) -> None:
        super().__init__()
        nodes = _nodes(module)
        first = next(i for i, n in enumerate(nodes) if f"{n}.".startswith(f"{head}."))
        outputs = {nodes[first - 1]: "embedding", nodes[-1]: "logits"}
        # A stage may end in the very node that is the embedding; it must then be read from there.
        self.shared = {
            f"layer.{stage}": outputs[last]
            for stage in stages
            if (last := [n for n in nodes if n == stage or n.startswith(f"{stage}.")][-1])
            in outputs
        }
        outputs |= {
            stage: f"layer.{stage}" for stage in stages if f"layer.{stage}" not in self.shared
        }
        self.network = create_feature_extractor(module, return_nodes=outputs)
        self.eval()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(n, 3, h, w) images to the outputs by name."""
        found: dict[str, Tensor] = self.network(images)
        found |= {name: found[other] for name, other in self.shared.items()}
        return {name: x.mean((2, 3)) if x.ndim == 4 else x for name, x in found.items()}
