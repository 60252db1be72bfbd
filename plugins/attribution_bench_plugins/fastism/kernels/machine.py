"""The processor that kernels are compiled for."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from platform import machine as architecture
from typing import Any

OLDEST = (0, 45)
"""The first llvmlite whose pointers have no type, as the kernels are written."""


@dataclass(frozen=True)
class Machine:
    """What of a processor decides how a kernel keeps its sums in registers."""

    vector_bytes: int
    vector_registers: int

    def lanes(self, itemsize: int) -> int:
        """Return how many numbers a vector holds."""
        return self.vector_bytes // itemsize


@cache
def has_compiler() -> bool:
    """Whether kernels can be compiled here."""
    try:
        major, minor = version("llvmlite").split(".")[:2]
    except PackageNotFoundError:
        return False
    return (int(major), int(minor)) >= OLDEST


@cache
def machine() -> Machine:
    """Describe the processor that this runs on."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return Machine(64, 32)
    if features.get("avx2") and features.get("fma"):
        return Machine(32, 16)
    if architecture() in ("aarch64", "arm64"):
        return Machine(16, 32)
    return Machine(16, 16)


def _target() -> Any:
    """Return a target of its own: what is compiled for it owns it."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        features["prefer-256-bit"] = False
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3)


class Compiled:
    """A function in machine code, called without Python's lock."""

    def __init__(self, module: Any) -> None:
        """Compile the first function of an llvmlite module, which is given where its parameters lie."""
        import llvmlite.binding as llvm

        target = _target()
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        tuning = llvm.create_pipeline_tuning_options(speed_level=3)
        passes = llvm.create_pass_builder(target, tuning)
        passes.getModulePassManager().run(parsed, passes)
        self._engine = llvm.create_mcjit_compiler(parsed, target)  # owns the code
        self._engine.finalize_object()
        self.address: int = self._engine.get_function_address(module.functions[0].name)
        self._call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.address)

    def __call__(self, arguments: "ctypes.Array[ctypes.c_int64]") -> None:
        """Call the function."""
        self._call(arguments)


def laid_out(numbers: Sequence[int]) -> "ctypes.Array[ctypes.c_int64]":
    """Return the arguments of a function side by side, as it is given them."""
    return (ctypes.c_int64 * len(numbers))(*numbers)
