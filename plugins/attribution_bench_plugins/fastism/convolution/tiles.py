"""Tiles of positions: sums of results that overlap, and their place in a window."""

import torch
import torch.nn.functional as F
from torch import Tensor


def overlap(reach: int, tile: int) -> int:
    """Return the number of tiles after its own that a result `reach` positions longer than a tile extends into."""
    return -(-reach // tile)


def add_up(pieces: Tensor, tile: int, into: Tensor) -> None:
    """Add up pieces (rows, tiles, tile + reach, C), each a tile after the one before, into (rows, positions, C).

    `into` has the positions of all tiles and of the tiles that the last piece extends into.
    """
    tiles, length = pieces.shape[1:3]
    into[:, tiles * tile :] = 0
    torch.unflatten(into[:, : tiles * tile], 1, (tiles, tile)).copy_(pieces[:, :, :tile])
    for ahead in range(1, overlap(length - tile, tile) + 1):
        part = pieces[:, :, ahead * tile : (ahead + 1) * tile]
        sums = torch.unflatten(into[:, ahead * tile : (ahead + tiles) * tile], 1, (tiles, tile))
        sums[:, :, : part.shape[2]] += part


def placed(x: Tensor, width: int, shift: int) -> Tensor:
    """Return x (rows, positions, C), cropped or zero-padded, on a window that begins `shift` positions before it."""
    return x if shift == 0 and x.shape[1] == width else F.pad(x, (0, 0, shift, width - shift - x.shape[1]))
