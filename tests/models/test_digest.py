"""Digests of weights and of what a model does with them."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import pytest
import torch

import attribution_bench as ab
from attribution_bench.models.digest import structure_digest, weights_digest


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_the_same_weights_have_the_same_digest_and_others_another(framework):
    build = ab.get_model("bpnet")
    first, again = (ab.as_sequence_model(build(length=100, framework=framework)) for _ in range(2))
    assert weights_digest(first) == weights_digest(again)
    if framework == "torch":
        next(iter(again.model.parameters())).data.reshape(-1)[0] += 1e-6
    else:
        weight = again.model.weights[0]
        changed = weight.numpy().copy()
        changed.reshape(-1)[0] += 1e-6
        weight.assign(changed)
    assert weights_digest(first) != weights_digest(again)


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_a_model_that_is_built_again_has_the_same_structure(framework):
    built = (ab.get_model("bpnet")(length=100, framework=framework) for _ in range(2))
    first, again = (structure_digest(ab.as_sequence_model(model)) for model in built)
    assert first == again


def torch_model(
    size: int = 2, factor: float = 1.0, activation: type[torch.nn.Module] = torch.nn.ReLU
) -> torch.nn.Module:
    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(-1) * self.factor

    return torch.nn.Sequential(torch.nn.Conv1d(4, 1, 3), activation(), torch.nn.MaxPool1d(size), Scaled())


def keras_model(size: int = 2, factor: float = 1.0, activation: str = "relu") -> keras.Model:
    class Untold(keras.layers.Layer):
        def __init__(self, by: float) -> None:
            super().__init__()
            self.by = by

        def call(self, x):
            return x * self.by

    x = inputs = keras.Input((20, 4))
    x = keras.layers.Conv1D(1, 3, activation=activation)(x)
    x = keras.layers.MaxPooling1D(size)(x)
    x = keras.layers.Lambda(lambda values: values * factor)(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(Untold(factor)(x)))


@pytest.mark.parametrize(
    ("build", "changed"),
    [
        (torch_model, {"size": 3}),
        (torch_model, {"factor": 2.0}),
        (torch_model, {"activation": torch.nn.ELU}),
        (keras_model, {"size": 3}),
        (keras_model, {"factor": 2.0}),
        (keras_model, {"activation": "elu"}),
    ],
)
def test_the_same_weights_in_another_structure_show(build, changed):
    first, again, other = (structure_digest(ab.as_sequence_model(build(**given))) for given in ({}, {}, changed))
    assert first == again != other


def connected(library: Any, of: str = "") -> Any:
    """Return a functional model with the weights and layers of others that are connected otherwise."""
    layers = library.layers
    x = inputs = library.Input((20, 4))
    first = layers.Conv1D(4, 3, padding="same")
    one = first(x)
    two = layers.Conv1D(4, 3, padding="same")(one)
    three = layers.Conv1D(4, 3, padding="same")(two)
    added = layers.Add()([three, two if of == "skip" else one])
    taken = layers.Subtract()([added, three] if of == "order" else [three, added])
    again = first(two if of == "shared" else taken)
    inner_input = library.Input((20, 4))
    halves = [layers.Dense(4)(inner_input), inner_input]
    inner = library.Model(inner_input, layers.Subtract()(halves[::-1] if of == "nested" else halves))
    attended = layers.MultiHeadAttention(1, 4)(again, value=one, key=two if of == "keyword" else one)
    scaled = inner(attended) * (3.0 if of == "constant" else 2.0)
    outputs = [layers.Flatten()(scaled), layers.Flatten()(three)]
    return library.Model(inputs, outputs[::-1] if of == "outputs" else outputs)


@pytest.mark.parametrize("name", ["keras", "tf_keras"])
def test_the_same_layers_connected_otherwise_show(name: str) -> None:
    library = pytest.importorskip(name)
    ways = ("", "skip", "order", "shared", "nested", "keyword", "constant", "outputs")
    found = [structure_digest(ab.as_sequence_model(connected(library, of))) for of in ("", *ways)]
    assert found[0] == found[1]
    assert len(set(found)) == len(ways)


def test_a_model_that_travelled_has_the_same_structure() -> None:
    model = connected(keras)
    there = pickle.loads(pickle.dumps(model))
    assert structure_digest(ab.as_sequence_model(there)) == structure_digest(ab.as_sequence_model(model))


def test_a_configuration_that_a_module_of_a_package_holds_shows() -> None:
    @dataclass
    class Configuration:
        heads: int
        rates: tuple[int, ...] = (1, 2)

    def configured(**given: Any) -> torch.nn.Module:
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(80, 1))
        model[0].configuration = Configuration(**given)
        return model

    given = ({"heads": 1}, {"heads": 1}, {"heads": 2}, {"heads": 1, "rates": (1, 4)})
    first, again, *others = (structure_digest(ab.as_sequence_model(configured(**one))) for one in given)
    assert first == again
    assert first not in others


class Dilated(torch.nn.Module):
    def __init__(self, dilations: Sequence[int] = (1, 2), activation: object = torch.relu, scale: float = 1.0) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv1d(4, 4, 3)
        self.dilations, self.activation, self.scale = dilations, activation, torch.tensor(scale)
        self.calls, self.cache = 0, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls, self.cache = self.calls + 1, x
        for dilation in self.dilations:
            x = torch.nn.functional.conv1d(x, self.convolution.weight, padding=dilation, dilation=dilation)
            x = self.activation(x) * self.scale
        return x.mean(-1)


@pytest.mark.parametrize(
    "changed", [Dilated((1, 4)), Dilated([1, 2, 1]), Dilated(activation=torch.tanh), Dilated(scale=2.0)]
)
def test_settings_of_any_kind_show_and_what_calls_write_does_not(changed):
    model = ab.as_sequence_model(Dilated())
    before = structure_digest(model)
    model.outputs(20)
    assert structure_digest(model) == before != structure_digest(ab.as_sequence_model(changed))
