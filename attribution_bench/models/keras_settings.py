"""What the objects of a Keras model hold, by which a change of the model between two uses of it is noticed."""

import functools
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from attribution_bench.models.settings import Same, Settings, snapshot

LIBRARIES = frozenset({"keras", "tf_keras", "tensorflow"})
"""Packages whose code reads nothing but what it is given, and what the layers hold."""
NOTES = frozenset(
    {"_called", "_inbound_nodes", "_inbound_nodes_value", "_outbound_nodes", "_losses", "_metrics", "_thread_local"}
)
"""Attributes in which layers note that they are called."""


@dataclass(frozen=True)
class Held:
    """What the layers of a Keras model hold: settings, functions, variables, and elements of lists."""

    settings: Settings
    """By identity in layers of a library; in those of others, also what may be changed in place."""
    is_complete: bool
    """Whether a model with equal settings calls what it called then. It is not where code of others runs, which may
    read anything else: in a layer or model of their own, in a Lambda layer, as an activation."""


def held_by(model: Any) -> Held:
    """Return what the layers of a Keras model hold now."""
    values: dict[Hashable, Hashable] = {}
    is_complete = True
    for number, part in enumerate(_parts(model)):
        kind = type(part)
        values[number] = Same(part), Same(kind), Same(kind.call)
        is_foreign = _is_foreign(kind)
        is_complete &= not is_foreign
        for name, value in vars(part).items():
            if name in NOTES:
                continue
            if callable(value) and _is_foreign(value):
                is_complete = False
            values[number, name] = snapshot(value) if is_foreign else _by_identity(value)
        if is_foreign:
            values.update(((number, kind.__name__, name), value) for name, value in _of_classes(kind))
    return Held(Settings(values), is_complete)


def _by_identity(value: Any) -> Hashable:
    """Return a value and the elements of a list, tuple, set or dict."""
    elements = (*value, *value.values()) if isinstance(value, dict) else value
    return (Same(value), *map(Same, elements)) if isinstance(value, list | tuple | set | dict) else Same(value)


def _of_classes(kind: type) -> Iterator[tuple[Hashable, Hashable]]:
    """Yield what a class of others, and those it is derived from, hold."""
    for number, base in enumerate(kind.__mro__):
        if _is_foreign(base) and base is not object:
            for name, value in vars(base).items():
                if not name.startswith("__"):
                    yield (number, name), snapshot(value)


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
