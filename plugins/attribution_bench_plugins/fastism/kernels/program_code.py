"""LLVM code of a program: calls in order, for chunk after chunk of rows."""

from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.loops import INDEX, POINTER, Code, number
from attribution_bench_plugins.fastism.kernels.window_kernel import PARAMETERS, ROW_PARAMETERS


class ProgramCode:
    """The code of a function that runs all calls for a chunk of rows, then for the next chunk.

    Its argument `calls` is a list of pairs of addresses: of a function and of its arguments, into which it writes the
    first row and the number of rows.
    """

    def __init__(self) -> None:
        self.code = Code([("calls", POINTER), ("count", INDEX), ("rows", INDEX), ("chunk", INDEX)])
        code, b, given = self.code, self.code.builder, self.code.arguments
        kind = ir.FunctionType(ir.VoidType(), [POINTER]).as_pointer()
        first_row, rows = (number(PARAMETERS.index(name)) for name in ROW_PARAMETERS)
        with code.loop(number(0), given["rows"], given["chunk"]) as chunk:
            size = code.smaller(given["chunk"], b.sub(given["rows"], chunk.index))
            with code.loop(number(0), given["count"]) as call:
                entry = code.at(given["calls"], b.mul(call.index, number(2)), INDEX)
                function = b.load(entry, typ=kind)
                arguments = b.load(code.at(entry, number(1), INDEX), typ=POINTER)
                b.store(chunk.index, code.at(arguments, first_row, INDEX))
                b.store(size, code.at(arguments, rows, INDEX))
                b.call(function, [arguments])
        b.ret_void()

    @property
    def module(self) -> Any:
        """The module that LLVM compiles."""
        return self.code.module
