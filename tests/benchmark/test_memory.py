import subprocess
import sys
import time

import numpy as np
import pytest

from attribution_bench.benchmark import memory
from attribution_bench.benchmark.memory import Peak, watch

BLOCK = 64 * 2**20


def allocate() -> None:
    np.ones(BLOCK, np.uint8).sum()


@pytest.mark.parametrize("kernel_mark", [True, False])
def test_the_peak_holds_what_was_freed_again(kernel_mark: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernel_mark:
        monkeypatch.setattr(memory, "_reset_high_water", lambda: False)
        monkeypatch.setattr(memory, "SAMPLING_SECONDS", 0.0005)
    before, peak = Peak(), Peak()
    with watch(before, "cpu"):
        pass
    with watch(peak, "cpu"):
        for _ in range(20):
            allocate()
    assert peak.bytes - before.bytes > BLOCK / 2
    assert peak.kind == "resident set"


@pytest.mark.parametrize("kernel_mark", [True, False])
def test_the_peak_holds_that_of_processes_that_were_started(kernel_mark: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernel_mark:
        monkeypatch.setattr(memory, "_reset_high_water", lambda: False)
    script = f"input(); block = bytearray(b'1' * {BLOCK}); print('held', flush=True); input()"
    before, peak = Peak(), Peak()
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with watch(before, "cpu"):
            pass
        with watch(peak, "cpu"):
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
            time.sleep(2 * memory.SAMPLING_SECONDS)
        process.stdin.write(b"\n")
    assert peak.bytes - before.bytes > BLOCK / 2


def test_a_later_smaller_use_does_not_lower_the_peak() -> None:
    peak = Peak(bytes=2**60)
    with watch(peak, "cpu"):
        pass
    assert peak.bytes == 2**60
