"""Toom-Cook convolution: fewer products than pairs of an input and a tap, each of sums of inputs with sums of taps."""

from functools import cached_property
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.convolution.algorithm import (
    CompiledAlgorithm,
    ConvolutionAlgorithm,
    TensorAlgorithm,
)
from attribution_bench_plugins.fastism.convolution.tiles import add_up, overlap, placed
from attribution_bench_plugins.fastism.kernels.toom_cook_kernel import (
    CACHED_WEIGHTS_BYTES,
    LEAST_GROUP_COLUMNS,
    ToomCookKernel,
    tiling_matrices,
)
from attribution_bench_plugins.fastism.numerics.tilings import Polyphase, Tiling, polyphase
from attribution_bench_plugins.fastism.values import devices

LONGEST_KERNEL = 32
"""Most taps for which an algorithm is searched: the search takes longer the more there are."""
TYPES = (torch.float32, torch.float64)
"""Element types with enough digits: Toom-Cook amplifies rounding errors."""
BYTES_AT_ONCE = 2**23
"""Size of the values and products of the rows that are computed at a time."""
COLUMNS_FROM_DILATION = 32
"""Phases of one row from which on they make a large enough matrix product without those of other rows."""
EVALUATION_COST_MACS, INTERPOLATION_COST_MACS = 4, 5
"""Time that the kernel takes to add one input to a value and one product to an output, in multiply-accumulates;
measured on one two-core CPU, as is the next."""
WEIGHT_READ_COST_MACS = 20
"""Time that the kernel takes to read one weight that is not in the cache."""


class ToomCookAlgorithm(ConvolutionAlgorithm):
    """A Toom-Cook convolution: for few taps with enough digits, with neither groups nor upsampling."""

    def is_available(self, source: int) -> bool:
        filter_ = self.filter
        suits = filter_.taps.dtype in TYPES and filter_.kernel <= LONGEST_KERNEL
        return super().is_available(source) and suits and filter_.groups == filter_.upsampling == 1

    def multiply_accumulates(self, source: int, width: int, shift: int) -> int:
        return self._polyphase(source).products * self.filter.c_in * self.filter.c_out

    def _polyphase(self, source: int) -> Polyphase:
        return polyphase(source, self.filter.kernel, self.filter.dilation)


class ToomCook(ToomCookAlgorithm, TensorAlgorithm):
    """The Toom-Cook convolution by PyTorch; its partial sums are the values and the products at all points."""

    name: ClassVar[str] = "Toom-Cook"

    def cost(self, source: int, width: int) -> int:
        return self._polyphase(source).cost(self.filter.c_in, self.filter.c_out)

    def partial_sums(self, source: int) -> int:
        return self._polyphase(source).products * (self.filter.c_in + self.filter.c_out)

    def run(self, x: Tensor, width: int, shift: int) -> Tensor:
        return placed(self._convolution(x), width, shift)

    @cached_property
    def _convolution(self) -> "PolyphaseToomCook":
        return PolyphaseToomCook(self.filter.taps[0], self.filter.dilation)


class CompiledToomCook(ToomCookAlgorithm, CompiledAlgorithm):
    """The Toom-Cook convolution as a kernel: for windows of which each phase of the dilation is one tile."""

    name: ClassVar[str] = "Toom-Cook kernel"
    kernel_type = ToomCookKernel

    def is_available(self, source: int) -> bool:
        if not super().is_available(source) or source < self.filter.dilation:
            return False
        return all(tiling.tiles == 1 for _, tiling in self._polyphase(source).tilings)

    def cost(self, source: int, width: int) -> int:
        """Return the cost of evaluation, products, interpolation and of weights that are not in the cache."""
        filter_, tile = self.filter, self.tile
        padded, cost = tile.padded(filter_.c_out), 0.0
        for phases, tiling in self._polyphase(source).tilings:
            outputs = tiling.tile + filter_.kernel - 1
            sums = EVALUATION_COST_MACS * tiling.tile * filter_.c_in + INTERPOLATION_COST_MACS * outputs * padded
            products = tiling.products * filter_.c_in * tile.work(filter_.c_out)
            is_cached = products * filter_.taps.element_size() <= CACHED_WEIGHTS_BYTES
            reads = 0 if is_cached else WEIGHT_READ_COST_MACS * products / LEAST_GROUP_COLUMNS
            cost += (phases.stop - phases.start) * (products + tiling.products * sums + reads)
        return int(cost) - self.epilogue_saving(width)


class PolyphaseToomCook:
    """A Toom-Cook convolution with taps (K, C_in, C_out) and a dilation, for windows of any width."""

    def __init__(self, taps: Tensor, dilation: int) -> None:
        self.taps, self.dilation = taps, dilation
        self._tiled: dict[Tiling, TiledToomCook] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Return (rows, width + (K - 1) * dilation, C_out) from (rows, width, C_in)."""
        rows, width, _ = x.shape
        kernel, _, c_out = self.taps.shape
        decomposition = polyphase(width, kernel, self.dilation)
        length = width + (kernel - 1) * self.dilation
        if self.dilation == 1:
            ((_, tiling),) = decomposition.tilings
            return self._for_tiling(tiling)(x).narrow(1, 0, length)
        positions = decomposition.positions
        even = torch.unflatten(x[:, : positions * self.dilation], 1, (positions, self.dilation))
        out = x.new_empty((rows, positions + kernel, self.dilation, c_out))
        if not positions:
            out.zero_()
        for phases, tiling in decomposition.tilings:
            elements = even[:, :, phases]
            if phases.start == 0 and decomposition.longer:
                elements = torch.cat([elements, x[:, None, positions * self.dilation :]], 1)
            into, convolution = out[:, : elements.shape[1] + kernel - 1, phases], self._for_tiling(tiling)
            many = phases.stop - phases.start >= COLUMNS_FROM_DILATION
            if devices.on_cpu(x) and many and tiling.tiles == 1:
                for row in range(rows):
                    convolution.convolve_columns(elements[row], into[row])
            else:
                results = convolution(elements.transpose(1, 2).flatten(0, 1))
                into.copy_(torch.unflatten(results[:, : into.shape[1]], 0, (rows, -1)).transpose(1, 2))
        return out.flatten(1, 2).narrow(1, 0, length)

    def _for_tiling(self, tiling: Tiling) -> "TiledToomCook":
        if tiling not in self._tiled:
            self._tiled[tiling] = TiledToomCook(self.taps, tiling)
        return self._tiled[tiling]


class TiledToomCook:
    """A Toom-Cook convolution with taps (K, C_in, C_out) without dilation, prepared for one tiling."""

    def __init__(self, taps: Tensor, tiling: Tiling) -> None:
        self.tiling = tiling
        self.evaluation, self.weights, self.interpolation = tiling_matrices(tiling, taps)

    def __call__(self, x: Tensor) -> Tensor:
        """Return (rows, at least width + K - 1, C_out) from (rows, width, C_in)."""
        tiles, tile, kernel = self.tiling.tiles, self.tiling.tile, self.tiling.kernel
        short = tiles * tile - x.shape[1]
        x = F.pad(x, (0, 0, 0, short)) if short else x
        # Several tiles are added up at full tiles past the end of the result.
        length = tile + kernel - 1 if tiles == 1 else (tiles + overlap(kernel - 1, tile)) * tile
        out = x.new_empty((len(x), length, self.weights.shape[2]))
        row_bytes = tiles * (x.shape[2] + out.shape[2]) * len(self.weights) * x.element_size()
        at_once = max(1, BYTES_AT_ONCE // row_bytes if devices.on_cpu(x) else len(x))
        for first in range(0, len(x), at_once):
            self._convolve(x[first : first + at_once], out[first : first + at_once])
        return out

    def convolve_columns(self, x: Tensor, into: Tensor) -> None:
        """Convolve the columns of one tile (tile, columns, C_in) into (tile + K - 1, columns, C_out)."""
        values = torch.mm(self.evaluation, x.flatten(1)).view(-1, *x.shape[1:])
        products = torch.bmm(values, self.weights)
        torch.mm(self.interpolation, products.flatten(1), out=into.flatten(1))

    def _convolve(self, x: Tensor, into: Tensor) -> None:
        """Convolve rows of full tiles (rows, tiles * tile, C_in) into (rows, positions, C_out)."""
        tiles, tile = self.tiling.tiles, self.tiling.tile
        values = torch.matmul(self.evaluation, x.reshape(-1, tile, x.shape[2]))
        products = torch.bmm(values.transpose(0, 1), self.weights).transpose(0, 1)
        if tiles == 1:
            torch.matmul(self.interpolation, products, out=into)
            return
        pieces = torch.matmul(self.interpolation, products)
        add_up(pieces.view(-1, tiles, *pieces.shape[1:]), tile, into)
