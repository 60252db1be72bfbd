"""BPNet with the names of bpnet-lite's weights, and the wrappers."""

import torch
from torch import Tensor, nn


class BPNet(nn.Module):
    def __init__(
        self,
        n_filters: int = 64,
        n_layers: int = 8,
        n_outputs: int = 2,
        n_control_tracks: int = 2,
        profile_output_bias: bool = True,
        count_output_bias: bool = True,
        trimming: int | None = None,
        verbose: bool = True,
    ) -> None:
        super().__init__()
        self.n_control_tracks = n_control_tracks
        self.trimming = 9 + sum(2**i for i in range(1, n_layers + 1)) if trimming is None else trimming
        self.iconv = nn.Conv1d(4, n_filters, 7, padding=3)
        self.rconvs = nn.ModuleList(
            nn.Conv1d(n_filters, n_filters, 3, padding=2**i, dilation=2**i) for i in range(1, n_layers + 1)
        )
        self.fconv = nn.Conv1d(n_filters + n_control_tracks, n_outputs, 9, padding=4, bias=profile_output_bias)
        self.linear = nn.Linear(n_filters + (n_control_tracks > 0), 1, bias=count_output_bias)

    def forward(self, x: Tensor, x_ctl: Tensor | None = None) -> tuple[Tensor, Tensor]:
        start, stop = self.trimming, x.shape[2] - self.trimming
        x = self.iconv(x).relu()
        for layer in self.rconvs:
            x = torch.add(x, layer(x).relu())
        joined = x if x_ctl is None else torch.cat([x, x_ctl], dim=1)
        profile, pooled = self.fconv(joined)[:, :, start:stop], torch.mean(x[:, :, start:stop], dim=2)
        if x_ctl is not None:
            pooled = torch.cat([pooled, torch.log(x_ctl.sum(dim=(1, 2)).unsqueeze(-1) + 1)], dim=-1)
        return profile, self.linear(pooled).reshape(len(x), 1)


class ControlWrapper(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, x_ctl: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if x_ctl is None and self.model.n_control_tracks:
            x_ctl = torch.zeros(len(x), self.model.n_control_tracks, x.shape[-1], dtype=x.dtype, device=x.device)
        return self.model(x) if x_ctl is None else self.model(x, x_ctl)


class CountWrapper(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, x_ctl: Tensor | None = None, **further: Tensor) -> Tensor:
        return self.model(x, x_ctl, **further)[1]


class ProfileWrapper(CountWrapper):
    def forward(self, x: Tensor, x_ctl: Tensor | None = None, **further: Tensor) -> Tensor:
        logits = self.model(x, x_ctl, **further)[0].flatten(1)
        logits = logits - torch.mean(logits, dim=-1, keepdims=True)
        return (logits * logits.softmax(dim=-1)).sum(dim=-1, keepdims=True)
