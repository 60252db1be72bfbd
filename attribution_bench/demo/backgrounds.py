"""Backgrounds to plant motifs in: dinucleotide-shuffled windows of the genome of phage lambda."""

import numpy as np
from numpy.typing import NDArray

from attribution_bench.sequences.alphabet import DNA
from attribution_bench.sequences.lambda_phage import lambda_windows
from attribution_bench.sequences.shuffle import dinucleotide_shuffle

LENGTH = 256
"""Letters of a sequence of the demonstration."""
WINDOWS = 189
"""Windows of that length that the genome has side by side."""
HELD_OUT_EVERY = 5
"""One window in this number is held out of training."""


def training_windows() -> tuple[str, ...]:
    """Return the windows that the models learn from."""
    return tuple(window for index, window in enumerate(_windows()) if index % HELD_OUT_EVERY)


def held_out_windows() -> tuple[str, ...]:
    """Return the windows that they do not; the two share no stretch of the genome."""
    return _windows()[::HELD_OUT_EVERY]


def shuffled(windows: tuple[str, ...], count: int, generator: np.random.Generator) -> NDArray[np.int8]:
    """Shuffle windows in turn, each as often as needed, keeping how often each pair of neighbours occurs.

    Returns
    -------
    (count, L) indices of the letters in ACGT; row i is a shuffle of window i modulo the number of windows.
    """
    letters = np.empty((count, len(windows[0])), dtype=np.int8)
    for index, one_hot in enumerate(DNA.one_hot(windows[:count])):
        rows = letters[index :: len(windows)]
        rows[:] = dinucleotide_shuffle(one_hot, len(rows), generator).argmax(axis=1)
    return letters


def _windows() -> tuple[str, ...]:
    return lambda_windows(LENGTH, WINDOWS).strings
