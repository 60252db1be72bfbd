"""LLVM code of sums over positions."""

from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.loops import number
from attribution_bench_plugins.fastism.kernels.row_code import RowCode

BLOCK_POSITIONS = 32
"""Positions of a partial sum: rounding errors grow with the square roots of this and of the number of partial sums."""


class TotalCode(RowCode):
    """The code of a sum over the positions of each row, in blocks."""

    def write(self) -> None:
        """Write the function's body."""
        with self.code.loop(number(0), self.given["rows"]) as row:
            low, high, end = self.start_row(row.index)
            self.zero(low, high, end)
            with self.code.loop(low, high) as position:
                self.write_position(position.index, self._total)

    def _total(self, channel: Any, count: int, kind: Any) -> list[Any]:
        code, b, given = self.code, self.code.builder, self.given
        zeros = [ir.Constant(kind, None)] * count
        width = given["x_width"]
        with code.loop(number(0), width, BLOCK_POSITIONS, carried=zeros) as part:
            stop = code.smaller(b.add(part.index, number(BLOCK_POSITIONS)), width)
            with code.loop(part.index, stop, carried=zeros) as position:
                here = self.at(self.x, b.add(b.mul(position.index, given["c_in"]), channel))
                position.carried = self._sums(position.carried, self.read(here, count, kind))
            part.carried = self._sums(part.carried, position.carried)
        return part.carried

    def _sums(self, x: list[Any], y: list[Any]) -> list[Any]:
        return [self.code.builder.fadd(one, other) for one, other in zip(x, y, strict=True)]
