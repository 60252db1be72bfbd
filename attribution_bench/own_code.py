"""The code of functions and classes that no installed package defines: what it does, reads and writes, in digests."""

import dis
import functools
import hashlib
import json
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

OUR_PACKAGES = frozenset({"attribution_bench", "attribution_bench_plugins"})
"""Packages whose release the records of a run state anyway."""
INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})
STANDARD_LIBRARY = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
WITHOUT_DOCSTRING = frozenset({"<lambda>", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
ENTRIES = frozenset({"forward", "call", "__call__", "_attribute", "_predict_mutations"})
"""Functions of a class that a prediction or an attribution begins with."""


def code_digest(code: CodeType) -> str:
    """Return the SHA-256 of what code does, which no line number, docstring or order of a set is part of."""
    return hashlib.sha256(json.dumps(_content(code)).encode()).hexdigest()


def is_installed(value: Any) -> bool:
    """Whether a function, a class or a module is of Python itself, of an installed package, or of this one."""
    if isinstance(value, FunctionType) and not value.__code__.co_filename.startswith("<"):
        name, file = str(value.__module__), value.__code__.co_filename
    else:
        name = str(getattr(value, "__module__", None) or value.__name__)
        if name == "__main__":
            return False
        # What has no file is built into Python, unless its module is none that was imported.
        module = sys.modules.get(name)
        file = str(getattr(module, "__file__", None) or ("" if module is not None else name))
    if name.partition(".")[0] in OUR_PACKAGES:
        return True
    parts = Path(file).parts
    return not file or file.startswith(STANDARD_LIBRARY) or not INSTALLED_FOLDERS.isdisjoint(parts)


def installed_name(value: Any) -> str:
    """Return the name of a function, class or module that is installed, with the release of its package."""
    module = str(getattr(value, "__module__", None) or "builtins")
    name = f"{module}.{value.__qualname__}" if hasattr(value, "__qualname__") else str(value.__name__)
    package = name.partition(".")[0]
    release = "" if package in OUR_PACKAGES else _release(package)
    return f"{name} ({release})" if release else name


def own_members(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield what a class and those that it is derived from hold, by names; of installed classes nothing.

    Functions are as they were written, out of properties and the like. What the class's own calls write is left out.
    """
    written = names_written(kind)
    for base in kind.__mro__:
        if is_installed(base):
            continue
        for name, value in vars(base).items():
            for which, part in _parts(value).items():
                # Of what Python itself puts into a class, only functions do anything.
                if isinstance(part, FunctionType) or not (name.startswith("__") or name in written):
                    yield f"{base.__qualname__}.{name}{which}", part


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
        for name, value in vars(base).items()
        if isinstance(value, FunctionType)
    }
    found, left = set[str](), set(ENTRIES & functions.keys())
    called = set[str]()
    while left:
        called |= left
        codes = [inner for name in left for inner in _with_inner(functions[name])]
        found |= {one.argval for code in codes for one in dis.get_instructions(code) if one.opname == "STORE_ATTR"}
        left = {name for code in codes for name in code.co_names if name in functions} - called
    return frozenset(found)


def globals_written(code: CodeType) -> frozenset[str]:
    """Return the names of the globals that code, and code within it, writes."""
    return frozenset(
        one.argval for each in _with_inner(code) for one in dis.get_instructions(each) if one.opname == "STORE_GLOBAL"
    )


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


def _content(code: CodeType) -> list[Any]:
    constants = list(code.co_consts)
    # The first constant of a function is its docstring, or None.
    if constants and isinstance(constants[0], str) and code.co_name not in WITHOUT_DOCSTRING:
        constants[0] = None
    return [
        code.co_code.hex(),
        [_content(one) if isinstance(one, CodeType) else _constant(one) for one in constants],
        *(list(names) for names in (code.co_names, code.co_varnames, code.co_freevars)),
    ]


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


@functools.cache
def _release(package: str) -> str:
    """Return the name and release of what an imported package was installed with; empty for Python's own."""
    distributions = _distributions().get(package, [])
    return ", ".join(f"{name} {version(name)}" for name in sorted(set(distributions)))


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())
