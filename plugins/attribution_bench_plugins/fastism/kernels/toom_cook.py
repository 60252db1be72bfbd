"""Convolution by values at points (see `toom_cook`), with its sums in the cache."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.convolution_kernel import ConvolutionKernel
from attribution_bench_plugins.fastism.kernels.kernel import best_tile
from attribution_bench_plugins.fastism.numerics.tilings import Polyphase, Tiling
from attribution_bench_plugins.fastism.values.window import Window

GROUP_BYTES = 2**15
"""Size of the products of the columns that are computed at a time."""
LEAST_GROUP = 160
"""Columns of it at least: the weights are read for each group."""
WEIGHTS_BYTES = 2**20
"""Weights up to this size stay in a core's cache from one group to the next."""
STREAMED = 20
"""What reading one weight from further away takes, in multiply-accumulates."""
READ, WRITTEN = 4, 5
"""What a sum of an element before the products takes, and one of those after, in multiply-accumulates."""


@dataclass(frozen=True, eq=False)
class Points:
    """What is computed with for tiles of one width."""

    evaluate: Tensor
    """(points, inputs)."""
    weights: Tensor
    """(points, numbers), see `Tile.in_blocks`."""
    interpolate: Tensor
    """(outputs, points)."""


class ToomCookKernel(ConvolutionKernel):
    """Taps without upsampling, for windows that are one tile for each position of a dilation."""

    name: ClassVar[str] = "toom_cook"

    def __init__(self, taps: Tensor, *, dilation: int, offset: int) -> None:
        super().__init__(taps, best_tile(taps.shape[2], taps.element_size()), up=1, dilation=dilation, offset=offset)
        self._points: dict[Tiling, Points] = {}
        self._calls: dict[int, list[dict[str, int]]] = {}
        self._windows: dict[int, Polyphase] = {}

    def laid_out(self, taps: Tensor) -> Tensor:
        """Return them as they are: what is read depends on the width of the window."""
        return taps

    def scratch(self, source: Window) -> int:
        """Return room for the values and the products of a group of columns."""
        return max(self._group(tiling) * self._numbers(tiling) for _, tiling in self._tilings(source))

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return the arguments for the columns that are one position longer, and for the others."""
        calls = self._calls.get(source.width)
        return calls if calls is not None else self._calls.setdefault(source.width, self._arguments_for(source))

    def _arguments_for(self, source: Window) -> list[dict[str, int]]:
        calls = []
        for part, tiling in self._tilings(source):
            points = self._prepared(tiling)
            calls.append(
                {
                    **self.arguments,
                    **{"first": part.start, "columns": part.stop - part.start, "inputs": tiling.tile},
                    **{"points": len(points.evaluate), "group": self._group(tiling)},
                    **{"taps": points.weights.data_ptr(), "evaluate": points.evaluate.data_ptr()},
                    **{"interpolate": points.interpolate.data_ptr()},
                }
            )
        return calls

    def least_rows(self, source: Window) -> int:
        """Return the rows of a group of columns where the weights come from far away."""
        return max(1 if self._near(tiling) else -(-LEAST_GROUP // self.dilation) for _, tiling in self._tilings(source))

    @property
    def _padded(self) -> int:
        return self.tile.padded(self.c_out)

    def _tilings(self, source: Window) -> list[tuple[slice, Tiling]]:
        window = self._windows.get(source.width)
        if window is None:
            window = self._windows[source.width] = Polyphase(source.width, self.kernel, self.dilation)
        return window.tilings

    def _numbers(self, tiling: Tiling) -> int:
        """Return the numbers of one column: its values and products at all points."""
        return tiling.products * (self.c_in + self._padded)

    def _group(self, tiling: Tiling) -> int:
        """Return how many columns are computed at a time: whole tiles."""
        fitting = GROUP_BYTES // (self._numbers(tiling) * self.taps.element_size())
        columns = fitting if self._near(tiling) else max(LEAST_GROUP, fitting)
        return max(1, columns // self.tile.positions) * self.tile.positions

    def _near(self, tiling: Tiling) -> bool:
        return tiling.products * self.c_in * self._padded * self.taps.element_size() <= WEIGHTS_BYTES

    def _prepared(self, tiling: Tiling) -> Points:
        points = self._points.get(tiling)
        # Blocks run side by side: the first that is kept stays, as a function may be reading it.
        return points if points is not None else self._points.setdefault(tiling, self._prepare(tiling))

    def _prepare(self, tiling: Tiling) -> Points:
        convolution = tiling.convolution
        weigh = torch.as_tensor(convolution.weigh)
        weights = torch.einsum("pk,kio->pio", weigh, self.taps.double()).to(self.taps.dtype)
        padded = weights.new_zeros((*weights.shape[:2], self._padded))
        padded[:, :, : self.c_out] = weights
        return Points(
            torch.as_tensor(convolution.evaluate).to(self.taps).contiguous(),
            self.tile.in_blocks(padded),
            torch.as_tensor(convolution.interpolate).to(self.taps).contiguous(),
        )


def toom_cook_cost(taps: Tensor, source: int, dilation: int) -> int | None:
    """Return how many multiply-accumulates a kernel could do in the time that so many positions take it.

    None where they are no single tiles.
    """
    kernel, c_in, c_out = taps.shape
    window = Polyphase(source, kernel, dilation)
    if source < dilation or any(tiling.tiles > 1 for _, tiling in window.tilings):
        return None
    tile = best_tile(c_out, taps.element_size())
    padded = tile.padded(c_out)
    cost = 0.0
    for part, tiling in window.tilings:
        sums = READ * tiling.tile * c_in + WRITTEN * (tiling.tile + kernel - 1) * padded
        products = tiling.products * c_in * tile.work(c_out)
        read = STREAMED * products / LEAST_GROUP if products * taps.element_size() > WEIGHTS_BYTES else 0
        cost += (part.stop - part.start) * (products + tiling.products * sums + read)
    return int(cost)
