"""LLVM code of the direct convolution."""

from functools import partial
from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.loops import INDEX, POINTER, number
from attribution_bench_plugins.fastism.kernels.row_code import RowCode


class DirectCode(RowCode):
    """The code of a direct convolution, register tile by register tile.

    For each tile of positions and output channels it lists the taps that read positions of the source window, adds up
    their products, applies the epilogue and writes. Where a tap reads past the ends of the window, its inputs are
    copied and padded with zeros. The loop over output channels is the outermost one, so that the weights of a tile
    stay in the cache for all rows.
    """

    def write(self) -> None:
        b, given = self.builder, self.given
        self.listed = b.alloca(INDEX)
        with self.loop(number(0), given["rows"]) as row:
            self.zero(*self.start_row(row.index))
        for block, vectors in self.blocks(self.rounded_up(given["c_out"], self.tile.lanes)):
            before = b.mul(b.mul(given["kernel"], given["c_in"]), block)
            self.taps = self.at(given["taps"], before)
            with self.loop(number(0), given["rows"]) as row:
                low, high, _ = self.start_row(row.index)
                with self.loop(low, high, self.tile.positions) as tile:
                    self._tile(tile.index, high, block, vectors)

    def _tile(self, position: Any, high: Any, channel: Any, vectors: int) -> None:
        b, given = self.builder, self.given
        sums = self._multiply(self._list_taps(position, vectors), vectors)
        copies = b.mul(number(self.tile.positions), b.mul(given["kernel"], given["c_in"]))
        into = self.at(given["scratch"], copies)
        self.store(sums, into)
        self._write(into, position, high, channel, vectors)

    def _list_taps(self, position: Any, vectors: int) -> Any:
        """List the addresses of inputs and weights of the taps that read the source window; returns their number."""
        b, given = self.builder, self.given
        positions = number(self.tile.positions)
        first = b.sub(b.sub(position, given["offset"]), self.x_start)
        b.store(number(0), self.listed)
        with self.loop(number(0), given["kernel"]) as tap:
            start = b.sub(first, b.mul(tap.index, given["dilation"]))
            stop = b.add(start, positions)
            low, high = self.larger(start, number(0)), self.smaller(stop, given["x_width"])
            with b.if_then(b.icmp_signed("<", low, high)):
                inside = b.and_(b.icmp_signed(">=", start, number(0)), b.icmp_signed("<=", stop, given["x_width"]))
                own = self.at(self.x, b.mul(start, given["c_in"]))
                copied = self.at(given["scratch"], b.mul(tap.index, b.mul(positions, given["c_in"])))
                with b.if_then(b.not_(inside)):
                    size = b.mul(given["c_in"], number(self.itemsize))
                    self.fill_zero(copied, b.mul(positions, size))
                    into = self.at(copied, b.mul(b.sub(low, start), given["c_in"]))
                    part = self.at(self.x, b.mul(low, given["c_in"]))
                    self.copy(into, part, b.mul(b.sub(high, low), size))
                read = b.select(inside, own, copied)
                size = b.mul(given["c_in"], number(vectors * self.tile.lanes))
                weights = self.at(self.taps, b.mul(tap.index, size))
                slot = b.mul(b.load(self.listed, typ=INDEX), number(2))
                b.store(read, self.integer_at(given["lists"], slot))
                b.store(weights, self.integer_at(given["lists"], b.add(slot, number(1))))
                b.store(b.add(b.load(self.listed, typ=INDEX), number(1)), self.listed)
        return b.load(self.listed, typ=INDEX)

    def _multiply(self, tap_count: Any, vectors: int) -> list[Any]:
        """Return the sums of a tile: of the products of the listed taps."""
        b, given, tile = self.builder, self.given, self.tile
        zero = ir.Constant(self.vector, None)
        with self.loop(number(0), tap_count, carried=[zero] * (tile.positions * vectors)) as tap:
            slot = b.mul(tap.index, number(2))
            read = b.load(self.integer_at(given["lists"], slot), typ=POINTER)
            weights = b.load(self.integer_at(given["lists"], b.add(slot, number(1))), typ=POINTER)
            starts = [self.at(read, b.mul(given["c_in"], number(i))) for i in range(tile.positions)]
            tap.carried = self.multiply(starts, weights, vectors, tap.carried)
        return tap.carried

    def _write(self, sums: Any, position: Any, high: Any, channel: Any, vectors: int) -> None:
        """Apply the epilogue to the sums of a tile, and write those of positions before `high` and of real channels."""
        b, given = self.builder, self.given
        channels_of_tile = number(vectors * self.tile.lanes)
        channels = self.smaller(channels_of_tile, b.sub(given["c_out"], channel))
        last = self.smaller(b.add(position, number(self.tile.positions)), high)
        with self.loop(position, last) as at:
            own = self.at(sums, b.mul(b.sub(at.index, position), channels_of_tile))
            unmutated = self.at(self.unmutated, b.add(b.mul(at.index, given["c_out"]), channel))
            into = self.at(self.out, b.add(b.mul(b.sub(at.index, self.out_start), given["c_out"]), channel))
            write = partial(self.write_run, channels, own, channel, unmutated, into=into)
            self.with_other(at.index, channel, write)
