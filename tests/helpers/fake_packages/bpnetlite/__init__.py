"""Stands for bpnet-lite: its two networks and three wrappers, with narrower kernels."""

import torch
from torch import Tensor, nn

from .bpnet import BPNet


class ChromBPNet(nn.Module):
    def __init__(self, bias: nn.Module, accessibility: nn.Module) -> None:
        super().__init__()
        self.bias, self.accessibility = bias, accessibility
        self.n_control_tracks = accessibility.n_control_tracks

    def forward(self, x: Tensor, x_ctl: Tensor | None = None) -> tuple[Tensor, Tensor]:
        (profile, counts), (bias_profile, bias_counts) = self.accessibility(x), self.bias(x)
        more = (bias_profile.shape[-1] - profile.shape[-1]) // 2
        bias_profile = bias_profile[:, :, more : bias_profile.shape[-1] - more]
        return profile + bias_profile, torch.log(torch.exp(counts) + torch.exp(bias_counts))


__all__ = ["BPNet", "ChromBPNet"]
