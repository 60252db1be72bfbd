"""Compiled loops for what PyTorch offers in several passes only; made by LLVM where llvmlite is installed."""
