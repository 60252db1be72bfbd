"""The profile of fastISM on a model so small that what it runs can be counted by hand."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from attribution_bench import as_sequence_model
from attribution_bench.benchmark.engine_profile import MeasuredProfile
from attribution_bench.environment import thread_count
from attribution_bench.sequences import lambda_windows
from attribution_bench.timer import CLOCK
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism.profile import StepTimer, observed

LENGTH = 60


def pooled() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv1d(4, 8, 5, padding=2), nn.ReLU(), nn.MaxPool1d(3), nn.Flatten(), nn.Linear(160, 6), nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(6, 1)).eval()


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.memory(x.transpose(1, 2))[0][:, -1]


def profile(module: nn.Module, **options: Any) -> MeasuredProfile:
    method = FastISM(as_sequence_model(module, device="cpu"), **options)
    with thread_count("torch", 1):
        return method.profile(lambda_windows(LENGTH, 1).one_hot(), budget=1.0, clock=CLOCK)


def test_a_profile_holds_counted_work_and_the_times_of_every_step() -> None:
    # However little windows save on so small a model.
    found = profile(pooled(), min_speedup=0)
    # 60 positions x 5 x 4 x 8, 160 x 6, 6 x 1.
    assert found.products_standard == 60 * 160 + 960 + 6
    # The convolution reaches 5 positions with one letter's change, the pool at most 3 blocks of 8 channels.
    assert 5 * 8 + 8 * 6 + 6 <= found.products_fast <= 5 * 5 * 4 * 8 + 3 * 8 * 6 + 6
    assert found.fallback == ""
    assert found.letters == 4
    assert {(node.operation, node.mode) for node in found.nodes} == {
        ("conv", "windowed"),
        ("relu", "windowed"),
        ("max_pool", "windowed"),
        ("linear", "global"),
        ("relu", "global"),
    }
    assert [node.seconds for node in found.nodes] == sorted((node.seconds for node in found.nodes), reverse=True)
    assert 0 < sum(node.seconds for node in found.nodes) < found.single_thread_seconds
    full, *lower = found.precisions
    assert full.products == "float32"
    assert full.error < 1e-6
    assert full.delta_error < 1e-5
    assert [precision.products for precision in lower] == ["tf32", "bfloat16"]
    assert all(full.error <= precision.error < 0.03 and precision.seconds > 0 for precision in lower)
    assert found.positions == LENGTH
    assert min(found.capture_seconds, found.first_seconds, found.warm_seconds) > 0


def test_steps_are_timed_once_a_block_and_merging_ones_once_in_all() -> None:
    method = FastISM(as_sequence_model(pooled(), device="cpu"), self_check=False, min_speedup=0)
    one_hot = lambda_windows(LENGTH, 1).one_hot()
    expected = method.attribute(one_hot).predictions["output"]
    done_blocks: list[int] = []
    ticks = itertools.count()
    timer = StepTimer(lambda: float(next(ticks)), torch.device("cpu"))
    with thread_count("torch", 1), observed(method.engine, timer):
        result = method.attribute(one_hot, progress=lambda done, total: done_blocks.append(done))
    np.testing.assert_array_equal(result.predictions["output"], expected)
    # The clock ticks once between the two looks at it, so that seconds count calls. The pool is a lazy window: its step
    # is one call, which makes it, and its kernel another. So is the last layer.
    assert len(done_blocks) >= 3
    by_operation = {operation: value for (_, operation, mode), value in timer.seconds.items() if mode == "windowed"}
    assert by_operation == {"conv": len(done_blocks), "relu": len(done_blocks), "max_pool": 2 * len(done_blocks)}
    dense = {layer: value for (layer, operation, _), value in timer.seconds.items() if operation == "linear"}
    assert list(dense.values()) == [1.0, 2.0]


def test_nobody_watches_the_engine_after_an_error() -> None:
    method = FastISM(as_sequence_model(pooled(), device="cpu"), min_speedup=0)
    timer = StepTimer(lambda: 0.0, torch.device("cpu"))

    def interrupted(done: int, total: int) -> None:
        assert timer.seconds
        raise KeyError

    with thread_count("torch", 1), pytest.raises(KeyError), observed(method.engine, timer):
        method.attribute(lambda_windows(LENGTH, 1).one_hot(), progress=interrupted)
    assert method.engine.observer is None


@pytest.mark.own_choice
def test_a_model_that_takes_full_passes_has_no_nodes_but_a_reason() -> None:
    with pytest.warns(RuntimeWarning, match="falls back to standard ISM"):
        found = profile(Recurrent().eval(), min_speedup=2)
    assert found.nodes == ()
    assert found.fallback
    assert found.predicted_ratio == 1.0
    assert found.positions >= 8
