"""SequenceModel over a Keras 3 model, whatever its backend."""

import contextlib
from collections.abc import Hashable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import DeviceError, ModelError
from attribution_bench.models.consistency import Trace
from attribution_bench.models.disturbance import Disturbance, undone
from attribution_bench.models.keras_settings import graphs, held_by, part_settings, parts
from attribution_bench.models.keras_state import KeptVariable, randomness
from attribution_bench.models.keras_trace import known_faults, traced
from attribution_bench.models.reducers import apply_reducer
from attribution_bench.models.sequence_model import FURTHER_INPUTS, Layout, SequenceModel, Tensor
from attribution_bench.models.targets import Reducer, Selection

if TYPE_CHECKING:
    from attribution_bench.models.padded_batches import PaddedBatches
    from attribution_bench.models.traced_forward import TracedForward


class KerasSequenceModel(SequenceModel):
    """A keras.Model as a SequenceModel. It is always called with ``training=False``."""

    framework: ClassVar[Literal["torch", "keras"]] = "keras"
    default_layout: ClassVar[Layout] = "NLA"

    def __init__(self, model: Any, **options: Any) -> None:
        self.changes_seen = 0
        """How often a use of the model on TensorFlow has found it changed since the one before."""
        super().__init__(model, **options)

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float64 if self._dtype == "float64" else np.float32)

    @cached_property
    def _dtype(self) -> str:
        # Of the variables and not of the model's policy, which need not be that of its layers.
        kinds = (keras.backend.standardize_dtype(weight.dtype) for weight in self.model.weights)
        return next((kind for kind in kinds if "float" in kind), str(self.model.variable_dtype))

    @contextlib.contextmanager
    def inference(self) -> Iterator[None]:
        # A call with training=False changes nothing in the model, so that nothing has to be restored.
        with self._looked_at(), keras.device(self.device):
            yield

    @contextlib.contextmanager
    def _looked_at(self) -> Iterator[None]:
        """Look for changes of the model before a use of it, so that nothing is kept of what it was."""
        traced = self._traced
        if traced is None:
            yield
            return
        if traced.renew(held_by(self.model)):
            self.changes_seen += 1
            if self._padded is not None:
                self._padded.forget()
        try:
            yield
        finally:
            if traced.follows_own_code:
                traced.settle(held_by(self.model))

    @property
    def follows_own_code(self) -> bool:
        """Whether code of others, which may read what is not looked at, runs in the model as it was last used."""
        return self._traced is not None and self._traced.follows_own_code

    def to_tensor(self, array: NDArray[Any]) -> Tensor:
        array = np.asarray(array)
        floating = np.issubdtype(array.dtype, np.floating)
        return keras.ops.convert_to_tensor(array, dtype=self._dtype if floating else None)

    def to_numpy(self, tensor: Tensor) -> NDArray[Any]:
        half = keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16")
        array: NDArray[Any] = keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32") if half else tensor)
        return array

    def forward(self, x: Tensor, extras: tuple[Tensor, ...] = ()) -> dict[str, Tensor]:
        return self._called(x, extras) if self._padded is None else self._padded(x, extras)

    def rows_called(self, x: Tensor, extras: tuple[Tensor, ...] = ()) -> int:
        """Return with how many rows `forward` calls the model for a batch: with more where it would mistake them."""
        return int(x.shape[0]) if self._padded is None else self._padded.rows(x, extras)

    @cached_property
    def _padded(self) -> "PaddedBatches | None":
        """The model's pass for known numbers of rows; None on a backend that is not TensorFlow."""
        if not self.on_tensorflow:
            return None
        from attribution_bench.models.padded_batches import PaddedBatches

        return PaddedBatches(self._called)

    def _called(self, x: Tensor, extras: tuple[Tensor, ...]) -> dict[str, Tensor]:
        x = self._transposed(x) if self.layout == "NLA" else x
        length = x.shape[1 if self.layout == "NLA" else 2]
        return self.name_outputs(self.model(self.arrange(x, extras, length), training=False))

    def forward_only(self, x: Tensor, extras: tuple[Tensor, ...] = ()) -> dict[str, Tensor]:
        return self.forward(x, extras) if self._traced is None else self._traced(x, extras)

    @cached_property
    def _traced(self) -> "TracedForward | None":
        """The model's graphs; None on a backend that is not TensorFlow."""
        if not self.on_tensorflow:
            return None
        from attribution_bench.models.traced_forward import TracedForward

        return TracedForward(self.forward)

    def name_outputs(self, outputs: Any) -> dict[str, Any]:
        """Name what the model returns: by its own names, or those given."""
        names = getattr(self.model, "output_names", None)
        several = isinstance(outputs, tuple | list) and len(outputs) > 1
        return self._named(outputs, tuple(names) if names and several else None)

    def arrange(self, x: Any, extras: tuple[Any, ...], length: int | None = None) -> Any:
        """Put the inputs into the structure that the model is called with: one, a list, or a dict.

        The sequence takes the place that was given as ``sequence_input``, or that of the only input that has its number
        of letters and, where that is known, its length. The further inputs follow each other in the model's order,
        which for a dict is that of its keys as the model was built.

        Raises
        ------
        ModelError
            The model has another number of inputs, or several of them could be the sequence.
        """
        structure, values = self._input_structure(), list(extras)
        if structure is None:
            if (self._sequence_place or 0) > len(extras):
                raise ModelError(
                    f"the sequence is input {self._sequence_place} of the model (from 0), but only {len(extras)} "
                    f"others were given; {FURTHER_INPUTS}"
                )
            values.insert(self._sequence_place or 0, x)
            return values if extras else x
        symbols = list(_leaves(structure))
        if len(symbols) != 1 + len(extras):
            raise ModelError(
                f"the model has {len(symbols)} inputs ({_described(symbols)}), but was given the sequence and "
                f"{len(extras)} extra inputs; {FURTHER_INPUTS}"
            )
        values.insert(self._place_among(symbols, length), x)
        return _packed(structure, iter(values))

    def _place_among(self, symbols: list[Any], length: int | None) -> int:
        """Return the place of the sequence among the inputs."""
        if self._sequence_place is not None:
            return self._sequence_place
        axis = 2 if self.layout == "NLA" else 1
        fits = [
            place
            for place, symbol in enumerate(symbols)
            if len(symbol.shape) == 3
            and symbol.shape[axis] in (None, len(self.alphabet))
            and (length is None or symbol.shape[3 - axis] in (None, length))
        ]
        if len(fits) > 1:
            raise ModelError(
                f"several inputs of the model could be the sequence: {_described([symbols[i] for i in fits])}; say "
                "which with sequence_input=, a name or a place from 0, in as_sequence_model (--sequence-input on the "
                "command line)"
            )
        return next(iter(fits), 0)

    def _place_of_input(self, sequence_input: str | int) -> int:
        structure = self._input_structure()
        if structure is None:
            if isinstance(sequence_input, int) and sequence_input >= 0:
                return sequence_input
            raise ModelError(f"the model names no inputs; give sequence_input a place from 0, not {sequence_input!r}")
        symbols = list(_leaves(structure))
        places = {symbol.name.partition(":")[0]: place for place, symbol in enumerate(symbols)}
        if isinstance(structure, dict):
            places |= {key: place for place, key in enumerate(structure)}
        if sequence_input in places:
            return places[sequence_input]
        if isinstance(sequence_input, int) and 0 <= sequence_input < len(symbols):
            return sequence_input
        raise ModelError(f"the model has no input {sequence_input!r}; its inputs are {_described(symbols)}")

    @property
    def stated_length(self) -> int | None:
        structure = self._input_structure()
        if structure is None:
            return None
        symbols = list(_leaves(structure))
        shape = symbols[self._place_among(symbols, None)].shape
        return shape[1 if self.layout == "NLA" else 2] if len(shape) == 3 else None

    def _input_structure(self) -> Any:
        """Return the symbolic inputs in their structure; None for a model without a graph."""
        model = self.model
        model = getattr(model, "_functional", model) if isinstance(model, keras.Sequential) else model
        return getattr(model, "_inputs_struct", None)

    def _transposed(self, x: Tensor) -> Tensor:
        return keras.ops.transpose(x, (0, 2, 1))

    def select(self, outputs: dict[str, Tensor], selection: Selection) -> Tensor:
        value = outputs[selection.name]
        if selection.index is not None:
            return value[(slice(None), *selection.index)]
        if selection.reducer is None:
            return value
        if callable(selection.reducer):
            return apply_reducer(self.portable(selection.reducer), value)
        return self._reduced(value, selection.reducer)

    @property
    def on_tensorflow(self) -> bool:
        """Whether the model's tensors are TensorFlow's."""
        return bool(keras.backend.backend() == "tensorflow")

    def portable(self, reducer: Reducer) -> Reducer:
        """Return a function of an output that finds methods on TensorFlow's tensors, too; see `SHARED_METHODS`."""
        if not self.on_tensorflow:
            return reducer
        from attribution_bench.models.tensorflow_view import with_methods

        return with_methods(reducer)

    def _reduced(self, value: Tensor, reducer: str) -> Tensor:
        flat = keras.ops.reshape(value, (value.shape[0], -1))
        return {"sum": keras.ops.sum, "mean": keras.ops.mean, "logsumexp": keras.ops.logsumexp}[reducer](flat, axis=1)

    def no_gradient(self) -> contextlib.AbstractContextManager[Any]:
        if keras.backend.backend() == "torch":
            import torch

            return torch.no_grad()
        return contextlib.nullcontext()  # other backends record nothing unless they are asked to

    def versions(self) -> dict[str, str]:
        backend = keras.backend.backend()
        module = __import__(backend)
        return {"keras": keras.__version__, backend: module.__version__}

    @property
    def weight_count(self) -> int:
        return int(self.model.count_params())

    @property
    def precision(self) -> Literal["full", "low"]:
        kinds = {str(getattr(layer, "compute_dtype", None)) for layer in self.model._flatten_layers()}
        low = self.precision_state()["tf32"] or kinds & {"float16", "bfloat16"}
        return "low" if low or self._dtype in ("float16", "bfloat16") else "full"

    def state(self) -> Hashable:
        # Layers that do not train keep their statistics even where they are called in training mode.
        return tuple((id(variable), bool(variable.trainable)) for variable in self.model.variables)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[Disturbance]:
        with undone(randomness(self.model), self._changing()) as disturbance:
            yield disturbance

    def _changing(self) -> list[KeptVariable]:
        """Return what calls may change: statistics of layers that are called in training mode."""
        return [KeptVariable(variable) for variable in self.model.non_trainable_variables]

    def traced(self, x: NDArray[Any], extras: tuple[NDArray[Any], ...]) -> list[Trace]:
        structure = self._input_structure()
        if structure is None:
            return []
        tensors = self.to_tensor(x), tuple(self.to_tensor(extra) for extra in extras)
        given = self._transposed(tensors[0]) if self.layout == "NLA" else tensors[0]
        return traced(self.model, structure, self.arrange(given, tensors[1], x.shape[2]), self.to_numpy)

    def suspects(self) -> tuple[str, ...]:
        return tuple(known_faults(self.model))

    def weights(self) -> Iterator[tuple[str, NDArray[Any]]]:
        # Paths need not differ, nor does a name say more than the place in the list.
        for index, weight in enumerate(self.model.weights):
            yield f"{index}", np.asarray(keras.ops.convert_to_numpy(weight))

    def structure(self) -> Iterator[tuple[type, Any]]:
        for part in parts(self.model):
            yield type(part), part_settings(part)
        yield type(self.model), list(graphs(self.model))

    def precision_state(self) -> dict[str, Any]:
        if keras.backend.backend() != "tensorflow":
            return {"tf32": False}
        import tensorflow as tf

        gpu = bool(tf.config.list_physical_devices("GPU"))
        return {"tf32": gpu and bool(tf.config.experimental.tensor_float_32_execution_enabled())}

    def _resolve_device(self, device: str | None) -> str:
        if device is None:
            return "cpu:0" if keras.backend.backend() != "tensorflow" else _default_tensorflow_device()
        kind, _, index = device.partition(":")
        wanted = f"{'gpu' if kind == 'cuda' else kind}:{index or 0}"
        found = ["cpu:0", *_gpus()]
        if wanted not in found:
            raise DeviceError(f"device {device!r} is not available here; Keras finds {', '.join(found)}")
        return wanted


def _leaves(structure: Any) -> Iterator[Any]:
    """Yield the symbolic tensors of a structure in the order in which it was written."""
    if isinstance(structure, dict | list | tuple):
        for part in structure.values() if isinstance(structure, dict) else structure:
            yield from _leaves(part)
    else:
        yield structure


def _described(symbols: list[Any]) -> str:
    return ", ".join(f"{symbol.name!r} {tuple(symbol.shape)}" for symbol in symbols)


def _packed(structure: Any, values: Iterator[Any]) -> Any:
    """Return a structure with values in the place of its leaves."""
    if isinstance(structure, dict):
        return {key: _packed(part, values) for key, part in structure.items()}
    if isinstance(structure, list | tuple):
        return [_packed(part, values) for part in structure]
    return next(values)


def _gpus() -> list[str]:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return [f"gpu:{i}" for i in range(len(tf.config.list_physical_devices("GPU")))]
    if keras.backend.backend() == "torch":
        import torch

        return [f"gpu:{i}" for i in range(torch.cuda.device_count())]
    return []


def _default_tensorflow_device() -> str:
    return next(iter(_gpus()), "cpu:0")
