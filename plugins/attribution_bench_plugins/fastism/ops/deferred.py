"""Convolutions that wait until something reads them, so that the ReLU and the sum that follow are done with them."""

from dataclasses import replace

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.kernel import Finish, WindowKernel
from attribution_bench_plugins.fastism.values import References, Windowed
from attribution_bench_plugins.fastism.window import Window


class DeferredConvolution(Windowed):
    """What a kernel will make of an operand, on a window.

    It counts as a reader of what it will read, which is computed by then, so that nobody overwrites that before.
    """

    def __init__(
        self, references: References, source: str, length: int, window: Window, kernel: WindowKernel, x: Windowed
    ) -> None:
        super().__init__(references, source, length, window, clean=True)
        self._kernel, self._x = kernel, x
        self._finish, self._reference_of = Finish(), source
        self._other: Windowed | None = None
        self._waiting = True
        self.shape = torch.Size((*x.shape[:3], window.width, kernel.c_out))
        x.settle()
        x.uses += 1

    def renamed(self, source: str) -> Windowed | None:
        """Return the same deltas as another node's; None where they are no longer waiting."""
        return self._followed(source, self._finish, self.window) if self._open else None

    def rectified(self, source: str, *, value: bool) -> Windowed | None:
        """Return what the ReLU `source` makes of it; None where that cannot be done on the way."""
        if not self._open or self._finish.rectified or self._finish.value:
            return None
        after = replace(self._finish, steps=(*self._finish.steps, "rectify"), value=value)
        return self._followed(source, after, self.window)

    def plus(self, other: Windowed, source: str, window: Window) -> Windowed | None:
        """Return the sum with a delta of the same channels, on a window that holds both; None as for `rectified`."""
        if not self._open or self._other is not None or self._finish.value or not self._kernel.adds:
            return None
        after = replace(self._finish, steps=(*self._finish.steps, "add"))
        result = self._followed(source, after, window)
        other.settle()
        result._other = other
        other.uses += 1
        return result

    @property
    def holds_value(self) -> bool:
        """Whether the value is what will be computed."""
        return self._finish.value if self._waiting else super().holds_value

    def settle(self) -> None:
        """Compute it."""
        if not self._waiting:
            return
        self._waiting = False
        reference, finish = None, self._finish
        if finish.reads_reference:
            reference = self.references.summary(self._reference_of, "contiguous", Tensor.contiguous)
        other = self._other
        result = self._kernel(
            self._x.delta(),
            self._x.window,
            self.window,
            self.length,
            finish,
            reference,
            None if other is None else other.delta(),
            None if other is None else other.window,
            self.references.buffers,
        )
        if finish.value:
            self._value = result
        else:
            self._delta = result
        self._let_go()

    def delta(self) -> Tensor:
        """Return the delta; see Windowed."""
        self.settle()
        return super().delta()

    def value(self) -> Tensor:
        """Return the value; see Windowed."""
        self._settle_as_value()
        return super().value()

    def take_delta(self) -> Tensor:
        """Return the delta to be overwritten; see Windowed."""
        self.settle()
        return super().take_delta()

    def take_raw_delta(self) -> tuple[Tensor, bool]:
        """Return the delta to be overwritten; see Windowed."""
        self.settle()
        return super().take_raw_delta()

    def take_value(self) -> Tensor:
        """Return the value to be overwritten; see Windowed."""
        self._settle_as_value()
        return super().take_value()

    def value_on(self, window: Window) -> Tensor:
        """Return the value on another window; see Windowed."""
        self._widen(window)
        return super().value_on(window)

    def take_value_on(self, window: Window) -> Tensor:
        """Return the value on another window to be overwritten; see Windowed."""
        self._widen(window)
        return super().take_value_on(window)

    @property
    def _open(self) -> bool:
        """Whether its one reader may still have it done another way."""
        return self._waiting and self.uses <= 1

    def _widen(self, window: Window) -> None:
        """Have the value computed on a window that holds all of its own: nothing else need be put around it."""
        holds = all(
            window.at(k) <= max(0, self.window.at(k))
            and min(self.length, self.window.at(k) + self.window.width) <= window.at(k) + window.width
            for k in (0, self.shape[1] - 1)
        )
        if self._open and holds and (self._finish.value or not self._finish.rectified):
            self._finish = replace(self._finish, value=True)
            self.window = window
            self.shape = torch.Size((*self.shape[:3], window.width, self.shape[4]))

    def _settle_as_value(self) -> None:
        if self._open and not self._finish.rectified:
            self._finish = replace(self._finish, value=True)
        self.settle()

    def _followed(self, source: str, finish: Finish, window: Window) -> "DeferredConvolution":
        """Return the same convolution with another finish, in this one's place."""
        result = DeferredConvolution(self.references, source, self.length, window, self._kernel, self._x)
        result._other, result._finish = self._other, finish
        if finish.rectified:
            result._reference_of = self._reference_of if self._finish.rectified else self.source
        if self._other is not None:
            self._other.uses += 1
        self._let_go()
        return result

    def _let_go(self) -> None:
        self._waiting = False
        self._x.uses -= 1
        if self._other is not None:
            self._other.uses -= 1
