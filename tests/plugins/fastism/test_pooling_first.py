"""Maximum pools move before functions that never fall, and nowhere else."""

import pytest
import torch
from torch import nn

from attribution_bench_plugins.fastism.capture.from_torch import capture
from attribution_bench_plugins.fastism.execution.unmutated import run_graph
from attribution_bench_plugins.fastism.graph.ir import Graph
from attribution_bench_plugins.fastism.planning.pooling_first import pool_first
from fastism_models import Custom, chain


def norm(*weight: float) -> nn.BatchNorm1d:
    """Return a batch norm of this number of channels, with statistics that change the result."""
    module = nn.BatchNorm1d(len(weight))
    module.weight.data = torch.tensor(weight, dtype=torch.float32)
    module.running_mean = torch.linspace(-1, 1, len(weight))
    return module


def graphs(module: nn.Module) -> tuple[Graph, Graph]:
    """Return the graph of a module as it is captured and with pools first."""
    captured = capture(module.eval(), torch.randn(2, 4, 21), (), ("output",))
    return captured, pool_first(captured)


def kinds(graph: Graph) -> list[str]:
    """Return the operations in their order, without inputs and constants."""
    return [node.op for node in graph.nodes.values() if node.inputs]


MOVED = {
    "a pool whose taps leave the positions on one side": (
        chain(nn.Conv1d(4, 3, 3), nn.ReLU(), nn.MaxPool1d(2, 1, padding=1, dilation=19)),
        ["conv", "max_pool", "relu"],
    ),
    "ReLU": (chain(nn.Conv1d(4, 3, 3), nn.ReLU(), nn.MaxPool1d(3)), ["conv", "max_pool", "relu"]),
    "ReLU, then a rising norm": (
        chain(nn.Conv1d(4, 3, 3), nn.ReLU(), norm(1, 0.5, 0), nn.MaxPool1d(5, 2, padding=1)),
        ["conv", "max_pool", "relu", "batch_norm"],
    ),
    "two pools": (
        chain(nn.Conv1d(4, 3, 3), nn.ReLU(), nn.MaxPool1d(2), nn.ReLU(), nn.MaxPool1d(2, ceil_mode=True)),
        ["conv", "max_pool", "max_pool", "relu", "relu"],
    ),
    "a norm that the convolution absorbs": (
        chain(nn.Conv1d(4, 3, 3), norm(1, 2, 3), nn.ReLU(), nn.MaxPool1d(3)),
        ["conv", "batch_norm", "max_pool", "relu"],
    ),
}
LEFT = {
    "a norm that falls": chain(nn.Conv1d(4, 3, 3), nn.ReLU(), norm(1, -0.5, 1), nn.MaxPool1d(3)),
    "a function that may fall": chain(nn.Conv1d(4, 3, 3), nn.GELU(), nn.MaxPool1d(3)),
    "an output of padding alone": chain(nn.Conv1d(4, 3, 3), nn.ReLU(), nn.MaxPool1d(2, 2, padding=1, dilation=20)),
    "an average": chain(nn.Conv1d(4, 3, 3), nn.ReLU(), nn.AvgPool1d(3)),
    "something else reads it": Custom(
        lambda m, x: (lambda y: m.pool(y).sum(2) + y.mean(2))(m.conv(x).relu()),
        conv=nn.Conv1d(4, 3, 3),
        pool=nn.MaxPool1d(3),
    ),
    "positions are normalised": Custom(
        lambda m, x: m.pool(m.norm(m.conv(x).relu().transpose(1, 2)).transpose(1, 2)),
        conv=nn.Conv1d(4, 3, 3),
        norm=norm(*range(1, 20)),
        pool=nn.MaxPool1d(3),
    ),
}


@pytest.mark.parametrize("name", MOVED)
def test_pools_move_and_change_no_bit(name: str) -> None:
    module, expected = MOVED[name]
    captured, moved = graphs(module)
    assert [kind for kind in kinds(moved) if kind not in ("view", "permute")] == expected
    x = torch.randn(5, 4, 21)
    outputs = [
        run_graph(graph, {graph.input: x}, 5, frozenset(graph.outputs.values()))[graph.outputs["output"]]
        for graph in (captured, moved)
    ]
    assert torch.equal(*outputs)
    assert torch.equal(outputs[0], module(x))
    layers = {node.layer: node.op for node in captured.nodes.values()}
    assert {node.layer: node.op for node in moved.nodes.values()} == layers


@pytest.mark.parametrize("name", LEFT)
def test_order_that_matters_is_kept(name: str) -> None:
    captured, moved = graphs(LEFT[name])
    assert kinds(moved) == kinds(captured)
