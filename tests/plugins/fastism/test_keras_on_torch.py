"""Keras on its PyTorch backend, which is chosen once a process: the engine's predictions in one of its own."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
sys.path.insert(0, {helpers!r})
import keras
import keras_models
import numpy as np
import torch
import attribution_bench as ab
from attribution_bench_plugins.fastism import engine

engine.LEAST_GAIN = 0  # windows, however small the model

assert keras.backend.backend() == "torch"
x = np.eye(4)[np.random.default_rng(0).integers(0, 4, (2, keras_models.LENGTH))].transpose(0, 2, 1)
names = ["convolutions", "operations", "pools", "normalisations", "merges", "nested", "recurrent", "users_own"]
models = {{name: keras_models.build(name, "float32") for name in names}}
models["double precision"] = keras_models.build("convolutions")
models["subclassed"] = keras_models.Subclassed()
for name, model in models.items():
    method = ab.get_method("fastism")(model)
    fast = method.attribute(x, target="all")
    slow = ab.get_method("standard_ism")(model).attribute(x, target="all")
    assert "fallback" not in fast.metadata, (name, fast.metadata["fallback"])
    if name in ("convolutions", "pools"):
        (captured,) = method._engines.values()
        opaque = {{step.node.layer for step in captured.plan.steps.values() if step.node.op == "opaque"}}
        # Keras pads averages otherwise on PyTorch, so that only it can call that layer.
        assert opaque <= {{"average_pooling1d (AveragePooling1D)"}}, opaque
    for output, expected in slow.predictions.items():
        error = np.abs(fast.predictions[output] - expected).max() / np.abs(expected).max()
        assert error < 1e-5, (name, output, error)
    with torch.no_grad():
        model.trainable_variables[0].value.mul_(1.5)
    changed = method.attribute(x, target="all")
    slow = ab.get_method("standard_ism")(model).attribute(x, target="all")
    for output, expected in slow.predictions.items():
        error = np.abs(changed.predictions[output] - expected).max() / np.abs(expected).max()
        assert error < 1e-5, (name, output, error)
print("compared", len(models))
"""


def test_models_on_the_torch_backend() -> None:
    helpers = str(Path(__file__).parents[2] / "helpers")
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    command = [sys.executable, "-c", SCRIPT.format(helpers=helpers)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "compared 10\n", done.stderr[-3000:]
