"""The convolution of windows, written for LLVM."""

from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.convolution import PARAMETERS, POINTERS, Finish, Tile
from attribution_bench_plugins.fastism.kernels.loops import INDEX, POINTER, Code, number

KINDS = {"float": (ir.FloatType(), 4), "double": (ir.DoubleType(), 8)}


def write(kind: str, tile: Tile, finish: Finish) -> ir.Module:
    """Write the kernel.

    For each row and each tile of positions and output channels: list the taps that read any of the row, add up their
    products in registers, finish the sums, write them. A tile that reads beyond the ends of the row reads a copy with
    zeros there.
    """
    return _Convolution(kind, tile, finish).code.module


class _Convolution:
    def __init__(self, kind: str, tile: Tile, finish: Finish) -> None:
        self.tile, self.finish = tile, finish
        self.element, self.itemsize = KINDS[kind]
        self.vector = ir.VectorType(self.element, tile.lanes)
        parameters = [(name, POINTER if name in POINTERS else INDEX) for name in PARAMETERS]
        self.code = Code("convolve", parameters)
        self.given = self.code.arguments
        self.listed = self.code.builder.alloca(INDEX)
        self._rows()
        self.code.builder.ret_void()

    def _rows(self) -> None:
        """Keep the weights of one block of output channels at hand for every row."""
        code, b, given = self.code, self.code.builder, self.given
        with code.loop(number(0), given["rows"]) as row:
            self._zero(*self._start_row(row.index))
        with code.loop(number(0), given["c_out"], self.tile.channels) as block:
            before = b.mul(b.mul(given["kernel"], given["c_in"]), block.index)
            self.taps = self._at(given["taps"], before)
            with code.loop(number(0), given["rows"]) as row:
                low, high, _ = self._start_row(row.index)
                with code.loop(low, high, self.tile.positions) as tile:
                    self._tile(tile.index, high, block.index)

    def _start_row(self, row: Any) -> tuple[Any, Any, Any]:
        """Find the row's tensors; returns where its part in the sequence begins and ends, and where the row ends."""
        code, b, given = self.code, self.code.builder, self.given
        k = b.srem(b.sdiv(row, given["alternatives"]), given["count"])
        self.x_start = b.add(given["x_start"], b.mul(given["x_step"], k))
        self.out_start = b.add(given["out_start"], b.mul(given["out_step"], k))
        self.other_start = b.add(given["other_start"], b.mul(given["other_step"], k))
        self.x = self._at(given["x"], b.mul(row, given["x_row"]))
        self.other = self._at(given["other"], b.mul(row, given["other_row"]))
        self.out = self._at(given["out"], b.mul(row, b.mul(given["out_width"], given["c_out"])))
        sequence = b.sdiv(row, b.mul(given["count"], given["alternatives"]))
        self.reference = self._at(given["reference"], b.mul(sequence, given["reference_sequence"]))
        end = b.add(self.out_start, given["out_width"])
        low = code.smaller(code.larger(self.out_start, number(0)), end)
        return low, code.larger(code.smaller(end, given["length"]), low), end

    def _zero(self, low: Any, high: Any, end: Any) -> None:
        """Write zeros before and after the part of the row that is in the sequence."""
        b, c_out = self.code.builder, self.given["c_out"]
        size = b.mul(c_out, number(self.itemsize))
        self.code.fill_zero(self.out, b.mul(b.sub(low, self.out_start), size))
        after = self._at(self.out, b.mul(b.sub(high, self.out_start), c_out))
        self.code.fill_zero(after, b.mul(b.sub(end, high), size))

    def _tile(self, position: Any, high: Any, channel: Any) -> None:
        found = self._list_taps(position)
        sums = self._multiply(found)
        into = self._at(
            self.given["scratch"],
            self.code.builder.mul(
                number(self.tile.positions), self.code.builder.mul(self.given["kernel"], self.given["c_in"])
            ),
        )
        for i, value in enumerate(sums):
            self.code.builder.store(value, self._at(into, number(i * self.tile.lanes)), align=self.itemsize)
        self._write(into, position, high, channel)

    def _list_taps(self, position: Any) -> Any:
        """List where the taps read and their weights; returns how many read anything."""
        code, b, given = self.code, self.code.builder, self.given
        positions = number(self.tile.positions)
        first = b.sub(b.sub(position, given["offset"]), self.x_start)
        b.store(number(0), self.listed)
        with code.loop(number(0), given["kernel"]) as tap:
            start = b.sub(first, b.mul(tap.index, given["dilation"]))
            stop = b.add(start, positions)
            low, high = code.larger(start, number(0)), code.smaller(stop, given["x_width"])
            with b.if_then(b.icmp_signed("<", low, high)):
                inside = b.and_(b.icmp_signed(">=", start, number(0)), b.icmp_signed("<=", stop, given["x_width"]))
                own = self._at(self.x, b.mul(start, given["c_in"]))
                copied = self._at(given["scratch"], b.mul(tap.index, b.mul(positions, given["c_in"])))
                with b.if_then(b.not_(inside)):
                    size = b.mul(given["c_in"], number(self.itemsize))
                    code.fill_zero(copied, b.mul(positions, size))
                    into = self._at(copied, b.mul(b.sub(low, start), given["c_in"]))
                    part = self._at(self.x, b.mul(low, given["c_in"]))
                    code.copy(into, part, b.mul(b.sub(high, low), size))
                read = b.select(inside, own, copied)
                weights = self._at(self.taps, b.mul(tap.index, b.mul(given["c_in"], number(self.tile.channels))))
                place = b.mul(b.load(self.listed, typ=INDEX), number(2))
                b.store(read, code.at(given["lists"], place, INDEX))
                b.store(weights, code.at(given["lists"], b.add(place, number(1)), INDEX))
                b.store(b.add(b.load(self.listed, typ=INDEX), number(1)), self.listed)
        return b.load(self.listed, typ=INDEX)

    def _multiply(self, found: Any) -> list[Any]:
        """Add up the products of the listed taps: for each position, each vector of output channels."""
        code, b, given, tile = self.code, self.code.builder, self.given, self.tile
        zero = ir.Constant(self.vector, None)
        with code.loop(number(0), found, carried=[zero] * (tile.positions * tile.vectors)) as tap:
            place = b.mul(tap.index, number(2))
            read = b.load(code.at(given["lists"], place, INDEX), typ=POINTER)
            weights = b.load(code.at(given["lists"], b.add(place, number(1)), INDEX), typ=POINTER)
            starts = [self._at(read, b.mul(given["c_in"], number(i))) for i in range(tile.positions)]
            with code.loop(number(0), given["c_in"], carried=tap.carried) as channel:
                row = self._at(weights, b.mul(channel.index, number(tile.channels)))
                vectors = [
                    code.load(self._at(row, number(v * tile.lanes)), self.vector, self.itemsize)
                    for v in range(tile.vectors)
                ]
                sums = []
                for i in range(tile.positions):
                    factor = code.load(self._at(starts[i], channel.index), self.element, self.itemsize)
                    spread = code.spread(factor, self.vector)
                    totals = channel.carried[i * tile.vectors : (i + 1) * tile.vectors]
                    sums += [code.multiply_add(spread, w, total) for w, total in zip(vectors, totals, strict=True)]
                channel.carried = sums
            tap.carried = channel.carried
        return tap.carried

    def _write(self, sums: Any, position: Any, high: Any, channel: Any) -> None:
        """Finish the sums of a tile and write what lies in the sequence and in the channels that there are."""
        code, b, given = self.code, self.code.builder, self.given
        channels = code.smaller(number(self.tile.channels), b.sub(given["c_out"], channel))
        last = code.smaller(b.add(position, number(self.tile.positions)), high)
        whole = b.mul(b.sdiv(channels, number(self.tile.lanes)), number(self.tile.lanes))
        with code.loop(position, last) as at:
            own = self._at(sums, b.mul(b.sub(at.index, position), number(self.tile.channels)))
            reference = self._at(self.reference, b.add(b.mul(at.index, given["c_out"]), channel))
            into = self._at(self.out, b.add(b.mul(b.sub(at.index, self.out_start), given["c_out"]), channel))
            beside = b.sub(at.index, self.other_start)
            covered = b.and_(b.icmp_signed(">=", beside, number(0)), b.icmp_signed("<", beside, given["other_width"]))
            other = self._at(self.other, b.add(b.mul(beside, given["c_out"]), channel))
            for low, stop, step, kind in (
                (number(0), whole, self.tile.lanes, self.vector),
                (whole, channels, 1, self.element),
            ):
                if "add" not in self.finish.steps:
                    self._finish_channels(low, stop, step, kind, own, reference, None, into)
                    continue
                with b.if_else(covered) as (then, otherwise):
                    with then:
                        self._finish_channels(low, stop, step, kind, own, reference, other, into)
                    with otherwise:
                        self._finish_channels(low, stop, step, kind, own, reference, None, into)

    def _finish_channels(
        self, low: Any, stop: Any, step: int, kind: Any, own: Any, reference: Any, other: Any, into: Any
    ) -> None:
        with self.code.loop(low, stop, step) as channel:

            def read(pointer: Any) -> Any:
                return self.code.load(self._at(pointer, channel.index), kind, self.itemsize)

            result = self._finished(
                read(own),
                read(reference) if self.finish.reads_reference else None,
                read(other) if other is not None else None,
            )
            self.code.builder.store(result, self._at(into, channel.index), align=self.itemsize)

    def _finished(self, delta: Any, reference: Any, other: Any) -> Any:
        """Return what is written for a sum; `other` is None where there is nothing to add."""
        b = self.code.builder
        for step in self.finish.steps:
            if step == "add" and other is not None:
                delta = b.fadd(delta, other)
            elif step == "rectify":
                value = self._rectified(b.fadd(delta, reference))
                if self.finish.value:
                    return value
                delta = b.fsub(value, self._rectified(reference))
        return b.fadd(delta, reference) if self.finish.value else delta

    def _rectified(self, x: Any) -> Any:
        """Return ReLU; NaN stays NaN."""
        zero = ir.Constant(x.type, None if isinstance(x.type, ir.VectorType) else 0.0)
        return self.code.builder.select(self.code.builder.fcmp_ordered("<", x, zero), zero, x)

    def _at(self, pointer: Any, offset: Any) -> Any:
        return self.code.at(pointer, offset, self.element)
