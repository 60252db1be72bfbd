"""The interface of every attribution method, what it declares of itself, and what it returns."""

import abc
import contextlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attribution_bench._version import __version__
from attribution_bench.conventions import DEFAULT_CONVENTION, Convention, check_convention, ism_scores
from attribution_bench.errors import InvalidInputError, OutputError, UnsupportedError
from attribution_bench.files import write_whole
from attribution_bench.models import OutputSpec, SequenceModel, Target, as_sequence_model
from attribution_bench.models.targets import Selection, select

if TYPE_CHECKING:
    import xarray

Progress = Callable[[int, int], None]
"""Called with the units of work done and the units asked for; the unit is the method's own."""


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


@dataclass(frozen=True)
class Request:
    """One validated call of `Attribution.attribute`, as methods receive it."""

    one_hot: NDArray[np.floating]
    """(N, A, L), in the model's precision; an unknown letter is an all-zero column."""
    selections: tuple[Selection, ...]
    """What of the model's outputs is asked for; methods treat each in turn, or all at once."""
    outputs: tuple[OutputSpec, ...]
    """The model's outputs at this length."""
    extras: tuple[NDArray[Any], ...]
    """The model's further inputs, each with N rows."""
    positions: NDArray[np.int64]
    """(P,) positions asked for, ascending; every one by default."""
    batch_size: int | None
    progress: Progress

    @cached_property
    def letters(self) -> NDArray[np.int64]:
        """(N, L) index of the letter that is there; -1 where unknown."""
        return np.where(self.one_hot.any(axis=1), self.one_hot.argmax(axis=1), -1)


@dataclass(frozen=True)
class RawAttribution:
    """What a method computes; `Attribution.attribute` adds inputs and metadata.

    A method whose tag says ``gives_predictions`` fills predictions and reference_predictions, any other one scores.
    """

    scores: NDArray[np.floating] | None = None
    """(N, A, P, *selected), several selections flattened and concatenated on the last axis."""
    predictions: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    """Selection's name -> (N, A, P, *selected)."""
    reference_predictions: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    """Selection's name -> (N, *selected)."""
    convergence_delta: NDArray[np.floating] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class AttributionResult:
    """Scores of a method, with what is needed to read them without guessing.

    Shapes: N sequences, A letters, P positions (all L unless fewer were asked for), `*output` the axes of the target
    (none for a scalar). Positions are 0-based.
    """

    one_hot: NDArray[np.floating]
    """(N, A, P): the letters scored."""
    positions: NDArray[np.int64]
    """(P,) positions in the sequence."""
    metadata: Mapping[str, Any]
    """method, options, convention, target, seed, dtype, TF32 state, versions; JSON-able."""
    predictions: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    """ISM methods: output -> (N, A, P, *output), the prediction with letter a at position p. The letter that is there
    holds the reference prediction."""
    reference_predictions: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    """ISM methods: output -> (N, *output)."""
    convergence_delta: NDArray[np.floating] | None = None
    """Methods with a baseline: sum of attributions - (f(x) - f(baseline)).
    (N, *output), or (N, references, *output)."""
    stored_scores: NDArray[np.floating] | None = None
    """Scores of methods that compute them; those of ISM methods derive from the predictions."""

    @cached_property
    def scores(self) -> NDArray[np.floating]:
        """(N, A, P, *output): what each letter would contribute at each position (hypothetical scores).

        For ISM methods they follow ``metadata["convention"]``. Several outputs are flattened and concatenated on the
        last axis in the order of ``metadata["outputs"]``.
        """
        if self.stored_scores is not None:
            return self.stored_scores
        predictions, reference = list(self.predictions.values()), list(self.reference_predictions.values())
        if len(predictions) > 1:
            predictions = [np.concatenate([p.reshape(*p.shape[:3], -1) for p in predictions], axis=-1)]
            reference = [np.concatenate([r.reshape(len(r), -1) for r in reference], axis=-1)]
        return ism_scores(predictions[0], reference[0], self.one_hot, check_convention(self.metadata["convention"]))

    @cached_property
    def observed(self) -> NDArray[np.floating]:
        """(N, P, *output): the score of the letter that is there; 0 where it is unknown."""
        observed: NDArray[np.floating] = np.einsum("nap...,nap->np...", self.scores, self.one_hot)
        return observed

    def with_convention(self, convention: Convention) -> "AttributionResult":
        """Return the same predictions read under another ISM score convention; nothing is lost in between.

        Raises
        ------
        UnsupportedError
            The method gives no predictions, so there is nothing to convert from.
        """
        check_convention(convention)
        if not self.predictions:
            raise UnsupportedError(
                f"score conventions apply to predictions of mutations, which {self.metadata['method']!r} does not give"
            )
        return replace(self, metadata={**self.metadata, "convention": convention})

    def to_xarray(self) -> "xarray.Dataset":
        """Return scores, observed scores and predictions as a labelled dataset; the metadata become attributes."""
        import xarray

        letters = list(self.metadata["alphabet"])
        data: dict[str, Any] = {"one_hot": (("sequence", "letter", "position"), self.one_hot)}
        # The axes of several outputs are one in the scores, so that it needs a name that none of them has.
        selected = "+".join(output["name"] for output in self.metadata["outputs"])
        data["scores"] = _variable(("sequence", "letter", "position"), self.scores, selected)
        data["observed"] = _variable(("sequence", "position"), self.observed, selected)
        for name, values in self.predictions.items():
            data[f"predictions_{name}"] = _variable(("sequence", "letter", "position"), values, name)
        for name, values in self.reference_predictions.items():
            data[f"reference_predictions_{name}"] = _variable(("sequence",), values, name)
        if self.convergence_delta is not None:
            data["convergence_delta"] = _variable(("sequence",), self.convergence_delta, "convergence")
        coordinates = {"letter": letters, "position": self.positions}
        return xarray.Dataset(data, coordinates, {"metadata": json.dumps(dict(self.metadata), sort_keys=True)})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one ``.npz`` file, whole or not at all; returns its path (the suffix is added when missing).

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        path = _with_suffix(path)
        arrays: dict[str, Any] = {"one_hot": self.one_hot, "positions": self.positions}
        if self.stored_scores is not None:
            arrays["scores"] = self.stored_scores
        if self.convergence_delta is not None:
            arrays["convergence_delta"] = self.convergence_delta
        arrays |= {f"predictions/{name}": values for name, values in self.predictions.items()}
        arrays |= {f"reference_predictions/{name}": values for name, values in self.reference_predictions.items()}
        arrays["metadata"] = np.array(json.dumps(dict(self.metadata), sort_keys=True))
        archive = io.BytesIO()
        np.savez_compressed(archive, **arrays)
        return write_whole(path, archive.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "AttributionResult":
        """Read what `save` wrote; nothing in the file is executed.

        Raises
        ------
        OutputError
            There is no such file, it is damaged, or it is something else.
        """
        path = _with_suffix(path)
        try:
            # zipfile takes nothing but an archive, where np.load would also read a bare array.
            with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            metadata = json.loads(str(arrays["metadata"]))
            one_hot, positions = arrays["one_hot"], arrays["positions"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise OutputError(f"{path} is no attribution result that can be read: {error}") from error
        return cls(
            one_hot,
            positions,
            metadata,
            _under("predictions/", arrays),
            _under("reference_predictions/", arrays),
            arrays.get("convergence_delta"),
            arrays.get("scores"),
        )


class Attribution(abc.ABC):
    """An attribution method bound to a model.

    A subclass sets ``name`` and ``tags``, takes its options by name in ``__init__`` (validating them, then calling
    ``super().__init__(model, option=value, ...)`` so that results record them), and implements `_attribute`.
    It leaves the model as it found it, gives the same scores whatever the batch size, and is deterministic.
    """

    name: ClassVar[str]
    tags: ClassVar[Tags]

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
        inputs: ArrayLike | Sequence[str],
        *,
        target: Target = None,
        additional_forward_args: Any = None,
        positions: slice | Sequence[int] | NDArray[np.integer] | None = None,
        batch_size: int | None = None,
        progress: bool | Progress = False,
    ) -> AttributionResult:
        """Score sequences.

        Parameters
        ----------
        inputs
            (N, A, L) one-hot array or tensor, or sequences of one length as strings.
        target
            None (the only value of a single-output model), ``"all"``, an index, an output's name, ``(name, index)``,
            or a reducer (``"sum"``, ``"mean"``, ``"logsumexp"``, a function of a (batch, ...) tensor, or
            ``(name, reducer)``), which runs on the device before anything is copied back.
        additional_forward_args
            The model's further inputs: an array, or a tuple of arrays, each with N rows.
        positions
            Positions to score: a slice or 0-based indices. All by default; result arrays hold only these.
        batch_size
            Sequences in one call of the model; a default that fits the method when None.
        progress
            True for a progress bar, or a function called with (done, asked for).

        Raises
        ------
        InvalidInputError
            Input, target, positions or batch size that cannot be used (TargetError, SequenceError, ModelError).
        """
        one_hot = self._sequences(inputs)
        with self._requested(one_hot, target, additional_forward_args, positions, batch_size, progress) as request:
            raw = self._attribute(request)
        metadata = {**self._metadata(request, target), **raw.metadata}
        if raw.predictions:
            metadata.setdefault("convention", DEFAULT_CONVENTION)
        return AttributionResult(
            one_hot[:, :, request.positions],
            request.positions,
            metadata,
            raw.predictions,
            raw.reference_predictions,
            raw.convergence_delta,
            raw.scores,
        )

    def _sequences(self, inputs: ArrayLike | Sequence[str]) -> NDArray[np.floating]:
        """Return inputs as (N, A, L)."""
        return _one_hot(inputs, self.model)

    @contextlib.contextmanager
    def _requested(
        self,
        one_hot: NDArray[np.floating],
        target: Target,
        additional_forward_args: Any,
        positions: slice | Sequence[int] | NDArray[np.integer] | None,
        batch_size: int | None,
        progress: bool | Progress,
    ) -> Iterator[Request]:
        """Check a call's arguments, and hold the model in inference mode while it is answered."""
        model = self.model
        extras = _extras(additional_forward_args, len(one_hot))
        if batch_size is not None and batch_size < 1:
            raise InvalidInputError(f"batch_size must be at least 1, not {batch_size}")
        chosen = _positions(positions, one_hot.shape[2])
        with model.inference(), _progress(progress, self.name) as report:
            outputs = self._outputs(one_hot.shape[2], extras)
            selections = select(target, outputs)
            yield Request(
                one_hot.astype(model.numpy_dtype, copy=False), selections, outputs, extras, chosen, batch_size, report
            )

    def _outputs(self, length: int, extras: tuple[NDArray[Any], ...]) -> tuple[OutputSpec, ...]:
        """Return the model's outputs at a length; a method that knows them already need not ask the model."""
        return self.model.outputs(length, extras)

    def _metadata(self, request: Request, target: Target) -> dict[str, Any]:
        """Return what every result says of its making."""
        model = self.model
        return {
            "method": self.name,
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


def _one_hot(inputs: ArrayLike | Sequence[str], model: SequenceModel) -> NDArray[np.floating]:
    """Check the inputs and return them as (N, A, L); accepts tensors of either framework."""
    letters = len(model.alphabet)
    if isinstance(inputs, str):
        inputs = [inputs]
    if isinstance(inputs, Sequence) and len(inputs) and isinstance(inputs[0], str):
        return model.alphabet.one_hot([str(sequence) for sequence in inputs])
    if hasattr(inputs, "detach"):
        inputs = inputs.detach().cpu()
    x = np.asarray(inputs)
    if x.ndim != 3:
        raise InvalidInputError(f"inputs must have three axes (N, {letters}, L), not shape {x.shape}")
    if x.shape[1] != letters:
        hint = "; transpose the last two axes" if x.shape[2] == letters else ""
        raise InvalidInputError(
            f"inputs must be (N, {letters}, L) for the {model.alphabet.name} alphabet, not shape {x.shape}{hint}"
        )
    if 0 in x.shape:
        raise InvalidInputError(f"inputs are empty: shape {x.shape}")
    if not (np.isin(x, (0, 1)).all() and (x.sum(axis=1) <= 1).all()):
        raise InvalidInputError(
            "inputs must be one-hot: 0 and 1, at most one 1 a column (all zero is an unknown letter)"
        )
    return x.astype(np.float64 if x.dtype == np.float64 else np.float32)


def further_inputs(arguments: Any) -> tuple[NDArray[Any], ...]:
    """Return a model's inputs beside the sequences, given alone or as a tuple, tensors or arrays, as arrays."""
    if arguments is None:
        return ()
    arguments = arguments if isinstance(arguments, tuple | list) else (arguments,)
    return tuple(np.asarray(a.detach().cpu() if hasattr(a, "detach") else a) for a in arguments)


def _extras(arguments: Any, count: int) -> tuple[NDArray[Any], ...]:
    extras = further_inputs(arguments)
    for index, extra in enumerate(extras):
        if extra.ndim == 0 or len(extra) != count:
            raise InvalidInputError(
                f"additional_forward_args[{index}] must have one row a sequence ({count}), but has shape {extra.shape}"
            )
    return extras


def _positions(positions: slice | Sequence[int] | NDArray[np.integer] | None, length: int) -> NDArray[np.int64]:
    every = np.arange(length)
    if positions is None:
        return every
    if isinstance(positions, slice):
        chosen = np.sort(every[positions])
    else:
        given = np.asarray(positions)
        if given.size and not np.issubdtype(given.dtype, np.integer):
            raise InvalidInputError(f"positions must be a slice or 0-based indices, not {positions!r}")
        chosen = np.unique(given).astype(np.int64)
        if len(chosen) and (chosen[0] < 0 or chosen[-1] >= length):
            raise InvalidInputError(f"positions must lie in [0, {length}), but span {chosen[0]} to {chosen[-1]}")
    if not len(chosen):
        raise InvalidInputError(f"positions are empty; give a slice or indices in [0, {length})")
    return chosen


@contextlib.contextmanager
def _progress(progress: bool | Progress, title: str) -> Iterator[Progress]:
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda done, total: None
    else:
        from rich.progress import Progress as Bar

        with Bar(transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def _variable(axes: tuple[str, ...], values: NDArray[Any], rest: str) -> tuple[tuple[str, ...], NDArray[Any]]:
    return (*axes, *(f"{rest}_{i}" for i in range(values.ndim - len(axes)))), values


def _with_suffix(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _plain(value: Any) -> Any:
    """Return a JSON-able form of an option or target, for the metadata."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    if isinstance(value, Sequence):
        return [_plain(v) for v in value]
    return getattr(value, "__qualname__", repr(value))
