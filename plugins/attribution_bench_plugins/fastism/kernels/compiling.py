"""Compilation of kernels: each function is compiled by LLVM once a process, and cached."""

from functools import cache
from threading import Lock
from typing import Any, Literal

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.epilogue import Epilogue
from attribution_bench_plugins.fastism.kernels.machine import Compiled, has_compiler
from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.values import devices

LLVM_TYPES: dict[torch.dtype, Literal["float", "double"]] = {torch.float32: "float", torch.float64: "double"}
"""The element types that kernels are compiled for, with LLVM's names."""
COMPILING = Lock()
"""Lock that is held while a function is compiled, so that threads which need the same function compile it once."""


def can_compile(tensor: Tensor) -> bool:
    """Whether kernels can be compiled here for a tensor's element type and device."""
    return has_compiler() and devices.on_cpu(tensor) and tensor.dtype in LLVM_TYPES


def compiled_kernel(name: str, kind: Literal["float", "double"], tile: RegisterTile, epilogue: Epilogue) -> Compiled:
    """Return the machine code of the kernel `name` for an element type, a register tile and an epilogue."""
    with COMPILING:
        return _compile_kernel(name, kind, tile, epilogue)


def compiled_program_loop() -> Compiled:
    """Return the machine code that runs the calls of a program for chunk after chunk of rows; see `ProgramCode`."""
    with COMPILING:
        return _compile_program_loop()


# The modules that write code import llvmlite, which is optional: they are imported once something is compiled.


@cache
def _compile_kernel(name: str, kind: str, tile: RegisterTile, epilogue: Epilogue) -> Compiled:
    from attribution_bench_plugins.fastism.kernels.direct_code import DirectCode
    from attribution_bench_plugins.fastism.kernels.overlap_add_code import OverlapAddCode
    from attribution_bench_plugins.fastism.kernels.pool_code import PoolCode
    from attribution_bench_plugins.fastism.kernels.toom_cook_code import ToomCookCode
    from attribution_bench_plugins.fastism.kernels.total_code import TotalCode

    codes: dict[str, Any] = {
        "toom_cook": ToomCookCode,
        "direct": DirectCode,
        "pool": PoolCode,
        "overlap_add": OverlapAddCode,
        "total": TotalCode,
    }
    return Compiled(codes[name](kind, tile, epilogue).module)


@cache
def _compile_program_loop() -> Compiled:
    from attribution_bench_plugins.fastism.kernels.program_code import ProgramCode

    return Compiled(ProgramCode().module)
