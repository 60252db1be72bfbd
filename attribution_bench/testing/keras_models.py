"""The small Keras models of the conformance checks."""

from typing import Any

import keras
import numpy as np

from attribution_bench.testing.subject import STRINGS, Kind, seeded_weight


class Fuse(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Pass its input through, and raise once it has been called `calls` times after the model was built."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def call(self, x: Any) -> Any:
        """Return x."""
        if self.left == 0:
            raise RuntimeError("the fuse of this model blew, as the check meant it to")
        self.left -= 1
        return x

    def compute_output_spec(self, x: Any) -> Any:
        """Return the shape of x, so that building the model is no call."""
        return keras.KerasTensor(x.shape, x.dtype)


def build(kind: Kind) -> keras.Model:
    """Return a model as `attribution_bench.testing.subject.Models` describes it."""
    sequence = keras.Input((len(STRINGS[0]), 4))
    hidden = _body(sequence, None)
    if kind == "several_outputs":
        outputs = [keras.layers.Dense(3, name="profile")(hidden), keras.layers.Dense(1, name="count")(hidden)]
        return _prepared(keras.Model(sequence, outputs))
    if kind == "one_output":
        return _prepared(keras.Model(sequence, keras.layers.Dense(1)(hidden)))
    extra = keras.Input((2,))
    both = keras.layers.ReLU()(keras.layers.Add()([hidden, keras.layers.Dense(48)(extra)]))
    return _prepared(keras.Model([sequence, extra], keras.layers.Dense(1)(both)))


def build_fused(calls: int) -> keras.Model:
    """Return the ``one_output`` model with a layer that raises after `calls` calls."""
    sequence = keras.Input((len(STRINGS[0]), 4))
    return _prepared(keras.Model(sequence, keras.layers.Dense(1)(_body(sequence, Fuse(calls)))))


def snapshot(model: keras.Model) -> dict[str, Any]:
    """Return what a method must leave as it was."""
    found: dict[str, Any] = {"layers": [id(layer) for layer in model.layers]}
    for layer in model.layers:
        found[f"layer {layer.name}: class"] = type(layer)
        found[f"layer {layer.name}: trainable"] = layer.trainable
        found[f"layer {layer.name}: methods replaced"] = sorted(
            name for name in vars(layer) if name in dir(type(layer))
        )
    for variable in model.variables:
        found[f"{variable.path}: values"] = keras.ops.convert_to_numpy(variable).tobytes()
        found[f"{variable.path}: trainable"] = variable.trainable
    return found


def _body(sequence: Any, fuse: Fuse | None) -> Any:
    """Everything up to the dense heads: (N, 24, 4) to (N, 48)."""
    hidden = keras.layers.Conv1D(6, 5, padding="same")(sequence)
    hidden = keras.layers.ReLU()(keras.layers.BatchNormalization()(hidden))
    hidden = keras.layers.Dropout(0.5)(hidden)
    hidden = fuse(hidden) if fuse else hidden
    hidden = keras.layers.MaxPooling1D(2)(hidden)
    return keras.layers.Flatten()(keras.layers.ReLU()(keras.layers.Conv1D(4, 3, padding="same")(hidden)))


def _prepared(model: keras.Model) -> keras.Model:
    generator = np.random.default_rng(len(STRINGS))
    for variable in model.variables:
        if variable.dtype == "float32":
            variable.assign(seeded_weight(generator, variable.name, tuple(variable.shape)))
    model.layers[1].trainable = False
    return model
