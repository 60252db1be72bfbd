"""Overlap-add convolution: the products of each input with all taps are added up at the outputs."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.convolution.algorithm import (
    CompiledAlgorithm,
    ConvolutionAlgorithm,
    TensorAlgorithm,
)
from attribution_bench_plugins.fastism.convolution.linear_filter import LinearFilter
from attribution_bench_plugins.fastism.convolution.tiles import add_up, overlap, placed
from attribution_bench_plugins.fastism.kernels.convolution_kernel import OverlapAddKernel
from attribution_bench_plugins.fastism.values import devices
from attribution_bench_plugins.fastism.values.matrix_product import matrix_product

PRODUCT_BYTES = 2**21
"""Size of the products that are computed before they are added up: they fit a core's second-level cache."""
PRODUCT_COST_MACS = 30
"""Time of adding up one product in PyTorch, in multiply-accumulates; measured on one two-core CPU, as are the next."""
KERNEL_PRODUCT_COST_MACS = 8
"""The same in the kernel."""
PADDING_COST_MACS = 50
"""Time of padding one element of the input to full tiles of positions, which copies all of the input."""
FEW_CHANNELS = 8
"""Number of output channels below which one product computes all outputs of a tile of positions."""
TILE_POSITIONS = (8, 10, 12, 9, 7, 6, 11, 5)
"""Positions of such a tile, the fastest first; the first that divides the window is taken."""
LARGEST_KERNEL_TAPS_BYTES = 2**20
"""Largest taps of the kernel: it reads them for every row, so they must fit a core's second-level cache."""


class OverlapAddAlgorithm(ConvolutionAlgorithm):
    """An overlap-add convolution: every input is multiplied with every tap."""

    def multiply_accumulates(self, source: int, width: int, shift: int) -> int:
        return source * self.filter.taps.numel()


class OverlapAdd(OverlapAddAlgorithm, TensorAlgorithm):
    """The overlap-add convolution by PyTorch: matrix products, whose results are added up in passes over the result."""

    name: ClassVar[str] = "overlap-add"

    def __init__(self, filter_: LinearFilter) -> None:
        super().__init__(filter_)
        self._tile_matrices: dict[int, Tensor] = {}

    def is_available(self, source: int) -> bool:
        """Whether there is one group or upsampling: a direct convolution is faster for groups."""
        return self.filter.groups == 1 or self.filter.upsampling > 1

    def cost(self, source: int, width: int) -> int:
        filter_ = self.filter
        products = filter_.groups * source * filter_.kernel * (filter_.c_in + PRODUCT_COST_MACS) * filter_.c_out
        return products + PADDING_COST_MACS * source * filter_.c_in if self._computes_by_tiles else products

    def partial_sums(self, source: int) -> int:
        return source * self.filter.kernel * self.filter.groups * self.filter.c_out

    def run(self, x: Tensor, width: int, shift: int) -> Tensor:
        if self._computes_by_tiles:
            return self._run_by_tiles(x, width, shift)
        out = x.new_zeros((len(x), width, self.filter.groups * self.filter.c_out))
        if self.filter.groups == 1 and not devices.on_cpu(x):
            self._add_tap_by_tap(x, out, shift)
            return out
        # On a CPU the products of a few rows at a time stay in the cache until they are added up.
        row_bytes = x.element_size() * self.partial_sums(x.shape[1])
        at_once = max(1, PRODUCT_BYTES // row_bytes) if devices.on_cpu(x) else len(x)
        for first in range(0, len(x), at_once):
            products = self._products_with_all_taps(x[first : first + at_once])
            self._overlap_add(products, out[first : first + at_once], shift)
        return out

    @property
    def _computes_by_tiles(self) -> bool:
        return self.filter.groups == 1 and self.filter.c_out < FEW_CHANNELS

    def _products_with_all_taps(self, x: Tensor) -> Tensor:
        """Return products (rows, source, K, C_out) of inputs (rows, source, C_in)."""
        filter_, source = self.filter, x.shape[1]
        if filter_.groups == 1:
            product = matrix_product(x.reshape(-1, filter_.c_in), filter_.matrix[0])
            return product.view(-1, source, filter_.kernel, filter_.c_out)
        grouped = x.reshape(-1, source, filter_.groups, filter_.c_in)
        products = torch.einsum("rwgi,gio->rwgo", grouped, filter_.matrix)
        products = products.view(-1, source, filter_.groups, filter_.kernel, filter_.c_out).transpose(2, 3)
        return products.reshape(-1, source, filter_.kernel, filter_.groups * filter_.c_out)

    def _overlap_add(self, products: Tensor, into: Tensor, shift: int) -> None:
        """Add products (rows, source, K, C_out) to their outputs (rows, width, C_out)."""
        filter_, source, width = self.filter, products.shape[1], into.shape[1]
        if filter_.dilation == 1 and source < filter_.kernel:
            # The taps of one input add to adjacent outputs: fewer and longer additions than tap by tap.
            flat, channels = into.flatten(1), into.shape[2]
            for i in range(source):
                first = i * filter_.upsampling + shift
                low, high = max(0, -first), min(filter_.kernel, width - first)
                if low < high:
                    flat[:, (first + low) * channels : (first + high) * channels] += products[:, i, low:high].flatten(1)
            return
        for j, (low, high) in enumerate(filter_.inputs_of_taps(source, width, shift)):
            if low < high:
                into[:, self._outputs_of_tap(j, low, high, shift)] += products[:, low:high, j]

    def _add_tap_by_tap(self, x: Tensor, into: Tensor, shift: int) -> None:
        """Add to (rows, width, C_out) one matrix product for each tap, whose results are not stored separately."""
        for j, (low, high) in enumerate(self.filter.inputs_of_taps(x.shape[1], into.shape[1], shift)):
            if low < high:
                outputs = into[:, self._outputs_of_tap(j, low, high, shift)]
                tap = self.filter.taps[0, j].expand(len(x), -1, -1)
                torch.baddbmm(outputs, x[:, low:high], tap, out=outputs)

    def _outputs_of_tap(self, tap: int, low: int, high: int, shift: int) -> slice:
        """Return the outputs of a tap for the inputs from `low` to before `high`."""
        up, offset = self.filter.upsampling, tap * self.filter.dilation + shift
        return slice(low * up + offset, (high - 1) * up + offset + 1, up)

    def _run_by_tiles(self, x: Tensor, width: int, shift: int) -> Tensor:
        """Return what `run` does, by tiles of positions: one product computes the affected range of a tile.

        Profile heads have one or two output channels and long kernels: their products are many and small.
        """
        filter_, (rows, source, _) = self.filter, x.shape
        tile = next((size for size in TILE_POSITIONS if source % size == 0), TILE_POSITIONS[0])
        tiles, step = -(-source // tile), tile * filter_.upsampling
        if tiles * tile > source:
            x = F.pad(x, (0, 0, 0, tiles * tile - source))
        if tile not in self._tile_matrices:
            self._tile_matrices[tile] = self._tile_matrix(tile)
        pieces = x.reshape(rows, tiles, tile * filter_.c_in) @ self._tile_matrices[tile]
        pieces = torch.unflatten(pieces, 2, (-1, filter_.c_out))
        out = x.new_empty((rows, (tiles + overlap(pieces.shape[2] - step, step)) * step, filter_.c_out))
        add_up(pieces, step, out)
        return placed(out, width, shift)

    def _tile_matrix(self, tile: int) -> Tensor:
        """Return the block Toeplitz matrix of a tile, (tile * C_in, affected positions * C_out)."""
        filter_ = self.filter
        affected = max(tile * filter_.upsampling, (tile - 1) * filter_.upsampling + filter_.reach + 1)
        matrix = filter_.taps.new_zeros((tile, filter_.c_in, affected, filter_.c_out))
        for i in range(tile):
            for j in range(filter_.kernel):
                matrix[i, :, i * filter_.upsampling + j * filter_.dilation] += filter_.taps[0, j]
        return matrix.flatten(2).flatten(0, 1)


class CompiledOverlapAdd(OverlapAddAlgorithm, CompiledAlgorithm):
    """The overlap-add convolution as a kernel: the sums of one row stay in the cache."""

    name: ClassVar[str] = "overlap-add kernel"
    kernel_type = OverlapAddKernel

    def is_available(self, source: int) -> bool:
        small = self.filter.taps.nbytes <= LARGEST_KERNEL_TAPS_BYTES
        return super().is_available(source) and self.filter.dilation == 1 and small

    def cost(self, source: int, width: int) -> int:
        filter_, tile, remaining, positions = self.filter, self.tile, source, 0
        for size in tile.position_counts:
            count, remaining = divmod(remaining, size)
            # A smaller register tile takes as long as if it had one position more.
            positions += count * (size if size == tile.positions else size + 1)
        products = int(positions * filter_.c_in * tile.work(self.channels))
        sums = KERNEL_PRODUCT_COST_MACS * source * filter_.kernel * filter_.c_out
        return products + sums - self.epilogue_saving(width)

    @property
    def channels(self) -> int:
        return self.filter.kernel * self.filter.c_out
