"""Rules that shap's TensorFlow explainer lacks, and the tables of shap and TensorFlow that it writes to.

shap keeps its rules in a module's dict and swaps entries of TensorFlow's gradient registry while it traces; both are
restored here, whatever happens in between.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from shap.explainers._deep import deep_tf
from tensorflow.python.eager import execute
from tensorflow.python.framework import ops

Handler = Callable[..., Any]


def without_rule(explainer: Any, operation: Any, *gradients: Any) -> Any:
    """Take the gradient: a stand-in for operations that no rule covers, which the convergence delta then shows."""
    return deep_tf.passthrough(explainer, operation, *gradients)


def largest(explainer: Any, operation: Any, *gradients: Any) -> list[Any]:
    """Maximum over axes: a change of the maximum goes to the elements that hold it, as in shap's rule for pools."""
    x, reference = tf.split(operation.inputs[0], 2)
    output, reference_output = tf.split(operation.outputs[0], 2)
    top = tf.maximum(output, reference_output)
    share = tf.concat([top - reference_output, output - top], 0)
    contribution = tf.add_n(tf.split(_own_gradient(explainer, operation, gradients[0] * share)[0], 2))
    change = x - reference
    same = tf.equal(change, 0)
    slope = tf.split(_own_gradient(explainer, operation, gradients[0])[0], 2)[0]
    multiplier = tf.where(same, slope, contribution / tf.where(same, tf.ones_like(change), change))
    return [tf.concat([multiplier, multiplier], 0), None]


def _own_gradient(explainer: Any, operation: Any, *gradients: Any) -> Any:
    """Gradient that TensorFlow itself defines for the operation."""
    return deep_tf.passthrough(explainer, operation, *gradients)


RULES: dict[str, Handler] = {
    # The blocks of a dilated convolution, the transposed convolution, and others that are linear in their data.
    "SpaceToBatchND": deep_tf.linearity_1d(0),
    "BatchToSpaceND": deep_tf.linearity_1d(0),
    "Conv2DBackpropInput": deep_tf.linearity_1d(2),
    "DepthwiseConv2dNative": deep_tf.linearity_1d(0),
    "Conv3D": deep_tf.linearity_1d(0),
    "FusedBatchNormV3": deep_tf.linearity_1d(0),
    "PadV2": deep_tf.linearity_1d(0),
    "MirrorPad": deep_tf.linearity_1d(0),
    "ResizeNearestNeighbor": deep_tf.linearity_1d(0),
    "Split": deep_tf.linearity_1d(1),
    "SplitV": deep_tf.linearity_1d(0),
    "Slice": deep_tf.linearity_1d(0),
    "BroadcastTo": deep_tf.linearity_1d(0),
    "Neg": deep_tf.passthrough,
    "AddN": deep_tf.passthrough,
    # Functions of one element.
    "LeakyRelu": deep_tf.nonlinearity_1d(0),
    "Relu6": deep_tf.nonlinearity_1d(0),
    "Softsign": deep_tf.nonlinearity_1d(0),
    "Erf": deep_tf.nonlinearity_1d(0),
    "Erfc": deep_tf.nonlinearity_1d(0),
    "Expm1": deep_tf.nonlinearity_1d(0),
    "Log": deep_tf.nonlinearity_1d(0),
    "Log1p": deep_tf.nonlinearity_1d(0),
    "Sqrt": deep_tf.nonlinearity_1d(0),
    "Abs": deep_tf.nonlinearity_1d(0),
    "Reciprocal": deep_tf.nonlinearity_1d(0),
    # shap's own entry divides by a change of another shape.
    "Max": largest,
}


@contextlib.contextmanager
def extended_rules() -> Iterator[None]:
    """Complete shap's rules while the context lasts; restore them and TensorFlow's gradient registry after it."""
    registry = ops._gradient_registry._registry
    handlers, entries = dict(deep_tf.op_handlers), {name: dict(entry) for name, entry in registry.items()}
    record = execute.record_gradient
    try:
        deep_tf.op_handlers.update(RULES)
        for name, entry in entries.items():
            deep_tf.op_handlers.setdefault(name, deep_tf.break_dependence if entry["type"] is None else without_rule)
        yield
    finally:
        deep_tf.op_handlers.clear()
        deep_tf.op_handlers.update(handlers)
        registry.clear()
        registry.update(entries)
        execute.record_gradient = record
