"""References: what a sequence is compared with."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.sequences.shuffle import dinucleotide_shuffle


def shuffled_references(one_hot: NDArray[Any], count: int, seed: int) -> NDArray[Any]:
    """Dinucleotide shuffles (N, count, A, L) of sequences (N, A, L).

    The seed of each sequence derives from its letters, so that its references depend on no other sequence.
    """
    return np.stack([dinucleotide_shuffle(sequence, count, _generator(sequence, seed)) for sequence in one_hot])


def given_references(baselines: NDArray[Any], one_hot: NDArray[Any]) -> NDArray[Any]:
    """Baselines (R, A, L) or (N, R, A, L) as (N, R, A, L) for sequences (N, A, L); InvalidInputError if they misfit."""
    count, letters, length = one_hot.shape
    wanted = f"(references, {letters}, {length}) or ({count}, references, {letters}, {length})"
    fits = baselines.shape[-2:] == (letters, length) and (baselines.ndim == 3 or baselines.shape[0] == count)
    if not fits:
        raise InvalidInputError(f"baselines must be {wanted} for these inputs, but have shape {baselines.shape}")
    return np.broadcast_to(baselines.astype(one_hot.dtype), (count, *baselines.shape[-3:])).copy()


def _generator(sequence: NDArray[Any], seed: int) -> np.random.Generator:
    letters = np.where(sequence.any(axis=0), sequence.argmax(axis=0), -1).astype(np.int8)
    digest = hashlib.sha256(letters.tobytes()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, dtype="<u4").tolist()])
