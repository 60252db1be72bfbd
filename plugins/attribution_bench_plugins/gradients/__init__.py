"""Gradients of a model's selected values with respect to its one-hot input, in either framework."""

from attribution_bench_plugins.gradients.base import Gradients, Scalar, scalars_of
from attribution_bench_plugins.gradients.choice import gradients_of

__all__ = ["Gradients", "Scalar", "gradients_of", "scalars_of"]
