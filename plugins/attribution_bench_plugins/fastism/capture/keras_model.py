"""Keras models as graphs of calls, the same for Keras 3 and for Keras 2 (tf_keras)."""

import abc
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attribution_bench_plugins.fastism.capture.errors import TranslationError, told

if TYPE_CHECKING:
    from attribution_bench.models.traced_forward import Forward


@dataclass(frozen=True)
class Call:
    """One call of a layer or an operation on symbolic tensors."""

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Any, ...]
    """Flat."""


@dataclass(frozen=True)
class Functional:
    """The graph of a functional or Sequential model."""

    inputs: Any
    """A structure of symbolic tensors: one, a list, or a dict."""
    calls: tuple[Call, ...]
    """In an order in which they can be run."""
    outputs: Any
    """A structure of symbolic tensors."""


@dataclass(frozen=True)
class Reference:
    """Placeholder of a node's value in the arguments of a call."""

    name: str


class Library(abc.ABC):
    """Keras 3 or Keras 2: the graphs of its models, and the conversion of its tensors."""

    module: str
    """Package of its own classes."""
    on_torch: bool = False
    """Whether its tensors are PyTorch's."""

    def owns(self, thing: Any, part: str) -> bool:
        """Whether an object's class, or a function, is defined in this part of the library and not by the user."""
        where = getattr(thing, "__module__", None) if callable(thing) and hasattr(thing, "__name__") else None
        where = where or type(thing).__module__
        return where.startswith(f"{self.module}.{part}")

    def _calls_its_graph(self, model: Any) -> bool:
        """Whether a model is a functional or Sequential one whose class does not override ``call``."""
        graphs: list[Any] = [
            base
            for base in type(model).__mro__
            if base.__name__ in ("Functional", "Sequential") and base.__module__.startswith(self.module)
        ]
        own: Any = type(model)
        return bool(graphs) and own.call is graphs[0].call

    def _nodes(self, model: Any) -> Iterator[Any]:
        """Yield the library's own nodes of a functional model's calls, in an order in which they can be run."""
        for depth in sorted(model._nodes_by_depth, reverse=True):
            yield from (node for node in model._nodes_by_depth[depth] if not node.is_input)

    def kind_of(self, layer: Any) -> str:
        """Return the name of what is called, as reasons and rules have it: that of its class."""
        return type(layer).__name__

    def own_kind_of(self, layer: Any) -> str:
        """Return the name of the library's own class that a layer or an operation is, or is derived from."""
        if self.owns(type(layer), ""):
            return self.kind_of(layer)
        return next((kind.__name__ for kind in type(layer).__mro__ if self.owns(kind, "")), "")

    @abc.abstractmethod
    def functional(self, model: Any) -> Functional | None:
        """Return the graph of a model whose calls follow one; None for a subclassed model, or what is no model."""

    @abc.abstractmethod
    def _symbol(self, tensor: Tensor) -> Any:
        """Return a symbolic tensor for any number of rows of a tensor."""

    @abc.abstractmethod
    def _graph(self, symbols: Sequence[Any], outputs: Any) -> Functional:
        """Return the graph of the calls that lead from symbolic tensors to others."""

    def followed(self, function: Callable[..., Any], layers: Iterable[Any], examples: Sequence[Tensor]) -> Functional:
        """Return the graph of what a function of tensors calls; `layers` are those that it may call.

        Raises
        ------
        TranslationError
            It cannot be called on tensors without values.
        """
        kept = [(nodes, list(nodes)) for layer in layers for nodes in (layer._inbound_nodes, layer._outbound_nodes)]
        symbols = [self._symbol(tensor) for tensor in examples]
        try:
            return self._graph(symbols, function(*symbols))
        except Exception as error:  # code of users may raise anything
            raise TranslationError(f"it cannot be called on symbolic tensors of Keras ({told(error)})") from error
        finally:
            for nodes, before in kept:
                nodes[:] = before

    def as_in_call(self, layer: Any) -> contextlib.AbstractContextManager[Any]:
        """Return a context in which variables have the type in which a layer computes, as they have within its call."""
        return contextlib.nullcontext()

    def traced(self, call: Callable[..., list[Any]], *, pads: bool) -> Callable[..., list[Any]]:
        """Return a function of the library's tensors as its backend traces it; the function itself by default.

        Parameters
        ----------
        pads
            Whether batches that are as long as another axis get more rows, as `PaddedBatches` says; the first axis of
            all tensors is that of the batch then.
        """
        return call

    @abc.abstractmethod
    def to_keras(self, tensor: Tensor) -> Any:
        """Return a tensor of the library's backend, of the same dtype."""

    @abc.abstractmethod
    def to_torch(self, tensor: Any, device: torch.device) -> Tensor:
        """Return the value of a tensor or variable of the library's."""

    @abc.abstractmethod
    def array(self, variable: Any) -> NDArray[Any]:
        """Return the value of a variable as the library holds it; not to be overwritten."""

    @abc.abstractmethod
    def is_symbolic(self, value: Any) -> bool:
        """Whether a value stands for a tensor of the graph."""

    def effective_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """Return the precision of the results of layers that compute in a dtype."""
        # On PyTorch Keras multiplies matrices of double precision in single precision.
        return torch.float32 if self.on_torch and dtype == torch.float64 else dtype

    def compute_dtype(self, layer: Any) -> torch.dtype | None:
        """Return the dtype in which a layer computes; None where it has none."""
        dtype = getattr(torch, str(getattr(layer, "compute_dtype", None)), None)
        return dtype if isinstance(dtype, torch.dtype) else None

    def takes_training(self, layer: Any) -> bool:
        """Whether a layer's call can be told that it is inference."""
        return bool(getattr(layer, "_call_has_training_arg", False))


def _named(call: Callable[..., list[Any]]) -> "Forward":
    """Return a function of tensors as a pass whose outputs are named by their places."""
    return lambda x, others: {str(place): value for place, value in enumerate(call(x, *others))}


def _as_graph(forward: "Forward") -> Callable[..., list[Any]]:
    """Return a function of TensorFlow's tensors as a TensorFlow graph."""
    from attribution_bench.models.traced_forward import TracedForward

    traced = TracedForward(forward)
    return lambda x, *others: list(traced(x, others).values())


class Keras3(Library):
    """Keras 3, whatever its backend."""

    module = "keras.src"

    def __init__(self) -> None:
        import keras

        self.keras = keras
        self.on_torch = keras.backend.backend() == "torch"

    def functional(self, model: Any) -> Functional | None:
        if type(model).__name__ != "Functional" and hasattr(model, "_functional") and self._calls_its_graph(model):
            model = model._functional  # that of a Sequential; None before it is built
        if model is None or not self._calls_its_graph(model):
            return None
        return Functional(model._inputs_struct, self._calls(model), model._outputs_struct)

    def _calls(self, graph: Any) -> tuple[Call, ...]:
        return tuple(
            Call(node.operation, tuple(node.arguments.args), dict(node.arguments.kwargs), tuple(node.outputs))
            for node in self._nodes(graph)
        )

    def as_in_call(self, layer: Any) -> contextlib.AbstractContextManager[Any]:
        from keras.src import backend

        scope: contextlib.AbstractContextManager[Any] = backend.AutocastScope(
            layer.compute_dtype if getattr(layer, "autocast", False) else None
        )
        return scope

    def _symbol(self, tensor: Tensor) -> Any:
        return self.keras.KerasTensor((None, *tensor.shape[1:]), str(tensor.dtype).removeprefix("torch."))

    def _graph(self, symbols: Sequence[Any], outputs: Any) -> Functional:
        return Functional(list(symbols), self._calls(self.keras.Function(list(symbols), outputs)), outputs)

    def traced(self, call: Callable[..., list[Any]], *, pads: bool) -> Callable[..., list[Any]]:
        if self.keras.backend.backend() != "tensorflow":
            return call
        from attribution_bench.models.padded_batches import PaddedBatches

        return _as_graph(PaddedBatches(_named(call)) if pads else _named(call))

    def is_symbolic(self, value: Any) -> bool:
        return isinstance(value, self.keras.KerasTensor)

    def to_keras(self, tensor: Tensor) -> Any:
        if self.on_torch:
            return tensor
        if tensor.dtype == torch.bfloat16:
            return self.keras.ops.cast(tensor.float().cpu().numpy(), "bfloat16")
        return self.keras.ops.convert_to_tensor(tensor.cpu().numpy())

    def to_torch(self, tensor: Any, device: torch.device) -> Tensor:
        if self.on_torch:
            return torch.as_tensor(self.keras.ops.convert_to_tensor(tensor)).detach().to(device)
        tensor = self.keras.ops.convert_to_tensor(tensor)
        if self.keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
            array = np.asarray(self.keras.ops.cast(tensor, "float32"))
            return torch.tensor(array, dtype=torch.bfloat16, device=device)
        return torch.tensor(np.asarray(tensor), device=device)

    def array(self, variable: Any) -> NDArray[Any]:
        if self.on_torch:
            value = variable.value.detach().cpu()
            return np.asarray(value.view(torch.int16) if value.dtype == torch.bfloat16 else value)
        return np.asarray(variable.value)


class Keras2(Library):
    """tf_keras, on TensorFlow."""

    module = "tf_keras.src"

    def __init__(self) -> None:
        import tensorflow
        import tf_keras

        self.tf, self.keras = tensorflow, tf_keras

    def kind_of(self, layer: Any) -> str:
        # Functions of TensorFlow are called by layers of one class, which know their names.
        symbol = getattr(layer, "symbol", None) if self.owns(type(layer), "layers.core.tf_op_layer") else None
        return f"tf.{symbol}" if symbol else super().kind_of(layer)

    def functional(self, model: Any) -> Functional | None:
        if not self._calls_its_graph(model) or not getattr(model, "_nodes_by_depth", None):
            return None  # the second: a Sequential that is not built
        return Functional(model._nested_inputs, self._calls(model), model._nested_outputs)

    def _calls(self, model: Any) -> tuple[Call, ...]:
        flatten = self.tf.nest.flatten
        return tuple(
            Call(node.layer, tuple(node.call_args), dict(node.call_kwargs), tuple(flatten(node.outputs)))
            for node in self._nodes(model)
        )

    def _symbol(self, tensor: Tensor) -> Any:
        return self.keras.Input(tuple(tensor.shape[1:]), dtype=str(tensor.dtype).removeprefix("torch."))

    def _graph(self, symbols: Sequence[Any], outputs: Any) -> Functional:
        return Functional(list(symbols), self._calls(self.keras.Model(list(symbols), outputs)), outputs)

    def traced(self, call: Callable[..., list[Any]], *, pads: bool) -> Callable[..., list[Any]]:
        return _as_graph(_named(call))

    def is_symbolic(self, value: Any) -> bool:
        return hasattr(value, "_keras_history")

    def to_keras(self, tensor: Tensor) -> Any:
        if tensor.dtype == torch.bfloat16:
            return self.tf.cast(tensor.float().cpu().numpy(), "bfloat16")
        return self.tf.convert_to_tensor(tensor.cpu().numpy())

    def to_torch(self, tensor: Any, device: torch.device) -> Tensor:
        value = self.tf.convert_to_tensor(tensor)
        if value.dtype == self.tf.bfloat16:
            return torch.tensor(self.tf.cast(value, "float32").numpy(), dtype=torch.bfloat16, device=device)
        return torch.tensor(value.numpy(), device=device)

    def array(self, variable: Any) -> NDArray[Any]:
        return np.asarray(variable.numpy())

    def takes_training(self, layer: Any) -> bool:
        return bool(layer._call_spec.expects_training_arg)


def library_of(model: Any) -> Library:
    """Return the library of a model of tf_keras or of Keras 3."""
    tf_keras = sys.modules.get("tf_keras")
    return Keras2() if tf_keras is not None and isinstance(model, tf_keras.Model) else Keras3()


def leaves(structure: Any) -> Iterator[Any]:
    """Yield the leaves of a structure of lists, tuples and dicts; dicts in the order of their keys."""
    if isinstance(structure, list | tuple):
        for part in structure:
            yield from leaves(part)
    elif isinstance(structure, dict):
        for key in sorted(structure):
            yield from leaves(structure[key])
    else:
        yield structure


def mapped(structure: Any, function: Callable[[Any], Any]) -> Any:
    """Return a structure in which a function has replaced every leaf."""
    if isinstance(structure, list | tuple):
        return type(structure)(mapped(part, function) for part in structure)
    if isinstance(structure, dict):
        return {key: mapped(value, function) for key, value in structure.items()}
    return function(structure)


def number(value: Any) -> float | int | None:
    """Return a Python or NumPy number, or a tensor of one element without axes, as a number; None for all else."""
    if isinstance(value, bool | int | float | np.number):
        return value if isinstance(value, bool | int | float) else value.item()
    if hasattr(value, "shape") and tuple(value.shape) == () and hasattr(value, "numpy"):
        return value.numpy().item()  # type: ignore[no-any-return]
    return None
