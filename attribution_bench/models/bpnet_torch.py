"""BPNet as a torch.nn.Module; a module of its own, so that `bpnet` loads without PyTorch."""

import torch
from torch import nn

from attribution_bench.models.architecture import LETTERS
from attribution_bench.models.bpnet import CHANNELS, DILATED_WIDTH, DILATIONS, PROFILE_WIDTH, STEM_WIDTH


class BPNet(nn.Module):
    """A convolution, nine residual blocks x + ReLU(dilated convolution), a profile head and a count head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(LETTERS, CHANNELS, STEM_WIDTH, padding="same"), nn.ReLU())
        self.tower = nn.ModuleList(
            nn.Sequential(nn.Conv1d(CHANNELS, CHANNELS, DILATED_WIDTH, padding="same", dilation=dilation), nn.ReLU())
            for dilation in DILATIONS
        )
        self.profile = nn.ConvTranspose1d(CHANNELS, 1, PROFILE_WIDTH, padding=PROFILE_WIDTH // 2)
        self.count = nn.Linear(CHANNELS, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``profile`` (N, L) and ``count`` (N, 1) of sequences (N, 4, L)."""
        x = self.stem(x)
        for block in self.tower:
            x = x + block(x)
        return {"profile": self.profile(x).flatten(1), "count": self.count(x.mean(dim=-1))}
