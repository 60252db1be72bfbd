"""What the objects of a Keras model hold, by which a change of the model between two uses of it is noticed."""

import contextlib
import functools
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np

from attribution_bench.described import nameless
from attribution_bench.models.checksums import checksums
from attribution_bench.models.settings import PLAIN, Look, Same, Settings
from attribution_bench.own_code import names_written

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
    """By identity in layers of a library; in those of others, also what may be changed in place and what their code
    reads of globals and of enclosing functions."""
    is_complete: bool
    """Whether a model with equal settings calls what it called then. It is not where code of others runs: in a layer or
    model of their own, in a Lambda layer, as an activation. That may read anything else, such as files."""


def held_by(model: Any) -> Held:
    """Return what the layers of a Keras model hold now."""
    values: dict[Hashable, Hashable] = {}
    is_complete = True
    weights = functools.cache(lambda: frozenset(id(weight) for weight in model.weights))

    look = Look(lambda value: _leaf(value, weights))
    for number, part in enumerate(parts(model)):
        kind = type(part)
        values[number] = Same(part), Same(kind), Same(kind.call)
        is_foreign = _is_foreign(kind)
        is_complete &= not is_foreign
        for name, value in vars(part).items():
            if name in NOTES:
                continue
            is_own = callable(value) and _is_foreign(value)
            is_complete &= not is_own
            values[number, name] = look.at(value) if is_foreign or is_own else _by_identity(value)
        if is_foreign:
            values.update(look.of_classes(kind))
    return Held(Settings(values), is_complete)


def _leaf(value: Any, weights: Callable[[], Collection[int]]) -> Hashable:
    """Return an object by its identity, and a tensor or a variable that is no weight of the model with its values."""
    is_tensor = type(value).__module__.startswith(("tensorflow.", "keras.")) and hasattr(value, "shape")
    if not is_tensor or not callable(getattr(value, "numpy", None)) or id(value) in weights():
        return Same(value)
    # A ragged tensor consists of the lengths of its rows and the values of all of them.
    parts = (*value.nested_row_splits, value.flat_values) if hasattr(value, "nested_row_splits") else (value,)
    return Same(value), tuple(map(_values, parts))


def _values(tensor: Any) -> Hashable:
    """Return the values of a tensor; those of strings one by one."""
    array = np.asarray(tensor.numpy())
    return (array.shape, *array.ravel().tolist()) if array.dtype.hasobject else checksums([array])


def _by_identity(value: Any) -> Hashable:
    """Return a value and the elements of a list, tuple, set or dict."""
    elements = (*value, *value.values()) if isinstance(value, dict) else value
    return (Same(value), *map(Same, elements)) if isinstance(value, list | tuple | set | dict) else Same(value)


def parts(model: Any) -> Iterator[Any]:
    """Yield a model, its layers, those that they consist of, and operations between layers."""
    for layer in model._flatten_layers():
        yield layer
        for operation in getattr(layer, "_operations", ()):
            if not hasattr(operation, "_flatten_layers"):
                yield operation


def graphs(model: Any) -> Iterator[list[Any]]:
    """Yield the calls of each functional model, that of the whole and those in it, in an order in which they can run.

    A call is the place of what is called among the parts of the whole, with the arguments; tensors in them are told by
    their numbers, those of the inputs first. The outputs come last.
    """
    places = {id(part): place for place, part in enumerate(parts(model))}
    for graph in parts(model):
        nodes = getattr(graph, "_nodes_by_depth", None) or {}
        numbers: dict[int, int] = {}
        _number(graph.inputs if nodes else (), numbers)
        found: list[Any] = []
        for node in (node for depth in sorted(nodes, reverse=True) for node in nodes[depth] if not node.is_input):
            # The second is how Keras 2 has it.
            called = node.operation if hasattr(node, "operation") else node.layer
            given = getattr(node, "arguments", None)
            arguments = (given.args, given.kwargs) if given is not None else (node.call_args, node.call_kwargs)
            found.append([places.get(id(called)), _numbered(arguments, numbers)])
            _number(node.outputs, numbers)
        if nodes:
            yield [*found, _numbered(graph.outputs, numbers)]


def _number(tensors: Any, numbers: dict[int, int]) -> None:
    """Give each tensor of a structure the next number."""
    if isinstance(tensors, list | tuple | dict):
        for inner in tensors.values() if isinstance(tensors, dict) else tensors:
            _number(inner, numbers)
    else:
        numbers.setdefault(id(tensors), len(numbers))


def _numbered(value: Any, numbers: Mapping[int, int]) -> Any:
    """Return arguments with a number for each tensor."""
    if hasattr(value, "_keras_history"):
        return {"tensor": numbers.get(id(value))}
    if isinstance(value, dict):
        return {key: _numbered(inner, numbers) for key, inner in value.items()}
    return [_numbered(inner, numbers) for inner in value] if isinstance(value, list | tuple) else value


def part_settings(part: Any) -> Any:
    """Return the settings of a layer or an operation but names, and the functions and plain values that it holds.

    What its calls write is left out.
    """
    told: Any = None
    if not hasattr(part, "layers"):  # those of a model are looked at one after the other
        with contextlib.suppress(Exception):  # a user's layer may do anything in it, and many cannot tell
            told = nameless(part.get_config())
    written = names_written(type(part))
    own = {name: value for name, value in vars(part).items() if isinstance(value, FunctionType) and _is_foreign(value)}
    if _is_foreign(type(part)):
        own |= {name: value for name, value in vars(part).items() if _is_setting(name, value) and name not in written}
    return [told, own]


def _is_setting(name: str, value: Any) -> bool:
    """Whether an attribute of a layer of one's own is a setting: none of Keras itself, nor a name, which may differ."""
    if name.startswith("_") or name in ("name", "built"):
        return False
    elements = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else (value,)
    return all(type(element) in PLAIN for element in elements)


def _is_foreign(value: Any) -> bool:
    """Whether a class, a function or another callable is of no library."""
    if isinstance(value, functools.partial):
        parts = (value.func, *value.args, *value.keywords.values())
        return any(callable(part) and _is_foreign(part) for part in parts)
    return str(getattr(value, "__module__", "")).partition(".")[0] not in LIBRARIES
