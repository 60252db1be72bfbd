"""What users of fastISM declare about operations of their own models; the engine itself is a plugin."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from attribution_bench.errors import InvalidInputError


@dataclass(frozen=True)
class Local:
    """Declaration of an operation that computes each position of its output from a few neighbouring positions.

    Output position i reads the input positions ``i * stride - padding + j * dilation``, where j runs from 0
    to kernel - 1, as in a convolution; what each position holds may change in any way. The operation keeps the axes of
    its input. It is called on stretches of the sequence, in the model's own layout; a stretch ends where the sequence
    does or well outside what is asked for, so that padding is left to the operation.

    Parameters
    ----------
    kernel, stride, padding, dilation
        In positions; `padding` is that before the first position.
    function
        Called in the operation's place: on the stretch, and on the operation's other tensors in their order.

    Raises
    ------
    InvalidInputError
        A kernel, stride or dilation below 1, or a padding below 0.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    function: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if min(self.kernel, self.stride, self.dilation) < 1 or self.padding < 0:
            raise InvalidInputError(f"a kernel, stride or dilation below 1, or a padding below 0: {self}")


__all__ = ["Local"]
