"""Stands for borzoi-pytorch: one head is chosen by an argument, bins are cropped."""

import torch.nn.functional as F
from torch import Tensor, nn

from .config_borzoi import BorzoiConfig


class Borzoi(nn.Module):
    def __init__(self, config: BorzoiConfig) -> None:
        super().__init__()
        self.bins = config.bins_to_return
        self.stem, self.human_head = nn.Conv1d(4, 5, 7, padding=3), nn.Conv1d(5, 7611, 1)
        if config.enable_mouse_head:
            self.mouse_head = nn.Conv1d(5, 2608, 1)

    def forward(self, x: Tensor, is_human: bool = True) -> Tensor:
        x = F.max_pool1d(self.stem(x), 32)
        trim = (x.shape[2] - self.bins) // 2
        head = self.human_head if is_human else self.mouse_head
        return F.softplus(head(x[:, :, trim : x.shape[2] - trim]))
