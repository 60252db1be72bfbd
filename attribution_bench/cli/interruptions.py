"""Ctrl-C and SIGTERM: the first lets a command keep what it has and say so, the second ends it at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruptions:
    """What has interrupted the command so far."""

    received: int | None = None
    """Number of the signal; None where none came."""

    @property
    def exit_code(self) -> int | None:
        """The exit code of a command that the signal ended: 130 for Ctrl-C, 143 for SIGTERM; None without one."""
        return None if self.received is None else 128 + self.received


@contextlib.contextmanager
def interruptible() -> Iterator[Interruptions]:
    """Raise KeyboardInterrupt at the first Ctrl-C or SIGTERM; a second one then ends the process at once.

    A signal that is ignored as the command starts, as under nohup, stays ignored.
    """
    interruptions = Interruptions()
    if threading.current_thread() is not threading.main_thread():  # Python takes signals in that one only
        yield interruptions
        return

    def stop(number: int, frame: FrameType | None) -> None:
        interruptions.received = number
        for signal_number in former:
            signal.signal(signal_number, signal.SIG_DFL)
        raise KeyboardInterrupt

    former = {number: signal.getsignal(number) for number in SIGNALS}
    former = {number: handler for number, handler in former.items() if handler not in (signal.SIG_IGN, None)}
    for number in former:
        signal.signal(number, stop)
    try:
        yield interruptions
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
