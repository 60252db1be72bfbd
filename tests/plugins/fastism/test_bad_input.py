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
from attribution_bench.errors import FallbackWarning, InconsistencyWarning
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


NOT_TO_BE_BELIEVED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "dropout that stays": (lambda: model(lambda m, x: m.head(F.dropout(hidden(m, x), 0.5))), "random numbers"),
    "normal noise": (lambda: model(lambda m, x: m.head(hidden(m, x)) + torch.randn(2)), "random numbers"),
    "noise drawn in Python": (DrawingInPython, "differs from the model's|torch.export cannot capture"),
    "state kept in Python": (Remembering, "keep state between calls"),
    "a shape that depends on the values": (
        lambda: model(lambda m, x: torch.stack([m.conv(x)[m.conv(x) > 0].sum()]).expand(x.shape[0])),
        "torch.export cannot capture|mix the sequences of a batch",
    ),
    "training statistics": (
        lambda: model(lambda m, x: F.batch_norm(m.conv(x), None, None, training=True)),
        "mix the sequences of a batch",
    ),
}


@pytest.mark.parametrize("name", NOT_TO_BE_BELIEVED)
def test_what_no_method_may_believe_is_refused_and_falls_back_with_a_warning_where_it_is_asked_for(name: str) -> None:
    build, reason = NOT_TO_BE_BELIEVED[name]
    x = one_hot(2, 4, LENGTH)
    with pytest.raises(ab.errors.InconsistentModelError, match="the model cannot be believed"):
        ab.get_method("fastism")(build().double()).attribute(x, target="all")
    asked = ab.as_sequence_model(build().double(), on_inconsistency="warn")
    with pytest.warns(InconsistencyWarning), pytest.warns(FallbackWarning, match=reason):
        result = ab.get_method("fastism")(asked).attribute(x, target="all")
    assert "fallback" in result.metadata


def constraining(constrain: Callable[[Tensor], object]) -> Callable[..., object]:
    """Return a forward that changes the convolution's weights before it uses them."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        constrain(m.conv.weight)
        y: Tensor = m.head(hidden(m, x))
        return y

    return forward


def assign(weight: Tensor) -> None:
    weight.data = weight.data.clamp(-0.1, 0.1)


def without_gradient(change: Callable[[Tensor], object]) -> Callable[[Tensor], object]:
    def constrain(weight: Tensor) -> None:
        with torch.no_grad():
            change(weight)

    return constrain


FALLING_BACK: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "weights that the code holds below a norm": (
        lambda: model(constraining(lambda weight: weight.data.renorm_(2, 0, 0.3))),
        r"as `weight\.data` is",
    ),
    "weights that the code clamps": (
        lambda: model(constraining(lambda weight: weight.data.clamp_(min=0))),
        r"as `weight\.data` is",
    ),
    "weights that the code replaces": (lambda: model(constraining(assign)), r"as `weight\.data` is"),
    "weights clamped without gradients": (
        lambda: model(constraining(without_gradient(lambda weight: weight.clamp_(min=0)))),
        r"it changes 'conv\.weight' in inference",
    ),
    "weights renormalised without gradients": (
        lambda: model(constraining(without_gradient(lambda weight: weight.renorm_(2, 0, 0.3)))),
        r"it changes 'conv\.weight' in inference",
    ),
    "an embedding with a largest norm": (
        lambda: Letters().double(),
        r"it changes 'embedding\.weight' in inference",
    ),
    "a buffer that counts calls": (lambda: Counting().double(), r"it changes 'calls' in inference"),
    "TorchScript by tracing": (
        lambda: torch.jit.trace(model(lambda m, x: m.head(hidden(m, x))), torch.zeros(2, 4, LENGTH).double()),
        "it is TorchScript",
    ),
    "TorchScript by scripting": (
        lambda: torch.jit.script(nn.Sequential(nn.Conv1d(4, 3, 5), nn.Flatten(), nn.Linear(24, 2)).double()),
        "it is TorchScript",
    ),
}


class Letters(nn.Module):
    """A layer of letters whose vectors are held below a norm whenever they are looked up."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embedding, self.head = nn.Embedding(4, 3, max_norm=0.5), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.embedding(x.argmax(1)).relu().mean(1))
        return y


class Counting(nn.Module):
    """Counts its calls in a buffer, which the output does not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 3, 5)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y: Tensor = self.conv(x).amax(2)
        return y


@pytest.mark.parametrize("name", FALLING_BACK)
def test_what_falls_back(name: str) -> None:
    build, reason = FALLING_BACK[name]
    module, x = build(), one_hot(2, 4, LENGTH)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    method = ab.get_method("fastism")(module)
    for _ in range(2):  # what is found out in the first call holds in the second
        with pytest.warns(FallbackWarning, match=reason):
            result = method.attribute(x, target="all")
        assert "fallback" in result.metadata
        after = module.state_dict()
        assert all(torch.equal(after[key], value) for key, value in before.items())
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-10)


REPARAMETRISED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "spectral norm": nn.utils.parametrizations.spectral_norm,
    "weight norm": nn.utils.parametrizations.weight_norm,
    "spectral norm by a hook": nn.utils.spectral_norm,
    "orthogonal": nn.utils.parametrizations.orthogonal,
}


@pytest.mark.parametrize("name", REPARAMETRISED)
def test_weights_that_are_computed_from_others(name: str) -> None:
    module, x = model(lambda m, x: m.head(hidden(m, x))), one_hot(2, 4, LENGTH)
    module.conv = REPARAMETRISED[name](module.conv)
    module.train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    result = ab.get_method("fastism")(module, min_speedup=0).attribute(x, target="all")
    assert "fallback" not in result.metadata
    assert module.training
    assert all(torch.equal(module.state_dict()[key], value) for key, value in before.items())
    assert_parity(dict(result.predictions), brute_force(module.eval(), x), 1e-10)


KEYWORD_ONLY: dict[str, Callable[..., object]] = {
    "round to decimals": lambda m, x: m.head(hidden(m, x)).round(decimals=3),
    "round windows to decimals": lambda m, x: m.head(m.conv(x).round(decimals=2).amax(2)),
    "sum in another precision": lambda m, x: m.head(m.conv(x).relu().sum(2, dtype=torch.float64)),
    "mean in another precision": lambda m, x: m.head(m.conv(x).relu().mean(2, dtype=torch.float64)),
    "division rounded down": lambda m, x: m.head(torch.div(m.conv(x), 0.25, rounding_mode="floor").amax(2)),
    "division rounded to zero": lambda m, x: m.head(torch.div(m.conv(x), 0.25, rounding_mode="trunc").amax(2)),
    "sum with a factor": lambda m, x: m.head(torch.add(m.conv(x), m.conv(x).relu(), alpha=2).amax(2)),
    "difference with a factor": lambda m, x: m.head(torch.sub(m.conv(x), 0.5, alpha=3).relu().amax(2)),
    "gelu by its approximation": lambda m, x: m.head(F.gelu(m.conv(x), approximate="tanh").amax(2)),
    "clamp by names": lambda m, x: m.head(torch.clamp(m.conv(x), min=-0.1, max=0.3).amax(2)),
    "numbers for what is no number": lambda m, x: m.head(torch.nan_to_num(m.conv(x), nan=1.0, posinf=2.0).amax(2)),
    "logit": lambda m, x: m.head(torch.logit(m.conv(x).sigmoid(), eps=0.1).amax(2)),
    "softmax in another precision": lambda m, x: m.head(m.conv(x).softmax(1, dtype=torch.float64).amax(2)),
}


@pytest.mark.parametrize("name", KEYWORD_ONLY)
def test_operators_with_arguments_by_keyword_alone(name: str) -> None:
    module, x = model(KEYWORD_ONLY[name]), one_hot(2, 4, LENGTH)
    result = ab.get_method("fastism")(module, min_speedup=0).attribute(x, target="all")
    assert "fallback" not in result.metadata
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-10)


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
