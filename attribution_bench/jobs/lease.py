"""Leases: the lock on a store at an address, where no operating system gives back what a dead process holds."""

import contextlib
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attribution_bench.errors import OutputError

BEAT = 20.0
"""Seconds from one renewal to the next."""
PATIENCE = 3 * BEAT
"""Seconds without a renewal after which the holder is taken for dead."""


class Lease:
    """An object that its holder renews.

    It is created only where there is none, which object stores promise (a conditional put). One that is there and
    does not change while it is watched was left by a process that died, and is taken over. Whoever finds another
    holder in its object has lost it, and so has who could not renew it for as long as others watch.

    Parameters
    ----------
    path
        Address of the object.
    beat, patience
        Seconds, as `BEAT` and `PATIENCE`.
    sleep
        Waits for so many seconds.

    Raises
    ------
    OutputError
        Another run holds the lease, or the address cannot be written.
    """

    def __init__(
        self, path: Path, beat: float = BEAT, patience: float = PATIENCE, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._path: Any = path
        self._name = f"{platform.node()} {os.getpid()} {uuid.uuid4().hex}"
        self._beats, self._error = 0, ""
        self._lost = False
        self._patience, self._renewed = patience, time.monotonic()
        self._ended = threading.Event()
        try:
            self._acquire(patience, sleep)
        except OutputError:
            raise
        except Exception as error:  # what reads addresses has errors of its own
            raise OutputError(f"cannot lock {path.parent}: {error}; choose an address you can write") from error
        self._heart = threading.Thread(target=self._renew, args=(beat,), daemon=True)
        self._heart.start()

    def check(self) -> None:
        """Raise OutputError where another run has taken the lease over, or may have."""
        if self._lost:
            raise OutputError(
                f"another run has taken over {self._path.parent}, since this one had not been heard of for long; it is "
                "going on with what is left"
            )
        since = time.monotonic() - self._renewed
        if since > self._patience:
            raise OutputError(
                f"{self._path.parent} has not been reached for {since:.0f} s, so that another run may go on there: "
                "this one ends; finished shards are kept, and the same command goes on once the address can be reached"
                f"{f' ({self._error})' if self._error else ''}"
            )

    def release(self) -> None:
        """Give the lease back."""
        self._ended.set()
        self._heart.join()
        with contextlib.suppress(Exception):
            if not self._lost and self._is_mine():
                self._path.fs.rm_file(self._path.path)

    def _acquire(self, patience: float, sleep: Callable[[float], None]) -> None:
        try:
            self._path.fs.pipe_file(self._path.path, self._content(), mode="create")
            return
        except FileExistsError:
            before = self._read()
        sleep(patience)
        if self._read() != before:
            raise OutputError(
                f"another run writes into {self._path.parent}; wait for it, end it, or choose another --output"
            )
        self._renewed = time.monotonic()
        self._path.fs.pipe_file(self._path.path, self._content())
        # Of several runs that take over at once, one wins.
        sleep(patience / 10)
        if not self._is_mine():
            raise OutputError(f"another run has just begun to write into {self._path.parent}; wait for it")

    def _content(self) -> bytes:
        self._beats += 1
        return json.dumps({"holder": self._name, "renewed": self._beats}).encode()

    def _read(self) -> bytes:
        try:
            return bytes(self._path.fs.cat_file(self._path.path))
        except FileNotFoundError:
            return b""

    def _is_mine(self) -> bool:
        return self._name.encode() in self._read()

    def _renew(self, beat: float) -> None:
        while not self._ended.wait(beat):
            began = time.monotonic()
            try:
                if not self._is_mine():
                    self._lost = True
                    return
                self._path.fs.pipe_file(self._path.path, self._content())
            except Exception as error:
                # A renewal that fails is tried at the next beat: networks have gaps. Errors need not be the system's.
                self._error = str(error)
            else:
                self._renewed, self._error = began, ""
