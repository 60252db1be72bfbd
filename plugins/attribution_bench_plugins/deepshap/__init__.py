"""DeepSHAP: DeepLIFT multipliers averaged over shuffled references, for PyTorch and Keras models."""

from attribution_bench_plugins.deepshap.convergence import ConvergenceWarning
from attribution_bench_plugins.deepshap.method import DeepSHAP

__all__ = ["ConvergenceWarning", "DeepSHAP"]
