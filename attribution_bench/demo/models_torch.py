"""The demonstration models as torch.nn.Modules; a module of its own, so that `models` loads without PyTorch."""

import torch
from torch import nn

from attribution_bench.demo.backgrounds import LENGTH
from attribution_bench.models.architecture import LETTERS

BLOCKS = ((48, 19, 4), (48, 9, 4), (48, 5, 2))
"""Filters, width, pool: convolution, batch normalisation, ReLU, max pool."""
DENSE_UNITS = 48
CHANNELS = 32
STEM_WIDTH = 19
DILATIONS = (1, 2, 4, 8, 16)
DILATED_WIDTH = 3
PROFILE_WIDTH = 25


class Classifier(nn.Module):
    """Three convolutions with max pools, and two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, length = LETTERS, LENGTH
        for filters, width, pool in BLOCKS:
            layers += [
                nn.Conv1d(channels, filters, width, padding="same"),
                nn.BatchNorm1d(filters),
                nn.ReLU(),
                nn.MaxPool1d(pool),
            ]
            channels, length = filters, length // pool
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * length, DENSE_UNITS), nn.ReLU(), nn.Linear(DENSE_UNITS, 1)
        )

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``accessible`` (N, 1), logits, of sequences (N, 4, 256)."""
        return {"accessible": self.dense(self.convolutions(x))}


class Profile(nn.Module):
    """A convolution, five residual blocks x + ReLU(dilated convolution), a profile head and a count head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(LETTERS, CHANNELS, STEM_WIDTH, padding="same"), nn.ReLU())
        self.tower = nn.ModuleList(
            nn.Sequential(nn.Conv1d(CHANNELS, CHANNELS, DILATED_WIDTH, padding="same", dilation=dilation), nn.ReLU())
            for dilation in DILATIONS
        )
        self.profile = nn.Conv1d(CHANNELS, 1, PROFILE_WIDTH, padding="same")
        self.count = nn.Linear(CHANNELS, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``profile`` (N, L), logits, and ``count`` (N, 1), log(1 + reads), of sequences (N, 4, L)."""
        x = self.stem(x)
        for block in self.tower:
            x = x + block(x)
        return {"profile": self.profile(x).flatten(1), "count": self.count(x.mean(dim=-1))}
