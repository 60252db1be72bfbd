"""Buffers: memory of large tensors that is reused, as the first write to fresh memory costs as much as a pass."""

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
"""Bytes of the smallest tensor with a buffer; PyTorch's allocator already reuses memory for smaller ones."""
ALIGNMENT = 64
"""Alignment of the first element, in bytes, so that no vector register crosses two cache lines."""
MOST_FREE = 4
"""Most pieces of free memory that are kept for reuse; more are freed."""


class Buffers:
    """Allocator of tensors on a CPU; a tensor's memory returns when nothing refers to it, views included."""

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint8]] = []
        self._choosing = Lock()
        self._returned: deque[NDArray[np.uint8]] = deque()
        """Memory that was returned, at any moment and by any thread, and is not yet among the free pieces."""

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return an uninitialised tensor."""
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
        """Return the smallest free piece of at least `size` bytes and at most twice that; a new one where none is."""
        with self._choosing:
            while self._returned:
                self._free.append(self._returned.popleft())
            del self._free[:-MOST_FREE]
            fitting = [i for i, piece in enumerate(self._free) if size <= piece.nbytes <= 2 * size]
            if fitting:
                return self._free.pop(min(fitting, key=lambda i: self._free[i].nbytes))
        return np.empty(size, np.uint8)
