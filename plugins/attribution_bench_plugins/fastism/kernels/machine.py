"""The processor that kernels are compiled for, and the compiler: LLVM, through llvmlite."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from platform import machine as architecture
from typing import Any

from attribution_bench_plugins.fastism.kernels.code_cache import code_cache

OLDEST_LLVMLITE = (0, 45)
"""The first version of llvmlite with opaque pointers, which the kernels use."""
OPTIMISATION = 3
"""LLVM's level."""
FUNCTION = "kernel"
"""Name of the function in every module that is compiled."""


@dataclass(frozen=True)
class Machine:
    """The vector registers of a processor, which decide the register tiles of kernels."""

    vector_bytes: int
    vector_registers: int


@cache
def has_compiler() -> bool:
    """Whether a recent enough llvmlite is installed."""
    try:
        major, minor = version("llvmlite").split(".")[:2]
    except PackageNotFoundError:
        return False
    return (int(major), int(minor)) >= OLDEST_LLVMLITE


@cache
def host_machine() -> Machine:
    """Return the vector registers of the processor that this runs on."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return Machine(64, 32)
    if features.get("avx2") and features.get("fma"):
        return Machine(32, 16)
    if architecture() in ("aarch64", "arm64"):
        return Machine(16, 32)
    return Machine(16, 16)


class Compiled:
    """A function in machine code, which is called without the interpreter lock."""

    def __init__(self, origin: str, module: Callable[[], Any]) -> None:
        """Load the function `FUNCTION` of an llvmlite module from the cache, or have the module made and compile it.

        The function takes the address of its arguments (see `Code`). `origin` is all that decides what the module is.
        """
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = llvm.get_host_cpu_features()
        if features.get("avx512f"):
            features["prefer-256-bit"] = False
        cpu, flags = llvm.get_host_cpu_name(), features.flatten()
        # A new target for each function: the engine that loads its code takes ownership of its target.
        target = llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=flags, opt=OPTIMISATION)
        made_by = f"llvmlite {version('llvmlite')}, LLVM {'.'.join(map(str, llvm.llvm_version_info))}, -O{OPTIMISATION}"
        cache, key = code_cache(), "\n".join([made_by, target.triple, cpu, flags, origin])
        code = cache.read(key)
        if code is None:
            code = _object_code(str(module()), target)
            cache.write(key, code)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)  # It owns the machine code.
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self.address: int = self._engine.get_function_address(FUNCTION)
        self._call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.address)

    def __call__(self, arguments: "ctypes.Array[ctypes.c_int64]") -> None:
        """Call the function with its arguments, as 64-bit integers."""
        self._call(arguments)


def _object_code(text: str, target: Any) -> bytes:
    """Return the object code of a module's text for a target."""
    import llvmlite.binding as llvm

    parsed = llvm.parse_assembly(text)
    parsed.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=OPTIMISATION)
    # Kernels are written with as much in a loop's body as fits the registers: unrolled, they take as long and compile
    # for twice as long.
    tuning.loop_unrolling = False
    passes = llvm.create_pass_builder(target, tuning)
    passes.getModulePassManager().run(parsed, passes)
    code: bytes = target.emit_object(parsed)
    return code


def packed(arguments: Sequence[int]) -> "ctypes.Array[ctypes.c_int64]":
    """Return arguments as an array of 64-bit integers, as a compiled function takes them."""
    return (ctypes.c_int64 * len(arguments))(*arguments)
