"""SequenceModel: one view of a PyTorch or Keras model, in the canonical layout (N, A, L)."""

import abc
import contextlib
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from attribution_bench.deprecation import moved_names
from attribution_bench.errors import InvalidInputError, ModelError
from attribution_bench.models.consistency import Trace, checked_outputs, examples
from attribution_bench.models.disturbance import Disturbance
from attribution_bench.models.prediction import predict
from attribution_bench.models.row_functions import check_function
from attribution_bench.models.settings import of_code
from attribution_bench.models.targets import OutputSpec, Selection
from attribution_bench.sequences.alphabet import ALPHABETS, DNA, Alphabet

TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What Keras writes into its messages for a terminal."""
FURTHER_INPUTS = (
    "give additional_forward_args one array for each of the others, in this order (on the command line --inputs of "
    "`attribute` and `variants`, --extra-shape of `explain`; `benchmark` and `compare` have no such option)"
)
"""How the inputs of a model beside the sequence are given, for messages."""
MOST_FUNCTIONS = 64
"""Functions of outputs that are remembered, which keeps alive what they read."""
Layout: TypeAlias = Literal["NAL", "NLA"]
Tensor: TypeAlias = Any
"""A tensor of the model's framework."""
OnInconsistency: TypeAlias = Literal["raise", "warn"]


class SequenceModel(abc.ABC):
    """A model as every method sees it: tensors (N, A, L) in, a dict of named outputs (N, ...) out.

    Parameters
    ----------
    model
        The user's model, used as it is and left as it was.
    layout
        The order in which the model takes a batch: ``NAL`` (PyTorch default) or ``NLA`` (Keras default).
    alphabet
        An Alphabet, or ``DNA``, ``RNA``, ``protein``.
    device
        Where to run: ``cpu``, ``cuda``, ``cuda:1``. By default where the model is.
    output_names
        Names for the outputs, in order. By default a dict's keys, Keras' output names, or ``output``
        (``output_0``, ``output_1`` ... of several).
    sequence_input
        Which of the model's inputs the sequence is, by its name or its place from 0, where several could be. The
        further inputs follow each other in the model's order. By default the first input of a PyTorch model, and the
        only input of a Keras model that has as many letters.
    on_inconsistency
        What a method does with a model whose prediction of a sequence depends on chance, on earlier calls or on the
        rest of the batch: ``raise`` an InconsistentModelError, or ``warn`` and go on.
    """

    framework: ClassVar[Literal["torch", "keras"]]
    default_layout: ClassVar[Layout]

    def __init__(
        self,
        model: Any,
        *,
        layout: Layout | None = None,
        alphabet: Alphabet | str = DNA,
        device: str | None = None,
        output_names: tuple[str, ...] | None = None,
        sequence_input: str | int | None = None,
        on_inconsistency: OnInconsistency = "raise",
    ) -> None:
        if layout not in (None, "NAL", "NLA"):
            raise InvalidInputError(f"layout must be 'NAL' or 'NLA', not {layout!r}")
        if isinstance(alphabet, str):
            if alphabet not in ALPHABETS:
                raise InvalidInputError(f"unknown alphabet {alphabet!r}; choose one of {', '.join(ALPHABETS)}")
            alphabet = ALPHABETS[alphabet]
        self.model = model
        self.layout: Layout = layout or self.default_layout
        self.alphabet = alphabet
        self.output_names = output_names
        if on_inconsistency not in ("raise", "warn"):
            raise InvalidInputError(f"on_inconsistency must be 'raise' or 'warn', not {on_inconsistency!r}")
        self.on_inconsistency = on_inconsistency
        self.sequence_input = sequence_input
        self.device = self._resolve_device(device)
        self._sequence_place = None if sequence_input is None else self._place_of_input(sequence_input)
        self._consistent: Hashable = None
        self._functions: dict[Hashable, None] = {}
        """Functions of outputs that are known to take each sequence by itself, the one checked last at the end."""

    @property
    @abc.abstractmethod
    def numpy_dtype(self) -> np.dtype[Any]:
        """Precision of the model's parameters, as NumPy names it (float32 for half precisions)."""

    @abc.abstractmethod
    def inference(self) -> contextlib.AbstractContextManager[None]:
        """Put the model in inference mode on its device; restore mode, place and gradients after, errors included."""

    @abc.abstractmethod
    def to_tensor(self, array: NDArray[Any]) -> Tensor:
        """Return an array as a tensor on the model's device; floating arrays in the model's precision."""

    @abc.abstractmethod
    def to_numpy(self, tensor: Tensor) -> NDArray[Any]:
        """Return a tensor as an array on the host."""

    @abc.abstractmethod
    def forward(self, x: Tensor, extras: tuple[Tensor, ...] = ()) -> dict[str, Tensor]:
        """Run the model on (N, A, L) in the canonical layout; differentiable. Call it within `inference`."""

    def forward_only(self, x: Tensor, extras: tuple[Tensor, ...] = ()) -> dict[str, Tensor]:
        """Run the model as `forward` does, within `no_gradient`; a framework may have a faster way then."""
        return self.forward(x, extras)

    @abc.abstractmethod
    def select(self, outputs: dict[str, Tensor], selection: Selection) -> Tensor:
        """Return the selected part of the outputs, (N, *selection.shape), on the device; differentiable."""

    def rows_of(self, value: Tensor, rows: Sequence[int]) -> Tensor:
        """Return some rows of an output (N, ...), in any order and as often as they are listed; not differentiable."""
        return self.to_tensor(self.to_numpy(value)[list(rows)])

    @abc.abstractmethod
    def no_gradient(self) -> contextlib.AbstractContextManager[Any]:
        """Context in which nothing is recorded for differentiation."""

    @abc.abstractmethod
    def versions(self) -> dict[str, str]:
        """Versions of the framework in use."""

    def in_double(self) -> "SequenceModel | None":
        """Return a copy that computes in double precision; None where the framework offers none."""
        return None

    @property
    @abc.abstractmethod
    def weight_count(self) -> int:
        """Number of values in the model's weights."""

    @property
    @abc.abstractmethod
    def precision(self) -> Literal["full", "low"]:
        """How precisely the model computes: ``low`` where layers or products are of half precision or TF32."""

    @property
    def stated_length(self) -> int | None:
        """Letters of the sequences that the model takes, where it states one number of them; None otherwise."""
        return None

    @abc.abstractmethod
    def state(self) -> Hashable:
        """Return a value that differs once modes or weights have changed, as far as that can be seen at no cost."""

    @abc.abstractmethod
    def undisturbed(self) -> contextlib.AbstractContextManager[Disturbance]:
        """Restore random states and the tensors that the model's own calls change, after the block."""

    @abc.abstractmethod
    def traced(self, x: NDArray[Any], extras: tuple[NDArray[Any], ...]) -> list[Trace]:
        """Run rows (n, A, L) and return what every layer takes and gives, in the order of the computation."""

    @abc.abstractmethod
    def suspects(self) -> tuple[str, ...]:
        """Return what is known to make layers of the model depend on the batch or on chance in inference."""

    @abc.abstractmethod
    def _place_of_input(self, sequence_input: str | int) -> int:
        """Return the place of an input by its name or place; raise ModelError naming the inputs there are."""

    @abc.abstractmethod
    def weights(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield every parameter and buffer on the host by its name, in the model's own order."""

    def structure(self) -> Iterator[tuple[type, Any]]:
        """Yield the class of each part of the model, in the model's own order, and what the part holds but weights."""
        yield type(self.model), None

    @abc.abstractmethod
    def precision_state(self) -> dict[str, Any]:
        """Return what of the framework's state decides the precision of products: ``{"tf32": bool}``."""

    @abc.abstractmethod
    def _resolve_device(self, device: str | None) -> str:
        """Return the device to use; raise DeviceError naming the devices there are."""

    def outputs(self, length: int, extras: tuple[NDArray[Any], ...] = ()) -> tuple[OutputSpec, ...]:
        """Return the outputs' names and shapes at a length, found by running two all-zero sequences.

        Raises
        ------
        ModelError
            The model does not take that length or those extra inputs.
        """
        x = np.zeros((2, len(self.alphabet), length), dtype=self.numpy_dtype)
        rows = tuple(np.repeat(extra[:1], 2, axis=0) for extra in extras)
        with self.inference():
            return self.specified(self.tried(x, rows), 2)

    def checked_outputs(self, one_hot: NDArray[Any], extras: tuple[NDArray[Any], ...] = ()) -> tuple[OutputSpec, ...]:
        """Return the outputs' names and shapes for sequences (N, A, L); call it within `inference`.

        At first use, and after a change of modes or weights, four rows are run in three batches instead of two zero
        ones in one, to see that each is predicted by itself.

        Raises
        ------
        InconsistentModelError
            The prediction of a sequence depends on chance, on earlier calls or on the rest of the batch.
        ModelError
            The model does not take that length or those extra inputs.
        """
        if self._consistent is not None and self._consistent == self.state():
            return self.outputs(one_hot.shape[2], extras)
        one_hot = one_hot.astype(self.numpy_dtype, copy=False)
        specs = checked_outputs(self, one_hot, extras, go_on=self.on_inconsistency == "warn")
        self._consistent = self.state()
        return specs

    def check_functions(
        self, selections: Sequence[Selection], one_hot: NDArray[Any], extras: tuple[NDArray[Any], ...] = ()
    ) -> None:
        """Check that functions among selections take each sequence by itself; call it within `inference`.

        Two rows are run at first use of a function; one of the same code that reads the same is not checked again.

        Raises
        ------
        TargetError
            A function's value of a sequence depends on the rest of the batch, on chance or on earlier calls.
        """
        for selection in selections:
            if not callable(selection.reducer):
                continue
            key = selection.name, one_hot.shape[2], of_code(selection.reducer)
            if key in self._functions:
                continue
            rows = examples(one_hot.astype(self.numpy_dtype, copy=False), extras)
            value = self.tried(rows.one_hot, rows.extras)[selection.name]
            with self.no_gradient():
                check_function(self, selection, value)
            self._functions[key] = None
            if len(self._functions) > MOST_FUNCTIONS:
                del self._functions[next(iter(self._functions))]

    def tried(self, x: NDArray[Any], extras: tuple[NDArray[Any], ...]) -> dict[str, Tensor]:
        """Run rows (n, A, L) within `inference`, without gradients; a failure of the model's becomes a ModelError."""
        with self.no_gradient():
            try:
                return self.forward(self.to_tensor(x), tuple(self.to_tensor(extra) for extra in extras))
            except ModelError:
                raise
            except Exception as error:  # a model may fail in any way; the failure is named and re-raised
                raise ModelError(
                    f"the model does not take sequences of length {x.shape[2]} "
                    f"(it was given {len(extras)} extra inputs, layout {self.layout}, {len(self.alphabet)} letters): "
                    f"{type(error).__name__}: {_said(error)}. Where the length is right, it may take another layout "
                    f"(--layout {'NLA' if self.layout == 'NAL' else 'NAL'}), other letters, further inputs, or tokens "
                    "(see docs/models.md)"
                ) from error

    def specified(self, outputs: Mapping[str, Tensor], rows: int) -> tuple[OutputSpec, ...]:
        """Return the names and shapes of outputs (rows, ...); raise ModelError where one lacks the axis of the rows."""
        for name, value in outputs.items():
            if len(value.shape) == 0 or value.shape[0] != rows:
                raise ModelError(
                    f"output {name!r} has shape {tuple(value.shape)} for {rows} sequences; it needs a batch axis"
                )
        return tuple(OutputSpec(name, tuple(int(n) for n in value.shape[1:])) for name, value in outputs.items())

    def predict(
        self, one_hot: NDArray[Any], extras: tuple[NDArray[Any], ...] = (), *, batch_size: int = 64
    ) -> dict[str, NDArray[Any]]:
        """Run the model on (N, A, L) in batches, in inference mode; returns output -> (N, *output).

        `attribution_bench.models.predict` is what it calls; that selects parts of outputs, and takes rows as they come.
        """
        with self.inference():
            return predict(self, one_hot, extras=extras, batch_size=batch_size)

    def _named(self, outputs: Any, names: tuple[str, ...] | None) -> dict[str, Tensor]:
        """Name a model's return value: a tensor, a tuple or list of tensors, or a dict of tensors."""
        names = self.output_names or names
        if isinstance(outputs, dict):
            values = list(outputs.values())
            names = names or tuple(str(key) for key in outputs)
        else:
            values = list(outputs) if isinstance(outputs, tuple | list) else [outputs]
        if not names:
            names = ("output",) if len(values) == 1 else tuple(f"output_{i}" for i in range(len(values)))
        if not values or not all(hasattr(value, "shape") for value in values):
            raise ModelError(
                "the model must return a tensor, a tuple of tensors or a dict of tensors, not "
                f"{type(outputs).__name__} of {[type(value).__name__ for value in values]}; "
                "wrap it in a model that does"
            )
        if len(names) != len(values) or len(set(names)) != len(names):
            raise ModelError(f"the model returns {len(values)} outputs, which {names} does not name one by one")
        return dict(zip(names, values, strict=True))


def _said(error: Exception) -> str:
    """Return the first line of an error that says what went wrong; Keras begins with a line that does not."""
    lines = [line.strip() for line in TERMINAL_COLOURS.sub("", str(error)).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Exception encountered when calling")]
    return next(iter([*telling, *lines]), "")


__getattr__ = moved_names(__name__, as_sequence_model="attribution_bench.models.adapt")
