"""What callers hand over: checked, named in every complaint, and made tensors.

They may share its memory, and are only read.
"""

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

# Loose on purpose: a wrong shape or type is to meet the ValueError below, also where annotations
# are enforced. The strict shapes stand on what happens inside.
ArrayLike = npt.ArrayLike | Tensor
T = TypeVar("T")

LARGEST = 1e152  # what is larger is refused where it is squared: float64 would overflow
COUNTED = 64  # times the samples: up to so many classes are counted in a table, more are sorted
TOLERANCE = 1e-3  # how far a row of probabilities may be from summing to 1


def refuse(name: str, expected: str, got: object) -> ValueError:
    """The error for an argument."""
    return ValueError(f"{name}: expected {expected}, got {got}")


def stored(
    name: str, value: ArrayLike, shape: str = "(n, d)", finite: bool = True
) -> Float[Tensor, "..."]:
    """A matrix, or ``(n,)`` a vector, that is not empty, in the float type it came in.

    Without ``finite``, NaN and infinity pass; the caller has to refuse them.
    """
    tensor = _tensor(name, value)
    if tensor.itemsize == 1 and tensor.is_floating_point():  # in which torch cannot compute
        tensor = tensor.float()
    if tensor.ndim != len(shape.split(", ")):
        raise refuse(name, f"shape {shape}", describe(tensor))
    if 0 in tensor.shape:
        raise refuse(name, f"shape {shape} with nothing empty", describe(tensor))
    if not tensor.is_floating_point():
        tensor = tensor.double()
    # One pass without a buffer: the sum is finite unless an entry is not, or it overflows.
    if finite and not torch.isfinite(tensor.sum()) and (bad := ~torch.isfinite(tensor)).any():
        first = bad.nonzero()[0].tolist()
        raise refuse(name, "finite numbers", f"{tensor[tuple(first)].item()} at {first}")
    return tensor


def moderate(name: str, tensor: Tensor) -> None:
    """Refuse numbers whose squares would overflow."""
    if tensor.dtype == torch.float64:
        size = max(abs(float(end)) for end in tensor.aminmax())  # without a copy
        if size > LARGEST:
            raise refuse(name, f"numbers between -{LARGEST:g} and {LARGEST:g}", f"{size:.4g}")


def vector(name: str, value: ArrayLike) -> Float64[Tensor, " n"]:
    """A finite vector of at least one number, as float64."""
    numbers = stored(name, value, "(n,)").double()
    moderate(name, numbers)
    return numbers


def probabilities(name: str, value: ArrayLike) -> Float64[Tensor, "n z"]:
    """A matrix whose rows are distributions; renormalised, since low precision rounds them."""
    probs = stored(name, value, "(n, z)").double()
    if (probs < 0).any():
        raise refuse(name, "probabilities of at least 0", f"{probs.min().item():.6g}")
    tolerance = TOLERANCE
    if isinstance(value, Tensor) and value.is_floating_point():
        tolerance = max(tolerance, torch.finfo(value.dtype).eps / 2)  # larger in bfloat16 alone
    total = probs.sum(1, keepdim=True)
    deviation = (total - 1).abs()
    if (deviation > tolerance).any():
        row = int(deviation.argmax())
        got = f"{total[row].item():.6g} in row {row}"
        raise refuse(name, f"rows that sum to 1 (within {tolerance:g})", got)
    return probs / total


def labels(name: str, value: ArrayLike, of: Tensor | None = None) -> Int64[Tensor, " n"]:
    """Class labels, as int64: one for each row ``of`` a tensor, on its device."""
    tensor = _tensor(name, value, whole=True)
    if tensor.ndim != 1 or (of is not None and len(tensor) != len(of)):
        shape = "(n,)" if of is None else f"({len(of)},)"
        raise refuse(name, f"shape {shape}, one label a sample", describe(tensor))
    if len(tensor) == 0:
        raise refuse(name, "at least one sample", describe(tensor))
    if tensor.dtype == torch.uint8 and (tensor == 255).any():
        remedy = "leave those rows out, or give wider integers where it is a class"
        raise refuse(name, "classes", f"255, in bytes the mark of no class; {remedy}")
    tensor = tensor.to(device=None if of is None else of.device, dtype=torch.int64)
    if (tensor < 0).any():
        raise refuse(name, "labels of at least 0", int(tensor.min()))
    return tensor


def classes(
    name: str, value: ArrayLike, of: Tensor | None = None, least: int = 1
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " c"], Int64[Tensor, " c"]]:
    """:func:`labels` renumbered 0 to c - 1, and of each class present its size and its label."""
    tensor = labels(name, value, of)
    if tensor.max() < COUNTED * len(tensor):  # counting takes a fifth of the time of sorting
        table = torch.bincount(tensor)
        present = table.nonzero()[:, 0]
        index, counts = ((table > 0).cumsum(0) - 1)[tensor], table[present]
    else:
        present, index, counts = torch.unique(tensor, return_inverse=True, return_counts=True)
    if len(present) < least:
        got = f"only class {int(present[0])} in {len(tensor)} samples"
        raise refuse(name, f"at least {least} classes", got)
    return index, counts, present


def aligned(first: str, x: ArrayLike, second: str, y: ArrayLike) -> None:
    """Refuse two of pandas with different indices, since rows are matched by position."""
    a, b = (getattr(value, "index", None) for value in (x, y))  # of a list it is a method
    if a is not None and hasattr(a, "equals") and hasattr(b, "equals") and not a.equals(b):
        expected = f"the index of {first}, since rows are matched by position"
        raise refuse(second, expected, "another; use reindex, or to_numpy() where that is meant")


def several(name: str, values: Iterable[T]) -> list[T]:
    """The values as a list; refuses a single array, which would fall apart into rows."""
    if isinstance(values, np.ndarray | Tensor | str) or not isinstance(values, Iterable):
        raise refuse(name, "a list of matrices", describe(values))
    return [*values]


def matrices(
    name: str, values: Iterable[ArrayLike], shape: str = "(n, d)", finite: bool = True
) -> list[Float[Tensor, "n _"]]:
    """A list of at least one matrix, each as :func:`stored`, all with the same number of rows."""
    tensors = []
    for i, x in enumerate(arrays := several(name, values)):
        aligned(f"{name}[0]", arrays[0], f"{name}[{i}]", x)
        tensors.append(stored(f"{name}[{i}]", x, shape, finite))
    if not tensors:
        raise refuse(name, "at least one matrix", "an empty list")
    lengths = [len(tensor) for tensor in tensors]
    if len(set(lengths)) > 1:
        raise refuse(name, "as many rows in each", lengths)
    return tensors


def choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse a value that is not one of the choices."""
    if value not in choices:
        raise refuse(name, f"one of {', '.join(map(repr, choices))}", repr(value))


def whole(name: str, value: object, least: int) -> int:
    """An integer of at least ``least``."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise refuse(name, f"an integer of at least {least}", repr(value))
    return int(value)


def positive(name: str, value: object, most: float = math.inf) -> float:
    """A finite number above 0, and at most ``most``."""
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not 0 < number <= most or number == math.inf:
        expected = "a positive number" if most == math.inf else f"a number in (0, {most:g}]"
        raise refuse(name, expected, repr(value))
    return number


def like(value: ArrayLike, result: Tensor) -> Any:
    """The result in the kind ``value`` came in: a tensor for a tensor, else a NumPy array."""
    return result if isinstance(value, Tensor) else result.cpu().numpy()


def describe(value: object) -> str:
    """An array's type and shape; of anything else, the type."""
    if isinstance(value, np.ndarray | Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        return f"{kind} values of shape {tuple(value.shape)}"
    return type(value).__name__


def _tensor(name: str, value: object, whole: bool = False) -> Tensor:
    """The real numbers or, if ``whole``, integers of value, in its memory where torch can share."""
    expected, kinds = ("integer class labels", "iu") if whole else ("real numbers", "iuf")
    if isinstance(value, Tensor):
        flags = {"nested": value.is_nested, "quantized": value.is_quantized, "meta": value.is_meta}
        flags["sparse"] = not value.is_nested and value.layout != torch.strided
        if unusual := [kind for kind, flag in flags.items() if flag]:
            raise refuse(name, "a dense tensor of plain numbers", f"a {unusual[0]} one")
        wrong = value.is_complex() or value.dtype == torch.bool
        if wrong or (whole and value.is_floating_point()):
            raise refuse(name, expected, describe(value))
        return value.detach()
    if hasattr(value, "toarray"):
        raise refuse(name, "a dense array", f"{type(value).__name__}; give its toarray()")
    if np.ma.is_masked(value):
        raise refuse(name, "an array without a mask", "masked entries; leave those rows out")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise refuse(name, "an array", f"{type(value).__name__} that is none ({error})") from None
    if array.dtype.kind not in kinds:
        if whole and array.dtype.kind in "OU" and array.ndim:
            remedy = f"number them: np.unique({name}, return_inverse=True)[1]"
            raise refuse(name, expected, f"names or mixed values; {remedy}")
        raise refuse(name, expected, describe(array if array.ndim else value))
    # torch shares no long doubles, other byte orders, negative strides or read-only memory.
    dtype = np.dtype(float) if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    if min(array.strides, default=0) < 0:  # a single row may have them and be contiguous
        array = array.copy()
    return torch.from_numpy(np.require(array, dtype, ["C", "W"]))
