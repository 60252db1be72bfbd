"""What the Python objects of a model hold, by which a change of the model between two uses of it is noticed."""

import contextlib
import dis
import functools
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, MethodWrapperType, ModuleType
from typing import Any

import numpy as np

from attribution_bench.models.checksums import checksums

BARE = frozenset((int, str, bytes, type(None)))
"""Types whose values equal no others."""
PLAIN = BARE | {bool, float, complex}
"""Types whose values say all of themselves."""
MOST_ELEMENTS = 1000
"""Lists and dicts with more elements are told apart by identity, and arrays by a checksum, so that a look is cheap."""
DEPTH = 3
"""Containers and objects in each other that are looked into; what a function or class reads is counted anew."""


WRITING = frozenset(("__setitem__", "add", "append", "appendleft", "extend", "insert", "update"))
"""Methods by which containers are written and not read."""


class Same:
    """An object that equals only itself; it is kept alive, so that no other takes its place."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@dataclass(frozen=True, eq=False)
class Settings:
    """Settings of a model by their places in it; equal to others where nothing but the model itself has changed any."""

    values: Mapping[Hashable, Hashable]
    own: frozenset[Hashable] = frozenset()
    """Places of what the model's own calls change, such as counters."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self.changed(other) <= self.own | other.own

    def __hash__(self) -> int:
        return hash(Settings)  # what is equal may differ in what the model changes itself

    def changed(self, other: "Settings") -> frozenset[Hashable]:
        """Return the places at which other settings differ."""
        if self.values == other.values:
            return frozenset()
        missing, mine, theirs = object(), self.values, other.values
        places = mine.keys() | theirs.keys()
        return frozenset(place for place in places if mine.get(place, missing) != theirs.get(place, missing))

    def without(self, own: frozenset[Hashable]) -> "Settings":
        """Return the settings with places of which changes are the model's own."""
        return replace(self, own=self.own | own)


def plain(value: Any) -> Hashable:
    """Return what equals a plain value of the same type alone: 2 is not 2.0, nor 0.0 the same as -0.0."""
    kind = type(value)
    if kind in BARE:
        return value  # type: ignore[no-any-return]
    return (kind, value) if kind is bool else (kind, repr(value))


def of_code(function: Any) -> Hashable:
    """Return the snapshot of a function without its identity: of another one of the same code, that reads the same."""
    if isinstance(function, FunctionType):
        return function.__code__, Look().read(function)
    return Look().at(function)


@dataclass(frozen=True)
class Look:
    """One look at values, what they hold and what they read; it looks into each function and class once."""

    leaf: Callable[[Any], Hashable] = Same
    """Makes something hashable of what is not looked into, among that all objects of classes of libraries."""
    seen: set[int] = field(default_factory=set)
    """Identities of the functions and classes that were looked into."""

    def at(self, value: Any, depth: int = DEPTH) -> Hashable:
        """Return what equals the snapshot of the same value later on, unless it was changed since, also in place.

        Numbers, strings, containers, arrays, objects with their classes, and functions with what they read are looked
        into, with so many containers and objects in each other.
        """
        if type(value) in PLAIN:
            return plain(value)
        if isinstance(value, np.ndarray):
            if value.dtype.hasobject:
                return Same(value)
            held = value.tobytes() if value.size <= MOST_ELEMENTS else checksums([value])
            return value.shape, value.dtype.str, held
        if isinstance(value, list | tuple | set | frozenset | dict):
            if depth == 0 or len(value) > MOST_ELEMENTS:
                return Same(value)
            inner = value if not isinstance(value, dict) else [part for item in value.items() for part in item]
            return type(value), tuple(self.at(part, depth - 1) for part in inner)
        if isinstance(value, FunctionType):
            return Same(value), self.read(value)
        if isinstance(value, type):
            return Same(value), tuple(self.of_classes(value))
        parts = _parts(value)
        if parts is not None:
            return type(value), tuple(self.at(part, depth) for part in parts)
        return self._object(value, depth)

    def _object(self, value: Any, depth: int) -> Hashable:
        """Return an object with its attributes, and with what its class holds and reads."""
        kind = type(value)
        if not depth or kind.__module__ == "builtins" or any(is_library(base.__module__) for base in kind.__mro__):
            return self.leaf(value)
        attributes = getattr(value, "__dict__", {})
        if len(attributes) > MOST_ELEMENTS:
            return self.leaf(value)
        held = tuple((name, self.at(part, depth - 1)) for name, part in attributes.items())
        return self.leaf(value), held, tuple(self.of_classes(kind))

    def of_classes(self, kind: type) -> Iterator[tuple[Hashable, Hashable]]:
        """Yield what a class and those it is derived from hold and read, each by its place; of no library's class."""
        for base in kind.__mro__:
            if id(base) not in self.seen and not is_library(base.__module__) and not _is_standard(base.__module__):
                self.seen.add(id(base))
                for name, value in tuple(vars(base).items()):
                    if not name.startswith("__") or isinstance(value, FunctionType):
                        yield (base, name), self.at(value)

    def read(self, function: FunctionType) -> Hashable:
        """Return what a function reads besides its arguments.

        That are globals, attributes of modules among them that it names, names of enclosing functions, defaults, and
        attributes of its own. Functions and classes that it reads are looked into where they are of its own package:
        others keep notes, such as caches, in theirs.
        """
        if is_library(function.__module__) or id(function) in self.seen:
            return ()
        self.seen.add(id(function))
        found: list[Hashable] = [self.at(function.__defaults__), self.at(function.__kwdefaults__)]
        if vars(function):
            found.append(self.at(vars(function)))
        globals_read, names = _names(function.__code__)
        package = _package(function)
        found += [self._named(function.__globals__.get(name), package, names, DEPTH) for name in globals_read]
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # a name may have no value yet
                found.append(self.at(cell.cell_contents))
        return tuple(found)

    def _named(self, value: Any, package: str, names: tuple[str, ...], depth: int) -> Hashable:
        """Return what a function of a package reads by a name, and then by others in it where that is a module."""
        if isinstance(value, ModuleType):
            if not depth or is_library(value.__name__):
                return Same(value)
            held = [(name, vars(value)[name]) for name in names if name in vars(value)]
            if _is_standard(value.__name__):
                held = [(name, part) for name, part in held if type(part) in DATA]
            return Same(value), tuple((name, self._named(part, package, names, depth - 1)) for name, part in held)
        if isinstance(value, FunctionType | type) and _package(value) != package:
            is_read = isinstance(value, type) and not is_library(value.__module__)
            data = [part for part in vars(value).items() if type(part[1]) in DATA] if is_read else []
            return Same(value), tuple((name, self.at(part)) for name, part in data)
        return self.at(value)


def _parts(value: Any) -> tuple[Any, ...] | None:
    """Return what a callable or a descriptor of Python itself is made of; None of anything else."""
    if isinstance(value, MethodType):
        return value.__self__, value.__func__
    if isinstance(value, BuiltinMethodType | MethodWrapperType):
        # A function of a module has that for an object; what a container is only written by reads nothing.
        is_read = not isinstance(value.__self__, ModuleType | type(None)) and value.__name__ not in WRITING
        return (value.__self__, value.__name__) if is_read else None
    if isinstance(value, functools.partial | functools.partialmethod):
        return value.func, value.args, value.keywords
    if isinstance(value, staticmethod | classmethod):
        return (value.__func__,)
    if isinstance(value, property):
        return (value.fget,)
    return None


LIBRARIES = frozenset({"torch", "keras", "tf_keras", "tensorflow", "jax", "numpy"})
"""Packages whose objects are told apart by identity, and whose functions read nothing but their arguments."""


def is_library(module: Any) -> bool:
    """Whether a module, by its name, is of one of the libraries that models are written with."""
    return str(module).partition(".")[0] in LIBRARIES


def _is_standard(module: Any) -> bool:
    """Whether a module, by its name, is of Python's own library, whose classes keep notes."""
    return str(module).partition(".")[0] in sys.stdlib_module_names


def _package(value: FunctionType | type) -> str:
    return str(value.__module__).partition(".")[0]


DATA = PLAIN | {np.ndarray, list, tuple, dict, set}
"""Types of attributes of modules that are looked into."""


@functools.cache
def _names(code: CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the globals that code, and code within it, reads, and all names in it."""
    globals_read = {
        instruction.argval: None for instruction in dis.get_instructions(code) if instruction.opname == "LOAD_GLOBAL"
    }
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = _names(constant)
            globals_read |= dict.fromkeys(inner[0])
            names |= dict.fromkeys(inner[1])
    return tuple(globals_read), tuple(names)
