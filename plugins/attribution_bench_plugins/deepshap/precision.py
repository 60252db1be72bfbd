"""Models in half precision are explained in single, since differences of predictions vanish in their rounding."""

from typing import Any

from attribution_bench.errors import UnsupportedError
from attribution_bench.models import SequenceModel

HALVES = ("float16", "bfloat16")


def in_single(model: SequenceModel) -> SequenceModel:
    """Return a copy of a model of half precision in single, and any other model itself.

    Raises
    ------
    UnsupportedError
        A Keras model of half precision that cannot be made anew from its configuration.
    """
    if model.framework == "torch":
        import torch

        from attribution_bench.models.torch_model import TorchSequenceModel

        assert isinstance(model, TorchSequenceModel)
        return model.in_single() if model.dtype in (torch.float16, torch.bfloat16) else model
    return _keras_in_single(model)


def _keras_in_single(model: SequenceModel) -> SequenceModel:
    original = model.model
    computes = {str(getattr(layer, "compute_dtype", "")) for layer in original._flatten_layers()}
    if not computes & set(HALVES):
        return model
    try:
        copied = type(original).from_config(_with_single(original.get_config()))
        copied.build(original.input_shape)
        copied.set_weights([weight.astype("float32") for weight in original.get_weights()])
    except Exception as error:  # a model's own code may fail in any way while it is made anew
        raise UnsupportedError(
            "DeepSHAP computes models of half precision in single, and this one cannot be made anew from its "
            f"configuration ({type(error).__name__}: {error}); give a model with the dtype policy float32, or use "
            "another method"
        ) from error
    return type(model)(
        copied,
        layout=model.layout,
        alphabet=model.alphabet,
        device=model.device,
        output_names=model.output_names,
        sequence_input=model.sequence_input,
    )


def _with_single(config: Any) -> Any:
    """Return a configuration with single precision in the place of half."""
    if isinstance(config, dict):
        return {key: _with_single(part) for key, part in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_single(part) for part in config)
    return "float32" if config in (*HALVES, *(f"mixed_{half}" for half in HALVES)) else config
