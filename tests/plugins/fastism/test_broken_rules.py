"""Rules broken on purpose: parity fails for each of them, and the self-check names the layer."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism.compiled_model import Options
from attribution_bench_plugins.fastism.engine import Engine
from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.ops import Operand, Operation, Rule
from attribution_bench_plugins.fastism.ops.base import MergingOperation
from attribution_bench_plugins.fastism.ops.registry import SPECS, OpSpec
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import Windowed
from fastism_models import LENGTH, MODELS, Custom, build
from parity import assert_parity, brute_force, one_hot, plan_of

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")

COMPUTED = sorted(op for op, spec in SPECS.items() if spec.rule is not None and not spec.traits.free)
"""Ops whose rules compute something; the others name axes, and every other rule relies on the names."""
Specs = Mapping[str, OpSpec[Any]]

Change = Callable[[Rule], Rule]


def told(**changes: Callable[[Any], Any]) -> Change:
    """A rule that is told other parameters than the model's."""

    def change(rule: Rule) -> Rule:
        def broken(node: Node, operands: Sequence[Operand]) -> Operation:
            found = {name: wrong(getattr(node.parameters, name)) for name, wrong in changes.items()}
            return rule(replace(node, parameters=replace(node.parameters, **found)), operands)

        return broken

    return change


def replaced_by(op: str) -> Change:
    """The rule of another op."""

    def change(rule: Rule) -> Rule:
        found = SPECS[op].rule
        assert found is not None
        return found

    return change


def doing(method: str, wrong: Callable[..., Any]) -> Change:
    """A rule whose operation runs `wrong(operation, original, *arguments)` for one of its methods."""

    def change(rule: Rule) -> Rule:
        def broken(node: Node, operands: Sequence[Operand]) -> Operation:
            operation = rule(node, operands)
            original = getattr(operation, method)
            setattr(operation, method, lambda *arguments: wrong(operation, original, *arguments))
            return operation

        return broken

    return change


def too_large(operation: Operation, original: Callable[..., Windowed], *arguments: Any) -> Windowed:
    """Run, and return deltas that are 1% too large."""
    block = arguments[-1] if isinstance(operation, MergingOperation) and len(arguments) == 2 else arguments[2]
    result = original(*arguments)
    delta = result.delta()
    if not delta.is_floating_point():
        return result
    return operation.give(block, result.window, delta=delta * 1.01, is_masked=True)


def narrower(operation: Operation, original: Callable[..., Window], windows: Sequence[Window | None]) -> Window:
    """Return the window without its last position."""
    window = original(windows)
    return Window(window.start, window.step, window.width - 1)


class Forgetful:
    """References in which nothing was there before the mutation."""

    def __init__(self, unmutated: Any) -> None:
        self.unmutated = unmutated

    def view(self, source: str, window: Window, count: int) -> Tensor:
        view: Tensor = self.unmutated.view(source, window, count)
        return view.new_zeros(view.shape)


def forgetting(operation: Operation, original: Callable[..., Windowed], operands: Any, *arguments: Any) -> Windowed:
    """Run without the unmutated values around the window."""
    (known,) = operands
    unmutated, value = Forgetful(known.unmutated), known.value().clone()
    bare = Windowed(unmutated, known.source, known.length, known.window, value=value)  # type: ignore[arg-type]
    return original([bare], *arguments)


def backwards(operation: Operation, original: Callable[..., Windowed], operands: Any, *arguments: Any) -> Windowed:
    """Run on the operands in the opposite order."""
    return original(operands[::-1], *arguments)


@dataclass(frozen=True)
class Break:
    """What is wrong in the rule of one layer of a model."""

    change: Change
    layer: str
    """Its name, as a regular expression: torch numbers what no module calls."""
    model: Callable[[], nn.Module]


def first() -> nn.Module:
    return nn.Conv1d(4, 4, 3, padding=1)


def chain(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(first(), *layers, nn.Tanh(), nn.Conv1d(4, 2, 3))


def two_branches(join: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Custom(
        lambda m, x: m.last(join(m.one(x).tanh(), m.two(x).sigmoid())),
        one=nn.Conv1d(4, 4, 3, padding=1),
        two=nn.Conv1d(4, 4, 5, padding=2),
        last=nn.LazyConv1d(2, 3),
    )


def dense() -> nn.Module:
    return nn.Linear(4 * LENGTH, 3)


def scaled_norm() -> nn.Module:
    norm = nn.BatchNorm1d(4)
    norm.weight.data.uniform_(1.5, 2)
    return norm


BREAKS: Mapping[str, Break] = MappingProxyType(
    {
        "a convolution's window is one too narrow": Break(
            doing("window", narrower), "1: conv1d_1", chain(nn.Conv1d(4, 4, 5, padding=2))
        ),
        "a dilated convolution's taps lie too close": Break(
            told(dilation=lambda d: d - 1, padding=lambda p: (p[0] - 1, p[1] - 1)),
            "1: conv1d_1",
            chain(nn.Conv1d(4, 4, 3, dilation=3, padding=3)),
        ),
        "the first convolution's padding is on one side": Break(
            told(padding=lambda p: (p[0] + 1, p[1] - 1)), "0: conv1d", chain()
        ),
        "a transposed convolution is shifted": Break(
            told(padding=lambda p: p + 1), "1: conv_transpose1d", chain(nn.ConvTranspose1d(4, 4, 4, 2, padding=1))
        ),
        "a maximum forgets what was there": Break(
            doing("run", forgetting), "1: max_pool1d", chain(nn.MaxPool1d(5, 2, padding=1))
        ),
        "an average is divided by another number": Break(
            doing("run", too_large), "1: avg_pool1d", chain(nn.AvgPool1d(4))
        ),
        "a dense layer takes the rows of other positions": Break(
            told(weight=lambda w: w.roll(1, 1)), "2: linear", lambda: nn.Sequential(first(), nn.Flatten(), dense())
        ),
        "batch norm loses its scale": Break(
            told(weight=lambda w: None), "2: batch_norm", chain(nn.ReLU(), scaled_norm())
        ),
        "layer norm is left out": Break(
            told(on_last_axis=lambda f: lambda x: x),
            "norm: layer_norm",
            lambda: Custom(lambda m, x: m.norm(m.conv(x).transpose(1, 2)), conv=first(), norm=nn.LayerNorm(4)),
        ),
        "a concatenation is in the wrong order": Break(
            doing("run", backwards), r"cat\w*", two_branches(lambda a, b: torch.cat([a, b], 1))
        ),
        "a difference is a sum": Break(told(alpha=lambda alpha: -alpha), r"sub\w*", two_branches(lambda a, b: a - b)),
        "a crop begins one position late": Break(
            told(low=lambda low: low + 1), r"1: \w*pad\w*", chain(nn.ConstantPad1d((-3, 0), 0.0))
        ),
        "a mean is a sum": Break(
            replaced_by("sum"), r"mean\w*", lambda: Custom(lambda m, x: m.conv(x).mean(2), conv=first())
        ),
    }
)


def made(broken: Break) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = broken.model().eval()
        module(torch.zeros(1, 4, LENGTH))  # lazy layers find their sizes
    return module.double()


def broken_specs(change: Change, *, op: str | None = None, layer: str = ".*") -> Specs:
    """Return the specs of ops with the rule of one op changed, or of whatever op one layer is."""

    def patched(rule: Rule) -> Rule:
        broken = change(rule)
        return lambda node, operands: (broken if re.fullmatch(layer, node.layer) else rule)(node, operands)

    return {
        name: replace(spec, rule=patched(spec.rule)) if spec.rule is not None and op in (None, name) else spec
        for name, spec in SPECS.items()
    }


def fast_ism(module: nn.Module, specs: Specs, *, self_check: bool) -> FastISM:
    """Return the method with an engine that plans by other specs."""
    method = FastISM(module, self_check=self_check)
    method.engine = Engine(method.model, Options(**method.options, specs=specs))
    return method


def check_parity(module: nn.Module, specs: Specs = SPECS) -> None:
    x = one_hot(2, 4, LENGTH)
    result = fast_ism(module, specs, self_check=False).attribute(x, target="all")
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-10)


@pytest.mark.parametrize("name", BREAKS)
def test_parity_fails_and_the_self_check_names_the_layer(name: str) -> None:
    broken = BREAKS[name]
    module = made(broken)
    check_parity(module)
    specs = broken_specs(broken.change, layer=broken.layer)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_parity(module, specs)
    with pytest.raises(ab.errors.SelfCheckError, match=f"first at layer '{broken.layer}'"):
        fast_ism(module, specs, self_check=True).attribute(one_hot(2, 4, LENGTH), target="all")


@pytest.fixture(scope="module")
def users() -> dict[str, str]:
    """Return for each family a small model in which it computes something."""
    found: dict[str, str] = {}
    for name in MODELS:
        model = ab.as_sequence_model(build(name).double())
        with model.inference():
            captured = plan_of(model, LENGTH)
        assert captured is not None
        for step in (*captured.body, *captured.head):
            if step.operation is not None:
                found.setdefault(step.node.op, name)
    return found


@pytest.mark.parametrize("op", COMPUTED)
def test_parity_fails_when_any_rule_is_one_percent_off(op: str, users: dict[str, str]) -> None:
    assert op in users, f"no small model runs the rule {op!r}"

    def change(rule: Rule) -> Rule:
        def broken(node: Node, operands: Sequence[Operand]) -> Operation:
            method = "run_merged" if isinstance(rule(node, operands), MergingOperation) else "run"
            return doing(method, too_large)(rule)(node, operands)

        return broken

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_parity(build(users[op]).double(), broken_specs(change, op=op))
