"""What the jobs on a worker share as they share its process: one environment, and one timer that ends it."""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from types import FrameType

from attribution_bench.environment import TENSORFLOW_THREADS

LEAST_SECONDS = 0.01
"""For a moment that has passed already: the timer takes no 0."""
HELD_SECONDS = 5.0
"""Time in which a process is to have ended by itself, and said where it hung."""
MOST_CALLS = 15
"""Innermost calls that are shown of a thread that hangs, two lines each."""
_IMPORTED = uuid.uuid4().hex


def this_process() -> tuple[str, int]:
    """Return what tells this process from every other, those of other machines and its own children too."""
    return _IMPORTED, os.getpid()


def outlast_sigterm() -> None:
    """Have the next SIGTERM do nothing to this process; one after it ends it, as each does where it did something else.

    It is not ignored, nor blocked, as processes that libraries start would inherit: they end at the first.
    """
    if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return
    process = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != process:  # a copy of this process
            os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, handle)


class Variables:
    """The environment of this process, which jobs change while they are here; it is restored as the last one goes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: set[object] = set()
        self._former: dict[str, str | None] = {}

    def hold(self, holder: object, names: Iterable[str], texts: Mapping[str, str]) -> None:
        """Set variables for a job.

        Parameters
        ----------
        holder
            Names the job until it is released.
        names
            Those that are restored, which the job may also set later.
        texts
            Those that are set now.
        """
        with self._lock:
            self._holders.add(holder)
            for name in names:
                self._former.setdefault(name, os.environ.get(name))
            os.environ.update(texts)

    def release(self, holder: object) -> None:
        """Let a job go."""
        with self._lock:
            self._holders.discard(holder)
            if self._holders:
                return
            for name, text in self._former.items():
                # TensorFlow's variable goes on saying on how many threads it started.
                if name == TENSORFLOW_THREADS and "tensorflow" in sys.modules:
                    continue
                if text is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = text
            self._former.clear()


class Deadlines:
    """The moments by which work of this process must have ended: at the first that passes the process ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moments: dict[object, float] = {}
        self._timer: threading.Timer | None = None

    def set(self, work: object, seconds: float) -> None:
        """Have work end within some seconds from now, whatever was said of it before.

        Parameters
        ----------
        work
            An object in whose methods it is done: calls within them are where it hangs.
        seconds
            From now; infinite where it has no limit yet.
        """
        with self._lock:
            self._moments[work] = time.monotonic() + seconds
            self._arm()

    def change(self, work: object, seconds: float) -> None:
        """Have work end within some seconds from now; of work that has ended meanwhile, or has none set, nothing is."""
        with self._lock:
            if work in self._moments:
                self._moments[work] = time.monotonic() + seconds
                self._arm()

    def clear(self, work: object) -> None:
        """Take in that work has ended."""
        with self._lock:
            if self._moments.pop(work, None) is not None:
                self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        first = min(self._moments.values(), default=inf)
        if first < inf:
            self._timer = _end_after(max(LEAST_SECONDS, first - time.monotonic()), self._passed)
        else:
            faulthandler.cancel_dump_traceback_later()

    def _passed(self) -> None:
        """End this process, and say where it hung, unless the deadlines have changed meanwhile."""
        with self._lock:
            now = time.monotonic()
            overdue = [work for work, moment in self._moments.items() if moment <= now]
            if not overdue:
                self._arm()
                return
            text = f"process {os.getpid()} ends, as its work took longer than its time limit"
            places = [place for work in overdue for place in _places(work)]
            said = "".join(f"; it hung here (most recent call last):\n{place}" for place in places)
            # In one piece, as other processes write to the same place.
            with contextlib.suppress(OSError):
                os.write(2, f"{text}{said or chr(10)}".encode(errors="backslashreplace"))
            os._exit(1)


def _places(work: object) -> Iterator[str]:
    """Yield the innermost calls of each thread that is at some work; one that only waits for its turn is at none."""
    for frame in sys._current_frames().values():
        calls = list(traceback.walk_stack(frame))
        depth = next((depth for depth, (call, _) in enumerate(calls) if call.f_locals.get("self") is work), 0)
        if depth:
            shown = traceback.StackSummary.extract(iter(calls[: min(depth, MOST_CALLS)]))
            shown.reverse()
            yield "".join(shown.format())


def _end_after(seconds: float, passed: Callable[[], None]) -> threading.Timer:
    """Call what ends this process after some seconds.

    Where nothing of Python's runs any more, since a library holds its lock, a thread that needs nothing of it ends the
    process a little later. That one knows all threads alone, and writes what each is at.
    """
    faulthandler.dump_traceback_later(seconds + HELD_SECONDS, exit=True, file=sys.__stderr__ or sys.stderr)
    timer = threading.Timer(seconds, passed)
    timer.daemon = True
    timer.start()
    return timer


VARIABLES = Variables()
DEADLINES = Deadlines()
