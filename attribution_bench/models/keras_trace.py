"""What every layer of a Keras model gives in one call, and which layers are known to be at fault."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

from numpy.typing import NDArray

from attribution_bench.models.consistency import Trace

CALLED_IN_TRAINING = "it is called with training=True, which holds in inference as well; build the model without that"
NORMALISES_BATCHES = f"it normalises every batch by itself, since {CALLED_IN_TRAINING}"
STAYS_RANDOM = f"it stays random, since {CALLED_IN_TRAINING}"


def known_fault(layer: Any) -> str:
    """Return what makes a layer of this kind depend on the batch or on chance; empty for most."""
    kinds = {kind.__name__ for kind in type(layer).__mro__}
    if "BatchNormalization" in kinds:
        return NORMALISES_BATCHES
    if "BaseRandomLayer" in kinds or getattr(layer, "seed_generator", None) is not None:
        return STAYS_RANDOM
    return ""


def known_faults(model: Any) -> Iterator[str]:
    """Yield the layers that may be at fault with what is then wrong with them."""
    for layer in model._flatten_layers():
        if known_fault(layer):
            yield f"perhaps {_described(layer)}: {known_fault(layer)}"


def traced(model: Any, structure: Any, inputs: Any, to_numpy: Callable[[Any], NDArray[Any]]) -> list[Trace]:
    """Return what the layers of a functional or Sequential model give, in an order in which they can run.

    Parameters
    ----------
    structure
        The model's symbolic inputs, in their structure.
    inputs
        Values for them in the same structure.
    to_numpy
        Returns a tensor on the host.
    """
    library = sys.modules["tf_keras" if _is_keras_2(model) else "keras"]
    steps = []
    for step in getattr(getattr(model, "_functional", None) or model, "operations", None) or model.layers:
        nodes = step._inbound_nodes
        # A layer that is called in several places gives several outputs, not all of them in this model.
        if len(nodes) == 1 and hasattr(step.output, "shape"):
            steps.append(step)
    outputs = library.Model(structure, [step.output for step in steps])(inputs, training=False)
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    return [
        Trace(_described(step), (to_numpy(value),), known_fault(step))
        for step, value in zip(steps, outputs, strict=True)
    ]


def _is_keras_2(model: Any) -> bool:
    return any(kind.__module__.startswith("tf_keras.") for kind in type(model).__mro__)


def _described(layer: Any) -> str:
    return f"layer {layer.name!r} ({type(layer).__name__})"
