"""The lock on a store: one run at a time, and none that a dead process keeps."""

import contextlib
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
    At an address a `Lease` is the lock. What is yielded raises OutputError where the lock was lost.

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
        store.mkdir(parents=True, exist_ok=True)
        # filelock takes a file that cannot be made for one that another process holds.
        (store / LOCK).touch()
        lock = filelock.FileLock(store / LOCK)
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        raise OutputError(
            f"another run writes into {store}; wait for it, end it, or choose another --output"
        ) from error
    except OSError as error:
        raise OutputError(f"cannot write {store}: {error.strerror or error}; choose a folder you can write") from error
    try:
        yield _still_held
    finally:
        lock.release()


def _still_held() -> None:
    """Return: the operating system takes no lock away."""
