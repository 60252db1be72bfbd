"""Stores of jobs, and results in the formats of other tools."""

from attribution_bench.storage.modisco import write_modisco
from attribution_bench.storage.stored_scores import StoredScores

__all__ = ["StoredScores", "write_modisco"]
