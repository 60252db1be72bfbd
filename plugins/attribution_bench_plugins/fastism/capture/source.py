"""Models of either framework as sources of graphs, tensors and weights' fingerprints."""

import abc
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attribution_bench.models import OutputSpec, SequenceModel
from attribution_bench.models.checksums import checksums
from attribution_bench.models.differences import difference, scale
from attribution_bench.models.keras_settings import held_by
from attribution_bench.models.settings import Settings
from attribution_bench.models.targets import Reducer, Selection
from attribution_bench.models.torch_model import TorchSequenceModel, select_tensor
from attribution_bench.models.torch_settings import module_settings
from attribution_bench.models.torch_state import contents, named_tensors, place
from attribution_bench.request import Request
from attribution_bench_plugins.fastism.capture.errors import CaptureError
from attribution_bench_plugins.fastism.capture.graph_builder import BATCH_SIZES
from attribution_bench_plugins.fastism.execution.unmutated import run_graph
from attribution_bench_plugins.fastism.graph.ir import Graph
from attribution_bench_plugins.fastism.precision import tolerance
from attribution_bench_plugins.fastism.values import devices

if TYPE_CHECKING:
    from attribution_bench.models.keras_model import KerasSequenceModel


class Fingerprint(NamedTuple):
    """Value that differs once a model changes."""

    shapes: Hashable
    """Of the weights; with their types, and where they are."""
    values: Hashable
    """Of the weights."""
    settings: Settings
    """What else the model holds."""

    def has_the_work_of(self, other: "Fingerprint") -> bool:
        """Whether a model with the other fingerprint computes as much: the values of its weights alone may differ."""
        return self.shapes == other.shapes and self.settings == other.settings


COMPARED_ROWS = 2
"""Rows on which a traced graph is compared with the model: a batch of another size than the one that was traced."""


class Source(abc.ABC):
    """A model whose graph runs on PyTorch tensors, on the model's own device where PyTorch supports it."""

    model: SequenceModel
    device: torch.device
    dtype: torch.dtype
    dtypes: frozenset[torch.dtype]
    """Precisions in which the model's layers compute."""
    matmul_precision: str | None = None
    """Precision of matrix products in windows; None for PyTorch's current setting."""

    @property
    def kind(self) -> str:
        """Kind of the device: ``cpu``, or that of an accelerator."""
        return devices.kind(self.device)

    @property
    def tolerance(self) -> float:
        """Allowed error of the graph against the model's own full passes, relative to the output's scale."""
        return tolerance(self.dtypes)

    @property
    def window_tolerance(self) -> float:
        """Allowed error of windows against full passes, relative to the output's scale."""
        return tolerance(self.dtypes, self.matmul_precision)

    @abc.abstractmethod
    def capture(self, length: int, extras: tuple[NDArray[Any], ...], outputs: tuple[OutputSpec, ...]) -> Graph:
        """Return the model's graph at a length; raise CaptureError, with the reason, where capture fails."""

    @cached_property
    @abc.abstractmethod
    def weights_fingerprint(self) -> tuple[Hashable, Hashable]:
        """`Fingerprint.shapes` and `Fingerprint.values`; those of the first access, as they are cached."""

    @abc.abstractmethod
    def settings_now(self) -> Settings:
        """Return what the model's objects hold besides weights, such as slopes, activations and hooks."""

    @cached_property
    def settings(self) -> Settings:
        """What `settings_now` returned at the first access."""
        return self.settings_now()

    @property
    def fingerprint(self) -> Fingerprint:
        """Value that differs once the model changes; that of the first access."""
        return Fingerprint(*self.weights_fingerprint, self.settings)

    def run_once(self, length: int, extras: tuple[NDArray[Any], ...]) -> None:
        """Run the model itself on one row, so that it changes what its calls change."""
        self.model.predict(*self._examples(1, length, extras))

    @abc.abstractmethod
    def select(self, value: Tensor, selection: Selection) -> NDArray[Any]:
        """Return the selected part of one output of the graph, on the host."""

    @abc.abstractmethod
    def positions_read(self, reducer: Reducer, positions: Tensor) -> range | None:
        """Return the positions of an output that a function of it reads; None where that cannot be followed.

        `positions` (rows, *output) are the position of each element of the output.
        """

    def tensor(self, array: NDArray[Any]) -> Tensor:
        """Return an array on the device; floating arrays in the model's precision."""
        tensor = torch.as_tensor(np.ascontiguousarray(array))
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)

    def sequences(self, one_hot: NDArray[Any]) -> Tensor:
        """Return sequences (N, A, L) in the model's own layout."""
        x = self.tensor(one_hot)
        return x if self.model.layout == "NAL" else x.transpose(1, 2).contiguous()

    def graph_inputs(self, graph: Graph, request: Request, rows: slice | NDArray[np.int64]) -> dict[str, Tensor]:
        """Return the values of a graph's inputs for some sequences of a request."""
        extras = (self.tensor(extra[rows]) for extra in request.extras)
        return {graph.input: self.sequences(request.one_hot[rows]), **dict(zip(graph.extras, extras, strict=True))}

    def _examples(
        self, count: int, length: int, extras: tuple[NDArray[Any], ...]
    ) -> tuple[NDArray[np.float64], tuple[NDArray[Any], ...]]:
        """Return some random sequences, and as many rows of further inputs."""
        letters = len(self.model.alphabet)
        index = np.random.default_rng(length).integers(0, letters, (count, length))
        rows = tuple(np.resize(extra, (count, *extra.shape[1:])) for extra in extras)
        return np.eye(letters)[index].transpose(0, 2, 1), rows

    def _compare(self, outputs: Mapping[str, Tensor], one_hot: NDArray[Any], extras: tuple[NDArray[Any], ...]) -> None:
        """Raise CaptureError where a graph's outputs for rows in one batch differ from the model's for each alone."""
        truth = self.model.predict(one_hot, extras, batch_size=1)
        for name, output in outputs.items():
            size = scale(truth[name]) or float(np.finfo(np.float32).tiny)
            error = difference(output.double().cpu().numpy(), truth[name]) / size
            if not error <= self.tolerance:
                raise CaptureError(
                    f"output {name!r} of the captured graph differs from the model's by {error:.1e} of its scale; "
                    "a layer may draw random numbers, keep state between calls, or mix the sequences of a batch"
                )


class TorchSource(Source):
    """A torch.nn.Module."""

    model: TorchSequenceModel

    def __init__(self, model: TorchSequenceModel) -> None:
        self.model, self.module = model, model.model
        self.device, self.dtype = torch.device(model.device), model.dtype
        self.dtypes = model.computing_dtypes | {self.dtype}

    def capture(self, length: int, extras: tuple[NDArray[Any], ...], outputs: tuple[OutputSpec, ...]) -> Graph:
        from attribution_bench_plugins.fastism.capture.from_torch import capture  # imports much of PyTorch's compiler

        one_hot, rows = self._examples(COMPARED_ROWS, length, extras)
        inputs = self.sequences(one_hot), *map(self.tensor, rows)
        names, place = [output.name for output in outputs], self.model.sequence_place
        graph = capture(self.module, inputs[0], inputs[1:], names, place)
        self.model.computing_dtypes |= graph.dtypes
        self.dtypes |= graph.dtypes
        self._compare(_outputs(graph, inputs), one_hot, rows)
        return graph

    @cached_property
    def _parts(self) -> tuple[torch.nn.Module, ...]:
        return tuple(self.module.modules())

    def settings_now(self) -> Settings:
        return module_settings(self.module.modules())

    @cached_property
    def settings(self) -> Settings:
        return module_settings(self._parts)

    @cached_property
    def weights_fingerprint(self) -> tuple[Hashable, Hashable]:
        # Computed for each request: one pass over the modules takes half as long as parameters() and buffers().
        held = [(*module._parameters.values(), *module._buffers.values()) for module in self._parts]
        tensors = [tensor for tensors in held for tensor in tensors if tensor is not None]
        # Values alone would not do: a plan that reads the memory of a former parameter may see that change later on.
        shapes, places = tuple([(tensor.dtype, tensor.shape) for tensor in tensors]), tuple(map(place, tensors))
        # What a model's own calls change, and `inference` puts back, is no change. It has no plan anyway.
        changed = self.model.own_changes
        own = {id(t) for name, t in named_tensors(self.module) if name in changed} if changed else set()
        kept = [tensor for tensor in tensors if id(tensor) not in own]
        return (self.device, shapes), (places, contents(kept, torch.get_num_threads()))

    def select(self, value: Tensor, selection: Selection) -> NDArray[Any]:
        return self.model.to_numpy(select_tensor(value, selection))

    def positions_read(self, reducer: Reducer, positions: Tensor) -> range | None:
        from attribution_bench_plugins.fastism.capture.torch_reads import positions_read

        return positions_read(reducer, positions, self.dtype, self.device)


class KerasSource(Source):
    """A keras.Model on any backend, or a tf_keras.Model."""

    model: "KerasSequenceModel"

    def __init__(self, model: "KerasSequenceModel") -> None:
        from attribution_bench_plugins.fastism.capture.keras_model import library_of

        self.model, self.library = model, library_of(model.model)
        kind, _, index = model.device.partition(":")
        on_gpu = kind == "gpu" and torch.cuda.is_available()
        self.device = torch.device(f"cuda:{index}" if on_gpu else "cpu")
        self.dtype = self.library.to_torch(model.to_tensor(np.zeros(1)), self.device).dtype
        layers = model.model._flatten_layers()
        computing = [dtype for layer in layers if (dtype := self.library.compute_dtype(layer)) is not None]
        self.dtypes = frozenset(self.library.effective_dtype(dtype) for dtype in (self.dtype, *computing))

    def capture(self, length: int, extras: tuple[NDArray[Any], ...], outputs: tuple[OutputSpec, ...]) -> Graph:
        from attribution_bench_plugins.fastism.capture.from_keras import capture as capture_keras

        one_hot, rows = self._examples(sum(BATCH_SIZES), length, extras)
        tensors = tuple(map(self.tensor, rows))
        if self.library.on_torch and self.library.functional(self.model.model) is None:
            from attribution_bench_plugins.fastism.capture.from_torch import capture

            names = [output.name for output in outputs]
            return capture(_AsModule(self.model), self.sequences(one_hot), tensors, names)
        graph, examples = capture_keras(self.model, self.sequences(one_hot), tensors)
        first = slice(BATCH_SIZES[0])
        found = {name: batch for name, (batch, _) in examples.items()}
        self._compare(found, one_hot[first], tuple(extra[first] for extra in rows))
        return graph

    def settings_now(self) -> Settings:
        return held_by(self.model.model).settings

    @cached_property
    def weights_fingerprint(self) -> tuple[Hashable, Hashable]:
        weights = [self.library.array(weight) for weight in self.model.model.weights]
        kinds = tuple((weight.shape, str(weight.dtype)) for weight in weights)
        return kinds, checksums(weights, torch.get_num_threads())

    def select(self, value: Tensor, selection: Selection) -> NDArray[Any]:
        if callable(selection.reducer):  # it takes tensors of the model's framework
            own = {selection.name: self.library.to_keras(value)}
            return self.model.to_numpy(self.model.select(own, selection))
        chosen = select_tensor(value, selection)
        return (chosen.float() if chosen.dtype in (torch.bfloat16, torch.float16) else chosen).cpu().numpy()

    def positions_read(self, reducer: Reducer, positions: Tensor) -> range | None:
        if self.library.on_torch:
            from attribution_bench_plugins.fastism.capture.torch_reads import positions_read

            return positions_read(reducer, positions, self.dtype, self.device)
        if self.model.on_tensorflow:
            from attribution_bench_plugins.fastism.capture import tensorflow_reads

            return tensorflow_reads.positions_read(self.model.portable(reducer), positions, self.dtype)
        return None


def _outputs(graph: Graph, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the outputs of a graph for examples, in one batch."""
    given, rows = dict(zip((graph.input, *graph.extras), inputs, strict=True)), len(inputs[0])
    try:
        with torch.no_grad():
            values = run_graph(graph, given, rows, frozenset(graph.outputs.values()))
    except RuntimeError as error:
        raise CaptureError(f"the captured graph fails for {rows} sequences: {error}") from error
    return {name: values[node] for name, node in graph.outputs.items()}


class _AsModule(torch.nn.Module):
    """A subclassed Keras model on PyTorch, as a module that torch.export can trace."""

    def __init__(self, model: "KerasSequenceModel") -> None:
        super().__init__()
        self.model, self.sequence_model = model.model, model

    def forward(self, x: Tensor, *extras: Tensor) -> tuple[Tensor, ...]:
        inputs = self.sequence_model.arrange(x, extras, x.shape[1 if self.sequence_model.layout == "NLA" else 2])
        return tuple(self.sequence_model.name_outputs(self.model(inputs, training=False)).values())


def source_of(model: SequenceModel, matmul_precision: str | None = None) -> Source:
    """Return a model as a source of graphs whose windows are multiplied in a precision."""
    source: Source
    if isinstance(model, TorchSequenceModel):
        source = TorchSource(model)
    else:
        from attribution_bench.models.keras_model import KerasSequenceModel

        assert isinstance(model, KerasSequenceModel)
        source = KerasSource(model)
    source.matmul_precision = matmul_precision
    return source
