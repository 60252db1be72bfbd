"""DeepLIFT on Keras models of the TensorFlow backend: shap.DeepExplainer on one scalar at a time."""

import warnings
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Request
from attribution_bench.errors import UnsupportedError
from attribution_bench.models import SequenceModel
from attribution_bench.models.targets import Selection


class KerasExplainer:
    """DeepLIFT multipliers of a Keras model, always called with ``training=False``.

    Which scalar is explained, and the further inputs, are variables that the traced graph reads, so that it is traced
    once for all of them.
    """

    def __init__(self, model: SequenceModel, request: Request) -> None:
        if keras.backend.backend() != "tensorflow":
            raise UnsupportedError(
                "DeepSHAP takes Keras models on the TensorFlow backend, and this one runs on "
                f"{keras.backend.backend()}; set KERAS_BACKEND=tensorflow before Keras is imported, "
                "or use another method"
            )
        if not isinstance(model.model, keras.Model):
            raise UnsupportedError(
                "DeepSHAP takes models of Keras 3, and this one is of Keras 2 (tf_keras); use another method"
            )
        from shap.explainers._deep.deep_tf import TFDeep

        from attribution_bench_plugins.deepshap.keras_rules import extended_rules

        self._extended_rules = extended_rules
        self._head = _Head(model, request)
        inputs = keras.Input(request.one_hot.shape[1:], dtype=str(request.one_hot.dtype))
        scalar = keras.Model([inputs], self._head(inputs))
        with warnings.catch_warnings():
            # It warns of every TensorFlow since 2.4, where it went from sessions to functions.
            warnings.filterwarnings("ignore", "Your TensorFlow version is newer", UserWarning)
            self._explainer = TFDeep(scalar, np.zeros((1, *request.one_hot.shape[1:]), request.one_hot.dtype))

    def multipliers(
        self, x: NDArray[Any], references: NDArray[Any], extras: tuple[NDArray[Any], ...], target: int
    ) -> NDArray[np.floating]:
        self._head.choose(target, tuple(np.concatenate([extra, extra]) for extra in extras))
        pairs = np.concatenate([x, references])
        with self._extended_rules():
            (multipliers,) = self._explainer.run(self._explainer.phi_symbolic(0), self._explainer.model_inputs, [pairs])
        return np.asarray(multipliers[: len(x)])

    def unruled(self) -> tuple[str, ...]:
        from shap.explainers._deep.deep_tf import op_handlers

        from attribution_bench_plugins.deepshap.keras_rules import RULES

        found = [
            f"{operation.type} ({operation.name})"
            for operation in self._explainer.between_ops
            if operation.type not in RULES and operation.type not in op_handlers
        ]
        return tuple(dict.fromkeys(found))


class _Head(keras.layers.Layer):  # type: ignore[misc]
    """The model with one scalar of its selected outputs: (batch, A, L) -> (batch,)."""

    def __init__(self, model: SequenceModel, request: Request) -> None:
        import tensorflow as tf

        super().__init__(dtype=str(request.one_hot.dtype), trainable=False)
        self._sequence_model = _Opaque(model)
        self._selections: tuple[Selection, ...] = request.selections
        targets = sum(selection.size for selection in request.selections)
        self._chosen = tf.Variable(np.eye(1, targets, dtype=request.one_hot.dtype)[0], trainable=False)
        self._further = [
            tf.Variable(model.to_tensor(extra[:1]), trainable=False, shape=(None, *extra.shape[1:]))
            for extra in request.extras
        ]

    def choose(self, target: int, extras: tuple[NDArray[Any], ...]) -> None:
        """Set the scalar to explain, an index into all selected ones, and the further inputs of the next batch."""
        self._chosen.assign(np.eye(1, self._chosen.shape[0], target, dtype=self._chosen.dtype.as_numpy_dtype)[0])
        for variable, extra in zip(self._further, extras, strict=True):
            variable.assign(self._sequence_model.content.to_tensor(extra))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0],)

    def call(self, x: Any, training: bool = False) -> Any:
        import tensorflow as tf

        model = self._sequence_model.content
        outputs = model.forward(x, tuple(tf.convert_to_tensor(extra) for extra in self._further))
        rows = tf.shape(x)[0]
        selected = [tf.reshape(model.select(outputs, selection), (rows, -1)) for selection in self._selections]
        flat = selected[0] if len(selected) == 1 else tf.concat(selected, 1)
        return tf.linalg.matvec(flat, self._chosen)


class _Opaque:
    """Holds the user's model out of the layer's sight, which would otherwise adopt and build it."""

    def __init__(self, content: SequenceModel) -> None:
        self.content = content
