"""How a comparison is made: seeds, repeats and sizes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError


@dataclass(frozen=True)
class Settings:
    """What a comparison is free to choose; stored with its results.

    Raises
    ------
    InvalidInputError
        A number that cannot be used.
    """

    seed: int = 0
    """Seed of the replaced letters, the random mutations, the bootstrap, and of every method that takes one."""
    top: float = 0.1
    """Share of the positions that count as the k highest ones."""
    steps: int = 20
    """Parts into which the letters are taken for the deletion and insertion curves."""
    shuffles: int = 3
    """Dinucleotide shuffles of each sequence that letters are replaced from; curves are means over them."""
    mutations: int = 50
    """Random mutations of each sequence for infidelity."""
    mutated: float = 0.05
    """Share of the letters that each of those changes."""
    repeats: int = 3
    """Perturbed inputs for sensitivity, and seeds for stability."""
    repeated_sequences: int = 20
    """Sequences, evenly among all, for which methods run again to measure sensitivity and stability."""
    batch_size: int = 256
    """Sequences in one call of the model outside the methods."""

    def __post_init__(self) -> None:
        for name in ("steps", "shuffles", "mutations", "batch_size"):
            if getattr(self, name) < 1:
                raise InvalidInputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.repeats < 2:
            raise InvalidInputError(f"repeats must be at least 2, not {self.repeats}")
        if self.repeated_sequences < 0:
            raise InvalidInputError(f"repeated_sequences must be 0 or more, not {self.repeated_sequences}")
        for name in ("top", "mutated"):
            if not 0 < getattr(self, name) <= 1:
                raise InvalidInputError(f"{name} must be a share above 0 and at most 1, not {getattr(self, name)}")

    @property
    def shares(self) -> NDArray[np.float64]:
        """(steps + 1,) shares of the letters changed, from 0 to 1: the axis of the curves."""
        return np.linspace(0, 1, self.steps + 1)

    def letters(self, share: float, length: int) -> int:
        """Return a share of a sequence's positions as a number of at least 1."""
        return max(1, round(share * length))
