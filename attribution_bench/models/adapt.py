"""as_sequence_model: whatever a user has as a SequenceModel of its framework."""

import sys
from typing import Any

from attribution_bench.errors import ModelError
from attribution_bench.models.sequence_model import Layout, OnInconsistency, SequenceModel
from attribution_bench.sequences.alphabet import DNA, Alphabet


def as_sequence_model(
    model: Any,
    *,
    layout: Layout | None = None,
    alphabet: Alphabet | str = DNA,
    device: str | None = None,
    output_names: tuple[str, ...] | None = None,
    sequence_input: str | int | None = None,
    on_inconsistency: OnInconsistency = "raise",
) -> SequenceModel:
    """Return a SequenceModel of a torch.nn.Module, a torch.export.ExportedProgram, a keras.Model or a tf_keras.Model.

    One that is a SequenceModel already is returned. The options are those of `SequenceModel`.

    Raises
    ------
    ModelError
        The object is none of these, or has no input of the name or place given.
    """
    if isinstance(model, SequenceModel):
        return model
    options: dict[str, Any] = {
        "layout": layout,
        "alphabet": alphabet,
        "device": device,
        "output_names": output_names,
        "sequence_input": sequence_input,
        "on_inconsistency": on_inconsistency,
    }
    # A model of a framework can exist only once that framework has been imported. Keras comes first: with its torch
    # backend a keras.Model is a torch.nn.Module as well.
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(model, keras.Model):
        from attribution_bench.models.keras_model import KerasSequenceModel

        return KerasSequenceModel(model, **options)
    tf_keras = sys.modules.get("tf_keras")
    if tf_keras is not None and isinstance(model, tf_keras.Model):
        from attribution_bench.models.keras_2_model import Keras2SequenceModel

        return Keras2SequenceModel(model, **options)
    torch = sys.modules.get("torch")
    exports = sys.modules.get("torch.export")
    if exports is not None and isinstance(model, exports.ExportedProgram):
        from attribution_bench.models.exported import ExportedModel

        model = ExportedModel(model.module())
    if torch is not None and isinstance(model, torch.nn.Module):
        from attribution_bench.models.torch_model import TorchSequenceModel

        return TorchSequenceModel(model, **options)
    raise ModelError(
        f"expected a torch.nn.Module or a keras.Model, not {type(model).__module__}.{type(model).__name__}"
    )
