"""Keras models run on the same engine: its predictions are the model's own, at every position and letter."""

from collections.abc import Sequence
from typing import Any

import keras
import keras_models
import numpy as np
import pytest
from keras import layers, ops
from keras_models import LENGTH, ONE_INPUT, OPAQUE, build, several_inputs
from numpy.typing import NDArray

import attribution_bench as ab
from attribution_bench_plugins.fastism.engine import FallbackWarning
from attribution_bench_plugins.fastism.plan import Plan


def random_one_hot(count: int, length: int = LENGTH, seed: int = 0) -> NDArray[np.float64]:
    return np.eye(4)[np.random.default_rng(seed).integers(0, 4, (count, length))].transpose(0, 2, 1)


def brute_force(model: Any, x: NDArray[Any], extras: Sequence[NDArray[Any]] = (), pack: Any = None) -> Any:
    """Every mutation by full passes of the model itself; its outputs in its own order, (N, 4, L, *output)."""
    count, letters, length = x.shape
    mutated = np.tile(x[:, None, None], (1, letters, length, 1, 1))
    for position in range(length):
        mutated[:, :, position, :, position] = np.eye(letters)
    rows = mutated.reshape(-1, letters, length).swapaxes(1, 2)
    others = [np.repeat(extra, letters * length, axis=0) for extra in extras]
    outputs = model(pack(rows, *others) if pack else rows, training=False)
    values = list(outputs.values()) if isinstance(outputs, dict) else outputs
    values = values if isinstance(values, list | tuple) else [values]
    arrays = [np.asarray(keras.ops.convert_to_numpy(value)) for value in values]
    return [array.reshape(count, letters, length, *array.shape[1:]) for array in arrays]


def assert_parity(result: Any, truth: Sequence[NDArray[Any]], tolerance: float) -> None:
    assert "fallback" not in result.metadata
    assert len(result.predictions) == len(truth)
    for found, expected in zip(result.predictions.values(), truth, strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def plan_of(method: Any) -> Plan:
    (captured,) = method._engines.values()
    assert captured.plan is not None
    return captured.plan


@pytest.mark.parametrize("name", ONE_INPUT)
def test_every_layer_in_float64(name: str) -> None:
    model, x = build(name), random_one_hot(2)
    before = [value.copy() for value in model.get_weights()]
    method = ab.get_method("fastism")(model)
    assert_parity(method.attribute(x, target="all"), brute_force(model, x), 1e-10)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    opaque = {s.node.layer.rpartition(" (")[2][:-1] for s in plan_of(method).steps.values() if s.node.op == "opaque"}
    assert {kind for kind in opaque if not kind.startswith("output_")} == OPAQUE.get(name, set())
