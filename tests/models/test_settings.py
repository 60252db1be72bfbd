"""What a model holds and reads besides weights, by which it is known to have changed."""

import enum
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import Tensor, nn

from attribution_bench.models.keras_settings import held_by
from attribution_bench.models.torch_settings import module_settings
from attribution_bench.models.torch_state import KeptTensor, contents
from attribution_bench_plugins.standard_ism import StandardISM

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")

STRENGTH = 1.0
CONFIGURATION = ModuleType("configuration")
"""A module of another package than that of the code that reads it."""


class Namespace:
    """A class that nobody makes an object of."""

    scale = 1.0
    nested: ClassVar[dict[str, list[float]]] = {"k": [1.0]}

    @staticmethod
    def of_static() -> float:
        return Static.k

    @classmethod
    def of_class(cls) -> float:
        return Classed.k


class Static:
    k = 1.0


class Classed:
    k = 1.0


class Bases:
    inherited = 1.0


class Kind(enum.Enum):
    PLAIN = 1
    OTHER = 2


class Scale(Bases):
    """A callable whose state is in the object, in its class and in what its code reads."""

    of_class = 1.0

    def __init__(self) -> None:
        self.k, self.table = 1.0, {"k": [1.0]}

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.k * self.of_class * self.inherited * self.strength

    @property
    def strength(self) -> float:
        return STRENGTH

    def hook(self, module: nn.Module, given: Any, output: Tensor) -> Tensor:
        return self(output)


@dataclass
class Options:
    scale: float = 1.0
    kind: Kind = Kind.PLAIN


OPTIONS = Options()


@functools.lru_cache
def cached() -> float:
    return Cached.k


class Cached:
    k = 1.0


def called() -> float:
    return called.k  # type: ignore[attr-defined, no-any-return]


called.k = 1.0  # type: ignore[attr-defined]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(4, 2, 3)
        self.number: Any = 2
        self.numbers: Any = (1, 2)
        self.zero, self.flag, self.complex = 0.0, True, 0j
        self.activation: Any = Scale()
        self.method = Scale().hook
        self.get = {"k": 1.0}.get
        self.partial = functools.partial(Scale(), 1)
        self.unregistered = [nn.Sequential(nn.Conv1d(2, 2, 1), nn.LeakyReLU(0.1))]
        self.parameters_in_a_list = [nn.Parameter(torch.ones(2))]
        self.sparse = torch.eye(3).to_sparse()
        self.rows = torch.eye(3).to_sparse_csr()
        self.empty = torch.ones(2, device="meta")
        self.layer.register_forward_hook(Scale().hook)
        self.register_buffer("graph", torch.eye(3).to_sparse())

    def forward(self, x: Tensor) -> Tensor:
        factor = Namespace.scale * Namespace.nested["k"][0] * Namespace.of_static() * Namespace.of_class()
        factor *= OPTIONS.scale * cached() * called() * CONFIGURATION.Settings.scale * CONFIGURATION.chosen.k
        y: Tensor = self.layer(x) * factor * CONFIGURATION.function()
        return y


def hook_of(model: Model) -> Any:
    return next(iter(model.layer._forward_hooks.values())).__self__  # type: ignore[attr-defined]


CHANGES: dict[str, Callable[[Model], object]] = {
    "whole number": lambda m: setattr(m, "number", 2.0),
    "numbers": lambda m: setattr(m, "numbers", (1.0, 2.0)),
    "zero": lambda m: setattr(m, "zero", -0.0),
    "boolean": lambda m: setattr(m, "flag", 1),
    "complex zero": lambda m: setattr(m, "complex", complex(0, -0.0)),
    "class": lambda m: setattr(Namespace, "scale", 1.2),
    "list of a class": lambda m: Namespace.nested["k"].__setitem__(0, 1.2),
    "static method": lambda m: setattr(Static, "k", 1.2),
    "class method": lambda m: setattr(Classed, "k", 1.2),
    "object": lambda m: setattr(OPTIONS, "scale", 1.2),
    "kind": lambda m: setattr(OPTIONS, "kind", Kind.OTHER),
    "cached function": lambda m: setattr(Cached, "k", 1.2),
    "attribute of a function": lambda m: setattr(called, "k", 1.2),
    "class of a module": lambda m: setattr(CONFIGURATION.Settings, "scale", 1.2),
    "object of a module": lambda m: setattr(CONFIGURATION.chosen, "k", 1.2),
    "callable": lambda m: setattr(m.activation, "k", 1.2),
    "list of a callable": lambda m: m.activation.table["k"].append(1.2),
    "class of a callable": lambda m: setattr(Scale, "of_class", 1.2),
    "base of a callable": lambda m: setattr(Bases, "inherited", 1.2),
    "call of a callable": lambda m: setattr(Scale, "__call__", lambda self, x: x),
    "property": lambda m: setattr(sys.modules[__name__], "STRENGTH", 1.2),
    "bound method": lambda m: setattr(m.method.__self__, "k", 1.2),
    "bound method of a dict": lambda m: m.get.__self__.__setitem__("k", 1.2),
    "partial": lambda m: setattr(m.partial.func, "k", 1.2),
    "hook": lambda m: setattr(hook_of(m), "k", 1.2),
    "module in a list": lambda m: setattr(m.unregistered[0][1], "negative_slope", 0.9),
    "weight in a list": lambda m: m.unregistered[0][0].weight.data.neg_(),
    "parameter in a list": lambda m: m.parameters_in_a_list[0].data.mul_(2),
    "sparse tensor": lambda m: m.sparse._values().mul_(2),
    "sparse rows": lambda m: m.rows.values().mul_(2),
}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    settings, chosen = type("Settings", (), {"scale": 1.0}), Scale()
    vars(CONFIGURATION).update(Settings=settings, chosen=chosen, function=np.sqrt)
    for holder, name in [
        *((Namespace, "scale"), (Static, "k"), (Classed, "k"), (Cached, "k"), (called, "k"), (OPTIONS, "scale")),
        *((OPTIONS, "kind"), (Scale, "of_class"), (Bases, "inherited"), (Scale, "__call__")),
        (sys.modules[__name__], "STRENGTH"),
    ]:
        monkeypatch.setattr(holder, name, getattr(holder, name))
    monkeypatch.setitem(Namespace.nested, "k", [1.0])
    return Model()


def test_what_a_model_reads_is_told_by_its_values(model: Model) -> None:
    before = module_settings(model.modules())
    assert module_settings(model.modules()) == before
    for name, change in CHANGES.items():
        change(model)
        after = module_settings(model.modules())
        assert after != before, name
        assert module_settings(model.modules()) == after, name
        before = after


def test_objects_that_hold_each_other_are_looked_at_once(model: Model) -> None:
    model.activation.owner = model.activation
    model.unregistered[0].other = model.unregistered
    model.number = [model, model.method]
    assert module_settings(model.modules()) == module_settings(model.modules())


SPARSE: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "coordinates": (Tensor.to_sparse, Tensor._values),
    "rows": (Tensor.to_sparse_csr, Tensor.values),
    "columns": (Tensor.to_sparse_csc, Tensor.values),
    "blocks": (lambda dense: dense.to_sparse_bsr((2, 2)), Tensor.values),
}


@pytest.mark.parametrize("layout", SPARSE)
def test_sparse_tensors_are_compared_and_put_back(layout: str) -> None:
    make, values = SPARSE[layout]
    tensor = make(torch.eye(4))
    before, kept = contents([tensor]), KeptTensor("graph", tensor)
    assert kept.is_unchanged()
    assert contents([make(torch.eye(4))]) == before
    values(tensor).mul_(2)
    assert not kept.is_unchanged()
    assert contents([tensor]) != before
    kept.restore()
    assert kept.is_unchanged()
    assert contents([tensor]) == before
    torch.testing.assert_close(tensor.to_dense(), torch.eye(4))


class Mixing(nn.Module):
    def __init__(self, graph: Tensor, is_buffer: bool) -> None:
        super().__init__()
        self.layer = nn.Conv1d(4, 4, 3)
        if is_buffer:
            self.register_buffer("graph", graph)
        else:
            self.graph = graph

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = (self.graph @ self.layer(x).relu().amax(2).T).T
        return mixed


@pytest.mark.parametrize("is_buffer", [False, True])
@pytest.mark.parametrize("layout", ["coordinates", "rows"])
def test_models_with_sparse_tensors_are_used_as_they_are(layout: str, is_buffer: bool) -> None:
    make, values = SPARSE[layout]
    model, x = Mixing(make(torch.eye(4)), is_buffer).eval(), np.eye(4)[np.arange(12) % 4].T[None]
    method = StandardISM(model)
    before = method.attribute(x, target=(1,), positions=[3]).scores
    values(model.graph).mul_(2)
    after = method.attribute(x, target=(1,), positions=[3]).scores
    np.testing.assert_allclose(after, 2 * before, rtol=1e-5)


class Holding(keras.layers.Layer):  # type: ignore[misc]
    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held

    def call(self, x: Any) -> Any:
        return x


def test_tensors_of_any_kind_in_layers_are_told_by_their_values() -> None:
    variable = tf.Variable(["a", "b"])
    kinds = [variable, tf.constant(["a"]), tf.ragged.constant([[1.0, 2.0], [3.0]]), tf.ragged.constant([["a"], []])]
    model = keras.Sequential([keras.Input((3,)), *map(Holding, kinds)])
    before = held_by(model).settings
    assert held_by(model).settings == before
    variable.assign(["a", "c"])
    assert held_by(model).settings != before
