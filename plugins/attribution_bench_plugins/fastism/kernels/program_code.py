"""LLVM code of a program: calls in order, for chunk after chunk of rows."""

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.loops import INDEX, POINTER, Code, number
from attribution_bench_plugins.fastism.kernels.window_kernel import PARAMETERS, ROW_PARAMETERS


class ProgramCode(Code):
    """The code of a function that runs all calls for a chunk of rows, then for the next chunk.

    Its argument `calls` is a list of pairs of addresses: of a function and of its arguments, into which it writes the
    first row and the number of rows.
    """

    def __init__(self) -> None:
        super().__init__([("calls", POINTER), ("count", INDEX), ("rows", INDEX), ("chunk", INDEX)])
        b, given = self.builder, self.given
        kind = ir.FunctionType(ir.VoidType(), [POINTER]).as_pointer()
        first_row, rows = (number(PARAMETERS.index(name)) for name in ROW_PARAMETERS)
        with self.loop(number(0), given["rows"], given["chunk"]) as chunk:
            size = self.smaller(given["chunk"], b.sub(given["rows"], chunk.index))
            with self.loop(number(0), given["count"]) as call:
                entry = self.integer_at(given["calls"], b.mul(call.index, number(2)))
                function = b.load(entry, typ=kind)
                arguments = b.load(self.integer_at(entry, number(1)), typ=POINTER)
                b.store(chunk.index, self.integer_at(arguments, first_row))
                b.store(size, self.integer_at(arguments, rows))
                b.call(function, [arguments])
        b.ret_void()
