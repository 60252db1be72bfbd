"""Options, targets and other values as JSON, equal where they say the same, between runs of Python too."""

import functools
import hashlib
import re
import sysconfig
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, is_dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from attribution_bench.models.settings import names_read

PLACE = re.compile(r" at 0x[0-9a-fA-F]+")
"""Where an object lies in memory, as its words may tell."""
DEPTH = 8
"""Containers and objects in each other that are looked into."""
OUR_PACKAGES = frozenset({"attribution_bench", "attribution_bench_plugins"})
INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
"""Folders of Python's own modules and of installed packages."""


def described(value: Any) -> Any:
    """Return a value as JSON: numbers and words as they are, arrays and functions by digests of what they hold and do.

    A function is described by its name and by a digest of its code and of what it reads: defaults, names of enclosing
    functions, and globals. What an installed package defines is described by its name, as its release says the rest.
    Two releases of Python may compile one function to two codes.
    """
    return _Description().of(value, DEPTH)


def described_class(kind: type) -> dict[str, Any]:
    """Return the code of a class's functions, and of those of the classes it is derived from, by their names.

    Classes of installed packages are left out.
    """
    return {
        f"{base.__qualname__}.{name}": _sha256(repr(_code(value.__code__)).encode())
        for base in kind.__mro__
        if not _is_installed(base)
        for name, value in vars(base).items()
        if isinstance(value, FunctionType)
    }


@dataclass(frozen=True)
class _Description:
    """One description, of a value and of what it holds and reads."""

    seen: dict[int, Any] = field(default_factory=dict)
    """Functions and objects that were described by their identities, each once; they are kept alive."""

    def of(self, value: Any, depth: int) -> Any:
        """Return the description of a value, with so many containers and objects in each other."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.generic):
            return self.of(value.item(), depth)
        if isinstance(value, BuiltinFunctionType | type):
            return _name(value)
        if isinstance(value, ModuleType):
            return value.__name__
        array = _array(value)
        if array is not None:
            return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": _sha256(_bytes(array))}
        if depth == 0 or id(value) in self.seen:
            return _name(value) if isinstance(value, FunctionType) else _name(type(value))
        if isinstance(value, Mapping):
            return {str(key): self.of(inner, depth - 1) for key, inner in value.items()}
        if isinstance(value, Set):
            return sorted((self.of(inner, depth - 1) for inner in value), key=repr)
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
            return [self.of(inner, depth - 1) for inner in value]
        self.seen[id(value)] = value
        if isinstance(value, FunctionType):
            return self._of_function(value, depth)
        if isinstance(value, MethodType):
            return [self.of(value.__func__, depth - 1), self.of(value.__self__, depth - 1)]
        if isinstance(value, functools.partial):
            return [self.of(part, depth - 1) for part in (value.func, value.args, value.keywords)]
        return self._of_object(value, depth)

    def _of_object(self, value: Any, depth: int) -> Any:
        """Return an object by its class, and by its weights, its fields, or its words where these tell more."""
        kind = type(value)
        code = described_class(kind)
        held: Any
        if is_dataclass(value):
            held = {each.name: getattr(value, each.name) for each in fields(value)}
        elif callable(getattr(value, "state_dict", None)):
            held = [_words(value), dict(value.state_dict())]
        elif callable(getattr(value, "get_weights", None)):
            held = list(value.get_weights())
        elif callable(value) or not any("__repr__" in vars(base) for base in kind.__mro__[:-1]):
            held = dict(getattr(value, "__dict__", {}))
        elif code:
            held = _words(value)
        else:
            return _words(value)
        name = getattr(value, "__name__", None)
        return {
            "class": _name(kind),
            **({} if name is None else {"name": name}),
            **({"code": code} if code else {}),
            "holds": self.of(held, depth - 1),
        }

    def _of_function(self, function: FunctionType, depth: int) -> Any:
        read: list[Any] = [self.of(function.__defaults__, depth - 1), self.of(function.__kwdefaults__, depth - 1)]
        for cell in function.__closure__ or ():
            try:
                read.append(self.of(cell.cell_contents, depth - 1))
            except ValueError:  # a name may have no value yet
                read.append(None)
        found = (function.__globals__.get(name) for name in names_read(function.__code__))
        read += [_name(one) if _is_code(one) and _is_installed(one) else self.of(one, depth - 1) for one in found]
        return {"function": function.__qualname__, "sha256": _sha256(repr((_code(function.__code__), read)).encode())}


def _code(code: CodeType) -> Any:
    """Return what code does, in words that no place in memory and no order of a set is part of."""
    constants = [_code(one) if isinstance(one, CodeType) else _constant(one) for one in code.co_consts]
    return code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _is_code(value: Any) -> bool:
    return isinstance(value, FunctionType | type)


def _is_installed(value: Any) -> bool:
    """Whether a function or a class is of Python, of an installed package, or of this one."""
    module = str(value.__module__)
    if module.partition(".")[0] in OUR_PACKAGES or module == "builtins":
        return True
    if isinstance(value, FunctionType):
        return value.__code__.co_filename.startswith((*INSTALLED, "<frozen"))
    codes = (one.__code__.co_filename for one in vars(value).values() if isinstance(one, FunctionType))
    return all(file.startswith((*INSTALLED, "<frozen")) for file in codes)


def _array(value: Any) -> np.ndarray[Any, Any] | None:
    """Return an array, or a tensor or variable of a framework, as an array; None of anything else."""
    if isinstance(value, np.ndarray):
        return value
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return None
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):
            value = value.double()
    return np.asarray(value)


def _bytes(array: np.ndarray[Any, Any]) -> bytes:
    return repr(array.tolist()).encode() if array.dtype.hasobject else np.ascontiguousarray(array).tobytes()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _words(value: Any) -> str:
    return PLACE.sub("", repr(value))
