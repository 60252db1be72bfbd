"""Compilation of kernels: each function is compiled by LLVM once a machine, and loaded once a process."""

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from threading import Lock
from typing import Any, Literal

import torch
from torch import Tensor

from attribution_bench.garbage import collection_paused
from attribution_bench_plugins.fastism.kernels.machine import Compiled, has_compiler
from attribution_bench_plugins.fastism.values import devices

LLVM_TYPES: dict[torch.dtype, Literal["float", "double"]] = {torch.float32: "float", torch.float64: "double"}
"""The element types that kernels are compiled for, with LLVM's names."""
COMPILING = Lock()
"""Lock that is held while a function is compiled, so that threads which need the same function compile it once."""


def can_compile(tensor: Tensor) -> bool:
    """Whether kernels can be compiled here for a tensor's element type and device."""
    return has_compiler() and devices.on_cpu(tensor) and tensor.dtype in LLVM_TYPES


def compiled(name: str, *settings: Any) -> Compiled:
    """Return the machine code of a function, by the name and the arguments of the class of its code.

    Kernels (`RowCode`) take an element type, a register tile and an epilogue; the loop of a program (`ProgramCode`)
    takes nothing.
    """
    with COMPILING:
        return _compile(name, *settings)


@cache
def _compile(name: str, *settings: Any) -> Compiled:
    origin = f"{_own_digest()}\n{name}{settings!r}"
    with collection_paused():
        return Compiled(origin, lambda: _module(name, *settings))


def _module(name: str, *settings: Any) -> Any:
    """Return the module of a function, which takes longer to be written than machine code to be loaded."""
    # The modules that write code import llvmlite, which is optional: they are imported once something is compiled.
    from attribution_bench_plugins.fastism.kernels.blocked_toom_cook_code import BlockedToomCookCode
    from attribution_bench_plugins.fastism.kernels.direct_code import DirectCode
    from attribution_bench_plugins.fastism.kernels.overlap_add_code import OverlapAddCode
    from attribution_bench_plugins.fastism.kernels.pool_code import PoolCode, TotalCode
    from attribution_bench_plugins.fastism.kernels.program_code import ProgramCode
    from attribution_bench_plugins.fastism.kernels.toom_cook_code import ToomCookCode

    codes: dict[str, Any] = {
        "toom_cook": ToomCookCode,
        "blocked_toom_cook": BlockedToomCookCode,
        "direct": DirectCode,
        "pool": PoolCode,
        "overlap_add": OverlapAddCode,
        "total": TotalCode,
        "program": ProgramCode,
    }
    return codes[name](*settings).module


@cache
def _own_digest() -> str:
    return source_digest(files(__package__))


def source_digest(folder: Traversable) -> str:
    """Return a digest of the modules in a folder: what writes code, so that other versions of it share no code."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith((".py", ".pyc")):
            content = file.read_bytes()
            digest.update(f"{file.name} {len(content)} ".encode() + content)
    return digest.hexdigest()
