"""Deadlines: a process whose work takes too long ends, and says where it hung, in a few lines."""

import subprocess
import sys

import pytest

from attribution_bench.jobs.distributed import pace

SCRIPT = """
import ctypes, os, sys, threading, time
from attribution_bench.jobs.distributed import process

process.HELD_SECONDS = 1.0

class Work:
    def do(self, hang):
        process.DEADLINES.set(self, 0.3)
        with lock:
            deeper(40, hang)

def deeper(calls, hang):
    if calls:
        deeper(calls - 1, hang)
    else:
        hang()

def sleeping():
    time.sleep(60)

def holding_the_lock_of_python():
    ctypes.PyDLL(None).sleep(60)

def of_no_matter():
    time.sleep(60)

lock = threading.Lock()
for number in range(20):
    threading.Thread(target=of_no_matter, daemon=True).start()
work, other = Work(), Work()
if sys.argv[1] == "in time":
    process.DEADLINES.set(work, 30)
    process.DEADLINES.set(other, 0.3)
    process.DEADLINES.clear(other)
    time.sleep(0.6)
    process.DEADLINES.clear(work)
    print("ended in time", file=sys.stderr, flush=True)
    os._exit(0)
threading.Thread(target=work.do, args=(globals()[sys.argv[1]],), daemon=True).start()
time.sleep(0.1)
if sys.argv[1] == "sleeping":
    threading.Thread(target=work.do, args=(sleeping,), daemon=True).start()  # waits for its turn
time.sleep(60)
"""


@pytest.mark.parametrize("hang", ["sleeping", "holding_the_lock_of_python", "in time"])
def test_a_process_says_in_a_few_lines_where_it_hung(hang):
    done = subprocess.run([sys.executable, "-c", SCRIPT, hang], capture_output=True, text=True, check=False, timeout=40)
    if hang == "in time":
        assert (done.returncode, done.stderr) == (0, "ended in time\n")
        return
    assert done.returncode == 1
    assert f"in {hang}" in done.stderr
    if hang == "sleeping":
        first, *calls = done.stderr.splitlines()
        assert first.endswith("it hung here (most recent call last):")
        assert len(calls) <= 30
        assert "of_no_matter" not in done.stderr
        assert calls[-1].endswith("in sleeping")


def test_a_piece_with_little_to_compute_tells_what_the_largest_takes() -> None:
    measured = pace.Pace()
    for share in (0.0, 0.1, 0.0):
        measured.note(2.0, share)
    assert measured.limit == pytest.approx(200.0)
