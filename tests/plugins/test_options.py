"""Options that a method does not take, or of a wrong type, end in one error that lists what it takes."""

from typing import Any

import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench.errors import AttributionBenchError, InvalidInputError
from attribution_bench.registry import list_methods


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(80, 1))


@pytest.mark.parametrize("name", list_methods())
def test_an_unknown_option_lists_the_known_ones(model: nn.Module, name: str) -> None:
    build: Any = ab.get_method(name)
    for arguments, options in (((), {"no_such_option": 1}), (tuple(range(9)), {})):
        with pytest.raises(AttributionBenchError, match=rf"^{name}: .*; it takes a model and "):
            build(model, *arguments, **options)


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("fastism", "memory_budgets", "memory_budget"),
        ("deepshap", "n_reference", "n_references"),
        ("integrated_gradients", "steps_n", "n_steps"),
    ],
)
def test_a_misspelt_option_is_recognised(model: nn.Module, name: str, given: str, meant: str) -> None:
    build: Any = ab.get_method(name)
    with pytest.raises(InvalidInputError, match=f"'{given}'; did you mean {meant}"):
        build(model, **{given: 3})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fastism", {"rules": [1]}),
        ("fastism", {"rules": []}),
        ("fastism", {"rules": "relu"}),
        ("fastism", {"memory_budget": "1 GB"}),
        ("fastism", {"memory_budget": 1e9}),
        ("fastism", {"min_speedup": "fast"}),
        ("fastism", {"min_speedup": float("nan")}),
        ("integrated_gradients", {"n_steps": 2.5}),
        ("integrated_gradients", {"n_steps": "50"}),
        ("integrated_gradients", {"n_steps": True}),
        ("deepshap", {"n_references": "10"}),
        ("deepshap", {"seed": None}),
    ],
)
def test_values_of_a_wrong_type_are_named(model: nn.Module, name: str, options: dict[str, Any]) -> None:
    build: Any = ab.get_method(name)
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        build(model, **options)
