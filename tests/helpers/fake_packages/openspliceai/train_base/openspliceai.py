"""Stands for OpenSpliceAI's network: same arguments, layout and crop, two convolutions."""

import numpy as np
import torch
from torch import Tensor, nn


class SpliceAI(nn.Module):
    def __init__(self, L: int, W: np.ndarray, AR: np.ndarray) -> None:  # noqa: N803 - the package's own names
        super().__init__()
        self.first, self.unit = nn.Conv1d(4, 3, 1), nn.Conv1d(3, 3, int(W[-1]), padding="same", dilation=int(AR[-1]))
        self.half = int(np.sum(AR * (W - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x + self.unit(torch.relu(x))
        return x[:, :, self.half : -self.half].softmax(dim=1)
