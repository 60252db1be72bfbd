"""Rules of a user, the check that they pass, and the study from which the built-in ones were chosen."""

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from attribution_bench.errors import ConvergenceWarning
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


BY_HAND = {
    "quotient": (lambda h: h.exp() / h.exp().sum(1, keepdim=True), "exp", 2),
    "product": (lambda h: h.exp() * h.exp().sum(1, keepdim=True).reciprocal(), "exp", 2),
    "reciprocal": (lambda h: h.exp() * h.exp().sum(1, keepdim=True).reciprocal(), "reciprocal", 1),
    "logarithm of a sum": (lambda h: h.exp().sum(1).log(), "exp", 1),
    "less a logsumexp": (lambda h: (h - h.logsumexp(1, keepdim=True)).exp(), "logsumexp", 1),
    "of a log-softmax": (lambda h: h.log_softmax(1).exp(), "log_softmax", 1),
}
"""Softmaxes and logsumexps by hand, an operation that they consist of, and how often it occurs."""


@pytest.mark.parametrize("written", BY_HAND)
def test_a_rule_is_asked_within_a_softmax_by_hand(written: str, sequences: Any) -> None:
    function, name, count = BY_HAND[written]
    asked = []

    def counted(call: Call, upstream: Any) -> Any:
        asked.append(name)
        return integrate(call, upstream)

    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv1d(4, 3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(self.convolution(x)).flatten(1)[:, :1]

    result = DeepSHAP(ByHand().double(), n_references=2, rules={name: counted}).attribute(sequences(2, LENGTH))
    assert len(asked) == count
    assert np.abs(result.convergence_delta).max() <= 1e-9


class Hidden(nn.Module):
    """Tanh, of which the way back can be cut off, after a running product; (N, 1)."""

    def __init__(self, cut: bool) -> None:
        super().__init__()
        self.cut, self.convolution = cut, nn.Conv1d(4, 3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.convolution(x).sigmoid().cumprod(1)
        # Zeros in the place of some hidden values: what a rule says of them does not reach the sequence.
        kept = torch.ones_like(hidden).index_fill(2, torch.tensor([0, 3]), 0) > 0
        return (torch.where(kept, hidden, 0) if self.cut else hidden).tanh().sum((1, 2))[:, None]


@pytest.mark.parametrize(("cut", "wrong"), [(False, np.nan), (False, np.inf), (True, np.nan), (True, np.inf)])
def test_the_operation_that_makes_multipliers_infinite_is_named_alone(cut: bool, wrong: float, sequences: Any) -> None:
    def broken(call: Call, upstream: Any) -> Any:
        (x,), (m,) = call.x, upstream
        return [torch.where(x == 0, wrong, m / 2) if cut else wrong * m]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Hidden(cut).double()
    method = DeepSHAP(model, n_references=2, rules={"tanh": broken})
    with pytest.warns(ConvergenceWarning) as caught:
        result = method.attribute(sequences(2, LENGTH))
    assert re.search("without a DeepLIFT rule.*: tanh$", str(caught[0].message))
    assert np.isfinite(result.scores).all() == cut


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
