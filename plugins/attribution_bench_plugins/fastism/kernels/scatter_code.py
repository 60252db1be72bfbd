"""Convolution by inputs, written for LLVM."""

from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.loops import number
from attribution_bench_plugins.fastism.kernels.row_code import RowCode
from attribution_bench_plugins.fastism.kernels.scatter import tile_sizes


class ScatterCode(RowCode):
    """For each row: add every position's products with all taps to a row of sums, which is finished at once."""

    def write(self) -> None:
        """Write the function's body."""
        code, b, given = self.code, self.code.builder, self.given
        numbers = b.mul(given["kernel"], given["c_out"])
        padded = b.mul(
            b.sdiv(b.add(numbers, number(self.tile.channels - 1)), number(self.tile.channels)),
            number(self.tile.channels),
        )
        advance = b.mul(given["up"], given["c_out"])
        room = b.add(b.mul(b.sub(given["x_width"], number(1)), advance), padded)
        nothing = self.at(given["scratch"], room)
        code.fill_zero(nothing, b.mul(given["c_out"], number(self.itemsize)))
        with code.loop(number(0), given["rows"]) as row:
            low, high, end = self.start_row(row.index)
            self.zero(low, high, end)
            code.fill_zero(given["scratch"], b.mul(room, number(self.itemsize)))
            with code.loop(number(0), numbers, self.tile.channels) as block:
                weights = self.at(given["taps"], b.mul(given["c_in"], block.index))
                into = self.at(given["scratch"], block.index)
                done = number(0)
                for size in tile_sizes(self.tile):
                    # A loop goes on where the last one stopped, as long as a tile of its size is left.
                    tiles = b.sdiv(b.sub(given["x_width"], done), number(size))
                    stop = b.add(done, b.mul(tiles, number(size)))
                    with code.loop(done, stop, size) as tile:
                        self._add(tile.index, size, weights, into, advance)
                    done = stop
            self._write(low, high, numbers, nothing)

    def _add(self, position: Any, positions: int, weights: Any, into: Any, advance: Any) -> None:
        """Add the products of some positions to the row, one position after the other: they overlap."""
        code, b, given, tile = self.code, self.code.builder, self.given, self.tile
        starts = [self.at(self.x, b.mul(given["c_in"], b.add(position, number(i)))) for i in range(positions)]
        sums = self.multiply(starts, weights, [ir.Constant(self.vector, None)] * (positions * tile.vectors))
        for i in range(positions):
            first = self.at(into, b.mul(b.add(position, number(i)), advance))
            for v in range(tile.vectors):
                place = self.at(first, number(v * tile.lanes))
                total = b.fadd(code.load(place, self.vector, self.itemsize), sums[i * tile.vectors + v])
                b.store(total, place, align=self.itemsize)

    def _write(self, low: Any, high: Any, numbers: Any, nothing: Any) -> None:
        """Finish the row: what taps lead to at once, one position after the other around it."""
        code, b, given = self.code, self.code.builder, self.given
        start = b.add(b.mul(self.x_start, given["up"]), given["offset"])
        stop = b.add(b.add(start, b.mul(b.sub(given["x_width"], number(1)), given["up"])), given["kernel"])
        first = code.smaller(code.larger(start, low), high)
        last = code.larger(code.smaller(stop, high), first)
        own = self.at(given["scratch"], b.mul(b.sub(first, start), given["c_out"]))
        self._finish(first, b.sub(last, first), own)
        for begin, end in ((low, first), (last, high)):
            with code.loop(begin, end) as position:
                self._finish(position.index, number(1), nothing)

    def _finish(self, position: Any, positions: Any, own: Any) -> None:
        b, c_out = self.code.builder, self.given["c_out"]
        reference = self.at(self.reference, b.mul(position, c_out))
        into = self.at(self.out, b.mul(b.sub(position, self.out_start), c_out))
        self.finish_run(b.mul(positions, c_out), own, reference, None, into)
