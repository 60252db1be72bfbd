"""Checksums of arrays, by which values that were changed in place are noticed."""

from collections.abc import Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROW = 1024
"""Words of eight bytes in a row."""
PIECE = 8 * ROW * 512
"""Bytes that are read in one piece."""


def checksums(arrays: Iterable[NDArray[Any]], threads: int = 1) -> Hashable:
    """Return sums of the bytes of arrays, eight at a time, which are equal for equal values and hardly for others.

    The words of each piece of 4 MiB are laid out in rows, and the sums of all rows and of all columns are taken, modulo
    2**64. A change of one number always shows; one of several does unless it leaves the sums of each row and of each
    column as they were. What fills no row is kept as it is. No object of Python may be among the elements.

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
    """Return the sums of the rows and of the columns of a piece, and the bytes that fill no row."""
    filled = piece.size // (8 * ROW) * (8 * ROW)
    if not filled:
        return piece.tobytes()
    words = piece[:filled].view(np.uint64).reshape(-1, ROW)
    sums = np.concatenate([words.sum(axis=0), words.sum(axis=1)])
    return bytes(sums.tobytes() + piece[filled:].tobytes())
