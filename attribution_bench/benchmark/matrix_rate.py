"""How fast PyTorch multiplies matrices on a device: what counted work is compared with."""

import torch

from attribution_bench.timer import CLOCK, Clock, timed

SIZE = {"cpu": 2048}
"""Rows and columns of the matrices."""
ACCELERATOR_SIZE = 8192
ROUNDS = 5


def matrix_rate(device: torch.device, dtype: torch.dtype, clock: Clock = CLOCK) -> float:
    """Return the multiply-accumulates a second of a large square matrix product in PyTorch, the best of a few."""
    size = SIZE.get(device.type, ACCELERATOR_SIZE)
    random = torch.Generator(device).manual_seed(0)
    left, right = (torch.rand(size, size, device=device, dtype=dtype, generator=random) for _ in range(2))

    def multiply() -> None:
        left @ right
        synchronize(device)

    multiply()
    return float(size**3 / min(timed(clock, multiply).seconds for _ in range(ROUNDS)))


def synchronize(device: torch.device) -> None:
    """Return when a device has run every operation that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
