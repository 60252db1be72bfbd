"""State of a Keras model that its own calls may change, and how to put it back."""

import sys
from typing import Any

import numpy as np

from attribution_bench.models.disturbance import HostRandomness, Kept

GLOBAL_GENERATOR = "global_seed_generator"
"""Keras' name for the generator of what draws without a seed of its own."""


class KeptVariable:
    """A variable of Keras or TensorFlow with the values that it had."""

    def __init__(self, variable: Any) -> None:
        self.name = str(getattr(variable, "path", variable.name))
        self._variable, self._values = variable, self._current(variable)

    @staticmethod
    def _current(variable: Any) -> Any:
        value = variable.value if not callable(getattr(variable, "value", None)) else variable
        value = value.detach().cpu() if hasattr(value, "detach") else value
        return np.array(value.numpy() if hasattr(value, "numpy") else value)

    def is_unchanged(self) -> bool:
        now = self._current(self._variable)
        return bool(((now == self._values) | ((now != now) & (self._values != self._values))).all())

    def restore(self) -> None:
        if not self.is_unchanged():
            self._variable.assign(self._values)


class TensorFlowRandomness:
    """TensorFlow's random state in eager execution: the seeds that it gives operations, and their generators."""

    name = "tf.random"

    def __init__(self) -> None:
        from tensorflow.python.eager import context  # the seeds of operations have no public name

        self._context = context.context()
        self._generator: Any = getattr(self._context, "_rng", None)
        self._state = None if self._generator is None else self._generator.getstate()

    def is_unchanged(self) -> bool:
        return self._generator is None or self._generator.getstate() == self._state

    def restore(self) -> None:
        if not self.is_unchanged():
            self._generator.setstate(self._state)
            # Operations that were run keep generators of their own, which have gone on.
            self._context.clear_kernel_cache()


class GlobalGenerator:
    """The generator of Keras for layers and operations without a seed of their own, which is made at first use."""

    name = "keras.random"

    def __init__(self) -> None:
        from keras.src.backend.common import global_state  # it has no public name

        self._holder = global_state
        found = self._holder.get_global_attribute(GLOBAL_GENERATOR)
        self._kept = None if found is None else KeptVariable(found.state)

    def is_unchanged(self) -> bool:
        if self._kept is None:
            return self._holder.get_global_attribute(GLOBAL_GENERATOR) is None
        return self._kept.is_unchanged()

    def restore(self) -> None:
        if self._kept is None:
            self._holder.set_global_attribute(GLOBAL_GENERATOR, None)
        else:
            self._kept.restore()


def randomness(model: Any) -> list[Kept]:
    """Return the random states that a model's calls may change."""
    held: list[Kept] = [HostRandomness()]
    if "keras" in sys.modules:
        held.append(GlobalGenerator())
    if "tensorflow" in sys.modules:
        held.append(TensorFlowRandomness())
    if "torch" in sys.modules:
        import torch

        from attribution_bench.models.torch_state import TorchRandomness

        held.append(TorchRandomness(torch.device("cuda" if torch.cuda.is_available() else "cpu")))
    held += [KeptVariable(variable) for variable in model.non_trainable_variables if is_seed(variable)]
    return held


def is_seed(variable: Any) -> bool:
    """Whether a variable holds the state of a layer's own generator."""
    return "seed" in str(getattr(variable, "path", variable.name)) and "int" in str(variable.dtype)
