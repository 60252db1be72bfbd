"""Multiply-accumulates of an operation in a full pass over one sequence, as the specs of ops count them."""

from collections.abc import Sequence

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import elements
from attribution_bench_plugins.fastism.graph.parameters import OpaqueParameters, Parameters, WeightParameters

Shape = Sequence[int | None]


def no_macs(parameters: Parameters, operands: Sequence[Node], output: Shape) -> int:
    """Return 0: additions, comparisons and functions of elements count by what they write alone."""
    return 0


def macs_per_output(parameters: WeightParameters, operands: Sequence[Node], output: Shape) -> int:
    """Return those of a weight (outputs, ...) whose every row is multiplied for each number of its output."""
    return parameters.weight.numel() // parameters.weight.shape[0] * elements(output)


def macs_per_input(parameters: WeightParameters, operands: Sequence[Node], output: Shape) -> int:
    """Return those of a weight (inputs, ...) whose every row is multiplied by each number of the first operand."""
    return size_of(operands[0]) * (parameters.weight.numel() // parameters.weight.shape[0])


def estimated_macs(parameters: OpaqueParameters, operands: Sequence[Node], output: Shape) -> int:
    """Return an estimate of those of an operation that is known by its operands alone.

    Each weight matrix is taken to multiply every position; changing operands without weights to multiply each other.
    """
    matrices: list[Shape] = list(parameters.weight_shapes)
    changing = []
    for operand in operands:
        size = size_of(operand)
        if operand.op == "constant" and operand.shape is not None and len(operand.shape) > 1:
            matrices.append(operand.shape)
        elif operand.op != "constant" and operand.shape is not None and size:
            changing.append((operand.shape, size))
    if matrices and changing:
        shape, size = max(changing, key=lambda item: item[1])
        rows = size // max(n for n in shape if n is not None)
        positions = max(rows, max((n for n in shape[1:-1] if n is not None), default=1))
        return sum(positions * elements(matrix) for matrix in matrices)
    if len(changing) > 1:
        return changing[0][1] * max((n for n in changing[1][0] if n is not None), default=1)
    return 0


def size_of(node: Node) -> int:
    """Return how many numbers a node has for one sequence; 0 for what is no single tensor."""
    return 0 if node.shape is None else elements(node.shape)
