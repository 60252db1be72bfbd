"""Multipliers of every pair of a sequence and a reference, before they become hypothetical scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Multipliers:
    """DeepLIFT's multipliers for N sequences and R references of each; `*output` are the axes of the target."""

    multipliers: NDArray[np.floating]
    """(N, R, A, L, *output): what a change of one letter's input is worth, between this sequence and this reference."""
    one_hot: NDArray[np.floating]
    """(N, A, L): the sequences."""
    references: NDArray[np.floating]
    """(N, R, A, L)."""
    convergence_delta: NDArray[np.floating]
    """(N, R, *output): sum of attributions - (f(x) - f(reference))."""

    @property
    def contributions(self) -> NDArray[np.floating]:
        """(N, R, A, L, *output): multipliers times x - reference; they add up to f(x) - f(reference)."""
        difference = self.one_hot[:, None] - self.references
        return self.multipliers * difference.reshape(*difference.shape, *[1] * (self.multipliers.ndim - 4))

    @property
    def hypothetical(self) -> NDArray[np.floating]:
        """(N, R, A, L, *output): hypothetical scores against each reference; `DeepSHAP.attribute` gives their mean.

        Unlike there, they are not 0 where the letter is unknown.
        """
        references = self.references.reshape(*self.references.shape, *[1] * (self.multipliers.ndim - 4))
        base: NDArray[np.floating] = (self.multipliers * references).sum(axis=2, keepdims=True)
        return self.multipliers - base
