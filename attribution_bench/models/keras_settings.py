"""What the objects of a Keras model hold, by which a change of the model between two uses of it is noticed."""

import functools
from collections.abc import Iterator
from typing import Any

LIBRARIES = frozenset({"keras", "tf_keras", "tensorflow"})
"""Packages whose code reads nothing but what it is given, and what the layers hold."""


def held_values(model: Any) -> tuple[Any, ...] | None:
    """Return what the layers of a Keras model hold, in order: settings, functions, variables, and elements of lists.

    A model whose values are all the same objects as before calls what it called then. None where code of others runs,
    which may read anything else: in a layer or model of their own, in a Lambda layer, as an activation.
    """
    held: list[Any] = []
    for part in _parts(model):
        held += [type(part), type(part).call]
        if _is_foreign(type(part)):
            return None
        for value in vars(part).values():
            if callable(value) and _is_foreign(value):
                return None
            held.append(value)
            if isinstance(value, list | tuple | set):
                held += value
            elif isinstance(value, dict):
                held += [*value, *value.values()]
    return tuple(held)


def are_same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    """Whether values are the same objects, one by one."""
    return len(first) == len(second) and all(one is other for one, other in zip(first, second, strict=True))


def _parts(model: Any) -> Iterator[Any]:
    """Yield a model, its layers, those that they consist of, and operations between layers."""
    for layer in model._flatten_layers():
        yield layer
        for operation in getattr(layer, "_operations", ()):
            if not hasattr(operation, "_flatten_layers"):
                yield operation


def _is_foreign(value: Any) -> bool:
    """Whether a class, a function or another callable is of no library."""
    if isinstance(value, functools.partial):
        parts = (value.func, *value.args, *value.keywords.values())
        return any(callable(part) and _is_foreign(part) for part in parts)
    return str(getattr(value, "__module__", "")).partition(".")[0] not in LIBRARIES
