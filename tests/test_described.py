"""Descriptions of options and targets: equal in another process, and other where anything differs."""

import functools
import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from attribution_bench.described import described, described_class

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
        (1, "1"),
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
            from attribution_bench.described import described, described_class

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

            print(json.dumps([described(target), described(Kept()), described_class(Kept)]))
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


def test_a_class_is_described_by_the_code_that_is_not_installed():
    import torch

    class Own(torch.nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 2

    class Other(torch.nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 3

    assert described_class(torch.nn.Linear) == {}
    assert list(described_class(Own)) == [f"{Own.__qualname__}.forward"]
    assert list(described_class(Own).values()) != list(described_class(Other).values())
