"""The engine of one model: what it remembers from call to call, for how long, and how often it looks at the weights."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism.compiled_model import CompiledModel
from attribution_bench_plugins.fastism.plan_cache import MOST_MODELS, PlanCache
from attribution_bench_plugins.fastism.planning.policy import Decision
from fastism_models import LENGTH, build
from parity import assert_parity, brute_force, one_hot


def compiled(fingerprint: Any) -> CompiledModel:
    return CompiledModel(None, None, Decision.full_passes("none"), (), fingerprint)


def looking_at(fingerprint: str) -> Any:
    return SimpleNamespace(fingerprint=fingerprint)


def test_entries_are_found_by_length_and_by_shapes_and_types_of_further_inputs() -> None:
    cache, one = PlanCache(), compiled("old")
    extras = (np.zeros((5, 2), np.float32),)
    cache.store(10, extras, one)
    assert cache.stored(10, (np.ones((9, 2), np.float32),)) is one
    for length, others in [
        (11, extras),
        (10, ()),
        (10, (np.zeros((5, 3), np.float32),)),
        (10, (np.zeros((5, 2), np.int64),)),
    ]:
        assert cache.stored(length, others) is None


def test_entries_of_other_weights_are_not_current_and_go_when_new_ones_come() -> None:
    cache, old, new = PlanCache(), compiled("old"), compiled("new")
    cache.store(10, (), old)
    cache.store(20, (), old)
    assert cache.current(looking_at("old"), 10, ()) is old
    assert cache.current(looking_at("new"), 10, ()) is None
    assert cache.stored(10, ()) is old
    cache.store(10, (), new)
    assert cache.models == (new,)


def test_no_more_than_a_few_lengths_are_kept() -> None:
    cache, entries = PlanCache(), [compiled("same") for _ in range(MOST_MODELS + 1)]
    for length, entry in enumerate(entries):
        cache.store(length, (), entry)
    assert cache.models == tuple(entries[1:])


class Looked(nn.Module):
    """Counts how often its parts are asked for, as to read their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.looks = nn.Conv1d(4, 3, 3), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x)
        return y

    def modules(self, remove_duplicate: bool = True) -> Iterator[nn.Module]:
        self.looks += 1
        return super().modules(remove_duplicate)


@pytest.mark.parametrize("listed", [True, False])
def test_the_weights_are_looked_at_once_a_call(listed: bool) -> None:
    module, x = Looked().eval(), one_hot(2, 4, LENGTH)
    method = FastISM(module)
    mutations = [ab.Mutation(0, position, "N") for position in range(LENGTH)]

    def call() -> None:
        if listed:
            method.predict_mutations(x, mutations, target="all")
        else:
            method.attribute(x, target="all")

    call()
    module.looks = 0
    with method.model.inference():
        pass
    others, module.looks = module.looks, 0
    call()
    assert module.looks - others == 1


def test_a_call_that_fails_leaves_nothing_that_a_later_one_takes_for_the_weights() -> None:
    module, x = build("residual, two heads").double(), one_hot(2, 4, LENGTH)
    method = FastISM(module)
    method.attribute(x, target="all")

    def fail(done: int, total: int) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        method.attribute(x, target="all", progress=fail)
    with pytest.raises(ab.errors.TargetError):
        method.attribute(x, target="no output of that name")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.25)
    # Without a call around it: the engine answers from the weights as they are.
    outputs = method.engine.outputs(LENGTH, ())
    assert [output.name for output in outputs] == ["profile", "count"]
    method.explain(LENGTH)
    assert_parity(dict(method.attribute(x, target="all").predictions), brute_force(module, x), 1e-10)


def test_a_call_within_a_call_is_answered() -> None:
    module, x = build("residual, two heads").double(), one_hot(2, 4, LENGTH)
    method, inner = FastISM(module), []

    def ask(done: int, total: int) -> None:
        inner.append(method.attribute(x[:1], target="all", positions=[3]))

    result = method.attribute(x, target="all", progress=ask)
    truth = brute_force(module, x)
    assert_parity(dict(result.predictions), truth, 1e-10)
    assert inner
    expected = {name: values[:1, :, [3]] for name, values in truth.items()}
    assert_parity(dict(inner[0].predictions), expected, 1e-10)


def test_another_length_does_not_have_the_first_captured_again() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.passes = nn.Conv1d(4, 3, 3), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.passes += 1
            y: torch.Tensor = self.conv(x)
            return y

    module = Counting()
    method = FastISM(module, self_check=False)
    for length in (30, 31):
        method.attribute(one_hot(1, 4, length), target="all")
    before = module.passes
    method.attribute(one_hot(1, 4, 30), target="all")
    assert module.passes == before
