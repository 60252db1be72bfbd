"""Results of neighbouring tiles that overlap, added up."""

import torch
from torch import Tensor


def overlap(reach: int, tile: int) -> int:
    """Return how many tiles a result that is `reach` positions longer than its tile extends into."""
    return -(-reach // tile)


def add_up(pieces: Tensor, tile: int, into: Tensor) -> None:
    """Write into (rows, positions, C) the sums of pieces (rows, tiles, tile + reach, C) that start a tile apart.

    There are as many positions as the tiles and their overlap fill.
    """
    tiles, length = pieces.shape[1:3]
    into[:, tiles * tile :] = 0
    torch.unflatten(into[:, : tiles * tile], 1, (tiles, tile)).copy_(pieces[:, :, :tile])
    for ahead in range(1, overlap(length - tile, tile) + 1):
        part = pieces[:, :, ahead * tile : (ahead + 1) * tile]
        reached = torch.unflatten(into[:, ahead * tile : (ahead + tiles) * tile], 1, (tiles, tile))
        reached[:, :, : part.shape[2]] += part
