"""SequenceModel over a Keras 2 model, as the tf_keras package runs it on TensorFlow."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from attribution_bench.errors import DeviceError
from attribution_bench.models.keras_model import KerasSequenceModel
from attribution_bench.models.sequence_model import Tensor
from attribution_bench.models.traced_forward import TracedForward


class Keras2SequenceModel(KerasSequenceModel):
    """A tf_keras.Model as a SequenceModel. It is always called with ``training=False``."""

    on_tensorflow: ClassVar[bool] = True

    @cached_property
    def _dtype(self) -> str:
        kinds = (weight.dtype.name for weight in self.model.weights)
        return next((kind for kind in kinds if "float" in kind), str(self.model.variable_dtype or "float32"))

    @contextlib.contextmanager
    def inference(self) -> Iterator[None]:
        with self._looked_at(), tf.device(self.device):
            yield

    @property
    def _padded(self) -> None:
        """None: Keras 2 takes no operand of a sum for a bias."""
        return None

    @cached_property
    def _traced(self) -> TracedForward:
        return TracedForward(self.forward)

    def to_tensor(self, array: NDArray[Any]) -> Tensor:
        tensor = tf.convert_to_tensor(np.asarray(array))
        return tf.cast(tensor, self._dtype) if tensor.dtype.is_floating else tensor

    def to_numpy(self, tensor: Tensor) -> NDArray[Any]:
        half = tensor.dtype.name in ("float16", "bfloat16")
        array: NDArray[Any] = (tf.cast(tensor, "float32") if half else tensor).numpy()
        return array

    def no_gradient(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def versions(self) -> dict[str, str]:
        return {"tf_keras": tf_keras.__version__, "tensorflow": tf.__version__}

    def weights(self) -> Iterator[tuple[str, NDArray[Any]]]:
        for index, weight in enumerate(self.model.weights):
            yield f"{index}", weight.numpy()

    def precision_state(self) -> dict[str, Any]:
        gpu = bool(tf.config.list_physical_devices("GPU"))
        return {"tf32": gpu and bool(tf.config.experimental.tensor_float_32_execution_enabled())}

    def _input_structure(self) -> Any:
        return getattr(self.model, "_nested_inputs", None)

    def _transposed(self, x: Tensor) -> Tensor:
        return tf.transpose(x, (0, 2, 1))

    def _reduced(self, value: Tensor, reducer: str) -> Tensor:
        flat = tf.reshape(value, (value.shape[0], -1))
        return {"sum": tf.reduce_sum, "mean": tf.reduce_mean, "logsumexp": tf.reduce_logsumexp}[reducer](flat, axis=1)

    def _resolve_device(self, device: str | None) -> str:
        gpus = [f"gpu:{i}" for i in range(len(tf.config.list_physical_devices("GPU")))]
        if device is None:
            return next(iter(gpus), "cpu:0")
        kind, _, index = device.partition(":")
        wanted = f"{'gpu' if kind == 'cuda' else kind}:{index or 0}"
        if wanted not in ("cpu:0", *gpus):
            raise DeviceError(
                f"device {device!r} is not available here; TensorFlow finds {', '.join(['cpu:0', *gpus])}"
            )
        return wanted
