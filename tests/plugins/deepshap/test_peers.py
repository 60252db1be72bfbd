"""tangermeme and Captum as oracles: one capture explains every set-up here, their hooks explain one after another.

Both have hooks on modules, so that a set-up is built of modules, none of which is used twice. Left out is what they
do otherwise on purpose:

- softmax and its relatives: ours are logarithmic means on pieces of the line; Captum's are gradients less their mean,
  tangermeme's the product of exponentials and the reciprocal of their sum, which explodes with a shift;
- norms of layers, groups and instances: ours is the mean gradient on the line; Captum has no rule, tangermeme one of
  its own for nn.LayerNorm and nn.RMSNorm only;
- functional calls, gates and products of hidden tensors: both take them for linear (tangermeme except its BilinearOp
  and nn.GLU), and so Captum takes activations that it has no rule for;
- elements that differ by less than 1e-6: tangermeme takes the gradient at the sequence, ours half-way;
- maximum pools whose windows overlap: Captum's do not add up.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attribution_bench_plugins.deepshap import DeepSHAP
from attribution_bench_plugins.deepshap.multipliers import Multipliers

LENGTH, CHANNELS = 12, 6
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
}
"""Those that both peers have rules for."""
FURTHER: dict[str, Callable[[], nn.Module]] = {
    "relu6": nn.ReLU6,
    "rrelu": nn.RReLU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "prelu": nn.PReLU,
    "softshrink": nn.Softshrink,
    "log sigmoid": nn.LogSigmoid,
}
"""Those that only tangermeme has."""


class Residual(nn.Module):
    """Activation of a convolution, added to what went in."""

    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1), activation())

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = x + self.body(x)
        return value


Head = Callable[[Callable[[], nn.Module]], tuple[nn.Module, ...]]
HEADS: dict[str, Head] = {
    "dense": lambda activation: (nn.Flatten(), nn.Linear(CHANNELS * LENGTH, 2)),
    "two dense": lambda activation: (
        nn.Flatten(),
        nn.Linear(CHANNELS * LENGTH, 5),
        activation(),
        nn.Linear(5, 2),
    ),
    "batch norm and average pool": lambda activation: (
        nn.BatchNorm1d(CHANNELS),
        nn.AvgPool1d(3),
        nn.Conv1d(CHANNELS, 5, 2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(15, 2),
    ),
    "maximum pool": lambda activation: (
        nn.Conv1d(CHANNELS, CHANNELS, 1),
        nn.MaxPool1d(2),
        nn.Conv1d(CHANNELS, 4, 3),
        activation(),
        nn.Flatten(),
        nn.Linear(16, 2),
    ),
    "dilated residual": lambda activation: (
        Residual(activation),
        nn.Conv1d(CHANNELS, 4, 3, dilation=2),
        nn.Flatten(),
        nn.Linear(32, 2),
    ),
    "global average": lambda activation: (nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(CHANNELS, 2)),
}
POOLS: dict[str, Callable[[], nn.Module]] = {
    "overlapping": lambda: nn.MaxPool1d(3, stride=1),
    "padded": lambda: nn.MaxPool1d(4, 3, padding=2),
    "global maximum": lambda: nn.MaxPool1d(LENGTH),
}


class Together(nn.Module):
    """Every set-up as an output of its own."""

    def __init__(self, members: dict[str, nn.Module]) -> None:
        super().__init__()
        self.names = list(members)
        self.members = nn.ModuleList(members.values())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: member(x) for name, member in self.set_ups()}

    def set_ups(self) -> Iterator[tuple[str, nn.Module]]:
        return zip(self.names, self.members, strict=True)


def built(activations: dict[str, Callable[[], nn.Module]]) -> Iterator[tuple[str, nn.Module]]:
    for name, activation in activations.items():
        for head, layers in HEADS.items():
            first = nn.Conv1d(4, CHANNELS, 3, padding=1)
            yield f"{name}, {head}", nn.Sequential(first, activation(), *layers(activation))


@cache
def together() -> Together:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        members = dict(built(ACTIVATIONS | FURTHER))
        for name, pool in POOLS.items():
            layers = (nn.Conv1d(4, CHANNELS, 3, padding=1), pool(), nn.Flatten(), nn.LazyLinear(2))
            members[name] = nn.Sequential(*layers)
            members[name](torch.zeros(1, 4, LENGTH))
    for member in members.values():
        member[0].weight.data *= 3
    return Together(members).double().eval()


@pytest.fixture(scope="module")
def ours() -> tuple[NDArray[Any], NDArray[Any], Multipliers]:
    """Sequences (2, 4, L), references (5, 4, L) and multipliers: sequences, nothing, equal shares of all letters."""
    letters = np.random.default_rng(0).integers(0, 4, (5, LENGTH))
    every = np.eye(4)[letters].transpose(0, 2, 1)
    references = np.concatenate([every[2:], np.zeros((1, 4, LENGTH)), np.full((1, 4, LENGTH), 0.25)])
    x = every[:2]
    return x, references, DeepSHAP(together(), baselines=references).multipliers(x, target="all")


def differing(ours: NDArray[Any], of_peer: dict[str, Any]) -> dict[str, float]:
    """Return the set-ups in which scores (N, 4, L, outputs) are not those of a peer, and by how much."""
    places = {name: 2 * index + index % 2 for index, name in enumerate(together().names)}
    errors = {}
    for name, scores in of_peer.items():
        expected = scores.detach().numpy()
        assert expected.any()
        errors[name] = float(np.abs(ours[..., places[name]] - expected).max() / np.abs(expected).max())
    return {name: error for name, error in errors.items() if not error <= 1e-9}


def test_agrees_with_captum(ours: Any) -> None:
    peer = pytest.importorskip("captum.attr").DeepLiftShap
    x, references, found = ours
    of_peer = {}
    for index, (name, member) in enumerate(together().set_ups()):
        if name.split(", ")[0] in ACTIVATIONS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                of_peer[name] = peer(member).attribute(torch.tensor(x), torch.tensor(references), target=index % 2)
    assert len(of_peer) == 36
    assert not differing(found.contributions.mean(axis=1), of_peer)


def test_agrees_with_tangermeme(ours: Any) -> None:
    peer = pytest.importorskip("tangermeme.deep_lift_shap").deep_lift_shap
    x, references, found = ours
    each = torch.tensor(references)[None].repeat(len(x), 1, 1, 1)
    of_peer = {}
    for index, (name, member) in enumerate(together().set_ups()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            of_peer[name] = peer(
                member,
                torch.tensor(x),
                target=index % 2,
                references=each,
                hypothetical=True,
                device="cpu",
                only_warn=True,
            )
    assert len(of_peer) == 99
    assert not differing(found.hypothetical.mean(axis=1), of_peer)
