"""Old public names: each still works, warns once at the caller's line, and names what replaces it."""

import importlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench import fastism
from attribution_bench.errors import InvalidInputError
from attribution_bench_plugins.fastism.ops.local import LocalFunction

SEQUENCES = ["ACGTTGCAAC", "TTGACCAGTA"]
BASELINES = np.full((4, 10), 0.25)

# Beside a lower precision windows must run, or it makes no difference.
OTHERS: dict[str, dict[str, Any]] = {"matmul_precision": {"min_speedup": 0}}

OPTIONS: dict[str, tuple[str, str, str, Any]] = {
    "Integrated Gradients' steps": ("integrated_gradients", "steps", "n_steps", 3),
    "Integrated Gradients' baseline": ("integrated_gradients", "baseline", "baselines", BASELINES),
    "DeepSHAP's references": ("deepshap", "references", "n_references", 2),
    "fastISM's least_gain": ("fastism", "least_gain", "min_speedup", 0),
    "fastISM's products": ("fastism", "products", "matmul_precision", "bfloat16"),
}

MOVED = {
    "FallbackWarning": ("attribution_bench_plugins.fastism.engine", "attribution_bench.errors"),
    "ConvergenceWarning": ("attribution_bench_plugins.deepshap", "attribution_bench.errors"),
    "as_sequence_model": ("attribution_bench.models.sequence_model", "attribution_bench.models.adapt"),
    "save_evaluation": ("attribution_bench.evaluation.evaluate", "attribution_bench.evaluation.results"),
    "ConvergenceWarning, in its module": ("attribution_bench_plugins.deepshap.convergence", "attribution_bench.errors"),
}


@contextmanager
def deprecated(old: str, new: str) -> Iterator[None]:
    """Expect one DeprecationWarning that points into this file and names both."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    (warning,) = caught
    assert warning.category is DeprecationWarning
    assert warning.filename == __file__
    assert old in str(warning.message)
    assert new in str(warning.message)


@pytest.fixture
def model() -> nn.Module:
    """Return a small convolutional network for sequences of 10 letters."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv1d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 1)).eval()


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_by_its_old_name(case: str, model: nn.Module) -> None:
    method, old, new, value = OPTIONS[case]
    build: Callable[..., Any] = ab.get_method(method)
    with deprecated(repr(old), repr(new)):
        by_old = build(model, **{old: value}, **OTHERS.get(new, {}))
    by_new = build(model, **{new: value}, **OTHERS.get(new, {}))
    first, second = (one.attribute(SEQUENCES) for one in (by_old, by_new))
    np.testing.assert_array_equal(first.scores, second.scores)
    assert first.metadata["options"] == second.metadata["options"]
    assert new in first.metadata["options"]
    assert old not in first.metadata["options"]


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_by_both_names_is_refused(case: str, model: nn.Module) -> None:
    method, old, new, value = OPTIONS[case]
    build: Callable[..., Any] = ab.get_method(method)
    with pytest.raises(InvalidInputError, match=f"'{old}' is the old name of '{new}'; give the option once"):
        build(model, **{old: value, new: value})


@pytest.mark.parametrize("case", OPTIONS)
def test_signatures_show_new_names_only(case: str) -> None:
    method, old, new, _ = OPTIONS[case]
    parameters = inspect.signature(ab.get_method(method)).parameters
    assert new in parameters
    assert old not in parameters


def test_options_by_position(model: nn.Module) -> None:
    build: Callable[..., Any] = ab.get_method("deepshap")
    by_position, by_name = build(model, 2, 5), build(model, n_references=2, seed=5)
    assert by_position.options == by_name.options
    with deprecated("'references'", "'n_references'"), pytest.raises(TypeError, match="multiple values"):
        build(model, 2, references=2)


def test_an_option_that_never_was(model: nn.Module) -> None:
    build: Callable[..., Any] = ab.get_method("fastism")
    with pytest.raises(TypeError, match="unexpected keyword argument 'gain'"):
        build(model, gain=2)


def test_plan_is_explain(model: nn.Module) -> None:
    method: Any = ab.get_method("fastism")(model)
    with deprecated("FastISM.plan()", "FastISM.explain()"):
        explanation = method.plan(10)
    assert explanation == method.explain(10)


@pytest.mark.parametrize("case", MOVED)
def test_a_name_in_its_old_place(case: str) -> None:
    name = case.partition(",")[0]
    old, new = MOVED[case]
    module = importlib.import_module(old)
    with deprecated(f"{old}.{name}", f"{new}.{name}"):
        found = getattr(module, name)
    assert found is getattr(importlib.import_module(new), name)
    with pytest.raises(AttributeError, match="no attribute 'Fallback'"):
        _ = module.Fallback


@torch.library.custom_op("deprecations_test::largest_of_two", mutates_args=())
def largest_of_two(x: torch.Tensor) -> torch.Tensor:
    """Return the larger of each two positions."""
    return x.unflatten(2, (-1, 2)).amax(3)


@largest_of_two.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return x.new_empty(x.shape[0], x.shape[1], x.shape[2] // 2)


class Pooled(nn.Module):
    """An operation of the user's own between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv1d(4, 3, 3, padding=1), nn.Linear(15, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = self.head(largest_of_two(self.first(x)).flatten(1))
        return value


def test_local_in_its_old_place() -> None:
    ops: Any = importlib.import_module("attribution_bench_plugins.fastism.ops")
    with deprecated("attribution_bench_plugins.fastism.ops.Local", "attribution_bench.fastism.Local"):
        old = ops.Local
    with pytest.raises(AttributeError, match="no attribute 'Locale'"):
        _ = ops.Locale
    declared, kind, module = old(2, stride=2), "deprecations_test::largest_of_two", Pooled().eval()
    assert isinstance(declared, fastism.Local)
    made: list[Any] = []

    def called(node: Any, operands: Any) -> Any:
        made.append(declared(node, operands))
        return made[-1]

    for rule in (declared, called, fastism.Local(2, stride=2), lambda node, operands: fastism.Local(2, stride=2)):
        method: Any = ab.get_method("fastism")(module, rules={kind: rule}, min_speedup=0)
        assert [layer.mode for layer in method.explain(10).layers if layer.kind == kind] == ["windowed"]
    assert [type(operation) for operation in made] == [LocalFunction]


def test_the_table_of_rules_is_that_of_the_specs() -> None:
    ops: Any = importlib.import_module("attribution_bench_plugins.fastism.ops")
    specs = importlib.import_module("attribution_bench_plugins.fastism.ops.registry").SPECS
    with deprecated(
        "attribution_bench_plugins.fastism.ops.RULES", "attribution_bench_plugins.fastism.ops.registry.SPECS"
    ):
        rules = ops.RULES
    assert rules["conv"] is specs["conv"].rule
    assert "input" not in rules
