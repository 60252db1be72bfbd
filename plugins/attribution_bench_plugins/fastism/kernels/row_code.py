"""LLVM code that all kernels share: rows, register tiles, and epilogues."""

import abc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.epilogue import Epilogue
from attribution_bench_plugins.fastism.kernels.loops import INDEX, POINTER, Code, number
from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.kernels.window_kernel import PARAMETERS, POINTERS

ELEMENTS = {"float": (ir.FloatType(), 4), "double": (ir.DoubleType(), 8)}
"""The element types and their sizes in bytes."""


class RowCode(Code, abc.ABC):
    """The code of a kernel: a function that writes the windows of a chunk of rows."""

    def __init__(self, kind: str, tile: RegisterTile, epilogue: Epilogue) -> None:
        super().__init__([(name, POINTER if name in POINTERS else INDEX) for name in PARAMETERS])
        self.tile, self.epilogue = tile, epilogue
        self.element, self.itemsize = ELEMENTS[kind]
        self.vector = ir.VectorType(self.element, tile.lanes)
        self.write()
        self.builder.ret_void()

    @abc.abstractmethod
    def write(self) -> None:
        """Write the function's body."""

    def start_row(self, row: Any) -> tuple[Any, Any, Any]:
        """Compute the addresses of a row's tensors, and return three positions of its output window.

        The first in the sequence, the one after the last in the sequence, and the one after the window.
        """
        b, given = self.builder, self.given
        every = b.add(given["first_row"], row)
        number_of_mutation = b.srem(b.sdiv(every, given["alternatives"]), given["count"])
        self.x_start, self.out_start, self.other_start = (
            self._start(name, number_of_mutation) for name in ("x", "out", "other")
        )
        out_row = b.mul(given["out_width"], given["c_out"])
        entry = b.load(self.integer_at(given["x_entries"], b.mul(every, given["x_listed"])), typ=INDEX)
        own = b.mul(self._row_index(row, "x"), b.sub(number(1), given["x_listed"]))
        self.x = self.at(given["x"], b.mul(b.add(own, entry), given["x_row"]))
        self.other = self.at(given["other"], b.mul(self._row_index(row, "other"), given["other_row"]))
        self.out = self.at(given["out"], b.mul(self._row_index(row, "out"), out_row))
        sequence = b.sdiv(every, b.mul(given["count"], given["alternatives"]))
        self.unmutated = self.at(given["unmutated"], b.mul(sequence, given["unmutated_sequence"]))
        self.x_unmutated = self.at(given["x_unmutated"], b.mul(sequence, given["x_unmutated_sequence"]))
        end = b.add(self.out_start, given["out_width"])
        low = self.smaller(self.larger(self.out_start, number(0)), end)
        return low, self.larger(self.smaller(end, given["length"]), low), end

    def _start(self, name: str, number_of_mutation: Any) -> Any:
        """Return where the window of a mutation starts, of the tensor of a name."""
        b, given = self.builder, self.given
        multiple = b.load(self.integer_at(given[f"{name}_multiples"], number_of_mutation), typ=INDEX)
        return b.add(given[f"{name}_start"], b.mul(given[f"{name}_step"], multiple))

    def _row_index(self, row: Any, name: str) -> Any:
        """Return the index of a row in a tensor that holds all rows, or those of the chunk only."""
        b, given = self.builder, self.given
        return b.add(row, b.mul(given["first_row"], given[f"{name}_moves"]))

    def zero(self, low: Any, high: Any, end: Any) -> None:
        """Write zeros to the positions of the window before `low` and from `high` on: those outside the sequence."""
        b, c_out = self.builder, self.given["c_out"]
        size = b.mul(c_out, number(self.itemsize))
        self.fill_zero(self.out, b.mul(b.sub(low, self.out_start), size))
        after = self.at(self.out, b.mul(b.sub(high, self.out_start), c_out))
        self.fill_zero(after, b.mul(b.sub(end, high), size))

    def blocks(self, padded: Any) -> Iterator[tuple[Any, int]]:
        """Loop over output channels in register tiles; yields the first channel and the number of vectors of each."""
        b, size = self.builder, number(self.tile.channels)
        full = b.mul(b.sdiv(padded, size), size)
        with self.loop(number(0), full, self.tile.channels) as block:
            yield block.index, self.tile.vectors
        if self.tile.rest:
            yield full, self.tile.rest

    def tiles(self, count: Any) -> Iterator[tuple[Any, int]]:
        """Loop over `count` positions in register tiles, largest first; yields the first position and size of each."""
        b, done = self.builder, number(0)
        for size in self.tile.position_counts:
            # Each loop starts at the position where the one before it stopped, and runs for full tiles of its size.
            stop = b.add(done, b.mul(b.sdiv(b.sub(count, done), number(size)), number(size)))
            with self.loop(done, stop, size) as tile:
                yield tile.index, size
            done = stop

    def multiply(
        self, starts: list[Any], weights: Any, vectors: int, sums: list[Any], first: Any = None, stop: Any = None
    ) -> list[Any]:
        """Return sums plus the products of positions, whose inputs begin at `starts`, with weights (C_in, vectors).

        Sums are in registers: for each position, each vector of output channels. The input channels from `first` to
        before `stop` are multiplied, by default all.
        """
        first, stop = first or number(0), stop or self.given["c_in"]
        with self.loop(first, stop, carried=sums) as channel:
            row = self.at(weights, self.builder.mul(channel.index, number(vectors * self.tile.lanes)))
            read = self.read(row, vectors, self.vector)
            added = []
            for i, start in enumerate(starts):
                factor = self.load(self.at(start, channel.index), self.element)
                spread = self.spread(factor, self.vector)
                totals = channel.carried[i * vectors : (i + 1) * vectors]
                added += [self.multiply_add(spread, w, total) for w, total in zip(read, totals, strict=True)]
            channel.carried = added
        return channel.carried

    def with_other(self, position: Any, channel: Any, write: Callable[[Any], None]) -> None:
        """Call `write` with the address of the delta that is added at a position, from a channel on.

        The address is None where no delta is added, or where the position is outside its window.
        """
        b, given = self.builder, self.given
        if "add" not in self.epilogue.steps:
            write(None)
            return
        place = b.sub(position, self.other_start)
        covered = b.and_(b.icmp_signed(">=", place, number(0)), b.icmp_signed("<", place, given["other_width"]))
        other = self.at(self.other, b.add(b.mul(place, given["c_out"]), channel))
        with b.if_else(covered) as (inside, outside):
            with inside:
                write(other)
            with outside:
                write(None)

    def write_run(self, count: Any, own: Any, channel: Any, unmutated: Any, other: Any, into: Any) -> None:
        """Apply the epilogue to `count` sums that follow each other, the first of a channel, and write the results.

        `own`, `unmutated`, `other` and `into` are addresses of first elements; `other` is None where nothing is added.
        """
        b, lanes = self.builder, self.tile.lanes
        vectors = b.mul(b.sdiv(count, number(lanes)), number(lanes))
        for low, stop, step, kind in ((number(0), vectors, lanes, self.vector), (vectors, count, 1, self.element)):
            with self.loop(low, stop, step) as index:

                def read(pointer: Any, index: Any = index.index, kind: Any = kind) -> Any:
                    return self.load(self.at(pointer, index), kind)

                scale = partial(self.at, self.given["scale"], channel)
                result = self._after_epilogue(read(own), read, unmutated, other, scale)
                b.store(result, self.at(into, index.index), align=self.itemsize)

    def write_position(self, position: Any, total: Callable[[Any, int, Any], list[Any]]) -> None:
        """Apply the epilogue to the sums of a position and write the results.

        ``total(channel, count, kind)`` returns `count` vectors or elements of sums from a channel on.
        """
        b, c_out = self.builder, self.given["c_out"]
        unmutated = self.at(self.unmutated, b.mul(position, c_out))
        into = self.at(self.out, b.mul(b.sub(position, self.out_start), c_out))

        def write(other: Any) -> None:
            def part(channel: Any, count: int, kind: Any) -> None:
                def read(pointer: Any, i: int) -> Any:
                    place = b.add(channel, number(i * self.tile.lanes))
                    return self.load(self.at(pointer, place), kind)

                results = [
                    self._after_epilogue(value, partial(read, i=i), unmutated, other, lambda: self.given["scale"])
                    for i, value in enumerate(total(channel, count, kind))
                ]
                self.store(results, self.at(into, channel))

            self.cover(c_out, part)

        self.with_other(position, number(0), write)

    def cover(self, channels: Any, part: Callable[[Any, int, Any], None]) -> None:
        """Loop over channels: four vectors at a time, or one, or one element where they fill no vector.

        The last vectors overlap those before them where the channels are no multiple of their size.
        """
        b, lanes = self.builder, self.tile.lanes

        def vectors(count: int) -> None:
            with self.loop(number(0), channels, count * lanes) as channel:
                part(self.smaller(channel.index, b.sub(channels, number(count * lanes))), count, self.vector)

        with b.if_else(b.icmp_signed(">=", channels, number(4 * lanes))) as (many, fewer):
            with many:
                vectors(4)
            with fewer, b.if_else(b.icmp_signed(">=", channels, number(lanes))) as (some, few):
                with some:
                    vectors(1)
                with few, self.loop(number(0), channels) as channel:
                    part(channel.index, 1, self.element)

    def read(self, start: Any, count: int, kind: Any) -> list[Any]:
        """Return `count` vectors that lie side by side, from an address on."""
        return [self.load(self.at(start, number(i * self.tile.lanes)), kind) for i in range(count)]

    def store(self, vectors: list[Any], into: Any) -> None:
        """Write vectors side by side, from an address on."""
        for i, vector in enumerate(vectors):
            self.builder.store(vector, self.at(into, number(i * self.tile.lanes)), align=self.itemsize)

    def _after_epilogue(
        self, delta: Any, read: Callable[[Any], Any], unmutated: Any, other: Any, scale: Callable[[], Any]
    ) -> Any:
        """Return a sum after the epilogue.

        The epilogue reads at the addresses `unmutated`, `other` (None where nothing is added) and ``scale()``.
        """
        b = self.builder
        unmutated = read(unmutated) if self.epilogue.reads_unmutated else None
        other = read(other) if other is not None else None
        factor = read(scale()) if "scale" in self.epilogue.steps else None
        for step in self.epilogue.steps:
            if step == "add" and other is not None:
                delta = b.fadd(delta, other)
            elif step == "scale":
                delta = b.fmul(delta, factor)
            elif step == "rectify":
                value = self._rectified(b.fadd(delta, unmutated))
                if self.epilogue.value:
                    return value
                delta = b.fsub(value, self._rectified(unmutated))
        return b.fadd(delta, unmutated) if self.epilogue.value else delta

    def _rectified(self, x: Any) -> Any:
        """Return the ReLU of x; NaN stays NaN."""
        zero = ir.Constant(x.type, None if isinstance(x.type, ir.VectorType) else 0.0)
        return self.builder.select(self.builder.fcmp_ordered("<", x, zero), zero, x)

    def at(self, pointer: Any, offset: Any) -> Any:
        """Return a pointer `offset` elements after another."""
        return self.builder.gep(pointer, [offset], source_etype=self.element)

    def load(self, pointer: Any, kind: Any) -> Any:
        """Return the element or the vector at an address."""
        return self.builder.load(pointer, typ=kind, align=self.itemsize)
