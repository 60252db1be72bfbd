"""Weights of a model as plain arrays, one dict a layer, read from and written into either framework.

The arrays bear PyTorch's names and axis order: convolutions (out, in, width) and transposed ones (in, out, width)
where Keras has (width, in, out) and (width, out, in); dense layers (out, in) where Keras has (in, out). A dense layer
after Flatten counts its inputs channel by channel in PyTorch, position by position in Keras.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import ModelError

if TYPE_CHECKING:
    import torch

LayerArrays: TypeAlias = dict[str, NDArray[np.floating]]
"""Parameter's name in PyTorch (weight, bias, running_mean, running_var) -> array."""

_KERAS_NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def read_torch(model: "torch.nn.Module") -> list[LayerArrays]:
    """Return copies of the weights of a module, layer by layer in the order of registration."""
    return [
        {name: tensor.detach().cpu().numpy().copy() for name, tensor in layer.items()} for layer in _torch_layers(model)
    ]


def write_torch(model: "torch.nn.Module", layers: Sequence[LayerArrays]) -> None:
    """Set the weights of a module from `read_torch`'s form; ModelError, before any change, when they do not fit."""
    import torch

    own = _torch_layers(model)
    _check([{name: tuple(tensor.shape) for name, tensor in layer.items()} for layer in own], layers)
    with torch.no_grad():
        for tensors, arrays in zip(own, layers, strict=True):
            for name, tensor in tensors.items():
                tensor.copy_(torch.from_numpy(arrays[name]))


def read_keras(model: Any) -> list[LayerArrays]:
    """Return the weights of a Keras model, layer by layer, in PyTorch's names and axis order."""
    import keras

    return [
        {
            _KERAS_NAMES[weight.name]: _to_torch_axes(keras.ops.convert_to_numpy(weight), flattened)
            for weight in layer.weights
        }
        for layer, flattened in _keras_layers(model)
    ]


def write_keras(model: Any, layers: Sequence[LayerArrays]) -> None:
    """Set the weights of a Keras model from `read_keras`'s form; ModelError, before any change, if they do not fit."""
    _check([{name: array.shape for name, array in layer.items()} for layer in read_keras(model)], layers)
    for (layer, flattened), arrays in zip(_keras_layers(model), layers, strict=True):
        layer.set_weights([_to_keras_axes(arrays[_KERAS_NAMES[weight.name]], flattened) for weight in layer.weights])


def _torch_layers(model: "torch.nn.Module") -> "list[dict[str, torch.Tensor]]":
    """Parameters and floating-point buffers of every module that has parameters of its own."""
    layers = []
    for module in model.modules():
        own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
        own = {name: tensor for name, tensor in own.items() if tensor.is_floating_point()}
        if own:
            layers.append(own)
    return layers


def _keras_layers(model: Any) -> Iterator[tuple[Any, tuple[int, int] | None]]:
    """Layers that have weights; with a dense layer that follows Flatten comes the shape (L, C) that was flattened."""
    import keras

    known = (keras.layers.Conv1D, keras.layers.Conv1DTranspose, keras.layers.Dense, keras.layers.BatchNormalization)
    flattened: tuple[int, int] | None = None
    for layer in model.layers:
        if isinstance(layer, keras.layers.Flatten) and len(layer.input.shape) == 3:
            flattened = (int(layer.input.shape[1]), int(layer.input.shape[2]))
        if not layer.weights:
            continue
        if not isinstance(layer, known):
            raise ModelError(
                f"layer {layer.name!r} is a {type(layer).__name__}; weights can be copied of "
                f"{', '.join(kind.__name__ for kind in known)} only"
            )
        dense = isinstance(layer, keras.layers.Dense)
        yield layer, flattened if dense else None
        if dense:
            flattened = None


def _to_torch_axes(array: NDArray[Any], flattened: tuple[int, int] | None) -> NDArray[Any]:
    if flattened is not None and array.ndim == 2:
        array = array.reshape(*flattened, -1).transpose(1, 0, 2).reshape(array.shape)
    return np.ascontiguousarray(array.T)


def _to_keras_axes(array: NDArray[Any], flattened: tuple[int, int] | None) -> NDArray[Any]:
    array = array.T
    if flattened is not None and array.ndim == 2:
        array = array.reshape(*flattened[::-1], -1).transpose(1, 0, 2).reshape(array.shape)
    return np.ascontiguousarray(array)


def _check(own: Sequence[dict[str, tuple[int, ...]]], given: Sequence[LayerArrays]) -> None:
    shapes = [{name: array.shape for name, array in layer.items()} for layer in given]
    if len(own) != len(shapes):
        raise ModelError(f"the model has {len(own)} layers with weights, but weights of {len(shapes)} were given")
    for index, (mine, other) in enumerate(zip(own, shapes, strict=True)):
        if mine != other:
            raise ModelError(f"layer {index} of those with weights has {mine}, but was given {other}")
