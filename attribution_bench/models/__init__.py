"""Models as the suite sees them: SequenceModel over either framework, targets, and the built-in architectures."""

from attribution_bench.models.sequence_model import Layout, SequenceModel, as_sequence_model
from attribution_bench.models.targets import OutputSpec, Selection, Target

__all__ = ["Layout", "OutputSpec", "Selection", "SequenceModel", "Target", "as_sequence_model"]
