"""LLVM code of the blocked Toom-Cook convolution."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.blocked_toom_cook_kernel import POINTS_AT_ONCE
from attribution_bench_plugins.fastism.kernels.loops import number
from attribution_bench_plugins.fastism.kernels.toom_cook_code import ToomCookCode


@dataclass(frozen=True)
class Group:
    """The columns of a row that are computed at a time, and the blocks of them that are needed."""

    column: Any
    """The first column, a phase of the row."""
    columns: Any
    outputs: tuple[Any, Any]
    """The blocks of the result that are written: the first, and the one after the last. The others are alike."""
    products: tuple[Any, Any]
    """The blocks of products: each is a part of its own block of the result and of the next one."""
    inputs: tuple[Any, Any]
    """The blocks of the source window."""


class BlockedToomCookCode(ToomCookCode):
    """The code of a blocked Toom-Cook convolution, group of columns by group of columns, row by row.

    For each group it evaluates the blocks of the source window at all points, convolves the values at each point with
    the weights there, interpolates, applies the epilogue and writes. The values of a group lie side by side, block
    after block and in each block column after column, with zeros before and after them: at a point they are convolved
    as one sequence, with as many positions from tap to tap as there are columns.
    """

    def write(self) -> None:
        b, given = self.builder, self.given
        self.padded = self.rounded_up(given["c_out"], self.tile.lanes)
        self.size = given["inputs"]
        self.kernel_blocks = self._quotient_up(given["kernel"], self.size)
        self.source_blocks = self._quotient_up(self._quotient_up(given["x_width"], given["dilation"]), self.size)
        self.product_blocks = b.sub(b.add(self.source_blocks, self.kernel_blocks), number(1))
        self.margin = number(self.tile.positions)
        places = b.add(b.mul(self.source_blocks, given["group"]), b.mul(number(2), self.margin))
        self.point_stride = b.mul(places, given["c_in"])
        self.padded_points = self.rounded_up(given["points"], POINTS_AT_ONCE)
        self.values = given["scratch"]
        self.products = self.at(self.values, b.mul(self.padded_points, self.point_stride))
        self._write_unaffected()
        reach = b.mul(b.sub(given["kernel"], number(1)), given["dilation"])
        with self.loop(number(0), given["rows"]) as row:
            low, high, _ = self.start_row(row.index)
            self.start = b.add(self.x_start, given["offset"])
            self.low = self.larger(low, self.start)
            self.high = self.smaller(high, b.add(self.start, b.add(given["x_width"], reach)))
            with (
                b.if_then(b.icmp_signed("<", self.low, self.high)),
                self.loop(number(0), given["dilation"], given["group"]) as first,
            ):
                group = self._group(first.index)
                self._fill_with_zeros(group)
                self._evaluate_group(group)
                with self.loop(number(0), given["points"]) as point:
                    self._multiply_group(point.index, group)
                self._write_group(group)

    def _group(self, column: Any) -> Group:
        """Return the group of columns that begins with one; its blocks are those that the row's output window reads."""
        b, given, zero = self.builder, self.given, number(0)
        block = b.mul(self.size, given["dilation"])
        first = b.sdiv(b.sub(self.low, self.start), block)
        stop = self._quotient_up(b.sub(self.high, self.start), block)
        products = self.larger(zero, b.sub(first, number(1))), self.smaller(self.product_blocks, stop)
        earliest = b.sub(products[0], b.sub(self.kernel_blocks, number(1)))
        inputs = self.larger(zero, earliest), self.smaller(self.source_blocks, products[1])
        columns = self.smaller(given["group"], b.sub(given["dilation"], column))
        return Group(column, columns, (first, stop), products, inputs)

    def _fill_with_zeros(self, group: Group) -> None:
        """Write the zeros around the values at each point, and around the products."""
        b, given = self.builder, self.given
        size = b.mul(b.mul(self.margin, given["c_in"]), number(self.itemsize))
        after = b.mul(b.add(self.margin, b.mul(self.source_blocks, group.columns)), given["c_in"])
        with self.loop(number(0), given["points"]) as point:
            own = self.at(self.values, b.mul(point.index, self.point_stride))
            self.fill_zero(own, size)
            self.fill_zero(self.at(own, after), size)
        block = b.mul(group.columns, b.mul(given["points"], self.padded))
        size = b.mul(block, number(self.itemsize))
        self.fill_zero(self.products, size)
        self.fill_zero(self.at(self.products, b.mul(block, b.add(self.product_blocks, number(1)))), size)

    @contextmanager
    def _blocks(self, group: Group, blocks: tuple[Any, Any]) -> Iterator[tuple[Any, Any]]:
        """Loop over blocks and their columns; yields the place among the group's values, and the first position."""
        b, given = self.builder, self.given
        with self.loop(*blocks) as block, self.loop(number(0), group.columns) as column:
            phase = b.add(group.column, column.index)
            first = b.add(phase, b.mul(b.mul(block.index, self.size), given["dilation"]))
            yield b.add(b.mul(block.index, group.columns), column.index), first

    def _evaluate_group(self, group: Group) -> None:
        """Write the values of the blocks of the source window at all points, several points at a time."""
        b, given = self.builder, self.given
        stride = b.mul(given["dilation"], given["c_in"])
        with self._blocks(group, group.inputs) as (place, first):
            start = self.at(self.x, b.mul(first, given["c_in"]))
            into = self.at(self.values, b.mul(b.add(self.margin, place), given["c_in"]))
            # The last block of a column may have fewer positions.
            terms = self.smaller(self.size, self._quotient_up(b.sub(given["x_width"], first), given["dilation"]))
            with self.loop(number(0), given["points"], POINTS_AT_ONCE) as point:
                factors = self.at(given["evaluation"], point.index)
                own = self.at(into, b.mul(point.index, self.point_stride))

                def part(channel: Any, count: int, kind: Any, factors: Any = factors, own: Any = own) -> None:
                    zeros = [ir.Constant(kind, None)] * (count * POINTS_AT_ONCE)
                    with self.loop(number(0), terms, carried=zeros) as term:
                        source = self.at(start, b.add(b.mul(term.index, stride), channel))
                        vectors = self.read(source, count, kind)
                        row = self.at(factors, b.mul(term.index, self.padded_points))
                        each = [self._factor(self.at(row, number(i)), kind) for i in range(POINTS_AT_ONCE)]
                        added = [(factor, vector) for factor in each for vector in vectors]
                        term.carried = [
                            self.multiply_add(*pair, total) for pair, total in zip(added, term.carried, strict=True)
                        ]
                    for i in range(POINTS_AT_ONCE):
                        place = b.add(b.mul(number(i), self.point_stride), channel)
                        self.store(term.carried[i * count : (i + 1) * count], self.at(own, place))

                self.cover(given["c_in"], part)

    def _multiply_group(self, point: Any, group: Group) -> None:
        """Write the products at a point: of each tile of places, with the taps that read values and not only zeros."""
        b, given = self.builder, self.given
        values = self.at(self.values, b.add(b.mul(point, self.point_stride), b.mul(self.margin, given["c_in"])))
        taps = b.mul(self.kernel_blocks, given["c_in"])
        stride = b.mul(given["points"], self.padded)
        last = b.mul(self.source_blocks, group.columns)
        begin = b.mul(group.products[0], group.columns)
        for block, vectors in self.blocks(self.padded):
            weights = self.at(given["taps"], b.mul(taps, b.add(b.mul(point, self.padded), block)))
            size = b.mul(given["c_in"], number(vectors * self.tile.lanes))
            into = self.at(self.products, b.add(b.mul(point, self.padded), block))
            for tile, positions in self.tiles(b.sub(b.mul(group.products[1], group.columns), begin)):
                place = b.add(begin, tile)
                beyond = b.add(b.sub(place, last), group.columns)
                first = self.larger(number(0), b.sdiv(beyond, group.columns))
                stop = b.add(b.sdiv(b.add(place, number(positions - 1)), group.columns), number(1))
                sums = [ir.Constant(self.vector, None)] * (positions * vectors)
                with self.loop(first, self.smaller(stop, self.kernel_blocks), carried=sums) as tap:
                    read = b.sub(place, b.mul(tap.index, group.columns))
                    starts = [self.at(values, b.mul(b.add(read, number(i)), given["c_in"])) for i in range(positions)]
                    own = self.at(weights, b.mul(tap.index, size))
                    tap.carried = self.multiply(starts, own, vectors, tap.carried)
                for i in range(positions):
                    own = self.at(into, b.mul(b.add(b.add(place, number(i)), group.columns), stride))
                    self.store(tap.carried[i * vectors : (i + 1) * vectors], own)

    def _write_group(self, group: Group) -> None:
        """Write the result of a group, block by block: each is interpolated from its products and those before it."""
        b, given = self.builder, self.given
        own_factors, next_factors = given["interpolation"], b.mul(self.size, given["points"])
        with self._blocks(group, group.outputs) as (place, first):
            before = self.at(self.products, b.mul(place, b.mul(given["points"], self.padded)))
            step = b.mul(group.columns, b.mul(given["points"], self.padded))
            with self.loop(number(0), self.size) as output:
                position = b.add(self.start, b.add(first, b.mul(output.index, given["dilation"])))
                factors = self.at(own_factors, b.mul(output.index, given["points"]))
                factors_before = self.at(factors, next_factors)

                def total(
                    channel: Any, count: int, kind: Any, factors: Any = factors, factors_before: Any = factors_before
                ) -> list[Any]:
                    zeros = [ir.Constant(kind, None)] * (2 * count)
                    with self.loop(number(0), given["points"], carried=zeros) as point:
                        place = self.at(before, b.add(b.mul(point.index, self.padded), channel))
                        sums: list[Any] = []
                        for start, of in ((place, factors_before), (self.at(place, step), factors)):
                            factor = self._factor(self.at(of, point.index), kind)
                            totals = point.carried[len(sums) : len(sums) + count]
                            vectors = self.read(start, count, kind)
                            sums += [
                                self.multiply_add(factor, x, before) for x, before in zip(vectors, totals, strict=True)
                            ]
                        point.carried = sums
                    return [
                        b.fadd(one, other)
                        for one, other in zip(point.carried[:count], point.carried[count:], strict=True)
                    ]

                inside = b.and_(b.icmp_signed(">=", position, self.low), b.icmp_signed("<", position, self.high))
                with b.if_then(inside):
                    self.write_position(position, total)

    def _factor(self, pointer: Any, kind: Any) -> Any:
        """Return a factor, in every element of a vector where sums are vectors."""
        factor = self.load(pointer, self.element)
        return factor if kind is self.element else self.spread(factor, kind)

    def _quotient_up(self, value: Any, size: Any) -> Any:
        """Return the quotient of two indices, rounded up."""
        b = self.builder
        return b.sdiv(b.add(value, b.sub(size, number(1))), size)
