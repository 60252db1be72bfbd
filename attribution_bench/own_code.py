"""The code of functions and classes that no installed package defines: what it does, reads and writes, in digests."""

import contextlib
import dis
import functools
import hashlib
import inspect
import json
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

OUR_DISTRIBUTION = "attribution-bench"
"""The distribution of this package, whose release the records of a run state anyway."""
INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})
STANDARD_LIBRARY = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
BUILT_IN = ("built-in", "frozen")
"""Origins of modules that are parts of Python itself."""
WITHOUT_DOCSTRING = frozenset({"<lambda>", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
ENTRIES = frozenset({"forward", "call", "__call__", "_attribute", "_predict_mutations"})
"""Functions of a class that a prediction or an attribution begins with."""


def code_digest(code: CodeType) -> str:
    """Return the SHA-256 of what code does, which no line number, docstring or order of a set is part of."""
    return hashlib.sha256(json.dumps(_content(code)).encode()).hexdigest()


def is_installed(value: Any) -> bool:
    """Whether a function, a class or a module is of Python itself, of an installed package, or of this one."""
    if isinstance(value, FunctionType) and not value.__code__.co_filename.startswith("<"):
        name = str(value.__module__)
        places: tuple[str, ...] = (value.__code__.co_filename,)
    else:
        name = str(getattr(value, "__module__", None) or value.__name__)
        if name == "__main__":
            return False
        places = _places(name)
    if name.partition(".")[0] in _our_packages():
        return True
    return all(
        place.startswith(STANDARD_LIBRARY) or not INSTALLED_FOLDERS.isdisjoint(Path(place).parts) for place in places
    )


def _places(name: str) -> tuple[str, ...]:
    """Return where a module comes from: its file, or its folders; of one without any, where its package comes from."""
    module = sys.modules.get(name)
    if name in sys.builtin_module_names or getattr(getattr(module, "__spec__", None), "origin", "") in BUILT_IN:
        return STANDARD_LIBRARY
    file, package = getattr(module, "__file__", None), name.rpartition(".")[0]
    # Packages without an __init__.py have folders alone, and parts of compiled modules nothing.
    places = (str(file),) if file else tuple(map(str, getattr(module, "__path__", ())))
    return places or (_places(package) if module is not None and package else (name,))


def installed_name(value: Any) -> str:
    """Return the name of a function, class or module that is installed, with the release of its package."""
    module = str(getattr(value, "__module__", None) or "builtins")
    name = f"{module}.{value.__qualname__}" if hasattr(value, "__qualname__") else str(value.__name__)
    package = name.partition(".")[0]
    release = "" if package in _our_packages() else _release(package)
    return f"{name} ({release})" if release else name


def class_name(kind: type) -> str:
    """Return the name of a class without what encloses it, which one that travels by its code loses on the way."""
    return kind.__qualname__.rpartition(".")[2]


def own_members(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield what a class and those that it is derived from hold, by names; of installed classes nothing.

    Functions are as they were written, out of properties and the like. What the class's own calls write is left out.
    """
    written = names_written(kind)
    for base in kind.__mro__:
        if is_installed(base):
            continue
        for name, value in _held_by(base):
            for which, part in _parts(value).items():
                # Of what Python itself puts into a class, only functions do anything.
                if isinstance(part, FunctionType) or not (name.startswith("__") or name in written):
                    yield f"{class_name(base)}.{name}{which}", part


def _held_by(kind: type) -> tuple[tuple[str, Any], ...]:
    """Return what a class itself holds, by names, as it is now: pickling an object adds to its class."""
    return tuple(vars(kind).items())


def _parts(member: Any) -> dict[str, Any]:
    """Return the functions of a property, that in a static or class method, or the member itself."""
    if isinstance(member, property):
        return {" when read": member.fget, " when written": member.fset}
    if isinstance(member, functools.cached_property):
        return {"": member.func}
    return {"": member.__func__ if isinstance(member, staticmethod | classmethod) else member}


def names_written(kind: type) -> frozenset[str]:
    """Return the names of attributes that the calls of objects of a class may write, such as counters and caches."""
    functions = {
        name: value.__code__
        for base in reversed(kind.__mro__)
        for name, value in _held_by(base)
        if isinstance(value, FunctionType)
    }
    found, left = set[str](), set(ENTRIES & functions.keys())
    called = set[str]()
    while left:
        called |= left
        codes = [functions[name] for name in left]
        found |= {name for code in codes for name in _arguments(code, "STORE_ATTR")}
        left = {name for code in codes for name in names_in(code) if name in functions} - called
    return frozenset(found)


def names_kept_by_calls(kind: type) -> frozenset[str]:
    """Return the names of attributes in which objects of a class keep what their calls find: counters and caches.

    An attribute of the name of an argument of the constructor is a setting, also where calls write it, such as weights
    that are moved to another device. Of installed classes only cached properties are known.
    """
    cached = {
        name
        for base in kind.__mro__
        for name, member in _held_by(base)
        if isinstance(member, functools.cached_property)
    }
    if is_installed(kind):
        return frozenset(cached)
    settings = set[str]()
    with contextlib.suppress(ValueError, TypeError):  # a constructor that is not written in Python
        settings.update(inspect.signature(kind).parameters)
    return frozenset(cached | {name for name in names_written(kind) if name.strip("_") not in settings})


def globals_read(code: CodeType) -> tuple[str, ...]:
    """Return the names of the globals that code, and code within it, reads but does not write, each once."""
    read, written = _arguments(code, "LOAD_GLOBAL"), _arguments(code, "STORE_GLOBAL")
    return tuple(name for name in read if name not in written)


def names_in(code: CodeType) -> tuple[str, ...]:
    """Return all names of globals and attributes in code, and in code within it, each once."""
    return tuple(dict.fromkeys(name for each in _with_inner(code) for name in each.co_names))


@functools.cache
def _arguments(code: CodeType, operation: str) -> tuple[str, ...]:
    """Return the names that instructions of a kind have, in code and code within it, in their order, each once."""
    instructions = (one for each in _with_inner(code) for one in dis.get_instructions(each))
    return tuple(dict.fromkeys(one.argval for one in instructions if one.opname == operation))


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


def _content(code: CodeType) -> list[Any]:
    constants = list(code.co_consts)
    if _has_docstring(code):
        constants[0] = None
    return [
        code.co_code.hex(),
        [_content(one) if isinstance(one, CodeType) else _constant(one) for one in constants],
        *(list(names) for names in (code.co_names, code.co_varnames, code.co_freevars)),
    ]


def _has_docstring(code: CodeType) -> bool:
    """Whether the first constant of code is a docstring; before Python 3.13 that of every function is one, or None."""
    if sys.version_info >= (3, 13):
        return bool(code.co_flags & inspect.CO_HAS_DOCSTRING)
    return code.co_name not in WITHOUT_DOCSTRING and isinstance(next(iter(code.co_consts), None), str)


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


@functools.cache
def _our_packages() -> frozenset[str]:
    """Return this package, and those that come with it, which its entry points name."""
    with contextlib.suppress(PackageNotFoundError):  # it may run without being installed
        points = distribution(OUR_DISTRIBUTION).entry_points
        return frozenset((__package__, *(point.value.partition(":")[0].partition(".")[0] for point in points)))
    return frozenset((__package__,))


@functools.cache
def _release(package: str) -> str:
    """Return the name and release of what an imported package was installed with; empty for Python's own."""
    distributions = _distributions().get(package, [])
    return ", ".join(f"{name} {version(name)}" for name in sorted(set(distributions)))


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())
