"""Parity is the contract: fastISM's predictions are the model's own, at every position and letter."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench.errors import FallbackWarning, InconsistencyWarning
from fastism_models import LENGTH, MODELS, WHOLE_SOMEWHERE, Custom, build, controls_join, joint_head
from parity import assert_parity, brute_force, one_hot, plan_of

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


@pytest.mark.parametrize("name", MODELS)
def test_every_rule_in_float64(name: str) -> None:
    module = build(name).double()
    x = one_hot(2, 4, LENGTH)
    result = ab.get_method("fastism")(module, self_check=False).attribute(x, target="all")
    assert "fallback" not in result.metadata
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-10)


@pytest.mark.parametrize("name", sorted(set(MODELS) - WHOLE_SOMEWHERE))
def test_rules_hold_the_whole_model(name: str) -> None:
    """Nothing runs in full for want of a rule."""
    model = ab.as_sequence_model(build(name))
    with model.inference():
        plan = plan_of(model, LENGTH)
    assert plan is not None
    assert {step.node.layer: step.reason for step in plan.steps.values() if step.reason} == {}


ONCE = {
    "repeated": lambda h: h.repeat_interleave(1, 2),
    "upsampled": lambda h: nn.functional.interpolate(h, scale_factor=1),
    "taken by index": lambda h: h.index_select(2, torch.tensor([0])),
    "joined": lambda h: torch.cat([h], 2),
    "repeated along an axis of its own": lambda h: h.unsqueeze(3).repeat_interleave(1, 3).flatten(2),
}
"""Ways to take the one place that a global mean leaves once."""


@pytest.mark.parametrize("way", ONCE)
@pytest.mark.parametrize("channels", [1, 4])
def test_one_place_taken_once_has_no_positions_again(way: str, channels: int) -> None:
    def head(self: Custom, x: torch.Tensor) -> torch.Tensor:
        h = ONCE[way](nn.functional.adaptive_avg_pool1d(self.conv(x).log_softmax(1), 1))
        return self.dense(h.transpose(1, 2).flatten(1))

    module = Custom(head, conv=nn.Conv1d(4, channels, 1), dense=nn.Linear(channels, 2)).eval().double()
    x = one_hot(2, 4, 10)
    result = ab.get_method("fastism")(module, self_check=False, min_speedup=0).attribute(x, target="all")
    assert "fallback" not in result.metadata
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_every_rule_in_float32_with_unknown_letters(name: str) -> None:
    module = build(name)
    x = one_hot(2, 4, LENGTH, seed=1)
    x[0, :, [0, 7, LENGTH - 1]] = 0
    result = ab.get_method("fastism")(module).attribute(x.astype(np.float32), target="all")
    assert_parity(dict(result.predictions), brute_force(module.double(), x), 1e-5)
    np.testing.assert_array_equal(result.one_hot, x)


@pytest.mark.parametrize("length", [1000, 2000])
@pytest.mark.parametrize("architecture", ["basset", "factorized_basset", "bpnet"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_paper_models_on_real_sequence(architecture: str, length: int, dtype: torch.dtype, tolerance: float) -> None:
    """A sample of positions over the whole sequence; every position is compared by the long test below."""
    positions = sorted({*range(0, length, length // 6), 1, length - 2, length - 1})
    compare_with_standard_ism(architecture, length, dtype, tolerance, positions)


@pytest.mark.long
@pytest.mark.parametrize("length", [1000, 2000])
@pytest.mark.parametrize("architecture", ["basset", "factorized_basset", "bpnet"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_paper_models_at_every_position(architecture: str, length: int, dtype: torch.dtype, tolerance: float) -> None:
    compare_with_standard_ism(architecture, length, dtype, tolerance, list(range(length)))


def compare_with_standard_ism(
    architecture: str, length: int, dtype: torch.dtype, tolerance: float, positions: list[int]
) -> None:
    from attribution_bench.sequences import lambda_windows

    module = ab.get_model(architecture)(length=length).to(dtype)
    x = lambda_windows(length, 1).one_hot().astype(np.float64 if dtype == torch.float64 else np.float32)
    fast = ab.get_method("fastism")(module).attribute(x, target="all", positions=positions)
    slow = ab.get_method("standard_ism")(module).attribute(x, target="all", positions=positions)
    for name, expected in slow.predictions.items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(fast.predictions[name], expected, rtol=0, atol=tolerance * scale)
        np.testing.assert_allclose(
            fast.reference_predictions[name], slow.reference_predictions[name], rtol=0, atol=tolerance * scale
        )


def test_extra_inputs_join_anywhere() -> None:
    torch.manual_seed(0)
    module = controls_join().double().eval()
    x = one_hot(3, 4, LENGTH)
    control, cell = torch.randn(3, 2, LENGTH, dtype=torch.float64), torch.randn(3, 3, dtype=torch.float64)
    result = ab.get_method("fastism")(module).attribute(x, target="all", additional_forward_args=(control, cell))
    assert_parity(dict(result.predictions), brute_force(module, x, (control, cell)), 1e-10)


class Factors(nn.Module):
    """Weights of positions times weights of channels, in one sum of three tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 6, 5, padding=2)
        self.channels, self.positions = nn.Parameter(torch.randn(6, 3)), nn.Parameter(torch.randn(6, 12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ncl,cl,co->no", self.first(x).relu(), self.positions, self.channels)


def test_a_sum_of_three_tensors_is_captured() -> None:
    """PyTorch has their order planned by the package opt_einsum where that is there, which looks at the batch."""
    torch.manual_seed(0)
    module, x, enabled = Factors().double().eval(), one_hot(2, 4, 12), torch.backends.opt_einsum.enabled
    method = ab.get_method("fastism")(module, min_speedup=0.0)
    result = method.attribute(x, target="all")
    assert "fallback" not in result.metadata
    assert_parity(result.predictions, brute_force(module, x), 1e-10)
    assert torch.backends.opt_einsum.enabled == enabled


class ContactMap(nn.Module):
    """Features of every two positions together, as models of chromatin contacts have them."""

    def __init__(self, pair: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv1d(4, 8, 5, padding=2), nn.ReLU(), nn.Conv1d(8, 6, 3, padding=1), nn.ReLU())
        self.head, self.pair = nn.Conv2d(6, 1, 1), pair

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.trunk(x)
        return self.head(self.pair(y[:, :, :, None], y[:, :, None, :])).relu().sum((2, 3))


@pytest.mark.parametrize("pair", [torch.add, torch.sub, torch.mul, torch.maximum], ids=lambda pair: pair.__name__)
def test_pairs_of_positions_run_whole_and_say_so(pair: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    torch.manual_seed(0)
    module, x = ContactMap(pair).double().eval(), one_hot(2, 4, 12)
    method = ab.get_method("fastism")(module, min_speedup=0.0, self_check=False)
    assert_parity(method.attribute(x, target="all").predictions, brute_force(module, x), 1e-10)
    if pair is not torch.mul:
        assert "it pairs every position with every other one" in str(method.explain(12))


def test_dense_layers_on_joint_features_keep_windows() -> None:
    module, x = joint_head().double().eval(), one_hot(3, 4, LENGTH)
    cell = torch.randn(3, 2, dtype=torch.float64)
    method = ab.get_method("fastism")(module)
    result = method.attribute(x, target="all", additional_forward_args=(cell,))
    assert_parity(dict(result.predictions), brute_force(module, x, (cell,)), 1e-10)
    plan = method.explain(LENGTH, additional_forward_args=(cell.numpy(),))
    assert {layer.layer: layer.reason for layer in plan.layers if layer.reason} == {}
    assert {"hidden: linear", "hidden: linear of relu", "hidden: linear of max_pool1d", "hidden: linear of amax"} <= {
        layer.layer for layer in plan.layers
    }
    largest = next(layer for layer in plan.layers if layer.layer == "other: linear_2 of relu")
    assert (largest.products_standard, largest.products_fast) == (3 * 26, 3 * 5)


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_very_short_sequences(length: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(4, 3, 5, padding="same"), nn.ReLU(), nn.Conv1d(3, 2, 3, padding=1)).double()
    x = one_hot(2, 4, length)
    result = ab.get_method("fastism")(module).attribute(x, target="all")
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-10)


def test_protein_in_channels_last_layout() -> None:
    torch.manual_seed(0)

    class ChannelsLast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv1d(20, 5, 3, padding=1), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(x.transpose(1, 2)).relu().mean(2))

    model = ab.as_sequence_model(ChannelsLast().double(), layout="NLA", alphabet="protein")
    x = one_hot(2, 20, 12)
    fast = ab.get_method("fastism")(model).attribute(x, target="all").predictions["output"]
    slow = ab.get_method("standard_ism")(model).attribute(x, target="all").predictions["output"]
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["conv, relu, norm, pool, dense", "residual, two heads", "recurrent tail"])
def test_same_whatever_the_budget_the_batch_and_the_positions(name: str) -> None:
    module = build(name).double()
    x = one_hot(5, 4, LENGTH)
    whole = ab.get_method("fastism")(module).attribute(x, target="all")
    small = ab.get_method("fastism")(module, memory_budget=2**20).attribute(x, target="all", batch_size=2)
    some = ab.get_method("fastism")(module).attribute(x, target="all", positions=[0, 3, 4, 17, 29])
    for output, expected in whole.predictions.items():
        np.testing.assert_allclose(small.predictions[output], expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(some.predictions[output], expected[:, :, [0, 3, 4, 17, 29]], rtol=0, atol=1e-12)


def test_targets_are_applied_on_the_way() -> None:
    module = build("residual, two heads").double()
    x = one_hot(2, 4, LENGTH)
    method = ab.get_method("fastism")(module)
    everything = method.attribute(x, target="all").predictions
    one = method.attribute(x, target=("profile", 4)).predictions["profile"]
    summed = method.attribute(x, target=("profile", "sum")).predictions["profile"]
    np.testing.assert_allclose(one, everything["profile"][..., 4], rtol=0, atol=1e-12)
    np.testing.assert_allclose(summed, everything["profile"].sum(-1), rtol=0, atol=1e-12)


def test_weights_that_change_are_captured_again() -> None:
    module = build("conv, relu, norm, pool, dense").double()
    x = one_hot(1, 4, LENGTH)
    method = ab.get_method("fastism")(module)
    method.attribute(x, target="all")
    with torch.no_grad():
        next(module.parameters()).mul_(-2)
    assert_parity(dict(method.attribute(x, target="all").predictions), brute_force(module, x), 1e-10)


def test_model_that_cannot_be_captured_falls_back_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    class DataDependent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(4, 2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x).sum(2)
            return y if float(y.sum()) > 0 else -y

    torch.manual_seed(0)
    module = DataDependent().double()
    x = one_hot(1, 4, 8)
    with pytest.warns(FallbackWarning, match="torch.export cannot capture"):
        result = ab.get_method("fastism")(module).attribute(x, target="all")
    assert "torch.export" in result.metadata["fallback"]
    assert "its code branches on the values of a tensor" in result.metadata["fallback"]
    assert capfd.readouterr() == ("", "")
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-12)


class Storing(nn.Module):
    """Asks Python for the batch size, and keeps things of its own while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Conv1d(4, 3, 5), nn.ReLU())
        self.head = nn.Linear(3 * 26 + 2, 2)
        self.last: torch.Tensor | None = None
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.last = y = self.tower(x)
        y = torch.cat([y.reshape(len(x), -1), torch.ones(len(x), 2, dtype=x.dtype)], 1)
        return self.head(y).view(int(x.shape[0]), 2)


def test_models_that_ask_python_for_the_batch_size_are_captured() -> None:
    torch.manual_seed(0)
    module, x = Storing().double(), one_hot(3, 4, LENGTH)
    module.last = mark = torch.ones(1)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    method = ab.get_method("fastism")(module)
    names = {layer.layer for layer in method.explain(LENGTH).layers}
    assert "tower.0: conv1d" in names
    result = method.attribute(x, target="all")
    assert "fallback" not in result.metadata
    assert type(module.last) is torch.Tensor
    assert module.last is not mark
    assert module.training
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-10)


def test_a_loop_over_the_batch_falls_back_and_says_so() -> None:
    class Loop(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([row.cumsum(1)[0].max() for row in x])

    with pytest.warns(FallbackWarning, match="its code fixes the number of sequences in a batch"):
        ab.get_method("fastism")(Loop().double()).attribute(one_hot(1, 4, 6), target="all")


@pytest.mark.parametrize(
    "across", [lambda y: y - y.mean(0), lambda y: y.softmax(0), lambda y: y.flip(0), lambda y: y / y.amax()]
)
def test_what_depends_on_the_rest_of_the_batch_falls_back_and_says_so(across: Callable[..., torch.Tensor]) -> None:
    torch.manual_seed(0)
    module = Custom(lambda m, x: m.head(across(m.conv(x).amax(2))), conv=nn.Conv1d(4, 3, 3), head=nn.Linear(3, 1))
    model = ab.as_sequence_model(module.double(), on_inconsistency="warn")
    with pytest.warns(InconsistencyWarning), pytest.warns(FallbackWarning, match="mix the sequences of a batch"):
        ab.get_method("fastism")(model).attribute(one_hot(1, 4, 6), target="all")


def test_a_buffer_that_is_changed_in_inference_falls_back_and_says_so() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros((), dtype=torch.float64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.count += 1
            return x.sum((1, 2))

    with pytest.warns(FallbackWarning, match="changes 'count' in inference"):
        ab.get_method("fastism")(Counting()).attribute(one_hot(1, 4, 6), target="all")


def test_random_numbers_in_inference_are_not_captured() -> None:
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + torch.rand_like(x)).sum((1, 2))

    model = ab.as_sequence_model(Noisy(), on_inconsistency="warn")
    with pytest.warns(InconsistencyWarning), pytest.warns(FallbackWarning, match="random numbers"):
        ab.get_method("fastism")(model).attribute(one_hot(1, 4, 4).astype(np.float32), target="all")


def test_self_check_names_the_first_layer_that_diverges(monkeypatch: pytest.MonkeyPatch) -> None:
    from attribution_bench_plugins.fastism.ops.convolution import LinearConvolution

    original = LinearConvolution.run

    def wrong(self: Any, operands: Any, window: Any, block: Any, form: Any) -> Any:
        result = original(self, operands, window, block, form)
        return self.give(block, result.window, delta=result.take_delta() * 1.01, is_masked=True)

    monkeypatch.setattr(LinearConvolution, "run", wrong)
    module = build("residual, two heads").double()
    with pytest.raises(ab.errors.SelfCheckError, match="first at layer 'stem: conv1d'"):
        ab.get_method("fastism")(module).attribute(one_hot(1, 4, LENGTH), target="all")


def test_memory_budget_is_checked() -> None:
    with pytest.raises(ab.errors.InvalidInputError, match="at least 1 MiB"):
        ab.get_method("fastism")(build("dense only"), memory_budget=10)
