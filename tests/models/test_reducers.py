"""Functions of one source on the tensors of both frameworks."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import torch

import attribution_bench as ab
from attribution_bench.errors import TargetError
from attribution_bench.models import sequence_model
from attribution_bench.models.reducers import SHARED_METHODS, apply_reducer
from attribution_bench.models.tensorflow_view import TensorView, with_methods

VALUE = np.random.default_rng(0).uniform(0.1, 2, (3, 4, 5)).astype(np.float32)

USES: dict[str, list[Callable[[Any], Any]]] = {
    "abs": [lambda h: (-h).abs()[:, 0, 0]],
    "amax": [lambda h: h.amax((1, 2)), lambda h: h.amax(axis=1)[:, 0]],
    "amin": [lambda h: h.amin((1, 2)), lambda h: h.amin(1, keepdim=True)[:, 0, 2]],
    "clip": [lambda h: h.clip(0.5, 1)[:, 1, 1], lambda h: h.clip(max=1)[:, 1, 2], lambda h: h.clip(h[:, 0:1])[:, 1, 0]],
    "exp": [lambda h: h.exp()[:, 0, 0]],
    "flatten": [lambda h: h.flatten(1)[:, 7], lambda h: h.flatten()[0:3], lambda h: h.flatten(0, 1)[0:3, 2]],
    "log": [lambda h: h.log()[:, 0, 0]],
    "log1p": [lambda h: h.log1p()[:, 0, 0]],
    "log_softmax": [lambda h: h.log_softmax(1)[:, 2, 0]],
    "logsumexp": [lambda h: h.logsumexp((1, 2))],
    "mean": [lambda h: h.mean(-1)[:, 1], lambda h: h.mean(axis=(1, 2)), lambda h: h[:, 1:3].mean((1, 2))],
    "prod": [lambda h: h.prod(-1)[:, 1]],
    "relu": [lambda h: (h - 1).relu()[:, 0, 0]],
    "reshape": [lambda h: h.reshape(h.shape[0], -1)[:, 3], lambda h: h.reshape((3, 20))[:, 4]],
    "sigmoid": [lambda h: h.sigmoid()[:, 0, 0]],
    "softmax": [lambda h: h.softmax(-1)[:, 0, 1], lambda h: h.softmax(axis=1)[:, 0, 1]],
    "sqrt": [lambda h: h.sqrt()[:, 0, 0]],
    "square": [lambda h: h.square()[:, 0, 0]],
    "squeeze": [lambda h: h[:, 0:1, 0].squeeze(1), lambda h: h[:, :1, :1].squeeze()],
    "sum": [lambda h: h.sum((1, 2)), lambda h: h.sum(2).sum(1), lambda h: h.sum(axis=2, keepdims=True)[:, 0, 0]],
    "tanh": [lambda h: h.tanh()[:, 0, 0]],
    "unsqueeze": [lambda h: h.unsqueeze(1)[:, 0, 0, 3]],
}
OPERATORS: list[Callable[[Any], Any]] = [
    lambda h: (1 - 2 * h.exp() / 3 + h**2 - h % 2 - h // 2)[:, 0, 0],
    lambda h: (2 ** -h.abs() / (h + h.sum()))[:, 0, 0] - 1 / abs(h.log()[:, 0, 0]),
    lambda h: (h.softmax(2)[:, 0:1] @ h.exp()[:, 0].unsqueeze(2))[:, 0, 0],
    lambda h: sum(row.mean() for row in h) / len(h) + h[:, 0, 0],
]


@pytest.mark.parametrize("method", SHARED_METHODS)
def test_methods_give_what_pytorch_gives(method: str) -> None:
    for use in USES[method]:
        ours = apply_reducer(with_methods(use), tf.constant(VALUE))
        theirs = apply_reducer(use, torch.tensor(VALUE), torch.Tensor)
        assert tf.is_tensor(ours)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)


@pytest.mark.parametrize("number", range(len(OPERATORS)))
def test_operators_mix_with_methods(number: int) -> None:
    use = OPERATORS[number]
    ours = apply_reducer(with_methods(use), tf.constant(VALUE))
    np.testing.assert_allclose(ours.numpy(), use(torch.tensor(VALUE)).numpy(), rtol=1e-5)


BOOLEANS: list[Callable[[Any], Any]] = [
    lambda h: (h.amax(1)[:, 0] == h[:, 3, 0]) * h.sum((1, 2)),
    lambda h: (h.amax(1)[:, 0] != h[:, 3, 0]) * h.sum((1, 2)),
    lambda h: (h == h.amax(1, keepdim=True)).sum((1, 2)) / 5,
    lambda h: (h[:, 0, 0] > 1) * h[:, 1, 1],
    lambda h: h[:, 1, 1] * (h[:, 0, 0] > 1) + (h[:, 0, 1] <= 0.7),
    lambda h: (h * (h > 1)).sum((1, 2)),
    lambda h: ((h > 1) * h).mean((1, 2)),
    lambda h: (h > 1).sum((1, 2)),
    lambda h: (h > 1).prod(1)[:, 0] + 1,
    lambda h: ((h > 1).sum((1, 2)) * 2 + 1) % 3 // 2,
    lambda h: ((h > 1) * 1.0).mean((1, 2)),
    lambda h: (h.exp()[:, 0, 0] > 2) + 1,
    lambda h: 2.5 * (h.exp()[:, 0, 0] > 2),
    lambda h: 3 - (h[:, 0, 0] > 1) * 2,
    lambda h: (h[:, 0, 0] > 1) / (h[:, 1, 0] > 0),
    lambda h: ((h[:, 0, 0] > 1) + (h[:, 1, 0] > 1)) * 1.0 + (h[:, 0, 0] > 1) * (h[:, 1, 0] > 1),
    lambda h: ((h.abs() > 0.5) & (h < 1.5) | ~(h > 0.3) ^ (h > 1)).sum((1, 2)) * h[:, 0, 0],
    lambda h: (h.amax(1)[:, 0] > 0.1) * h[:, 0, 0].exp(),
    lambda h: (True * h)[:, 0, 0] + ((h > 1).sum((1, 2)) > 9.5),
    lambda h: ((h > 1).sum((1, 2)) == 10) * h.sum((1, 2)),
]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("number", range(len(BOOLEANS)))
def test_comparisons_count_as_in_pytorch(number: int, kind: type) -> None:
    use, value = BOOLEANS[number], VALUE.astype(kind)
    value[2, 3, 0] = 3  # the largest of its column
    ours = apply_reducer(with_methods(use), tf.constant(value))
    theirs = apply_reducer(use, torch.tensor(value), torch.Tensor)
    assert ours.dtype.is_floating == theirs.is_floating_point()
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)


COMPLEX: list[Callable[[Any], Any]] = [
    lambda h: (h * h.exp()).sum((1, 2)).abs(),
    lambda h: (2 * h.exp() - h + 1).mean((1, 2)).abs(),
    lambda h: ((h.abs() > 1) * h.exp()).prod(2).abs().sum(1),
    lambda h: (h.exp() / 3 * h.abs() ** 2).sum((1, 2)).abs(),
    lambda h: (h.abs() * 1j + h.abs()).exp().sum((1, 2)).abs(),
    lambda h: (h.abs() > 1).sum((1, 2)) * 1j * h.exp()[:, 0, 0],
    lambda h: (h.exp() == h.exp()).sum((1, 2)) * 1.0,
]


@pytest.mark.parametrize("kind", [np.complex64, np.complex128])
@pytest.mark.parametrize("number", range(len(COMPLEX)))
def test_complex_numbers_stay_complex(number: int, kind: type) -> None:
    value = (VALUE + 1j * VALUE[::-1]).astype(kind)
    ours = COMPLEX[number](TensorView(tf.constant(value))).tensor
    theirs = COMPLEX[number](torch.tensor(value))
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_numbers_of_numpy_stand_to_the_left_of_operators(kind: type) -> None:
    number = kind(2)
    for use in (
        lambda h: (number * h.exp())[:, 0, 0],
        lambda h: (number - h.exp())[:, 0, 0] / (number + h.exp()[:, 0, 1]),
        lambda h: (number > h.exp())[:, 0, 0] * 1.0,
    ):
        ours = apply_reducer(with_methods(use), tf.constant(VALUE))
        np.testing.assert_allclose(ours.numpy(), use(torch.tensor(VALUE)).numpy(), rtol=1e-5)


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "view of tensorflow"])
def test_booleans_are_no_numbers_of_a_target(framework: str) -> None:
    value = torch.tensor(VALUE) if framework == "torch" else tf.constant(VALUE)

    def function(output: Any) -> Any:
        return (output.exp() if "view" in framework else output)[:, 0, 0] > 1

    with pytest.raises(TargetError, match="gave booleans"):
        apply_reducer(function if framework == "torch" else with_methods(function), value)


def test_functions_of_tensorflow_take_views() -> None:
    view = TensorView(tf.constant(VALUE))
    np.testing.assert_allclose(tf.reduce_sum(view.exp(), 1).numpy(), np.exp(VALUE).sum(1), rtol=1e-5)
    with tf.GradientTape() as tape:
        tensor = tf.constant(VALUE)
        tape.watch(tensor)
        total = tf.reduce_sum(TensorView(tensor).square())
    np.testing.assert_allclose(tape.gradient(total, tensor).numpy(), 2 * VALUE, rtol=1e-5)


def test_a_tensor_is_given_as_it_is_where_it_has_what_is_asked_for() -> None:
    given = []

    def function(tensor: Any) -> Any:
        given.append(type(tensor).__name__)
        return tf.reduce_mean(tensor, (1, 2)) if len(given) == 1 else tensor.mean((1, 2))

    call = with_methods(function)
    np.testing.assert_allclose(call(tf.constant(VALUE)).numpy(), call(tf.constant(VALUE)).numpy(), rtol=1e-6)
    assert given == ["EagerTensor", "EagerTensor", "TensorView"]


REFUSED: list[tuple[Callable[[Any], Any], str, str]] = [
    (lambda h: torch.logsumexp(h, (1, 2)), "tensorflow", "TypeError: logsumexp"),
    (lambda h: h.median(1), "tensorflow", "AttributeError: an output of a TensorFlow model has no 'median'"),
    (lambda h: (h > 1).mean((1, 2)), "tensorflow", "TypeError: there is no mean of bool numbers"),
    (lambda h: ((h > 1) - (h > 0)).sum((1, 2)), "tensorflow", "TypeError"),
    (lambda h: (h.exp() == h[:, :3]).sum((1, 2)), "tensorflow", "TypeError: "),
    (lambda h: h.exp()[:, 9, 0], "tensorflow", "TypeError: slice index 9"),
    (lambda h: h.median_(1), "torch", "AttributeError: 'Tensor' object has no attribute 'median_'"),
    (lambda h: tf.reduce_sum(h, (1, 2)), "torch", "gives EagerTensor"),
    (lambda h: h.numpy()[:, 0, 0], "torch", "gives ndarray"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_does_not_work_is_told_with_what_does(number: int) -> None:
    function, framework, reason = REFUSED[number]
    call, value, kind = function, torch.tensor(VALUE), torch.Tensor
    if framework == "tensorflow":
        call, value, kind = with_methods(function), tf.constant(VALUE), None
    with pytest.raises(TargetError, match="the methods abs, amax, amin, clip") as raised:
        apply_reducer(call, value, kind)
    assert reason in str(raised.value)
    assert f"the model's framework ({framework}), of shape (3, 4, 5)" in str(raised.value)


def test_other_errors_of_a_function_are_its_own() -> None:
    with pytest.raises(ZeroDivisionError):
        apply_reducer(lambda h: 1 / 0, torch.tensor(VALUE), torch.Tensor)


def test_memory_that_runs_out_is_no_fault_of_the_function() -> None:
    def function(value: Any) -> Any:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        apply_reducer(function, torch.tensor(VALUE), torch.Tensor)


def model_of(framework: str) -> Any:
    """Return a small model with a profile (6, 2)."""
    if framework == "torch":
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv1d(4, 6, 3, padding=1), torch.nn.Tanh(), torch.nn.AvgPool1d(4)).double()
    library: Any = keras if framework == "keras" else tf_keras
    library.utils.set_random_seed(0)
    layers = library.layers
    convolved = [layers.Conv1D(2, 3, padding="same", activation="tanh"), layers.AveragePooling1D(4)]
    return library.Sequential([layers.Input((8, 4)), *convolved])


class Counter:
    """A function that keeps something from call to call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, y: Any) -> Any:
        self.calls += 1
        return y[:, 0, 0] * self.calls


class Half:
    """A function that is an object, and takes each row by itself."""

    def __call__(self, y: Any) -> Any:
        return y[:, 0, 0] / 2


NOISE, TURNS = np.random.default_rng(0), itertools.cycle((0, 0, 0, 1))
MIXING: list[tuple[Callable[[Any], Any], str]] = [
    (lambda y: (y - y.mean(0))[:, 0, 0], "mixes"),
    (lambda y: y.sum((1, 2)) / y.sum(), "mixes"),
    (lambda y: y.softmax(0)[:, 1, 1], "mixes"),
    (lambda y: y[:, 0, 0] - y.amax(0)[0, 0], "mixes"),
    (lambda y: y[:, 0, 0] / len(y), "mixes"),
    (lambda y: y[:, 0, 0] * y.shape[0] ** 0.01, "mixes"),
    (lambda y: 1e6 + y[:, 0, 0] - 1e6 * y.mean(0)[0, 0], "mixes"),
    (functools.partial(lambda axis, y: (y - y.mean(axis, keepdim=True))[:, 0, 0], 0), "mixes"),
    (lambda y: y[:, 0, 0] + NOISE.normal(), "again"),
    (lambda y: y[:, next(TURNS), 0], "again"),
    (Counter(), "again"),
]
BY_ITSELF: list[Callable[[Any], Any]] = [
    lambda y: (y - y.mean(1, keepdim=True))[:, 0, 0],
    lambda y: y.softmax(1).sum((1, 2)) - 2,
    lambda y: y.logsumexp(2).mean(1),
    lambda y: y[:, 0, 0] * 0,
    lambda y: (y[:, 0, 0] > 0) * y[:, 0, 1],
    functools.partial(lambda axis, y: (y - y.mean(axis, keepdim=True))[:, 0, 0], 1),
    Half(),
]
SEQUENCES = ["ACGTACGT", "GGATTACA"]


@pytest.mark.parametrize("framework", ["torch", "keras", "tf_keras"])
def test_a_function_that_does_not_take_each_sequence_by_itself_is_refused(framework: str) -> None:
    methods = [ab.get_method(name)(model_of(framework)) for name in ("standard_ism", "fastism", "gradient_x_input")]
    for number, (function, said) in enumerate(MIXING):
        method = methods[number % 3 if number else 0]
        for target in (function, ("output", function)):
            with pytest.raises(TargetError, match=said):
                method.attribute(SEQUENCES, target=target)
    with pytest.raises(TargetError, match="mixes"):
        methods[1].predict_mutations(SEQUENCES, [ab.Mutation(0, 3, "A")], target=MIXING[0][0])
    for function in BY_ITSELF:
        methods[0].attribute(SEQUENCES[:1], target=function, positions=[3])


def test_a_function_is_checked_once_for_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is written anew for each call; once more where it reads something else."""
    checked = []

    def counted(*args: Any) -> None:
        checked.append(args)
        check_function(*args)

    check_function = sequence_model.check_function
    monkeypatch.setattr(sequence_model, "check_function", counted)
    method = ab.get_method("standard_ism")(model_of("torch"))
    for number, expected in ((0, 1), (0, 1), (1, 2), (1, 2)):
        method.attribute(SEQUENCES, target=lambda y, number=number: y[:, number, 0], positions=[3])
        assert len(checked) == expected
    method.attribute(SEQUENCES, target="sum", positions=[3])
    assert len(checked) == 2
