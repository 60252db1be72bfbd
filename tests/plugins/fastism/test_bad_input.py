"""Models not as the engine would have them: each works, falls back saying why, or is refused; none is wrong."""

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench.errors import FallbackWarning
from fastism_models import Custom
from parity import assert_parity, brute_force, one_hot

Heads = namedtuple("Heads", ["profile", "count"])
LENGTH = 12


def model(forward: Callable[..., object], seed: int = 0) -> nn.Module:
    """Return a module of a convolution `conv`, a dense layer `head` and an embedding `cell`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = Custom(forward, conv=nn.Conv1d(4, 3, 5), head=nn.Linear(3, 2), cell=nn.Embedding(5, 3))
    return module.double().eval()


def hidden(m: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = m.conv(x).relu().amax(2)
    return y


WORKING: dict[str, Callable[..., object]] = {
    "dict": lambda m, x: {"z": m.conv(x), "a": m.head(hidden(m, x))},
    "tuple": lambda m, x: (m.conv(x), m.head(hidden(m, x))),
    "list": lambda m, x: [m.conv(x), m.head(hidden(m, x))],
    "tuple of one": lambda m, x: (m.head(hidden(m, x)),),
    "named tuple": lambda m, x: Heads(m.conv(x), m.head(hidden(m, x))),
    "one number": lambda m, x: m.head(hidden(m, x))[:, 0],
    "whole numbers": lambda m, x: (m.conv(x).argmax(1), m.head(hidden(m, x)).argmax(1)),
    "truth values": lambda m, x: m.conv(x).amax(1) > 0.2,
    "letters as whole numbers": lambda m, x: m.head(m.cell(x.argmax(1)).relu().mean(1)),
    "the input itself": lambda m, x: (x, m.head(hidden(m, x))),
    "an output twice": lambda m, x: [y := hidden(m, x), y],
    "an output that is constant": lambda m, x: (torch.ones_like(x[:, 0]), m.head(hidden(m, x))),
    "single precision in between": lambda m, x: m.head(m.conv(x).float().relu().amax(2).double()),
}


@pytest.mark.parametrize("name", WORKING)
def test_what_works(name: str) -> None:
    module, x = model(WORKING[name]), one_hot(2, 4, LENGTH)
    result = ab.get_method("fastism")(module).attribute(x, target="all")
    assert "fallback" not in result.metadata
    tolerance = 1e-6 if "single precision" in name else 1e-10
    assert_parity(dict(result.predictions), brute_force(module, x), tolerance)


@pytest.mark.parametrize("output", ["whole numbers", "truth values"])
def test_listed_mutations_of_outputs_that_are_no_floats(output: str) -> None:
    module = model(lambda m, x: m.head(hidden(m, x)).argmax(1) if output == "whole numbers" else hidden(m, x) > 0.5)
    x = one_hot(1, 4, LENGTH)
    mutations = [ab.Mutation(0, 3, np.eye(4)[:, [0]]), ab.Mutation(0, 9, np.eye(4)[:, [2, 1]])]
    fast = ab.get_method("fastism")(module).predict_mutations(x, mutations, target="all")
    slow = ab.get_method("standard_ism")(module).predict_mutations(x, mutations, target="all")
    np.testing.assert_array_equal(fast.predictions["output"], slow.predictions["output"])


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_whole_numbers_beside_the_sequence(dtype: torch.dtype) -> None:
    def forward(m: nn.Module, x: Tensor, kind: Tensor, count: Tensor) -> Tensor:
        y = torch.cat([hidden(m, x) * m.cell(kind), count], 1)[:, :3]
        z: Tensor = m.head(y + count)
        return z

    module, x = model(forward), one_hot(3, 4, LENGTH)
    extras = torch.tensor([0, 4, 2], dtype=dtype), torch.tensor([[2], [-1], [0]], dtype=dtype)
    result = ab.get_method("fastism")(module).attribute(x, target="all", additional_forward_args=extras)
    assert "fallback" not in result.metadata
    assert_parity(dict(result.predictions), brute_force(module, x, extras), 1e-10)


class Remembering(nn.Module):
    """Gives what it gave before, and a little of what it should give now."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 3, 5)
        self.seen = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1.0
        y: Tensor = self.conv(x).amax(2) + self.seen
        return y


class DrawingInPython(nn.Module):
    """Noise that PyTorch does not see drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(0)

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((1, 2)) + float(self.generator.standard_normal())


FALLING_BACK: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "dropout that stays": (lambda: model(lambda m, x: m.head(F.dropout(hidden(m, x), 0.5))), "random numbers"),
    "normal noise": (lambda: model(lambda m, x: m.head(hidden(m, x)) + torch.randn(2)), "random numbers"),
    "noise drawn in Python": (DrawingInPython, "differs from the model's|torch.export cannot capture"),
    "state kept in Python": (Remembering, "keep state between calls"),
    "a shape that depends on the values": (
        lambda: model(lambda m, x: torch.stack([m.conv(x)[m.conv(x) > 0].sum()]).expand(x.shape[0])),
        "torch.export cannot capture|mix the sequences of a batch",
    ),
    "weights that the code holds below a norm": (
        lambda: model(lambda m, x: (m.conv.weight.data.renorm_(2, 0, 0.9), m.head(hidden(m, x)))[1]),
        r"as `weight\.data` is",
    ),
    "training statistics": (
        lambda: model(lambda m, x: F.batch_norm(m.conv(x), None, None, training=True)),
        "mix the sequences of a batch",
    ),
}


@pytest.mark.parametrize("name", FALLING_BACK)
def test_what_falls_back(name: str) -> None:
    build, reason = FALLING_BACK[name]
    with pytest.warns(FallbackWarning, match=reason):
        result = ab.get_method("fastism")(build().double()).attribute(one_hot(2, 4, LENGTH), target="all")
    assert "fallback" in result.metadata


REFUSED: dict[str, Callable[..., object]] = {
    "nested tuples": lambda m, x: (m.conv(x), (hidden(m, x), m.head(hidden(m, x)))),
    "a dict of lists": lambda m, x: {"heads": [hidden(m, x)]},
    "nothing": lambda m, x: None,
    "a number": lambda m, x: float(x.sum()),
    "a tensor and nothing": lambda m, x: (hidden(m, x), None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    with pytest.raises(ab.errors.ModelError, match="must return a tensor, a tuple of tensors or a dict of tensors"):
        ab.get_method("fastism")(model(REFUSED[name])).attribute(one_hot(1, 4, LENGTH), target="all")


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.cell(x).sum(1),  # whole numbers for letters
        lambda m, x: m.conv(x.transpose(1, 2)),  # channels last
        lambda m, x: m.head(x),  # another length
    ],
)
def test_sequences_that_a_model_does_not_take(forward: Callable[..., Any]) -> None:
    with pytest.raises(ab.errors.ModelError, match="does not take sequences of length 12"):
        ab.get_method("fastism")(model(forward)).attribute(one_hot(1, 4, LENGTH), target="all")


@pytest.mark.parametrize("forward", [lambda m, x: hidden(m, x).sum(), lambda m, x: hidden(m, x).sum(0)])
def test_an_output_without_a_batch(forward: Callable[..., Any]) -> None:
    with pytest.raises(ab.errors.ModelError, match="needs a batch axis"):
        ab.get_method("fastism")(model(forward)).attribute(one_hot(2, 4, LENGTH), target="all")


def test_outputs_that_are_not_finite() -> None:
    module, x = model(lambda m, x: torch.log(m.conv(x).amax(2))), one_hot(2, 4, LENGTH)
    result = ab.get_method("fastism")(module).attribute(x, target="all")
    truth = brute_force(module, x)["output"]
    assert np.isnan(truth).any()
    np.testing.assert_allclose(result.predictions["output"], truth, rtol=1e-10, atol=1e-10)
