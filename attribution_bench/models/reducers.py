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
OUT_OF_MEMORY = ("OutOfMemoryError", "ResourceExhaustedError", "MemoryError")
"""Errors of Python and of the frameworks that say nothing of the function."""


def apply_reducer(reducer: Callable[[Any], Any], value: Any, kind: type | None = None) -> Any:
    """Return what a caller's function makes of one output's values (rows, *output): one scalar a sequence.

    Raises
    ------
    TargetError
        It fails, or gives no tensor (rows,), of the class `kind` if one is given; the message tells what works on any
        model.
    """
    try:
        reduced = reducer(value)
    except AttributionBenchError:
        raise
    except Exception as error:  # code of users may raise anything
        if type(error).__name__ in OUT_OF_MEMORY:
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
