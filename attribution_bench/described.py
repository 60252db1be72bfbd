"""Options, targets and other values as JSON, equal where they say the same, between runs of Python too."""

import functools
import hashlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, is_dataclass
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from attribution_bench.own_code import code_digest, globals_read, installed_name, is_installed, names_in, own_members

PLACE = re.compile(r" at 0x[0-9a-fA-F]+")
"""Where an object lies in memory, as its words may tell."""
DEPTH = 40
"""Containers, objects and functions in each other that are looked into."""
MOST_ELEMENTS = 1000
"""Longer lists are described by a digest."""
IN_WORDS = (slice, range, complex, bytes, bytearray, type(...))
"""Types whose words say all of a value."""
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def described(value: Any) -> Any:
    """Return a value as JSON: numbers and words as they are, arrays and functions by digests of what they hold and do.

    A function is described by its name and by a digest of its code and of what it reads: defaults, names of enclosing
    functions, and globals; a class by its members, an object by its class and by what it holds. What an installed
    package defines is described by its name and the package's release. Two releases of Python may compile one function
    to two codes, so that they are told. What code imports only when it runs is not looked into.
    """
    return _Description().of(value, DEPTH)


def digest_of_described(value: Any) -> str:
    """Return the SHA-256 of the description of a value."""
    return _sha256(described(value))


@dataclass(frozen=True)
class _Description:
    """One description, of a value and of what it holds and reads."""

    finished: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    """Identity -> an object, which is kept alive, and its description."""
    begun: dict[int, int] = field(default_factory=dict)
    """Identity of an object that is being described -> how many are so before it."""

    def of(self, value: Any, depth: int) -> Any:
        """Return the description of a value, which is looked into to a depth of containers, objects and functions."""
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else repr(value)
        if isinstance(value, np.generic):
            return self.of(value.item(), depth)
        if isinstance(value, IN_WORDS):
            return repr(value)
        if isinstance(value, FunctionType) and hasattr(value, "__wrapped__") and depth:
            # A decorator of an installed package wraps a function that is described by itself.
            return [self._known(value, depth), self.of(value.__wrapped__, depth - 1)]
        return self._known(value, depth)

    def _known(self, value: Any, depth: int) -> Any:
        if isinstance(value, FunctionType | type | ModuleType) and is_installed(value):
            return installed_name(value)
        if depth == 0:
            return _words(value)
        if id(value) in self.finished:
            return self.finished[id(value)][1]
        if id(value) in self.begun:
            return {"again": len(self.begun) - self.begun[id(value)]}
        self.begun[id(value)] = len(self.begun)
        found = self._new(value, depth - 1)
        del self.begun[id(value)]
        self.finished[id(value)] = value, found
        return found

    def _new(self, value: Any, depth: int) -> Any:
        """Return the description of what was not described yet."""
        # Tensors of classes of their own, such as those that stand for a shape, have no array.
        array = _attempted(lambda: _array(value))
        if array is not None and not array.dtype.hasobject:
            digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
            return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}
        if isinstance(value, np.ndarray):
            return {"shape": list(value.shape), "elements": self._elements(value.ravel().tolist(), depth)}
        if isinstance(value, Mapping):
            return {PLACE.sub("", str(key)): self.of(inner, depth) for key, inner in value.items()}
        if isinstance(value, Set):
            return sorted((self.of(inner, depth) for inner in value), key=repr)
        if isinstance(value, Sequence):
            return self._elements(value, depth)
        if isinstance(value, FunctionType):
            return self._of_function(value, depth)
        if isinstance(value, type):
            members = {name: self.of(member, depth) for name, member in own_members(value)}
            return {"class": value.__qualname__, "sha256": _sha256(members), "Python": PYTHON}
        if isinstance(value, ModuleType):
            return value.__name__
        if isinstance(value, BuiltinFunctionType):
            of = value.__self__
            return [installed_name(value), None if of is None or isinstance(of, ModuleType) else self.of(of, depth)]
        if isinstance(value, MethodType):
            return [self.of(value.__func__, depth), self.of(value.__self__, depth)]
        if isinstance(value, functools.partial):
            return [self.of(part, depth) for part in (value.func, value.args, value.keywords)]
        return {"class": self.of(type(value), depth), "holds": self.of(_held(value), depth)}

    def _elements(self, values: Iterable[Any], depth: int) -> Any:
        found = [self.of(inner, depth) for inner in values]
        return found if len(found) <= MOST_ELEMENTS else {"elements": len(found), "sha256": _sha256(found)}

    def _of_function(self, function: FunctionType, depth: int) -> Any:
        code = function.__code__
        read = [function.__defaults__, function.__kwdefaults__, *map(_content, function.__closure__ or ())]
        read += [function.__globals__.get(name) for name in globals_read(code)]
        # Of a module it reads the attributes that it names.
        modules = [one for one in read if isinstance(one, ModuleType) and not is_installed(one)]
        read += [vars(module).get(name) for module in modules for name in names_in(code)]
        found = [code_digest(code), *(self.of(one, depth) for one in read)]
        return {"function": function.__qualname__, "sha256": _sha256(found), "Python": PYTHON}


def _held(value: Any) -> Any:
    """Return what an object holds, as pickle would take it, or its words where it cannot be taken apart."""
    if is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    if callable(getattr(value, "get_config", None)) and callable(getattr(value, "get_weights", None)):
        return [_attempted(lambda: nameless(value.get_config())), value.get_weights()]
    if callable(getattr(value, "named_buffers", None)):
        # The mode of a module of PyTorch is set for each call; keys of hooks number all that the process ever had.
        held = {name: part for name, part in vars(value).items() if name != "training"}
        return {name: list(part.values()) if name.endswith("hooks") else part for name, part in held.items()}
    if hasattr(value, "__wrapped__"):
        return value.__wrapped__
    taken = _attempted(lambda: value.__reduce_ex__(2), _words(value))
    return taken if isinstance(taken, str) else taken[1:]


def _attempted(take: Callable[[], Any], otherwise: Any = None) -> Any:
    """Return what is taken from a user's object, whose code may do anything."""
    try:
        return take()
    except Exception:
        return otherwise


def nameless(configuration: Any) -> Any:
    """Return a configuration of Keras without names, which differ from one building of a layer to another.

    Functions in it, too, hold the places of their lines, and are left out.
    """
    if isinstance(configuration, Mapping):
        if configuration.get("class_name") == "__lambda__":
            return None
        return {key: nameless(v) for key, v in configuration.items() if key not in ("name", "shared_object_id")}
    if isinstance(configuration, list | tuple):
        return [nameless(inner) for inner in configuration]
    return configuration


def _array(value: Any) -> np.ndarray[Any, Any] | None:
    """Return an array, or a tensor or variable of a framework, as an array; None of anything else."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, type) or not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return None
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):
            value = value.double()
        if "strided" not in str(value.layout):
            value = value.to_dense()
    return np.asarray(value)


def _content(cell: Any) -> Any:
    """Return what a name of an enclosing function stands for; None where it has no value yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _sha256(description: Any) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _words(value: Any) -> str:
    return PLACE.sub("", repr(value))
