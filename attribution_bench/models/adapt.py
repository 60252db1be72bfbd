"""as_sequence_model: whatever a user has as a SequenceModel of its framework."""

import sys
from collections.abc import Mapping
from typing import Any

from attribution_bench.errors import ModelError
from attribution_bench.models.sequence_model import Layout, OnInconsistency, SequenceModel
from attribution_bench.sequences.alphabet import ALPHABETS, Alphabet


class NoModelError(ModelError):
    """An object of which no SequenceModel can be made, since it is no model of a framework."""


def as_sequence_model(
    model: Any,
    *,
    layout: Layout | None = None,
    alphabet: Alphabet | str | None = None,
    device: str | None = None,
    output_names: tuple[str, ...] | None = None,
    sequence_input: str | int | None = None,
    on_inconsistency: OnInconsistency | None = None,
) -> SequenceModel:
    """Return a SequenceModel of a torch.nn.Module, a torch.export.ExportedProgram, a keras.Model or a tf_keras.Model.

    The options are those of `SequenceModel`, and so is what holds where they are left out. One that is a SequenceModel
    already is returned where it has what is given; otherwise another one of the same model is, with its own options
    where none are given.

    Raises
    ------
    ModelError
        The object is none of these, or has no input of the name or place given.
    """
    options: dict[str, Any] = {
        "layout": layout,
        "alphabet": alphabet,
        "device": device,
        "output_names": output_names,
        "sequence_input": sequence_input,
        "on_inconsistency": on_inconsistency,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(model, SequenceModel):
        if not given:
            return model
        return _with_options(model, {name: getattr(model, name) for name in options}, given)
    # A model of a framework can exist only once that framework has been imported. Keras comes first: with its torch
    # backend a keras.Model is a torch.nn.Module as well.
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(model, keras.Model):
        from attribution_bench.models.keras_model import KerasSequenceModel

        return KerasSequenceModel(model, **given)
    tf_keras = sys.modules.get("tf_keras")
    if tf_keras is not None and isinstance(model, tf_keras.Model):
        from attribution_bench.models.keras_2_model import Keras2SequenceModel

        return Keras2SequenceModel(model, **given)
    torch = sys.modules.get("torch")
    exports = sys.modules.get("torch.export")
    if exports is not None and isinstance(model, exports.ExportedProgram):
        from attribution_bench.models.exported import ExportedModel

        model = ExportedModel(model.module())
    if torch is not None and isinstance(model, torch.nn.Module):
        from attribution_bench.models.torch_model import TorchSequenceModel

        return TorchSequenceModel(model, **given)
    raise NoModelError(
        f"expected a torch.nn.Module or a keras.Model, not {type(model).__module__}.{type(model).__name__}"
    )


def _with_options(model: SequenceModel, own: Mapping[str, Any], given: dict[str, Any]) -> SequenceModel:
    """Return a SequenceModel of the same model with other options; the one that there is where it has them."""
    if isinstance(given.get("alphabet"), str):
        given = {**given, "alphabet": ALPHABETS.get(given["alphabet"], given["alphabet"])}
    if all(own[name] == value for name, value in given.items()):
        return model
    try:
        return type(model)(model.model, **{**own, **given})
    except TypeError as error:  # of a class that has other parameters than SequenceModel
        raise ModelError(
            f"the model is a {type(model).__name__} already, of which no other can be made ({error}); give "
            f"{', '.join(given)} where it is made"
        ) from error
