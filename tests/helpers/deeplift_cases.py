"""Functions of hidden values (N, L, C) for DeepLIFT's rules, each in PyTorch and in Keras, and models around them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import torch
from keras import ops
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

LENGTH, CHANNELS = 8, 6
Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """One function of (N, L, C) in both frameworks."""

    torch: Function
    keras: Function
    ignores: str = ""
    """"shift": a number added to all hidden values; "scale": a factor of all. Empty: it ignores neither."""


def _heads(h: Any, split: Any) -> list[Any]:
    return split(h, 2, -1)


def _sums(h: Any, expand: Any, axis: int) -> Any:
    """Return each of six numbers plus each of six others, which stand along an axis that is 1 or 2: (N, 6, 6)."""
    # As a difference: `ops.add` takes single sequences of such shapes for something else.
    return expand(h[:, :CHANNELS, 0], axis) - expand(-h[:, :CHANNELS, 1], 3 - axis)


CASES: dict[str, Case] = {
    # Functions of one element, however they are written.
    "relu": Case(functional.relu, ops.relu),
    "leaky_relu": Case(lambda h: functional.leaky_relu(h, 0.1), lambda h: ops.leaky_relu(h, 0.1)),
    "silu": Case(functional.silu, ops.silu),
    "silu by hand": Case(lambda h: h * torch.sigmoid(h), lambda h: h * ops.sigmoid(h)),
    "sigmoid by hand": Case(lambda h: 1 / (1 + torch.exp(-h)), lambda h: 1 / (1 + ops.exp(-h))),
    "softsign by hand": Case(lambda h: h / (1 + h.abs()), lambda h: h / (1 + ops.abs(h))),
    "approximate gelu": Case(lambda h: functional.gelu(h, approximate="tanh"), lambda h: ops.gelu(h, approximate=True)),
    "exact gelu": Case(functional.gelu, lambda h: ops.gelu(h, approximate=False)),
    "power": Case(lambda h: h**3, lambda h: ops.power(h, 3)),
    "square": Case(lambda h: h * h, lambda h: h * h),
    "sine": Case(torch.sin, ops.sin),
    "hard silu": Case(functional.hardswish, ops.hard_silu),
    "hard shrink": Case(functional.hardshrink, ops.hard_shrink),
    "soft shrink": Case(functional.softshrink, ops.soft_shrink),
    "where": Case(lambda h: torch.where(h > 0, h, 0.3 * h), lambda h: ops.where(h > 0, h, 0.3 * h)),
    "mask times value": Case(lambda h: (h > 0) * h, lambda h: ops.cast(h > 0, "float32") * h),
    "threshold": Case(lambda h: functional.threshold(h, 0.1, 0.2), lambda h: ops.threshold(h, 0.1, 0.2)),
    "root of relu": Case(lambda h: h.relu().sqrt(), lambda h: ops.sqrt(ops.relu(h))),
    "softplus": Case(functional.softplus, ops.softplus),
    "step beside the value": Case(lambda h: (h > 0).to(h.dtype) - h, lambda h: ops.cast(h > 0, "float32") - h),
    # Softmax and its relatives, however they are written.
    "softmax": Case(lambda h: h.softmax(-1), lambda h: ops.softmax(h, -1), "shift"),
    "log softmax": Case(lambda h: h.log_softmax(-1), lambda h: ops.log_softmax(h, -1), "shift"),
    "logsumexp less mean": Case(
        lambda h: h.logsumexp(-1) - h.mean(-1), lambda h: ops.logsumexp(h, -1) - ops.mean(h, -1), "shift"
    ),
    "softmax by hand": Case(
        lambda h: h.exp() / h.exp().sum(-1, keepdim=True),
        lambda h: ops.exp(h) / ops.sum(ops.exp(h), -1, keepdims=True),
    ),
    "stable softmax by hand": Case(
        lambda h: (lambda e: e / e.sum(-1, keepdim=True))((h - h.amax(-1, keepdim=True)).exp()),
        lambda h: (lambda e: e / ops.sum(e, -1, keepdims=True))(ops.exp(h - ops.max(h, -1, keepdims=True))),
        "shift",
    ),
    "exponential of log softmax": Case(
        lambda h: (h - h.logsumexp(-1, keepdim=True)).exp(),
        lambda h: ops.exp(h - ops.logsumexp(h, -1, keepdims=True)),
        "shift",
    ),
    "logarithm of softmax": Case(lambda h: h.softmax(-1).log(), lambda h: ops.log(ops.softmax(h, -1)), "shift"),
    # Of square tensors, with sums over one axis where those over the other one would be.
    "exponentials over sums of the other axis": Case(
        lambda h: (lambda e: e / e.sum(-1)[:, None])(h[:, :CHANNELS].exp()),
        lambda h: (lambda e: e / ops.expand_dims(ops.sum(e, -1), 1))(ops.exp(h[:, :CHANNELS])),
    ),
    "exponentials times inverse sums of the other axis": Case(
        lambda h: (lambda e: e * e.sum(1, keepdim=True).reciprocal().squeeze(1)[..., None])(h[:, :CHANNELS].exp()),
        lambda h: (lambda e: e * ops.expand_dims(ops.squeeze(1 / ops.sum(e, 1, keepdims=True), 1), 2))(
            ops.exp(h[:, :CHANNELS])
        ),
    ),
    "exponentials less a logsumexp of the other axis": Case(
        lambda h: (lambda z: (z - z.logsumexp(-1)[:, None]).exp())(h[:, :CHANNELS]),
        lambda h: (lambda z: ops.exp(z - ops.expand_dims(ops.logsumexp(z, -1), 1)))(h[:, :CHANNELS]),
    ),
    "exponentials of other sums than of the logsumexp": Case(
        lambda h: (_sums(h, torch.unsqueeze, 1) - _sums(h, torch.unsqueeze, 2).logsumexp(-1, keepdim=True)).exp(),
        lambda h: ops.exp(
            _sums(h, ops.expand_dims, 1) - ops.logsumexp(_sums(h, ops.expand_dims, 2), -1, keepdims=True)
        ),
    ),
    "softmax of sums by hand": Case(
        lambda h: (lambda z: (z - z.logsumexp(-1)[..., None]).exp())(_sums(h, torch.unsqueeze, 1)),
        lambda h: (lambda z: ops.exp(z - ops.expand_dims(ops.logsumexp(z, -1), -1)))(_sums(h, ops.expand_dims, 1)),
        "shift",
    ),
    "softmax times value": Case(
        lambda h: h[..., :3].softmax(1) * h[..., 3:], lambda h: ops.softmax(h[..., :3], 1) * h[..., 3:]
    ),
    "attention": Case(
        lambda h: functional.scaled_dot_product_attention(h, 2 * h, h + 1),
        lambda h: ops.matmul(ops.softmax(ops.matmul(h, ops.transpose(2 * h, (0, 2, 1))) / 6**0.5), h + 1),
    ),
    "masked attention": Case(
        lambda h: functional.scaled_dot_product_attention(h, h, h, is_causal=True),
        lambda h: ops.matmul(
            ops.softmax(
                ops.where(
                    ops.tril(ops.ones((LENGTH, LENGTH))) > 0,
                    ops.matmul(h, ops.transpose(h, (0, 2, 1))) / 6**0.5,
                    -1e9,
                )
            ),
            h,
        ),
    ),
    # Norms and quotients.
    "layer norm": Case(
        lambda h: functional.layer_norm(h, (CHANNELS,), eps=1e-3),
        lambda h: keras.layers.LayerNormalization()(h),
        "shift",
    ),
    "norm by hand": Case(
        lambda h: (h - h.mean(1, keepdim=True)) / (h.var(1, keepdim=True, unbiased=False) + 1e-3).sqrt(),
        lambda h: (h - ops.mean(h, 1, keepdims=True)) / ops.sqrt(ops.var(h, 1, keepdims=True) + 1e-3),
        "shift",
    ),
    "group norm": Case(
        lambda h: functional.group_norm(h.transpose(1, 2), 2, eps=1e-3).transpose(1, 2),
        lambda h: keras.layers.GroupNormalization(2)(h),
    ),
    "rms norm": Case(
        lambda h: functional.rms_norm(h, (CHANNELS,), eps=1e-6), lambda h: keras.layers.RMSNormalization()(h), "scale"
    ),
    "unit norm": Case(
        lambda h: functional.normalize(h, dim=-1), lambda h: keras.layers.UnitNormalization()(h), "scale"
    ),
    "instance norm": Case(
        lambda h: functional.instance_norm(h.transpose(1, 2), eps=1e-3).transpose(1, 2),
        lambda h: keras.layers.GroupNormalization(-1)(h),
    ),
    # Norms of few channels are nearly step functions.
    "layer norm of two": Case(
        lambda h: functional.layer_norm(h[..., :2], (2,), eps=1e-3),
        lambda h: keras.layers.LayerNormalization()(h[..., :2]),
        "shift",
    ),
    "layer norm of four": Case(
        lambda h: functional.layer_norm(h[..., 2:], (4,), eps=1e-3),
        lambda h: keras.layers.LayerNormalization()(h[..., 2:]),
        "shift",
    ),
    "group norm of three pairs": Case(
        lambda h: functional.group_norm(h.reshape(-1, CHANNELS), 3, eps=1e-3).reshape(-1, LENGTH, CHANNELS),
        lambda h: ops.reshape(
            keras.layers.GroupNormalization(3)(ops.reshape(h, (-1, CHANNELS))), (-1, LENGTH, CHANNELS)
        ),
    ),
    "rms norm of three": Case(
        lambda h: functional.rms_norm(h[..., :3], (3,), eps=1e-6),
        lambda h: keras.layers.RMSNormalization()(h[..., :3]),
        "scale",
    ),
    "unit norm of two": Case(
        lambda h: functional.normalize(h[..., :2], dim=-1),
        lambda h: keras.layers.UnitNormalization()(h[..., :2]),
        "scale",
    ),
    "deviation and a number by hand": Case(
        lambda h: (h - h.mean(-1, keepdim=True)) / (h.std(-1, correction=0)[..., None] + 1e-3),
        lambda h: (h - ops.mean(h, -1, keepdims=True)) / (ops.std(h, -1)[..., None] + 1e-3),
        "shift",
    ),
    "norm of the moments by hand": Case(
        lambda h: (
            (h - h.mean(-1, keepdim=True)) * ((h**2).mean(-1, keepdim=True) - h.mean(-1, keepdim=True) ** 2 + 1).rsqrt()
        ),
        lambda h: (
            (h - ops.mean(h, -1, keepdims=True))
            * ops.rsqrt(ops.mean(h**2, -1, keepdims=True) - ops.mean(h, -1, keepdims=True) ** 2 + 1)
        ),
    ),
    "quotient": Case(lambda h: h[..., :3] / (1 + h[..., 3:] ** 2), lambda h: h[..., :3] / (1 + h[..., 3:] ** 2)),
    "share of sum": Case(
        lambda h: (lambda p: p / p.sum(-1, keepdim=True))(functional.softplus(h)),
        lambda h: (lambda p: p / ops.sum(p, -1, keepdims=True))(ops.softplus(h)),
    ),
    # Gates, joins and products.
    "gate": Case(lambda h: h[..., :3] * h[..., 3:].sigmoid(), lambda h: h[..., :3] * ops.sigmoid(h[..., 3:])),
    "glu": Case(functional.glu, ops.glu),
    "choice by another": Case(
        lambda h: torch.where(h[..., :3] > 0, h[..., 3:], h[..., 3:] ** 2),
        lambda h: ops.where(h[..., :3] > 0, h[..., 3:], h[..., 3:] ** 2),
    ),
    "maximum": Case(lambda h: torch.maximum(h[..., :3], h[..., 3:]), lambda h: ops.maximum(h[..., :3], h[..., 3:])),
    "minimum": Case(lambda h: torch.minimum(h[..., :3], h[..., 3:]), lambda h: ops.minimum(h[..., :3], h[..., 3:])),
    "matrix product": Case(
        lambda h: h.transpose(1, 2) @ h.tanh(), lambda h: ops.matmul(ops.transpose(h, (0, 2, 1)), ops.tanh(h))
    ),
    "contraction": Case(
        lambda h: torch.einsum("nlc,nkc->nlk", h, h.tanh()), lambda h: ops.einsum("nlc,nkc->nlk", h, ops.tanh(h))
    ),
    # Pools and orders.
    "maximum pool": Case(
        lambda h: functional.max_pool1d(h.transpose(1, 2), 3, 2).transpose(1, 2), lambda h: ops.max_pool(h, 3, 2)
    ),
    "average pool": Case(
        lambda h: functional.avg_pool1d(h.transpose(1, 2), 2).transpose(1, 2), lambda h: ops.average_pool(h, 2)
    ),
    "global maximum": Case(lambda h: h.amax(1), lambda h: ops.max(h, 1)),
    "global minimum": Case(lambda h: h.amin(1), lambda h: ops.min(h, 1)),
    "sorted": Case(lambda h: h.sort(-1).values, lambda h: ops.sort(h, -1)),
    "largest two": Case(lambda h: h.topk(2).values, lambda h: ops.top_k(h, 2)[0]),
    # Where the batch axis goes.
    "both strands in one batch": Case(
        lambda h: functional.silu(torch.cat([h, h.flip(1)], 0)).unflatten(0, (2, -1)).amax(0),
        lambda h: ops.max(ops.reshape(ops.silu(ops.concatenate([h, ops.flip(h, 1)], 0)), (2, -1, LENGTH, CHANNELS)), 0),
    ),
    "repeated batch": Case(
        lambda h: h.repeat_interleave(2, 0).tanh().unflatten(0, (-1, 2)).mean(1),
        lambda h: ops.mean(ops.reshape(ops.tanh(ops.repeat(h, 2, 0)), (-1, 2, LENGTH, CHANNELS)), 1),
    ),
    "batch last": Case(
        lambda h: h.permute(1, 2, 0).tanh().permute(2, 0, 1),
        lambda h: ops.transpose(ops.tanh(ops.transpose(h, (1, 2, 0))), (2, 0, 1)),
    ),
    "positions in the batch": Case(
        lambda h: h.reshape(-1, CHANNELS).softmax(-1).reshape(-1, LENGTH, CHANNELS),
        lambda h: ops.reshape(ops.softmax(ops.reshape(h, (-1, CHANNELS))), (-1, LENGTH, CHANNELS)),
        "shift",
    ),
}


def weights() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the kernel (3, 4, CHANNELS) that makes hidden values, and weights (LENGTH, 4) of one number of all."""
    generator = np.random.default_rng(5)
    return generator.normal(size=(3, 4, CHANNELS)), generator.normal(size=(LENGTH, 4))


class TorchCases(nn.Module):
    """(x, scale (N, 1), size (N, 1)) to one weighted sum (N, 1) of each case, of hidden values `scale` in size.

    A number of the whole sequence, up to `size`, is added to the hidden values of cases that ignore a shift, and
    changes the factor of those that ignore their scale from 1 to 1 + 2 `size`.
    """

    def __init__(self) -> None:
        super().__init__()
        kernel, whole = weights()
        self.kernel = nn.Parameter(torch.tensor(kernel.transpose(2, 1, 0).copy()))
        self.whole = nn.Parameter(torch.tensor(whole.T.copy()))

    def forward(self, x: torch.Tensor, scale: torch.Tensor, size: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = scale[..., None] * functional.conv1d(x, self.kernel, padding=1).transpose(1, 2)
        number = (size * torch.tanh((x * self.whole).sum((1, 2)))[:, None])[..., None]
        inputs = {"": hidden, "shift": hidden + number, "scale": hidden * (1 + size[..., None] + number)}
        results = {name: case.torch(inputs[case.ignores]).flatten(1) for name, case in CASES.items()}
        return {
            name: (result * torch.linspace(-1, 2, result.shape[1], dtype=x.dtype)).sum(1, keepdim=True)
            for name, result in results.items()
        }


def keras_cases(precision: str = "float32", names: Sequence[str] = tuple(CASES)) -> keras.Model:
    """Return the same model in Keras, of the cases named and in a precision."""
    usual = keras.config.floatx()
    keras.config.set_floatx(precision)
    try:
        return _keras_cases(precision, names)
    finally:
        keras.config.set_floatx(usual)


def _keras_cases(precision: str, names: Sequence[str]) -> keras.Model:
    kernel, whole = (array.astype(precision) for array in weights())
    x, scale, size = (keras.Input(shape) for shape in ((LENGTH, 4), (1,), (1,)))
    hidden = scale[..., None] * ops.conv(x, kernel, padding="same")
    number = (size * ops.tanh(ops.sum(x * whole, (1, 2)))[:, None])[..., None]
    inputs = {"": hidden, "shift": hidden + number, "scale": hidden * (1 + size[..., None] + number)}
    outputs = {}
    for name in names:
        case = CASES[name]
        flat = keras.layers.Flatten()(case.keras(inputs[case.ignores]))
        line = np.linspace(-1, 2, flat.shape[1]).astype(precision)
        outputs[name.replace(" ", "_")] = ops.sum(flat * line, 1, keepdims=True)
    return keras.Model([x, scale, size], outputs)
