"""Memory that is used again is nobody's any more."""

import gc
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from attribution_bench_plugins.fastism.values import buffers
from attribution_bench_plugins.fastism.values.buffers import ALIGNMENT, LEAST_BYTES, Buffers

LARGE = (2, LEAST_BYTES)


def test_memory_comes_back_when_the_last_view_is_gone() -> None:
    pool = Buffers()
    first = pool.empty(LARGE, torch.float32)
    address, view = first.data_ptr(), first[1, 5:].view(-1)
    del first
    gc.collect()
    second = pool.empty(LARGE, torch.float32)
    assert second.data_ptr() != address, "a view still reads it"
    del view
    gc.collect()
    assert pool.empty(LARGE, torch.float32).data_ptr() == address


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bool])
def test_tensors_are_as_asked_for_and_aligned(dtype: torch.dtype) -> None:
    pool = Buffers()
    for shape in [(3, LEAST_BYTES), (0, 4), (1,), (LEAST_BYTES, 2, 1)]:
        tensor = pool.empty(shape, dtype)
        assert (tensor.shape, tensor.dtype, tensor.is_contiguous()) == (shape, dtype, True)
        assert tensor.nbytes < LEAST_BYTES or tensor.data_ptr() % ALIGNMENT == 0


def test_a_small_tensor_takes_no_large_piece() -> None:
    pool = Buffers()
    large = pool.empty((8 * LEAST_BYTES,), torch.float32)
    address = large.data_ptr()
    del large
    gc.collect()
    assert pool.empty((LEAST_BYTES,), torch.float32).data_ptr() != address
    assert pool.empty((7 * LEAST_BYTES,), torch.float32).data_ptr() == address


def test_few_pieces_wait() -> None:
    pool = Buffers()
    held = [pool.empty(LARGE, torch.float32) for _ in range(3 * buffers.MOST_FREE)]
    held.clear()
    gc.collect()
    pool.empty(LARGE, torch.float32)
    assert len(pool._free) == buffers.MOST_FREE - 1


def test_threads_never_share_memory() -> None:
    pool = Buffers()

    def use(number: int) -> bool:
        kept: list[Tensor] = []
        intact = True
        for round_ in range(20):
            tensor = pool.empty((LEAST_BYTES,), torch.float32).fill_(number * 100 + round_)
            kept.append(tensor)
            intact &= all(bool((one == float(one[0])).all()) for one in kept)
            if round_ % 3 == 2:
                kept.clear()
        return intact

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(use, range(4)))
