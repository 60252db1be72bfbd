"""Windows or full passes: what the engine chooses, what it counts, and what it says of it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench.errors import FallbackWarning
from attribution_bench_plugins.fastism.planning.cost import LAUNCH_COST_MACS, LaunchCounts, Work
from attribution_bench_plugins.fastism.planning.policy import (
    TOO_FEW,
    Decision,
    decide_for_call,
    decide_for_model,
    predicted_speedup,
    savings_of,
)
from fastism_models import build, chain
from parity import assert_parity, brute_force, one_hot
from real_architectures import ARCHITECTURES

pytestmark = pytest.mark.own_choice


def test_work_is_that_counted_by_hand() -> None:
    """Length 100: a look-up, then three taps for each of 5 positions, then the rows of 7 positions of a dense head."""
    module = chain(
        nn.Conv1d(4, 8, 5, padding=2), nn.ReLU(), nn.Conv1d(8, 16, 3, padding=1), nn.Flatten(), nn.Linear(1600, 3)
    )
    layers = {layer.layer: layer for layer in ab.get_method("fastism")(module).explain(100).layers}
    first, second, head = layers["0: conv1d"], layers["2: conv1d_1"], layers["4: linear"]
    assert (first.reached, first.products_standard, first.products_fast) == (5, 100 * 8 * 4 * 5, 0)
    assert (second.reached, second.products_standard, second.products_fast) == (7, 100 * 16 * 8 * 3, 5 * 16 * 8 * 3)
    assert (head.reached, head.products_standard, head.products_fast) == (1, 1600 * 3, 7 * 16 * 3)
    assert second.bytes == 7 * 16 * 4


@pytest.mark.parametrize(
    ("architecture", "length", "least", "most"),
    [
        ("basset", 1000, 55, 85),
        ("basset", 2000, 110, 170),
        ("factorized_basset", 1000, 85, 130),
        ("bpnet", 1000, 9, 17),
    ],
)
def test_predicted_ratios_of_the_papers_models(architecture: str, length: int, least: float, most: float) -> None:
    """By products of windows with kernels, pair by pair, the limits would be 36, 70, 49 and 7.9."""
    explanation = ab.get_method("fastism")(ab.get_model(architecture)(length=length)).explain(length)
    assert least < explanation.predicted_ratio < most
    assert not explanation.fallback
    assert {layer.mode for layer in explanation.layers} <= {"windowed", "global"}


def test_little_to_gain_runs_as_standard_ism_and_says_so() -> None:
    module = ARCHITECTURES["LSTM only"].build().double()
    x = one_hot(2, 4, ARCHITECTURES["LSTM only"].length)
    method = ab.get_method("fastism")(module)
    with pytest.warns(FallbackWarning, match="windows would save too little.*recurrent"):
        result = method.attribute(x, target="all")
    assert "recurrent" in result.metadata["fallback"]
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-12)
    explanation = method.explain(x.shape[2])
    assert explanation.predicted_ratio == 1
    assert "recurrent" in explanation.fallback


REASONS = {
    "DanQ": ("lstm: lstm", "recurrent"),
    "Enformer": ("transformer.0.layers.1: matmul", "multiplies two tensors that both depend on the sequence"),
    "squeeze-excitation ResNet": ("first: mul", "a branch that has read all positions joins"),
    "profile times count": ("softmax", "its sum is taken over all positions"),
    "LSTM only": ("lstm: lstm", "recurrent"),
    "bpnet-lite's weighted profile": ("sub", "a branch that has read all positions joins"),
    "Borzoi": ("attention.1: einsum_1", "it multiplies two tensors that both depend on the sequence"),
    "LegNet": ("body.3: mul", "a branch that has read all positions joins"),
    "Sei": ("matmul", "it multiplies the last of the axes"),
    "ProCapNet": ("log_softmax", "its sum is taken over all positions"),
    "ESM": ("model.attention: view", "its shape depends on the batch"),
}
"""Published architectures with a layer that needs every position: the first such layer, and why."""


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_reasons_name_the_layer_and_why(name: str) -> None:
    architecture = ARCHITECTURES[name]
    extras = tuple(np.zeros((1, *shape)) for shape in architecture.extras) or None
    method = ab.get_method("fastism")(architecture.build().double())
    explanation = method.explain(architecture.length, additional_forward_args=extras)
    causes = [layer for layer in explanation.layers if layer.reason and not layer.reason.startswith("it follows")]
    if name not in REASONS:
        assert not causes
        assert {layer.mode for layer in explanation.layers} <= {"constant", "windowed", "global"}
        return
    layer, reason = REASONS[name]
    if name != "ESM":  # a view computes nothing, and is none of the layers
        assert causes[0].layer.startswith(layer)
        assert reason in causes[0].reason
    assert any(f"'{layer}" in advice and reason in advice for advice in explanation.advice)
    assert reason in str(explanation)


def test_model_that_cannot_be_captured_is_explained() -> None:
    class DataDependent(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sum((1, 2)) if float(x.sum()) > 0 else -x.sum((1, 2))

    explanation = ab.get_method("fastism")(DataDependent()).explain(10)
    assert explanation.layers == ()
    assert explanation.predicted_ratio == 1
    assert "torch.export cannot capture" in str(explanation)


def test_plan_leaves_the_model_alone_and_names_a_length_that_does_not_fit() -> None:
    module = build("dense only").train()
    with pytest.raises(ab.errors.ModelError, match="does not take sequences of length 7"):
        ab.get_method("fastism")(module).explain(7)
    ab.get_method("fastism")(module).explain(30)
    assert module.training


def test_predicted_ratio_counts_what_starts_cost() -> None:
    module = chain(nn.Flatten(), nn.Linear(4 * 30, 3), nn.ReLU())
    method = ab.get_method("fastism")(module)
    method.explain(30)
    (engine,) = method.engine.cache.models
    work = Work.of(engine.plan, "cpu")
    # A dense layer and a ReLU, in the unmutated pass and in the one walk: the flattening computes nothing.
    starts = 4 * LAUNCH_COST_MACS["cpu"]
    assert predicted_speedup(work, LaunchCounts(10, 10, 1, 1)) == pytest.approx(
        10 * work.full / (10 * work.planned + starts)
    )
    assert predicted_speedup(work, LaunchCounts(10**8, 10**8, 1, 1)) == pytest.approx(
        work.full / work.planned, rel=1e-3
    )


@pytest.mark.parametrize("count", [1, 40])
def test_few_mutations_take_full_passes_without_a_word_and_many_take_windows(count: int) -> None:
    """Blocks have their price, which a few mutations of a small model do not earn."""
    module, x = ARCHITECTURES["both strands"].build().double(), one_hot(count, 4, 60)
    result = ab.get_method("fastism")(module).attribute(x, target="all")
    assert ("few mutations" in result.metadata.get("fallback", "")) is (count == 1)
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-10)


def test_a_model_that_has_not_changed_is_not_asked_for_its_outputs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Sequential(nn.Conv1d(4, 6, 5, padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(240, 2)).eval()
    method, x = ab.get_method("fastism")(module, min_speedup=0), one_hot(1, 4, 40)
    asked: list[int] = []
    checked_outputs = type(method.model).checked_outputs

    def counted(self: Any, one_hot: Any, extras: Any = ()) -> Any:
        asked.append(one_hot.shape[2])
        return checked_outputs(self, one_hot, extras)

    monkeypatch.setattr(type(method.model), "checked_outputs", counted)
    first = method.attribute(x, target="all")
    again = method.attribute(x, target="all")
    assert asked == [40]
    np.testing.assert_array_equal(again.predictions["output"], first.predictions["output"])
    module[3] = nn.Linear(240, 3)
    changed = method.attribute(x, target="all")
    assert asked == [40, 40]
    assert changed.predictions["output"].shape == (1, 4, 40, 3)
    with torch.no_grad():
        module[3].weight.mul_(2)
    doubled = method.attribute(x, target="all")
    assert_parity(dict(doubled.predictions), brute_force(module.double(), x), 1e-5)


WORK = Work(full=1000, planned=100, block=2000, group=4000)
"""Ten times cheaper on windows, but for what starting costs."""


@pytest.mark.parametrize(
    ("launches", "speedup"),
    [
        (LaunchCounts(10, 10, 1, 1), 10_000 / 7000),
        (LaunchCounts(100, 100, 5, 2), 100_000 / 28_000),
        (LaunchCounts(0, 0, 0, 0), 0),
    ],
)
def test_speedups_are_full_work_over_planned_work_and_launches(launches: LaunchCounts, speedup: float) -> None:
    assert predicted_speedup(WORK, launches) == pytest.approx(speedup)


def test_windows_run_from_the_least_speedup_on() -> None:
    launches = LaunchCounts(100, 100, 5, 2)
    at_least = predicted_speedup(WORK, launches)
    for least in (0, 1.25, at_least):
        assert decide_for_model(WORK, launches, least) == Decision(True, "", at_least)
    decision = decide_for_model(WORK, launches, at_least * 1.001)
    assert decision == Decision.full_passes("windows would save too little, 3.57 times")
    assert decision.predicted_speedup == 1


def test_a_call_takes_full_passes_where_its_model_does_or_where_it_asks_for_too_few() -> None:
    never = Decision.full_passes("no rule")
    windows = decide_for_model(WORK, LaunchCounts(10**6, 10**6, 10, 1), 1.25)
    many, few = LaunchCounts(1000, 1000, 5, 2), LaunchCounts(5, 5, 1, 1)
    assert decide_for_call(never, WORK, many, 0) is never
    assert decide_for_call(windows, WORK, many, 1.25).run_windows
    assert decide_for_call(windows, WORK, many, 1.25).predicted_speedup == predicted_speedup(WORK, many)
    assert decide_for_call(windows, WORK, few, 1.25) == Decision.full_passes(TOO_FEW)


@pytest.mark.parametrize("launches", [LaunchCounts(40, 40, 5, 2), LaunchCounts(7, 7, 1, 1), LaunchCounts(9, 9, 1, 1)])
def test_mutations_of_a_list_save_something_from_the_least_speedup_on(launches: LaunchCounts) -> None:
    speedup, counts = predicted_speedup(WORK, launches), (launches.mutations, launches.blocks, launches.groups)
    assert savings_of(WORK, speedup).of(*counts) == pytest.approx(0, abs=1e-6)
    assert savings_of(WORK, speedup * 0.99).of(*counts) > 0
    assert savings_of(WORK, speedup * 1.01).of(*counts) < 0
    # With no least speed-up only the unmutated pass of a sequence that another group holds, too, costs something.
    assert savings_of(WORK, 0).of(*counts) == launches.mutations * WORK.full
    assert savings_of(WORK, 0).of(3, 2, 1, again=3) == 0
