"""Where and on what figures are measured: machine, library versions, source commit, threads."""

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from attribution_bench._version import __version__
from attribution_bench.errors import InvalidInputError, UnsupportedError

TENSORFLOW_THREADS = "TF_NUM_INTRAOP_THREADS"
"""Environment variable that TensorFlow reads as it starts."""
SHARED_BY = "ATTRIBUTION_BENCH_SHARED_BY"
"""Environment variable with the number of processes that divide this machine's memory among them."""
MEMORY_LIMIT = "ATTRIBUTION_BENCH_MEMORY_LIMIT"
"""Environment variable with the bytes of memory beyond which this process is ended; empty where it never is."""
LEAST_MEMORY = 2**26
"""Bytes that a process is taken to have free at least, so that methods can work at all."""
MOST_THREADS = max(256, os.cpu_count() or 1)
"""Threads that may be asked for; thousands of them end the process where the system refuses to start them."""
RECORDED = ("torch", "captum", "tensorflow", "keras", "tf_keras", "shap", "numpy", "tangermeme", "fastism")
"""Packages whose versions decide what is measured."""


@dataclass(frozen=True)
class Machine:
    """Machine that something was measured on."""

    system: str
    cpu: str
    cores: int
    """Cores this process may use."""
    memory_bytes: int
    gpu: str | None = None


@dataclass(frozen=True)
class Commit:
    """Commit of the source that ran; dirty when the package's files differed from the commit."""

    revision: str
    dirty: bool


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine(device: str) -> Machine:
    """Return the machine, with its GPU when the device is one."""
    return Machine(
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        cpu=_cpu_name(),
        cores=available_cores(),
        memory_bytes=int(psutil.virtual_memory().total),
        gpu=_gpu_name(device),
    )


def library_versions() -> dict[str, str]:
    """Return the versions of the suite and of the libraries that it may call; nothing is imported."""
    found = {"attribution-bench": __version__}
    for package in RECORDED:
        # TensorFlow's CPU-only build is a distribution of another name.
        for distribution in (package, f"{package}-cpu"):
            with contextlib.suppress(PackageNotFoundError):
                found.setdefault(package, version(distribution))
    return found


def source_commit() -> Commit | None:
    """Return the commit that the package runs from; None when it is installed, or its folder is not under git."""
    package = Path(__file__).resolve().parent
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    revision = _git(package, "rev-parse", "HEAD")
    # Only what is measured counts: results written by the run itself do not make the source dirty.
    changes = _git(package, "status", "--porcelain", "--", ":(top)attribution_bench", ":(top)plugins")
    return None if revision is None or changes is None else Commit(revision.strip(), bool(changes.strip()))


def announce_threads(threads: int | None) -> int:
    """Return the number of threads to use, every core by default; TensorFlow takes it up if it starts after this.

    Raises
    ------
    InvalidInputError
        The number does not lie in [1, `MOST_THREADS`].
    """
    threads = available_cores() if threads is None else threads
    _check_threads(threads)
    os.environ[TENSORFLOW_THREADS] = str(threads)
    return threads


def tell_tensorflow(threads: int) -> None:
    """Have TensorFlow start on a number of threads, unless it has started; the variable says on how many."""
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:  # it has started; whoever needs another number is told by `thread_count`
            return
    os.environ[TENSORFLOW_THREADS] = str(threads)


def free_host_memory() -> int:
    """Return the bytes of this machine's memory that this process may still take.

    All that is free, unless a job says otherwise: its share where several processes divide it among them, and no more
    than is left of the limit beyond which the process is ended.
    """
    free = int(psutil.virtual_memory().available) // (_number(SHARED_BY) or 1)
    limit = _number(MEMORY_LIMIT)
    if limit:
        free = min(free, limit - int(psutil.Process().memory_info().rss))
    return max(LEAST_MEMORY, free)


def current_threads(framework: str) -> int:
    """Return the number of threads that a framework runs on as it stands; it is imported already."""
    if framework == "torch":
        import torch

        return int(torch.get_num_threads())
    return _tensorflow_threads()


@contextlib.contextmanager
def thread_count(framework: str, threads: int) -> Iterator[None]:
    """Run a framework on a number of threads; PyTorch's former number comes back afterwards.

    Raises
    ------
    UnsupportedError
        TensorFlow has computed something already in this process with another number; it cannot change it then.
    InvalidInputError
        The number does not lie in [1, `MOST_THREADS`].
    """
    _check_threads(threads)
    if framework == "keras" and "tensorflow" in sys.modules:
        _set_tensorflow_threads(threads)
    if framework == "torch" or "torch" in sys.modules:
        import torch

        former = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(former)
    else:
        yield


def _number(variable: str) -> int:
    """Return the number in an environment variable; 0 where there is none."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else 0


def _check_threads(threads: int) -> None:
    if not 1 <= threads <= MOST_THREADS:
        raise InvalidInputError(f"the number of threads must be from 1 to {MOST_THREADS}, not {threads}")


def _set_tensorflow_threads(threads: int) -> None:
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError as error:
        used = _tensorflow_threads()
        if used != threads:
            raise UnsupportedError(
                f"TensorFlow runs on {used} threads in this process already and cannot change to {threads}; "
                "start a new process for another number"
            ) from error


def _tensorflow_threads() -> int:
    """Return the number of threads that TensorFlow runs on, or would start on where it is not imported."""
    told = 0
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        # 0 is its way to say that it was not told: it then asks its environment, and takes every core at last.
        told = int(tf.config.threading.get_intra_op_parallelism_threads())
    return told or int(os.environ.get(TENSORFLOW_THREADS) or 0) or available_cores()


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what a git command prints; None when it fails or there is no git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_name(device: str) -> str | None:
    """Return the name of a CUDA device as the driver gives it."""
    kind, _, index = device.partition(":")
    if kind not in ("cuda", "gpu"):
        return None
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", f"--id={index or 0}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unnamed GPU"
    return done.stdout.strip()
