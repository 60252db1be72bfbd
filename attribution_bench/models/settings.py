"""What the Python objects of a model hold, by which a change of the model between two uses of it is noticed."""

import contextlib
import dis
import functools
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from attribution_bench.models.checksums import checksums

PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None)))
"""Types whose values say all of themselves."""
MOST_ELEMENTS = 1000
"""Lists and dicts with more elements are told apart by identity, and arrays by a checksum, so that a look is cheap."""
DEPTH = 3
"""Containers and objects in each other that are looked into; what a function reads is counted anew."""


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


def snapshot(value: Any, leaf: Callable[[Any], Hashable] = Same) -> Hashable:
    """Return what equals the snapshot of the same value later on, unless it was changed in between, also in place.

    Numbers, strings, containers, arrays, objects that hold them, and functions with what they read are looked into;
    what else there is becomes what `leaf` makes of it.
    """
    return _Look(leaf).at(value, DEPTH)


def of_code(function: Any) -> Hashable:
    """Return the snapshot of a function without its identity: of another one of the same code, that reads the same."""
    if isinstance(function, FunctionType):
        return function.__code__, _Look(Same).read(function)
    return snapshot(function)


@dataclass(frozen=True)
class _Look:
    """One look at a value and what it holds and reads."""

    leaf: Callable[[Any], Hashable]
    functions: set[int] = field(default_factory=set)
    """Identities of the functions that were looked into, each once."""

    def at(self, value: Any, depth: int) -> Hashable:
        """Return the snapshot of a value, with so many containers and objects in each other."""
        if type(value) in PLAIN:
            return value  # type: ignore[no-any-return]
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
        if isinstance(value, MethodType):
            return Same(value.__self__), self.at(value.__func__, depth)
        if isinstance(value, functools.partial):
            return tuple(self.at(part, depth) for part in (value.func, value.args, value.keywords))
        if depth and not callable(value) and type(value).__module__ not in ("builtins", "numpy"):
            attributes = getattr(value, "__dict__", None)
            if attributes and not is_library(type(value).__module__) and len(attributes) <= MOST_ELEMENTS:
                return Same(value), tuple((name, self.at(part, depth - 1)) for name, part in attributes.items())
        return self.leaf(value)

    def read(self, function: FunctionType) -> Hashable:
        """Return what a function reads besides its arguments: globals, names of enclosing functions, and defaults.

        Of a module that is a global it reads the attributes that it names. Functions among globals are looked into
        where they are of the function's own package: others keep notes, such as caches, in theirs.
        """
        if is_library(function.__module__) or id(function) in self.functions:
            return ()
        self.functions.add(id(function))
        found: list[Hashable] = [self.at(function.__defaults__, DEPTH), self.at(function.__kwdefaults__, DEPTH)]
        globals_read, names = _names(function.__code__)
        for name in globals_read:
            value = function.__globals__.get(name)
            if isinstance(value, ModuleType) and not is_library(value.__name__):
                held = [vars(value).get(each) for each in names]
                found.append(tuple(self.at(each, 1) for each in held if type(each) in DATA))
            is_elsewhere = isinstance(value, FunctionType) and _package(value) != _package(function)
            found.append(Same(value) if is_elsewhere else self.at(value, DEPTH))
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # a name may have no value yet
                found.append(self.at(cell.cell_contents, DEPTH))
        return tuple(found)


LIBRARIES = frozenset({"torch", "keras", "tf_keras", "tensorflow", "jax", "numpy"})
"""Packages whose objects are told apart by identity, and whose functions read nothing but their arguments."""


def is_library(module: Any) -> bool:
    """Whether a module, by its name, is of one of the libraries that models are written with."""
    return str(module).partition(".")[0] in LIBRARIES


def of_classes(kind: type, leaf: Callable[[Any], Hashable] = Same) -> Iterator[tuple[Hashable, Hashable]]:
    """Yield what a class that is of no library, and those it is derived from, hold and read, each by its place."""
    for number, base in enumerate(kind.__mro__):
        if base is not object and not is_library(base.__module__):
            for name, value in vars(base).items():
                if not name.startswith("__"):
                    yield (number, name), snapshot(value, leaf)


def _package(function: FunctionType) -> str:
    return str(function.__module__).partition(".")[0]


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
