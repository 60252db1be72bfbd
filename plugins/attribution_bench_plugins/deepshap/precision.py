"""Models in half precision are explained in single, since differences of predictions vanish in their rounding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Request
from attribution_bench.errors import UnsupportedError
from attribution_bench.models import SequenceModel, predict, side_by_side
from attribution_bench_plugins.deepshap.paired_run import DEFAULT_BATCH_SIZE

HALVES = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Types of half precision, with the distance from 1 to the next number."""
ROUNDING = 8
"""Such distances, of the size of the largest prediction, that equal models may be apart."""


def in_single(model: SequenceModel, request: Request) -> SequenceModel:
    """Return a copy of a model of half precision in single, and any other model itself.

    Raises
    ------
    UnsupportedError
        A Keras model of half precision that cannot be made anew from its configuration, or not so that it predicts the
        same for the request's sequences.
    """
    if model.framework == "torch":
        import torch

        from attribution_bench.models.torch_model import TorchSequenceModel

        assert isinstance(model, TorchSequenceModel)
        return model.in_single() if model.dtype in (torch.float16, torch.bfloat16) else model
    computes = {str(getattr(layer, "compute_dtype", "")) for layer in model.model._flatten_layers()}
    halves = computes & set(HALVES)
    return _keras_in_single(model, request, max(HALVES[half] for half in halves)) if halves else model


def _keras_in_single(model: SequenceModel, request: Request, distance: float) -> SequenceModel:
    try:
        config, weights = model.model.get_config(), model.model.get_weights()
        single = _made_anew(model, _with_single(config), [weight.astype("float32") for weight in weights])
        same = _made_anew(model, config, weights)
    except Exception as error:  # a model's own code may fail in any way while it is made anew
        raise UnsupportedError(
            "DeepSHAP computes models of half precision in single, and this one cannot be made anew from its "
            f"configuration ({type(error).__name__}: {error}); give a model with the dtype policy float32, or use "
            "another method"
        ) from error
    # What was changed after the model was built may be missing in its configuration.
    now, anew = (_predicted(each, request) for each in (model, same))
    allowed = ROUNDING * distance * np.abs(now[np.isfinite(now)]).max(initial=0)
    if not np.allclose(anew, now, rtol=0, atol=allowed, equal_nan=True):
        raise UnsupportedError(
            "DeepSHAP computes models of half precision in single, and this one predicts something else once it is "
            "made anew from its configuration, as one that was changed after it was built does; have `get_config` of "
            "its layers tell all that they compute with, give a model with the dtype policy float32, or use another "
            "method"
        )
    return single


def _made_anew(model: SequenceModel, config: Any, weights: Sequence[NDArray[Any]]) -> SequenceModel:
    copied = type(model.model).from_config(config)
    copied.build(model.model.input_shape)
    copied.set_weights(weights)
    return type(model)(
        copied,
        layout=model.layout,
        alphabet=model.alphabet,
        device=model.device,
        output_names=model.output_names,
        sequence_input=model.sequence_input,
    )


def _predicted(model: SequenceModel, request: Request) -> NDArray[Any]:
    size = request.batch_size or DEFAULT_BATCH_SIZE
    with model.inference():
        predictions = predict(model, request.one_hot, request.selections, extras=request.extras, batch_size=size)
    return side_by_side(predictions)


def _with_single(config: Any) -> Any:
    """Return a configuration with single precision in the place of half."""
    if isinstance(config, dict):
        return {key: _with_single(part) for key, part in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_single(part) for part in config)
    return "float32" if config in (*HALVES, *(f"mixed_{half}" for half in HALVES)) else config
