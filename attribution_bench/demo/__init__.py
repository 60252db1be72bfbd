"""A demonstration with a known truth: motifs planted in shuffled phage DNA, and two networks trained on it."""

from attribution_bench.demo.models import build_classifier, build_profile
from attribution_bench.demo.planting import (
    PlantedSequences,
    demonstration_sequences,
    held_out_sequences,
    training_sequences,
)

__all__ = [
    "PlantedSequences",
    "build_classifier",
    "build_profile",
    "demonstration_sequences",
    "held_out_sequences",
    "training_sequences",
]
