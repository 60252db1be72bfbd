"""Toom-Cook convolution as a kernel: values and products at the points stay in the cache."""

from typing import ClassVar

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.convolution_kernel import ConvolutionKernel
from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.numerics.tilings import Tiling, polyphase
from attribution_bench_plugins.fastism.values.window import Window

GROUP_BYTES = 2**15
"""Size of the values and products of the columns that are computed at a time: it fits a core's first-level cache."""
LEAST_GROUP_COLUMNS = 160
"""Fewest columns that are computed at a time where the weights are not in the cache: each group reads all of them."""
CACHED_WEIGHTS_BYTES = 2**20
"""Largest weights that stay in a core's second-level cache from one group of columns to the next."""

Matrices = tuple[Tensor, Tensor, Tensor]
"""The matrices of a tiling: evaluation (points, inputs), weights at each point, and interpolation (outputs, points)."""


def tiling_matrices(tiling: Tiling, taps: Tensor) -> Matrices:
    """Return the matrices of a tiling for taps (K, C_in, C_out), with weights (points, C_in, C_out)."""
    convolution = tiling.convolution
    kernel_evaluation = torch.as_tensor(convolution.kernel_evaluation, device=taps.device)
    weights = torch.einsum("pk,kio->pio", kernel_evaluation, taps.double()).to(taps.dtype)
    evaluation, interpolation = (
        torch.as_tensor(each).to(taps) for each in (convolution.evaluation, convolution.interpolation)
    )
    return evaluation, weights.contiguous(), interpolation


class ToomCookKernel(ConvolutionKernel):
    """A Toom-Cook convolution without upsampling, for windows of which each phase of the dilation is one tile.

    The register tile is that of C_out channels. A column is one phase of one row: every dilation-th position of it.
    """

    name: ClassVar[str] = "toom_cook"

    def __init__(self, taps: Tensor, tile: RegisterTile, **arguments: int) -> None:
        super().__init__(taps, tile, **arguments)
        self._matrices: dict[Tiling, Matrices] = {}
        self._calls: dict[int, list[dict[str, int]]] = {}
        self._sizes: dict[int, tuple[int, int]] = {}

    def laid_out(self, taps: Tensor) -> Tensor:
        """Return the taps as they are: the weights that are read depend on the width of the window."""
        return taps

    def scratch(self, source: Window) -> int:
        """Return the elements of the values and the products of a group of columns."""
        return self._scratch_and_rows(source)[0]

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return the parameters of a call for the columns that are one position longer, and of one for the others."""
        calls = self._calls.get(source.width)
        if calls is None:
            arguments = [self._arguments_for(phases, tiling) for phases, tiling in self._tilings(source)]
            calls = self._calls.setdefault(source.width, arguments)
        return calls

    def least_rows(self, source: Window) -> int:
        """Return the rows that fill a group of columns where the weights do not fit the cache; otherwise 1."""
        return self._scratch_and_rows(source)[1]

    def _scratch_and_rows(self, source: Window) -> tuple[int, int]:
        """Return `scratch` and `least_rows`, counted once for each width: every block asks."""
        found = self._sizes.get(source.width)
        if found is None:
            tilings, rows = [tiling for _, tiling in self._tilings(source)], -(-LEAST_GROUP_COLUMNS // self.dilation)
            scratch = max(self._group(tiling) * self._column_elements(tiling) for tiling in tilings)
            least_rows = max(1 if self._weights_stay_cached(tiling) else rows for tiling in tilings)
            found = self._sizes.setdefault(source.width, (scratch, least_rows))
        return found

    @property
    def _padded(self) -> int:
        return self.tile.padded(self.c_out)

    def _tilings(self, source: Window) -> list[tuple[slice, Tiling]]:
        return polyphase(source.width, self.kernel, self.dilation).tilings

    def _column_elements(self, tiling: Tiling) -> int:
        """Return the elements of one column: its values and products at all points."""
        return tiling.products * (self.c_in + self._padded)

    def _group(self, tiling: Tiling) -> int:
        """Return the columns that are computed at a time: a multiple of the positions of a register tile."""
        fitting = GROUP_BYTES // (self._column_elements(tiling) * self.taps.element_size())
        columns = fitting if self._weights_stay_cached(tiling) else max(LEAST_GROUP_COLUMNS, fitting)
        return max(1, columns // self.tile.positions) * self.tile.positions

    def _weights_stay_cached(self, tiling: Tiling) -> bool:
        return tiling.products * self.c_in * self._padded * self.taps.element_size() <= CACHED_WEIGHTS_BYTES

    def _arguments_for(self, phases: slice, tiling: Tiling) -> dict[str, int]:
        # Blocks run in parallel: the first matrices that are stored stay, as a function may be reading their memory.
        matrices = self._matrices.get(tiling) or self._matrices.setdefault(tiling, self._laid_out_matrices(tiling))
        evaluation, weights, interpolation = matrices
        return self.arguments | {
            **{"first": phases.start, "columns": phases.stop - phases.start, "inputs": tiling.tile},
            **{"points": len(evaluation), "group": self._group(tiling), "taps": weights.data_ptr()},
            **{"evaluation": evaluation.data_ptr(), "interpolation": interpolation.data_ptr()},
        }

    def _laid_out_matrices(self, tiling: Tiling) -> Matrices:
        """Return the matrices with weights (points, elements), see `RegisterTile.in_blocks`."""
        evaluation, weights, interpolation = tiling_matrices(tiling, self.taps)
        return evaluation.contiguous(), self.tile.in_blocks(weights), interpolation.contiguous()
