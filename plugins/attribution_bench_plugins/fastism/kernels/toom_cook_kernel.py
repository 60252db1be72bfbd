"""Toom-Cook convolution as a kernel: values and products at the points stay in the cache."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.convolution_kernel import ConvolutionKernel
from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.numerics.tilings import Polyphase, Tiling
from attribution_bench_plugins.fastism.values.window import Window

GROUP_BYTES = 2**15
"""Size of the values and products of the columns that are computed at a time: it fits a core's first-level cache."""
LEAST_GROUP_COLUMNS = 160
"""Fewest columns that are computed at a time where the weights are not in the cache: each group reads all of them."""
CACHED_WEIGHTS_BYTES = 2**20
"""Largest weights that stay in a core's second-level cache from one group of columns to the next."""


@dataclass(frozen=True, eq=False)
class PreparedTiling:
    """The matrices of a Toom-Cook convolution for tiles of one width; see `numerics.toom_cook`."""

    evaluation: Tensor
    """(points, inputs)."""
    weights: Tensor
    """(points, elements), the taps at each point; see `RegisterTile.in_blocks`."""
    interpolation: Tensor
    """(outputs, points)."""


class ToomCookKernel(ConvolutionKernel):
    """A Toom-Cook convolution without upsampling, for windows of which each phase of the dilation is one tile.

    Taps (K, C_in, C_out), and a register tile for C_out channels. A column is one phase of one row: every dilation-th
    position of it.
    """

    name: ClassVar[str] = "toom_cook"

    def __init__(self, taps: Tensor, tile: RegisterTile, *, dilation: int, offset: int) -> None:
        super().__init__(taps, tile, upsampling=1, dilation=dilation, offset=offset)
        self._prepared_tilings: dict[Tiling, PreparedTiling] = {}
        self._calls: dict[int, list[dict[str, int]]] = {}
        self._polyphases: dict[int, Polyphase] = {}

    def laid_out(self, taps: Tensor) -> Tensor:
        """Return the taps as they are: the weights that are read depend on the width of the window."""
        return taps

    def scratch(self, source: Window) -> int:
        """Return the elements of the values and the products of a group of columns."""
        return max(self._group(tiling) * self._column_elements(tiling) for _, tiling in self._tilings(source))

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return the parameters of a call for the columns that are one position longer, and of one for the others."""
        calls = self._calls.get(source.width)
        return calls if calls is not None else self._calls.setdefault(source.width, self._arguments_for(source))

    def _arguments_for(self, source: Window) -> list[dict[str, int]]:
        calls = []
        for phases, tiling in self._tilings(source):
            prepared = self._prepared(tiling)
            calls.append(
                {
                    **self.arguments,
                    **{"first": phases.start, "columns": phases.stop - phases.start, "inputs": tiling.tile},
                    **{"points": len(prepared.evaluation), "group": self._group(tiling)},
                    **{"taps": prepared.weights.data_ptr(), "evaluation": prepared.evaluation.data_ptr()},
                    **{"interpolation": prepared.interpolation.data_ptr()},
                }
            )
        return calls

    def least_rows(self, source: Window) -> int:
        """Return the rows that fill a group of columns where the weights do not fit the cache; otherwise 1."""
        rows = -(-LEAST_GROUP_COLUMNS // self.dilation)
        return max(1 if self._weights_stay_cached(tiling) else rows for _, tiling in self._tilings(source))

    @property
    def _padded(self) -> int:
        return self.tile.padded(self.c_out)

    def _tilings(self, source: Window) -> list[tuple[slice, Tiling]]:
        polyphase = self._polyphases.get(source.width)
        if polyphase is None:
            polyphase = self._polyphases[source.width] = Polyphase(source.width, self.kernel, self.dilation)
        return polyphase.tilings

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

    def _prepared(self, tiling: Tiling) -> PreparedTiling:
        prepared = self._prepared_tilings.get(tiling)
        # Blocks run in parallel: the first that is stored stays, as a function may be reading its memory.
        return prepared if prepared is not None else self._prepared_tilings.setdefault(tiling, self._prepare(tiling))

    def _prepare(self, tiling: Tiling) -> PreparedTiling:
        convolution = tiling.convolution
        kernel_evaluation = torch.as_tensor(convolution.kernel_evaluation)
        weights = torch.einsum("pk,kio->pio", kernel_evaluation, self.taps.double()).to(self.taps.dtype)
        padded = weights.new_zeros((*weights.shape[:2], self._padded))
        padded[:, :, : self.c_out] = weights
        return PreparedTiling(
            torch.as_tensor(convolution.evaluation).to(self.taps).contiguous(),
            self.tile.in_blocks(padded),
            torch.as_tensor(convolution.interpolation).to(self.taps).contiguous(),
        )
