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
# Registries (the caller names what it takes) and facts of a module that decide no result.
LOOKED_UP = {"METRICS", "SOURCES", "__file__", "__version__"}
_MODULE_STATE = {*vars(torch.nn.Module())}  # what every module has: parts, weights, mode
# The state of these changes from moment to moment; it is no setting.
_MOMENTARY = random.Random | np.random.Generator | np.random.RandomState | torch.Generator
_MOMENTARY |= type(os.environ)
_GENERATED = {"__annotate_func__", "__eq__", "__hash__", "__repr__", "_abc_impl"}
# Containers: the type, the name that stands for it (empty: the type's own), and the parts.
_CONTAINERS: list[tuple[Any, str, Callable[[Any], list[Any]]]] = [
    (dict, "dict", lambda x: [part for pair in x.items() for part in pair]),
    (set | frozenset, "set", lambda x: sorted(x, key=lambda y: (_describe(y)[0], repr(y)))),
    (list | tuple, "", lambda x: [*x]),
    (functools.partial, "partial", lambda x: [x.func, x.args, x.keywords]),
    (MethodType, "method", lambda x: [x.__func__, x.__self__]),
    (property, "property", lambda x: [x.fget]),
    (functools.cached_property, "property", lambda x: [x.func]),
    (staticmethod | classmethod, "", lambda x: [x.__func__]),
]


def of(*things: Any) -> str:
    """Hexadecimal SHA-256 of the code of functions, classes and torch modules.

    The library's code is read once a process, yours each time: its constants may have changed.
    """
    return _hash(things, _abridge)


def _abridge(thing: Any) -> tuple[str, list[Any]]:
    return (_library_hash(thing), []) if _in_library(thing) else _describe(thing)


@functools.cache
def _library_hash(thing: Any) -> str:
    return _hash([thing], _describe)


def _in_library(thing: Any) -> bool:
    return isinstance(thing, FunctionType | type) and _package(thing) == "hastelib"


def _hash(things: Iterable[Any], describe: Callable[[Any], tuple[str, list[Any]]]) -> str:
    """Hash things and all that they reach: what each is, and the indices of what it reaches."""
    index, leaves = dict[int, int](), dict[str, int]()
    queue, nodes = [*things], list[tuple[str, list[Any]]]()
    for thing in queue:  # which grows
        if id(thing) in index:
            continue
        text, reached = describe(thing)
        i = len(nodes) if reached else leaves.setdefault(text, len(nodes))
        index[id(thing)] = i  # equal numbers and words share one: they may be copies
        if i == len(nodes):
            nodes.append((text, reached))
            queue += reached
    graph = [[text, [index[id(thing)] for thing in reached]] for text, reached in nodes]
    return hashlib.sha256(json.dumps(graph).encode()).hexdigest()


def of_network(network: torch.nn.Module) -> str:
    """The hash of what a network's parts do, and of their settings: all but the weights."""
    network = getattr(network, "_orig_mod", network)  # a compiled one holds addresses
    parts = {*network.modules()}

    def describe(thing: Any) -> tuple[str, list[Any]]:
        if not isinstance(thing, torch.nn.Module) or thing not in parts:
            return _abridge(thing)
        settings = {name: vars(thing)[name] for name in sorted(vars(thing).keys() - _MODULE_STATE)}
        unsaved = sorted(thing._non_persistent_buffers_set)
        buffers = [(name, thing._buffers[name]) for name in unsaved]
        hooks = [*thing._forward_pre_hooks.values(), *thing._forward_hooks.values()]
        return "part", [type(thing), settings, buffers, hooks]

    return _hash(network.modules(), describe)


def of_source(source: Any) -> list[str]:
    """Hashes of what decides a source's features beside the weights: the code and settings of its
    network, its class, and all that it holds but name and module."""
    preparation = [getattr(source, field.name) for field in fields(source)[2:]]
    return [of_network(source.module), of(type(source), preparation)]


_distributions = functools.cache(metadata.packages_distributions)  # which takes seconds


def _version(package: str) -> str:
    version = getattr(sys.modules.get(package), "__version__", None)
    if version is None:
        names = _distributions().get(package, [])
        version = metadata.version(names[0]) if names else ""
    return f"{package} {str(version).partition('+')[0]}"


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
    """Whether a package is Python's or installed, so that its version says all."""
    if package in sys.stdlib_module_names and package != "__main__":
        return True
    file = getattr(sys.modules.get(package), "__file__", None)
    if package not in sys.modules:  # imported within a function that has not run yet
        spec = find_spec(package) if package else None
        file = spec and spec.origin
    return "site-packages" in str(file) or "dist-packages" in str(file)


def _describe(thing: Any) -> tuple[str, list[Any]]:
    """What a thing is by itself, and the things it reaches."""
    for kind, name, parts_of in _CONTAINERS:
        if isinstance(thing, kind):
            return name or type(thing).__name__, parts_of(thing)
    if isinstance(thing, torch.Tensor):
        return digest({"": thing}), []
    if thing is None or isinstance(thing, bool | int | float | complex | str | bytes):
        return repr(thing), []
    inner = None if isinstance(thing, ModuleType) else getattr(thing, "__wrapped__", None)
    if inner and (not isinstance(thing, FunctionType) or _foreign(_package(thing))):
        return _describe(inner)  # a decorator of another package
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
            reduced = reduce(thing) if reduce else thing.__reduce_ex__(4)
        except Exception:  # what cannot be pickled, a lock or a file, is no setting
            return name, []
        parts = [reduced] if isinstance(reduced, str) else reduced
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
    if is_dataclass(thing):  # two are equal where the fields that are compared are equal
        settings = {f.name: getattr(thing, f.name) for f in fields(thing) if f.compare}
    return "instance", [type(thing), settings]


def _code(code: CodeType, namespace: dict[str, Any]) -> tuple[str, list[Any]]:
    """The instructions, and the globals that they name, also as ``module.function`` of yours."""
    steps, reached, owner = [], [], None
    for step in dis.get_instructions(code):
        value = step.argval
        if isinstance(value, CodeType):
            value, inner = _code(value, namespace)
            reached += inner
        elif isinstance(value, frozenset):
            value = sorted(map(repr, value))
        elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and value in namespace:
            owner = None if value in LOOKED_UP else namespace[value]
            reached.append(owner)
        elif (
            step.opname in ("LOAD_ATTR", "LOAD_METHOD")
            and isinstance(owner, ModuleType)
            and not _foreign(_package(owner))  # what os and sys hold differs between processes
        ):
            owner = getattr(owner, value, None)
            reached[-1] = None if value in LOOKED_UP else owner
        elif step.opname == "IMPORT_NAME" and not _foreign(value.partition(".")[0]):
            reached.append(importlib.import_module(value))
        else:
            owner = None
        steps.append(f"{step.opname} {value!r}")
    return "\n".join(steps), reached
