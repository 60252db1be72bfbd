"""Functions of callers that reduce an output to one scalar a sequence, on tensors of any framework."""

from collections.abc import Callable
from typing import Any

from attribution_bench.errors import AttributionBenchError, TargetError
from attribution_bench.models.targets import check_reduced

SHARED_METHODS = (
    *("abs", "amax", "amin", "clip", "exp", "flatten", "log", "log1p", "log_softmax", "logsumexp", "mean", "prod"),
    *("relu", "reshape", "sigmoid", "softmax", "sqrt", "square", "squeeze", "sum", "tanh", "unsqueeze"),
)
"""Methods that functions find on the outputs of PyTorch and of TensorFlow models alike, under PyTorch's names."""
REFUSALS = (AttributeError, RuntimeError, TypeError, ValueError)
"""Errors with which a framework refuses the tensors of another."""
OUT_OF_MEMORY = "OutOfMemoryError"
"""Name of PyTorch's class of those that says nothing of the function."""


def apply_reducer(reducer: Callable[[Any], Any], value: Any, kind: type | None = None) -> Any:
    """Return what a caller's function makes of one output's values (rows, *output): one scalar a sequence.

    Raises
    ------
    TargetError
        It cannot be called on the tensor, or gives no tensor (rows,), of the class `kind` if one is given; the message
        tells what works on any model.
    """
    try:
        reduced = reducer(value)
    except AttributionBenchError:
        raise
    except REFUSALS as error:
        if type(error).__name__ == OUT_OF_MEMORY:
            raise
        said = next((line for line in str(error).splitlines() if line.strip()), "")
        raise TargetError(f"the target's function fails: {type(error).__name__}: {said}; {_advice(value)}") from error
    if kind is not None and not isinstance(reduced, kind):
        raise TargetError(f"the target's function gives {type(reduced).__name__}; {_advice(value)}")
    check_reduced(reduced, value)
    return reduced


def _advice(value: Any) -> str:
    """Return what a function of an output may use."""
    return (
        f"it is given a tensor of the model's framework ({type(value).__module__.partition('.')[0]}), of shape "
        f"{tuple(value.shape)}. On every model work operators, numbers and slices as indices, and the methods "
        f"{', '.join(SHARED_METHODS)}"
    )
