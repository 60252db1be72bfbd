"""Peak memory while something runs."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

RESIDENT = "resident set"
ALLOCATOR = "GPU allocator"
SAMPLING_SECONDS = 0.02


@dataclass
class Peak:
    """Highest memory seen so far, in bytes; grows over several uses of `watch`."""

    bytes: int = 0
    kind: str = RESIDENT


@contextlib.contextmanager
def watch(peak: Peak, device: str) -> Iterator[None]:
    """Raise `peak` to the highest memory during the block: of the process, or of the framework's GPU allocator."""
    kind = device.partition(":")[0]
    if kind == "cuda" and "torch" in sys.modules:
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        yield
        peak.kind, peak.bytes = ALLOCATOR, max(peak.bytes, int(torch.cuda.max_memory_allocated(device)))
    elif kind == "gpu" and "tensorflow" in sys.modules:
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats(device)
        yield
        peak.kind, peak.bytes = ALLOCATOR, max(peak.bytes, int(tf.config.experimental.get_memory_info(device)["peak"]))
    elif _reset_high_water():
        yield
        peak.bytes = max(peak.bytes, _high_water())
    else:
        with _sampled(lambda rss: setattr(peak, "bytes", max(peak.bytes, rss))):
            yield


def _reset_high_water() -> bool:
    """Set Linux's high-water mark of this process to its present memory; False where that cannot be done."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return _high_water() > 0


def _high_water() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


@contextlib.contextmanager
def _sampled(report: Callable[[int], None]) -> Iterator[None]:
    """Report the resident set every few milliseconds from another thread."""
    process, done = psutil.Process(), threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLING_SECONDS):
            report(int(process.memory_info().rss))

    report(int(process.memory_info().rss))
    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
