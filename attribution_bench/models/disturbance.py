"""State that calls of a model may change, kept while the model is tried out: random numbers and the model's tensors."""

import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Kept(Protocol):
    """A part of the state, with the value that it had when the object was made."""

    name: str

    def is_unchanged(self) -> bool:
        """Whether the part still has that value."""
        ...

    def restore(self) -> None:
        """Give the part that value again."""
        ...


@dataclass(frozen=True)
class Disturbance:
    """What calls of a model have changed besides returning a result."""

    randomness: Sequence[Kept]
    """States of random generators."""
    tensors: Sequence[Kept]
    """The model's parameters, buffers and variables."""

    @property
    def draws(self) -> bool:
        """Whether random numbers were drawn since the state was taken."""
        return not all(kept.is_unchanged() for kept in self.randomness)

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the tensors that have other values now."""
        return tuple(kept.name for kept in self.tensors if not kept.is_unchanged())


@contextlib.contextmanager
def undone(randomness: Sequence[Kept], tensors: Sequence[Kept]) -> Iterator[Disturbance]:
    """Restore the given state after the block, errors included."""
    try:
        yield Disturbance(randomness, tensors)
    finally:
        for kept in (*randomness, *tensors):
            kept.restore()


class HostRandomness:
    """The global random states of Python and NumPy."""

    name = "random, numpy.random"

    def __init__(self) -> None:
        self._python, self._numpy = random.getstate(), _numpy_state()

    def is_unchanged(self) -> bool:
        return random.getstate() == self._python and _as_text(_numpy_state()) == _as_text(self._numpy)

    def restore(self) -> None:
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002 - the state that models' own code draws from


class HeldGenerator:
    """A generator of NumPy that a model holds."""

    def __init__(self, name: str, generator: np.random.Generator) -> None:
        self.name, self._bits = name, generator.bit_generator
        self._state = self._bits.state

    def is_unchanged(self) -> bool:
        return repr(self._bits.state) == repr(self._state)

    def restore(self) -> None:
        self._bits.state = self._state


def _as_text(state: Any) -> str:
    return " ".join(part.tobytes().hex() if isinstance(part, np.ndarray) else repr(part) for part in state)


def _numpy_state() -> Any:
    return np.random.get_state()  # noqa: NPY002 - the state that models' own code draws from
