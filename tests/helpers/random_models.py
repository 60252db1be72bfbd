"""Random torch models from plain descriptions, which print as what rebuilds them and shrink to the smallest.

A layer takes and gives (sequences, channels, positions). What does not fit the tensor that arrives, such as a kernel
wider than the sequence, is clamped when the layer runs, so that every description is a model.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

GAIN = 1.7
"""Torch's own initial weights times this keep activations from fading over the layers."""
EPSILON = 0.1
"""Of every norm: as wide as this, rounding is not blown up where the activations are constant."""


class Pass:
    """One pass through a model: its extra inputs, and its modules in the order in which the layers ask for them."""

    def __init__(self, modules: nn.ModuleList, extras: dict[str, Tensor]) -> None:
        self.modules, self.extras, self.place = modules, extras, 0

    def module(self, make: Callable[[], nn.Module]) -> nn.Module:
        """Return the next module; the first pass makes it."""
        if self.place == len(self.modules):
            self.modules.append(make().double().eval())
        self.place += 1
        return self.modules[self.place - 1]

    def match_channels(self, x: Tensor, channels: int) -> Tensor:
        """Return `x` with this number of channels; one channel is left to be broadcast."""
        if x.shape[1] in (1, channels):
            return x
        mapped: Tensor = self.module(lambda: nn.Conv1d(x.shape[1], channels, 1))(x)
        return mapped


@dataclass(frozen=True)
class Layer:
    """A description that can be run."""

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        raise NotImplementedError


Layers = tuple[Layer, ...]


def apply(layers: Layers, x: Tensor, run: Pass) -> Tensor:
    for layer in layers:
        x = layer(x, run)
    return x


def fit(x: Tensor, length: int) -> Tensor:
    """Return the middle `length` positions, padded where there are fewer."""
    surplus = x.shape[2] - length
    if surplus < 0:
        return F.pad(x, (-surplus // 2, -surplus - -surplus // 2))
    return x[:, :, surplus // 2 : surplus // 2 + length] if surplus else x


def clamped_kernel(kernel: int, dilation: int, available: int) -> tuple[int, int]:
    """Return the kernel and dilation nearest to these that fit this number of positions."""
    kernel = min(kernel, available)
    return kernel, max(1, min(dilation, (available - 1) // max(1, kernel - 1)))


@dataclass(frozen=True)
class Convolution(Layer):
    channels: int = 1
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    padding: Literal["valid", "same"] | int | tuple[int, int] = "valid"
    groups: Literal["one", "two", "depthwise"] = "one"
    in_two_dimensions: bool = False

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        padding: int | str | tuple[int, int] = self.padding
        if isinstance(padding, tuple):
            x, padding = F.pad(x, padding), 0
        channels, length = x.shape[1:]
        groups = {"one": 1, "two": 2 - channels % 2, "depthwise": channels}[self.groups]
        out = -(-self.channels // groups) * groups
        stride = 1 if padding == "same" else self.stride
        kernel, dilation = self.kernel, self.dilation
        if padding != "same":
            around = 2 * padding if isinstance(padding, int) else 0
            kernel, dilation = clamped_kernel(kernel, dilation, length + around)
        if not self.in_two_dimensions:
            y: Tensor = run.module(
                lambda: nn.Conv1d(channels, out, kernel, stride, padding, dilation, groups)  # type: ignore[arg-type]
            )(x)
            return y
        flat = (0, padding) if isinstance(padding, int) else padding
        y = run.module(
            lambda: nn.Conv2d(channels, out, (1, kernel), (1, stride), flat, (1, dilation), groups)  # type: ignore[arg-type]
        )(x.unsqueeze(2))
        return y.squeeze(2)


@dataclass(frozen=True)
class AlphabetConvolution(Layer):
    """A convolution over images one channel deep and as high as there are channels."""

    channels: int = 1
    kernel: int = 1

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        size = (x.shape[1], min(self.kernel, x.shape[2]))
        y: Tensor = run.module(lambda: nn.Conv2d(1, self.channels, size))(x.unsqueeze(1))
        return y.squeeze(2)


@dataclass(frozen=True)
class TransposedConvolution(Layer):
    channels: int = 1
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    output_padding: int = 0
    groups: Literal["one", "two"] = "one"

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        channels, length = x.shape[1:]
        groups = 1 if self.groups == "one" else 2 - channels % 2
        out = -(-self.channels // groups) * groups
        extra = min(self.output_padding, max(self.stride, self.dilation) - 1)
        full = (length - 1) * self.stride + self.dilation * (self.kernel - 1) + extra + 1
        padding = min(self.padding, (full - 1) // 2)
        y: Tensor = run.module(
            lambda: nn.ConvTranspose1d(
                channels, out, self.kernel, self.stride, padding, extra, groups, dilation=self.dilation
            )
        )(x)
        return y


@dataclass(frozen=True)
class Pool(Layer):
    kind: Literal["max", "average", "power"] = "max"
    kernel: int = 2
    stride: int = 2
    dilation: int = 1
    padding: int = 0
    ceil: bool = False
    count_padding: bool = True
    in_two_dimensions: bool = False

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        dilation = self.dilation if self.kind == "max" else 1
        kernel, dilation = clamped_kernel(self.kernel, dilation, x.shape[2])
        padding = min(self.padding, kernel // 2)
        if self.kind == "power":
            return F.lp_pool1d(x.abs() + EPSILON, 2, kernel, self.stride, self.ceil)
        if self.in_two_dimensions:
            sizes = (1, kernel), (1, self.stride), (0, padding)
            if self.kind == "max":
                return F.max_pool2d(x.unsqueeze(2), *sizes, (1, dilation), self.ceil).squeeze(2)
            return F.avg_pool2d(x.unsqueeze(2), *sizes, self.ceil, self.count_padding).squeeze(2)
        if self.kind == "max":
            return F.max_pool1d(x, kernel, self.stride, padding, dilation, self.ceil)
        return F.avg_pool1d(x, kernel, self.stride, padding, self.ceil, self.count_padding)


@dataclass(frozen=True)
class AdaptivePool(Layer):
    kind: Literal["max", "average"] = "max"
    size: int = 1

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        pool = F.adaptive_max_pool1d if self.kind == "max" else F.adaptive_avg_pool1d
        return pool(x, min(self.size, x.shape[2]))


@dataclass(frozen=True)
class Reduction(Layer):
    """Over all positions (axis 2) or channels (1), which stay as one."""

    how: Literal["mean", "sum", "max", "min", "logsumexp", "variance"] = "mean"
    axis: Literal[1, 2] = 2

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        return REDUCTIONS[self.how](x, self.axis)


REDUCTIONS: MappingProxyType[str, Callable[[Tensor, int], Tensor]] = MappingProxyType(
    {
        "mean": lambda x, axis: x.mean(axis, keepdim=True),
        "sum": lambda x, axis: x.sum((axis,), keepdim=True),
        "max": lambda x, axis: x.amax(axis, keepdim=True),
        "min": lambda x, axis: x.amin(axis, keepdim=True),
        "logsumexp": lambda x, axis: x.logsumexp(axis, keepdim=True),
        "variance": lambda x, axis: x.var(axis, correction=0, keepdim=True),
    }
)


@dataclass(frozen=True)
class Norm(Layer):
    kind: Literal["batch", "layer", "group", "instance", "root mean square", "weight"] = "batch"

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        channels, length = x.shape[1:]
        if self.kind == "layer":
            y: Tensor = run.module(lambda: randomised(nn.LayerNorm(channels, EPSILON)))(x.transpose(1, 2))
            return y.transpose(1, 2)
        if self.kind == "root mean square":
            y = run.module(lambda: randomised(nn.RMSNorm(channels, EPSILON)))(x.transpose(1, 2))
            return y.transpose(1, 2)
        if self.kind == "weight":
            y = run.module(lambda: nn.utils.parametrizations.weight_norm(nn.Conv1d(channels, channels, 1)))(x)
            return y
        if self.kind in ("group", "instance") and length == 1:
            return x
        y = run.module(
            lambda: {
                "batch": lambda: randomised(nn.BatchNorm1d(channels, EPSILON)),
                "group": lambda: randomised(nn.GroupNorm(2 - channels % 2, channels, EPSILON)),
                "instance": lambda: randomised(nn.InstanceNorm1d(channels, EPSILON, affine=True)),
            }[self.kind]()
        )(x)
        return y


def randomised(norm: nn.Module) -> nn.Module:
    """Give a norm parameters and statistics that change the result, so that leaving them out is caught."""
    for name, tensor in (*norm.named_parameters(), *norm.named_buffers()):
        if tensor.is_floating_point():
            low, high = (0.5, 1.5) if name == "running_var" else (-1.5, 1.5)
            tensor.data.uniform_(low, high)
    return norm


@dataclass(frozen=True)
class Activation(Layer):
    function: str = "relu"

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        return ACTIVATIONS[self.function](x, run)


ACTIVATIONS: MappingProxyType[str, Callable[[Tensor, Pass], Tensor]] = MappingProxyType(
    {
        "relu": lambda x, run: x.relu(),
        "relu in place": lambda x, run: F.relu(x + 0.1, inplace=True),
        "gelu": lambda x, run: F.gelu(x),
        "gelu by tanh": lambda x, run: F.gelu(x, approximate="tanh"),
        "gelu by sigmoid": lambda x, run: x * torch.sigmoid(1.702 * x),
        "silu": lambda x, run: F.silu(x),
        "elu": lambda x, run: F.elu(x, 0.7),
        "selu": lambda x, run: F.selu(x),
        "celu": lambda x, run: F.celu(x, 1.3),
        "mish": lambda x, run: F.mish(x),
        "softplus": lambda x, run: F.softplus(x, 2.0),
        "leaky relu": lambda x, run: F.leaky_relu(x, 0.2),
        "learnt leaky relu": lambda x, run: run.module(lambda: nn.PReLU(x.shape[1]))(x),
        "hard tanh": lambda x, run: F.hardtanh(x, -0.3, 0.4),
        "hard swish": lambda x, run: F.hardswish(x),
        "hard sigmoid": lambda x, run: F.hardsigmoid(x),
        "soft sign": lambda x, run: F.softsign(x),
        "tanh shrink": lambda x, run: F.tanhshrink(x),
        "log sigmoid": lambda x, run: F.logsigmoid(x),
        "sigmoid": lambda x, run: torch.sigmoid(x),
        "tanh": lambda x, run: torch.tanh(x),
        "sine": lambda x, run: x + torch.sin(2 * x) ** 2 / 2,
        "exponential": lambda x, run: torch.exp(x.clamp(-2, 2)),
        "logarithm": lambda x, run: torch.log(x.abs() + 0.2),
        "square": lambda x, run: x.tanh().square(),
        "root": lambda x, run: (x.abs() + 0.1).sqrt(),
        "reciprocal": lambda x, run: 1 / (1 + x * x),
        "negative": lambda x, run: 0.5 - x,
        "maximum with a number": lambda x, run: x.clamp(min=0.1),
        "where": lambda x, run: torch.where(x > 0, x, 0.1 * x),
        "gated halves": lambda x, run: F.glu(x, 1) if x.shape[1] % 2 == 0 else x,
    }
)


@dataclass(frozen=True)
class PositionWise(Layer):
    """A dense layer on the channels of each position."""

    channels: int = 1
    bias: bool = True
    by: Literal["layer", "Einstein sum"] = "layer"

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        layer = run.module(lambda: nn.Linear(x.shape[1], self.channels, self.bias))
        if self.by == "Einstein sum":
            return torch.einsum("ncl,dc->ndl", x, layer.weight)
        y: Tensor = layer(x.transpose(1, 2))
        return y.transpose(1, 2)


@dataclass(frozen=True)
class Crop(Layer):
    left: int = 1
    right: int = 0
    by: Literal["slice", "negative padding", "narrow"] = "slice"

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        left = min(self.left, x.shape[2] - 1)
        right = min(self.right, x.shape[2] - 1 - left)
        if self.by == "narrow":
            return x.narrow(2, left, x.shape[2] - left - right)
        return F.pad(x, (-left, -right)) if self.by == "negative padding" else x[:, :, left : x.shape[2] - right]


@dataclass(frozen=True)
class Pad(Layer):
    left: int = 1
    right: int = 0
    value: float = 0.0
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant"

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        if self.mode == "constant":
            return F.pad(x, (self.left, self.right), value=self.value)
        most = x.shape[2] - (self.mode == "reflect")
        return F.pad(x, (min(self.left, most), min(self.right, most)), mode=self.mode)


@dataclass(frozen=True)
class Slice(Layer):
    """Every step-th position."""

    start: int = 0
    step: int = 2

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        return x[:, :, min(self.start, x.shape[2] - 1) :: self.step]


@dataclass(frozen=True)
class Channels(Layer):
    """Some channels, or all in another order."""

    by: Literal["index", "split", "unbind"] = "index"

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        channels = x.shape[1]
        if self.by == "index":
            return x[:, [channels - 1, 0]]
        if self.by == "split":
            return torch.cat(x.split([channels // 2, channels - channels // 2], 1)[::-1], 1)
        return torch.stack(x.unbind(1)[::-1], 1)


@dataclass(frozen=True)
class Embed(Layer):
    """A look-up of each position's letter: only as the first layer, where no two channels tie."""

    channels: int = 1

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        y: Tensor = run.module(lambda: nn.Embedding(x.shape[1], self.channels))(x.argmax(1))
        return y.transpose(1, 2)


@dataclass(frozen=True)
class Flip(Layer):
    axes: tuple[int, ...] = (2,)

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        return x.flip(self.axes)


@dataclass(frozen=True)
class Upsample(Layer):
    factor: int = 2
    by: Literal["nearest", "linear", "repeat"] = "nearest"

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        if self.by == "repeat":
            return x.repeat_interleave(self.factor, 2)
        corners = None if self.by == "nearest" else False
        return F.interpolate(x, scale_factor=self.factor, mode=self.by, align_corners=corners)


@dataclass(frozen=True)
class Softmax(Layer):
    axis: Literal[1, 2] = 1
    logarithm: bool = False

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        return x.log_softmax(self.axis) if self.logarithm else x.softmax(self.axis)


@dataclass(frozen=True)
class Join(Layer):
    """Branches that meet; an empty branch is a skip connection."""

    how: str = "add"
    branches: tuple[Layers, ...] = ((), ())

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        parts = [apply(branch, x, run) for branch in self.branches]
        if self.how != "channels":
            channels = max(part.shape[1] for part in parts)
            parts = [run.match_channels(part, channels) for part in parts]
        if self.how == "positions":
            return torch.cat([part.expand(-1, channels, -1) for part in parts], 2)
        length = min((part.shape[2] for part in parts if part.shape[2] > 1), default=1)
        parts = [part if part.shape[2] == 1 else fit(part, length) for part in parts]
        if self.how == "channels" or self.how.startswith("stack"):
            parts = [part.expand(-1, -1, length) for part in parts]
        if self.how == "channels":
            return torch.cat(parts, 1)
        if self.how.startswith("stack"):
            parts = [part.expand(-1, channels, -1) for part in parts]
        return JOINS[self.how](parts[0], parts[1])


JOINS: MappingProxyType[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "add": lambda a, b: a + b,
        "subtract": lambda a, b: torch.sub(a, b, alpha=0.5),
        "multiply": lambda a, b: a * b,
        "divide": lambda a, b: a / (1 + b * b),
        "maximum": lambda a, b: torch.maximum(a, b),
        "stack, mean": lambda a, b: torch.stack([a, b]).mean(0),
        "stack, interleaved": lambda a, b: torch.stack([a, b], 2).flatten(1, 2),
        "stack, largest": lambda a, b: torch.stack([a, b], -1).amax(-1),
    }
)


@dataclass(frozen=True)
class BothStrands(Layer):
    """The same layers on the sequence and on its reverse complement, averaged."""

    layers: Layers = ()

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        place = run.place
        forward = apply(self.layers, x, run)
        run.place = place
        return (forward + apply(self.layers, x.flip(1, 2), run).flip(2)) / 2


@dataclass(frozen=True)
class AttentionPool(Layer):
    """Groups of positions, weighted by a softmax over each group."""

    size: int = 2

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        channels, length = x.shape[1:]
        x = F.pad(x, (0, -length % self.size))
        x = x.unflatten(2, (-1, self.size))
        logits: Tensor = run.module(lambda: nn.Conv2d(channels, channels, 1, bias=False))(x)
        return (x * logits.softmax(-1)).sum(-1)


@dataclass(frozen=True)
class Attention(Layer):
    by: Literal["module", "function", "products"] = "module"
    heads: int = 1

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        channels = x.shape[1]
        heads = self.heads if channels % self.heads == 0 else 1
        x = x.transpose(1, 2)
        if self.by == "module":
            attention = run.module(lambda: nn.MultiheadAttention(channels, heads, batch_first=True))
            y: Tensor = attention(x, x, x)[0]
            return y.transpose(1, 2)
        parts = [run.module(lambda: nn.Linear(channels, channels))(x).unflatten(2, (heads, -1)) for _ in range(3)]
        query, key, value = (part.transpose(1, 2) for part in parts)
        if self.by == "function":
            y = F.scaled_dot_product_attention(query, key, value)
        else:
            y = (query @ key.transpose(2, 3) * 0.5).softmax(-1) @ value
        return y.transpose(1, 2).flatten(2).transpose(1, 2)


@dataclass(frozen=True)
class Recurrent(Layer):
    kind: Literal["GRU", "LSTM", "RNN"] = "GRU"
    units: int = 1
    both_ways: bool = False

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        y: Tensor = run.module(
            lambda: getattr(nn, self.kind)(x.shape[1], self.units, batch_first=True, bidirectional=self.both_ways)
        )(x.transpose(1, 2))[0]
        return y.transpose(1, 2)


@dataclass(frozen=True)
class WithoutRule(Layer):
    """What mixes all positions, and what few models have."""

    function: Literal["cumulative sum", "roll", "sort", "whole layer norm"] = "cumulative sum"

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        if self.function == "cumulative sum":
            return x.cumsum(2) / x.shape[2]
        if self.function == "roll":
            return x.roll(1, 2)
        if self.function == "sort":
            return x.sort(2).values
        y: Tensor = run.module(lambda: randomised(nn.LayerNorm(list(x.shape[1:]), EPSILON)))(x)
        return y


@dataclass(frozen=True)
class JoinControl(Layer):
    """The control track beside the channels, or added to them."""

    how: Literal["channels", "add"] = "channels"

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        control = fit(run.extras["control"], x.shape[2]) if "control" in run.extras else x[:, :1]
        return torch.cat([x, control], 1) if self.how == "channels" else x + control


@dataclass(frozen=True)
class Head:
    """The end of a model: ``profile``, ``dense``, ``global`` and so on; see ``__call__``."""

    kind: Literal[
        "profile", "flat profile", "transposed", "channel mean", "position", "scalar", "dense", "global", "joint"
    ] = "profile"
    how: Literal["mean", "sum", "max", "logsumexp"] = "mean"
    positions_first: bool = False
    before: Literal["nothing", "activation", "norm", "both"] = "nothing"
    """What acts on the features before the first dense layer."""
    hidden: int = 0

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        if self.kind not in ("dense", "global", "joint"):
            return PLAIN_HEADS[self.kind](x)
        parts = []
        if self.kind != "global":
            parts.append((x.transpose(1, 2) if self.positions_first else x).flatten(1))
        if self.kind != "dense":
            parts.append(REDUCTIONS[self.how](x, 2).squeeze(2))
        if "vector" in run.extras:
            parts.insert(len(parts) // 2, run.extras["vector"])
        x = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
        if self.before in ("norm", "both"):
            x = run.module(lambda: randomised(nn.BatchNorm1d(x.shape[1], EPSILON)))(x)
        if self.before in ("activation", "both"):
            x = F.silu(x)
        if self.hidden:
            x = run.module(lambda: nn.Linear(x.shape[1], self.hidden))(x).relu()
            x = run.module(lambda: randomised(nn.BatchNorm1d(self.hidden, EPSILON)))(x)
        y: Tensor = run.module(lambda: nn.Linear(x.shape[1], 2))(x)
        return y


PLAIN_HEADS: MappingProxyType[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "profile": lambda x: x,
        "flat profile": lambda x: x.flatten(1),
        "transposed": lambda x: x.transpose(1, 2),
        "channel mean": lambda x: x.mean(1),
        "position": lambda x: x[:, :, x.shape[2] // 2],
        "scalar": lambda x: x.sum((1, 2)),
    }
)


@dataclass(frozen=True)
class Description:
    """A whole model and what it reads."""

    layers: Layers = ()
    heads: tuple[Head, ...] = (Head(),)
    letters: int = 4
    length: int = 1
    sequences: int = 1
    extras: tuple[Literal["control", "vector"], ...] = ()
    """Further inputs: a track (n, 1, length), a vector (n, 2)."""
    unknown: bool = False
    """Whether the first letter of the first sequence is unknown."""
    seed: int = 0

    def extra_inputs(self) -> tuple[Tensor, ...]:
        """Return random values of the further inputs."""
        generator = torch.Generator().manual_seed(self.seed)
        shapes = {"control": (self.sequences, 1, self.length), "vector": (self.sequences, 2)}
        return tuple(torch.randn(shapes[name], generator=generator, dtype=torch.float64) for name in self.extras)

    def build(self) -> "RandomModel":
        """Return the model in float64 and inference mode; the same each time."""
        return RandomModel(self)


class RandomModel(nn.Module):
    def __init__(self, description: Description) -> None:
        super().__init__()
        self.description, self.parts = description, nn.ModuleList()
        self.register_buffer("precision", torch.zeros((), dtype=torch.float64))
        extras = description.extra_inputs()
        x = torch.zeros(description.sequences, description.letters, description.length, dtype=torch.float64)
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(description.seed)
            self(x, *extras)
            for parameter in self.parameters():
                parameter.mul_(GAIN)
        self.eval()

    def forward(self, x: Tensor, *extras: Tensor) -> Tensor | tuple[Tensor, ...]:
        run = Pass(self.parts, dict(zip(self.description.extras, extras, strict=True)))
        x = apply(self.description.layers, x, run)
        outputs = tuple(head(x, run) for head in self.description.heads)
        return outputs if len(outputs) > 1 else outputs[0]


def _any(layer: type[Any], **strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for a layer whose fields that are not given keep their defaults."""
    assert strategies.keys() <= {field.name for field in fields(layer)}
    return st.builds(layer, **strategies)


def _one_choice(*strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return one of these, each as likely as it is often named; ``one_of`` flattens, and drops what is repeated."""
    return st.integers(0, len(strategies) - 1).flatmap(strategies.__getitem__)


def _among(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


CHANNELS, SMALL = st.integers(1, 4), st.integers(0, 3)
PADDINGS = st.one_of(_among("valid", "same"), st.integers(0, 4), st.tuples(SMALL, SMALL))

CONVOLUTIONS = _one_choice(
    _any(Convolution, channels=CHANNELS, kernel=st.integers(1, 6), padding=_among("valid", "same")),
    _any(
        Convolution,
        channels=CHANNELS,
        kernel=st.integers(1, 6),
        stride=st.integers(1, 3),
        dilation=st.integers(1, 4),
        padding=PADDINGS,
        groups=_among("one", "two", "depthwise"),
        in_two_dimensions=st.booleans(),
    ),
    _any(
        TransposedConvolution,
        channels=CHANNELS,
        kernel=st.integers(1, 5),
        stride=st.integers(1, 3),
        dilation=st.integers(1, 2),
        padding=SMALL,
        output_padding=st.integers(0, 1),
        groups=_among("one", "two"),
    ),
    _any(PositionWise, channels=CHANNELS, bias=st.booleans(), by=_among("layer", "Einstein sum")),
    _any(AlphabetConvolution, channels=CHANNELS, kernel=st.integers(1, 4)),
)
POOLS = _one_choice(
    _any(Pool, kind=_among("max", "average"), kernel=st.integers(1, 4), stride=st.integers(1, 4)),
    _any(
        Pool,
        kind=_among("max", "average", "power"),
        kernel=st.integers(1, 5),
        stride=st.integers(1, 4),
        dilation=st.integers(1, 2),
        padding=st.integers(0, 2),
        ceil=st.booleans(),
        count_padding=st.booleans(),
        in_two_dimensions=st.booleans(),
    ),
    _any(AdaptivePool, kind=_among("max", "average"), size=st.integers(1, 5)),
    _any(AttentionPool, size=st.integers(2, 3)),
)
POINTWISE = _one_choice(
    _any(Activation, function=_among(*ACTIVATIONS)),
    _any(Norm, kind=_among("batch", "layer", "batch", "layer", "root mean square", "weight", "group", "instance")),
    _any(Softmax, axis=_among(1, 1, 1, 2), logarithm=st.booleans()),
)
MOVES = _one_choice(
    _any(Crop, left=SMALL, right=SMALL, by=_among("slice", "negative padding", "narrow")),
    _any(Pad, left=SMALL, right=SMALL, value=_among(0.0, 0.5)),
    _any(Slice, start=SMALL, step=st.integers(2, 3)),
    _any(Flip, axes=_among((2,), (1,), (1, 2))),
    _any(Channels, by=_among("index", "split", "unbind")),
    _any(Upsample, factor=st.integers(1, 3), by=_among("nearest", "repeat")),
)
REDUCED = _any(Reduction, how=_among(*REDUCTIONS), axis=_among(1, 2))
PLAIN = _one_choice(CONVOLUTIONS, POINTWISE, CONVOLUTIONS, POOLS, POINTWISE, MOVES)
RUN_WHOLE = _one_choice(
    _any(Pad, left=SMALL, right=SMALL, mode=_among("reflect", "replicate", "circular")),
    _any(Upsample, factor=st.integers(2, 3), by=st.just("linear")),
    _any(Attention, by=_among("module", "function", "products"), heads=st.integers(1, 2)),
    _any(Recurrent, kind=_among("GRU", "LSTM", "RNN"), units=st.integers(1, 3), both_ways=st.booleans()),
    _any(WithoutRule, function=_among("cumulative sum", "roll", "sort", "whole layer norm")),
)
BRANCH = st.lists(_one_choice(PLAIN, PLAIN, PLAIN, REDUCED), max_size=3).map(tuple)
GATE = st.builds(
    lambda how, activation: (Reduction(how), PositionWise(4), Activation(activation)),
    _among("mean", "max"),
    _among("sigmoid", "tanh"),
)
BRANCHED = _one_choice(
    st.builds(
        lambda how, first, second: Join(how, (first, second)), _among("channels", "positions", *JOINS), BRANCH, BRANCH
    ),
    st.builds(lambda how, body: Join(how, ((), body)), _among("add", "channels"), BRANCH),
    st.builds(lambda gate: Join("multiply", ((), gate)), GATE),
    st.builds(lambda body: Join("subtract", ((), body)), REDUCED.map(lambda reduction: (reduction,))),
    _any(BothStrands, layers=BRANCH),
)
HEADS = st.one_of(
    _any(Head, kind=_among("profile", *PLAIN_HEADS)),
    _any(Head, kind=st.just("global"), how=_among("mean", "sum", "max", "logsumexp"), hidden=_among(0, 3)),
    _any(Head, kind=st.just("dense"), positions_first=st.booleans(), hidden=_among(0, 3)),
    _any(
        Head,
        kind=_among("dense", "joint"),
        how=_among("mean", "max"),
        positions_first=st.booleans(),
        before=_among("nothing", "activation", "norm", "both"),
        hidden=_among(0, 3),
    ),
)


@st.composite
def descriptions(draw: st.DrawFn) -> Description:
    """Return models: mostly layers that keep windows, then sometimes one that mixes all positions, and more."""
    extras = draw(_among((), (), (), ("control",), ("vector",), ("control", "vector")))
    controls = [_any(JoinControl, how=_among("channels", "add"))] if "control" in extras else []
    first = draw(_one_choice(st.just([]), st.just([]), st.just([]), st.builds(lambda n: [Embed(n)], CHANNELS)))
    depth = draw(st.integers(0, 6))
    trunk = draw(st.lists(_one_choice(PLAIN, PLAIN, PLAIN, BRANCHED, *controls), min_size=depth, max_size=depth))
    tail = draw(_one_choice(st.just([]), st.just([]), st.lists(_one_choice(RUN_WHOLE, REDUCED, PLAIN), max_size=2)))
    return Description(
        layers=(*first, *trunk, *tail),
        heads=tuple(draw(st.lists(HEADS, min_size=1, max_size=2))),
        letters=draw(_among(4, 4, 20)),
        length=draw(st.integers(1, 40)),
        sequences=draw(st.integers(1, 2)),
        extras=extras,
        unknown=draw(_among(False, False, True)),
        seed=draw(st.integers(0, 3)),
    )
