"""Faster calls on unmutated sequences: they give what the model's own operations do, whatever the order in memory."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations, run_graph
from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.parameters import BatchNormParameters, ConvolutionParameters
from attribution_bench_plugins.fastism.ops.channels_last import ChannelsLastAffine, ChannelsLastConvolution
from attribution_bench_plugins.fastism.values.window import whole
from parity import assert_parity, brute_force, one_hot, plan_of

CHANNELS, LENGTH = 5, 30


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def convolution(kernel: int, stride: int, dilation: int, padding: tuple[int, int], channel_axis: int) -> Node:
    """Return a node as capture makes it of a layer with a bias, in float64."""
    weight = torch.randn(7, CHANNELS, kernel, generator=generator(), dtype=torch.float64)
    bias = torch.randn(7, generator=generator(), dtype=torch.float64)

    def call(x: Tensor) -> Tensor:
        padded = F.pad(x.movedim(channel_axis, 1), padding)
        return F.conv1d(padded, weight, bias, stride, 0, dilation).movedim(1, channel_axis)

    p = ConvolutionParameters(weight, stride, dilation, padding, 1, 3 - channel_axis, channel_axis)
    return Node("conv", "conv", ("x",), call, "conv", None, p)


def in_orders(x: Tensor) -> list[Tensor]:
    """Return the same numbers in several orders in memory."""
    return [x.contiguous(), x.transpose(1, 2).contiguous().transpose(1, 2), torch.cat([x, x], 2)[:, :, : x.shape[2]]]


@pytest.mark.parametrize("channel_axis", [1, 2])
@pytest.mark.parametrize("padding", [(0, 0), (3, 3), (2, 5)])
def test_convolutions_are_the_models(channel_axis: int, padding: tuple[int, int]) -> None:
    x = torch.randn(3, CHANNELS, LENGTH, generator=generator(), dtype=torch.float64).movedim(1, channel_axis)
    for kernel, stride, dilation in itertools.product((1, 2, 5), (1, 3), (1, 2, 4)):
        node = convolution(kernel, stride, dilation, padding, channel_axis)
        faster, expected = ChannelsLastConvolution(node), node.call(x)
        for ordered in in_orders(x):
            assert torch.equal(faster.arranged(ordered), x)
            for operand in (ordered, faster.arranged(ordered)):
                torch.testing.assert_close(faster(operand), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_batch_norms_are_the_models(axis: int) -> None:
    x = torch.randn(3, CHANNELS, CHANNELS, generator=generator(), dtype=torch.float64)
    weight, bias, mean = torch.randn(3, CHANNELS, generator=generator(), dtype=torch.float64)
    p = BatchNormParameters(weight, bias, mean, mean.square() + 0.1, 1e-3, axis)

    def call(x: Tensor) -> Tensor:
        return F.batch_norm(x.movedim(axis, 1), mean, p.variance, weight, bias, eps=1e-3).movedim(1, axis)

    faster = ChannelsLastAffine(Node("norm", "batch_norm", ("x",), call, "norm", None, p))
    for ordered in in_orders(x):
        torch.testing.assert_close(faster(ordered), call(x), rtol=0, atol=1e-12)


class Dilated(nn.Module):
    """Residual blocks that crop, as ChromBPNet's, with a batch norm, a flattened head and a second output."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, channels, 7)
        self.blocks = nn.ModuleList(nn.Conv1d(channels, channels, 3, dilation=2**i) for i in range(3))
        self.norm = nn.BatchNorm1d(channels)
        self.norm.running_mean, self.norm.running_var = torch.randn(channels), torch.rand(channels) + 0.5
        self.same = nn.Conv1d(channels, channels, 4, padding="same")
        self.profile, self.dense = nn.ConvTranspose1d(channels, 2, 5), nn.Linear(channels * 20, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = torch.relu(self.stem(x))
        for i, block in enumerate(self.blocks):
            x = x[..., 2**i : x.shape[-1] - 2**i] + torch.relu(block(x))
        x = self.same(self.norm(x))
        return {"profile": self.profile(x), "flat": self.dense(x.flatten(1)), "positions": x}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("length", [40])
def test_a_pass_is_the_graphs(length: int) -> None:
    """In float32, whose convolutions of many channels run in channels-last order."""
    torch.manual_seed(0)
    model, x = ab.as_sequence_model(Dilated(16).eval()), one_hot(3, 4, length)
    with model.inference(), torch.inference_mode():
        plan = plan_of(model, length)
        assert plan is not None
        assert sum(isinstance(call, ChannelsLastConvolution) for call in plan.unmutated_calls.values()) == 4
        inputs = {plan.graph.input: torch.as_tensor(x, dtype=torch.float32)}
        found, truth = UnmutatedActivations(plan, inputs), run_graph(plan.graph, inputs, 3, frozenset(plan.steps))
        for name in plan.unmutated_reads - set(plan.graph.outputs.values()):
            layout = plan.steps[name].layout
            assert layout is not None
            expected = layout.to_engine(truth[name])
            torch.testing.assert_close(
                found.view(name, whole(layout.length), 1)[:, 0, 0], expected, rtol=1e-5, atol=1e-5
            )
        for name in plan.graph.outputs.values():
            assert found.output(name).is_contiguous()
            torch.testing.assert_close(found.output(name), truth[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [128, 256])
def test_a_pass_rounds_no_more_coarsely_than_the_models(channels: int) -> None:
    torch.manual_seed(0)
    wide = nn.Conv1d(channels, channels, 5, padding="same")
    module = nn.Sequential(nn.Conv1d(4, channels, 5), nn.ReLU(), wide, nn.ReLU(), nn.Conv1d(channels, 20, 3)).eval()
    x, asked = one_hot(2, 4, 60), {"target": "all", "positions": [0, 30]}
    windows = ab.get_method("fastism")(module, min_speedup=0).attribute(x, **asked)
    passes = ab.get_method("standard_ism")(module).attribute(x, **asked)
    truth = ab.get_method("standard_ism")(module.double()).attribute(x, **asked)
    for part in ("predictions", "reference_predictions"):
        found, own, exact = (getattr(each, part)["output"] for each in (windows, passes, truth))
        assert np.square(found - exact).mean() <= 1.5**2 * np.square(own - exact).mean()


def with_everything(read: set[str]) -> None:
    """Leave what was read as it is."""


def with_nothing(read: set[str]) -> None:
    """Pretend that something was read that nothing reads."""
    read.clear()
    read.add("nothing")


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("forget", [with_everything, with_nothing])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_what_was_not_kept_is_there_after_all(
    forget: Callable[[set[str]], None], dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    module = Dilated(16).eval().to(dtype)
    method, x = ab.get_method("fastism")(module, min_speedup=0), one_hot(2, 4, 40)
    asked = {"target": "all", "positions": [0, 19, 20, 39]}
    method.attribute(x[:1], **asked)
    (compiled,) = method.engine.cache.models
    plan = compiled.plan
    assert plan is not None
    assert set() < plan.read_unmutated < plan.unmutated_reads
    forget(plan.read_unmutated)
    found = method.attribute(x, **asked).predictions
    truth = brute_force(module.double(), x)
    every = {name: values[:, :, [0, 19, 20, 39]] for name, values in truth.items()}
    assert_parity({name: np.asarray(values) for name, values in found.items()}, every, tolerance)
