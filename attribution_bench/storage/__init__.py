"""Results in the formats of other tools."""

from attribution_bench.storage.modisco import write_modisco

__all__ = ["write_modisco"]
