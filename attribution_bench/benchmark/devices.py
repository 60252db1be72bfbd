"""Frameworks and devices that a benchmark runs on, and the batch sizes worth trying there."""

import contextlib
import os
from importlib.util import find_spec
from typing import Any

from attribution_bench.errors import InvalidInputError, MissingDependencyError
from attribution_bench.models import as_sequence_model
from attribution_bench.models.keras_start import import_keras

FRAMEWORKS = {"torch": ("torch", "torch"), "keras": ("keras", "tensorflow")}
"""Framework -> the package it needs, the extra that installs it."""
GPU_BATCH_SIZES = (None, 64, 512, 4096)
CPU_BATCH_SIZES = (None, 8, 32, 256)


def check_framework(framework: str) -> None:
    """Raise InvalidInputError for an unknown framework, MissingDependencyError for one that is not installed."""
    if framework not in FRAMEWORKS:
        raise InvalidInputError(f"unknown framework {framework!r}; choose one of {', '.join(FRAMEWORKS)}")
    package, extra = FRAMEWORKS[framework]
    if find_spec(package) is None or (package == "keras" and not _keras_backend_installed()):
        raise MissingDependencyError.of(package, extra, f"the {framework} framework")


def resolve_device(framework: str, device: str | None) -> str:
    """Return a device as the framework names it, by default a GPU where there is one; raises DeviceError otherwise."""
    check_framework(framework)
    probe: Any
    if framework == "torch":
        import torch

        probe = torch.nn.Identity()
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    else:
        keras = import_keras()
        if keras.backend.backend() == "tensorflow":
            _share_gpu_memory()
        probe = keras.Sequential()
    return as_sequence_model(probe, device=device).device


def default_batch_sizes(device: str) -> tuple[int | None, ...]:
    """Return the batch sizes worth trying on a device; None is each method's own default."""
    return GPU_BATCH_SIZES if device.partition(":")[0] in ("cuda", "gpu") else CPU_BATCH_SIZES


def _share_gpu_memory() -> None:
    """Keep TensorFlow from reserving the whole GPU, so that PyTorch can use it too and peaks mean something."""
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # TensorFlow is running already
            tf.config.experimental.set_memory_growth(gpu, True)


def _keras_backend_installed() -> bool:
    return find_spec(os.environ.get("KERAS_BACKEND", "tensorflow")) is not None
