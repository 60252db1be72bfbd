"""The oracle of fastISM's tests: every mutation by a full pass of the model."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import attribution_bench as ab
from attribution_bench.models import SequenceModel
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism.engine import Engine, Options
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.planning.sizes import SizePolicy

ROWS_AT_ONCE = 1000
SMALLEST_SCALE = 1e-3
"""Outputs smaller than this are compared as if they were this large: they are what rounding leaves of a difference."""


def one_hot(count: int, letters: int, length: int, seed: int = 0) -> NDArray[np.float64]:
    """Return random one-hot sequences (N, A, L)."""
    indices = np.random.default_rng(seed).integers(0, letters, (count, length))
    return np.eye(letters)[indices].transpose(0, 2, 1)


def every_mutation(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the sequences (N, A, L) with each letter at each position in turn, (N, A, L, A, L)."""
    count, letters, length = x.shape
    mutated = np.broadcast_to(x[:, None, None], (count, letters, length, letters, length)).copy()
    for position in range(length):
        mutated[:, :, position, :, position] = np.eye(letters)
    return mutated


def brute_force(
    module: nn.Module, x: NDArray[np.floating], extras: tuple[torch.Tensor, ...] = ()
) -> dict[str, NDArray[np.floating]]:
    """Return each output's predictions (N, A, L, ...) by full passes over whole mutated sequences."""
    model = ab.as_sequence_model(module)
    count, letters, length = x.shape
    mutated = torch.as_tensor(every_mutation(x)).flatten(0, 2)
    repeated = tuple(extra.repeat_interleave(letters * length, 0) for extra in extras)
    with torch.no_grad(), model.inference():
        passes = [
            model.forward(mutated[rows : rows + ROWS_AT_ONCE], tuple(e[rows : rows + ROWS_AT_ONCE] for e in repeated))
            for rows in range(0, len(mutated), ROWS_AT_ONCE)
        ]
    joined = {name: torch.cat([part[name] for part in passes]).numpy() for name in passes[0]}
    return {name: array.reshape(count, letters, length, *array.shape[1:]) for name, array in joined.items()}


def assert_parity(
    found: dict[str, NDArray[np.floating]], truth: dict[str, NDArray[np.floating]], tolerance: float
) -> None:
    """Fail where predictions differ by more than `tolerance` of their output's scale."""
    assert list(found) == list(truth)
    for name, expected in truth.items():
        assert found[name].shape == expected.shape
        assert np.isfinite(expected).all()
        scale = max(float(np.abs(expected).max()), SMALLEST_SCALE)
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=tolerance * scale, err_msg=f"output {name!r}")


def plan_of(model: SequenceModel, length: int, extras: tuple[np.ndarray, ...] = ()) -> Plan:
    """Return the plan of a model, whatever it would gain."""
    engine = Engine(model, Options(memory_budget=None, self_check=False, rules={}, min_speedup=0.0))
    engine.explain(length, extras)
    (compiled,) = engine.cache.models
    assert compiled.plan is not None
    return compiled.plan


def sized(method: FastISM, sizes: SizePolicy) -> FastISM:
    """Return a method whose engine divides work by other constants than those of its device."""
    method.engine = Engine(method.model, Options(**method.options, sizes=sizes))
    return method
