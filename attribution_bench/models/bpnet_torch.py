"""BPNet as a torch.nn.Module; a module of its own, so that `bpnet` loads without PyTorch."""

import torch
from torch import nn

from attribution_bench.models.architecture import LETTERS
from attribution_bench.models.bpnet_dimensions import BPNET


class BPNet(nn.Module):
    """A convolution, nine residual blocks x + ReLU(dilated convolution), a profile head and a count head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(LETTERS, BPNET.channels, BPNET.stem_width, padding="same"), nn.ReLU())
        self.tower = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(BPNET.channels, BPNET.channels, BPNET.dilated_width, padding="same", dilation=dilation),
                nn.ReLU(),
            )
            for dilation in BPNET.dilations
        )
        self.profile = nn.ConvTranspose1d(BPNET.channels, 1, BPNET.profile_width, padding=BPNET.profile_width // 2)
        self.count = nn.Linear(BPNET.channels, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``profile`` (N, L) and ``count`` (N, 1) of sequences (N, 4, L)."""
        x = self.stem(x)
        for block in self.tower:
            x = x + block(x)
        return {"profile": self.profile(x).flatten(1), "count": self.count(x.mean(dim=-1))}
