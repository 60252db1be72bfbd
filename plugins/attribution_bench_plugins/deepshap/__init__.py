"""DeepSHAP: DeepLIFT multipliers averaged over shuffled references, for PyTorch and Keras models."""

from attribution_bench.deprecation import moved_names
from attribution_bench_plugins.deepshap.method import DeepSHAP

__getattr__ = moved_names(__name__, ConvergenceWarning="attribution_bench.errors")

__all__ = ["DeepSHAP"]
