"""The interface of every attribution method, and what a method declares of itself."""

import abc
import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from attribution_bench._version import __version__
from attribution_bench.conventions import DEFAULT_CONVENTION
from attribution_bench.described import described, digest_of_described
from attribution_bench.errors import InvalidInputError, OptionError, UnsupportedError
from attribution_bench.foreign_warnings import foreign_warnings_shown
from attribution_bench.models import OutputSpec, SequenceModel, Target, as_sequence_model
from attribution_bench.models.targets import select
from attribution_bench.request import (
    Inputs,
    Positions,
    Progress,
    RawAttribution,
    Request,
    checked_further_inputs,
    checked_intervals,
    checked_names,
    checked_one_hot,
    checked_positions,
    further_inputs,
    progress_callback,
)
from attribution_bench.result import AttributionResult
from attribution_bench.sequences import Interval

__all__ = ["Attribution", "AttributionResult", "Progress", "RawAttribution", "Request", "Tags", "further_inputs"]

DIGITS = 16
"""Digits of a digest in the metadata, by which people and `AttributionResult.concatenate` tell two arrays apart."""
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Tags:
    """What a method needs and gives. The runner and the conformance checks read these, never a method's name."""

    frameworks: frozenset[str]
    """Frameworks whose models it takes: ``torch``, ``keras``."""
    needs_gradient: bool = False
    needs_references: bool = False
    """It compares with other sequences, so the result carries a convergence delta."""
    gives_predictions: bool = False
    """It asks the model for every mutation; the result carries predictions, and one run serves every output."""
    exact: bool = False
    """Its predictions equal the model's own within float error."""
    full_passes: bool = False
    """It predicts every mutation by a full forward pass and takes no shortcut: the baseline of speed ratios, and what
    ``compare`` measures agreement with by default."""
    partial_passes: bool = False
    """It predicts every mutation by computing only the part of the network that the mutation affects: the method whose
    seconds the ratios of Table 1 are relative to."""
    explains: bool = False
    """It has ``explain``, as `attribution_bench.explanation.Explains` states it; the command ``explain`` shows it."""
    profiles: bool = False
    """It has ``profile``, as `attribution_bench.benchmark.engine_profile.Profiles` states it; the engine suite keeps
    what it returns."""


class Attribution(abc.ABC):
    """An attribution method bound to a model.

    A subclass sets ``name`` and ``tags``, takes its options by name in ``__init__`` (validating them, then calling
    ``super().__init__(model, option=value, ...)`` so that results record them), and implements `_attribute`.
    It leaves the model as it found it, gives the same scores whatever the batch size, and is deterministic.
    """

    name: ClassVar[str]
    tags: ClassVar[Tags]
    label: ClassVar[str] = ""
    """Name that people read, in tables and figures; where a class that has a name of its own gives none, that name
    with spaces for underscores."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" in vars(cls) and "label" not in vars(cls):
            cls.label = cls.name.replace("_", " ")

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Refuse options that the method does not take, before any of them is used."""
        if arguments or options:  # a copy is made without either
            _check_options(cls, arguments, options)
        return super().__new__(cls)

    def __init__(self, model: Any, **options: Any) -> None:
        self.model: SequenceModel = as_sequence_model(model)
        self.options = options
        if self.model.framework not in self.tags.frameworks:
            raise UnsupportedError(
                f"{self.name} does not run on {self.model.framework} models yet; "
                f"it takes models of {', '.join(sorted(self.tags.frameworks))}"
            )

    @abc.abstractmethod
    def _attribute(self, request: Request) -> RawAttribution:
        """Compute what was asked for; the model is in inference mode, and restored by the caller afterwards."""

    def attribute(
        self,
        inputs: Inputs,
        *,
        target: Target = None,
        additional_forward_args: Any = None,
        positions: Positions | None = None,
        batch_size: int | None = None,
        progress: bool | Progress = False,
        names: Sequence[str] | None = None,
        intervals: Sequence[Interval] | None = None,
    ) -> AttributionResult:
        """Score sequences.

        Parameters
        ----------
        inputs
            (N, A, L) one-hot array or tensor, sequences of one length as strings, or `Sequences` as
            `attribution_bench.sequences.read_fasta` returns them, whose names and intervals the result keeps.
        target
            None (the only value of a single-output model), ``"all"``, an index, an output's name, ``(name, index)``,
            or a reducer (``"sum"``, ``"mean"``, ``"logsumexp"``, a function of a (batch, ...) tensor, or
            ``(name, reducer)``), which runs on the device before anything is copied back. A function takes each
            sequence by itself; at first use that is checked on two of them.
        additional_forward_args
            The model's further inputs: an array, or a tuple of arrays, each with N rows.
        positions
            Positions to score: a slice or 0-based indices. All by default; result arrays hold only these, in the order
            given and as often as given.
        batch_size
            Sequences in one call of the model; a default that fits the method when None.
        progress
            True for a progress bar, or a function called with (done, asked for).
        names, intervals
            A name, and where in a genome it comes from, for each sequence; kept in the result, files and figures.

        Raises
        ------
        InvalidInputError
            Input, target, positions, batch size, names or intervals that cannot be used (TargetError, SequenceError,
            ModelError). InconsistentModelError of a model whose prediction of a sequence depends on chance, on earlier
            calls or on the rest of the batch.
        """
        one_hot = self._sequences(inputs)
        names = checked_names(inputs, names, len(one_hot))
        intervals = checked_intervals(inputs, intervals, one_hot.shape)
        asked = checked_positions(positions, one_hot.shape[2])
        computed = np.unique(asked)
        with self._requested(one_hot, target, additional_forward_args, computed, batch_size, progress) as request:
            raw = self._attribute(request)
        if not np.array_equal(computed, asked):
            raw = _taken(raw, np.searchsorted(computed, asked))
        metadata = {**self._metadata(request, target), **raw.metadata}
        if raw.predictions:
            metadata.setdefault("convention", DEFAULT_CONVENTION)
        return AttributionResult(
            one_hot[:, :, asked],
            asked,
            metadata,
            raw.predictions,
            raw.reference_predictions,
            raw.convergence_delta,
            raw.scores,
            names,
            intervals,
        )

    def machine_options(self) -> dict[str, Any]:
        """Return the options that were left to the state of the machine, such as a memory budget, as they stand now.

        They may decide how numbers round. A job stores them and gives them again when it is resumed.
        """
        return {}

    def _sequences(self, inputs: Inputs) -> NDArray[np.floating]:
        """Return inputs as (N, A, L)."""
        return checked_one_hot(inputs, self.model)

    @contextlib.contextmanager
    def _requested(
        self,
        one_hot: NDArray[np.floating],
        target: Target,
        additional_forward_args: Any,
        positions: NDArray[np.int64] | None,
        batch_size: int | None,
        progress: bool | Progress,
    ) -> Iterator[Request]:
        """Check a call's arguments, and hold the model in inference mode while it is answered.

        Positions are checked already, ascending and each once; None stands for all.
        """
        model = self.model
        extras = checked_further_inputs(additional_forward_args, len(one_hot))
        if batch_size is not None and batch_size < 1:
            raise InvalidInputError(f"batch_size must be at least 1, not {batch_size}")
        chosen = np.arange(one_hot.shape[2]) if positions is None else positions
        with foreign_warnings_shown(), model.inference(), progress_callback(progress, self.name) as report:
            outputs = self._outputs(one_hot, extras)
            selections = select(target, outputs)
            model.check_functions(selections, one_hot, extras)
            yield Request(
                one_hot.astype(model.numpy_dtype, copy=False), selections, outputs, extras, chosen, batch_size, report
            )

    def _outputs(self, one_hot: NDArray[np.floating], extras: tuple[NDArray[Any], ...]) -> tuple[OutputSpec, ...]:
        """Return the model's outputs for sequences (N, A, L), of a model that predicts each of them by itself.

        A method that knows the model already need not ask it.
        """
        return self.model.checked_outputs(one_hot, extras)

    def _metadata(self, request: Request, target: Target) -> dict[str, Any]:
        """Return what every result says of its making."""
        model = self.model
        return {
            "method": self.name,
            "method_label": self.label,
            "options": {key: _plain(value) for key, value in self.options.items()},
            "target": _plain(target),
            "outputs": [{"name": s.name, "shape": list(s.shape)} for s in request.selections],
            "alphabet": model.alphabet.letters,
            "framework": model.framework,
            "device": model.device,
            "dtype": str(model.numpy_dtype),
            "length": int(request.one_hot.shape[2]),
            "versions": {"attribution-bench": __version__, **model.versions()},
            **model.precision_state(),
        }


def _check_options(method: type[Attribution], arguments: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    """Raise OptionError, which lists the method's options, for arguments that it cannot be called with."""
    signature = inspect.signature(method.__init__)
    renamed = getattr(method.__init__, "renamed", {})
    try:
        signature.bind(None, *arguments, **{name: value for name, value in options.items() if name not in renamed})
    except TypeError as error:
        _, _, *taken = (name for name, parameter in signature.parameters.items() if parameter.kind not in VARIADIC)
        close = [match for option in options if option not in taken for match in get_close_matches(option, taken, n=1)]
        hint = f"; did you mean {close[0]}?" if close else ""
        name = getattr(method, "name", method.__name__)
        raise OptionError(f"{name}: {error}{hint}; it takes a model and {', '.join(taken) or 'no options'}") from error


def _taken(raw: RawAttribution, places: NDArray[np.int64]) -> RawAttribution:
    """Return what a method computed at some of its positions: places (P,) among them, in any order."""
    return replace(
        raw,
        scores=None if raw.scores is None else raw.scores[:, :, places],
        predictions={name: values[:, :, places] for name, values in raw.predictions.items()},
    )


def _plain(value: Any) -> Any:
    """Return a JSON-able form of an option or target, for the metadata: of arrays and code words with a digest."""
    if value is None or (isinstance(value, bool | int | float | str) and not callable(value)):
        return value
    if isinstance(value, Mapping) and not callable(value):
        return {key if isinstance(key, str) else str(_plain(key)): _plain(v) for key, v in value.items()}
    if isinstance(value, Sequence) and not callable(value):
        return [_plain(v) for v in value]
    found = described(value)
    if isinstance(found, bool | int | float | str):
        return found
    is_array = isinstance(value, np.ndarray)
    words = f"{value.dtype} array of shape {value.shape}" if is_array else _name(value)
    return f"{words}, sha256 {digest_of_described(found)[:DIGITS]}"


def _name(value: Any) -> str:
    return str(getattr(value, "__qualname__", type(value).__qualname__))
