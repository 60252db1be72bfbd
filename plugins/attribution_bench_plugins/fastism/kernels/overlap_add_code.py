"""LLVM code of the overlap-add convolution."""

from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.loops import number
from attribution_bench_plugins.fastism.kernels.row_code import RowCode


class OverlapAddCode(RowCode):
    """The code of an overlap-add convolution, row by row.

    It adds the products of every position with all taps to rows of sums, adds these up, applies the epilogue and
    writes. Each position of a register tile has a row of sums of its own: a load that partly overlaps a store of a
    moment ago stalls the processor (store forwarding fails).
    """

    def write(self) -> None:
        b, given = self.builder, self.given
        channels = b.mul(given["kernel"], given["c_out"])
        padded = self.rounded_up(channels, self.tile.lanes)
        advance = b.mul(given["upsampling"], given["c_out"])
        reached = b.add(b.mul(b.sub(given["x_width"], number(1)), advance), padded)
        self.row_size = self.rounded_up(reached, self.tile.lanes)
        sums = b.mul(self.row_size, number(self.tile.positions))
        zeros = self.at(given["scratch"], sums)
        self.fill_zero(zeros, b.mul(given["c_out"], number(self.itemsize)))
        with self.loop(number(0), given["rows"]) as row:
            low, high, end = self.start_row(row.index)
            self.zero(low, high, end)
            self.fill_zero(given["scratch"], b.mul(sums, number(self.itemsize)))
            for block, vectors in self.blocks(padded):
                weights = self.at(given["taps"], b.mul(given["c_in"], block))
                into = self.at(given["scratch"], block)
                for first, size in self.tiles(given["x_width"]):
                    self._add(first, size, weights, vectors, into, advance)
            self._add_up_rows()
            self._write(low, high, zeros)

    def _add(self, position: Any, positions: int, weights: Any, vectors: int, into: Any, advance: Any) -> None:
        """Add the products of the positions of a tile, each to its row of sums."""
        b, given, tile = self.builder, self.given, self.tile
        starts = [self.at(self.x, b.mul(given["c_in"], b.add(position, number(i)))) for i in range(positions)]
        sums = self.multiply(starts, weights, vectors, [ir.Constant(self.vector, None)] * (positions * vectors))
        for i in range(positions):
            own = b.mul(self.row_size, number(i))
            first = self.at(into, b.add(own, b.mul(b.add(position, number(i)), advance)))
            for v in range(vectors):
                place = self.at(first, number(v * tile.lanes))
                total = b.fadd(self.load(place, self.vector), sums[i * vectors + v])
                b.store(total, place, align=self.itemsize)

    def _add_up_rows(self) -> None:
        """Add all rows of sums to the first one."""
        b, scratch = self.builder, self.given["scratch"]
        with self.loop(number(0), self.row_size, self.tile.lanes) as place:
            parts = [
                self.load(self.at(scratch, b.add(place.index, b.mul(self.row_size, number(i)))), self.vector)
                for i in range(self.tile.positions)
            ]
            while len(parts) > 1:
                sums = [b.fadd(x, y) for x, y in zip(parts[::2], parts[1::2], strict=False)]
                parts = sums + parts[2 * len(sums) :]
            b.store(parts[0], self.at(scratch, place.index), align=self.itemsize)

    def _write(self, low: Any, high: Any, zeros: Any) -> None:
        """Write the row: the affected positions in one run, and those around them one by one, as zeros."""
        b, given = self.builder, self.given
        start = b.add(b.mul(self.x_start, given["upsampling"]), given["offset"])
        stop = b.add(b.add(start, b.mul(b.sub(given["x_width"], number(1)), given["upsampling"])), given["kernel"])
        first = self.smaller(self.larger(start, low), high)
        last = self.larger(self.smaller(stop, high), first)
        own = self.at(given["scratch"], b.mul(b.sub(first, start), given["c_out"]))
        self._write_run(first, b.sub(last, first), own)
        for begin, end in ((low, first), (last, high)):
            with self.loop(begin, end) as position:
                self._write_run(position.index, number(1), zeros)

    def _write_run(self, position: Any, positions: Any, own: Any) -> None:
        b, c_out = self.builder, self.given["c_out"]
        unmutated = self.at(self.unmutated, b.mul(position, c_out))
        into = self.at(self.out, b.mul(b.sub(position, self.out_start), c_out))
        self.write_run(b.mul(positions, c_out), own, number(0), unmutated, None, into)
