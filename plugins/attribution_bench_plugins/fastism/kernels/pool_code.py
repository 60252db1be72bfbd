"""LLVM code of maximum pools and of sums over positions."""

from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.loops import number
from attribution_bench_plugins.fastism.kernels.row_code import RowCode

BLOCK_POSITIONS = 32
"""Positions of a partial sum: rounding errors grow with the square roots of this and of the number of partial sums."""


class PoolCode(RowCode):
    """The code of a maximum pool, over mutated values in the window and unmutated ones around it."""

    def write(self) -> None:
        """Write the function's body."""
        with self.loop(number(0), self.given["rows"]) as row:
            low, high, end = self.start_row(row.index)
            self.zero(low, high, end)
            with self.loop(low, high) as position:
                self._pool(position.index)

    def _pool(self, position: Any) -> None:
        b, given = self.builder, self.given
        start = b.add(b.mul(position, given["stride"]), given["offset"])
        first, last = self._tap(start, number(0)), self._tap(start, given["x_length"])
        window = b.add(self.x_start, given["x_width"])
        enter = self.smaller(self.larger(self._tap(start, self.x_start), first), last)
        leave = self.smaller(self.larger(self._tap(start, window), enter), last)
        unmutated = self.at(self.unmutated, b.mul(position, given["c_out"]))

        def change(channel: Any, count: int, kind: Any) -> list[Any]:
            lowest = ir.Constant(self.element, float("-inf"))
            largest = [lowest if kind is self.element else ir.Constant(kind, [lowest] * kind.count)] * count
            for begin, stop, mutated in ((first, enter, False), (enter, leave, True), (leave, last, False)):
                with self.loop(begin, stop, carried=largest) as tap:
                    place = b.add(start, b.mul(tap.index, given["dilation"]))
                    around = self.at(self.x_unmutated, b.add(b.mul(place, given["c_in"]), channel))
                    values = self.read(around, count, kind)
                    if mutated:
                        own = self.at(self.x, b.add(b.mul(b.sub(place, self.x_start), given["c_in"]), channel))
                        deltas = self.read(own, count, kind)
                        values = [b.fadd(value, delta) for value, delta in zip(values, deltas, strict=True)]
                    tap.carried = [self._larger(x, y) for x, y in zip(tap.carried, values, strict=True)]
                largest = tap.carried
            before = self.read(self.at(unmutated, channel), count, kind)
            return [b.fsub(value, unmutated) for value, unmutated in zip(largest, before, strict=True)]

        self.write_position(position, change)

    def _tap(self, start: Any, position: Any) -> Any:
        """Return the first tap that reads at or after a position, of the output whose first tap reads at `start`."""
        b, given = self.builder, self.given
        distance = self.larger(b.sub(position, start), number(0))
        tap = b.sdiv(b.add(distance, b.sub(given["dilation"], number(1))), given["dilation"])
        return self.smaller(tap, given["kernel"])

    def _larger(self, x: Any, y: Any) -> Any:
        """Return the larger of two numbers; NaN where either is NaN."""
        b = self.builder
        return b.select(b.or_(b.fcmp_ordered(">", y, x), b.fcmp_unordered("uno", y, y)), y, x)


class TotalCode(RowCode):
    """The code of a sum over the positions of each row, in blocks."""

    def write(self) -> None:
        """Write the function's body."""
        with self.loop(number(0), self.given["rows"]) as row:
            low, high, end = self.start_row(row.index)
            self.zero(low, high, end)
            with self.loop(low, high) as position:
                self.write_position(position.index, self._total)

    def _total(self, channel: Any, count: int, kind: Any) -> list[Any]:
        b, given = self.builder, self.given
        zeros = [ir.Constant(kind, None)] * count
        width = given["x_width"]
        with self.loop(number(0), width, BLOCK_POSITIONS, carried=zeros) as part:
            stop = self.smaller(b.add(part.index, number(BLOCK_POSITIONS)), width)
            with self.loop(part.index, stop, carried=zeros) as position:
                here = self.at(self.x, b.add(b.mul(position.index, given["c_in"]), channel))
                position.carried = self._sums(position.carried, self.read(here, count, kind))
            part.carried = self._sums(part.carried, position.carried)
        return part.carried

    def _sums(self, x: list[Any], y: list[Any]) -> list[Any]:
        return [self.builder.fadd(one, other) for one, other in zip(x, y, strict=True)]
