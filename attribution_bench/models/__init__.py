"""Models as the suite sees them: SequenceModel over either framework, prediction, targets, built-in architectures."""

from attribution_bench.models.adapt import as_sequence_model
from attribution_bench.models.prediction import LazyRows, Rows, batches, predict, predict_batches, side_by_side
from attribution_bench.models.sequence_model import Layout, SequenceModel
from attribution_bench.models.targets import OutputSpec, Selection, Target

__all__ = [
    "Layout",
    "LazyRows",
    "OutputSpec",
    "Rows",
    "Selection",
    "SequenceModel",
    "Target",
    "as_sequence_model",
    "batches",
    "predict",
    "predict_batches",
    "side_by_side",
]
