"""SequenceModel over a Keras 3 model, whatever its backend."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import DeviceError
from attribution_bench.models.sequence_model import Layout, SequenceModel, Tensor, nothing
from attribution_bench.models.targets import Selection, check_reduced


class KerasSequenceModel(SequenceModel):
    """A keras.Model as a SequenceModel. It is always called with ``training=False``."""

    framework: ClassVar[Literal["torch", "keras"]] = "keras"
    default_layout: ClassVar[Layout] = "NLA"

    @property
    def numpy_dtype(self) -> np.dtype[Any]:  # noqa: D102 - the base class says it
        return np.dtype(np.float64 if self._dtype == "float64" else np.float32)

    @cached_property
    def _dtype(self) -> str:
        # Of the variables and not of the model's policy, which need not be that of its layers.
        kinds = (keras.backend.standardize_dtype(weight.dtype) for weight in self.model.weights)
        return next((kind for kind in kinds if "float" in kind), str(self.model.variable_dtype))

    @contextlib.contextmanager
    def inference(self) -> Iterator[None]:  # noqa: D102 - the base class says it
        # A call with training=False changes nothing in the model, so that nothing has to be restored.
        with keras.device(self.device):
            yield

    def to_tensor(self, array: NDArray[Any]) -> Tensor:  # noqa: D102 - the base class says it
        array = np.asarray(array)
        floating = np.issubdtype(array.dtype, np.floating)
        return keras.ops.convert_to_tensor(array, dtype=self._dtype if floating else None)

    def to_numpy(self, tensor: Tensor) -> NDArray[Any]:  # noqa: D102 - the base class says it
        half = keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16")
        array: NDArray[Any] = keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32") if half else tensor)
        return array

    def forward(  # noqa: D102 - the base class says it
        self, x: Tensor, extras: tuple[Tensor, ...] = ()
    ) -> dict[str, Tensor]:
        x = keras.ops.transpose(x, (0, 2, 1)) if self.layout == "NLA" else x
        outputs = self.model([x, *extras] if extras else x, training=False)
        names = getattr(self.model, "output_names", None)
        several = isinstance(outputs, tuple | list) and len(outputs) > 1
        return self._named(outputs, tuple(names) if names and several else None)

    def select(self, outputs: dict[str, Tensor], selection: Selection) -> Tensor:  # noqa: D102 - the base class says it
        value = outputs[selection.name]
        if selection.index is not None:
            return value[(slice(None), *selection.index)]
        if selection.reducer is None:
            return value
        if callable(selection.reducer):
            reduced = selection.reducer(value)
            check_reduced(reduced, value)
            return reduced
        flat = keras.ops.reshape(value, (value.shape[0], -1))
        reduce = {"sum": keras.ops.sum, "mean": keras.ops.mean, "logsumexp": keras.ops.logsumexp}[selection.reducer]
        return reduce(flat, axis=1)

    def no_gradient(self) -> contextlib.AbstractContextManager[Any]:  # noqa: D102 - the base class says it
        if keras.backend.backend() == "torch":
            import torch

            return torch.no_grad()
        return nothing()  # other backends record nothing unless they are asked to

    def versions(self) -> dict[str, str]:  # noqa: D102 - the base class says it
        backend = keras.backend.backend()
        module = __import__(backend)
        return {"keras": keras.__version__, backend: module.__version__}

    def precision_state(self) -> dict[str, Any]:  # noqa: D102 - the base class says it
        if keras.backend.backend() != "tensorflow":
            return {"tf32": False}
        import tensorflow as tf

        gpu = bool(tf.config.list_physical_devices("GPU"))
        return {"tf32": gpu and bool(tf.config.experimental.tensor_float_32_execution_enabled())}

    def _resolve_device(self, device: str | None) -> str:
        if device is None:
            return "cpu:0" if keras.backend.backend() != "tensorflow" else _default_tensorflow_device()
        kind, _, index = device.partition(":")
        wanted = f"{'gpu' if kind == 'cuda' else kind}:{index or 0}"
        found = ["cpu:0", *_gpus()]
        if wanted not in found:
            raise DeviceError(f"device {device!r} is not to be had here; Keras finds {', '.join(found)}")
        return wanted


def _gpus() -> list[str]:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return [f"gpu:{i}" for i in range(len(tf.config.list_physical_devices("GPU")))]
    if keras.backend.backend() == "torch":
        import torch

        return [f"gpu:{i}" for i in range(torch.cuda.device_count())]
    return []


def _default_tensorflow_device() -> str:
    return next(iter(_gpus()), "cpu:0")
