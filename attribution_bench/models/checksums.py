"""Checksums of arrays, by which values that were changed in place are noticed."""

import functools
from collections.abc import Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROW = 1024
"""Words of eight bytes in a row."""
PIECE = 8 * ROW * 512
"""Bytes that are read in one piece."""
KEPT = 8 * ROW * 8
"""Bytes of the largest array that is kept itself, which is faster than to sum it."""
SHIFT = 29
"""Bits by which upper bits of a word are brought down; no multiple of 8, so that no two signs in a word meet."""
FACTOR = 0x9E3779B97F4A7C15
"""Odd, and 5 modulo 8, so that the powers by which the words of a row are multiplied differ, modulo 2**64."""


def checksums(arrays: Iterable[NDArray[Any]], threads: int = 1) -> Hashable:
    """Return sums of the bytes of arrays, eight at a time, which are equal for equal values and hardly for others.

    Arrays of at most 64 KiB are kept as they are. The words of each piece of 4 MiB of larger ones are laid out in rows.
    Upper bits of a word are mixed into lower ones, and the sums of all columns are taken, and of all rows with a factor
    for each column, modulo 2**64. Sums of the words themselves could be left as they are by another sign of an even
    number of words, which is 2**63 each. A change of one number always shows; one of several does unless it leaves the
    sums of each row and of each column as they were. What fills no row is kept as it is. No object of Python may be
    among the elements.

    Parameters
    ----------
    threads
        Pieces that are read at the same time, where there are several: reading them releases Python's lock.
    """
    pieces: list[NDArray[np.uint8]] = []
    for array in arrays:
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        pieces += [flat] if flat.size <= PIECE else [flat[at : at + PIECE] for at in range(0, flat.size, PIECE)]
    if threads == 1 or sum(piece.size for piece in pieces) <= PIECE:
        return tuple(map(_sums, pieces))
    with ThreadPoolExecutor(threads) as pool:
        return tuple(pool.map(_sums, pieces))


def _sums(piece: NDArray[np.uint8]) -> bytes:
    """Return a small piece itself; the sums of the rows and columns of another one, and the bytes that fill no row."""
    if piece.size <= KEPT:
        return piece.tobytes()
    filled = piece.size // (8 * ROW) * (8 * ROW)
    words = piece[:filled].view(np.uint64).reshape(-1, ROW)
    mixed = words >> np.uint64(SHIFT)
    mixed ^= words
    sums = np.concatenate([mixed.sum(axis=0), np.einsum("rc,c->r", mixed, _factors())])
    return bytes(sums.tobytes() + piece[filled:].tobytes())


@functools.cache
def _factors() -> NDArray[np.uint64]:
    """Return the factors of the words of a row, (ROW,)."""
    factors: NDArray[np.uint64] = np.cumprod(np.full(ROW, FACTOR, np.uint64), dtype=np.uint64)
    factors.flags.writeable = False
    return factors
