import statistics
from collections.abc import Iterator
from itertools import chain, count, cycle, repeat
from typing import Any

import pytest

from attribution_bench.benchmark.protocol import MOST_ROUNDS, Plan, Settings, plan_cell
from attribution_bench.benchmark.results import Units
from attribution_bench.benchmark.workloads import plan_work
from attribution_bench.errors import InvalidInputError

WHOLE = Units(20, 40, 4)


def plan(make_method: Any, clock: Any, model: Any, sequences: Any, settings: Settings, **method: Any) -> Plan:
    work = plan_work(make_method("fake", **method)(model), sequences, "all")
    return plan_cell(work, settings, clock, lambda text, behind: None)


@pytest.fixture
def planned(make_method: Any, clock: Any, model: Any, sequences: Any) -> Any:
    return lambda settings, **method: plan(make_method, clock, model, sequences, settings, **method)


def test_quick_work_is_measured_whole(planned: Any) -> None:
    found = planned(Settings(10.0), cost=lambda n, p, s, b: 1e-4 * n * p, predicts=True)
    assert found.part == WHOLE
    assert found.rounds == 3
    assert not found.ended([0.08, 0.08])
    assert found.ended([0.08, 0.08, 0.08])


def test_slow_ism_is_measured_at_some_positions_of_one_sequence(planned: Any, clock: Any) -> None:
    found = planned(Settings(10.0), cost=lambda n, p, s, b: 0.6 * n * p, predicts=True)
    assert found.part.sequences == 1
    assert 1 <= found.part.positions < 40
    assert found.part.outputs == 4
    assert clock.calls[:3] == [("fake", (1, 8, 4), None), ("fake", (1, 40, 4), None), ("fake", (1, 8, 4), None)]
    # The warm-up and the probe took 4.8 s each, the whole sequence was given up at its second position.
    assert clock.now == pytest.approx(4.8 + 1.2 + 4.8)


def test_positions_are_kept_whole_where_one_sequence_fits_in_fewer_rounds(planned: Any) -> None:
    # 40 positions take 4 s: more than a third of what is left of 8 s, not more than all of it.
    found = planned(Settings(8.0, batch_sizes=(None,)), cost=lambda n, p, s, b: 0.1 * n * p, predicts=True)
    assert found.part == Units(1, 40, 4)
    # Three rounds are done although two exceed what was left of the budget.
    assert not found.ended([4.0, 4.0])
    assert found.ended([4.0, 4.0, 4.0])


def test_a_fixed_cost_of_a_call_does_not_make_a_sequence_look_too_long(planned: Any) -> None:
    # Scaled in proportion, 40 positions would take 5 times the 4.08 s of 8.
    found = planned(Settings(6.0), cost=lambda n, p, s, b: 4.0 + 0.01 * n * p, predicts=True)
    assert found.part == Units(1, 40, 4)
    assert not found.ended([4.4, 4.4])
    assert found.ended([4.4, 4.4, 4.4])


def test_the_budget_holds_for_all_that_is_measured_after_the_warm_up(planned: Any, clock: Any) -> None:
    for seconds in (1e-4, 1e-3, 1e-2, 3e-2):
        for predicts in (True, False):
            clock.now, clock.calls = 0.0, []
            cost = lambda n, p, s, b, seconds=seconds: seconds * n * p * s  # noqa: E731
            found = planned(Settings(10.0), cost=cost, predicts=predicts)
            _, (n, p, s), _ = clock.calls[0]
            swept = clock.now - cost(n, p, s, None)
            one_sequence = cost(1, 40, 4, None) if predicts else 0.0
            assert swept <= max(4.0, one_sequence + 3.0) + 1e-9
            assert found.seconds == pytest.approx(10.0 - swept)
            assert seconds * found.part.total <= found.seconds + 3.0


def test_the_best_batch_size_is_chosen_and_a_failing_one_is_recorded(planned: Any) -> None:
    def cost(n: int, p: int, s: int, batch: int | None) -> float:
        if batch == 256:
            raise MemoryError("too large")
        return {None: 3e-4, 32: 1e-4, 64: 2e-4}[batch] * n * p

    found = planned(Settings(30.0, batch_sizes=(None, 64, 32, 256)), cost=cost, predicts=True)
    assert found.batch_size == 32
    assert [timing.batch_size for timing in found.sweep] == [None, 64, 32, 256]
    assert len({timing.done for timing in found.sweep}) == 1
    assert found.sweep[-1].seconds is None
    assert found.sweep[-1].error == "MemoryError: too large"


def test_a_slow_sequence_leaves_no_batch_size_untried(planned: Any) -> None:
    # One sequence takes 6 s by default, of which nothing is left of 4 s for the others: they take fewer positions.
    def cost(n: int, p: int, s: int, batch: int | None) -> float:
        return {None: 0.15, 32: 0.05, 256: 0.3}[batch] * n * p

    found = planned(Settings(4.0), cost=cost, predicts=True)
    assert found.batch_size == 32
    assert [(timing.batch_size, timing.done) for timing in found.sweep] == [
        (size, Units(1, 8, 4)) for size in (None, 32, 256)
    ]
    assert found.part == Units(1, 40, 4)


def test_what_is_paid_once_a_call_is_not_taken_for_a_batch_size(planned: Any) -> None:
    found = planned(Settings(6.0), cost=lambda n, p, s, b: 4.0 + 0.01 * n * p, predicts=True)
    assert found.batch_size is None
    assert len(found.sweep) == 1


def test_a_method_that_loops_takes_all_sequences_before_a_second_output(planned: Any, clock: Any) -> None:
    some = planned(Settings(10.0, batch_sizes=(None,)), cost=lambda n, p, s, b: 0.2 * n, predicts=False)
    assert some.part.outputs == 1
    assert 1 < some.part.sequences < 20
    more = planned(Settings(40.0, batch_sizes=(None,)), cost=lambda n, p, s, b: 0.1 * n, predicts=False)
    assert more.part.sequences == 20
    assert all(scalars == 1 for _, (_, _, scalars), _ in clock.calls)


def test_work_far_over_the_budget_is_measured_three_times_at_its_smallest(planned: Any, clock: Any) -> None:
    found = planned(Settings(1.0), cost=lambda n, p, s, b: 10.0 * n * p, predicts=True)
    assert found.part == Units(1, 8, 4)
    assert not found.ended([80.0, 90.0])
    # There is no time for another round, though these disagree.
    assert found.ended([80.0, 90.0, 100.0])
    assert [timing.batch_size for timing in found.sweep] == [None]


def test_full_measures_everything_whatever_it_takes(planned: Any) -> None:
    found = planned(Settings(1.0, full=True), cost=lambda n, p, s, b: 0.5 * n * p, predicts=True)
    assert found.part == WHOLE
    assert not found.ended([400.0, 400.0])
    assert found.ended([400.0, 440.0, 500.0])


def following(found: Plan, durations: Iterator[float]) -> list[float]:
    """Return the rounds of a plan that take so long one after the other."""
    done: list[float] = []
    while not found.ended(done):
        done.append(next(durations))
    return done


@pytest.fixture
def one_second(planned: Any) -> Plan:
    """A plan of rounds that are to take a second; further ones may take 3 s more."""
    found: Plan = planned(Settings(6.0, batch_sizes=(None,)), cost=lambda n, p, s, b: 1 / 800 * n * p, predicts=True)
    assert found.part == WHOLE
    assert found.foretold == pytest.approx(1.0)
    assert found.extra == 3.0
    return found


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_hiccup_in_one_round_changes_nothing(one_second: Plan, place: int) -> None:
    durations = [1.0, 1.0, 1.0]
    durations[place] = 5.7
    assert following(one_second, iter(durations)) == durations


@pytest.mark.parametrize("slow", [(0, 1), (1, 2), (0, 2)])
def test_two_hiccups_take_more_rounds_until_the_median_is_theirs_no_longer(
    one_second: Plan, slow: tuple[int, int]
) -> None:
    durations = [11.4 if place in slow else 1.0 for place in range(12)]
    found = following(one_second, iter(durations))
    assert len(found) == 5
    assert statistics.median(found) == 1.0


def test_a_machine_that_drifts_is_measured_until_the_time_is_up(one_second: Plan) -> None:
    found = following(one_second, (1.0 + 0.15 * place for place in count()))
    # 1.0, 1.15, 1.3 disagree; 1.45 and 1.6 fit 3 s of further rounds, and another of 1 s would not.
    assert found == pytest.approx([1.0, 1.15, 1.3, 1.45, 1.6])


def test_rounds_that_agree_and_take_far_longer_than_the_sweep_foretold_are_in_doubt(one_second: Plan) -> None:
    slow_at_first = chain([1.6] * 3, repeat(1.0))
    # Four rounds of 1.6, 1.6, 1.6, 1.0 have a median of 1.6 again; of six, half are fast: 1.3.
    assert following(one_second, slow_at_first) == [1.6, 1.6, 1.6, 1.0, 1.0, 1.0]
    assert following(one_second, repeat(1.4)) == [1.4] * 3
    # Faster than foretold is not in doubt: fixed costs weigh more in the sweep's part.
    assert following(one_second, repeat(0.1)) == [0.1] * 3


def test_rounds_that_never_agree_are_given_up(one_second: Plan) -> None:
    found = following(one_second, cycle((1e-3, 2e-3, 3e-3)))
    assert len(found) == MOST_ROUNDS


def test_rounds_of_no_duration_agree(one_second: Plan) -> None:
    assert following(one_second, repeat(0.0)) == [0.0] * 3
    assert len(following(one_second, cycle((0.0, 0.1, 0.1)))) == MOST_ROUNDS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0.0}, "budget"),
        ({"budget": float("nan")}, "budget"),
        ({"rounds": 0}, "rounds"),
        ({"rounds": 2}, "rounds must be at least 3"),
        ({"batch_sizes": ()}, "batch sizes"),
        ({"batch_sizes": (0,)}, "batch sizes"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Settings(**{"budget": 1.0, **options})
