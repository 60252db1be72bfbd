"""Positions that a function of TensorFlow tensors reads of an output, found by tracing it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import torch

from attribution_bench_plugins.fastism.capture.errors import require

MOVING = frozenset(
    (
        *("ExpandDims", "GatherV2", "Identity", "Reshape", "ReverseV2", "Slice", "Split", "SplitV", "Squeeze"),
        *("StopGradient", "StridedSlice", "Tile", "Transpose", "Unpack"),
    )
)
"""Operations whose results hold elements of one operand, at places that no value of it decides."""
OF_SHAPE = frozenset(("Rank", "Shape", "ShapeN", "Size"))
"""Operations that read no element."""
MOST_POSITIONS = {torch.float32: 2**24, torch.float64: 2**53}
"""Positions that are whole numbers in a type of the output."""


def positions_read(function: Callable[[Any], Any], positions: torch.Tensor, dtype: torch.dtype) -> range | None:
    """Return the range of the positions that a function of an output (rows, *output) reads.

    It is traced; the operations with which it begins and which only move elements, such as a slice, are then run on the
    elements' positions. What other operations take, or the function returns, is read.

    Parameters
    ----------
    positions
        (rows, *output) the position of each element of the output.
    dtype
        That of the output.

    Returns
    -------
    range or None
        None where the function cannot be followed.
    """
    numbers = tf.constant(positions.numpy(), str(dtype).removeprefix("torch."))

    def elements_read(output: Any) -> list[Any]:
        result = tf.convert_to_tensor(function(output))
        return _read(output.graph, output, result)

    try:
        require(int(positions.max()) < MOST_POSITIONS[dtype])
        specified = tf.TensorSpec((None, *numbers.shape[1:]), numbers.dtype)
        found = tf.function(elements_read, input_signature=[specified], autograph=False)(numbers)
        read = np.concatenate([np.asarray(part).ravel() for part in found])
        return range(int(read.min()), int(read.max()) + 1)
    except Exception:  # code of users may raise anything; it is called on real values later
        return None


def _read(graph: Any, output: Any, result: Any) -> list[Any]:
    """Return the tensors that hold elements of the output, and which something else than a move reads."""
    moved, read = {output.ref()}, {}
    for operation in graph.get_operations():
        held = [tensor for tensor in operation.inputs if tensor.ref() in moved]
        if not held or operation.type in OF_SHAPE:
            continue
        # Of the operands of a split, the elements are the second.
        elements = operation.inputs[1 if operation.type == "Split" else 0]
        if operation.type in MOVING and len(held) == 1 and held[0] is elements:
            moved.update(tensor.ref() for tensor in operation.outputs)
        else:
            read.update({tensor.ref(): tensor for tensor in held})
    if result.ref() in moved:
        read[result.ref()] = result
    return list(read.values())
