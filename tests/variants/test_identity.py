"""The settings of a table of effects: whatever its numbers depend on makes another one, and nothing else does."""

from typing import Any

import pytest
import torch

import attribution_bench as ab
from attribution_bench.fastism import Local
from attribution_bench.models.torch_model import TorchSequenceModel
from attribution_bench.sequences.genome import Genome
from attribution_bench.variants import ScalarEffects, ScoringOptions
from attribution_bench.variants.identity import identity_of
from attribution_bench.variants.score import variant_scorer

LENGTH = 40


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Conv1d(4, 3, 5), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(108, 2)
        )


def identity(method: Any, genome: Genome, machine_options: dict[str, Any] | None = None) -> dict[str, Any]:
    return identity_of(variant_scorer(method, genome, ScoringOptions(LENGTH, ScalarEffects("all")), machine_options))


def rules(scale: float) -> dict[str, Local]:
    return {"Tanh": Local(1, function=lambda x: torch.tanh(x) * scale)}


def test_a_method_and_each_of_its_options_make_another_table(model: torch.nn.Module, genome: Genome) -> None:
    fastism, standard_ism = ab.get_method("fastism"), ab.get_method("standard_ism")

    class Own(standard_ism):  # type: ignore[valid-type, misc]
        def _attribute(self, request: Any) -> Any:
            return super()._attribute(request)

    bound = [
        fastism(model),
        fastism(model, matmul_precision="bfloat16"),
        fastism(model, rules=rules(1.0)),
        fastism(model, rules=rules(2.0)),
        fastism(model, min_speedup=7),
        fastism(model, memory_budget=2**22),
        standard_ism(model),
        Own(model),
    ]
    found = [identity(method, genome) for method in bound]
    assert all(one not in found[:place] for place, one in enumerate(found))
    assert identity(fastism(model, rules=rules(2.0)), genome) == found[3]
    assert identity([bound[0], bound[1]], genome) != identity([bound[0], bound[0]], genome)


def test_options_that_follow_the_machine_make_no_other_table(model: torch.nn.Module, genome: Genome) -> None:
    found = [identity(model, genome, {"memory_budget": budget, "measured_costs": False}) for budget in (2**21, 2**30)]
    assert found[0] == found[1] == identity(model, genome)


@pytest.mark.parametrize(("name", "value"), [("precision_state", lambda self: {"tf32": True}), ("precision", "low")])
def test_another_precision_of_products_makes_another_table(
    model: torch.nn.Module, genome: Genome, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    method = ab.get_method("standard_ism")(model)
    before = identity(method, genome)
    monkeypatch.setattr(TorchSequenceModel, name, value)
    assert identity(method, genome) != before
