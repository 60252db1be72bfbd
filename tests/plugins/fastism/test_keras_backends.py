"""Keras on its other backends, one of which is chosen once a process: the engine's predictions in one of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
sys.path.insert(0, {helpers!r})
import keras
import keras_models
import numpy as np
import attribution_bench as ab

backend = keras.backend.backend()
assert backend == {backend!r}


def change(model):
    if backend == "torch":
        model.trainable_variables[0].value.data.mul_(1.5)
    else:
        model.trainable_variables[0].assign(1.5 * model.trainable_variables[0])


def compare(method, model, name, extras):
    fast = method.attribute(x, target="all", additional_forward_args=extras)
    slow = ab.get_method("standard_ism")(model).attribute(x, target="all", additional_forward_args=extras)
    if name == "subclassed" and backend != "torch":
        assert "cannot be followed" in fast.metadata["fallback"]
    else:
        assert "fallback" not in fast.metadata, (name, fast.metadata["fallback"])
    for output, expected in slow.predictions.items():
        error = np.abs(fast.predictions[output] - expected).max() / np.abs(expected).max()
        assert error < (2e-2 if name == "mixed precision" else 1e-5), (name, output, error)


x = np.eye(4)[np.random.default_rng(0).integers(0, 4, (2, keras_models.LENGTH))].transpose(0, 2, 1)
names = ["convolutions", "operations", "pools", "normalisations", "merges", "nested", "recurrent", "users_own"]
models = {{name: keras_models.build(name, "float32") for name in names}}
models["double precision"] = keras_models.build("convolutions")
models["mixed precision"] = keras_models.build("pools", "mixed_bfloat16")
models["subclassed"] = keras_models.Subclassed()
models["several inputs"] = keras_models.several_inputs("dict", "float32")
for name, model in models.items():
    extras = ()
    if name == "several inputs":
        extras = np.ones((2, keras_models.LENGTH, 2), "float32"), np.ones((2, 3), "float32")
    method = ab.get_method("fastism")(model, min_speedup=0)  # windows, however small the model
    compare(method, model, name, extras)
    if name in ("convolutions", "pools"):
        (captured,) = method.engine.cache.models
        opaque = {{step.node.layer for step in captured.plan.steps.values() if step.node.op == "opaque"}}
        # Keras pads averages otherwise on PyTorch, so that only it can call that layer.
        assert opaque <= {{"average_pooling1d (AveragePooling1D)"}}, opaque
    change(model)
    compare(method, model, name, extras)
print("compared", len(models))
"""
WITHOUT_JAX = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")


@pytest.mark.parametrize("backend", ["torch", pytest.param("jax", marks=WITHOUT_JAX)])
def test_models_on_other_backends(backend: str) -> None:
    helpers = str(Path(__file__).parents[2] / "helpers")
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT.format(helpers=helpers, backend=backend)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "compared 12\n", done.stderr[-3000:]
