"""Stands for enformer-pytorch: channels come last, the outputs are a dictionary, bins are cropped."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class Enformer(nn.Module):
    def __init__(self, output_heads: dict[str, int], target_length: int, use_tf_gamma: bool) -> None:
        super().__init__()
        self.target_length, self.use_tf_gamma = target_length, use_tf_gamma
        self.stem = nn.Conv1d(4, 6, 9, padding=4)
        self.heads = nn.ModuleDict({name: nn.Linear(6, tracks) for name, tracks in output_heads.items()})

    @staticmethod
    def from_hparams(**options: Any) -> "Enformer":
        return Enformer(**options)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = F.max_pool1d(self.stem(x.transpose(1, 2)), 128).transpose(1, 2)
        trim = (x.shape[1] - self.target_length) // 2
        x = x[:, trim : x.shape[1] - trim]
        return {name: F.softplus(head(x)) for name, head in self.heads.items()}
