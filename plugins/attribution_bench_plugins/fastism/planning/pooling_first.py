"""Maximum pools moved before monotone functions, which then have fewer values to compute."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from attribution_bench_plugins.fastism.graph.ir import Graph, Node
from attribution_bench_plugins.fastism.graph.parameters import PoolParameters
from attribution_bench_plugins.fastism.ops.registry import SPECS


def pool_first(graph: Graph) -> Graph:
    """Return the graph with each maximum pool moved before the monotone functions that it alone reads.

    The largest of some values stays the largest under a function that never falls, so that nothing changes but how
    many values the function is computed of.
    """
    nodes = dict(graph.nodes)
    readers = Counter(name for node in nodes.values() for name in node.inputs) + Counter(graph.outputs.values())
    for name in nodes:
        # The later of the two names is the pool's until it has been moved; names keep their places in the order.
        while nodes[name].op == "max_pool" and (before := _before(nodes[name], nodes, readers)) is not None:
            pool, function = nodes[name], before
            nodes[function.name] = replace(pool, name=function.name, inputs=function.inputs)
            nodes[name] = replace(function, name=name, inputs=(function.name,), shape=pool.shape)
            name = function.name
    return replace(graph, nodes=nodes)


def _before(pool: Node, nodes: dict[str, Node], readers: Mapping[str, int]) -> Node | None:
    """Return the function that a pool may move before, if any."""
    function = nodes[pool.inputs[0]]
    if readers[function.name] > 1 or pool.shape is None or len(pool.shape) != len(function.shape or ()):
        return None
    traits = SPECS[function.op].traits
    if not traits.monotone or not function.parameters.is_rising:
        return None
    if traits.foldable and SPECS[nodes[function.inputs[0]].op].traits.linear:
        return None  # it is folded into the weights, which costs nothing
    rank, axis = len(pool.shape), function.parameters.varying_axis
    pooled = pool.parameters_as(PoolParameters).position_axis
    if axis is not None and axis % rank == pooled % rank:
        return None
    return None if _reads_padding_alone(pool.parameters_as(PoolParameters), function) else function


def _reads_padding_alone(pool: PoolParameters, source: Node) -> bool:
    """Whether an output of a pool reads no position of its source: it is minus infinity, whatever function is before.

    Only outputs whose first tap is in the padding may, as their taps may step over all positions.
    """
    length = (source.shape or ())[pool.position_axis]
    taps = range(0, pool.kernel * pool.dilation, pool.dilation)
    starts = range(-pool.padding, 0, pool.stride)
    return length is None or not all(any(0 <= start + tap < length for tap in taps) for start in starts)
