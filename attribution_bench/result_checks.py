"""What the arrays and the metadata of results have to be, in files and before they leave: of one shape, and finite."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.array_layout import INTEGERS, NUMBERS, TEXT, Layout, Part, check_finite, check_layout, under
from attribution_bench.conventions import Convention
from attribution_bench.typed_json import LARGEST_INTEGER, Check, Label, Name, Positive, read_known

SCORED = ("sequences", "letters", "positions")
ATTRIBUTIONS: Layout = {
    "one_hot": Part(NUMBERS, SCORED, needed=True),
    "positions": Part(INTEGERS, ("positions",), needed=True),
    "scores": Part(NUMBERS, SCORED, open=True),
    "predictions/": Part(NUMBERS, SCORED, open=True),
    "reference_predictions/": Part(NUMBERS, ("sequences",), open=True),
    "convergence_delta": Part(NUMBERS, ("sequences",), open=True),
    "names": Part(TEXT, ("sequences",)),
    "intervals/chromosome": Part(TEXT, ("sequences",)),
    "intervals/start": Part(INTEGERS, ("sequences",)),
    "intervals/end": Part(INTEGERS, ("sequences",)),
    "intervals/strand": Part(TEXT, ("sequences",)),
}
"""Arrays of an `AttributionResult`."""
MUTATIONS: Layout = {
    **{
        f"mutations/{name}": Part(INTEGERS, ("mutations",), needed=True) for name in ("sequence", "position", "deleted")
    },
    "mutations/letters": Part(TEXT, ("mutations",), needed=True),
    "mutations/width": Part(INTEGERS, ("mutations",), needed=True),
    "mutations/columns": Part(NUMBERS, ("letters", "columns"), needed=True),
    "predictions/": Part(NUMBERS, ("mutations",), open=True),
    "reference_predictions/": Part(NUMBERS, ("sequences",), open=True),
}
"""Arrays of a `MutationResult`."""


@dataclass(frozen=True)
class OutputFacts:
    """One output of a result, as its metadata state it."""

    name: str
    shape: tuple[int, ...]


Letters = Annotated[
    str, Check(lambda text: text.isprintable() and 0 < len(text) == len(set(text)), "distinct printable letters")
]


@dataclass(frozen=True)
class AttributionFacts:
    """Entries of the metadata that an `AttributionResult` is read with."""

    method: Name
    alphabet: Letters
    outputs: tuple[OutputFacts, ...]
    method_label: Label | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    convention: Convention | None = None
    length: Positive | None = None


@dataclass(frozen=True)
class MutationFacts:
    """Entries of the metadata that a `MutationResult` is read with."""

    method: Name
    outputs: tuple[OutputFacts, ...]
    alphabet: Letters | None = None
    length: Positive | None = None


def check_attributions(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> AttributionFacts:
    """Check all that an `AttributionResult` consists of, by the names of arrays in files; returns its known facts.

    Raises
    ------
    ValueError
        Something is missing, of another type, of a shape that does not fit the rest, or not finite.
    """
    lengths = check_layout(ATTRIBUTIONS, arrays)
    facts = read_known(AttributionFacts, metadata)
    if not lengths["positions"]:
        raise ValueError("it scores no position")
    if lengths["letters"] != len(facts.alphabet):
        raise ValueError(f"its arrays have {lengths['letters']} letters, but its alphabet is {facts.alphabet}")
    outputs = _check_predictions(arrays, facts.outputs, 3)
    if not outputs and "scores" not in arrays:
        raise ValueError("it holds neither scores nor predictions")
    if outputs and "scores" not in arrays and facts.convention is None:
        raise ValueError("its metadata do not say by which convention predictions become scores")
    if "scores" in arrays:
        axes, size = arrays["scores"].shape[3:], sum(math.prod(output.shape) for output in facts.outputs)
        if math.prod(axes) != size:
            raise ValueError(f"its scores have the axes {axes} for outputs, but its metadata name {size} values")
    _check_range("positions", arrays["positions"], 0, (facts.length or LARGEST_INTEGER) - 1)
    check_finite(arrays)
    one_hot = arrays["one_hot"]
    if not (np.isin(one_hot, (0, 1)).all() and (one_hot.sum(axis=1) <= 1).all()):
        raise ValueError("its array 'one_hot' must hold 0 and 1, at most one 1 a column")
    return facts


def check_mutation_predictions(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> MutationFacts:
    """Check all that a `MutationResult` consists of, by the names of arrays in files; returns its known facts.

    Raises
    ------
    ValueError
        As `check_attributions`.
    """
    lengths = check_layout(MUTATIONS, arrays)
    facts = read_known(MutationFacts, metadata)
    if not _check_predictions(arrays, facts.outputs, 1):
        raise ValueError("it holds no predictions")
    columns, widths = arrays["mutations/columns"], arrays["mutations/width"]
    if columns.size and facts.alphabet is not None and len(columns) != len(facts.alphabet):
        raise ValueError(f"its mutations put {len(columns)} letters, but its alphabet is {facts.alphabet}")
    furthest = (facts.length or LARGEST_INTEGER) - 1
    _check_range("mutations/sequence", arrays["mutations/sequence"], 0, lengths["sequences"] - 1)
    _check_range("mutations/position", arrays["mutations/position"], 0, furthest)
    _check_range("mutations/deleted", arrays["mutations/deleted"], -1, furthest + 1)
    _check_range("mutations/width", widths, -1, columns.shape[1])
    if (arrays["mutations/letters"][widths >= 0] != "").any():
        raise ValueError("its mutations put both letters and columns")
    check_finite(arrays)
    return facts


def checked_text(values: Sequence[Any]) -> tuple[str, ...]:
    """Return text as strings; raises ValueError where one holds what UTF-8 does not have, or is no text or integer."""
    for value in values:
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise ValueError(f"a name must be text, not a {type(value).__name__}")
        str(value).encode()
    return tuple(str(value) for value in values)


def _check_predictions(
    arrays: Mapping[str, NDArray[Any]], outputs: Sequence[OutputFacts], first: int
) -> Sequence[OutputFacts]:
    """Return the outputs of which there are predictions, once their axes from the first one on are those stated."""
    predicted, references = under("predictions/", arrays), under("reference_predictions/", arrays)
    named = {output.name for output in outputs}
    if len(named) < len(outputs):
        raise ValueError("its metadata name an output twice")
    if predicted != references or (predicted and predicted != named):
        raise ValueError(
            f"it holds predictions of {sorted(predicted)}, reference predictions of {sorted(references)}, and its "
            f"metadata name {sorted(named)}"
        )
    for output in outputs if predicted else ():
        for name, axes in (("predictions", first), ("reference_predictions", 1)):
            found = arrays[f"{name}/{output.name}"].shape[axes:]
            if found != output.shape:
                raise ValueError(
                    f"its {name} of {output.name!r} have the axes {found}, but its metadata {output.shape}"
                )
    return outputs if predicted else ()


def _check_range(name: str, values: NDArray[Any], least: int, most: int) -> None:
    if values.size and not (least <= int(values.min()) and int(values.max()) <= most):
        raise ValueError(f"its {name} must lie in [{least}, {most}], but span {values.min()} to {values.max()}")
