"""What a network makes on the way, read by forward hooks: any module that runs, no tracing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# What may follow the classifier; whether its probabilities are the softmax of the output.
_AFTER: tuple[tuple[Callable[[Tensor], Tensor], bool], ...] = (
    (lambda logits: logits, True),
    (torch.relu, True),  # SqueezeNet's
    (lambda logits: logits.softmax(1), False),
    (lambda logits: logits.log_softmax(1), False),
)


class Structure(NamedTuple):
    """The parts of a network that are read.

    Attributes:
        head: the classifier's name; None where the network's output is the embedding.
        layers: names of the modules whose pooled outputs the class-agnostic hardness needs.
    """

    head: str | None
    layers: tuple[str, ...]


def unwrapped(module: nn.Module) -> nn.Module:
    """The network itself, where it was compiled or made parallel."""
    while isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel) or hasattr(
        module, "_orig_mod"
    ):
        inner: Any = getattr(module, "_orig_mod", None) or module.module
        module = inner
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError("model: expected a module that is not scripted; pass the original one")
    return module


def call(module: nn.Module, inputs: Any) -> Any:
    """The module's output for a batch: a tensor, or a mapping of its arguments (of texts)."""
    return module(**inputs) if isinstance(inputs, Mapping) else module(inputs)


def tensor(output: Any) -> Tensor:
    """The tensor in what a module gave: its logits, or the first of several."""
    while not isinstance(output, Tensor):
        if isinstance(output, Mapping):
            output = output["logits"] if "logits" in output else next(iter(output.values()))
        else:
            output = output[0]
    return output


def channels_last(x: Tensor) -> bool:
    """Whether (n, h, w, d), as Swin has its maps, and not (n, d, h, w)."""
    return x.ndim == 4 and x.shape[1] == x.shape[2] != x.shape[3]


def flat(x: Tensor, mask: Tensor | None = None, pool: str = "mean") -> Tensor:
    """(n, d) from maps or tokens: the mean over places; of tokens those in the mask (n, t).

    ``pool="cls"`` takes the first token instead.
    """
    if x.ndim == 4:
        return x.mean((1, 2)) if channels_last(x) else x.mean((2, 3))
    if x.ndim != 3:
        return x
    if pool == "cls":
        return x[:, 0]
    if mask is None or mask.shape != x.shape[:2]:
        return x.mean(1)
    weights = mask[:, :, None].to(x.dtype)
    return (x * weights).sum(1) / weights.sum(1).clamp(min=1)


def _is_head(part: nn.Module) -> bool:
    return isinstance(part, nn.Linear) or (
        isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1)
    )


def _blocks(module: nn.Module, least: int) -> dict[str, nn.Module]:
    """The outermost modules of a class that recurs, with at least so many weight layers."""
    count: dict[type, int] = {}
    for part in module.modules():
        count[type(part)] = count.get(type(part), 0) + 1
    found: dict[str, nn.Module] = {}
    for name, part in module.named_modules():
        weights = sum(isinstance(p, nn.Linear | nn.Conv2d) for p in part.modules())
        inside = any(name.startswith(f"{outer}.") for outer in found)
        plain = isinstance(part, nn.Sequential | nn.ModuleList)
        if name and not inside and not plain and count[type(part)] > 1 and weights >= least:
            found[name] = part
    return found


class Taps:
    """Forward hooks on some modules of a network while a ``with`` block lasts.

    Attributes:
        head: the name, the input and the output of the head that ran last; None before.
        layers: name -> output of the others, in the order in which they ran.
    """

    def __init__(
        self,
        heads: Mapping[str, nn.Module],
        layers: Mapping[str, nn.Module],
        keep: Callable[[Tensor], Any] = flat,
    ) -> None:
        self.head: tuple[str, Tensor, Tensor] | None = None
        self.layers: dict[str, Any] = {}
        self._handles = [
            part.register_forward_hook(self._of_head(name)) for name, part in heads.items()
        ]
        self._handles += [
            part.register_forward_hook(self._of_layer(name, keep)) for name, part in layers.items()
        ]

    def _of_head(self, name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if inputs:
                self.head = name, inputs[0], output

        return hook

    def _of_layer(self, name: str, keep: Callable[[Tensor], Any]) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            self.layers[name] = keep(tensor(output))

        return hook

    def __enter__(self) -> Taps:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()


def _matched(given: Tensor, output: Tensor) -> bool | None:
    """Whether the output still wants a softmax; None where it is not the classifier's."""
    given, output = flat(given).float(), flat(output).float()
    if given.ndim != 2 or given.shape != output.shape:
        return None
    for after, logits in _AFTER:
        if torch.allclose(after(given), output, 1e-3, 1e-4, equal_nan=True):
            return logits
    return None


@torch.inference_mode()
def structure(
    module: nn.Module, inputs: Any, head: str | None = None, layers: Sequence[str] | None = None
) -> Structure:
    """The classifier of a network and the layers to tap, from one batch in evaluation mode.

    The classifier is the last linear layer or 1 x 1 convolution that ran, if what it gives is what
    the network gives (pooled over space, with a ReLU or softmax after it or not). The layers: of
    blocks that give maps the last one of each resolution but the first, three at most (the paper,
    A.2: ResNet ``layer2-4``, DenseNet ``denseblock2-4`` before the transition, MobileNetV2 the last
    block at strides 8, 16 and 32); of blocks that give tokens those at a half, three quarters and
    all of the depth; without blocks every pooling layer but the first (VGG). A block is an
    outermost module of a class that recurs, with two weight layers or more; where these give fewer
    than two resolutions, with one. What is named by ``head`` and ``layers`` is not searched for.
    """
    heads = {name: part for name, part in module.named_modules() if _is_head(part)}
    pools: dict[str, nn.Module] = {
        name: part for name, part in module.named_modules() if isinstance(part, nn.MaxPool2d)
    }
    larger, any_ = _blocks(module, 2), _blocks(module, 1)
    choices = [pools] if pools and not larger else [blocks for blocks in (larger, any_) if blocks]
    every = {name: part for blocks in choices for name, part in blocks.items()}
    with Taps(heads, every, keep=_places) as taps:
        output = tensor(call(module, inputs))
    if head is not None:
        pass
    elif taps.head is not None and _matched(taps.head[2], output) is not None:
        head = taps.head[0]
    elif getattr(module, "num_classes", None) == flat(output).shape[1]:  # as timm's have it
        warnings.warn(
            f"{type(module).__name__}: its output is that of no single linear layer (of several, "
            "perhaps), so it is taken as the embedding, without probabilities; name the head",
            stacklevel=2,
        )
    if layers is not None:
        return Structure(head, tuple(layers))
    if choices == [pools]:
        return Structure(head, tuple(taps.layers)[1:])
    found: tuple[str, ...] = ()
    for blocks in choices:
        if len(found) < 2:
            ran = {name: places for name, places in taps.layers.items() if name in blocks}
            found = max(found, _closing(ran), key=len)
    return Structure(head, found)


def _places(x: Tensor) -> int:
    """The size of a map; of tokens 0."""
    return math.prod(x.shape[2:]) if x.ndim == 4 and not channels_last(x) else 0


def _closing(ran: Mapping[str, int]) -> tuple[str, ...]:
    """The blocks that close the stages, from the name and the size of each."""
    names = [*ran]
    if names and not all(ran.values()):
        steps = [-(-len(names) * k // 4) - 1 for k in (2, 3, 4)]
        return tuple(dict.fromkeys(names[step] for step in steps))
    last = {places: name for name, places in ran.items() if places > 1}
    closing = [name for name in names if name in last.values()]
    return tuple(closing[max(1, len(closing) - 3) :])


class Reader:
    """A network, read: embedding, logits or probabilities and layers of each batch.

    Args:
        module: the network, in evaluation mode.
        read: its parts.
        pool: of tokens, ``mean`` or ``cls``, where they are the embedding.
        trust: take the head's output as the logits, without comparing it to the network's.
        maps: leave embedding and logits as the maps that the head got and gave.
    """

    def __init__(
        self,
        module: nn.Module,
        read: Structure,
        *,
        pool: str = "mean",
        trust: bool = False,
        maps: bool = False,
    ) -> None:
        self.module, self.read, self.pool, self.trust, self.maps = module, read, pool, trust, maps
        parts = dict(module.named_modules())
        if unknown := {*read.layers, *([read.head] if read.head else [])} - parts.keys():
            raise ValueError(f"layers: the network has no module {', '.join(sorted(unknown))}")
        self._heads = {read.head: parts[read.head]} if read.head else {}
        self._layers = {name: parts[name] for name in read.layers}

    def __call__(self, inputs: Any) -> dict[str, Tensor]:
        """``embedding`` (n, d), ``logits`` or ``probs`` (n, z) where there is a head,
        ``layer.NAME`` (n, d_l)."""
        mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
        with Taps(self._heads, self._layers, lambda x: flat(x, mask)) as taps:
            output = tensor(call(self.module, inputs))
        if missing := [name for name in self.read.layers if name not in taps.layers]:
            raise ValueError(f"layers: {', '.join(missing)} did not run on this batch; name others")
        found = {f"layer.{name}": taps.layers[name] for name in self.read.layers}
        if self.read.head is None:
            return {"embedding": flat(output, mask, self.pool)} | found
        if taps.head is None:
            raise ValueError(f"head: {self.read.head} did not run on this batch; name another")
        _, given, gave = taps.head
        if self.maps:
            return {"embedding": given, "logits": gave} | found
        logits = True if self.trust else _matched(gave, output)
        if logits is None:
            raise ValueError(
                f"head: the network's output is not that of {self.read.head} on this batch (its "
                "forward depends on the data); name the head"
            )
        last = flat(gave if self.trust or not logits else output)
        return {"embedding": flat(given, mask, self.pool), "logits": last} | found


def replace_head(module: nn.Module, name: str | None, classes: int) -> None:
    """Put a new, randomly initialised classifier with ``classes`` outputs in place of ``name``.

    Raises:
        ValueError: there is no classifier to replace.
    """
    if name is None:
        raise ValueError(
            f"{type(module).__name__} has no classifier to replace: its output is not that of a "
            "linear layer; give it one"
        )
    old = module.get_submodule(name)
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(old.in_features, classes)
    elif isinstance(old, nn.Conv2d):
        new = nn.Conv2d(old.in_channels, classes, kernel_size=1)
    else:
        raise ValueError(f"{name} is a {type(old).__name__}; expected Linear or Conv2d")
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, new)


def placed(module: nn.Module, device: str = "cpu") -> nn.Module:
    """The module on a device, in the channels-last layout that convolutions are fastest in."""
    moved: nn.Module = module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved
