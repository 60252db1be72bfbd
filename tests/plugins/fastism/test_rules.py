"""Rules for operations of the user's own: right ones are exact on windows, wrong ones are caught."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attribution_bench as ab
import keras_models
from attribution_bench.fastism import Local
from attribution_bench.testing import ConformanceError, check_rules
from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.ops import Operand, elementwise
from attribution_bench_plugins.fastism.ops.custom_rules import GivenRule
from attribution_bench_plugins.fastism.ops.local import LocalFunction
from attribution_bench_plugins.fastism.values.window import Window
from fastism_models import Custom
from parity import assert_parity, brute_force, one_hot

NAME = "rules_test::attention_pool"


def stretches(x: Tensor, kernel: int, stride: int, left: int, right: int, dilation: int, pad: float) -> Tensor:
    """Return what each output position reads of (N, C, L), (N, C, positions, kernel)."""
    reach = (kernel - 1) * dilation + 1
    return F.pad(x, (left, right), value=pad).unfold(2, reach, stride)[..., ::dilation]


@torch.library.custom_op(NAME, mutates_args=())
def attention_pool(
    x: Tensor, weight: Tensor, kernel: int, stride: int, left: int, right: int, dilation: int, pad: float
) -> Tensor:
    """Return the mean of (N, C, L) under a kernel, weighted by a softmax of a score of each position."""
    read = stretches(x, kernel, stride, left, right, dilation, pad)
    return torch.einsum("ncpk,npk->ncp", read, torch.einsum("ncpk,c->npk", read, weight).softmax(-1))


@attention_pool.register_fake
def _(x: Tensor, weight: Tensor, kernel: int, stride: int, left: int, right: int, dilation: int, pad: float) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[1], (x.shape[2] + left + right - (kernel - 1) * dilation - 1) // stride + 1)


@torch.library.custom_op("rules_test::pool_to_multiple", mutates_args=())
def pool_to_multiple(x: Tensor) -> Tensor:
    """Return the largest of each three of (N, L, C), padded by its length to both sides, and twice that beside it."""
    lacking = -x.shape[1] % 3
    read = F.pad(x, (0, 0, lacking // 2, lacking - lacking // 2)).unflatten(1, (-1, 3)).amax(2)
    return torch.cat([read, 2 * read.exp()], 2)


@pool_to_multiple.register_fake
def _(x: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], -(-x.shape[1] // 3), 2 * x.shape[2])


@torch.library.custom_op("rules_test::gate", mutates_args=())
def gate(x: Tensor, offset: Tensor) -> Tensor:
    """Return a function of single elements."""
    return (x + offset).tanh() * x


@gate.register_fake
def _(x: Tensor, offset: Tensor) -> Tensor:
    return torch.empty_like(x)


class Pooled(nn.Module):
    """Convolution, the pool of the user's own, convolution."""

    def __init__(self, *, first: bool = False, **settings: float) -> None:
        super().__init__()
        self.first = nn.Identity() if first else nn.Conv1d(4, 5, 3, padding=1)
        self.settings = {"kernel": 4, "stride": 4, "left": 0, "right": 0, "dilation": 1, "pad": 0.0, **settings}
        self.weight = nn.Parameter(torch.randn(4 if first else 5))
        self.last = nn.Conv1d(len(self.weight), 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.last(attention_pool(self.first(x), self.weight, **self.settings).tanh())
        return value


def seeded(build: type[nn.Module], **options: object) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(**options).double().eval()


def local(node: Node, operands: Sequence[Operand]) -> Local:
    """Return the rule by what the model itself says of it."""
    p = node.parameters
    return Local(p["kernel"], p["stride"], p["left"], p["dilation"])


def modes(module: object, rules: dict[str, GivenRule], length: int) -> dict[str, str]:
    plan = ab.get_method("fastism")(module, rules=rules).explain(length)
    return {layer.kind: layer.mode for layer in plan.layers if layer.kind}


def check(module: nn.Module, rules: dict[str, GivenRule], length: int) -> None:
    x = one_hot(3, 4, length)
    result = ab.get_method("fastism")(module, rules=rules).attribute(x, target="all")
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-12)


@pytest.mark.parametrize(
    ("length", "settings"),
    [
        (30, {}),
        (31, {}),
        (33, {"first": True}),
        (30, {"kernel": 1, "stride": 1}),
        (30, {"kernel": 5, "stride": 1, "left": 2, "right": 2}),
        (30, {"kernel": 5, "stride": 1, "left": 2, "right": 2, "pad": -3.0}),
        (30, {"kernel": 4, "stride": 1, "left": 3, "right": 0}),
        (30, {"kernel": 4, "stride": 1, "left": 0, "right": 3}),
        (30, {"kernel": 3, "stride": 2, "left": 1, "right": 1}),
        (31, {"kernel": 2, "stride": 3, "left": 1}),
        (31, {"kernel": 3, "stride": 2, "left": 4, "right": 4, "dilation": 3}),
        (31, {"kernel": 3, "stride": 4, "left": 3, "right": 6, "dilation": 2, "pad": 1.0}),
        (33, {"kernel": 3, "stride": 4, "left": 3, "right": 6, "dilation": 2, "pad": 1.0}),
        (33, {"kernel": 9, "stride": 11}),
        (30, {"kernel": 21, "stride": 1, "left": 10, "right": 10}),
    ],
    ids=str,
)
def test_every_position_of_a_local_rule(length: int, settings: dict[str, float]) -> None:
    module = seeded(Pooled, **settings)
    assert modes(module, {NAME: local}, length) == {NAME: "windowed"}
    check(module, {NAME: local}, length)


@pytest.mark.parametrize("length", [29, 30, 31])
def test_padding_by_the_length_and_other_channels(length: int) -> None:
    module = Custom(
        lambda m, x: m.last(pool_to_multiple(m.first(x).transpose(1, 2)).transpose(1, 2)),
        first=nn.Conv1d(4, 3, 3),
        last=nn.Conv1d(6, 2, 3),
    ).double()
    rules: dict[str, GivenRule] = {"rules_test::pool_to_multiple": Local(3, 3, padding=(-(length - 2) % 3) // 2)}
    assert modes(module, rules, length) == {"rules_test::pool_to_multiple": "windowed"}
    check(module, rules, length)


def test_a_rule_that_leaves_one_position() -> None:
    module = seeded(Pooled, kernel=30, stride=1)
    module.last = nn.Identity()
    assert modes(module, {NAME: local}, 30) == {NAME: "global"}
    check(module, {NAME: local}, 30)


def test_a_function_in_the_operations_place() -> None:
    def pool(x: Tensor, weight: Tensor) -> Tensor:
        read = x.unfold(2, 4, 4)
        return torch.einsum("ncpk,npk->ncp", read, torch.einsum("ncpk,c->npk", read, weight).softmax(-1))

    check(seeded(Pooled), {NAME: Local(4, 4, function=pool)}, 30)


def test_a_rule_of_the_engines_own() -> None:
    module = Custom(lambda m, x: m.last(gate(m.first(x), m.offset)), first=nn.Conv1d(4, 3, 3), last=nn.Conv1d(3, 2, 3))
    module.offset = nn.Parameter(torch.randn(3, 1))
    assert modes(module, {"rules_test::gate": elementwise}, 30) == {"rules_test::gate": "windowed"}
    check(module.double(), {"rules_test::gate": elementwise}, 30)


def test_an_operator_of_the_users_is_taken_apart_whatever_its_name() -> None:
    library = torch.library.Library("rules_of_names", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define("gru_attention_matmul(Tensor x, Tensor y) -> Tensor")  # type: ignore[no-untyped-call]
    library.impl("gru_attention_matmul", lambda x, y: x.sigmoid() * y, "CompositeImplicitAutograd")  # type: ignore[no-untyped-call]
    module = Custom(
        lambda m, x: m.last(torch.ops.rules_of_names.gru_attention_matmul(m.first(x), m.second(x))),
        first=nn.Conv1d(4, 3, 3),
        second=nn.Conv1d(4, 3, 3),
        last=nn.Conv1d(3, 2, 3),
    ).double()
    assert {layer.reason for layer in ab.get_method("fastism")(module).explain(30).layers} == {""}
    check(module, {}, 30)


def test_a_keras_layer_by_its_class() -> None:
    class AttentionPool(keras.layers.Layer):
        def __init__(self, size: int) -> None:
            super().__init__(dtype="float64")
            self.size = size

        def build(self, shape: tuple[int | None, ...]) -> None:
            self.score = self.add_weight(shape=(shape[-1], 1), initializer=keras.initializers.GlorotNormal(1))

        def call(self, x: object) -> object:
            length = x.shape[1] // self.size * self.size  # type: ignore[attr-defined]
            read = keras.ops.reshape(x[:, :length], (-1, length // self.size, self.size, x.shape[2]))  # type: ignore[index, attr-defined]
            # Sorting has no rule of its own, so that the layer stays whole.
            return keras.ops.sort(read * keras.ops.softmax(keras.ops.matmul(read, self.score), 2), 2)[:, :, -1]

    def rule(node: Node, operands: Sequence[Operand]) -> Local:
        size = node.parameters["layer"].size
        return Local(size, size)

    x = keras.Input((31, 4), dtype="float64")
    hidden = keras.layers.Conv1D(5, 3, kernel_initializer=keras.initializers.GlorotNormal(2), dtype="float64")(x)
    hidden = AttentionPool(3)(hidden)
    initial = keras.initializers.GlorotNormal(3)
    model = keras.Model(x, keras.layers.Conv1D(2, 2, kernel_initializer=initial, dtype="float64")(hidden))
    assert modes(model, {}, 31) == {"AttentionPool": "full"}
    (layer,) = (found for found in ab.get_method("fastism")(model).explain(31).layers if found.kind == "AttentionPool")
    assert layer.reason == "there is no rule for 'AttentionPool', and its 'Sort' has no rule"
    assert modes(model, {"AttentionPool": rule}, 31) == {"AttentionPool": "windowed"}
    check_rules(model, {"AttentionPool": rule}, 31)
    inputs = one_hot(2, 4, 31)
    found = ab.get_method("fastism")(model, rules={"AttentionPool": rule}).attribute(inputs, target="all").predictions
    truth = ab.get_method("standard_ism")(model).attribute(inputs, target="all").predictions
    assert_parity(dict(found), dict(truth), 1e-10)


def test_a_rule_for_a_layer_that_is_followed_anyway_is_taken() -> None:
    model = keras_models.build("users_layers")
    rules = {"SoftmaxPooling": Local(2, 2), "Lambda": Local(1)}
    layers = ab.get_method("fastism")(model, rules=rules).explain(keras_models.LENGTH).layers
    assert {layer.reason for layer in layers} == {""}


class Narrow(LocalFunction):
    def window(self, windows: Sequence[Window | None]) -> Window:
        window = super().window(windows)
        return Window(window.start, window.step, window.width - 1)


SMOOTH = {"kernel": 5, "stride": 1, "left": 2, "right": 2}


def smooth(factor: float, pad: float) -> Local:
    return Local(5, padding=2, function=lambda x, weight: factor * attention_pool(x, weight, 5, 1, 2, 2, 1, pad))


WRONG: dict[str, tuple[dict[str, int], GivenRule]] = {
    "a kernel too small": (SMOOTH, Local(3, padding=2)),
    "padding of another width": (SMOOTH, Local(5, padding=1)),
    "no dilation": ({"kernel": 3, "stride": 1, "left": 3, "right": 3, "dilation": 3}, Local(3, padding=2)),
    "a window one too narrow": (SMOOTH, lambda node, operands: Narrow(node, operands, Local(5, padding=2))),
    "values 1% too large": (SMOOTH, smooth(1.01, 0)),
    "padding with another number": (SMOOTH, smooth(1, 1)),
    "one position alone": (SMOOTH, Local(1)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_are_caught(name: str) -> None:
    settings, rule = WRONG[name]
    module = seeded(Pooled, **settings)
    check_rules(module, {NAME: local}, 31)
    with pytest.raises(ConformanceError, match=r"'output' differ from full passes where \d+ of 31 positions"):
        check_rules(module, {NAME: rule}, 31)
    with pytest.raises(ab.errors.SelfCheckError, match="first at layer 'attention_pool"):
        ab.get_method("fastism")(module, rules={NAME: rule}).attribute(one_hot(2, 4, 31), target="all")


def test_a_rule_that_gives_another_number_of_positions() -> None:
    with pytest.raises(ab.errors.InvalidInputError, match=r"gives 7 positions for 31; by its rule .* give 15 to 16"):
        modes(seeded(Pooled), {NAME: Local(2, 2)}, 31)


def test_a_rule_for_an_operation_that_is_not_there() -> None:
    method = ab.get_method("fastism")(seeded(Pooled), rules={"rules_test::attention": Local(4, 4)})
    with pytest.raises(ab.errors.InvalidInputError, match=f"no operation 'rules_test::attention' .*those .* {NAME}"):
        method.attribute(one_hot(1, 4, 30), target="all")


def test_what_is_no_rule() -> None:
    with pytest.raises(ab.errors.InvalidInputError, match="must be a Local or a function, not 4"):
        ab.get_method("fastism")(seeded(Pooled), rules={NAME: 4})
    with pytest.raises(ab.errors.InvalidInputError, match="stride"):
        Local(4, stride=0)


def test_a_rule_that_does_not_fit_runs_in_full_and_does_not_pass() -> None:
    module = Custom(
        lambda m, x: m.head(attention_pool(m.conv(x), m.scores, 4, 4, 0, 0, 1, 0.0)), conv=nn.Conv1d(4, 3, 3)
    )
    module.scores, module.head = nn.Parameter(torch.randn(3)), nn.Conv1d(3, 2, 3)
    module = module.double()
    rules: dict[str, GivenRule] = {
        NAME: lambda node, operands: LocalFunction(node, [operands[0], operands[0]], Local(4, 4))
    }
    assert modes(module, rules, 30) == {NAME: "full"}
    check(module, rules, 30)
    with pytest.raises(ConformanceError, match="runs in full: several of its inputs depend on the sequence"):
        check_rules(module, rules, 30)


def test_rules_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pool_rules.py").write_text("from attribution_bench.fastism import Local\nrule = Local(4, 4)\n")
    metadata = tmp_path / "pool_rules-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pool-rules\nVersion: 1.0\n")
    points = f"[attribution_bench.fastism_rules]\n{NAME} = pool_rules:rule\nelsewhere::op = not_there:rule\n"
    (metadata / "entry_points.txt").write_text(points)
    module = seeded(Pooled)
    assert modes(module, {}, 30) == {NAME: "full"}
    monkeypatch.syspath_prepend(str(tmp_path))
    assert modes(module, {}, 30) == {NAME: "windowed"}
    check(module, {}, 30)
    with pytest.raises(ab.errors.InvalidInputError, match="by its rule"):
        modes(module, {NAME: Local(2, 2)}, 30)  # one that is given goes before


def test_a_check_that_runs_no_windows_does_not_pass() -> None:
    class DataDependent(Pooled):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = super().forward(x)
            return y if float(y.sum()) > 0 else -y

    with pytest.raises(ConformanceError, match=r"nothing runs on windows: .*cannot capture"):
        check_rules(seeded(DataDependent), {NAME: local}, 31)


def test_a_check_in_which_a_rule_fails_to_run_does_not_pass() -> None:
    with pytest.raises(ConformanceError, match=r"RuntimeError: .*\n.*while fastISM ran 'attention_pool"):
        check_rules(seeded(Pooled, **SMOOTH), {NAME: elementwise}, 31)


def test_a_check_in_which_nothing_changes_does_not_pass() -> None:
    module = seeded(Pooled)
    nn.init.zeros_(module.last.weight)  # type: ignore[arg-type, union-attr]
    with pytest.raises(ConformanceError, match="no mutation changes output"):
        check_rules(module, {NAME: local}, 30)


def test_the_plan_tells_of_an_operation_without_a_rule() -> None:
    plan = ab.get_method("fastism")(seeded(Pooled)).explain(30)
    assert f"there is no rule for '{NAME}'" in str(plan)
    assert np.isclose(plan.predicted_ratio, 1, atol=1)
