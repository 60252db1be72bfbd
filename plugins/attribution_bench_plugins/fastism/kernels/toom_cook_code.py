"""Convolution by values at points, written for LLVM."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.loops import number
from attribution_bench_plugins.fastism.kernels.row_code import RowCode

PART = 160
"""Input channels that are multiplied at a time: their weights stay near from one tile of columns to the next."""


class ToomCookCode(RowCode):
    """For each group of columns: their values at a point times the weights there, for all points; then the sums.

    A column is every dilation-th position of a row from one on. Columns of one length follow each other, those of a
    row and those of the next, so that a product has many of them whatever the dilation.
    """

    def write(self) -> None:
        """Write the function's body."""
        code, b, given = self.code, self.code.builder, self.given
        self.padded = code.rounded_up(given["c_out"], self.tile.lanes)
        self.values = given["scratch"]
        self.apart = b.mul(given["group"], given["c_in"])
        self.products = self.at(self.values, b.mul(self.apart, given["points"]))
        with b.if_then(b.icmp_signed("==", given["first"], number(0))):
            self._around()
        columns = b.mul(given["rows"], given["columns"])
        with code.loop(number(0), columns, given["group"]) as group:
            size = code.smaller(given["group"], b.sub(columns, group.index))
            with self._columns(group.index, size) as (column, first):
                self._evaluate(column, first)
            with code.loop(number(0), given["points"]) as point:
                self._multiply(point.index, size)
            with self._columns(group.index, size) as (column, first):
                self._write(column, first)

    def _around(self) -> None:
        """Write what no tap leads to."""
        code, b, given = self.code, self.code.builder, self.given
        reach = b.mul(b.sub(given["kernel"], number(1)), given["dilation"])
        with code.loop(number(0), given["rows"]) as row:
            low, high, end = self.start_row(row.index)
            self.zero(low, high, end)
            start = b.add(self.x_start, given["offset"])
            first = code.smaller(code.larger(start, low), high)
            last = code.larger(code.smaller(b.add(start, b.add(given["x_width"], reach)), high), first)
            for begin, stop in ((low, first), (last, high)):
                with code.loop(begin, stop) as position:
                    self.finish_position(position.index, lambda _, count, kind: [ir.Constant(kind, None)] * count)

    @contextmanager
    def _columns(self, start: Any, size: Any) -> Iterator[tuple[Any, Any]]:
        """Go through a group: a column's number in it, and its first position in the row, which is started."""
        code, b, columns = self.code, self.code.builder, self.given["columns"]
        stop = b.add(start, size)
        last = b.add(b.sdiv(b.sub(stop, number(1)), columns), number(1))
        with code.loop(b.sdiv(start, columns), last) as row:
            self.low, self.high, _ = self.start_row(row.index)
            before = b.mul(row.index, columns)
            low = code.larger(number(0), b.sub(start, before))
            with code.loop(low, code.smaller(columns, b.sub(stop, before))) as place:
                yield b.sub(b.add(before, place.index), start), b.add(self.given["first"], place.index)

    def _evaluate(self, column: Any, first: Any) -> None:
        """Write a column's values at all points."""
        b, given = self.code.builder, self.given
        start = self.at(self.x, b.mul(first, given["c_in"]))
        apart = b.mul(given["dilation"], given["c_in"])
        into = self.at(self.values, b.mul(column, given["c_in"]))
        with self.code.loop(number(0), given["points"]) as point:
            factors = self.at(given["evaluate"], b.mul(point.index, given["inputs"]))
            own = self.at(into, b.mul(point.index, self.apart))

            def part(channel: Any, count: int, kind: Any) -> None:
                sums = self._weighted(given["inputs"], factors, self.at(start, channel), apart, count, kind)
                self.store(sums, self.at(own, channel))

            self.cover(given["c_in"], part)

    def _multiply(self, point: Any, size: Any) -> None:
        """Write the products of all values with the weights at a point."""
        code, b, given = self.code, self.code.builder, self.given
        for block, vectors in self.blocks(self.padded):
            before = b.add(b.mul(point, self.padded), block)
            weights = self.at(given["taps"], b.mul(before, given["c_in"]))
            into = self.at(self.products, before)
            apart = b.mul(given["points"], self.padded)
            values = self.at(self.values, b.mul(point, self.apart))
            with code.loop(number(0), given["c_in"], PART) as part:
                begun = b.icmp_signed(">", part.index, number(0))
                stop = code.smaller(b.add(part.index, number(PART)), given["c_in"])
                for column, positions in self.tiles(size):
                    numbers = [b.add(column, number(i)) for i in range(positions)]
                    starts = [self.at(values, b.mul(i, given["c_in"])) for i in numbers]
                    places = [self.at(into, b.mul(i, apart)) for i in numbers]
                    sums = [
                        b.select(begun, total, ir.Constant(self.vector, None))
                        for place in places
                        for total in self.read(place, vectors, self.vector)
                    ]
                    sums = self.multiply(starts, weights, vectors, sums, part.index, stop)
                    for i, place in enumerate(places):
                        self.store(sums[i * vectors : (i + 1) * vectors], place)

    def _write(self, column: Any, first: Any) -> None:
        """Write a column of the result: sums of its products at all points."""
        b, given = self.code.builder, self.given
        own = self.at(self.products, b.mul(column, b.mul(given["points"], self.padded)))
        start = b.add(b.add(self.x_start, given["offset"]), first)
        outputs = b.add(given["inputs"], b.sub(given["kernel"], number(1)))
        with self.code.loop(number(0), outputs) as output:
            position = b.add(start, b.mul(output.index, given["dilation"]))
            factors = self.at(given["interpolate"], b.mul(output.index, given["points"]))

            def total(channel: Any, count: int, kind: Any) -> list[Any]:
                return self._weighted(given["points"], factors, self.at(own, channel), self.padded, count, kind)

            inside = b.and_(b.icmp_signed(">=", position, self.low), b.icmp_signed("<", position, self.high))
            with b.if_then(inside):
                self.finish_position(position, total)

    def _weighted(self, terms: Any, factors: Any, start: Any, apart: Any, count: int, kind: Any) -> list[Any]:
        """Return the sums of so many vectors that lie apart, each times its factor, for vectors side by side."""
        code, b = self.code, self.code.builder

        with code.loop(number(0), terms, carried=[ir.Constant(kind, None)] * count) as term:
            factor = code.load(self.at(factors, term.index), self.element, self.itemsize)
            source = self.at(start, b.mul(term.index, apart))
            if kind is not self.element:
                factor = code.spread(factor, kind)
            vectors = self.read(source, count, kind)
            term.carried = [code.multiply_add(factor, x, y) for x, y in zip(vectors, term.carried, strict=True)]
        return term.carried
