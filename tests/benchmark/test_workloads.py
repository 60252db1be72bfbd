from typing import Any

import numpy as np
import pytest

from attribution_bench.benchmark import workloads
from attribution_bench.benchmark.results import Units
from attribution_bench.benchmark.workloads import plan_work, scalar_targets
from attribution_bench.errors import TargetError
from attribution_bench.models import OutputSpec

OUTPUTS = (OutputSpec("profile", (3,)), OutputSpec("count", (1,)))


def test_every_scalar_of_every_output_is_a_target() -> None:
    assert scalar_targets("all", OUTPUTS) == (
        ("profile", (0,)),
        ("profile", (1,)),
        ("profile", (2,)),
        ("count", (0,)),
    )
    assert scalar_targets("count", OUTPUTS) == (("count", (0,)),)
    assert scalar_targets(("profile", 1), OUTPUTS) == (("profile", 1),)
    assert scalar_targets(("profile", "sum"), OUTPUTS) == (("profile", "sum"),)
    matrix = (OutputSpec("tracks", (2, 2)),)
    assert scalar_targets(1, matrix) == (("tracks", (1, 0)), ("tracks", (1, 1)))
    with pytest.raises(TargetError, match="no output 'counts'"):
        scalar_targets(("counts", 0), OUTPUTS)


def test_a_method_with_predictions_serves_all_outputs_in_one_call(
    make_method: Any, clock: Any, model: Any, sequences: Any
) -> None:
    work = plan_work(make_method("ism", lambda *_: 0.0, predicts=True)(model), sequences, "all")
    assert work.asked == Units(20, 40, 4)
    sample = work.do(Units(2, 5, 4), 7)
    assert clock.calls == [("ism", (2, 5, 4), 7)]
    assert list(sample.result.positions) == [4, 12, 20, 28, 36]
    assert np.array_equal(sample.sequence[:, sample.result.positions], sample.result.one_hot[-1])


def test_any_other_method_is_called_for_one_scalar_at_a_time(
    make_method: Any, clock: Any, model: Any, sequences: Any
) -> None:
    work = plan_work(make_method("gradient", lambda *_: 0.0, predicts=False)(model), sequences, "all")
    sample = work.do(Units(20, 40, 4), None)
    assert clock.calls == [("gradient", (20, 40, 1), None)] * 4
    assert sample.result.metadata["target"] == ["count", [0]]


def test_predictions_too_large_for_memory_are_made_in_several_calls(
    make_method: Any, clock: Any, model: Any, sequences: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workloads, "PREDICTIONS_BYTES", 3 * 4 * 40 * 4 * 4)
    work = plan_work(make_method("ism", lambda *_: 0.0, predicts=True)(model), sequences, "all")
    work.do(Units(8, 40, 4), None)
    assert [shape[0] for _, shape, _ in clock.calls] == [3, 3, 2]


def test_scores_are_not_derived_while_measuring(make_method: Any, model: Any, sequences: Any) -> None:
    work = plan_work(make_method("ism", lambda *_: 0.0, predicts=True)(model), sequences, "all")
    assert "scores" not in vars(work.do(Units(2, 5, 4), None).result)
