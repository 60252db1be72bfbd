"""LLVM code of the Toom-Cook convolution."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.loops import number
from attribution_bench_plugins.fastism.kernels.row_code import RowCode

CHANNELS_AT_ONCE = 160
"""Input channels that are multiplied at a time: their weights stay in the first-level cache for all register tiles."""


class ToomCookCode(RowCode):
    """The code of a Toom-Cook convolution, group of columns by group of columns.

    For each group it evaluates the columns at all points, multiplies the values at each point with the weights there,
    interpolates, applies the epilogue and writes. A column is one phase of a row: every dilation-th position of it.
    The columns of a group have one length, and may be of several rows, so that a product has many columns whatever
    the dilation.
    """

    def write(self) -> None:
        b, given = self.builder, self.given
        self.padded = self.rounded_up(given["c_out"], self.tile.lanes)
        self.values = given["scratch"]
        self.point_stride = b.mul(given["group"], given["c_in"])
        self.products = self.at(self.values, b.mul(self.point_stride, given["points"]))
        with b.if_then(b.icmp_signed("==", given["first"], number(0))):
            self._write_unaffected()
        columns = b.mul(given["rows"], given["columns"])
        with self.loop(number(0), columns, given["group"]) as group:
            size = self.smaller(given["group"], b.sub(columns, group.index))
            with self._columns(group.index, size) as (column, first):
                self._evaluate(column, first)
            with self.loop(number(0), given["points"]) as point:
                self._multiply(point.index, size)
            with self._columns(group.index, size) as (column, first):
                self._write(column, first)

    def _write_unaffected(self) -> None:
        """Write the positions outside the affected range, whose sums are zero."""
        b, given = self.builder, self.given
        reach = b.mul(b.sub(given["kernel"], number(1)), given["dilation"])
        with self.loop(number(0), given["rows"]) as row:
            low, high, end = self.start_row(row.index)
            self.zero(low, high, end)
            start = b.add(self.x_start, given["offset"])
            first = self.smaller(self.larger(start, low), high)
            last = self.larger(self.smaller(b.add(start, b.add(given["x_width"], reach)), high), first)
            for begin, stop in ((low, first), (last, high)):
                with self.loop(begin, stop) as position:
                    self.write_position(position.index, lambda _, count, kind: [ir.Constant(kind, None)] * count)

    @contextmanager
    def _columns(self, start: Any, size: Any) -> Iterator[tuple[Any, Any]]:
        """Loop over the columns of a group and start the row of each; yields its index in the group and its phase."""
        b, columns = self.builder, self.given["columns"]
        stop = b.add(start, size)
        last = b.add(b.sdiv(b.sub(stop, number(1)), columns), number(1))
        with self.loop(b.sdiv(start, columns), last) as row:
            self.low, self.high, _ = self.start_row(row.index)
            before = b.mul(row.index, columns)
            low = self.larger(number(0), b.sub(start, before))
            with self.loop(low, self.smaller(columns, b.sub(stop, before))) as place:
                yield b.sub(b.add(before, place.index), start), b.add(self.given["first"], place.index)

    def _evaluate(self, column: Any, first: Any) -> None:
        """Write the values of a column at all points."""
        b, given = self.builder, self.given
        start = self.at(self.x, b.mul(first, given["c_in"]))
        stride = b.mul(given["dilation"], given["c_in"])
        into = self.at(self.values, b.mul(column, given["c_in"]))
        with self.loop(number(0), given["points"]) as point:
            factors = self.at(given["evaluation"], b.mul(point.index, given["inputs"]))
            own = self.at(into, b.mul(point.index, self.point_stride))

            def part(channel: Any, count: int, kind: Any) -> None:
                sums = self._weighted_sums(given["inputs"], factors, self.at(start, channel), stride, count, kind)
                self.store(sums, self.at(own, channel))

            self.cover(given["c_in"], part)

    def _multiply(self, point: Any, size: Any) -> None:
        """Write the products of the values of all columns at a point with the weights there."""
        b, given = self.builder, self.given
        for block, vectors in self.blocks(self.padded):
            before = b.add(b.mul(point, self.padded), block)
            weights = self.at(given["taps"], b.mul(before, given["c_in"]))
            into = self.at(self.products, before)
            stride = b.mul(given["points"], self.padded)
            values = self.at(self.values, b.mul(point, self.point_stride))
            with self.loop(number(0), given["c_in"], CHANNELS_AT_ONCE) as part:
                begun = b.icmp_signed(">", part.index, number(0))
                stop = self.smaller(b.add(part.index, number(CHANNELS_AT_ONCE)), given["c_in"])
                for column, positions in self.tiles(size):
                    numbers = [b.add(column, number(i)) for i in range(positions)]
                    starts = [self.at(values, b.mul(i, given["c_in"])) for i in numbers]
                    places = [self.at(into, b.mul(i, stride)) for i in numbers]
                    sums = [
                        b.select(begun, total, ir.Constant(self.vector, None))
                        for place in places
                        for total in self.read(place, vectors, self.vector)
                    ]
                    sums = self.multiply(starts, weights, vectors, sums, part.index, stop)
                    for i, place in enumerate(places):
                        self.store(sums[i * vectors : (i + 1) * vectors], place)

    def _write(self, column: Any, first: Any) -> None:
        """Write a column of the result: interpolated from its products at all points."""
        b, given = self.builder, self.given
        own = self.at(self.products, b.mul(column, b.mul(given["points"], self.padded)))
        start = b.add(b.add(self.x_start, given["offset"]), first)
        outputs = b.add(given["inputs"], b.sub(given["kernel"], number(1)))
        with self.loop(number(0), outputs) as output:
            position = b.add(start, b.mul(output.index, given["dilation"]))
            factors = self.at(given["interpolation"], b.mul(output.index, given["points"]))

            def total(channel: Any, count: int, kind: Any) -> list[Any]:
                return self._weighted_sums(given["points"], factors, self.at(own, channel), self.padded, count, kind)

            inside = b.and_(b.icmp_signed(">=", position, self.low), b.icmp_signed("<", position, self.high))
            with b.if_then(inside):
                self.write_position(position, total)

    def _weighted_sums(self, terms: Any, factors: Any, start: Any, stride: Any, count: int, kind: Any) -> list[Any]:
        """Return weighted sums of `terms` vectors at multiples of a stride, for `count` vectors side by side."""
        b = self.builder
        with self.loop(number(0), terms, carried=[ir.Constant(kind, None)] * count) as term:
            factor = self.load(self.at(factors, term.index), self.element)
            source = self.at(start, b.mul(term.index, stride))
            if kind is not self.element:
                factor = self.spread(factor, kind)
            vectors = self.read(source, count, kind)
            term.carried = [self.multiply_add(factor, x, y) for x, y in zip(vectors, term.carried, strict=True)]
        return term.carried
