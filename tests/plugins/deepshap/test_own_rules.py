"""Rules of a user, the check that they pass, and the study from which the built-in ones were chosen."""

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from attribution_bench.testing import ConformanceError, check_multipliers
from attribution_bench_plugins.deepshap import Call, DeepSHAP, gradient, integrate, rescale

LENGTH = 10
ROOT = Path(__file__).parents[3]


class Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(4, 3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(x).tanh().cumprod(1).softmax(2)[:, :, 0]


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Product().double()


def test_a_rule_of_ones_own_is_asked(model: nn.Module, sequences: Any) -> None:
    def nothing(call: Call, upstream: Any) -> Any:
        return [0 * x for x in call.x]

    x, references = sequences(2, LENGTH), sequences(2, LENGTH, seed=1)
    with pytest.warns(UserWarning, match="without a DeepLIFT rule.*tanh"):
        result = DeepSHAP(model, baselines=references, rules={"tanh": nothing}).attribute(x, target=0)
    assert not result.scores.any()


def test_integration_is_an_option(model: nn.Module, sequences: Any) -> None:
    x, references = sequences(2, LENGTH), sequences(2, LENGTH, seed=1)
    ours = DeepSHAP(model, baselines=references).attribute(x, target=0)
    local = DeepSHAP(model, baselines=references, rules={"softmax": integrate}).attribute(x, target=0)
    assert np.abs(local.convergence_delta).max() <= 1e-9
    np.testing.assert_allclose(local.scores, ours.scores, rtol=0, atol=0.01 * np.abs(ours.scores).max())
    assert np.abs(local.scores - ours.scores).max() > 0


@pytest.mark.parametrize("rules", [{"cumprod": integrate}, {"tanh": rescale, "softmax": integrate}])
def test_rules_that_hold_pass(model: nn.Module, rules: Any) -> None:
    check_multipliers(model, rules, LENGTH)


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ({"cumprod": gradient}, "do not add up"),
        ({"softplus": rescale}, "softplus does not occur in the model"),
        ({"tanh": lambda call, upstream: [0 * x for x in call.x]}, "do not tend to the gradient"),
        ({"tanh": lambda call, upstream: [x / 0 for x in call.x]}, "infinite or no numbers"),
        ({"tanh": lambda call, upstream: 1 / 0}, "ZeroDivisionError"),
    ],
)
def test_rules_that_do_not_hold_fail(model: nn.Module, rules: Any, fault: str) -> None:
    with pytest.raises(ConformanceError, match=fault):
        check_multipliers(model, rules, LENGTH)


def test_the_study_gives_the_documents_figures() -> None:
    # Correlations and sizes of the rules that were chosen; the last columns are rounding.
    study = runpy.run_path(str(ROOT / "docs/compare_deepshap_rules.py"))
    printed = (ROOT / "docs/methods.md").read_text()
    rows = [row for row in study["tables"]().splitlines() if row.startswith("| **")]
    assert len(rows) == 2
    for row in rows:
        cells = row.split(" | ")[:4]
        assert re.escape(" | ".join(cells)) in re.escape(printed)
