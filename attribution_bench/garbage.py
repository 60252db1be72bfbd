"""Python's collector of circular garbage, paused where many objects come into being and stay."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Collect no circular garbage within the block, in any thread; blocks may overlap.

    The collector runs again and again while many objects are made, and looks at all those of the large libraries that
    are loaded: a fifth to half of the time of a trace or of an import. Use it where what is made meanwhile is small.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
