"""The choice of a convolution algorithm: all algorithms, and the cheapest of those that are available."""

from collections.abc import Sequence

from attribution_bench_plugins.fastism.convolution.algorithm import ConvolutionAlgorithm
from attribution_bench_plugins.fastism.convolution.blocked_toom_cook import CompiledBlockedToomCook
from attribution_bench_plugins.fastism.convolution.direct import CompiledDirect, Direct
from attribution_bench_plugins.fastism.convolution.overlap_add import CompiledOverlapAdd, OverlapAdd
from attribution_bench_plugins.fastism.convolution.toom_cook import CompiledToomCook, ToomCook

ALGORITHMS: tuple[type[ConvolutionAlgorithm], ...] = (
    OverlapAdd,
    CompiledOverlapAdd,
    CompiledDirect,
    Direct,
    ToomCook,
    CompiledToomCook,
    CompiledBlockedToomCook,
)
"""Every algorithm; of those of equal cost the first is taken. For every filter, one of them is available."""


def cheapest(available: Sequence[ConvolutionAlgorithm], source: int, width: int) -> ConvolutionAlgorithm:
    """Return the algorithm of the lowest cost from one width to another; see `algorithm`."""
    return min(available, key=lambda algorithm: algorithm.cost(source, width))
