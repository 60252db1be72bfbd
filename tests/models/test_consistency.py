"""The check that a prediction depends on its sequence alone: what it refuses, what it lets pass, and what it costs."""

import contextlib
import random
import warnings
from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench.errors import FallbackWarning, InconsistencyWarning, InconsistentModelError, InvalidInputError

LENGTH = 20
X = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (3, LENGTH))].transpose(0, 2, 1)
LETTERS = 3 * X.shape[0] * LENGTH
"""Mutations of X."""


class Net(nn.Module):
    """A convolution, a dense layer and others, put together by a function; counts the rows that it is called on."""

    def __init__(self, function: Callable[["Net", Tensor], Tensor], **parts: object) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv, self.dense = nn.Conv1d(4, 8, 5), nn.Linear(8, 2)
        self.function, self.rows = function, 0
        for name, part in parts.items():
            setattr(self, name, part)

    def hidden(self, x: Tensor) -> Tensor:
        return self.conv(x).relu().mean(2)

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        return self.function(self, x)


class StaysOn(nn.Dropout):
    """Dropout as some switch it on for an ensemble of predictions."""

    def train(self, mode: bool = True) -> "StaysOn":
        return super().train(True)


class StaysInTraining(nn.BatchNorm1d):
    def eval(self) -> "StaysInTraining":
        return self

    def train(self, mode: bool = True) -> "StaysInTraining":
        return super().train(True)


def centred(h: Tensor) -> Tensor:
    return h - h.mean(0)


def quantised() -> nn.Module:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces that this part of it moves elsewhere
        torch.manual_seed(0)
        layers = nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 32), nn.ReLU(), nn.Linear(32, 2)
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(*layers).eval(), {nn.Linear})


BATCH: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "batch norm without statistics": (
        lambda: Net(
            lambda m, x: m.dense(m.norm(m.conv(x)).relu().mean(2)),
            norm=nn.BatchNorm1d(8, track_running_stats=False),
        ),
        r"layer 'norm' \(BatchNorm1d\): it keeps no running statistics",
    ),
    "batch norm that stays in training": (
        lambda: Net(lambda m, x: m.dense(m.norm(m.conv(x)).relu().mean(2)), norm=StaysInTraining(8)),
        r"layer 'norm' \(StaysInTraining\): it stays in training mode in spite of model.eval\(\)",
    ),
    "batch norm that takes no single row": (
        lambda: Net(
            lambda m, x: m.dense(m.inner.norm(m.hidden(x))),
            inner=nn.ModuleDict({"norm": nn.BatchNorm1d(8, track_running_stats=False)}),
        ),
        r"not one alone \(ValueError: Expected more than 1 value.*layer 'inner.norm' \(BatchNorm1d\): it keeps no",
    ),
    "batch statistics by a function": (
        lambda: Net(lambda m, x: m.dense(F.batch_norm(m.conv(x), None, None, training=True).amax(2))),
        r"the code of Net.forward before layer 'dense' \(Linear\)",
    ),
    "less the mean of the batch": (
        lambda: Net(lambda m, x: m.dense(centred(m.hidden(x)))),
        r"the code of Net.forward before layer 'dense' .*such as `h - h.mean\(0\)`",
    ),
    "a part of its own that mixes": (
        lambda: Net(lambda m, x: m.dense(m.part(x)), part=Net(lambda m, x: m.hidden(x).softmax(0))),
        r"the code of layer 'part' \(Net\) after layer 'part.conv'",
    ),
    "times the size of the batch": (
        lambda: Net(lambda m, x: m.dense(m.hidden(x)) * x.shape[0]),
        r"changes by 0\.9 of its scale|changes by 0\.5 of its scale",
    ),
    "quantised by the range of the batch": (
        quantised,
        r"layer '[35]' \(Linear\): it is quantised dynamically, .* the model from before quantize_dynamic",
    ),
}
CHANCE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "dropout that stays on": (
        lambda: Net(lambda m, x: m.dense(m.drop(m.hidden(x))), drop=StaysOn(0.5)),
        r"layer 'drop' \(StaysOn\): it stays in training mode",
    ),
    "dropout of few units": (
        lambda: Net(lambda m, x: m.dense(m.drop(m.hidden(x))), drop=StaysOn(0.05)),
        r"draws random numbers",
    ),
    "dropout by a function": (
        lambda: Net(lambda m, x: m.dense(F.dropout(m.hidden(x), 0.5))),
        r"the code of Net.forward before layer 'dense' .*training=self.training",
    ),
    "a little noise": (
        lambda: Net(lambda m, x: m.dense(m.hidden(x)) + 1e-4 * torch.randn(2)),
        r"the code of Net.forward after layer 'dense'",
    ),
    "a little noise in half precision": (
        lambda: Net(lambda m, x: m.dense(m.hidden(x)) + 0.02 * torch.randn(2)).bfloat16(),
        r"the code of Net.forward after layer 'dense'",
    ),
    "noise by NumPy": (
        lambda: Net(lambda m, x: m.dense(m.hidden(x)) + float(np.random.normal())),  # noqa: NPY002
        r"draws random numbers",
    ),
    "noise by Python": (
        lambda: Net(lambda m, x: m.dense(m.hidden(x)) * random.random()),
        r"draws random numbers",
    ),
    "noise by a generator of its own": (
        lambda: Net(lambda m, x: m.dense(m.hidden(x)) + float(m.own.normal()), own=np.random.default_rng(0)),
        r"draws random numbers",
    ),
    "noise by a generator of PyTorch of its own": (
        lambda: Net(
            lambda m, x: m.dense(m.hidden(x)) + torch.randn(2, generator=m.own), own=torch.Generator().manual_seed(0)
        ),
        r"draws random numbers",
    ),
}
MEMORY: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "counts its rows": (
        lambda: Net(lambda m, x: m.dense(m.hidden(x)) + m.rows),
        r"keeps something from call to call.*the code of Net.forward after layer 'dense'",
    ),
    "weights that fade": (
        lambda: Net(lambda m, x: (m.conv.weight.data.mul_(0.9), m.dense(m.hidden(x)))[1]),
        r"keeps something from call to call.*layer 'conv' \(Conv1d\)",
    ),
}
REFUSED = BATCH | CHANCE | MEMORY


def state(module: nn.Module) -> list[object]:
    tensors = [value.clone() for value in module.state_dict().values() if isinstance(value, Tensor)]
    modes = [(part.training, len(part._forward_hooks), len(part._forward_pre_hooks)) for part in module.modules()]
    return [modes, *(tensor.float().numpy().tobytes() for tensor in tensors)]


def draws() -> tuple[object, ...]:
    """Draw from every global generator."""
    return random.random(), np.random.random(), torch.rand(1).item(), tf.random.uniform((1,)).numpy()[0]  # noqa: NPY002


def seed() -> None:
    random.seed(1)
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(3)
    tf.random.set_seed(4)


@contextlib.contextmanager
def nothing_drawn() -> Iterator[None]:
    """Fail where the block leaves a global generator at another place than it found it."""
    seed()
    expected = draws()
    seed()
    yield
    assert draws() == expected


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    build, message = REFUSED[name]
    module = build().train()
    before = state(module)
    with nothing_drawn(), pytest.raises(InconsistentModelError, match=message):
        ab.get_method("standard_ism")(module).attribute(X, target=0)
    assert state(module) == before


def test_a_dropout_of_few_units_is_found() -> None:
    """Of the 8 units, one is dropped in every seventh row."""
    module, found = Net(lambda m, x: m.dense(m.drop(m.hidden(x))), drop=StaysOn(0.02)), []
    for seed in range(40):
        torch.manual_seed(seed)
        model = ab.as_sequence_model(module)
        with model.inference():
            try:
                model.checked_outputs(X)
            except InconsistentModelError as error:
                found.append("draws random numbers" in str(error))
    assert len(found) >= 34
    assert sum(found) >= 0.9 * len(found)


@pytest.mark.parametrize("method", ab.list_methods())
@pytest.mark.parametrize("name", ["less the mean of the batch", "dropout by a function", "counts its rows"])
def test_every_method_refuses(method: str, name: str) -> None:
    with pytest.raises(InconsistentModelError, match="the model cannot be believed"):
        ab.get_method(method)(REFUSED[name][0]()).attribute(X[:1], target="sum", positions=[3])


def test_other_ways_into_a_method_refuse_too() -> None:
    module = REFUSED["less the mean of the batch"][0]()
    with pytest.raises(InconsistentModelError):
        ab.get_method("fastism")(module).predict_mutations(X, [ab.Mutation(0, 3, "N")], target=0)
    with pytest.raises(InconsistentModelError):
        ab.get_method("fastism")(module).explain(LENGTH)


def test_the_class_of_the_error_is_the_suites_own() -> None:
    assert issubclass(InconsistentModelError, ab.errors.ModelError)


def deep(width: int, layers: int) -> nn.Module:
    """A network as deep as those of the field, whose sums are long."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body: list[nn.Module] = []
        for _ in range(layers):
            body += nn.Conv1d(width, width, 3, padding=1), nn.BatchNorm1d(width), nn.GELU()
        head = nn.Flatten(), nn.Linear(width * LENGTH, 500), nn.ReLU(), nn.Linear(500, 2)
        return nn.Sequential(nn.Conv1d(4, width, 7, padding=3), *body, *head)


def trained(width: int) -> nn.Module:
    layers = nn.Conv1d(4, width, 5), nn.BatchNorm1d(width), nn.Dropout(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(16 * width, 2))


def below_a_norm(m: Net, x: Tensor) -> Tensor:
    m.conv.weight.data.renorm_(2, 0, 0.3)
    return m.dense(m.hidden(x))


def drawing_in_vain(m: Net, x: Tensor) -> Tensor:
    torch.randn(3)
    return m.dense(m.hidden(x))


class Cancelling(nn.Module):
    """Large sums whose difference is small: batches of one and two differ by 4% in single precision, on one CPU."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv, weight = nn.Conv1d(4, 512, 5), torch.randn(2, 512)
            self.weight = nn.Parameter(torch.cat([weight, 1e-6 * torch.rand(2, 512) - weight], 1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x).relu().mean(2)
        return torch.cat([h, h], 1) @ self.weight.t()


def far_from_zero(m: Net, x: Tensor) -> Tensor:
    return 3000 + m.dense(centred(m.hidden(x)))


def of_two_scales(m: Net, x: Tensor) -> Tensor:
    y = m.dense(m.hidden(x))
    return torch.cat([1e6 * y, y.softmax(0)], 1)


def one_track_of_a_profile(m: Net, x: Tensor) -> Tensor:
    h = m.conv(x)
    return torch.cat([1e5 * h[:, :1], centred(h[:, 1:2])], 1)


HIDDEN: dict[str, Callable[[], nn.Module]] = {
    "far from zero": lambda: Net(far_from_zero),
    "of two scales": lambda: Net(of_two_scales),
    "one track of a profile": lambda: Net(one_track_of_a_profile),
    "in half precision": lambda: Net(lambda m, x: m.dense(m.hidden(x) + 0.3 * centred(m.hidden(x)))).half(),
    "in bfloat16": lambda: Net(lambda m, x: 5 + m.dense(centred(m.hidden(x)))).bfloat16(),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_small_difference_is_found_where_sequences_differ_little_as_well(name: str) -> None:
    with nothing_drawn(), pytest.raises(InconsistentModelError, match="depends on the rest of the batch"):
        ab.get_method("standard_ism")(HIDDEN[name]()).attribute(X, target="sum", positions=[3])


CONSISTENT: dict[str, Callable[[], nn.Module]] = {
    "far from zero": lambda: Net(lambda m, x: 3000 + m.dense(m.hidden(x))),
    "of two scales": lambda: Net(lambda m, x: m.dense(m.hidden(x)) * torch.tensor([1e6, 1e-3])),
    "partly constant": lambda: Net(lambda m, x: torch.cat([m.dense(m.hidden(x)), 0 * x.mean(2) + 0.1], 1)),
    "a double cast to single in between": lambda: Net(lambda m, x: m.dense(m.hidden(x).float().type_as(x))),
    "plain": lambda: Net(lambda m, x: m.dense(m.hidden(x))),
    "in training mode": lambda: trained(8),
    "deep": lambda: deep(256, 8),
    "deep, in half precision": lambda: deep(64, 8).bfloat16(),
    "half precision": lambda: Net(lambda m, x: m.dense(m.hidden(x))).half(),
    "half precision in between": lambda: Net(lambda m, x: m.dense(m.hidden(x).bfloat16().float())),
    "huge": lambda: Net(lambda m, x: m.dense(m.hidden(x)) * 1e36),
    "small": lambda: Net(lambda m, x: m.dense(m.hidden(x)) * 1e-36),
    "nearly rounded away": Cancelling,
    "nothing": lambda: Net(lambda m, x: m.dense(m.hidden(x)) * 0),
    "not finite": lambda: Net(lambda m, x: m.dense(m.hidden(x)).log() / 0),
    "whole numbers": lambda: Net(lambda m, x: m.conv(x).argmax(1)),
    "truth values": lambda: Net(lambda m, x: m.dense(m.hidden(x)) > 0),
    "norms of single sequences": lambda: Net(
        lambda m, x: m.dense(m.norm(m.conv(x)).mean(2)), norm=nn.InstanceNorm1d(8, track_running_stats=False)
    ),
    "random numbers without effect": lambda: Net(drawing_in_vain),
    "weights held below a norm": lambda: Net(below_a_norm),
}


@pytest.mark.parametrize("name", CONSISTENT)
def test_rounding_is_no_fault(name: str) -> None:
    module = CONSISTENT[name]().train()
    before, model = state(module), ab.as_sequence_model(module)
    with nothing_drawn(), model.inference():
        assert model.checked_outputs(X)[0].name == "output"
    assert state(module) == before


def test_letters_that_are_all_unknown() -> None:
    model = ab.as_sequence_model(BATCH["less the mean of the batch"][0]())
    with model.inference(), pytest.raises(InconsistentModelError):
        model.checked_outputs(np.zeros_like(X))


def test_further_inputs_are_of_the_batch_too() -> None:
    class Beside(nn.Module):
        def forward(self, x: Tensor, beside: Tensor) -> Tensor:
            return x.sum((1, 2)) + beside[:, 0] - beside.mean()

    given = np.arange(6, dtype=np.float32).reshape(3, 2)
    with pytest.raises(InconsistentModelError, match="rest of the batch"):
        ab.get_method("standard_ism")(Beside()).attribute(X, additional_forward_args=given)


def rows(module: Net, call: Callable[[], object]) -> int:
    before = module.rows
    call()
    return module.rows - before


def test_the_check_costs_two_rows_more_at_first_use_and_none_later() -> None:
    module = Net(lambda m, x: m.dense(m.hidden(x)))
    method = ab.get_method("standard_ism")(module)

    def call() -> None:
        method.attribute(X, target=0)

    full = len(X) + LETTERS
    assert [rows(module, call) for _ in range(3)] == [4 + full, 2 + full, 2 + full]
    # Methods of one SequenceModel share what is known of it.
    other = ab.get_method("standard_ism")(method.model)
    assert rows(module, lambda: other.attribute(X, target=0)) == 2 + full


def test_fastism_runs_no_row_for_it_once_the_model_is_known() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4 * LENGTH, 2))
    method = ab.get_method("fastism")(module, min_speedup=0)
    method.attribute(X, target=0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(method.model), "checked_outputs", None)
        method.attribute(X, target=0)


def change_weights(module: Net) -> None:
    with torch.no_grad():
        module.dense.weight.mul_(2)


def replace_layer(module: Net) -> None:
    module.dense = nn.Linear(8, 2)


def stay_on(module: Net) -> None:
    module.dense = nn.Sequential(StaysOn(0.0), nn.Linear(8, 2))


@pytest.mark.parametrize("change", [change_weights, replace_layer, stay_on])
def test_it_is_made_again_once_weights_layers_or_modes_have_changed(change: Callable[[Net], None]) -> None:
    module = Net(lambda m, x: m.dense(m.hidden(x)))
    method = ab.get_method("standard_ism")(module)
    full = len(X) + LETTERS
    method.attribute(X, target=0)
    change(module)
    counts = [rows(module, lambda: method.attribute(X, target=0)) for _ in range(2)]
    assert counts == [4 + full, 2 + full]


def test_a_model_that_came_to_depend_on_chance_is_refused() -> None:
    module = Net(lambda m, x: m.dense(m.hidden(x)))
    method = ab.get_method("standard_ism")(module)
    method.attribute(X, target=0)
    module.dense = nn.Sequential(StaysOn(0.5), nn.Linear(8, 2))
    with pytest.raises(InconsistentModelError, match=r"layer 'dense.0' \(StaysOn\)"):
        method.attribute(X, target=0)


def test_going_on_is_a_public_option() -> None:
    model = ab.as_sequence_model(CHANCE["dropout by a function"][0](), on_inconsistency="warn")
    with pytest.warns(InconsistencyWarning, match="draws random numbers") as caught:
        result = ab.get_method("standard_ism")(model).attribute(X, target=0)
    assert caught[0].filename == __file__
    assert np.isfinite(result.scores).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ab.get_method("standard_ism")(model).attribute(X, target=0)  # it was said
    with pytest.raises(InvalidInputError, match="on_inconsistency must be 'raise' or 'warn', not 'ignore'"):
        ab.as_sequence_model(model.model, on_inconsistency="ignore")  # type: ignore[arg-type]


def test_fastism_says_why_it_falls_back_where_the_user_goes_on() -> None:
    model = ab.as_sequence_model(BATCH["less the mean of the batch"][0](), on_inconsistency="warn")
    with pytest.warns(InconsistencyWarning), pytest.warns(FallbackWarning, match="mix the sequences of a batch"):
        ab.get_method("fastism")(model).attribute(X, target=0)


class Mixing(keras.layers.Layer):
    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x - tf.reduce_mean(x, axis=0, keepdims=True)


class Noisy(keras.layers.Layer):
    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x + 0.01 * tf.random.normal((1,))


class Seeded(keras.layers.Layer):
    """Draws by Keras' own generators, one of its own or the global one."""

    def __init__(self, own: bool) -> None:
        super().__init__()
        self.generator = keras.random.SeedGenerator(1) if own else None

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x * keras.random.uniform((1,), seed=self.generator)


class DropsAlways(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.drop, self.flat, self.dense = keras.layers.Dropout(0.5), keras.layers.Flatten(), keras.layers.Dense(2)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.dense(self.flat(self.drop(x, training=True)))


def functional(layer: keras.layers.Layer) -> keras.Model:
    layers, x = keras.layers, keras.Input((LENGTH, 4))
    hidden = layer(layers.Conv1D(8, 5, activation="relu", name="conv")(x))
    return keras.Model(x, layers.Dense(2)(layers.Flatten()(hidden)))


def subclassed() -> keras.Model:
    model = DropsAlways()
    model(np.zeros((1, LENGTH, 4), np.float32))
    return model


KERAS: dict[str, tuple[Callable[[], keras.Model], str]] = {
    "a layer that mixes": (lambda: functional(Mixing(name="mixing")), r"rest of the batch.*layer 'mixing' \(Mixing\)"),
    "a layer that draws": (lambda: functional(Noisy(name="noisy")), r"draws random numbers.*layer 'noisy' \(Noisy\)"),
    "a layer with a generator": (lambda: functional(Seeded(own=True)), r"draws random numbers.*\(Seeded\)"),
    "a layer without one": (lambda: functional(Seeded(own=False)), r"draws random numbers.*\(Seeded\)"),
    "Sequential": (
        lambda: keras.Sequential([keras.Input((LENGTH, 4)), Mixing(name="mixing"), keras.layers.Flatten()]),
        r"rest of the batch.*layer 'mixing' \(Mixing\)",
    ),
    "subclassed": (subclassed, r"draws random numbers.*perhaps layer 'dropout\w*' \(Dropout\): it stays random"),
}


@pytest.mark.parametrize("name", KERAS)
def test_keras_models_that_are_refused(name: str) -> None:
    build, message = KERAS[name]
    model = build()
    weights = [weight.copy() for weight in model.get_weights()]
    with nothing_drawn(), pytest.raises(InconsistentModelError, match=message):
        ab.get_method("gradient_x_input")(model).attribute(X, target=0)
    assert all(np.array_equal(now, then) for now, then in zip(model.get_weights(), weights, strict=True))


def test_keras_layers_that_train_are_called_in_inference() -> None:
    layers = keras.layers
    model = functional(layers.Pipeline([layers.BatchNormalization(), layers.Dropout(0.5), layers.GaussianNoise(1.0)]))
    ab.get_method("standard_ism")(model).attribute(X[:1], target=0, positions=[0])


def test_keras_2_names_the_layer_that_is_called_in_training() -> None:
    tf_keras = pytest.importorskip("tf_keras")
    layers, x = tf_keras.layers, tf_keras.Input((LENGTH, 4))
    for layer, message in (
        (layers.BatchNormalization(name="norm"), r"layer 'norm' \(BatchNormalization\): it normalises every batch"),
        (layers.Dropout(0.5, name="drop"), r"layer 'drop' \(Dropout\): it stays random, since .* training=True"),
        (layers.GaussianNoise(0.1, name="noise"), r"layer 'noise' \(GaussianNoise\): it stays random"),
    ):
        hidden = layer(layers.Conv1D(8, 5)(x), training=True)
        model = tf_keras.Model(x, layers.Dense(2)(layers.Flatten()(hidden)))
        weights = [weight.copy() for weight in model.get_weights()]
        with pytest.raises(InconsistentModelError, match=message):
            ab.get_method("standard_ism")(model).attribute(X, target=0)
        assert all(np.array_equal(now, then) for now, then in zip(model.get_weights(), weights, strict=True))
