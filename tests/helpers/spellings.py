"""Ways to write operations on activations (n, 6, 30) that move, join, cast, order or multiply what a position holds."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

Spelling = Callable[[Tensor], Tensor]


def _rising(*shape: int) -> Tensor:
    """Return weights that are all different."""
    count = torch.Size(shape).numel()
    return torch.linspace(-1, 1.5, count, dtype=torch.float64).reshape(shape)


def _of_batch(weight: Tensor, y: Tensor) -> Tensor:
    return weight.to(y.dtype).expand(y.shape[0], *weight.shape)


def _gated(y: Tensor) -> Tensor:
    first, second = torch.tensor_split(y, 2, 1)
    return torch.multiply(first, second.sigmoid())


def _assigned(y: Tensor) -> Tensor:
    y = y.clone()
    y[:, 1] = 0.5
    y[:, :, 3:5] = -1.0
    return y


def _space_to_depth(y: Tensor) -> Tensor:
    return y.reshape(y.shape[0], 6, 15, 2).permute(0, 1, 3, 2).reshape(y.shape[0], 12, 15)


def _depth_to_space(y: Tensor) -> Tensor:
    return y.reshape(y.shape[0], 3, 2, 30).permute(0, 1, 3, 2).reshape(y.shape[0], 3, 60)


def _shuffled(y: Tensor) -> Tensor:
    return y.reshape(y.shape[0], 2, 3, 30).transpose(1, 2).reshape(y.shape[0], 6, 30)


CHANNELS: Mapping[str, Spelling] = MappingProxyType(
    {
        "concat": lambda y: torch.concat([y, y.tanh()], 1),
        "hstack of the same": lambda y: torch.hstack([y, y]),
        "stack of the same": lambda y: torch.stack([y, y], 1),
        "tensor_split, multiply": _gated,
        "divide, subtract": lambda y: torch.subtract(y, torch.divide(y, 2 + y * y)),
        "tile": lambda y: torch.tile(y, (1, 2, 1)),
        "repeat of one": lambda y: y[:, :1].repeat(1, 3, 1),
        "repeat_interleave": lambda y: y.repeat_interleave(2, 1),
        "expand_as": lambda y: torch.cat([y.mean(1, keepdim=True).expand_as(y), y], 1),
        "normalize": lambda y: F.normalize(y, dim=1),
        "cosine_similarity": lambda y: F.cosine_similarity(y, y.flip(1), dim=1),
        "min": lambda y: torch.min(y, 1).values - y.amin(1),
        "aminmax": lambda y: torch.sub(*torch.aminmax(y, dim=1)[::-1]),
        "prod": lambda y: y.prod(1),
        "var_mean": lambda y: torch.var_mean(y, 1)[0],
        "nanmean": lambda y: y.nanmean(1),
        "sum in another type": lambda y: y.sum(1, dtype=torch.float64),
        "cumsum, logcumsumexp": lambda y: y.cumsum(1) + y.logcumsumexp(1),
        "sort, topk": lambda y: torch.cat([y.sort(1, descending=True).values, y.topk(2, 1).values], 1),
        "median, kthvalue": lambda y: y.median(1).values + y.kthvalue(2, 1).values,
        "softmax in another type": lambda y: y.softmax(1, dtype=torch.float64),
        "roll": lambda y: torch.roll(y, 2, 1),
        "constant padding": lambda y: F.pad(y, (0, 0, 1, 2), value=0.3),
        "channel_shuffle": lambda y: F.channel_shuffle(y, 2),
        "shuffle by reshapes": lambda y: F.conv1d(_shuffled(y), _rising(2, 3, 3).to(y), groups=2),
        "mask of channels": lambda y: y[:, torch.tensor([True, False, True, True, False, False])],
        "assignments": _assigned,
        "one_hot": lambda y: F.one_hot(y.argmax(1), 6).to(y.dtype),
    }
)
POSITIONS: Mapping[str, Spelling] = MappingProxyType(
    {
        "min over positions": lambda y: y.amin(2),
        "roll": lambda y: torch.roll(y, 4, 2),
        "roll of both axes": lambda y: torch.roll(y, (-3, 2), (2, 1)),
        "reflect": lambda y: F.pad(y, (3, 2), mode="reflect"),
        "replicate": lambda y: F.conv1d(F.pad(y, (1, 1), mode="replicate"), _rising(2, 6, 3).to(y)),
        "circular": lambda y: F.conv1d(F.pad(y, (2, 2), mode="circular"), _rising(2, 6, 5).to(y)),
        "constant padding of both axes": lambda y: F.pad(y, (2, -3, 1, 0)),
        "diff": lambda y: torch.diff(y, dim=2),
        "unfold": lambda y: y.unfold(2, 4, 3).amax(3),
        "unfold without overlap": lambda y: y.unfold(2, 5, 5).mean(3),
        "space to depth": _space_to_depth,
        "depth to space": lambda y: F.conv1d(_depth_to_space(y), _rising(2, 3, 3).to(y)),
        "linear interpolation": lambda y: F.interpolate(y, scale_factor=3, mode="linear"),
        "linear interpolation to fewer": lambda y: F.interpolate(y, scale_factor=0.5, mode="linear"),
        "nearest to fewer": lambda y: F.interpolate(y, size=10) - F.interpolate(y, size=10, mode="nearest-exact"),
        "rows of images": lambda y: F.interpolate(y[:, :, None], scale_factor=(1, 2), mode="bilinear")[:, :, 0],
        "nearest-exact": lambda y: F.interpolate(y, scale_factor=2, mode="nearest-exact"),
        "mask of positions": lambda y: y[:, :, torch.arange(30) > 6],
        "positions by a list": lambda y: y[:, :, [5, *range(8, 28), 0, 1]],
        "max pool with indices": lambda y: F.max_pool1d(y, 3, return_indices=True)[0],
        "a mean at every position": lambda y: torch.cat([y, y.mean(2, keepdim=True).expand(-1, -1, 30)], 1),
    }
)
PRODUCTS_AND_CASTS: Mapping[str, Spelling] = MappingProxyType(
    {
        "bmm, weight first": lambda y: torch.bmm(_of_batch(_rising(4, 6), y), y),
        "bmm, weight last": lambda y: torch.bmm(y.mT, _of_batch(_rising(6, 4), y)),
        "baddbmm": lambda y: torch.baddbmm(y, _of_batch(_rising(6, 6), y), y, alpha=0.5),
        "tensordot": lambda y: torch.tensordot(y, _rising(6, 3).to(y), ([1], [0])),
        "tensordot, weight first": lambda y: torch.tensordot(_rising(3, 6).to(y), y, ([1], [1])).movedim(0, 1),
        "inner": lambda y: torch.inner(y.mT, _rising(3, 6).to(y)),
        "matmul of groups": lambda y: y.unflatten(1, (2, 3)).mT @ _rising(2, 3, 4).to(y),
        "matmul of groups, weight first": lambda y: torch.matmul(_rising(1, 2, 4, 3).to(y), y.unflatten(1, (2, 3))),
        "einsum of groups": lambda y: torch.einsum("ngcl,gc->ngl", y.unflatten(1, (3, 2)), _rising(3, 2).to(y)),
        "einsum of slow groups": lambda y: torch.einsum(
            "gdc,ncgl->ndgl", _rising(3, 4, 2).to(y), y.unflatten(1, (2, 3))
        ),
        "einsum with two new axes": lambda y: torch.einsum("ncl,hdc->nhdl", y, _rising(3, 2, 6).to(y)),
        "einsum of each position": lambda y: torch.einsum("ncl,cl->nl", y, _rising(6, 30).to(y)),
        "einsum of two that change": lambda y: torch.einsum("nlc,ncl->ncl", y.mT.tanh(), y),
        "weight of one output": lambda y: y.mT @ _rising(6).to(y),
        "cast and back": lambda y: y.double().relu().to(y.dtype),
        "type_as": lambda y: y.relu().type_as(y),
        "whole numbers": lambda y: (2 * y).int().to(y.dtype),
        "truth values": lambda y: (y > 0).any(1).to(y.dtype) + (y > 0).to(y.dtype).mean(1),
        "sum of two types": lambda y: y + y.double() * 0.5,
        "concatenation of two types": lambda y: torch.cat([y, y.double().tanh()], 1),
    }
)
SPELLINGS: Mapping[str, Mapping[str, Spelling]] = MappingProxyType(
    {"channels": CHANNELS, "positions": POSITIONS, "products and casts": PRODUCTS_AND_CASTS}
)
