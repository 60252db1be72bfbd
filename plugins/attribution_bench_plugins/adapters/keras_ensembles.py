"""Keras models averaged as one, which is captured as one graph."""

from collections.abc import Sequence
from typing import Any

from attribution_bench.models.keras_start import import_keras


def averaged(models: Sequence[Any], inputs: Sequence[tuple[str, tuple[int | None, int]]], name: str) -> Any:
    """Return a keras.Model that gives the mean of the only output of each model.

    Parameters
    ----------
    models
        Models that take the same inputs. They are renamed.
    inputs
        Name and shape (length, letters) of each input.
    name
        Of the new model.
    """
    keras = import_keras()
    given = [keras.Input(shape, name=label) for label, shape in inputs]
    outputs = []
    for number, model in enumerate(models, 1):
        model.name = f"member_{number}"
        (output,) = keras.tree.flatten(model(given if len(given) > 1 else given[0]))
        outputs.append(output)
    return keras.Model(given if len(given) > 1 else given[0], keras.layers.Average(name="mean")(outputs), name=name)
