"""Peak memory while something runs, in this process and in those that it starts."""

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
    """Raise `peak` to the highest memory during the block: of the processes, or of the framework's GPU allocator.

    Of several processes, the highest of each are summed.
    """
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


def _processes() -> list[psutil.Process]:
    """Return this process and those that it started, and they in turn."""
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def _reset_high_water() -> bool:
    """Set Linux's high-water marks of the processes to their present memory; False where that cannot be done."""
    try:
        for process in _processes():
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    except OSError:
        return False
    return _high_water() > 0


def _high_water() -> int:
    found = 0
    for process in _processes():
        with contextlib.suppress(OSError):  # it has ended
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    found += int(line.split()[1]) * 1024
    return found


def _resident() -> int:
    found = 0
    for process in _processes():
        with contextlib.suppress(psutil.Error):  # it has ended
            found += int(process.memory_info().rss)
    return found


@contextlib.contextmanager
def _sampled(report: Callable[[int], None]) -> Iterator[None]:
    """Report the resident sets every few milliseconds from another thread."""
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLING_SECONDS):
            report(_resident())

    report(_resident())
    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
