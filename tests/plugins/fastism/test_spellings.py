"""Spellings of local operations keep windows; others have reasons that are true, and advice that follows from them."""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.values.window import Positions
from fastism_models import Custom, build
from parity import assert_parity, brute_force, one_hot, plan_of
from spellings import SPELLINGS

LENGTH = 30
EVERYWHERE = {"a mean at every position"}
"""Spellings of operations that read every position."""


def before(plan: Plan, node: str) -> Iterator[str]:
    """Yield a node and all that it depends on."""
    yield node
    for operand in plan.graph.nodes[node].inputs:
        yield from before(plan, operand)


@pytest.mark.parametrize("group", SPELLINGS)
def test_every_spelling_of_a_local_operation_keeps_windows(group: str) -> None:
    model = ab.as_sequence_model(build(f"spellings of {group}"))
    with model.inference():
        plan = plan_of(model, LENGTH)
    kept = {
        output
        for output, node in plan.graph.outputs.items()
        if all(plan.steps[name].mode != "full" for name in before(plan, node))
    }
    assert kept == set(SPELLINGS[group])
    windows = plan.windows(Positions(LENGTH // 2, plan.stride, 1))
    wide = {
        output
        for output, node in plan.graph.outputs.items()
        for step in [plan.steps[node]]
        if step.layout is not None and step.layout.positional
        if windows[step.alias_of].width >= 0.6 * step.layout.length
    }
    assert wide == EVERYWHERE & kept


TRUE_REASONS: dict[str, tuple[Callable[[Tensor], Tensor], str, str]] = {
    "sum that runs along positions": (lambda y: y.cumsum(2), "a running sum carries each change", "pooling"),
    "maximum that runs along positions": (lambda y: y.cummax(2).values, "a running extreme", "pooling"),
    "positions in order": (lambda y: y.sort(2).values, "it orders positions by their values", "pooling"),
    "softmax over positions": (lambda y: y.softmax(-1), "its sum is taken over all positions", "pooling"),
    "variance of positions": (lambda y: y - y.var(2, keepdim=True), "its statistics are taken", "pooling"),
    "product of positions": (lambda y: y.prod(2, keepdim=True) * y, "it runs over axis 'p'", "pooling"),
    "correlation of positions": (lambda y: torch.bmm(y, y.mT + 1), "it multiplies two tensors that both", "pooling"),
    "weights of two axes": (
        lambda y: torch.einsum("ncl,clk->nclk", y, torch.ones(6, LENGTH, 2)),
        "it multiplies a tensor with the axes ('n', 'c', 'p') by (6, 30, 2), which is no dense layer",
        "linear",
    ),
    "norm of groups": (lambda y: F.group_norm(y, 2), "its statistics are taken over all positions", "pooling"),
    "bins of several sizes": (lambda y: F.adaptive_avg_pool1d(y, 7), "its bins are of different sizes", "written"),
    "uneven interpolation": (lambda y: F.interpolate(y, size=47), "its places lie at uneven distances", "written"),
    "what one position holds": (lambda y: y - y[:, :, :1], "what a single position holds joins", "pooling"),
    "distance of pairs": (lambda y: torch.cdist(y, y + 1), "there is no rule for", "in Python rules={'aten::"),
}


@pytest.mark.parametrize("name", TRUE_REASONS)
def test_reasons_look_at_axes_and_operands_and_advice_follows_from_them(name: str) -> None:
    operation, reason, advice = TRUE_REASONS[name]
    module = Custom(lambda m, x: operation(m.stem(x)), stem=nn.Conv1d(4, 6, 3, padding=1)).eval()
    explanation = ab.get_method("fastism")(module).explain(LENGTH)
    first = next(layer for layer in explanation.layers if layer.reason)
    assert first.reason.startswith(reason)
    (found,) = (line for line in explanation.advice if line.startswith(repr(first.layer)))
    assert advice in found
    assert ("pooling" in found) == (advice == "pooling")


class Scan(nn.Module):
    """Computes position after position of (N, 3, L), and gives all of them or the last."""

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor], last: bool) -> None:
        super().__init__()
        self.step, self.last = step, last

    def forward(self, y: Tensor) -> Tensor:
        found = [y[:, :, 0]]
        for position in range(1, y.shape[2]):
            found.append(self.step(found[-1], y[:, :, position]))
        return found[-1] if self.last else torch.stack(found, 2)


STEPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "running sum": lambda before, now: 0.5 * before + now,
    "difference": lambda before, now: torch.tanh(now) - before,
    "each alone": lambda before, now: torch.tanh(now),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", ["convolution", "dense"])
def test_a_loop_over_positions_is_told_at_the_layer_that_has_it(step: str, after: str) -> None:
    last = nn.Conv1d(3, 2, 3) if after == "convolution" else nn.Sequential(nn.Flatten(), nn.Linear(90, 2))
    parts = {"stem": nn.Conv1d(4, 3, 3, padding=1), "scan": Scan(STEPS[step], last=False), "last": last}
    explanation = ab.get_method("fastism")(nn.Sequential(OrderedDict(parts)).eval()).explain(LENGTH)
    first = next(layer for layer in explanation.layers if layer.reason)
    assert first.layer.startswith("scan")
    assert first.reason.startswith("it puts single positions together")
    (found,) = (line for line in explanation.advice if "needs every position" in line)
    assert found.startswith(f"{first.layer!r} needs every position")
    assert "not as a loop" in found


def test_the_last_state_of_a_loop_is_told_and_a_few_positions_are_no_loop() -> None:
    def advice(*parts: nn.Module) -> list[str]:
        stem = nn.Conv1d(4, 3, 3, padding=1)
        found = ab.get_method("fastism")(nn.Sequential(stem, *parts).eval()).explain(LENGTH).advice
        return [line for line in found if "needs every position" in line]

    (loop,) = advice(Scan(STEPS["running sum"], last=True), nn.Linear(3, 2))
    assert loop.startswith("'1")
    ends = Custom(lambda m, y: torch.cat([y[:, :, 0], y[:, :, 7], y[:, :, -1]], 1))
    assert advice(ends, nn.Linear(9, 2)) == []


def test_autocast_keeps_windows_within_the_tolerance_of_its_type() -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return m.head(m.body(x).mean(2)).float()

    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv1d(4, 8, 5), nn.BatchNorm1d(8), nn.GELU(), nn.MaxPool1d(2), nn.Conv1d(8, 8, 3))
    module = Custom(forward, body=body, head=nn.Linear(8, 2)).eval()
    method, x = ab.get_method("fastism")(module), one_hot(2, 4, LENGTH).astype("f4")
    assert {layer.reason for layer in method.explain(LENGTH).layers} == {""}
    assert_parity(dict(method.attribute(x, target="all").predictions), brute_force(module, x), 3e-2)


def test_a_cast_that_does_nothing_costs_nothing() -> None:
    stem = nn.Conv1d(4, 6, 3, padding=1).eval()
    plain = Custom(lambda m, x: m.stem(x).relu(), stem=stem)
    cast = Custom(lambda m, x: m.stem(x.type_as(m.stem.weight)).relu().float(), stem=stem)
    ratios = [ab.get_method("fastism")(module).explain(LENGTH).predicted_ratio for module in (plain, cast)]
    assert ratios[0] == ratios[1]


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (lambda y: torch.cdist(y, y + 1), "_cdist_forward|cdist"),
        (lambda y: F.scaled_dot_product_attention(y, y, y), "scaled_dot_product_attention"),
        (lambda y: F.group_norm(y, 3), "group_norm"),
    ],
    ids=["distances", "attention", "norm of groups"],
)
def test_an_operator_whose_parts_have_no_rules_stays_whole(operation: Callable[[Tensor], Tensor], name: str) -> None:
    module = Custom(lambda m, x: operation(m.stem(x)), stem=nn.Conv1d(4, 3, 3)).eval()
    layers = [layer.layer for layer in ab.get_method("fastism")(module).explain(LENGTH).layers if layer.mode == "full"]
    assert len(layers) == 1
    assert re.fullmatch(name, layers[0])
