"""Files written whole or not at all."""

import os
import tempfile
from pathlib import Path

from attribution_bench.errors import OutputError


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file under its final name only once all of it is on disk; makes missing folders; returns the path.

    Raises
    ------
    OutputError
        The folder or the file cannot be written; an older file of that name is left as it was.
    """
    partial: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            partial = file.name
            file.write(content.encode() if isinstance(content, str) else content)
        # Temporary files are private to their owner; results are to be read by others.
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose a folder you can write") from error
    finally:
        if partial is not None and os.path.exists(partial):
            os.unlink(partial)
    return path
