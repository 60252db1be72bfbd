"""Checksums of arrays, by which values that were changed in place are noticed."""

import zlib
from collections.abc import Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIECE = 1 << 22
"""Bytes that have a checksum of their own."""


def checksums(arrays: Iterable[NDArray[Any]], threads: int = 1) -> Hashable:
    """Return the CRC-32 of the bytes of arrays, one for each `PIECE` bytes.

    A change of 32 bits in a row or fewer always shows; any other one escapes with a chance of one in four billion for
    each piece that it reaches. No object of Python may be among the elements.

    Parameters
    ----------
    threads
        Pieces that are read at the same time, where there are several: reading them releases Python's lock.
    """
    # As bytes: some types of elements have no buffers.
    parts = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays]
    pieces = [part[start : start + PIECE] for part in parts for start in range(0, part.size, PIECE)]
    if threads == 1 or sum(piece.size for piece in pieces) <= PIECE:
        return tuple(map(zlib.crc32, pieces))
    with ThreadPoolExecutor(threads) as pool:
        return tuple(pool.map(zlib.crc32, pieces))
