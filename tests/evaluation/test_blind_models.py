"""Models that read nothing, or not everything: what compares nothing has no value, and what cannot be read is said."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench.attribution import Attribution, RawAttribution, Request, Tags
from attribution_bench.evaluation import METRICS, Evaluation, Settings, evaluate
from attribution_bench.sequences import Sequences
from attribution_bench.sequences.sites import Site

LENGTH, COUNT = 40, 4
SETTINGS = Settings(mutations=10, shuffles=2, repeats=2, repeated_sequences=3, steps=4)
SITES = (Site(0, 2, 8, "left"), Site(0, 25, 31, "right"), Site(1, 28, 34, "right", effect=-1), Site(2, 3, 9, "left"))
INDIFFERENT = {"completeness"}
"""Metrics of methods with a baseline: zeros differ from a sequence even where no letter differs from another."""


class Constant(nn.Module):
    """Predicts the same of everything, through the layers of a network."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.dense = nn.Conv1d(4, 4, 5, padding=2), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(torch.relu(self.convolution(x)).mean(2)) * 0 + 3.0


class Rounding(Constant):
    """Differs from a constant by the last places of single precision, as sums in another order do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.sin((x * torch.arange(4.0 * LENGTH).reshape(4, LENGTH)).sum((1, 2)))[:, None]
        return super().forward(x) + 4e-7 * noise.detach()


class LeftHalf(nn.Module):
    """Reads the first half of the sequence."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.convolution, self.dense = nn.Conv1d(4, 8, 5, padding=2), nn.Linear(8 * LENGTH // 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(torch.tanh(self.convolution(x[:, :, : LENGTH // 2])).flatten(1))


class Flat(Attribution):
    """Says the same of every letter."""

    name: ClassVar[str] = "flat"
    tags: ClassVar[Tags] = Tags(frozenset({"torch"}))

    def _attribute(self, request: Request) -> RawAttribution:
        noise = np.random.default_rng(0).normal(size=(*request.one_hot.shape[:2], len(request.positions)))
        return RawAttribution(scores=0.25 + 1e-9 * noise)


def compared(module: nn.Module, *names: str, **more: Any) -> Evaluation:
    letters = np.random.default_rng(2).choice(list("ACGT"), size=(COUNT, LENGTH))
    given = Sequences(tuple("abcd"), tuple("".join(row) for row in letters), "random letters")
    methods: dict[str, Any] = {name: ab.get_method(name) for name in names}
    found, _ = evaluate(
        ab.as_sequence_model(module, device="cpu"), given, methods | more, sites=SITES, settings=SETTINGS, threads=1
    )
    return found


@pytest.mark.parametrize("build", [Constant, Rounding])
def test_of_a_model_that_ignores_its_input_nothing_is_compared(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    found = compared(build(), "standard_ism", "gradient_x_input", "integrated_gradients")
    assert found.readable is not None
    assert found.readable.silent == tuple(range(COUNT))
    assert found.readable.unread_sites == tuple(range(len(SITES)))
    for method in found.methods:
        assert set(method.means) <= INDIFFERENT, method.method
        assert set(method.behind_best) <= INDIFFERENT
        for metric in set(METRICS) - {"completeness", "stability"}:
            assert method.values[metric] == (None,) * COUNT, metric
    assert all(not pair.means for pair in found.agreements)


def test_rounding_is_told_from_effects_by_the_size_of_the_prediction() -> None:
    # The same effects on a prediction of their own size, and on one that is ten million times as large.
    class Small(LeftHalf):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 1e-7

    class Offset(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + 3.0

    small, offset = (compared(module, "standard_ism", "gradient_x_input") for module in (Small(), Offset()))
    assert small.method("gradient_x_input").means["spearman"].mean > 0.5
    assert "spearman" not in offset.method("gradient_x_input").means


def test_what_lies_outside_of_what_the_target_reads_is_no_site() -> None:
    found = compared(LeftHalf(), "standard_ism", "gradient_x_input")
    assert found.readable is not None
    assert (found.readable.silent, found.readable.unread_sites) == ((), (1, 2))
    values = found.method("gradient_x_input").values["auroc"]
    # The first sequence keeps one site, the second loses its only one, the third has one, the last none.
    assert [value is None for value in values] == [False, True, False, True]
    alone = compared(LeftHalf(), "gradient_x_input")
    assert alone.readable is None
    assert [value is None for value in alone.method("gradient_x_input").values["auroc"]] == [False, False, False, True]


def test_a_method_that_says_the_same_of_every_letter_is_compared_in_no_order() -> None:
    found = compared(LeftHalf(), "standard_ism", flat=Flat)
    flat = found.method("flat")
    for metric in ("pearson", "spearman", "top_k", "auroc", "auprc", "signal_to_noise", "deletion", "insertion"):
        assert metric not in flat.means, metric
        assert flat.values[metric] == (None,) * COUNT
    assert f"Scores are equal within rounding at every position of {COUNT} of {COUNT} sequences." in flat.cautions
    assert {"pearson", "top_k"}.isdisjoint(found.agreements[0].means)


def test_the_agreement_of_pairs_takes_equal_scores_for_equal() -> None:
    found = compared(LeftHalf(), "standard_ism", "fastism", "gradient_x_input")
    means = {frozenset((pair.first, pair.second)): pair.means for pair in found.agreements}
    one, two = (means[frozenset((name, "gradient_x_input"))] for name in ("standard_ism", "fastism"))
    for metric in ("pearson", "cosine", "sign"):
        assert one[metric].mean == pytest.approx(two[metric].mean, abs=1e-5)


def test_an_evaluation_that_was_stored_before_is_read(tmp_path: Path) -> None:
    found = compared(LeftHalf(), "standard_ism", "gradient_x_input")
    path = found.save(tmp_path)
    assert Evaluation.load(tmp_path) == found
    stored = json.loads(path.read_text())
    del stored["readable"]
    path.write_text(json.dumps(stored))
    assert Evaluation.load(tmp_path) == replace(found, readable=None)
