"""Folders that several machines share: what one wrote another may see a while later."""

import os
import time
from pathlib import Path

from attribution_bench.errors import OutputError
from attribution_bench.storage.places import is_remote

SEEN_SECONDS = 90.0
"""Longest wait; network file systems remember for up to a minute that a file was not there."""
LOOK_SECONDS = 0.5


def await_file(path: Path) -> None:
    """Wait until a file or folder is seen that another process has written.

    Raises
    ------
    OutputError
        It does not appear: the folder of that name is another one there.
    """
    deadline = time.monotonic() + SEEN_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise OutputError(
                f"{path}, which another process wrote, does not appear here; give a folder that all machines share"
            )
        time.sleep(LOOK_SECONDS)
        if not is_remote(path) and path.parent.is_dir():
            os.listdir(path.parent)  # makes file systems look again
