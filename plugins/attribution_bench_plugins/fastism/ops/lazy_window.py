"""Results that wait until something reads them, so that what follows is done with them, and for some rows at a time."""

from collections import Counter
from dataclasses import replace

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.kernel import NOTHING, Finish, FinishStep, WindowKernel
from attribution_bench_plugins.fastism.kernels.program import Call, run_calls
from attribution_bench_plugins.fastism.values.buffers import Buffers
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import References, Windowed


class Program:
    """The results of a block that are settled and wait, each after those that it reads."""

    def __init__(self, buffers: Buffers) -> None:
        self._buffers = buffers
        self._waiting: list[Deferred] = []

    def add(self, result: "Deferred") -> None:
        """Have a result computed with the next that is asked for."""
        self._waiting.append(result)

    def run(self) -> None:
        """Compute all of them. What nobody reads but others of them is never whole."""
        waiting, self._waiting = self._waiting, []
        calls = [result.call for result in waiting]
        readers = Counter(operand for call in calls for operand in call.operands)
        kept = [result.uses > readers[call] for result, call in zip(waiting, calls, strict=True)]
        for result, tensor in zip(waiting, run_calls(calls, kept, self._buffers), strict=True):
            result.computed(tensor)


class Deferred(Windowed):
    """What a kernel will make of an operand, on a window.

    It is open at first: its one reader may have more done on the way. It is settled as soon as it is clear what is
    written, and computed when something asks for the numbers that is no kernel. It counts as a reader of what it will
    read, so that nobody overwrites that before.
    """

    def __init__(
        self,
        references: References,
        source: str,
        length: int,
        window: Window,
        kernel: WindowKernel,
        x: Windowed,
        program: Program,
    ) -> None:
        super().__init__(references, source, length, window, clean=True)
        self._kernel, self._x, self._program = kernel, x, program
        self._finish, self._reference_of, self._node = NOTHING, source, source
        self._scale: Tensor | None = None
        self._other: Windowed | None = None
        self._call: Call | None = None
        self._state = "open"
        self.shape = torch.Size((*x.shape[:3], window.width, kernel.c_out))
        x.settle()
        x.uses += 1

    @property
    def waits(self) -> bool:
        """Whether its delta is what a kernel will write."""
        return self._state in ("open", "settled") and not self._finish.value

    @property
    def call(self) -> Call:
        """What a kernel is asked for, once it is settled."""
        self.settle()
        assert self._call is not None
        return self._call

    def renamed(self, source: str) -> Windowed | None:
        """Return the same deltas as another node's; None where it is no longer open."""
        return self._followed(source, self._finish, self.window) if self._open else None

    def rectified(self, source: str, *, value: bool) -> Windowed | None:
        """Return what the ReLU `source` makes of it; None where that cannot be done on the way."""
        if not self._takes("rectify") or (self._kernel.reads_reference and self._finish.steps):
            return None
        return self._followed(source, self._then("rectify", value=value), self.window)

    def scaled(self, source: str, scale: Tensor) -> Windowed | None:
        """Return it with each channel multiplied by (channels,); None as for `rectified`."""
        if not self._takes("scale"):
            return None
        result = self._followed(source, self._then("scale"), self.window)
        result._scale = scale
        return result

    def plus(self, other: Windowed, source: str, window: Window) -> Windowed | None:
        """Return the sum with a delta of the same channels, on a window that holds both; None as for `rectified`."""
        if not self._takes("add"):
            return None
        result = self._followed(source, self._then("add"), window)
        other.settle()
        result._other = other
        other.uses += 1
        return result

    @property
    def holds_value(self) -> bool:
        """Whether the value is what will be computed."""
        return super().holds_value if self._state == "computed" else self._finish.value

    def settle(self) -> None:
        """Decide what is written; see Windowed."""
        if self._state != "open":
            return
        kernel, finish, x, other = self._kernel, self._finish, self._x, self._other
        reads_reference = finish.reads_reference or kernel.reads_reference
        read = _operand(x)
        self._call = Call(
            kernel,
            read,
            x.window,
            self.window,
            self.length,
            finish,
            x_reference=self._contiguous(x.source) if kernel.reads_reference else None,
            reference=self._contiguous(self._reference_of) if reads_reference else None,
            scale=None if self._scale is None else self._scale.to(read.dtype).contiguous(),
            other=None if other is None else _operand(other),
            other_window=None if other is None else other.window,
            node=self._node,
        )
        self._state = "settled"
        self._program.add(self)

    def settle_on(self, window: Window) -> None:
        """Decide that its value on a window is written, where it can be; see Windowed."""
        self._widen(window)
        self._prefer_value()
        self.settle()

    def compute(self) -> None:
        """Compute it, and what else is settled; see Windowed."""
        self.settle()
        if self._state == "settled":
            self._program.run()

    def computed(self, result: Tensor | None) -> None:
        """Take what was written; None where nobody is left who reads it."""
        if self._finish.value:
            self._value = result
        else:
            self._delta = result
        self._state, self._call = "computed", None
        self._let_go()

    def delta(self) -> Tensor:
        """Return the delta; see Windowed."""
        self.compute()
        return super().delta()

    def value(self) -> Tensor:
        """Return the value; see Windowed."""
        self._prefer_value()
        self.compute()
        return super().value()

    def take_delta(self) -> Tensor:
        """Return the delta to be overwritten; see Windowed."""
        self.compute()
        return super().take_delta()

    def take_raw_delta(self) -> tuple[Tensor, bool]:
        """Return the delta to be overwritten; see Windowed."""
        self.compute()
        return super().take_raw_delta()

    def take_value(self) -> Tensor:
        """Return the value to be overwritten; see Windowed."""
        self._prefer_value()
        self.compute()
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
        return self._state == "open" and self.uses <= 1

    @property
    def _may_be_value(self) -> bool:
        """Whether the reference at hand is that of what is written."""
        finish = self._finish
        return self._open and (finish.value or not (finish.steps if self._kernel.reads_reference else finish.rectified))

    def _takes(self, step: FinishStep) -> bool:
        finish = self._finish
        return self._open and step in self._kernel.steps and step not in finish.steps and not finish.value

    def _then(self, step: FinishStep, *, value: bool = False) -> Finish:
        return replace(self._finish, steps=(*self._finish.steps, step), value=value)

    def _widen(self, window: Window) -> None:
        """Have the value written on a window that holds all of its own: nothing else need be put around it."""
        holds = all(
            window.at(k) <= max(0, self.window.at(k))
            and min(self.length, self.window.at(k) + self.window.width) <= window.at(k) + window.width
            for k in (0, self.shape[1] - 1)
        )
        if self._may_be_value and holds:
            self._finish = replace(self._finish, value=True)
            self.window = window
            self.shape = torch.Size((*self.shape[:3], window.width, self.shape[4]))

    def _prefer_value(self) -> None:
        if self._may_be_value:
            self._finish = replace(self._finish, value=True)

    def _followed(self, source: str, finish: Finish, window: Window) -> "Deferred":
        """Return the same with another finish, in this one's place."""
        result = Deferred(self.references, source, self.length, window, self._kernel, self._x, self._program)
        result._other, result._finish, result._scale, result._node = self._other, finish, self._scale, self._node
        if self._kernel.reads_reference or self._finish.rectified:
            result._reference_of = self._reference_of
        elif finish.rectified:
            result._reference_of = self.source
        if self._other is not None:
            self._other.uses += 1
        self._let_go()
        self._state = "followed"
        return result

    def _let_go(self) -> None:
        """Read nothing any more, and keep none of it: what was computed may be kept for long."""
        self._x.uses -= 1
        if self._other is not None:
            self._other.uses -= 1
        del self._x, self._other

    def _contiguous(self, source: str) -> Tensor:
        return self.references.summary(source, "contiguous", Tensor.contiguous)


def _operand(windowed: Windowed) -> Tensor | Call:
    """Return what a kernel reads: the delta, or what another one will write."""
    return windowed.call if isinstance(windowed, Deferred) and windowed.waits else windowed.delta()
