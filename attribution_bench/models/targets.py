"""Targets: what of a model's outputs is to be explained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from attribution_bench.errors import TargetError

Reducer: TypeAlias = Callable[[Any], Any]
Target: TypeAlias = (
    int | tuple[int, ...] | str | tuple[str, int] | tuple[str, tuple[int, ...]] | Reducer | tuple[str, Reducer] | None
)
REDUCERS = ("sum", "mean", "logsumexp")


@dataclass(frozen=True)
class OutputSpec:
    """One output of a model: its name, and the shape of one sequence's value (no batch axis)."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of scalars in one sequence's value."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Selection:
    """A part of one output: an index into its axes, a reduction over all of them, or the whole."""

    name: str
    """Name of the output selected from."""
    position: int
    """Place of that output among the model's."""
    shape: tuple[int, ...]
    """What is left of the output's axes: () for a scalar."""
    index: tuple[int, ...] | None = None
    reducer: Literal["sum", "mean", "logsumexp"] | Reducer | None = None

    @property
    def size(self) -> int:
        """Number of scalars selected of one sequence's value."""
        return int(np.prod(self.shape, dtype=np.int64))


def select(target: Target, outputs: Sequence[OutputSpec]) -> tuple[Selection, ...]:
    """Resolve a target against a model's outputs.

    Raises
    ------
    TargetError
        The target names no output, its index is out of range, or it leaves open which value is meant.
    """
    names = [output.name for output in outputs]
    if isinstance(target, str) and target in names:
        return (_whole(outputs, names.index(target)),)
    if isinstance(target, str) and target == "all":
        return tuple(_whole(outputs, i) for i in range(len(outputs)))
    if isinstance(target, tuple) and len(target) == 2 and isinstance(target[0], str):
        if target[0] not in names:
            raise TargetError(f"the model has no output {target[0]!r}; its outputs are {_described(outputs)}")
        return (_part(outputs, names.index(target[0]), target[1]),)
    if isinstance(target, str) and target not in REDUCERS:
        raise TargetError(
            f"unknown target {target!r}; the outputs are {_described(outputs)}, the reducers {', '.join(REDUCERS)}"
        )
    if len(outputs) > 1:
        raise TargetError(
            f"target {target!r} leaves open which output is meant; give a name or (name, index) of "
            f"{_described(outputs)}, or 'all' "
            f"(on the command line --target {outputs[-1].name}:{_first_index(outputs[-1])})"
        )
    if target is None:
        only = outputs[0]
        if only.size != 1:
            raise TargetError(
                f"the output has shape {only.shape}; give target=an index, 'all', or one of {', '.join(REDUCERS)} "
                f"(on the command line --target {_first_index(only)})"
            )
        return (Selection(only.name, 0, (), index=(0,) * len(only.shape)),)
    return (_part(outputs, 0, target),)


def place_of_value(target: Target, outputs: Sequence[OutputSpec]) -> int:
    """Return where one value stands among all those of some outputs, flattened and side by side.

    Raises
    ------
    TargetError
        The target is not one value of theirs; None is where there is only one.
    """
    described = ", ".join(f"{output.name} {output.shape}" for output in outputs)
    sizes = [output.size for output in outputs]
    if target is None:
        if sum(sizes) != 1:
            raise TargetError(f"there are several values, {described}; choose one: output:index")
        return 0
    chosen = select(target, outputs)
    if len(chosen) != 1 or chosen[0].reducer is not None or chosen[0].size != 1:
        raise TargetError(f"{target!r} is not one value of {described}; give an index for each axis")
    output = outputs[chosen[0].position]
    index = (*(chosen[0].index or ()), *[0] * len(chosen[0].shape))
    within = int(np.ravel_multi_index(index, output.shape)) if index else 0
    return sum(sizes[: chosen[0].position]) + within


def check_reduced(reduced: Any, value: Any) -> None:
    """Check what a caller's reducer made of one output's values (rows, *output).

    Raises
    ------
    TargetError
        It is no tensor (rows,), or one of booleans.
    """
    shape, wanted = getattr(reduced, "shape", None), (value.shape[0],)
    if shape is None or tuple(shape) != wanted:
        raise TargetError(
            f"a reducer must give one scalar a sequence: a tensor {wanted} of values {tuple(value.shape)}, but gave "
            f"{type(reduced).__name__ if shape is None else tuple(shape)}"
        )
    if "bool" in str(getattr(reduced, "dtype", "")):
        raise TargetError("a reducer must give numbers, but gave booleans, which have no differences; multiply by 1.0")


def _whole(outputs: Sequence[OutputSpec], position: int) -> Selection:
    return Selection(outputs[position].name, position, outputs[position].shape)


def _part(outputs: Sequence[OutputSpec], position: int, part: Any) -> Selection:
    output = outputs[position]
    if callable(part) or part in REDUCERS:
        return Selection(output.name, position, (), reducer=part)
    index = part if isinstance(part, tuple) else (part,)
    if not all(isinstance(i, int | np.integer) for i in index):
        raise TargetError(f"target {part!r} is neither an index nor a reducer ({', '.join(REDUCERS)}, or a function)")
    if len(index) > len(output.shape) or any(not -n <= i < n for i, n in zip(index, output.shape, strict=False)):
        raise TargetError(f"index {part!r} is out of range for output {output.name!r} of shape {output.shape}")
    index = tuple(int(i) % n for i, n in zip(index, output.shape, strict=False))
    return Selection(output.name, position, output.shape[len(index) :], index=index)


def _described(outputs: Sequence[OutputSpec]) -> str:
    return ", ".join(f"{output.name!r} {output.shape}" for output in outputs)


def _first_index(output: OutputSpec) -> str:
    """Return the index of an output's first value, as the command line takes it."""
    return ",".join("0" for _ in output.shape) or "sum"
