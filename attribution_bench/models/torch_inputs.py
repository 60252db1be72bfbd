"""Inputs of a torch.nn.Module: their names, and which of them the sequence is."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from attribution_bench.errors import ModelError
from attribution_bench.models.exported import ExportedModel
from attribution_bench.models.sequence_model import FURTHER_INPUTS

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def input_names(module: torch.nn.Module) -> tuple[str, ...]:
    """Return the names of a module's inputs in the order of its call; those behind ``*inputs`` have none."""
    if isinstance(module, ExportedModel):
        return module.input_names
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):  # TorchScript has a schema instead
        schema = getattr(module.forward, "schema", None)
        return tuple(argument.name for argument in schema.arguments if argument.name != "self") if schema else ()
    return tuple(parameter.name for parameter in parameters if parameter.kind in POSITIONAL)


def place_of_input(module: torch.nn.Module, sequence_input: str | int) -> int:
    """Return the place of an input, given by its name or its place.

    Raises
    ------
    ModelError
        The module has no such input.
    """
    names = input_names(module)
    known = f"its inputs are {', '.join(map(repr, names))}" if names else "it names none, so give a place from 0"
    if isinstance(sequence_input, str):
        if sequence_input not in names:
            raise ModelError(f"the model has no input {sequence_input!r}; {known}")
        return names.index(sequence_input)
    if isinstance(sequence_input, bool) or sequence_input < 0 or (names and sequence_input >= _most(module, names)):
        raise ModelError(f"sequence_input={sequence_input!r} is no input of the model; {known}")
    return sequence_input


def in_order(x: Any, extras: Sequence[Any], place: int) -> tuple[Any, ...]:
    """Return the sequence and the further inputs in the order of the call.

    Raises
    ------
    ModelError
        The sequence's place lies behind more inputs than there are.
    """
    if place > len(extras):
        raise ModelError(
            f"the sequence is input {place} of the model (from 0), but only {len(extras)} others were given; "
            f"{FURTHER_INPUTS}"
        )
    return (*extras[:place], x, *extras[place:])


def refuse_look_alikes(module: torch.nn.Module, x: Tensor, extras: Sequence[Tensor]) -> None:
    """Raise ModelError where a further input has the shape of the sequence, so that either could be it."""
    if not any(extra.ndim == 3 and extra.shape[1:] == x.shape[1:] for extra in extras):
        return
    names = input_names(module)
    given = [
        f"{names[place] if place < len(names) else place!r} {('batch', *tensor.shape[1:])}"
        for place, tensor in enumerate((x, *extras))
    ]
    raise ModelError(
        f"several inputs of the model could be the sequence: {', '.join(given)}; say which with "
        "sequence_input=, a name or a place from 0, in as_sequence_model (--sequence-input on the command line)"
    )


def _most(module: torch.nn.Module, names: Sequence[str]) -> float:
    try:
        kinds = {parameter.kind for parameter in inspect.signature(module.forward).parameters.values()}
    except (TypeError, ValueError):
        return len(names)
    takes_any = inspect.Parameter.VAR_POSITIONAL in kinds and not isinstance(module, ExportedModel)
    return float("inf") if takes_any else len(names)
