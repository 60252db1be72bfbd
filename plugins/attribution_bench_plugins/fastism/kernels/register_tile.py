"""Register tiles: the block of sums (positions by output channels) that a kernel keeps in vector registers."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.machine import Machine, host_machine

MOST_POSITIONS = 9
"""Largest number of positions of a tile: larger tiles compute more positions past the end of a window."""
SINGLE_VECTOR_SLOWDOWN = 1.3
"""Time of a tile of one vector over that of its channels in larger tiles, as it stalls on loads; as measured."""


@dataclass(frozen=True)
class RegisterTile:
    """The shape of a register tile: `positions` rows of `vectors` vectors of `lanes` output channels."""

    lanes: int
    vectors: int
    positions: int
    rest: int = 0
    """Vectors of the last output channels, which are fewer than those of a full tile."""

    @property
    def channels(self) -> int:
        """Output channels of a tile."""
        return self.lanes * self.vectors

    def padded(self, channels: int) -> int:
        """Return the number of output channels, rounded up to full vectors."""
        return -(-channels // self.lanes) * self.lanes

    def work(self, channels: int) -> float:
        """Return the time that output channels take, as the number of them that takes as long in the best of tiles."""
        slow = self.rest if self.rest == 1 else self.padded(channels) // self.lanes if self.vectors == 1 else 0
        return self.padded(channels) + (SINGLE_VECTOR_SLOWDOWN - 1) * slow * self.lanes

    def in_blocks(self, weights: Tensor) -> Tensor:
        """Return weights (..., C_in, channels) in the order in which they are read, (..., C_in * padded channels).

        Those of one tile's output channels follow each other, input channel by input channel.
        """
        weights = F.pad(weights, (0, self.padded(weights.shape[-1]) - weights.shape[-1]))
        full = weights.shape[-1] // self.channels * self.channels
        blocks = torch.unflatten(weights[..., :full], -1, (-1, self.channels)).transpose(-3, -2).flatten(-3)
        return torch.cat([blocks, weights[..., full:].flatten(-2)], -1).contiguous()

    @property
    def position_counts(self) -> list[int]:
        """The numbers of positions that are multiplied at a time: a full tile's, and smaller ones for the rest."""
        return [self.positions, *(size for size in (4, 2, 1) if size < self.positions)]


def best_tile(channels: int, itemsize: int, machine: Machine | None = None) -> RegisterTile:
    """Return the fastest tile for a number of output channels of `itemsize` bytes each.

    The sums, a vector of each weight and one of the input must fit the registers of the machine (default: this one).
    """
    machine = machine or host_machine()
    lanes = machine.vector_bytes // itemsize
    sizes = (4, 5, 3, 2, 1) if machine.vector_registers >= 32 else (2, 1)
    needed = -(-channels // lanes)
    tiles = [
        RegisterTile(lanes, size, min(MOST_POSITIONS, (machine.vector_registers - 2 - size) // size), needed % size)
        for size in sizes
        if size <= needed
    ]
    # Of tiles that take the same time, the first is taken.
    return min(tiles, key=lambda tile: tile.work(channels))
