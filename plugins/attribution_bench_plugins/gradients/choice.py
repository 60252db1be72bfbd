"""The choice of the framework that takes a model's gradients."""

from attribution_bench.errors import UnsupportedError
from attribution_bench.models import SequenceModel
from attribution_bench_plugins.gradients.base import Gradients


def gradients_of(model: SequenceModel) -> Gradients:
    """Return the gradients of a model in the framework that its tensors belong to.

    Raises
    ------
    UnsupportedError
        A Keras model on a backend other than TensorFlow or PyTorch.
    """
    backend = model.framework
    if backend == "keras":
        import keras

        backend = keras.backend.backend()
    if backend == "torch":
        from attribution_bench_plugins.gradients.in_torch import TorchGradients

        return TorchGradients(model)
    if backend == "tensorflow":
        from attribution_bench_plugins.gradients.in_tensorflow import TensorFlowGradients

        return TensorFlowGradients(model)
    raise UnsupportedError(
        f"gradients of Keras models are taken with the tensorflow or torch backend, not {backend!r}; "
        "set KERAS_BACKEND before Keras is imported, or use an ISM method"
    )
