"""The code that made a result, in one hash.

It covers what functions and classes do, and all that they reach of this library and of your own
modules: functions, classes, constants, closures, default arguments. Docstrings, comments and
annotations do not count, nor does what is not reached. Of other packages the version counts.
"""

import copyreg
import dis
import functools
import hashlib
import importlib
import json
import os
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from importlib import metadata
from importlib.util import find_spec
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from hastelib.store import digest

LEFT_OUT = {"beartype", "jaxtyping", "tqdm"}  # packages that decide no result
# What is looked up in registries is named by who asks; where a module lies decides no result.
LOOKED_UP = {"METRICS", "SOURCES", "__file__", "__version__"}
_OF_ALL = {*vars(torch.nn.Module())}  # what every module has: parts, weights, mode
# Whose state is that of the moment, no setting.
_MOMENTARY = random.Random | np.random.Generator | np.random.RandomState | torch.Generator
_MOMENTARY |= type(os.environ)
_GENERATED = {"__annotate_func__", "__eq__", "__hash__", "__repr__", "_abc_impl"}
# What is looked into: the kind of thing, its name where it is not its type's, and its parts.
_HOLDERS: list[tuple[Any, str, Callable[[Any], list[Any]]]] = [
    (dict, "dict", lambda x: [part for pair in x.items() for part in pair]),
    (set | frozenset, "set", lambda x: sorted(x, key=lambda one: (_read(one)[0], repr(one)))),
    (list | tuple, "", lambda x: [*x]),
    (functools.partial, "partial", lambda x: [x.func, x.args, x.keywords]),
    (MethodType, "method", lambda x: [x.__func__, x.__self__]),
    (property, "property", lambda x: [x.fget]),
    (functools.cached_property, "property", lambda x: [x.func]),
    (staticmethod | classmethod, "", lambda x: [x.__func__]),
]


def of(*things: Any) -> str:
    """Hexadecimal SHA-256 of the code of functions, classes and torch modules.

    The library's own is read once a process, yours each time: a constant of it may have changed.
    """
    return _hash(things, _told)


def _told(thing: Any) -> tuple[str, list[Any]]:
    return (_whole(thing), []) if _own(thing) else _read(thing)


@functools.cache
def _whole(thing: Any) -> str:
    return _hash([thing], _read)


def _own(thing: Any) -> bool:
    return isinstance(thing, FunctionType | type) and _package(thing) == "hastelib"


def _hash(things: Iterable[Any], read: Callable[[Any], tuple[str, list[Any]]]) -> str:
    """Of things and all that they reach: what each is, and the places of what it reaches."""
    place, leaves = dict[int, int](), dict[str, int]()
    queue, lines = [*things], list[tuple[str, list[Any]]]()
    for thing in queue:  # which grows
        if id(thing) in place:
            continue
        text, reached = read(thing)
        here = len(lines) if reached else leaves.setdefault(text, len(lines))
        place[id(thing)] = here  # equal numbers and words share one: they may be copies
        if here == len(lines):
            lines.append((text, reached))
            queue += reached
    told = [[text, [place[id(one)] for one in reached]] for text, reached in lines]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def of_network(network: torch.nn.Module) -> str:
    """The hash of what a network's parts do, and of their settings: all but the weights."""
    network = getattr(network, "_orig_mod", network)  # what compiles it has addresses
    own = {*network.modules()}

    def read(thing: Any) -> tuple[str, list[Any]]:
        if not isinstance(thing, torch.nn.Module) or thing not in own:
            return _told(thing)
        settings = {name: vars(thing)[name] for name in sorted(vars(thing).keys() - _OF_ALL)}
        unsaved = sorted(thing._non_persistent_buffers_set)
        buffers = [(name, thing._buffers[name]) for name in unsaved]
        hooks = [*thing._forward_pre_hooks.values(), *thing._forward_hooks.values()]
        return "part", [type(thing), settings, buffers, hooks]

    return _hash(network.modules(), read)


def of_source(source: Any) -> list[str]:
    """Hashes of what decides a source's features beside the weights: the code and settings of its
    network, its class, and all that it holds but name and module."""
    fed = [getattr(source, field.name) for field in fields(source)[2:]]
    return [of_network(source.module), of(type(source), fed)]


_distributions = functools.cache(metadata.packages_distributions)  # which takes seconds


def _version(package: str) -> str:
    found = getattr(sys.modules.get(package), "__version__", None)
    if found is None:
        names = _distributions().get(package, [])
        found = metadata.version(names[0]) if names else ""
    return f"{package} {str(found).partition('+')[0]}"


def _package(thing: Any) -> str:
    """The package that a function, class or module is from; of an instance, that of its class."""
    if isinstance(thing, FunctionType):
        if thing.__code__.co_filename.startswith("<@beartype"):
            return "beartype"
        name = thing.__globals__.get("__name__")
    elif isinstance(thing, ModuleType):
        name = thing.__name__
    else:
        name = getattr(thing, "__module__", None) or type(thing).__module__
    return str(name or "builtins").partition(".")[0]


@functools.cache
def _foreign(package: str) -> bool:
    """Whether it is Python's or installed: its version says all."""
    if package in sys.stdlib_module_names and package != "__main__":
        return True
    file = getattr(sys.modules.get(package), "__file__", None)
    if package not in sys.modules:  # imported within a function that has not run yet
        spec = find_spec(package) if package else None
        file = spec and spec.origin
    return "site-packages" in str(file) or "dist-packages" in str(file)


def _read(thing: Any) -> tuple[str, list[Any]]:
    """What a thing is by itself, and the things it reaches."""
    for kind, name, parts_of in _HOLDERS:
        if isinstance(thing, kind):
            return name or type(thing).__name__, parts_of(thing)
    if isinstance(thing, torch.Tensor):
        return digest({"": thing}), []
    if thing is None or isinstance(thing, bool | int | float | complex | str | bytes):
        return repr(thing), []
    inner = None if isinstance(thing, ModuleType) else getattr(thing, "__wrapped__", None)
    if inner and (not isinstance(thing, FunctionType) or _foreign(_package(thing))):
        return _read(inner)  # a decorator of another package
    package = _package(thing)
    if _foreign(package):
        if hasattr(thing, "__name__"):
            if package in LEFT_OUT:
                return "", []
            version = "" if package in sys.stdlib_module_names else _version(package)
            return f"{version} {thing.__name__}", []
        name = type(thing).__qualname__
        if isinstance(thing, _MOMENTARY):
            return name, []
        reduce = copyreg.dispatch_table.get(type(thing))
        try:  # what it would be pickled as
            made = reduce(thing) if reduce else thing.__reduce_ex__(4)
        except Exception:  # what cannot be pickled, a lock or a file, is no setting
            return name, []
        parts = [made] if isinstance(made, str) else made
        return name, [[*part] if isinstance(part, Iterator) else part for part in parts]
    if isinstance(thing, FunctionType):
        text, reached = _code(thing.__code__, thing.__globals__)
        empty = CellType()  # not filled yet
        cells = [None if c == empty else c.cell_contents for c in thing.__closure__ or ()]
        return text, [*reached, cells, thing.__defaults__, thing.__kwdefaults__]
    if isinstance(thing, ModuleType):
        return "module", [part for name, part in sorted(vars(thing).items()) if name[:2] != "__"]
    if isinstance(thing, type):
        parts = {
            name: part
            for name, part in sorted(vars(thing).items())
            if name not in _GENERATED and (name[:2] != "__" or isinstance(part, FunctionType))
        }
        return f"class {[*parts]}", [*thing.__bases__, *parts.values()]
    settings: Any = object.__getstate__(thing)  # with its slots
    if is_dataclass(thing):  # of which two are the same where these fields are
        settings = {one.name: getattr(thing, one.name) for one in fields(thing) if one.compare}
    return "instance", [type(thing), settings]


def _code(code: CodeType, names: dict[str, Any]) -> tuple[str, list[Any]]:
    """The instructions, and the globals that they name, ``module.function`` of yours too."""
    steps, reached, holder = [], [], None
    for step in dis.get_instructions(code):
        value = step.argval
        if isinstance(value, CodeType):
            value, inner = _code(value, names)
            reached += inner
        elif isinstance(value, frozenset):
            value = sorted(map(repr, value))
        elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and value in names:
            holder = None if value in LOOKED_UP else names[value]
            reached.append(holder)
        elif (
            step.opname in ("LOAD_ATTR", "LOAD_METHOD")
            and isinstance(holder, ModuleType)
            and not _foreign(_package(holder))  # what os and sys hold differs between processes
        ):
            holder = getattr(holder, value, None)
            reached[-1] = None if value in LOOKED_UP else holder
        elif step.opname == "IMPORT_NAME" and not _foreign(value.partition(".")[0]):
            reached.append(importlib.import_module(value))
        else:
            holder = None
        steps.append(f"{step.opname} {value!r}")
    return "\n".join(steps), reached
