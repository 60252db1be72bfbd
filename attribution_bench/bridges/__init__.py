"""Bridges to other packages: Captum's interface over any method, and arrays of tangermeme and chrombpnet as results.

What a result gives to other packages are its own methods: ``to_shap``, ``to_logomaker`` and ``to_tangermeme``.
"""

from attribution_bench.bridges.chrombpnet import read_chrombpnet, write_chrombpnet
from attribution_bench.bridges.tangermeme import from_tangermeme

__all__ = ["from_tangermeme", "read_chrombpnet", "write_chrombpnet"]
