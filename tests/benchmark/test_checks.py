from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from attribution_bench.benchmark.checks import check_sample
from attribution_bench.benchmark.results import Units
from attribution_bench.benchmark.workloads import Sample, Work, plan_work


@pytest.fixture
def done(make_method: Any, model: Any, sequences: Any) -> Any:
    def do(part: Units, **method: Any) -> tuple[Work, Sample]:
        work = plan_work(make_method("fake", lambda *_: 0.0, **method)(model), sequences, "all")
        return work, work.do(part, None)

    return do


@pytest.mark.parametrize("part", [Units(1, 1, 4), Units(1, 6, 4), Units(3, 40, 4)])
def test_right_predictions_pass(done: Any, part: Units) -> None:
    check = check_sample(*done(part, predicts=True))
    assert check.passed
    assert check.largest_difference is not None
    assert check.largest_difference < 1e-6


def test_truth_is_in_double_precision_where_the_model_runs_in_it(done: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    work, sample = done(Units(1, 6, 4), predicts=True)
    assert "in double precision" in check_sample(work, sample).compared
    forward = type(work.method.model).forward

    def single(model: Any, x: Any, extras: Any = ()) -> Any:
        if x.dtype == torch.float64:
            raise RuntimeError("mat1 and mat2 must have the same dtype")
        return forward(model, x, extras)

    monkeypatch.setattr(type(work.method.model), "forward", single)
    check = check_sample(work, sample)
    assert check.passed
    assert "double" not in check.compared


def test_wrong_predictions_fail_by_their_difference_over_the_scale(done: Any) -> None:
    work, sample = done(Units(2, 40, 4), predicts=True, wrong=0.5)
    check = check_sample(work, sample)
    scale = max(np.abs(values).max() for values in sample.result.predictions.values())
    assert not check.passed
    assert check.largest_difference == pytest.approx(0.5 / scale, rel=1e-4)


def test_values_that_are_not_finite_fail(done: Any) -> None:
    work, sample = done(Units(2, 40, 4), predicts=True)
    sample.result.predictions["profile"][1, 2, 3, 0] = np.nan
    check = check_sample(work, sample)
    assert not check.passed
    assert "finite" in check.compared
    work, sample = done(Units(1, 40, 1), predicts=False)
    broken = replace(sample.result, stored_scores=np.full((1, 4, 40), np.inf))
    assert not check_sample(work, Sample(broken, sample.sequence)).passed


def test_the_convergence_delta_is_kept(done: Any) -> None:
    check = check_sample(*done(Units(2, 40, 1), predicts=False, delta=True))
    assert check.passed
    assert check.convergence_delta == 0.25
    assert check.largest_difference is None
