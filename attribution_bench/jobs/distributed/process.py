"""What the jobs on a worker share as they share its process: one environment, and one timer that ends it."""

import faulthandler
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Mapping

from attribution_bench.environment import TENSORFLOW_THREADS

LEAST_SECONDS = 0.01
"""For a moment that has passed already: the timer takes no 0."""
_IMPORTED = uuid.uuid4().hex


def this_process() -> tuple[str, int]:
    """Return what tells this process from every other, those of other machines and its own children too."""
    return _IMPORTED, os.getpid()


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

    def set(self, work: object, seconds: float) -> None:
        """Have work end within some seconds from now, whatever was said of it before."""
        with self._lock:
            self._moments[work] = time.monotonic() + seconds
            self._arm()

    def clear(self, work: object) -> None:
        """Take in that work has ended."""
        with self._lock:
            if self._moments.pop(work, None) is not None:
                self._arm()

    def _arm(self) -> None:
        if self._moments:
            _end_after(max(LEAST_SECONDS, min(self._moments.values()) - time.monotonic()))
        else:
            faulthandler.cancel_dump_traceback_later()


def _end_after(seconds: float) -> None:
    """End this process after some seconds, and say where it hung: by a thread that needs nothing of Python's."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)


VARIABLES = Variables()
DEADLINES = Deadlines()
