"""The profile of fastISM on a model so small that what it runs can be counted by hand."""

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from attribution_bench import as_sequence_model
from attribution_bench.benchmark.engine_profile import (
    EngineProfile,
    load_profiles,
    matrix_rate,
    measure_profile,
    timed_steps,
)
from attribution_bench.benchmark.workloads import Row
from attribution_bench.environment import thread_count
from attribution_bench.errors import InvalidInputError
from attribution_bench.sequences import lambda_windows
from attribution_bench_plugins import fastism
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism.execution import blocks as execute
from attribution_bench_plugins.fastism.execution import head as late
from attribution_bench_plugins.fastism.kernels.program import Prepared

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


def row_of(build: Callable[[], nn.Module]) -> Row:
    sequences = lambda_windows(LENGTH, 3)
    return Row("tiny", LENGTH, "torch", lambda: as_sequence_model(build(), device="cpu"), sequences, (), counted=True)


@pytest.fixture
def profile(tmp_path: Path) -> Callable[..., EngineProfile]:
    def profile(build: Callable[[], nn.Module] = pooled, **options: Any) -> EngineProfile:
        return measure_profile(row_of(build), tmp_path, budget=1.0, device="cpu", threads=1, **options)

    return profile


def test_a_profile_holds_counted_work_and_the_times_of_every_step(
    profile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However little windows save on so small a model.
    monkeypatch.setattr(fastism, "FastISM", partial(FastISM, min_speedup=0))
    found = profile()
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
    method = FastISM(row_of(pooled).build(), self_check=False, min_speedup=0)
    one_hot = lambda_windows(LENGTH, 1).one_hot()
    expected = method.attribute(one_hot).predictions["output"]
    blocks: list[int] = []
    ticks = itertools.count()
    with thread_count("torch", 1), timed_steps(lambda: float(next(ticks)), torch.device("cpu")) as seconds:
        result = method.attribute(one_hot, progress=lambda done, total: blocks.append(done))
    np.testing.assert_array_equal(result.predictions["output"], expected)
    # The clock ticks once between the two looks at it, so that seconds count calls. The pool has three phases, and
    # waits for its reader: once it is said what is to be computed, and once it is. So does the last layer.
    assert len(blocks) >= 3
    by_operation = {operation: value for (_, operation, mode), value in seconds.items() if mode == "windowed"}
    assert by_operation == {"conv": len(blocks), "relu": len(blocks), "max_pool": 2 * len(blocks)}
    dense = {layer: value for (layer, operation, _), value in seconds.items() if operation == "linear"}
    assert list(dense.values()) == [1.0, 2.0]


def test_the_engine_is_left_as_it_was_after_an_error_too() -> None:
    method = FastISM(row_of(pooled).build(), min_speedup=0)
    plain, plain_run = execute.BlockInterpreter, Prepared.run

    def interrupted(done: int, total: int) -> None:
        assert execute.BlockInterpreter is not plain
        raise KeyError

    with pytest.raises(KeyError), timed_steps(lambda: 0.0, torch.device("cpu")):
        method.attribute(lambda_windows(LENGTH, 1).one_hot(), progress=interrupted)
    assert (execute.BlockInterpreter, late.BlockInterpreter, Prepared.run) == (plain, plain, plain_run)
    (engine,) = method._engines.values()
    assert not any("run_merged" in vars(step.operation) for step in engine.plan.steps.values() if step.operation)


def test_a_model_that_takes_full_passes_has_no_nodes_but_a_reason(profile: Any) -> None:
    found = profile(Recurrent)
    assert found.nodes == ()
    assert found.fallback
    assert found.predicted_ratio == 1.0
    assert found.positions >= 8


def test_a_stored_profile_is_used_again_under_the_same_conditions(profile: Any, tmp_path: Path) -> None:
    first = profile()
    assert load_profiles(tmp_path) == (first,)
    ticks = itertools.count(step=10)
    assert profile(clock=lambda: float(next(ticks))) == first
    again = profile(clock=lambda: float(next(ticks)), fresh=True)
    assert again.warm_seconds >= 10
    assert load_profiles(tmp_path) == (again,)


def test_the_matrix_rate_is_the_best_of_several_rounds() -> None:
    # Rounds take 5, 4, 3, 2 and 1 s by this clock.
    looks = iter([0.0, 5.0, 10.0, 14.0, 20.0, 23.0, 30.0, 32.0, 40.0, 41.0])
    assert matrix_rate(torch.device("cpu"), torch.float32, lambda: next(looks)) == 2048.0**3


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"machine": 3}'])
def test_a_damaged_profile_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "profiles" / "basset-1000-torch.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=r"basset-1000-torch\.json is no profile"):
        load_profiles(tmp_path)
