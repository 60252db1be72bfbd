"""The lock on a store: one run at a time, and none that a dead process keeps."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from attribution_bench.errors import OutputError
from attribution_bench.jobs.lease import Lease
from attribution_bench.storage.places import is_remote

LOCK = ".lock"


@contextlib.contextmanager
def locked(store: Path) -> Iterator[Callable[[], None]]:
    """Hold the lock on a store's folder, which is made where it is missing.

    The operating system gives the lock back when the process ends, however it ends; the file stays and means nothing.
    It is of the file that was locked, though, and not of its name: where the file is removed, as by the removal of the
    store, another run may lock a new one of that name. At an address a `Lease` is the lock. What is yielded raises
    OutputError where the lock was lost.

    Raises
    ------
    OutputError
        Another run holds the lock, or the folder cannot be written.
    """
    if is_remote(store):
        lease = Lease(store / LOCK)
        try:
            yield lease.check
        finally:
            lease.release()
        return
    import filelock

    try:
        while True:
            store.mkdir(parents=True, exist_ok=True)
            # filelock takes a file that cannot be made for one that another process holds.
            (store / LOCK).touch()
            before = _identity(store / LOCK)
            lock = filelock.FileLock(store / LOCK)
            lock.acquire(blocking=False)
            # A run that failed removes its lock before it gives it back, and what was just locked may be that one.
            if _identity(store / LOCK) == before:
                break
            lock.release()
    except filelock.Timeout as error:
        raise OutputError(
            f"another run writes into {store}; wait for it, end it, or choose another --output"
        ) from error
    except OSError as error:
        raise OutputError(f"cannot write {store}: {error.strerror or error}; choose a folder you can write") from error
    try:
        yield _check_of(store / LOCK)
    finally:
        lock.release()


def _check_of(file: Path) -> Callable[[], None]:
    """Return what checks that a file, which is locked and so stays open, is the one that its path leads to."""
    locked_file = _identity(file)

    def check() -> None:
        if (found := _identity(file)) is not None and found != locked_file:
            raise OutputError(
                f"{file} was removed while this run wrote into {file.parent}, which another run may have begun anew "
                "since: this one ends, and writes nothing more there"
            )

    return check


def _identity(file: Path) -> tuple[int, int] | None:
    """Return what tells a file from every other that there is: (0, 0) of none, and None where that cannot be told.

    While a file is open no other one has its number. A network's file system that does not answer now may do so later.
    """
    try:
        found = os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return 0, 0
    except OSError:
        return None
    return found.st_dev, found.st_ino
