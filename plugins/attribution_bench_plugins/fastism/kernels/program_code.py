"""Calls one after the other, written for LLVM."""

from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.kernel import PARAMETERS, ROWS
from attribution_bench_plugins.fastism.kernels.loops import INDEX, POINTER, Code, number


class ProgramCode:
    """A function that runs all calls for some rows, then for the next ones.

    It is given a list of functions, each with where its own parameters lie, into which it writes the rows.
    """

    def __init__(self) -> None:
        self.code = Code([("calls", POINTER), ("count", INDEX), ("rows", INDEX), ("chunk", INDEX)])
        code, b, given = self.code, self.code.builder, self.code.arguments
        kind = ir.FunctionType(ir.VoidType(), [POINTER]).as_pointer()
        first_row, rows = (number(PARAMETERS.index(name)) for name in ROWS)
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
        """What LLVM compiles."""
        return self.code.module
