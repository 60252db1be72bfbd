"""What a check is given: a method, a framework, and small models of that framework to run the method on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Attribution, AttributionResult
from attribution_bench.models import SequenceModel, as_sequence_model
from attribution_bench.sequences import DNA

Kind = Literal["one_output", "several_outputs", "extra_input"]

STRINGS = ("ACGTTGCATTACGATCAGGCTAAC", "TTGACCATNGGATACAGATNNTCG", "GGCATTAGCCATGCAATCGTACCA")
"""Three sequences of 24 letters; the second has unknown letters, single and in a row."""

FEW = slice(6, 11)
"""Positions for calls of batch size 1, which take long; one of them is unknown in the second sequence."""

TOLERANCE = 1e-4
"""Largest difference of float32 results that counts as none, relative to the largest absolute value."""


class Models(Protocol):
    """What the module of each framework offers: small models with seeded weights, and how to compare their state."""

    def build(self, kind: Kind) -> Any:
        """Return a model: convolution, batch norm, ReLU, dropout, max pool, convolution, ReLU, dense.

        ``one_output`` gives (N, 1); ``several_outputs`` gives ``profile`` (N, 3) and ``count`` (N, 1);
        ``extra_input`` takes (N, 2) besides the sequences, and gives (N, 1). It is in training mode, one weight is
        frozen and, where the framework keeps gradients, one holds a gradient.
        """

    def build_fused(self, calls: int) -> Any:
        """Return the ``one_output`` model with an identity layer inside that raises after `calls` calls."""

    def snapshot(self, model: Any) -> dict[str, Any]:
        """Return everything that a method must leave as it was: name of the part -> comparable value."""


@dataclass(frozen=True)
class Subject:
    """A method under test on the models of one framework."""

    method: type[Attribution]
    framework: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def models(self) -> Models:
        """The framework's models, imported now."""
        return cast(Models, import_module(f"attribution_bench.testing.{self.framework}_models"))

    def model(self, kind: Kind = "one_output") -> SequenceModel:
        """Return a newly built model, its outputs named ``profile`` and ``count`` where there are several."""
        names = ("profile", "count") if kind == "several_outputs" else None
        return as_sequence_model(self.models.build(kind), output_names=names)

    def bind(self, model: Any) -> Attribution:
        """Return the method on a model, with the options under test."""
        return self.method(model, **self.options)

    @cached_property
    def result(self) -> AttributionResult:
        """Scores of the ``one_output`` model, computed once for all checks."""
        return self.attribute()

    @cached_property
    def result_of_several(self) -> AttributionResult:
        """Scores of every output of the ``several_outputs`` model, computed once for all checks."""
        return self.attribute("several_outputs", target="all")

    def attribute(self, kind: Kind = "one_output", **arguments: Any) -> AttributionResult:
        """Run the method on a newly built model, on the standard sequences unless ``inputs`` says otherwise."""
        return self.bind(self.model(kind)).attribute(arguments.pop("inputs", sequences()), **arguments)


def sequences() -> NDArray[np.float32]:
    """Return the standard sequences as (3, 4, 24)."""
    return DNA.one_hot(STRINGS)


def extra_rows() -> NDArray[np.float32]:
    """Return the further input of the ``extra_input`` model for the standard sequences, (3, 2)."""
    return np.array([[0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]], dtype=np.float32)


def installed_frameworks() -> tuple[str, ...]:
    """Return the frameworks that can be imported here; imports none of them."""
    packages = {"torch": ("torch",), "keras": ("keras", "tensorflow")}
    return tuple(name for name, needed in packages.items() if all(find_spec(package) for package in needed))


def seeded_weight(generator: np.random.Generator, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return values for a weight, of a size that keeps activations near 1; variances are positive."""
    if "var" in name:
        return generator.uniform(0.5, 1.5, shape).astype(np.float32)
    return (generator.standard_normal(shape) * (0.4 if len(shape) > 1 else 0.2)).astype(np.float32)
