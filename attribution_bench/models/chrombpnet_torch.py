"""ChromBPNet as a torch.nn.Module; a module of its own, so that `chrombpnet` loads without PyTorch."""

import torch
from torch import nn

from attribution_bench.models.architecture import LETTERS
from attribution_bench.models.bpnet_dimensions import CHROMBPNET


class ChromBPNet(nn.Module):
    """A convolution, eight residual blocks crop(x) + ReLU(dilated convolution), a profile head and a count head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(LETTERS, CHROMBPNET.channels, CHROMBPNET.stem_width), nn.ReLU())
        self.tower = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(CHROMBPNET.channels, CHROMBPNET.channels, CHROMBPNET.dilated_width, dilation=dilation),
                nn.ReLU(),
            )
            for dilation in CHROMBPNET.dilations
        )
        self.profile = nn.Conv1d(CHROMBPNET.channels, 1, CHROMBPNET.profile_width)
        self.count = nn.Linear(CHROMBPNET.channels, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``profile`` (N, L - 1114) and ``count`` (N, 1) of sequences (N, 4, L)."""
        x = self.stem(x)
        for dilation, block in zip(CHROMBPNET.dilations, self.tower, strict=True):
            cropped = dilation * (CHROMBPNET.dilated_width // 2)
            x = x[..., cropped : x.shape[-1] - cropped] + block(x)
        return {"profile": self.profile(x).flatten(1), "count": self.count(x.mean(dim=-1))}
