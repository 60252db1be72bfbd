"""A Keras 3 model built again in Keras 2, for packages that take no other."""

import inspect
from typing import Any

import numpy as np

from attribution_bench.errors import UnsupportedError
from attribution_bench.models.keras_start import import_keras_2
from attribution_bench_plugins.fastism.capture.keras_model import Call, Functional, Library, mapped

TOLERANCE = 1e-4
"""Largest difference of the copy's predictions from the model's, over the largest prediction."""


def keras_2_copy(model: Any, library: Library, length: int, letters: int) -> Any:
    """Return a tf_keras.Model that predicts what a functional or Sequential Keras 3 model predicts.

    A transposed convolution of stride 1 becomes the convolution that it equals.

    Parameters
    ----------
    model
        A keras.Model of one input (N, L, A).
    library
        Keras 3.
    length, letters
        L and A.

    Raises
    ------
    UnsupportedError
        The model has no graph or several inputs, a layer has no counterpart, or the copy predicts something else.
    """
    functional = library.functional(model)
    if functional is None:
        raise UnsupportedError(f"{type(model).__name__} is a subclassed model, which cannot be built again in Keras 2")
    copy = _built(functional, library, length, letters)
    codes = np.random.default_rng(0).integers(letters, size=(2, length))
    x = np.eye(letters, dtype=np.float32)[codes]
    for own, copied in zip(_flat(model(x, training=False)), _flat(copy(x, training=False)), strict=True):
        expected, found = np.asarray(own), np.asarray(copied)
        if not np.allclose(found, expected, rtol=0, atol=TOLERANCE * max(np.abs(expected).max(), 1e-30)):
            raise UnsupportedError(
                f"the model built again in Keras 2 predicts something else (by {np.abs(found - expected).max():.2g})"
            )
    return copy


def _built(functional: Functional, library: Library, length: int, letters: int) -> Any:
    tf_keras = import_keras_2()
    (symbol,) = _flat(functional.inputs) if len(_flat(functional.inputs)) == 1 else (None,)
    if symbol is None:
        raise UnsupportedError(f"the model has {len(_flat(functional.inputs))} inputs; only one can be copied")
    inputs = tf_keras.Input((length, letters), name="sequence")
    values = {id(symbol): inputs}
    layers: dict[int, Any] = {}
    for call in functional.calls:
        if id(call.layer) not in layers:
            layers[id(call.layer)] = _layer(call, tf_keras)
        layer = layers[id(call.layer)]
        args = mapped(call.args, lambda leaf: values[id(leaf)] if library.is_symbolic(leaf) else leaf)
        for output, value in zip(call.outputs, _flat(layer(*args)), strict=True):
            values[id(output)] = value
        weights = call.layer.get_weights()
        if type(call.layer).__name__ == "Conv1DTranspose":
            weights[0] = weights[0][::-1].transpose(0, 2, 1)
        layer.set_weights(weights)
    return tf_keras.Model(inputs, mapped(functional.outputs, lambda output: values[id(output)]))


def _layer(call: Call, tf_keras: Any) -> Any:
    """Return a layer's counterpart, with its options and without its weights."""
    layer, kind = call.layer, type(call.layer).__name__
    options = layer.get_config() if hasattr(layer, "get_config") else {}
    if kind == "Conv1DTranspose" and tuple(layer.strides) == (1,):
        kind = "Conv1D"
    made = getattr(tf_keras.layers, kind, None)
    if made is None:
        raise UnsupportedError(f"{getattr(layer, 'name', kind)} ({kind}) has no counterpart in Keras 2")
    known = {"name", *inspect.signature(made.__init__).parameters}
    # Objects of Keras 3 are dicts here: types and initialisers, of which a copy needs neither.
    return made.from_config({k: v for k, v in options.items() if k in known and not isinstance(v, dict)})


def _flat(structure: Any) -> list[Any]:
    if isinstance(structure, dict):
        return list(structure.values())
    return list(structure) if isinstance(structure, list | tuple) else [structure]
