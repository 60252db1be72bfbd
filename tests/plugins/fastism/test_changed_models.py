"""Models that are changed between two calls of one method object: the second gives the numbers of the changed one."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench.errors import FallbackWarning, SelfCheckError
from attribution_bench.models.torch_state import contents, device_checksums
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism import engine as engines
from attribution_bench_plugins.fastism.capture.source import source_of
from attribution_bench_plugins.standard_ism import StandardISM
from parity import one_hot

LENGTH = 40


class Hidden:
    """An object whose attributes are in no dict."""

    __slots__ = ("k",)

    def __init__(self) -> None:
        self.k = 1.0


FACTOR, FACTORS = 1.0, {"k": [1.0]}


def factor_of_a_function() -> float:
    return FACTORS["k"][0]


def scaled_by(factor: float) -> tuple[Callable[[Tensor], Tensor], Callable[[float], None]]:
    """Return a function that reads a variable of this one, and one that changes it."""

    def change(to: float) -> None:
        nonlocal factor
        factor = to

    return lambda x: x * factor, change


class Changeable(nn.Module):
    """Holds what forward reads in every kind of attribute, and counts its calls."""

    of_class = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.first, self.rectified, self.second = nn.Conv1d(4, 4, 5, padding=2), nn.LeakyReLU(0.1), nn.Conv1d(4, 2, 3)
        self.factor, self.kind, self.flag, self.calls = 1.0, "tanh", False, 0
        self.named, self.box, self.array = {"k": [1.0]}, SimpleNamespace(k=1.0), np.ones(1)
        self.constant: Any = torch.ones((), dtype=torch.float64)
        self.several: tuple[float, ...] = (1.0, 1.0)
        self.hidden = Hidden()
        self.function, self.change_function = scaled_by(1.0)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        factor = self.factor * self.named["k"][0] * self.box.k * self.several[1] * float(self.array[0]) * self.hidden.k
        factor *= FACTOR * factor_of_a_function() * self.of_class
        hidden = self.function(self.rectified(self.first(x))) * factor * self.constant
        hidden = hidden.relu() if self.kind == "relu" else hidden.tanh()
        y: Tensor = self.second(-hidden if self.flag else hidden)
        return y.sum(2)


def _negated(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return -output


CHANGES: dict[str, Callable[[Changeable], object]] = {
    "number": lambda m: setattr(m, "factor", 1.2),
    "boolean": lambda m: setattr(m, "flag", True),
    "tuple": lambda m: setattr(m, "several", (1.0, 1.2)),
    "list in a dict": lambda m: m.named["k"].__setitem__(0, 1.2),
    "object": lambda m: setattr(m.box, "k", 1.2),
    "array": lambda m: m.array.fill(1.2),
    "tensor": lambda m: setattr(m, "constant", 1.2 * m.constant),
    "tensor in place": lambda m: m.constant.mul_(1.2),
    "slope": lambda m: setattr(m.rectified, "negative_slope", 0.9),
    "module": lambda m: setattr(m, "rectified", nn.Tanh()),
    "dilation": lambda m: (setattr(m.first, "dilation", (2,)), setattr(m.first, "padding", (4,))),
    "hook": lambda m: m.first.register_forward_hook(_negated),
    "hook before": lambda m: m.rectified.register_forward_pre_hook(lambda module, inputs: (-inputs[0],)),
    "forward": lambda m: setattr(m.rectified, "forward", torch.sigmoid),
    "string": lambda m: setattr(m, "kind", "relu"),
    "global": lambda m: globals().update(FACTOR=1.2),
    "global of a function": lambda m: FACTORS["k"].__setitem__(0, 1.2),
    "enclosing function": lambda m: m.change_function(1.2),
    "class": lambda m: setattr(type(m), "of_class", 1.2),
}


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The models that were captured so far."""
    made: list[object] = []

    def counted(*args: Any) -> Any:
        made.append(args[0].model)
        return compile_model(*args)

    compile_model = engines.compile_model
    monkeypatch.setattr(engines, "compile_model", counted)
    return made


def assert_exact(method: FastISM, x: Any, tolerance: float = 1e-10) -> Any:
    found = method.attribute(x, target="all").predictions["output"]
    truth = StandardISM(method.model.model).attribute(x, target="all").predictions["output"]
    np.testing.assert_allclose(found, truth, rtol=0, atol=tolerance * np.abs(truth).max())
    return found


def test_a_module_that_was_changed_is_captured_anew(captures: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module, x = Changeable().double().eval(), one_hot(2, 4, LENGTH)
    monkeypatch.setitem(globals(), "FACTOR", 1.0)
    monkeypatch.setitem(FACTORS, "k", [1.0])
    monkeypatch.setattr(Changeable, "of_class", 1.0)
    method = FastISM(module, min_speedup=0, self_check=False)
    before, *_ = [assert_exact(method, x) for _ in range(3)]
    assert len(captures) == 1, "what a model counts itself is no change"
    for number, (name, change) in enumerate(CHANGES.items(), 2):
        change(module)
        after = assert_exact(method, x)
        assert np.abs(after - before).max() > 1e-4 * np.abs(before).max(), name
        assert len(captures) == number, name
        before = after
    assert_exact(method, x)
    assert len(captures) == 1 + len(CHANGES)


def _first_number(array: Any) -> None:
    array.reshape(-1)[0] += 0.5


class Mixing(nn.Module):
    """Convolutions, with a Fourier transform of all positions between them wherever an attribute says so."""

    def __init__(self) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.randn(32, 4, 9) / 6)
        self.middle: nn.Module = nn.Identity()
        self.transforms, self.function = False, torch.relu
        self.last, self.head = nn.Conv1d(32, 32, 9, padding=4), nn.Linear(32 * 400, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.function(self.middle(nn.functional.conv1d(x, self.taps, padding="same")))
        y = _transformed(y) if self.transforms else y
        found: Tensor = self.head(self.last(y).relu().flatten(1))
        return found


def _transformed(x: Tensor) -> Tensor:
    return torch.fft.fft(x, dim=2).real


class Transform(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _transformed(x)


MIXES: dict[str, tuple[str, Any, Callable[[], Any]]] = {
    "module": ("middle", Transform(), nn.Identity),
    "boolean": ("transforms", True, lambda: False),
    "function": ("function", _transformed, lambda: torch.relu),
}
"""An attribute, its value in a model of which every mutation takes a full pass, and another."""


@pytest.mark.own_choice
@pytest.mark.parametrize("name", MIXES)
def test_full_passes_end_once_the_model_allows_windows(name: str, captures: list[object]) -> None:
    attribute, before, after = MIXES[name]
    torch.manual_seed(0)
    module, x = Mixing().eval(), one_hot(1, 4, 400)
    setattr(module, attribute, before)
    method = FastISM(module, measured_costs=False)

    def ask() -> Any:
        return method.attribute(x, positions=slice(100, 300)).metadata

    with pytest.warns(FallbackWarning):
        assert "fallback" in ask()
    with torch.no_grad():
        module.head.weight.mul_(1.5)
    with pytest.warns(FallbackWarning):
        assert "fallback" in ask()
    assert len(captures) == 1, "other values are as much work"
    setattr(module, attribute, after())
    assert "fallback" not in ask()
    assert len(captures) == 2


def test_values_of_weights_change_no_work() -> None:
    module = Mixing()
    model, changes = ab.as_sequence_model(module), list[bool]()
    for change in (
        lambda: module.taps.data.mul_(2),
        lambda: setattr(module, "taps", nn.Parameter(module.taps.detach().clone())),
        lambda: setattr(module, "taps", nn.Parameter(module.taps.detach()[:, :, :5].clone())),
        lambda: module.half(),
        lambda: setattr(module, "transforms", True),
    ):
        before = source_of(model).fingerprint
        change()
        after = source_of(model).fingerprint
        assert before != after
        changes.append(not before.has_the_work_of(after))
    assert changes == [False, False, True, True, True]


UNCOUNTED: dict[str, Callable[[Changeable], object]] = {
    "data of a weight": lambda m: m.first.weight.data.mul_(1.2),
    "signs of a weight": lambda m: m.first.weight.data.neg_(),
    "order of a weight": lambda m: m.second.weight.data.copy_(m.second.weight.data.flip(1)),
    "array of a bias": lambda m: _first_number(m.second.bias.detach().numpy()),
    "data of a statistic": lambda m: m.norm.running_var.data.mul_(2),
    "one number of a statistic": lambda m: _first_number(m.norm.running_mean.numpy()),
    "data of an attribute": lambda m: m.constant.data.mul_(1.2),
    "array of an attribute": lambda m: _first_number(m.constant.numpy()),
    "large array": lambda m: m.many.__setitem__(0, 1.7),
    "storage": lambda m: m.first.weight.untyped_storage().copy_((m.first.weight.detach() * 1.1).untyped_storage()),
    "what a former parameter shares": lambda m: setattr(
        m.first, "weight", nn.Parameter(m.first.weight.detach()[:] * 1.3)
    ),
}
"""Ways to write values in place that PyTorch does not count."""


class Normed(Changeable):
    """Has statistics, and an array that is not small."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.many = nn.BatchNorm1d(4), np.ones(5000)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.norm(x)) * float(self.many[0])


def test_what_is_written_past_the_counters_of_pytorch_is_seen(captures: list[object]) -> None:
    torch.manual_seed(0)
    module, x = Normed().double().eval(), one_hot(2, 4, LENGTH)
    method = FastISM(module, min_speedup=0, self_check=False)
    before, *_ = [assert_exact(method, x) for _ in range(2)]
    for number, (name, change) in enumerate(UNCOUNTED.items(), 2):
        change(module)
        for _ in range(2):
            after = assert_exact(method, x)
        assert np.abs(after - before).max() > 1e-4 * np.abs(before).max(), name
        assert len(captures) == number, name
        before = after


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int8, torch.bool])
def test_a_single_value_changes_a_checksum_on_the_host_and_elsewhere(dtype: torch.dtype) -> None:
    for count in (1, 3, 1024, 2048, 4096, 9001, 16384):
        values = torch.from_numpy(np.random.default_rng(count).integers(1, 99, count)).to(dtype)
        for look in (lambda tensor: contents([tensor]), lambda tensor: device_checksums(tensor).tolist()):
            before = look(values)
            assert look(values.clone()) == before
            for place in {0, count // 2, count - 1}:
                other = values.clone()
                other[place] = 0
                assert look(other) != before
            if dtype.is_floating_point:
                assert look(-values) != before
                assert count == 1 or look(values.flip(0)) != before


def _checkerboard(values: Tensor) -> Tensor:
    """Return values whose signs alternate in rows and in columns of words."""
    rows = torch.arange(len(values)) // (8192 // values.element_size())
    return values * (1.0 - 2 * ((torch.arange(len(values)) + rows) % 2)).to(values.dtype)


SIGNS: dict[str, Callable[[Tensor], Tensor]] = {
    "all": lambda values: -values,
    "odd ones": lambda values: torch.where(torch.arange(len(values)) % 2 == 1, -values, values),
    "even ones": lambda values: torch.where(torch.arange(len(values)) % 2 == 0, -values, values),
    "first half": lambda values: torch.cat([-values[: len(values) // 2], values[len(values) // 2 :]]),
    "two of a row": lambda values: torch.cat([-values[:2], values[2:]]),
    "half of each row": lambda values: torch.where(torch.arange(len(values)) % 1024 < 512, -values, values),
    "a rectangle": lambda values: _negated_at(values, [0, 4, 4096, 4100]),
    "any": lambda values: values * (torch.randint(0, 2, values.shape, generator=torch.manual_seed(3)) * 2 - 1),
}


def _negated_at(values: Tensor, places: list[int]) -> Tensor:
    values = values.clone()
    values[places] *= -1
    return values


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.complex64])
def test_other_signs_change_a_checksum_on_the_host_and_elsewhere(dtype: torch.dtype) -> None:
    """Those of an even number of values in each row and column of what is summed, too."""
    noise = torch.randn(65536, generator=torch.manual_seed(1), dtype=torch.float64)
    kinds = {
        "of both signs": noise.to(dtype),
        "of one sign": noise.abs().to(dtype),
        "equal": torch.full((65536,), 0.5, dtype=dtype),
        "in turn": _checkerboard(torch.full((65536,), 0.5, dtype=dtype)),
    }
    for name, values in kinds.items():
        for signs, change in SIGNS.items():
            other = change(values)
            assert not torch.equal(other, values)
            assert contents([other]) != contents([values]), (name, signs)
            assert not torch.equal(device_checksums(other), device_checksums(values)), (name, signs)


class Scaled(keras.layers.Layer):  # type: ignore[misc]
    """A layer of the user's own, which counts its calls."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.factor, self.factors, self.calls = 1.0, [1.0], 0

    def call(self, x: Any) -> Any:
        self.calls += 1
        return keras.ops.tanh(x * self.factor * self.factors[0])


KERAS_CHANGES: dict[str, Callable[[Any], object]] = {
    "activation": lambda layer: setattr(layer("conv"), "activation", keras.activations.tanh),
    "slope": lambda layer: setattr(layer("leaky"), "negative_slope", 0.9),
    "epsilon": lambda layer: setattr(layer("norm"), "epsilon", 5.0),
    "attribute of one's own": lambda layer: setattr(layer("own"), "factor", 3.0),
    "list of one's own": lambda layer: layer("own").factors.__setitem__(0, 3.0),
}


@pytest.mark.parametrize("has_own_layer", [False, True])
def test_a_keras_model_that_was_changed_is_captured_anew(has_own_layer: bool, captures: list[object]) -> None:
    keras.utils.set_random_seed(0)
    given = keras.Input((LENGTH, 4))
    hidden = keras.layers.Conv1D(4, 5, padding="same", name="conv", activation="relu")(given)
    if has_own_layer:
        hidden = Scaled(name="own")(hidden)
    hidden = keras.layers.LeakyReLU(0.1, name="leaky")(keras.layers.Conv1D(4, 3)(hidden))
    hidden = keras.layers.GlobalAveragePooling1D()(keras.layers.BatchNormalization(name="norm")(hidden))
    model, x = keras.Model(given, keras.layers.Dense(2)(hidden)), one_hot(2, 4, LENGTH)
    method = FastISM(model, min_speedup=0, self_check=False)
    before, *_ = [assert_exact(method, x, 1e-4) for _ in range(3)]
    assert len(captures) == 1
    changes = {name: change for name, change in KERAS_CHANGES.items() if ("own" in name) == has_own_layer}
    for number, (name, change) in enumerate(changes.items(), 2):
        change(model.get_layer)
        after = assert_exact(method, x, 1e-4)
        assert np.abs(after - before).max() > 1e-3 * np.abs(before).max(), name
        assert len(captures) == number, name
        before = after


@pytest.mark.parametrize("is_listed", [False, True])
def test_a_kept_plan_that_fails_the_self_check_is_made_anew(is_listed: bool, captures: list[object]) -> None:
    """Not all that a model reads is looked at; parts of the check are due in later small calls."""
    torch.manual_seed(0)
    module, x = Changeable().double().eval(), one_hot(1, 4, LENGTH)
    method = FastISM(module, min_speedup=0)
    mutations = [ab.Mutation(0, position, "N") for position in range(2, 38, 2)]

    def ask() -> Any:
        if is_listed:
            return method.predict_mutations(x, mutations, target="all").predictions["output"]
        return method.attribute(x, target="all", positions=[3, 20]).predictions["output"]

    ask()
    module.hidden.k = 2.0
    found = ask()
    assert len(captures) == 2
    method = FastISM(module, min_speedup=0)
    np.testing.assert_allclose(found, ask(), rtol=1e-10)


def test_a_fresh_plan_that_fails_the_self_check_is_told(
    monkeypatch: pytest.MonkeyPatch, captures: list[object]
) -> None:
    from attribution_bench_plugins.fastism.self_check import SelfCheck

    module, x = Changeable().double().eval(), one_hot(1, 4, LENGTH)
    method = FastISM(module, min_speedup=0)
    method.attribute(x, target="all", positions=[3, 20])

    def fail(*args: Any) -> None:
        raise SelfCheckError("differs")

    monkeypatch.setattr(SelfCheck, "check", fail)
    with pytest.raises(SelfCheckError):
        method.attribute(x, target="all", positions=[3, 20])
    assert len(captures) == 2
