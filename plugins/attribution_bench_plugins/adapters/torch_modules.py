"""PyTorch modules that adapters put around the networks of packages. Importing this file imports PyTorch."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class MeanByTissue(nn.Module):
    """For each tissue the mean of one channel over its networks: (N, 4, L) to (N, tissues, positions).

    Parameters
    ----------
    networks
        The networks of each tissue, which give (N, channels, positions).
    channels
        The channel of each tissue.
    """

    def __init__(self, networks: Sequence[Sequence[nn.Module]], channels: Sequence[int]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(network for replicates in networks for network in replicates)
        self.replicates = [len(replicates) for replicates in networks]
        self.channels = tuple(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, tissues, positions)."""
        networks = iter(self.networks)
        means = []
        for count, channel in zip(self.replicates, self.channels, strict=True):
            values = [network(x)[:, channel] for network in itertools.islice(networks, count)]
            means.append(torch.stack(values).mean(dim=0))
        return torch.stack(means, dim=1)


class OneOutput(nn.Module):
    """One entry of the dictionary that a network gives, and of its last axis one channel or all of them."""

    def __init__(self, network: nn.Module, name: str, channel: int | None) -> None:
        super().__init__()
        self.network, self.name, self.channel = network, name, channel

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, positions, channels), or (N, positions) of one channel."""
        values: Tensor = self.network(x)[self.name]
        return values if self.channel is None else values[..., self.channel]


class Tracks(nn.Module):
    """A Borzoi's tracks for human or mouse, all of them or one."""

    def __init__(self, network: nn.Module, is_human: bool, track: int | None) -> None:
        super().__init__()
        self.network, self.is_human, self.track = network, is_human, track

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, tracks, positions), or (N, positions) of one track."""
        values: Tensor = self.network(x, is_human=self.is_human)
        return values if self.track is None else values[:, self.track]
