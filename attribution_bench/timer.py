"""The clock, which the runner is given, so that tests can give it one of their own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Clock = Callable[[], float]
"""Seconds of a monotonic clock."""
CLOCK: Clock = time.perf_counter

Value = TypeVar("Value")


@dataclass(frozen=True)
class Timed(Generic[Value]):
    """What a call returned, and the seconds it took."""

    seconds: float
    value: Value


def timed(clock: Clock, call: Callable[[], Value]) -> Timed[Value]:
    """Call, and return the value with the seconds it took. Results are on the host, so a GPU has finished by then."""
    start = clock()
    value = call()
    return Timed(clock() - start, value)
