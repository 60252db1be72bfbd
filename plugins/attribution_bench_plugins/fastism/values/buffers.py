"""Memory for large tensors, used again: the first touch of fresh memory costs as much as a pass over it."""

import math
import weakref
from collections import deque
from collections.abc import Sequence
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEAST_BYTES = 2**19
"""Smaller tensors come from PyTorch, whose allocator has memory of their size at hand."""
ALIGNMENT = 64
"""Of the first number, in bytes: a vector never lies across two lines of the cache."""
MOST_FREE = 4
"""Pieces that wait to be used again; more are given up."""


class Buffers:
    """Hands out tensors on a CPU; a tensor's memory comes back when nothing refers to it any more, views included."""

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint8]] = []
        self._choosing = Lock()
        self._returned: deque[NDArray[np.uint8]] = deque()
        """Apart from the free ones, as memory may come back at any moment, while they are looked through too."""

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return a tensor of any numbers."""
        size = math.prod(shape) * dtype.itemsize
        if size < LEAST_BYTES:
            return torch.empty(tuple(shape), dtype=dtype)
        piece = self._piece(size + ALIGNMENT)
        start = -piece.ctypes.data % ALIGNMENT
        used = piece[start : start + size]
        # PyTorch keeps this very array for as long as it needs its memory.
        weakref.finalize(used, self._returned.append, piece).atexit = False
        return torch.from_numpy(used).view(dtype).view(tuple(shape))

    def _piece(self, size: int) -> NDArray[np.uint8]:
        """Return the smallest free piece that is large enough, and not twice as large; a new one where none is."""
        with self._choosing:
            while self._returned:
                self._free.append(self._returned.popleft())
            del self._free[:-MOST_FREE]
            fitting = [i for i, piece in enumerate(self._free) if size <= piece.nbytes <= 2 * size]
            if fitting:
                return self._free.pop(min(fitting, key=lambda i: self._free[i].nbytes))
        return np.empty(size, np.uint8)
