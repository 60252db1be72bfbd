"""Maximum pools before the functions that they follow, where the order does not matter: less is left to compute."""

from dataclasses import replace

import torch

from attribution_bench_plugins.fastism.graph.ir import Graph, Node

LINEAR = frozenset({"contract", "conv", "conv2d", "conv_transpose", "linear"})
"""Operations that a batch norm after them is folded into, so that it costs nothing where it is."""


def pool_first(graph: Graph) -> Graph:
    """Return the graph with each maximum pool moved before ReLUs and rising batch norms that it alone reads.

    The largest of some values stays the largest under a function that never falls, so that nothing changes but how
    many values the function is computed of.
    """
    nodes = dict(graph.nodes)
    readers = dict.fromkeys(nodes, 0)
    for node in nodes.values():
        for name in node.inputs:
            readers[name] += 1
    for name in graph.outputs.values():
        readers[name] += 1
    for name in nodes:
        # Whoever bears the later name is the pool until it has been moved; names keep their places in the order.
        while nodes[name].op == "max_pool" and (before := _before(nodes[name], nodes, readers)) is not None:
            pool, function = nodes[name], before
            nodes[function.name] = replace(pool, name=function.name, inputs=function.inputs)
            nodes[name] = replace(function, name=name, inputs=(function.name,), shape=pool.shape)
            name = function.name
    return Graph(nodes, graph.input, graph.extras, graph.outputs)


def _before(pool: Node, nodes: dict[str, Node], readers: dict[str, int]) -> Node | None:
    """Return the function that a pool may move before; None where there is none."""
    function = nodes[pool.inputs[0]]
    if readers[function.name] > 1 or pool.shape is None or len(pool.shape) != len(function.shape or ()):
        return None
    if function.op == "relu":
        return function
    if function.op != "batch_norm" or nodes[function.inputs[0]].op in LINEAR:
        return None
    weight, axis = function.parameters["weight"], function.parameters["axis"] % len(pool.shape)
    rises = weight is None or bool(torch.all(weight >= 0))
    return function if rises and axis != pool.parameters["position_axis"] % len(pool.shape) else None
