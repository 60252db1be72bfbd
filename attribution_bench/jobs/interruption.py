"""Ctrl-C and SIGTERM: the shard in work is finished, then the job stops."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
Stop = Callable[[], signal.Signals | None]
"""Returns the signal that asked a job to stop; None while it is to go on."""


def never() -> signal.Signals | None:
    """Go on."""
    return None


@contextlib.contextmanager
def stopping(said: Callable[[signal.Signals], None]) -> Iterator[Stop]:
    """Take Ctrl-C and SIGTERM as a wish to stop; the same signal once more acts at once, as it did before.

    Parameters
    ----------
    said
        Called with the signal when it comes, to tell the user what happens now.

    Signals reach the main thread only; on another thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield never
        return
    asked: list[signal.Signals] = []
    # One that is ignored, as under nohup, stays ignored.
    former = {number: signal.getsignal(number) for number in SIGNALS}
    former = {number: handler for number, handler in former.items() if handler not in (signal.SIG_IGN, None)}

    def handle(number: int, frame: FrameType | None) -> None:
        asked.append(signal.Signals(number))
        signal.signal(number, former[signal.Signals(number)])
        said(asked[-1])

    try:
        for number in former:
            signal.signal(number, handle)
        yield lambda: asked[0] if asked else None
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
