"""LLVM code of loops, vectors and memory: what every kernel is written with."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from llvmlite import ir

from attribution_bench_plugins.fastism.kernels.machine import FUNCTION

INDEX = ir.IntType(64)
"""The type of indices, sizes and integer parameters."""
POINTER = ir.PointerType()
FALSE = ir.Constant(ir.IntType(1), 0)


def number(value: int) -> ir.Constant:
    """Return an index as a constant."""
    return ir.Constant(INDEX, value)


@dataclass
class Loop:
    """A loop whose body is being written."""

    index: Any
    carried: list[Any] = field(default_factory=list)
    """Loop-carried values: in the body those of the iteration before, which it replaces; after the loop the last."""


class Code:
    """The code of one function, written instruction by instruction."""

    def __init__(self, parameters: Sequence[tuple[str, Any]]) -> None:
        """Begin a function of one argument: the address of its parameters, indices and pointers of 64 bits each."""
        self.module = ir.Module()
        self.function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER]), FUNCTION)
        self.function.attributes.add("nounwind")
        self.builder = ir.IRBuilder(self.function.append_basic_block())
        arguments = self.function.args[0]
        self.given = {
            key: self.builder.load(self.integer_at(arguments, number(i)), typ=kind, name=key)
            for i, (key, kind) in enumerate(parameters)
        }

    @contextmanager
    def loop(self, start: Any, stop: Any, step: Any = 1, carried: Sequence[Any] = ()) -> Iterator[Loop]:
        """Write ``for index in range(start, stop, step)`` around the body of the with statement."""
        b = self.builder
        before = b.block
        test, body, after = (self.function.append_basic_block() for _ in range(3))
        b.branch(test)
        b.position_at_end(test)
        index = b.phi(INDEX)
        index.add_incoming(start, before)
        phis = [b.phi(value.type) for value in carried]
        for phi, value in zip(phis, carried, strict=True):
            phi.add_incoming(value, before)
        b.cbranch(b.icmp_signed("<", index, stop), body, after)
        b.position_at_end(body)
        loop = Loop(index, list(phis))
        yield loop
        index.add_incoming(b.add(index, number(step) if isinstance(step, int) else step), b.block)
        for phi, value in zip(phis, loop.carried, strict=True):
            phi.add_incoming(value, b.block)
        b.branch(test)
        b.position_at_end(after)
        loop.carried = list(phis)

    def rounded_up(self, value: Any, size: int) -> Any:
        """Return an index rounded up to a multiple of `size`."""
        b = self.builder
        return b.mul(b.sdiv(b.add(value, number(size - 1)), number(size)), number(size))

    def smaller(self, x: Any, y: Any) -> Any:
        """Return the smaller of two indices."""
        return self.builder.select(self.builder.icmp_signed("<", x, y), x, y)

    def larger(self, x: Any, y: Any) -> Any:
        """Return the larger of two indices."""
        return self.builder.select(self.builder.icmp_signed(">", x, y), x, y)

    def integer_at(self, pointer: Any, offset: Any) -> Any:
        """Return a pointer `offset` integers or addresses after another."""
        return self.builder.gep(pointer, [offset], source_etype=INDEX)

    def spread(self, value: Any, vector: Any) -> Any:
        """Return a vector whose elements are all `value`."""
        first = self.builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
        return self.builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)

    def multiply_add(self, x: Any, y: Any, total: Any) -> Any:
        """Return ``x * y + total``, rounded once where the processor has a fused instruction."""
        kind = total.type
        is_vector = isinstance(kind, ir.VectorType)
        name = f"llvm.fmuladd.{f'v{kind.count}{kind.element.intrinsic_name}' if is_vector else kind.intrinsic_name}"
        function = self.module.globals.get(name)
        function = function or ir.Function(self.module, ir.FunctionType(kind, [kind] * 3), name)
        return self.builder.call(function, [x, y, total])

    def fill_zero(self, pointer: Any, size: Any) -> None:
        """Write `size` zero bytes; none where `size` is negative."""
        function = self.module.declare_intrinsic("llvm.memset", [POINTER, INDEX])
        self.builder.call(function, [pointer, ir.Constant(ir.IntType(8), 0), self.larger(size, number(0)), FALSE])

    def copy(self, into: Any, source: Any, size: Any) -> None:
        """Copy `size` bytes."""
        function = self.module.declare_intrinsic("llvm.memcpy", [POINTER, POINTER, INDEX])
        self.builder.call(function, [into, source, size, FALSE])
