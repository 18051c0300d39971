"""What a network makes on the way, read by forward hooks: any module that runs, no tracing."""

import functools
import itertools
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hastelib.checks import refuse


def unwrapped(module: Any) -> nn.Module:
    """The network itself, taken out of what compiled it or made it parallel."""
    parallel = nn.DataParallel | nn.parallel.DistributedDataParallel
    while hasattr(module, "_orig_mod") or isinstance(module, parallel):
        module = module._orig_mod if hasattr(module, "_orig_mod") else module.module
    if not isinstance(module, nn.Module) or isinstance(module, torch.jit.ScriptModule):
        raise ValueError(f"model: expected a torch module, not scripted, got {type(module)}")
    return module


def home(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where the first weights of a module are, and the type of its first real ones."""
    weights = itertools.chain(module.parameters(), module.buffers(), [torch.zeros(0)])
    first = next(weights)
    real = (x.dtype for x in itertools.chain([first], weights) if x.is_floating_point())
    return first.device, next(real)


def call(module: nn.Module, inputs: Any) -> Any:
    """The module's output for a batch: a tensor, or a mapping of its arguments (of texts)."""
    return module(**inputs) if isinstance(inputs, Mapping) else module(inputs)


def tensor(output: Any) -> Tensor:
    """The tensor in what a module gave: its logits, or the first of several; ``ValueError`` where
    it holds none."""
    while not isinstance(output, Tensor):
        if isinstance(output, Mapping):
            output = [output.get("logits"), *output.values()]
        items = output if isinstance(output, list | tuple) else ()
        if (first := next((x for x in items if x is not None), None)) is None:
            raise refuse("model", "an output that is or holds a tensor", type(output).__name__)
        output = first
    return output


def _ratio(inputs: Any) -> float:
    """Height by width of the images in a batch; 1 for anything else."""
    images = isinstance(inputs, Tensor) and inputs.ndim == 4
    return inputs.shape[2] / inputs.shape[3] if images else 1.0


def _channels_last(x: Tensor, ratio: float) -> bool:
    """Whether maps are (n, h, w, d), as Swin's are, and not (n, d, h, w)."""

    def spatial(height: int, width: int) -> bool:
        return abs(height - ratio * width) < max(ratio, 1)  # strides round both sizes

    return x.ndim == 4 and spatial(*x.shape[1:3]) and not spatial(*x.shape[2:])


def flat(x: Tensor, mask: Tensor | None = None, pool: str = "mean", ratio: float = 1.0) -> Tensor:
    """(n, d) from maps or tokens: the mean over positions, of tokens over the mask (n, t).

    ``pool="cls"`` takes the first token instead; ``ratio`` is height by width of the image.
    """
    if x.ndim == 4:
        return x.mean((1, 2)) if _channels_last(x, ratio) else x.mean((2, 3))
    if x.ndim != 3:
        return x[:, None] if x.ndim == 1 else x
    if pool == "cls":
        return x[:, 0]
    if mask is None or mask.shape != x.shape[:2]:
        return x.mean(1)
    weights = mask[:, :, None].to(x.dtype)
    return (x * weights).sum(1) / weights.sum(1).clamp(min=1)


@contextmanager
def _tapped(
    module: nn.Module, heads: Iterable[str], layers: Iterable[str], keep: Callable[[Tensor], Any]
) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Hook a module while the block lasts. Yields name, input and output of the head that ran last,
    and layer -> ``keep`` of its output, in the order in which they ran."""
    last, kept = list[Any](), dict[str, Any]()

    def of_head(name: str, _: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if inputs:  # a copy, since an activation may change the output in place
            last[:] = name, inputs[0], output.clone()

    def of_layer(name: str, _: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        kept[name] = keep(tensor(output))

    with ExitStack() as stack:
        for hook, names in ((of_head, heads), (of_layer, layers)):
            for name in names:
                named_hook = functools.partial(hook, name)
                stack.enter_context(module.get_submodule(name).register_forward_hook(named_hook))
        yield last, kept


def _logits(module: nn.Module, head_out: Tensor, output: Tensor, ratio: float) -> Tensor | None:
    """The logits behind a network's output; None where it does not come from ``head_out``."""
    logits, expected = flat(head_out, ratio=ratio).float(), output.float()
    if logits.ndim != 2 or logits.shape != output.shape:
        return None
    atol = 1e-4 * expected.nan_to_num(0, 0, 0).abs().amax().item()

    def matches(x: Tensor) -> bool:
        return torch.allclose(x, expected, 1e-3, atol, equal_nan=True)

    if matches(logits):
        return output
    # A ReLU follows the classifier of SqueezeNet, which states its number of classes; but it also
    # follows layers of networks whose classifier was taken off.
    classes = (getattr(part, "num_classes", None) for part in module.modules())
    if logits.shape[1] in classes and matches(flat(head_out.relu(), ratio=ratio).float()):
        return output
    return logits if matches(logits.softmax(1)) or matches(logits.log_softmax(1)) else None


def _at_token(head_in: Tensor, head_out: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
    """Input and output of a classifier. Where it ran on every token, but the network returned its
    output for one only, as GPT-2 does, both are of that token."""
    if head_in.ndim == head_out.ndim == 3 and output.shape == (len(head_out), head_out.shape[2]):
        token = (head_out - output[:, None]).abs().amax(2).argmin(1)
        at = torch.arange(len(token), device=token.device), token
        if torch.allclose(head_out[at], output.to(head_out)):
            return head_in[at], head_out[at]
    return head_in, head_out


class Structure(NamedTuple):
    """The parts of a network to read."""

    head: str | None  # the classifier's name; None where the network's output is the embedding
    layers: tuple[str, ...]  # the modules whose pooled outputs the class-agnostic hardness needs
    named: bool = False  # by the caller: the head's output is not compared to the network's
    maps: bool = False  # embedding and logits stay the maps that the head got and gave

    def read(self, module: nn.Module, inputs: Any, pool: str = "mean") -> dict[str, Tensor]:
        """``embedding`` (n, d), where it is tokens pooled by ``mean`` or ``cls``, ``logits`` (n, z)
        where there is a head, and ``layer.NAME`` (n, d_l) of a batch, in evaluation mode."""
        heads = [] if self.head is None else [self.head]
        mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
        pooled = functools.partial(flat, ratio=_ratio(inputs))
        with _tapped(module, heads, self.layers, lambda x: pooled(x, mask)) as (last, kept):
            output = tensor(call(module, inputs))
        if missing := [name for name in self.layers if name not in kept]:
            raise ValueError(f"layers: {', '.join(missing)} did not run on this batch; name others")
        layers = {f"layer.{name}": kept[name] for name in self.layers}
        if self.head is None:
            return {"embedding": pooled(output, mask, pool)} | layers
        if not last:
            raise ValueError(f"head: {self.head} did not run on this batch; name another")
        _, head_in, head_out = last
        if self.maps:
            return {"embedding": head_in, "logits": head_out} | layers
        head_in, head_out = _at_token(head_in, head_out, pooled(output))
        logits: Tensor | None = pooled(head_out)
        if not self.named:
            logits = _logits(module, head_out, pooled(output), _ratio(inputs))
        if logits is None:
            raise ValueError(
                f"head: the network's output is not that of {self.head} on this batch (its forward "
                "depends on the data); name the head"
            )
        if logits.shape[1] == 1:  # a binary classifier: softmax over 0 and this is its sigmoid
            logits = nn.functional.pad(logits, (1, 0))
        return {"embedding": pooled(head_in, mask, pool), "logits": logits} | layers


def _depth(part: nn.Module) -> int:
    """How many weight layers a module has; GPT-2's linear ones are its Conv1D."""
    kinds = nn.Linear | nn.Conv2d
    return sum(isinstance(p, kinds) or type(p).__name__ == "Conv1D" for p in part.modules())


def _is_stage(part: nn.Module) -> bool:
    """Whether a module holds a single list, of several blocks of one class."""
    lists = [child for child in part.children() if isinstance(child, nn.Sequential | nn.ModuleList)]
    blocks = [*lists[0]] if len(lists) == 1 else []
    return len(blocks) > 1 and len({*map(type, blocks)}) == 1 and min(map(_depth, blocks)) > 1


def _blocks(module: nn.Module, least: int, opened: bool = False) -> list[str]:
    """The outermost modules of a class that recurs, with ``least`` weight layers or more; where
    stages are ``opened``, the blocks in them."""
    count = Counter(type(part) for part in module.modules())
    names: list[str] = []
    for name, part in module.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in names)
        skipped = isinstance(part, nn.Sequential | nn.ModuleList) or (opened and _is_stage(part))
        if name and not (inside or skipped) and count[type(part)] > 1 and _depth(part) >= least:
            names.append(name)
    return names


@torch.no_grad()
def structure(
    module: nn.Module, inputs: Any, head: str | None = None, layers: Sequence[str] | None = None
) -> Structure:
    """The classifier of a network in evaluation mode and the layers to tap, from one batch.

    The classifier is the last linear layer or 1 x 1 convolution that ran, if its output is that of
    the network (pooled over space or at one token, with a softmax after it or not; with a ReLU only
    where the network says that it has so many classes). The layers: of blocks that give maps
    the last one of each resolution but the first, three at most (the paper, A.2); of blocks that
    give tokens those at a half, three quarters and all of the depth; without blocks every pooling
    layer but the first (VGG). A block is an outermost module of a class that recurs, not the
    classifier, with two weight layers or more; where these have fewer than three resolutions, with
    one. Of a stage that gives tokens (Swin) the blocks are those in it. What is named by ``head``
    and ``layers`` is not searched for.
    """
    heads, pools = [], []
    for name, part in module.named_modules():
        pointwise = isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1)
        if isinstance(part, nn.Linear) or pointwise:
            heads.append(name)
        elif isinstance(part, nn.MaxPool2d):
            pools.append(name)
    blocks = _blocks(module, 2)
    choices = [blocks, _blocks(module, 1), _blocks(module, 2, opened=True)]
    choices = [pools] if pools and not blocks else choices
    ratio = _ratio(inputs)
    map_size = functools.partial(_map_size, ratio=ratio)
    with _tapped(module, heads, {*itertools.chain(*choices)}, map_size) as (last, sizes):
        output = flat(tensor(call(module, inputs)), ratio=ratio)
    named = head is not None
    if not named and last:
        name, head_in, head_out = last
        head_out = _at_token(head_in, head_out, output)[1]
        if _logits(module, head_out, output, ratio) is not None:
            head = name
    if head is None and getattr(module, "num_classes", None) == output.shape[1]:  # timm's
        warnings.warn(
            f"{type(module).__name__}: its output is that of no single linear layer (of several, "
            "perhaps), so it is taken as the embedding, without probabilities; name the head",
            stacklevel=2,
        )
    if layers is None and choices == [pools]:
        layers = [*sizes][1:]
    elif layers is None:
        sizes = {name: size for name, size in sizes.items() if name != head}
        closing = [_closing({n: sizes[n] for n in sizes if n in c}, module) for c in choices]
        layers = closing[0] if len(closing[0]) >= 2 else max(closing[:2], key=len)
        ran = [sizes[name] for name in blocks if name in sizes]
        if ran and not any(ran):  # tokens, as of Swin's stages
            layers = closing[2]
    if unknown := {*layers, head or ""} - dict(module.named_modules()).keys():
        raise ValueError(f"head, layers: the network has no module {', '.join(sorted(unknown))}")
    return Structure(head, tuple(layers), named)


def _map_size(x: Tensor, ratio: float) -> int:
    """The number of positions of a map; 0 for tokens."""
    return math.prod(x.shape[2:]) if x.ndim == 4 and not _channels_last(x, ratio) else 0


def _closing(sizes: Mapping[str, int], module: nn.Module) -> tuple[str, ...]:
    """The blocks that close the stages, from the name and the size of each."""
    names = [*sizes]
    if names and not all(sizes.values()):
        types = {name: type(module.get_submodule(name)) for name in names}
        count = Counter(types.values())  # the MLP at the end of SigLIP's pooling is like no other
        names = [name for name in names if count[types[name]] > 1] or names
        places = [-(-len(names) * k // 4) - 1 for k in (2, 3, 4)]
        return tuple(dict.fromkeys(names[i] for i in places))
    last = {size: name for name, size in sizes.items() if size > 1}
    closing = [name for name in names if name in last.values()]
    return tuple(closing[1:][-3:])


def replace_head(module: nn.Module, name: str | None, classes: int) -> None:
    """Put a new, randomly initialised classifier with ``classes`` outputs in place of ``name``.

    ``ValueError`` where there is none to replace.
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
    module.set_submodule(name, new)


def placed(module: nn.Module, device: str = "cpu") -> nn.Module:
    """The module on a device, in the channels-last layout that convolutions are fastest in."""
    moved: nn.Module = module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved
