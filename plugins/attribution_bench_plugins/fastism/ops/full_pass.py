"""Multiply-accumulates of an operation in a full pass over one sequence, as the specs of ops count them."""

from collections.abc import Sequence

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import elements
from attribution_bench_plugins.fastism.graph.parameters import OpaqueParameters, Parameters, WeightParameters

Shape = Sequence[int | None]


def no_macs(parameters: Parameters, operands: Sequence[Node], output: Shape) -> int:
    """Return 0: the cost of additions, comparisons and functions of elements is what they write."""
    return 0


def macs_per_output(parameters: WeightParameters, operands: Sequence[Node], output: Shape) -> int:
    """Return the MACs with a weight (outputs, ...), of which each element of the output multiplies one row."""
    return parameters.weight.numel() // parameters.weight.shape[0] * elements(output)


def macs_per_input(parameters: WeightParameters, operands: Sequence[Node], output: Shape) -> int:
    """Return the MACs with a weight (inputs, ...), of which each element of the first operand multiplies one row."""
    return size_of(operands[0]) * (parameters.weight.numel() // parameters.weight.shape[0])


def estimated_macs(parameters: OpaqueParameters, operands: Sequence[Node], output: Shape) -> int:
    """Return the estimated MACs of an opaque operation, from its operands.

    It supposes that each weight matrix multiplies every position, and that operands multiply each other where none is
    a weight.
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
    """Return how many elements a node has for one sequence; 0 where it is no single tensor."""
    return 0 if node.shape is None else elements(node.shape)
