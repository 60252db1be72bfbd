"""Lazy windows: the results of kernels, computed with the steps that are fused into them, some rows at a time."""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.epilogue import NO_EPILOGUE, Epilogue, EpilogueStep
from attribution_bench_plugins.fastism.kernels.program import KernelCall, KernelObserver, TableRows, run_calls
from attribution_bench_plugins.fastism.kernels.window_kernel import WindowKernel
from attribution_bench_plugins.fastism.values.buffers import Buffers
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import LookedUp, Unmutated, Windowed


class Program:
    """The lazy windows of a block that are still to be materialized, each after those that it reads."""

    def __init__(self, buffers: Buffers, live: Mapping[str, Windowed], observer: KernelObserver | None = None) -> None:
        """Begin without any; `live` are the values that steps of the block will read, as they come and go."""
        self._buffers, self._live, self._observer = buffers, live, observer
        self._fusible: list[LazyWindow] = []
        self._scheduled: list[LazyWindow] = []

    def read(self, windowed: Windowed) -> bool:
        """Whether a lazy window that is still to be materialized reads a window."""
        return any(windowed is operand for lazy in (*self._fusible, *self._scheduled) for operand in lazy.operands)

    def add(self, lazy: "LazyWindow") -> None:
        """Take in a fusible window."""
        self._fusible.append(lazy)

    def remove(self, lazy: "LazyWindow") -> None:
        """Forget a fusible window, which became part of another one."""
        self._fusible.remove(lazy)

    def schedule(self, lazy: "LazyWindow") -> None:
        """Have a fusible window materialized with the next one that is asked for."""
        self._fusible.remove(lazy)
        self._scheduled.append(lazy)

    def run(self, wanted: "LazyWindow") -> None:
        """Materialize all that are scheduled. Those that only others of them read are never written in full."""
        scheduled, self._scheduled = self._scheduled, []
        fusible_reads = (operand for lazy in self._fusible for operand in lazy.operands)
        read_later = {id(windowed) for windowed in (wanted, *self._live.values(), *fusible_reads)}
        calls = [lazy.call for lazy in scheduled]
        kept = [id(lazy) in read_later for lazy in scheduled]
        for lazy, tensor in zip(scheduled, run_calls(calls, kept, self._buffers, self._observer), strict=True):
            lazy.take_result(tensor)


class State(enum.Enum):
    """State of a lazy window."""

    FUSIBLE = enum.auto()
    """Its only reader may still be fused into its kernel."""
    SCHEDULED = enum.auto()
    """The kernel call that computes it is fixed."""
    MATERIALIZED = enum.auto()
    """It is computed, or no reader of it remained."""
    FUSED = enum.auto()
    """Its reader took its place."""


class LazyWindow(Windowed):
    """The result that a kernel will compute from an operand, on a window.

    It is fusible at first. It is scheduled when the kernel's epilogue is decided, and materialized when something
    other than a kernel reads its numbers.
    """

    def __init__(
        self,
        unmutated: Unmutated,
        source: str,
        length: int,
        window: Window,
        kernel: WindowKernel,
        x: Windowed,
        program: Program,
        around: Callable[[Window], Tensor] | None = None,
    ) -> None:
        """Begin without an epilogue; `around` is that of `Operation.give_lazily`."""
        super().__init__(unmutated, source, length, window, is_masked=True)
        self._kernel, self._x, self._program, self._around = kernel, x, program, around
        self._epilogue, self._unmutated_of, self._node = NO_EPILOGUE, source, source
        self._scale: Tensor | None = None
        self._other: Windowed | None = None
        self._call: KernelCall | None = None
        self._state = State.FUSIBLE
        self.shape = torch.Size((*x.shape[:3], window.width, kernel.c_out))
        x.schedule()
        program.add(self)

    @property
    def operands(self) -> Sequence[Windowed]:
        """The windows that its kernel reads; only before it is materialized."""
        return (self._x,) if self._other is None else (self._x, self._other)

    @property
    def is_pending(self) -> bool:
        """Whether a kernel will write its delta."""
        return self._state in (State.FUSIBLE, State.SCHEDULED) and not self._epilogue.value

    @property
    def call(self) -> KernelCall:
        """The kernel call that computes it."""
        self.schedule()
        assert self._call is not None
        return self._call

    def renamed(self, source: str) -> Windowed | None:
        """Return the same deltas as another node's; None where it is no longer fusible."""
        return self._followed(source, self._epilogue, self.window) if self._state is State.FUSIBLE else None

    def rectified(self, source: str, *, value: bool) -> Windowed | None:
        """Return the output of the ReLU `source`, which is fused; None where it cannot be."""
        if self._kernel.reads_unmutated and self._epilogue.steps:
            return None
        return self._fused("rectify", source, self.window, value=value)

    def scaled(self, source: str, scale: Tensor) -> Windowed | None:
        """Return it with each channel multiplied by (channels,); None as for `rectified`."""
        result = self._fused("scale", source, self.window)
        if result is not None:
            result._scale = scale
        return result

    def plus(self, other: Windowed, source: str, window: Window) -> Windowed | None:
        """Return the sum with a delta of the same channels, on a window that holds both; None as for `rectified`."""
        result = self._fused("add", source, window)
        if result is not None:
            other.schedule()
            result._other = other
        return result

    @property
    def holds_value(self) -> bool:
        """Whether the value is computed, or will be."""
        return super().holds_value if self._state is State.MATERIALIZED else self._epilogue.value

    def schedule(self) -> None:
        if self._state is not State.FUSIBLE:
            return
        kernel, epilogue, x, other = self._kernel, self._epilogue, self._x, self._other
        reads_unmutated = epilogue.reads_unmutated or kernel.reads_unmutated
        looks_up = isinstance(x, LookedUp) and not x.is_written and not kernel.reads_outside
        read = TableRows(x.table, x.entries) if isinstance(x, LookedUp) and looks_up else _operand(x)
        self._call = KernelCall(
            kernel,
            read,
            x.window,
            self.window,
            self.length,
            epilogue,
            x_unmutated=None if self._around is None else self._around(self.window),
            unmutated=self._unmutated_array(self._unmutated_of) if reads_unmutated else None,
            scale=None if self._scale is None else self._scale.to(read.dtype).contiguous(),
            other=None if other is None else _operand(other),
            other_window=None if other is None else other.window,
            node=self._node,
        )
        self._state = State.SCHEDULED
        self._program.schedule(self)

    def prefer_value(self, window: Window) -> None:
        if not self._may_be_value:
            return
        if window != self.window:
            count = self.shape[1]
            for k in (0, count - 1) if self.window.multiples == window.multiples else range(count):
                start, stop = max(0, self.window.at(k)), min(self.length, self.window.at(k) + self.window.width)
                if start < window.at(k) or window.at(k) + window.width < stop:
                    return
            self.window = window
            self.shape = torch.Size((*self.shape[:3], window.width, self.shape[4]))
        self._epilogue = replace(self._epilogue, value=True)

    def materialize(self) -> None:
        self.schedule()
        if self._state is State.SCHEDULED:
            self._program.run(self)

    def take_result(self, result: Tensor | None) -> None:
        """Take the kernel's result; None where no reader of it remained."""
        if self._epilogue.value:
            self._value = result
        else:
            self._delta = result
        self._state, self._call = State.MATERIALIZED, None
        self._let_go()

    @property
    def _may_be_value(self) -> bool:
        """Whether the value may be written: the unmutated activation that the kernel reads is that of the result."""
        epilogue = self._epilogue
        return self._state is State.FUSIBLE and (
            epilogue.value or not (epilogue.steps if self._kernel.reads_unmutated else epilogue.rectified)
        )

    def _fused(self, step: EpilogueStep, source: str, window: Window, *, value: bool = False) -> "LazyWindow | None":
        """Return a lazy window with one more step in its epilogue; None where the kernel cannot apply it."""
        steps = self._epilogue.steps
        if self._state is not State.FUSIBLE or self._epilogue.value or step in steps or step not in self._kernel.steps:
            return None
        return self._followed(source, Epilogue((*steps, step), value), window)

    def _followed(self, source: str, epilogue: Epilogue, window: Window) -> "LazyWindow":
        """Return a lazy window with another epilogue, which takes the place of this one."""
        result = LazyWindow(
            self.unmutated, source, self.length, window, self._kernel, self._x, self._program, self._around
        )
        result._other, result._epilogue, result._scale, result._node = self._other, epilogue, self._scale, self._node
        if self._kernel.reads_unmutated or self._epilogue.rectified:
            result._unmutated_of = self._unmutated_of
        elif epilogue.rectified:
            result._unmutated_of = self.source
        self._program.remove(self)
        self._state = State.FUSED
        self._let_go()
        return result

    def _let_go(self) -> None:
        """Drop the operands: the result may be kept for much longer than they are needed."""
        del self._x, self._other, self._program, self._around

    def _unmutated_array(self, source: str) -> Tensor:
        """Return a node's unmutated activation of which the kernel reads what it writes: the window."""
        return self.unmutated.array(source, self.window, self.shape[1])


def _operand(windowed: Windowed) -> Tensor | KernelCall:
    """Return what a kernel reads: the delta, or the call that will write it."""
    return windowed.call if isinstance(windowed, LazyWindow) and windowed.is_pending else windowed.delta()
