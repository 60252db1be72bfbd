"""Options, targets and other values as JSON, equal where they say the same, between runs of Python too."""

import functools
import hashlib
import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, is_dataclass
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from attribution_bench.own_code import (
    class_name,
    code_digest,
    globals_read,
    installed_name,
    is_installed,
    names_in,
    names_kept_by_calls,
    own_members,
)

PLACE = re.compile(r" at 0x[0-9a-fA-F]+")
"""Where an object lies in memory, as its words may tell."""
DEPTH = 40
"""Containers, objects and functions in each other that are looked into."""
MOST_ELEMENTS = 1000
"""Longer lists are described by a digest."""
PLAIN: tuple[Any, ...] = (type(None), bool, int, float, str)
"""Types whose values are JSON."""
IN_WORDS: tuple[Any, ...] = (slice, range, complex, bytes, bytearray, type(...))
"""Types whose words say all of a value."""
PADDED = "gG"
"""Kinds of numbers whose bytes are not all theirs: what lies in the others may be anything."""
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def described(value: Any) -> Any:
    """Return a value as JSON: numbers and words as they are, arrays and functions by digests of what they hold and do.

    A function is described by its name and by a digest of its code and of what it reads: defaults, names of enclosing
    functions, and globals; a class by its members, an object by its class and by what it holds but for counters and
    caches, see `names_kept_by_calls`. A list, dict or set is described by its elements, and where its class is of no
    package, by this and what it holds as well. What an installed package defines is described by its name and the
    package's release. Two releases of Python may compile one function to two codes, so that they are told. What code
    imports only when it runs is not looked into.
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
        kind = type(value)
        if kind in PLAIN or (isinstance(value, PLAIN) and is_installed(kind)):
            return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
        if isinstance(value, np.generic):
            item = value.item()
            # Python has no number for those of more digits than its own.
            return repr(value) if isinstance(item, np.generic) else self.of(item, depth)
        if isinstance(value, IN_WORDS) and is_installed(kind):
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
        content = self._content(value, depth)
        if content is not None:
            beside = _beside_content(value)
            if beside is None:
                return content
            return {"class": self.of(type(value), depth), "content": content, "holds": self.of(beside, depth)}
        if isinstance(value, FunctionType):
            return self._of_function(value, depth)
        if isinstance(value, type):
            members = {name: self.of(member, depth) for name, member in own_members(value)}
            return {"class": class_name(value), "sha256": _sha256(members), "Python": PYTHON}
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

    def _content(self, value: Any, depth: int) -> Any:
        """Return arrays and containers by what is in them, and numbers and texts in words; None of other objects."""
        # Tensors of classes of their own, such as those that stand for a shape, have no array.
        array = _attempted(lambda: _array(value))
        if array is not None and not (array.dtype.hasobject or array.dtype.char in PADDED):
            digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
            return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}
        if isinstance(value, np.ndarray):
            return {"shape": list(value.shape), "elements": self._elements(value.ravel().tolist(), depth)}
        for base in (*PLAIN, *IN_WORDS):
            if isinstance(value, base):
                return base.__repr__(value)
        if isinstance(value, Set):
            return sorted((self.of(inner, depth) for inner in value), key=repr)
        if isinstance(value, Sequence):
            return self._elements(value, depth)
        if not isinstance(value, Mapping):
            return None
        found = [[self.of(key, depth), self.of(inner, depth)] for key, inner in value.items()]
        if all(isinstance(key, str) for key in (*value, *(key for key, _ in found))):
            return dict(found)
        # JSON has no other keys than text.
        return {"class": "dict", "items": sorted(found, key=repr)}

    def _elements(self, values: Iterable[Any], depth: int) -> Any:
        found = [self.of(inner, depth) for inner in values]
        return found if len(found) <= MOST_ELEMENTS else {"elements": len(found), "sha256": _sha256(found)}

    def _of_function(self, function: FunctionType, depth: int) -> Any:
        code = function.__code__
        read = [function.__defaults__, function.__kwdefaults__, *map(_content, function.__closure__ or ())]
        read += [function.__globals__.get(name) for name in globals_read(code)]
        # Of a module, and of those in it, it reads the attributes that it names.
        names, given = names_in(code), (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        modules = _own_modules((*given, *read))
        for module in modules:
            named = [vars(module).get(name) for name in names]
            read += named
            modules += [one for one in _own_modules(named) if one not in modules]
        found = [code_digest(code), *(self.of(one, depth) for one in read)]
        return {"function": function.__qualname__, "sha256": _sha256(found), "Python": PYTHON}


def _own_modules(values: Iterable[Any]) -> list[ModuleType]:
    return [one for one in values if isinstance(one, ModuleType) and not is_installed(one)]


def _beside_content(value: Any) -> Any:
    """Return what a container, an array, a number or a text holds besides; None where its class is of a package."""
    if isinstance(value, defaultdict) and value.default_factory is not None:
        return [value.default_factory, _settled(object.__getstate__(value), type(value))]
    return None if is_installed(type(value)) else [_settled(object.__getstate__(value), type(value))]


def _settled(state: Any, kind: type) -> Any:
    """Return the state of an object, attributes and perhaps slots, without what calls keep in it."""
    if isinstance(state, tuple):
        return [_settled(part, kind) for part in state]
    if not isinstance(state, dict):
        return state
    kept = names_kept_by_calls(kind)
    # An object without attributes has no state.
    return {name: part for name, part in state.items() if name not in kept} or None


def _held(value: Any) -> Any:
    """Return what an object holds, as pickle would take it, or its words where it cannot be taken apart."""
    if callable(getattr(value, "get_config", None)) and callable(getattr(value, "get_weights", None)):
        return [_attempted(lambda: nameless(value.get_config())), value.get_weights()]
    if callable(getattr(value, "named_buffers", None)):
        # The mode of a module of PyTorch is set for each call; keys of hooks number all that the process ever had.
        held = {name: part for name, part in vars(value).items() if name != "training"}
        held = {name: list(part.values()) if name.endswith("hooks") else part for name, part in held.items()}
        return _settled(held, type(value))
    if is_dataclass(value):
        held = {each.name: getattr(value, each.name, None) for each in fields(value)}
        return _settled({**held, **getattr(value, "__dict__", {})}, type(value))
    if hasattr(value, "__wrapped__"):
        return value.__wrapped__
    taken = _attempted(lambda: value.__reduce_ex__(2), _words(value))
    if isinstance(taken, str):
        return taken
    # The second is its state, after what it is made from.
    return [_settled(part, type(value)) if place == 1 else part for place, part in enumerate(taken[1:])]


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
