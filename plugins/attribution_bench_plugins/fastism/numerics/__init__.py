"""Numerics of short convolutions: plain arithmetic, without tensors of a model."""
