"""Large files written bit by bit, which appear under their names only when all of them is there."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from attribution_bench.errors import OutputError
from attribution_bench.storage.durable import PARTIAL


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield the path to write to; it takes the place of `path` at the end, and goes where something fails.

    Raises
    ------
    OutputError
        The folder or the file cannot be written; an older file of that name is left as it was.
    """
    # Libraries tell what to write by the end of a name.
    partial = path.with_name(f".{os.getpid()}{PARTIAL}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose a folder you can write") from error
    finally:
        # What could not be made cannot be removed; the error that says so is on its way.
        with contextlib.suppress(OSError):
            partial.unlink()
