"""Networks of 2022 to 2025 for `real_architectures`, written anew from their papers at small widths and lengths."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Separable(nn.Module):
    """A convolution of each channel, and a pointwise one."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, groups=channels, padding="same", bias=False)
        self.pointwise = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


def _normed(before: int, after: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm1d(before, eps=1e-3),
        nn.GELU(approximate="tanh"),
        nn.Conv1d(before, after, kernel, padding="same"),
    )


class RelativeAttention(nn.Module):
    """Attention of positions (n, L, C) with keys for relative distances, shifted into place."""

    def __init__(self, channels: int, heads: int, features: int) -> None:
        super().__init__()
        self.heads, self.features = heads, features
        self.query, self.key, self.value = (nn.Linear(channels, channels, bias=False) for _ in range(3))
        self.distance_key, self.out = nn.Linear(features, channels, bias=False), nn.Linear(channels, channels)
        self.content_bias, self.distance_bias = (
            nn.Parameter(torch.randn(1, heads, 1, channels // heads)) for _ in "ab"
        )

    def forward(self, x: Tensor) -> Tensor:
        n, length, channels = x.shape
        each = channels // self.heads
        query, key, value = (
            layer(x).view(n, length, self.heads, each).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        distances = torch.arange(1 - length, length, dtype=x.dtype)
        half_lives = 2.0 ** torch.arange(1, self.features + 1, dtype=x.dtype)
        decay = torch.exp(-math.log(2.0) / half_lives * distances.abs()[:, None])
        keys = self.distance_key(decay).view(-1, self.heads, each).transpose(0, 1)
        relative = torch.einsum("bhid,hjd->bhij", query * each**-0.5 + self.distance_bias, keys)
        shifted = F.pad(relative, (1, 0)).reshape(n, self.heads, -1, length)[:, :, 1:]
        shifted = shifted.reshape(n, self.heads, length, 2 * length - 1)[..., :length]
        logits = torch.einsum("bhid,bhjd->bhij", query * each**-0.5 + self.content_bias, key) + shifted
        mixed = torch.einsum("bhij,bhjd->bhid", logits.softmax(-1), value)
        return self.out(mixed.transpose(1, 2).reshape(n, length, channels))


class Borzoi(nn.Module):
    """Linder et al. 2025: a tower of pools, attention, and steps upwards that add what the tower had."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(4, 6, 7, padding="same"), nn.MaxPool1d(2))
        self.tower = _normed(6, 8, 5)
        self.lower = nn.Sequential(nn.MaxPool1d(2), _normed(8, 8, 5))
        self.attention = nn.Sequential(nn.LayerNorm(8, eps=1e-3), RelativeAttention(8, 2, 4))
        self.dense = nn.Sequential(nn.LayerNorm(8, eps=1e-3), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
        self.up = nn.ModuleList(nn.Sequential(_normed(8, 8, 1), nn.Upsample(scale_factor=2)) for _ in range(2))
        self.across = nn.ModuleList(_normed(8, 8, 1) for _ in range(2))
        self.separable = nn.ModuleList(Separable(8, 3) for _ in range(2))
        self.joined, self.head = _normed(8, 10, 1), nn.Conv1d(10, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        high = self.tower(self.first(x))
        low = self.lower(high)
        x = F.max_pool1d(low, 2).permute(0, 2, 1)
        x = x + self.attention(x)
        x = (x + self.dense(x)).permute(0, 2, 1)
        for level, skipped in enumerate((low, high)):
            x = self.up[level](x)
            x += self.across[level](skipped)
            x = self.separable[level](x)
        x = F.gelu(self.joined(x[:, :, 3:-3]), approximate="tanh")
        return F.softplus(self.head(x.float() if x.dtype == torch.float16 else x))


class LegNetBlock(nn.Module):
    """A pointwise step up, a convolution of each channel, a gate of all positions, a pointwise step down."""

    def __init__(self, channels: int, inner: int, kernel: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Conv1d(channels, inner, 1, bias=False), nn.BatchNorm1d(inner), nn.SiLU())
        self.depthwise = nn.Sequential(
            nn.Conv1d(inner, inner, kernel, groups=inner, padding="same", bias=False), nn.BatchNorm1d(inner), nn.SiLU()
        )
        self.gate = nn.Sequential(nn.Linear(inner, 3), nn.SiLU(), nn.Linear(3, inner), nn.Sigmoid())
        self.down = nn.Sequential(nn.Conv1d(inner, channels, 1, bias=False), nn.BatchNorm1d(channels), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.up(x))
        n, channels, _ = y.shape
        gate = self.gate(y.view(n, channels, -1).mean(dim=2)).view(n, channels, 1)
        return torch.cat([self.down(y * gate), x], dim=1)


class LegNet(nn.Module):
    """Penzar et al. 2023, as Agarwal et al. 2025 trained it on MPRAs."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv1d(4, 6, 5, padding="same", bias=False), nn.BatchNorm1d(6), nn.SiLU()]
        for before, after in ((6, 8), (8, 10)):
            layers += [
                LegNetBlock(before, 2 * before, 3),
                nn.Conv1d(2 * before, after, 3, padding="same", bias=False),
                nn.BatchNorm1d(after),
                nn.SiLU(),
                nn.MaxPool1d(2),
            ]
        self.body = nn.Sequential(*layers, nn.BatchNorm1d(10), nn.Conv1d(10, 12, 1))
        self.head = nn.Sequential(nn.Linear(12, 12), nn.BatchNorm1d(12), nn.SiLU(), nn.Linear(12, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool1d(self.body(x), 1).squeeze(-1)
        return self.head(x).squeeze(-1)


class GroupedLinear(nn.Module):
    """A dense layer for each of several groups of features, in one product of batches."""

    def __init__(self, before: int, after: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.randn(groups, before, after) / before**0.5)
        self.bias = nn.Parameter(torch.randn(groups, 1, after))

    def forward(self, x: Tensor) -> Tensor:
        by_group = x.reshape(len(x), self.groups, -1).transpose(0, 1)
        return torch.add(torch.bmm(by_group, self.weight), self.bias).transpose(0, 1).flatten(1)


class Malinois(nn.Module):
    """Gosai et al. 2024: Basset's convolutions, one dense layer, and a branch of dense layers for each cell type."""

    def __init__(self, length: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, kernel, pool in ((4, 6, 9, 3), (6, 6, 5, 4), (6, 8, 3, 1)):
            layers += [
                nn.ConstantPad1d(kernel // 2, 0.0), nn.Conv1d(before, after, kernel), nn.BatchNorm1d(after), nn.ReLU(),
                *([nn.MaxPool1d(pool)] if pool > 1 else []),
            ]  # fmt: skip
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.shared = nn.Sequential(nn.Linear(8 * (length // 12), 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Dropout(0.1))
        self.first, self.second, self.last = GroupedLinear(10, 5, 3), GroupedLinear(5, 5, 3), GroupedLinear(5, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared(self.body(x)).repeat(1, 3)
        return self.last(self.second(self.first(x).relu()).relu())


class Sei(nn.Module):
    """Chen et al. 2022: linear and nonlinear paths that add up, dilated convolutions, splines over positions."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.linear = nn.ModuleList(
            nn.Sequential(*([nn.MaxPool1d(4, 4), nn.Dropout(0.2)] if index else []), *self._pair(before, after))
            for index, (before, after) in enumerate(((4, 6), (6, 8)))
        )
        self.nonlinear = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, width, 5, padding=2), nn.ReLU(), nn.Conv1d(width, width, 5, padding=2), nn.ReLU()
            )
            for width in (6, 8)
        )
        self.dilated = nn.ModuleList(
            nn.Sequential(nn.Dropout(0.1), nn.Conv1d(8, 8, 3, dilation=2**i, padding=2**i), nn.ReLU()) for i in range(3)
        )
        positions = torch.linspace(0, 1, length // 4)[:, None]
        self.register_buffer("splines", torch.exp(-((positions - torch.linspace(0, 1, 4)) ** 2) * 8))
        self.classes = nn.Sequential(nn.Linear(8 * 4, 9), nn.ReLU(), nn.Linear(9, 5), nn.Sigmoid())

    def _pair(self, before: int, after: int) -> tuple[nn.Module, nn.Module]:
        return nn.Conv1d(before, after, 5, padding=2), nn.Conv1d(after, after, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        total = self.linear[0](x)
        total = self.nonlinear[0](total) + total
        total = self.linear[1](total)
        total = self.nonlinear[1](total) + total
        for layer in self.dilated:
            total = total + layer(total)
        return self.classes(torch.matmul(total, self.splines).view(len(x), -1))


class ProCapNet(nn.Module):
    """Cochran et al. 2024: BPNet's body, both strands' profiles under one softmax, counts of both."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 6, 9)
        self.dilated = nn.ModuleList(nn.Conv1d(6, 6, 3, padding=2**i, dilation=2**i) for i in range(1, 4))
        self.profile, self.count = nn.Conv1d(6, 2, 11), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.first(x))
        for layer in self.dilated:
            x = torch.add(x, F.relu(layer(x)))
        profile = self.profile(x)
        profile = F.log_softmax(profile.reshape(len(x), -1), dim=-1).reshape(profile.shape)
        return profile, self.count(torch.mean(x, dim=2)).reshape(len(x), 1)


class DragoNNFruit(nn.Module):
    """Nair et al. 2023: a cell's state sets the biases of the dilated convolutions; its depth and a bias add up."""

    def __init__(self) -> None:
        super().__init__()
        self.controller = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 5))
        self.first, self.profile = nn.Conv1d(4, 6, 9, padding=4), nn.Conv1d(6, 1, 11, padding=5)
        self.dilated = nn.ModuleList(nn.Conv1d(6, 6, 3, padding=2**i, dilation=2**i, bias=False) for i in range(1, 4))
        self.biases = nn.ModuleList(nn.Linear(5, 6) for _ in range(3))
        self.bias = nn.Sequential(nn.Conv1d(4, 3, 7, padding=3), nn.ReLU(), nn.Conv1d(3, 1, 5, padding=2))

    def forward(self, x: Tensor, state: Tensor, depth: Tensor) -> Tensor:
        controlled, hidden = self.controller(state), self.first(x).relu()
        for layer, bias in zip(self.dilated, self.biases, strict=True):
            hidden = hidden + (layer(hidden) + bias(controlled).unsqueeze(-1)).relu()
        return depth + (self.bias(x) + self.profile(hidden))[:, 0, 12:-12]


class TokenModel(nn.Module):
    """Lin et al. 2023 (ESM) and its like: tokens are embedded and attend to each other; logits for every token."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, 8)
        self.norm, self.attention = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.dense = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, tokens)

    def forward(self, inputs_embeds: Tensor) -> Tensor:
        x = self.norm(inputs_embeds)
        x = inputs_embeds + self.attention(x, x, x, need_weights=False)[0]
        return self.head(x + self.dense(x))


class OneHotTokens(nn.Module):
    """A token model that takes one-hot letters, between a token of the beginning and one of the end."""

    def __init__(self, model: TokenModel, letters: list[int], first: int, last: int) -> None:
        super().__init__()
        self.model, self.letters, self.ends = model, letters, (first, last)

    def forward(self, x: Tensor) -> Tensor:
        table = self.model.embedding.weight
        first, last = (table[end].expand(len(x), 1, -1) for end in self.ends)
        embedded = torch.cat([first, x.transpose(1, 2) @ table[self.letters], last], dim=1)
        return self.model(inputs_embeds=embedded)[:, 1:-1, self.letters]


class WeightedProfile(nn.Module):
    """The logits of a profile, weighted by their softmax and added up, as bpnet-lite's wrapper has it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model(x)[0].flatten(1)
        logits = logits - torch.mean(logits, dim=-1, keepdim=True)
        return (logits * F.softmax(logits, dim=-1)).sum(dim=-1, keepdim=True)
