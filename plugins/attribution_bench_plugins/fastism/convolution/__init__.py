"""Convolution of windows: one file an algorithm."""
