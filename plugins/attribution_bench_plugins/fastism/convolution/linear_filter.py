"""The linear filter of a convolution: its taps, and the positions that they connect."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from attribution_bench_plugins.fastism.values.window import Window


@dataclass(frozen=True, eq=False)
class LinearFilter:
    """A linear filter: ``output[i * upsampling + j * dilation + offset] += input[i] @ taps[j]`` for all i and j."""

    taps: Tensor
    """(groups, K, C_in / groups, C_out / groups)."""
    upsampling: int = 1
    dilation: int = 1
    offset: int = 0

    @cached_property
    def groups(self) -> int:
        """Number of groups of channels."""
        return self.taps.shape[0]

    @cached_property
    def kernel(self) -> int:
        """Number of taps, K."""
        return self.taps.shape[1]

    @cached_property
    def c_in(self) -> int:
        """Input channels of a group."""
        return self.taps.shape[2]

    @cached_property
    def c_out(self) -> int:
        """Output channels of a group."""
        return self.taps.shape[3]

    @cached_property
    def reach(self) -> int:
        """Distance in positions from the first to the last output of an input."""
        return (self.kernel - 1) * self.dilation

    @cached_property
    def matrix(self) -> Tensor:
        """The taps side by side, (groups, C_in / groups, K * C_out / groups)."""
        return self.taps.permute(0, 2, 1, 3).reshape(self.groups, self.c_in, self.kernel * self.c_out).contiguous()

    def output_window(self, source: Window) -> Window:
        """Return the affected range of a source window."""
        start, width = (
            source.start * self.upsampling + self.offset,
            (source.width - 1) * self.upsampling + self.reach + 1,
        )
        return Window(start, source.step * self.upsampling, width, source.multiples)

    def inputs_of_taps(self, source: int, width: int, shift: int) -> list[tuple[int, int]]:
        """Return for each tap the half-open range of input positions that it takes into an output window.

        The output window has `width` positions and begins `shift` positions before the first output of the `source`
        input positions.
        """
        firsts = [j * self.dilation + shift for j in range(self.kernel)]
        # Input i adds to output i * upsampling + first: the range is that of inputs whose outputs are in [0, width).
        return [
            (max(0, -(first // self.upsampling)), min(source, -((first - width) // self.upsampling)))
            for first in firsts
        ]
