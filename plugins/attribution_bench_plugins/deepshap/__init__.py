"""DeepSHAP: DeepLIFT multipliers averaged over shuffled references, for PyTorch and Keras models."""

from attribution_bench.deprecation import moved_names
from attribution_bench_plugins.deepshap.method import DeepSHAP
from attribution_bench_plugins.deepshap.multipliers import Multipliers
from attribution_bench_plugins.deepshap.rules import Call, Rule, bilinear, gradient, integrate, largest, rescale

__getattr__ = moved_names(__name__, ConvergenceWarning="attribution_bench.errors")

__all__ = ["Call", "DeepSHAP", "Multipliers", "Rule", "bilinear", "gradient", "integrate", "largest", "rescale"]
