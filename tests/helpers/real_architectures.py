"""Published architectures, written anew from their papers at small widths and lengths.

Depth, order of layers, padding, pooling, joins and heads are those of the papers; channels, kernels and lengths are
small enough for every mutation to be a full pass in a test.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from random_models import randomised
from recent_networks import (
    Borzoi,
    DragoNNFruit,
    LegNet,
    Malinois,
    OneHotTokens,
    ProCapNet,
    Sei,
    TokenModel,
    WeightedProfile,
)


class BPNet(nn.Module):
    """Avsec et al. 2021, as bpnet-lite has it: dilated residual convolutions, profile logits and a log count.

    With control tracks (n, tracks, L), the profile head reads them as channels, the count head their logged sum.
    """

    def __init__(self, *, controls: int = 0, filters: int = 6, layers: int = 4, trimming: int = 12) -> None:
        super().__init__()
        self.trimming = trimming
        self.first = nn.Conv1d(4, filters, 9, padding=4)
        self.dilated = nn.ModuleList(
            nn.Conv1d(filters, filters, 3, padding=2**i, dilation=2**i) for i in range(1, layers + 1)
        )
        self.profile = nn.Conv1d(filters + controls, 2, 11, padding=5)
        self.count = nn.Linear(filters + (controls > 0), 1)

    def forward(self, x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor]:
        start, stop = self.trimming, x.shape[2] - self.trimming
        x = self.first(x).relu()
        for layer in self.dilated:
            x = x + layer(x).relu()
        joined = x if control is None else torch.cat([x, control], dim=1)
        profile = self.profile(joined)[:, :, start:stop]
        pooled = x[:, :, start - 5 : stop + 5].mean(dim=2)
        if control is not None:
            total = control[:, :, start - 5 : stop + 5].sum(dim=(1, 2)).unsqueeze(-1)
            pooled = torch.cat([pooled, torch.log(total + 1)], dim=-1)
        return profile, self.count(pooled)


class ValidBPNet(nn.Module):
    """ChromBPNet's half: convolutions without padding, skip connections cropped to match."""

    def __init__(self, filters: int, layers: int, out: int) -> None:
        super().__init__()
        self.out = out
        self.first = nn.Conv1d(4, filters, 11)
        self.dilated = nn.ModuleList(nn.Conv1d(filters, filters, 3, dilation=2**i) for i in range(1, layers + 1))
        self.profile = nn.Conv1d(filters, 1, 15)
        self.count = nn.Linear(filters, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.first(x))
        for layer in self.dilated:
            y = F.relu(layer(x))
            crop = (x.shape[-1] - y.shape[-1]) // 2
            x = x[..., crop:-crop] + y
        profile = self.profile(x).squeeze(1)
        crop = (profile.shape[-1] - self.out) // 2
        return profile[:, crop : crop + self.out], self.count(F.adaptive_avg_pool1d(x, 1).flatten(1))


class ChromBPNet(nn.Module):
    """Pampari et al. 2024: profile logits of bias and accessibility add up, and so do their counts."""

    def __init__(self) -> None:
        super().__init__()
        self.bias, self.accessibility = ValidBPNet(3, 2, 30), ValidBPNet(6, 3, 30)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        bias_profile, bias_count = self.bias(x)
        profile, count = self.accessibility(x)
        total = torch.logsumexp(torch.cat([count, bias_count], dim=-1), dim=-1, keepdim=True)
        return {"profile": profile + bias_profile, "count": total}


class DeepSEA(nn.Module):
    """Zhou and Troyanskaya 2015: two-dimensional convolutions over images one pixel high."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(4, 8, (1, 8)),
            nn.Threshold(0, 1e-6),
            nn.MaxPool2d((1, 4), (1, 4)),
            nn.Dropout(0.2),
            nn.Conv2d(8, 10, (1, 5)),
            nn.Threshold(0, 1e-6),
            nn.MaxPool2d((1, 4), (1, 4)),
            nn.Dropout(0.2),
            nn.Conv2d(10, 12, (1, 3)),
            nn.Threshold(0, 1e-6),
            nn.Dropout(0.5),
        )
        self.dense = nn.Sequential(nn.Linear(12 * 2, 11), nn.ReLU(), nn.Linear(11, 5), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolutions(x.unsqueeze(2))
        return self.dense(x.view(x.size(0), -1))


class Beluga(nn.Module):
    """Zhou et al. 2018 (ExPecto): DeepSEA with two convolutions before each pool."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(4, 6, (1, 8)),
            nn.ReLU(),
            nn.Conv2d(6, 6, (1, 8)),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.MaxPool2d((1, 4), (1, 4)),
            nn.Conv2d(6, 8, (1, 3)),
            nn.ReLU(),
            nn.Conv2d(8, 8, (1, 3)),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.MaxPool2d((1, 4), (1, 4)),
            nn.Conv2d(8, 10, (1, 2)),
            nn.ReLU(),
        )
        self.dense = nn.Sequential(nn.Linear(10 * 2, 9), nn.ReLU(), nn.Linear(9, 4), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolutions(x[:, :, None, :])
        return self.dense(x.reshape(x.shape[0], -1))


class DanQ(nn.Module):
    """Quang and Xie 2016: a convolution, a wide pool, a bidirectional LSTM, dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(4, 8, 13)
        self.lstm = nn.LSTM(8, 5, batch_first=True, bidirectional=True)
        self.hidden, self.out = nn.Linear(10 * 9, 7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool1d(self.convolution(x).relu(), 7, 7)
        x, _ = self.lstm(F.dropout(x, 0.2, self.training).permute(0, 2, 1))
        x = self.hidden(F.dropout(x, 0.5, self.training).flatten(1)).relu()
        return torch.sigmoid(self.out(x))


class SpliceAIBlock(nn.Module):
    """Norm, ReLU, convolution, twice, and the skip."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            nn.Conv1d(channels, channels, kernel, dilation=dilation, padding="same"),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            nn.Conv1d(channels, channels, kernel, dilation=dilation, padding="same"),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class SpliceAI(nn.Module):
    """Jaganathan et al. 2019: residual blocks, skips of four stages added up, context cropped, classes."""

    def __init__(self, context: int, *, crop_by_padding: bool) -> None:
        super().__init__()
        channels = 6
        self.context, self.crop_by_padding = context, crop_by_padding
        self.first, self.first_skip = nn.Conv1d(4, channels, 1), nn.Conv1d(channels, channels, 1)
        stages = ((5, 1), (5, 2), (7, 3), (9, 4))
        self.stages = nn.ModuleList(
            nn.Sequential(*(SpliceAIBlock(channels, *stage) for _ in range(2))) for stage in stages
        )
        self.skips = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in stages)
        self.classes = nn.Conv1d(channels, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        total = self.first_skip(x)
        for stage, skip in zip(self.stages, self.skips, strict=True):
            x = stage(x)
            total = total + skip(x)
        half = self.context // 2
        total = F.pad(total, (-half, -half)) if self.crop_by_padding else total[:, :, half:-half]
        return F.softmax(self.classes(total), dim=1)


class BasenjiBlock(nn.Module):
    """A dilated convolution and a pointwise one, each normalised, with dropout, added to what came in."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(channels, channels // 2, 3, dilation=dilation, padding=dilation, bias=False)
        self.pointwise = nn.Conv1d(channels // 2, channels, 1, bias=False)
        self.norm, self.last_norm = nn.BatchNorm1d(channels // 2), nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dilated(F.gelu(x, approximate="tanh")))
        y = self.last_norm(self.pointwise(F.gelu(y, approximate="tanh")))
        return x + F.dropout(y, 0.3, self.training)


class Basenji(nn.Module):
    """Kelley et al. 2018 and 2020: a tower of pools, dilated residual blocks, a crop, dense on channels, softplus."""

    def __init__(self) -> None:
        super().__init__()
        widths = (4, 6, 8, 8)
        self.tower = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv1d(before, after, 5, padding=2, bias=False),
                    nn.BatchNorm1d(after),
                    nn.GELU(approximate="tanh"),
                    nn.MaxPool1d(2),
                )
                for before, after in itertools.pairwise(widths)
            )
        )
        self.blocks = nn.Sequential(*(BasenjiBlock(8, dilation) for dilation in (1, 2, 3)))
        self.pointwise, self.norm = nn.Conv1d(8, 10, 1), nn.BatchNorm1d(10)
        self.dense = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.tower(x))[:, :, 2:-2]
        x = F.gelu(self.norm(self.pointwise(F.gelu(x, approximate="tanh"))), approximate="tanh")
        return F.softplus(self.dense(x.transpose(1, 2)))


class SoftmaxPool(nn.Module):
    """Enformer's attention pooling: pairs of positions, weighted by a softmax for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_logits = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        n, c, length = x.shape
        pairs = x.reshape(n, c, length // 2, 2)
        return (pairs * self.to_logits(pairs).softmax(dim=-1)).sum(dim=-1)


class Residual(nn.Module):
    """Layers, and what came in."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class SelfAttention(nn.Module):
    """Attention of positions (n, L, C) to each other, with relative distances as a bias."""

    def __init__(self, channels: int, heads: int, length: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))
        distance = torch.arange(length)[:, None] - torch.arange(length)
        self.register_buffer("bias", -torch.linspace(0.1, 1, heads)[:, None, None] * distance.abs())

    def forward(self, x: Tensor) -> Tensor:
        n, length, channels = x.shape
        query, key, value = (
            layer(x).view(n, length, self.heads, channels // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        weights = (query @ key.transpose(-1, -2) / (channels // self.heads) ** 0.5 + self.bias).softmax(dim=-1)
        return self.out((weights @ value).transpose(1, 2).reshape(n, length, channels))


def _conv_block(before: int, after: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(before), nn.GELU(), nn.Conv1d(before, after, kernel, padding=kernel // 2))


class Enformer(nn.Module):
    """Avsec et al. 2021: stem, tower with attention pooling, transformer, crop, pointwise, a head for each organism."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(4, 6, 9, padding=4), Residual(_conv_block(6, 6, 1)), SoftmaxPool(6))
        self.tower = nn.Sequential(_conv_block(6, 8, 5), Residual(_conv_block(8, 8, 1)), SoftmaxPool(8))
        self.transformer = nn.Sequential(
            Residual(nn.LayerNorm(8), SelfAttention(8, 2, length // 4), nn.Dropout(0.4)),
            Residual(nn.LayerNorm(8), nn.Linear(8, 16), nn.Dropout(0.4), nn.ReLU(), nn.Linear(16, 8)),
        )
        self.pointwise = _conv_block(8, 12, 1)
        self.heads = nn.ModuleDict(
            {
                "human": nn.Sequential(nn.Linear(12, 4), nn.Softplus()),
                "mouse": nn.Sequential(nn.Linear(12, 3), nn.Softplus()),
            }
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.tower(self.stem(x))
        x = self.transformer(x.transpose(1, 2))[:, 3:-3]
        x = F.gelu(self.pointwise(x.transpose(1, 2)).transpose(1, 2))
        return {name: head(x) for name, head in self.heads.items()}


class DeepSTARR(nn.Module):
    """De Almeida et al. 2022: four convolutions with pools, two dense layers, two enhancer activities."""

    def __init__(self, length: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, kernel in ((4, 8, 7), (8, 5, 3), (5, 5, 5), (5, 6, 3)):
            layers += [
                nn.Conv1d(before, after, kernel, padding="same"),
                nn.BatchNorm1d(after),
                nn.ReLU(),
                nn.MaxPool1d(2),
            ]
        layers.append(nn.Flatten())
        for before, after in ((6 * (length // 16), 9), (9, 9)):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(0.4)]
        self.body = nn.Sequential(*layers)
        self.developmental, self.housekeeping = nn.Linear(9, 1), nn.Linear(9, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.body(x)
        return {"developmental": self.developmental(x), "housekeeping": self.housekeeping(x)}


class SqueezeExcitationBlock(nn.Module):
    """Hu et al. 2018: a residual block whose channels are scaled by what is everywhere."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm1d(channels),
            nn.SiLU(),
            nn.Conv1d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm1d(channels),
        )
        self.gate = nn.Sequential(nn.Linear(channels, 2), nn.ReLU(), nn.Linear(2, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return F.relu(x + y * self.gate(F.adaptive_avg_pool1d(y, 1).squeeze(2)).unsqueeze(2))


class SqueezeExcitationResNet(nn.Module):
    """Two squeeze-excitation blocks with a strided convolution between them, and a global maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down = nn.Conv1d(4, 6, 7, padding=3), nn.Conv1d(6, 8, 3, stride=2, padding=1)
        self.first, self.second = SqueezeExcitationBlock(6), SqueezeExcitationBlock(8)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.down(self.first(F.relu(self.stem(x)))))
        return self.out(x.amax(dim=2))


class ProfileTimesCount(nn.Module):
    """Two heads, of which the count comes back: expected counts at each position."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(4, 6, 7, padding=3), nn.ReLU(), nn.Conv1d(6, 6, 3, padding=4, dilation=4))
        self.profile, self.count = nn.Conv1d(6, 1, 5, padding=2), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(x).relu()
        count = F.softplus(self.count(x.mean(dim=-1)))
        return self.profile(x).squeeze(1).softmax(dim=-1) * count, count


class RecurrentOnly(nn.Module):
    """Two layers of LSTM over the letters; the last state decides."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(4, 6, num_layers=2, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(x.transpose(1, 2))
        return self.out(hidden[-1])


class BothStrands(nn.Module):
    """A network run on both strands, its outputs averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(4, 6, 7, padding=3), nn.ELU(), nn.MaxPool1d(4), nn.Conv1d(6, 2, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + self.body(x.flip(dims=(1, 2))).flip(dims=(2,))) / 2


@dataclass(frozen=True)
class Architecture:
    """How to build a network, the length that it takes, and the shapes of its further inputs without the batch."""

    make: Callable[[], nn.Module]
    length: int
    extras: tuple[tuple[int, ...], ...] = ()

    def build(self) -> nn.Module:
        """Return the network, seeded, in inference mode, with norms that change the result."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = self.make().eval()
            for part in module.modules():
                if isinstance(part, nn.BatchNorm1d | nn.LayerNorm):
                    randomised(part)
        return module


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "BPNet": Architecture(BPNet, 70),
        "BPNet with controls": Architecture(lambda: BPNet(controls=2), 70, ((2, 70),)),
        "ChromBPNet": Architecture(ChromBPNet, 90),
        "DeepSEA": Architecture(DeepSEA, 90),
        "Beluga": Architecture(Beluga, 80),
        "DanQ": Architecture(DanQ, 75),
        "SpliceAI, cropped by slicing": Architecture(lambda: SpliceAI(40, crop_by_padding=False), 70),
        "SpliceAI, cropped by padding": Architecture(lambda: SpliceAI(40, crop_by_padding=True), 70),
        "Basenji": Architecture(Basenji, 96),
        "Enformer": Architecture(lambda: Enformer(64), 64),
        "DeepSTARR": Architecture(lambda: DeepSTARR(85), 85),
        "squeeze-excitation ResNet": Architecture(SqueezeExcitationResNet, 60),
        "profile times count": Architecture(ProfileTimesCount, 60),
        "LSTM only": Architecture(RecurrentOnly, 40),
        "both strands": Architecture(BothStrands, 60),
        "bpnet-lite's weighted profile": Architecture(lambda: WeightedProfile(BPNet()), 70),
        "Borzoi": Architecture(Borzoi, 64),
        "LegNet": Architecture(LegNet, 50),
        "Malinois": Architecture(lambda: Malinois(60), 60),
        "Sei": Architecture(lambda: Sei(64), 64),
        "ProCapNet": Architecture(ProCapNet, 70),
        "DragoNNFruit": Architecture(DragoNNFruit, 60, ((3,), (1,))),
        "ESM": Architecture(lambda: OneHotTokens(TokenModel(9), [4, 6, 5, 7], 0, 2), 24),
    }
)
