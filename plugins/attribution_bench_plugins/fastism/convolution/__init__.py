"""Convolution of windows of deltas: one file an algorithm, with its cost and its runs in PyTorch and as a kernel."""
