"""Descriptions of options and targets: equal in another process, and other where anything differs."""

import contextlib
import functools
import importlib
import json
import operator
import subprocess
import sys
import textwrap
from collections import UserList, defaultdict, namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from attribution_bench.described import described

SCALE = 2.0


def scaled(values: Any) -> Any:
    return _sum(values) * SCALE


def _sum(values: Any) -> Any:
    return values.sum()


@dataclass(frozen=True)
class Part:
    start: int
    of: Any = None


class Weighted:
    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, values: Any) -> Any:
        return values * self.weight


class Slotted:
    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __call__(self, values: Any) -> Any:
        return values[:, self.index]


def times(factor: float) -> Any:
    return lambda values: values * factor


def with_default(factor: float) -> Any:
    def function(values: Any, by: float = factor) -> Any:
        return values * by

    return function


LONG = np.zeros(5000)
OTHER = LONG + (np.arange(5000) == 2500)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda y: y[:, 0], lambda y: y[:, 1]),
        (lambda y: y.mean(), lambda y: y.sum()),
        (lambda y: y in {1, 2}, lambda y: y in {1, 3}),
        (lambda y: [each for each in y if each > 1], lambda y: [each for each in y if each > 2]),
        (times(2.0), times(3.0)),
        (with_default(2.0), with_default(3.0)),
        (functools.partial(times, 2.0), functools.partial(times, 3.0)),
        (Weighted(1.0), Weighted(2.0)),
        (Weighted(1.0).__call__, Weighted(2.0).__call__),
        (Part(1), Part(2)),
        (Part(1, of=LONG), Part(1, of=OTHER)),
        (LONG, OTHER),
        (LONG, LONG.astype(np.float32)),
        (LONG, LONG[None]),
        (np.add, np.multiply),
        (np.array(["a", 1], dtype=object), np.array(["a", 2], dtype=object)),
        (slice(0, 3), slice(0, 4)),
        ({"y": 1}, {"y": 2}),
        ({1, 2}, {1, 3}),
        (b"a", b"b"),
        (operator.itemgetter((slice(None), 0)), operator.itemgetter((slice(None), 1))),
        (operator.attrgetter("a"), operator.attrgetter("b")),
        (np.zeros(3).dot, np.ones(3).dot),
        (Slotted(1), Slotted(2)),
        (functools.lru_cache(lambda y: y), functools.lru_cache(lambda y: y + 1)),
        (list(range(2000)), [*range(1000), 0, *range(1001, 2000)]),
        (float("nan"), float("inf")),
        (1, "1"),
        ({1: "y"}, {"1": "y"}),
        ({None: 1}, {"None": 1}),
        ({(lambda y: y + 1): 1, (lambda y: y + 2): 2}, {(lambda y: y + 1): 2, (lambda y: y + 2): 1}),
        (defaultdict(lambda: 1), defaultdict(lambda: 2)),
        (np.longdouble(1), np.nextafter(np.longdouble(1), np.longdouble(2))),
        (np.clongdouble(1), np.clongdouble(1j)),
        (np.array([1], np.longdouble), np.array([2], np.longdouble)),
    ],
)
def test_what_differs_is_described_otherwise(one, other):
    assert described(one) != described(other)
    for value in (one, other):
        assert json.dumps(described(value)) == json.dumps(described(value))


def test_a_function_is_described_by_the_globals_it_reads(monkeypatch):
    before = described(scaled)
    assert described(scaled) == before
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    other_number = described(scaled)
    monkeypatch.setitem(globals(), "_sum", times(1.0))
    assert len({json.dumps(one) for one in (before, other_number, described(scaled))}) == 3


def test_plain_values_are_themselves():
    value = {"target": ("count", [1, 2.5, None, True]), "scale": np.float64(2), "rows": np.int64(3)}
    assert described(value) == {"target": ["count", [1, 2.5, None, True]], "scale": 2.0, "rows": 3}


def test_tensors_and_modules_are_described_by_their_numbers():
    import torch

    assert described(torch.zeros(5000)) == described(np.zeros(5000, np.float32))
    assert described(torch.tensor([1.0], dtype=torch.bfloat16)) != described(torch.tensor([2.0], dtype=torch.bfloat16))
    torch.manual_seed(0)
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert described(times(one)) != described(times(other))
    other.load_state_dict(one.state_dict())
    assert described(times(one)) == described(times(other))


def test_layers_of_keras_are_described_by_their_weights():
    import keras

    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    before = described(times(layer))
    assert described(times(layer)) == before
    layer.set_weights([weight + 1 for weight in layer.get_weights()])
    assert described(times(layer)) != before


def test_objects_that_hold_each_other_are_described():
    one, other = Weighted(1.0), Weighted(2.0)
    one.other, other.other = other, one
    assert json.dumps(described(one)) != json.dumps(described(other))


def test_another_process_describes_the_same_in_the_same_way(tmp_path):
    (tmp_path / "targets.py").write_text(
        textwrap.dedent(
            """
            import json, sys, functools
            import numpy as np
            from attribution_bench.described import described

            WORDS = {"acceptor", "donor", "neither", "both"}

            class Kept:
                def __init__(self):
                    self.names = {"a", "b", "c", "d"}
                def __call__(self, y):
                    return y

            @functools.lru_cache
            def cached(y):
                return y

            def target(y, of=Kept()):
                return y[:, 1] if "donor" in {"donor", "acceptor", "x", "y"} and WORDS else np.mean(of(cached(y)))

            print(json.dumps([described(target), described(Kept()), described(Kept)]))
            """
        )
    )
    runs = {
        subprocess.run(
            [sys.executable, "targets.py"],
            cwd=tmp_path,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(runs) == 1
    assert json.loads(runs.pop())[0]["function"] == "target"


class Fixed:
    index = 0

    @staticmethod
    def picked(values: Any) -> Any:
        return values[:, 0]

    @property
    def factor(self) -> float:
        return SCALE

    @functools.cached_property
    def kept(self) -> float:
        return 2.0

    @contextlib.contextmanager
    def decorated(self) -> Any:
        yield 1

    def __call__(self, values: Any) -> Any:
        return self.picked(values) * self.factor + self.index


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("index", 1),
        ("picked", staticmethod(lambda values: values[:, 1])),
        ("factor", property(lambda self: 3.0)),
        ("kept", functools.cached_property(lambda self: 3.0)),
        ("decorated", contextlib.contextmanager(lambda self: (yield 2))),
        ("__call__", lambda self, values: values),
    ],
)
def test_an_object_is_described_by_what_its_class_holds(monkeypatch, name, value):
    before = described(Fixed())
    assert described(Fixed()) == before
    monkeypatch.setattr(Fixed, name, value)
    assert described(Fixed()) != before


def test_globals_that_functions_of_a_class_read_tell(monkeypatch):
    before = described(Fixed())
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    assert described(Fixed()) != before


def test_what_calls_write_is_no_part_of_a_class():
    class Counting:
        calls = 0

        def __call__(self, values: Any) -> Any:
            self._count()
            return values

        def _count(self) -> None:
            type(self).calls += 1

    before = described(Counting)
    Counting()(1)
    assert described(Counting) == before


def test_what_a_function_writes_itself_is_no_part_of_it(monkeypatch):
    monkeypatch.setitem(globals(), "COUNT", 0)
    before = described(counting)
    counting(1)
    assert described(counting) == before


def counting(values: Any) -> Any:
    global COUNT
    COUNT += 1
    return values


def test_docstrings_are_no_part_of_a_function():
    def function(values: Any) -> Any:
        """One text."""
        return values

    first = described(function)

    def function(values: Any) -> Any:  # type: ignore[no-redef]
        """Another text."""
        return values

    assert described(function) == first


def test_attributes_of_a_module_that_a_function_names_tell(tmp_path, monkeypatch):
    module = ModuleType("config")
    module.TASK, module.OTHER = 3, 1
    monkeypatch.setitem(sys.modules, "config", module)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "config.py"), raising=False)
    monkeypatch.setitem(globals(), "config", module)
    before = described(of_config)
    module.OTHER = 2
    assert described(of_config) == before
    module.TASK = 4
    assert described(of_config) != before


def of_config(values: Any) -> Any:
    return values[:, config.TASK]  # noqa: F821


def test_what_is_installed_is_described_by_its_name_and_release():
    import torch

    told = described(torch.nn.Linear)
    assert told == f"torch.nn.modules.linear.Linear (torch {version('torch')})"
    assert described(json.dumps) == "json.dumps"


def test_modules_of_pytorch_are_described_by_their_settings():
    import torch

    class Pick(torch.nn.Module):
        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

        def forward(self, values: Any) -> Any:
            return values[:, self.index]

    assert described(Pick(0)) == described(Pick(0).eval()) != described(Pick(1))
    assert described(torch.nn.LeakyReLU(0.1)) != described(torch.nn.LeakyReLU(0.2))


def test_layers_of_keras_are_described_by_their_settings():
    import keras

    one, again, other = (keras.layers.Activation(name) for name in ("relu", "relu", "elu"))
    assert described(one) == described(again) != described(other)


def test_one_object_in_two_places_is_as_two_equal_ones():
    one, other = Weighted(9.0), Weighted(3.0)
    assert described({"a": one, "b": other, "c": one}) != described({"a": one, "b": other, "c": other})
    assert described([one, one]) == described([one, Weighted(9.0)])
    first, second = (lambda y: y[:, 0]), (lambda y: y[:, 1])
    assert described([first, second, first]) != described([first, second, second])


def test_a_function_that_calls_itself_is_described():
    assert described([recursive]) == described([recursive])
    assert described([scaled, recursive])[1] == described([recursive])[0]


def recursive(values: Any) -> Any:
    return recursive(values[0]) if len(values) > 1 else values


class Rows(Sequence):
    """A sequence that is no list."""

    def __init__(self, numbers: Any) -> None:
        self.numbers = numbers

    def __getitem__(self, index: Any) -> Any:
        return self.numbers[index]

    def __len__(self) -> int:
        return len(self.numbers)


OWN = {
    "list": (list, [1, 2]),
    "tuple": (tuple, (1, 2)),
    "named tuple": (namedtuple("Picked", "indices"), [(1, 2)]),
    "dict": (dict, {"a": 1}),
    "set": (set, {"a", "b"}),
    "frozenset": (frozenset, {"a", "b"}),
    "int": (int, 1),
    "float": (float, 1.0),
    "str": (str, "a"),
    "bytes": (bytes, b"a"),
    "list of Python's": (UserList, [1, 2]),
    "sequence": (Rows, [1, 2]),
}
"""What -> a class, and what one of its objects is made of."""


def edited(base: type, call: Callable[..., Any]) -> type:
    """Return a class of one's own, as it is after its code was edited."""
    return type("Edited", (base,), {"__call__": call, "__module__": __name__})


@pytest.mark.parametrize("what", OWN)
def test_a_container_of_a_class_of_ones_own_is_described_by_its_class_and_attributes_too(what):
    base, content = OWN[what]
    kinds = [edited(base, call) for call in (lambda self, y: y + 1, lambda self, y: y + 1, lambda self, y: y + 2)]
    first, again, other = (described(kind(content)) for kind in kinds)
    assert first == again != other
    scaled_by = [kinds[0](content) for _ in range(3)]
    for one, scale in zip(scaled_by, (1, 1, 2), strict=True):
        one.scale = scale
    first, again, other = map(described, scaled_by)
    assert first == again != other
    json.dumps([first, other])


def test_an_array_of_a_class_of_ones_own_is_described_by_its_class_too():
    kinds = [edited(np.ndarray, call) for call in (lambda self, y: y + 1, lambda self, y: y + 1, lambda self, y: y + 2)]
    first, again, other = (described(np.zeros(3).view(kind)) for kind in kinds)
    assert first == again != other


def test_containers_of_packages_are_described_by_their_elements():
    import torch

    assert described(torch.Size([1, 2])) == [1, 2]
    assert described(namedtuple("Picked", "index", module="collections")(1)) == [1]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Write a package with a module in a package in it, and a target; returns the target and that module."""

    def write(name: str, target: str, *, with_init: bool) -> tuple[Any, Any]:
        folder = tmp_path / name / "inner"
        folder.mkdir(parents=True)
        (folder / "ops.py").write_text("def readout(y):\n    return y[:, 0]\n\nTASK = 1\n")
        if with_init:
            (folder / "__init__.py").touch()
            (folder.parent / "__init__.py").touch()
        (tmp_path / f"{name}_target.py").write_text(f"import {name}.inner.ops\n{target.format(name)}\n")
        monkeypatch.syspath_prepend(tmp_path)
        imported = importlib.import_module(f"{name}_target")
        return imported.target, sys.modules[f"{name}.inner.ops"]

    before = set(sys.modules)
    yield write
    for name in set(sys.modules) - before:
        if name.startswith("own_package"):
            del sys.modules[name]


@pytest.mark.parametrize("with_init", [True, False])
@pytest.mark.parametrize(
    "target",
    [
        "def target(y):\n    return {0}.inner.ops.readout(y) * {0}.inner.ops.TASK",
        "def target(y, ops={0}.inner.ops):\n    return ops.readout(y) * ops.TASK",
        "def target(y, *, of={0}.inner):\n    return of.ops.readout(y) * of.ops.TASK",
        "class Target:\n    def __call__(self, y):\n        return {0}.inner.ops.readout(y) * {0}.inner.ops.TASK\n"
        "target = Target()",
    ],
    ids=["named", "default", "keyword", "in a class"],
)
def test_modules_in_packages_are_read_as_far_as_a_function_names_them(package, monkeypatch, target, with_init):
    function, module = package("own_package", target, with_init=with_init)
    before = described(function)
    assert described(function) == before
    monkeypatch.setattr(module, "TASK", 2)
    other_number = described(function)
    monkeypatch.setattr(module, "readout", lambda y: y[:, 1])
    assert len({json.dumps(one) for one in (before, other_number, described(function))}) == 3


def test_what_is_built_into_python_is_installed():
    import time

    assert described(time.sleep)[0] == "time.sleep"
    assert described(sys) == "sys"
    assert described(type(sys.implementation)) == "types.SimpleNamespace"
    module = ModuleType("own_module_without_a_file")
    exec("def readout(y):\n    return y", vars(module))
    sys.modules[module.__name__] = module
    try:
        assert "sha256" in described(module.readout)
    finally:
        del sys.modules[module.__name__]


class Tally:
    """Counts and keeps what it is called with, and moves its weight."""

    def __init__(self, weight: Any) -> None:
        self.weight, self.calls, self.last = weight, 0, None

    @functools.cached_property
    def doubled(self) -> Any:
        return self.weight * 2

    def __call__(self, values: Any) -> Any:
        self.weight = np.asarray(self.weight)
        self.calls, self.last = self.calls + 1, values
        return values * self.doubled


@dataclass
class Prepared:
    """A data class that holds more than its fields."""

    path: str
    calls: int = 0

    def __post_init__(self) -> None:
        self.weight = WEIGHTS[self.path]

    @functools.cached_property
    def doubled(self) -> Any:
        return self.weight * 2

    def __call__(self, values: Any) -> Any:
        self.last = values
        return values * self.doubled


WEIGHTS = {"a": np.ones(2)}


def torch_tally(weight: Any) -> Any:
    import torch

    class Counting(torch.nn.Module):
        def __init__(self, weight: Any) -> None:
            super().__init__()
            self.weight, self.calls = weight, 0

        def forward(self, values: Any) -> Any:
            self.calls += 1
            return values * self.weight

    return Counting(weight)


class Counted(list):
    """A list that counts its calls."""

    calls = 0

    def __call__(self, values: Any) -> Any:
        self.calls += 1
        return values


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (lambda: Tally(np.ones(2)), lambda: Tally(np.zeros(2))),
        (lambda: Prepared("a"), lambda: Prepared("a", 1)),
        (lambda: torch_tally(1.0), lambda: torch_tally(2.0)),
        (lambda: Counted([1]), lambda: Counted([2])),
    ],
)
def test_what_calls_keep_in_an_object_is_no_part_of_it_and_what_it_was_given_is(make, other):
    called, fresh = make(), make()
    called(np.ones(2))
    assert described(called) == described(fresh) != described(other())


def test_what_a_data_class_holds_besides_its_fields_tells(monkeypatch):
    before = described(Prepared("a"))
    monkeypatch.setitem(WEIGHTS, "a", np.zeros(2))
    assert described(Prepared("a"))["holds"] != before["holds"]


def test_numbers_of_more_digits_than_pythons_are_told_in_words():
    assert described([np.longdouble(1)]) == [repr(np.longdouble(1))]
    assert described(np.array([1], np.longdouble)) == {"shape": [1], "elements": [repr(np.longdouble(1))]}


@pytest.mark.parametrize("kept", [lambda kind: kind(), lambda kind: [kind(), kind(2.0)]])
def test_a_class_that_holds_objects_of_its_own_is_described(kept):
    class Mean:
        def __init__(self, scale: float = 1.0) -> None:
            self.scale = scale

        def __call__(self, values: Any) -> Any:
            return values.mean() * self.scale

    Mean.plain = kept(Mean)  # type: ignore[attr-defined]
    Mean.other = kept(Mean)  # type: ignore[attr-defined]
    assert described(Mean(2.0)) == described(Mean(2.0)) != described(Mean(3.0))


def test_an_object_of_a_class_within_a_function_is_the_same_where_its_code_was_sent():
    """Such a class loses the name of the function on the way."""
    cloudpickle = pytest.importorskip("cloudpickle")

    class Scaled:
        def __init__(self, scale: float) -> None:
            self.scale = scale

        def __call__(self, values: Any) -> Any:
            return values.mean() * self.scale

    class Twice(Scaled):
        def __call__(self, values: Any) -> Any:
            return super().__call__(values) * 2

    code = (
        "import json, pickle, sys; from attribution_bench.described import described; "
        "print(json.dumps(described(pickle.load(sys.stdin.buffer))))"
    )
    sent = cloudpickle.dumps([Scaled(2.0), Twice(3.0), Twice])
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    assert json.loads(done.stdout) == described([Scaled(2.0), Twice(3.0), Twice])
