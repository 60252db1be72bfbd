"""Windows or full passes by what either takes: on a clock that the model and its windows move on, no second is real."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench import Mutation
from attribution_bench.errors import FallbackWarning, TrialWarning
from attribution_bench.fastism import Local
from attribution_bench.request import Request
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism.choosing import ListChoice, SaturationChoice
from attribution_bench_plugins.fastism.engine import Engine, Options
from attribution_bench_plugins.fastism.planning.measured_costs import MeasuredCosts, Run, Timings
from attribution_bench_plugins.fastism.trials import part_of_saturation
from parity import one_hot

pytestmark = pytest.mark.own_choice
NAME, LENGTH = "measured_costs_test::same", 40


@torch.library.custom_op(NAME, mutates_args=())
def same(x: Tensor) -> Tensor:
    """Return x; its rule tells when windows run."""
    return x.clone()


@same.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@dataclass
class Machine:
    """Seconds of a mutation on windows, and of a row of a full pass; `now` is the time, which only they move on."""

    window: float
    row: float
    now: float = 0.0
    disturbance: float = 1.0
    """How many times as long everything takes."""
    runs: list[tuple[str, float]] = field(default_factory=list)
    """What ran, in its order, and for how long."""

    def work(self, kind: str, seconds: float) -> None:
        self.now += seconds * self.disturbance
        self.runs.append((kind, seconds))

    def seconds(self, kind: str) -> float:
        return sum(seconds for what, seconds in self.runs if what == kind)


class Metered(nn.Module):
    """A convolution, an operation with a rule, a dense layer: by counted work windows are several times cheaper."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.machine, self.conv, self.head = machine, nn.Conv1d(4, 64, 3, padding=1), nn.Linear(64 * LENGTH, 2)

    def count(self, x: Tensor) -> None:
        """Let the machine work on some rows."""
        if not torch.compiler.is_compiling():
            self.machine.work("full", self.machine.row * len(x))

    def forward(self, x: Tensor) -> Tensor:
        self.count(x)
        y: Tensor = self.head(same(self.conv(x)).flatten(1))
        return y


def metered(machine: Machine, kind: type[Metered] = Metered, **options: Any) -> FastISM:
    """Return a method on a machine, past its first call's capture."""

    def run(x: Tensor) -> Tensor:
        machine.work("windows", machine.window * len(x))
        return x

    method = FastISM(kind(machine).eval(), rules={NAME: Local(1, function=run)}, **options)
    method.engine = Engine(method.model, Options(**method.options, clock=lambda: machine.now))
    method.explain(LENGTH)
    machine.runs.clear()
    return method


Ask = Callable[[ab.Attribution], np.ndarray]


def saturate(method: Any) -> np.ndarray:
    found: np.ndarray = method.attribute(one_hot(4, 4, LENGTH), target="all").predictions["output"]
    return found


def few(method: Any) -> np.ndarray:
    found: np.ndarray = method.attribute(one_hot(1, 4, LENGTH), target="all", positions=[7]).predictions["output"]
    return found


def listed(method: Any) -> np.ndarray:
    mutations = [Mutation(n, 7, letter) for n in range(20) for letter in "ACGT"]
    found: np.ndarray = method.predict_mutations(one_hot(20, 4, LENGTH), mutations, target="all").predictions["output"]
    return found


def one_variant(method: Any) -> np.ndarray:
    mutations = [Mutation(0, 7, np.full((4, 1), 0.3))]
    found: np.ndarray = method.predict_mutations(one_hot(1, 4, LENGTH), mutations, target="all").predictions["output"]
    return found


asks = pytest.mark.parametrize("ask", [saturate, few, listed, one_variant])


def answers(method: FastISM, ask: Ask, calls: int) -> list[str]:
    """Return what answered each of some equal calls: full passes have the bits of standard ISM, windows do not."""
    full = ask(ab.get_method("standard_ism")(Metered(Machine(0, 0)).eval()))
    return ["full" if np.array_equal(ask(method), full) else "windows" for _ in range(calls)]


@asks
@pytest.mark.parametrize(("window", "row", "faster"), [(3e-2, 1e-2, "full"), (2e-2, 3e-2, "windows")])
def test_what_is_faster_runs_from_the_third_call_on(ask: Ask, window: float, row: float, faster: str) -> None:
    """Whatever counted work says of it: that few mutations take full passes, and many windows."""
    method = metered(Machine(window, row))
    assert set(answers(method, ask, 12)[2:]) == {faster}


@asks
@pytest.mark.parametrize("slow", ["full", "windows"])
def test_a_call_on_a_disturbed_machine_is_forgotten(ask: Ask, slow: str) -> None:
    """Whatever is slower runs again where all that ran in one call took 4 times as long."""
    machine = Machine(3e-2, 1e-2) if slow == "windows" else Machine(1e-2, 3e-2)
    fast = "windows" if slow == "full" else "full"
    method = metered(machine)
    answers(method, ask, 1)
    machine.disturbance = 4.0
    answers(method, ask, 1)
    machine.disturbance = 1.0
    assert set(answers(method, ask, 60)[-15:]) == {fast}


@asks
def test_what_takes_as_long_does_not_take_turns(ask: Ask) -> None:
    machine = Machine(1e-2, 0.97e-2)
    method, random = metered(machine), np.random.default_rng(0)
    found = []
    for _ in range(30):
        machine.disturbance = 1.0 + 0.03 * random.random()
        found += answers(method, ask, 1)
    assert sum(one != other for one, other in pairwise(found[2:])) <= 1


@pytest.mark.parametrize("ask", [saturate, one_variant])
@pytest.mark.parametrize(
    ("bound", "answer", "machine"), [(0, "windows", Machine(5e-1, 1e-2)), (math.inf, "full", Machine(1e-2, 5e-1))]
)
def test_bounds_of_0_and_infinity_decide_whatever_takes_longer(
    ask: Ask, bound: float, answer: str, machine: Machine
) -> None:
    method = metered(replace(machine, runs=[]), min_speedup=bound, self_check=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        assert set(answers(method, ask, 5)) == {answer}
    assert {what for what, _ in method.model.model.machine.runs} == {answer}


@pytest.mark.parametrize("ask", [few, listed])
def test_a_bound_is_one_of_seconds(ask: Ask) -> None:
    """Windows take a third of the time, which is not enough."""
    assert set(answers(metered(Machine(1e-2, 3e-2), min_speedup=6), ask, 12)[2:]) == {"full"}


@pytest.mark.parametrize("ask", [few, saturate])
def test_trials_take_a_twentieth_of_the_time(ask: Ask) -> None:
    machine = Machine(4e-2, 1e-2)
    method = metered(machine)
    answers(method, ask, 10)
    machine.now, before = 0.0, machine.seconds("windows")
    assert set(answers(method, ask, 90)) == {"full"}
    assert 0 < machine.seconds("windows") - before <= 0.1 * machine.now


@asks
def test_without_measured_costs_equal_calls_are_answered_alike_and_nothing_is_tried(ask: Ask) -> None:
    counted = {saturate: "windows", few: "full", listed: "windows", one_variant: "full"}[ask]
    machine = Machine(5e-1, 1e-2) if counted == "windows" else Machine(1e-2, 5e-1)
    assert set(answers(metered(machine, measured_costs=False, self_check=False), ask, 5)) == {counted}
    assert {what for what, _ in machine.runs} == {counted}


@asks
def test_a_trial_that_fails_loses_no_answer_and_is_told_of_once(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def fail(choice: Any, kind: str) -> None:
        tried.append(kind)
        raise torch.OutOfMemoryError("no room")

    for choice in (SaturationChoice, ListChoice):
        monkeypatch.setattr(choice, "attempt", fail)
    method = metered(Machine(2e-2, 2e-2), self_check=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TrialWarning)
        found = answers(method, ask, 12)
    (warning,) = (each for each in caught if each.category is TrialWarning)
    assert str(warning.message).endswith("OutOfMemoryError: no room")
    assert warning.filename == __file__
    assert len(tried) == len(set(found)) == 1


def test_a_few_full_passes_of_a_list_are_timed_as_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[Run] = []
    add = Timings.add
    monkeypatch.setattr(Timings, "add", lambda *arguments: (added.append(arguments[1]), add(*arguments))[1])
    method = metered(Machine(1e-3, 1e-2), self_check=False)
    mutations = [Mutation(n, 7, letter) for n in range(20) for letter in "ACGT"] + [Mutation(3, 9, "AC", deleted=1)] * 2
    method.predict_mutations(one_hot(20, 4, LENGTH), mutations, target="all", batch_size=16)
    (full,) = (run for run in added if run.mutations == 2)
    assert full.starts == 1


class NearAnEnd(Metered):
    """Reads the first positions alone."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.head = nn.Linear(64 * 30, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.count(x)
        y: Tensor = self.head(same(self.conv(x))[:, :, :30].flatten(1))
        return y


@pytest.mark.parametrize(("window", "row", "faster"), [(3e-2, 1e-2, "full"), (1e-2, 3e-2, "windows")])
def test_the_other_way_of_a_list_is_tried_though_some_of_it_reach_nothing(
    window: float, row: float, faster: str
) -> None:
    method = metered(Machine(window, row), NearAnEnd, self_check=False)
    machine = method.model.model.machine
    mutations = [Mutation(n, 5, letter) for n in range(20) for letter in "ACGT"] + [Mutation(3, 36, "A")]
    x = one_hot(20, 4, LENGTH)
    for _ in range(20):
        machine.runs.clear()
        method.predict_mutations(x, mutations, target="all")
    assert {what for what, _ in machine.runs} == {faster}


@pytest.mark.parametrize(
    ("asked", "reaching", "sites", "tried"),
    [
        (range(40), range(40), 10, range(15, 25)),
        (range(40), range(9), 10, range(10)),
        (range(40), range(31, 40), 3, range(34, 37)),
        (range(40), range(35, 40), 10, range(30, 40)),
        (range(0, 40, 2), range(20, 30), 5, range(20, 30, 2)),
        (range(20), range(25, 40), 4, range(16, 20)),
    ],
)
def test_positions_that_are_tried_reach_what_is_wanted(asked: range, reaching: range, sites: int, tried: range) -> None:
    request = Request(one_hot(2, 4, LENGTH), (), (), (), np.array(asked), None, lambda done, total: None)
    part = part_of_saturation(request, sites, reaching)
    assert part.positions.tolist() == list(tried)
    assert len(part.one_hot) == 1


def test_jobs_ask_for_that() -> None:
    assert metered(Machine(1e-2, 1e-2)).machine_options()["measured_costs"] is False


def test_a_target_has_windows_of_its_own_and_the_full_passes_of_all() -> None:
    run = Run(100, 2, 1e6)
    costs = MeasuredCosts()
    part = costs.of_part()
    costs.full.add(run, 2.0)
    costs.windows.add(run, 1.0)
    assert costs.speedup(run, run) == pytest.approx(2)
    assert not part.are_known(run, run)
    part.windows.add(run, 4.0)
    assert part.speedup(run, run) == pytest.approx(0.5)
    assert costs.speedup(run, run) == pytest.approx(2)


def test_runs_are_expected_to_take_what_those_nearest_in_size_took() -> None:
    costs = MeasuredCosts()
    for mutations, rate in ((3, 9.0), (100, 4.0), (3000, 2.0)):
        costs.windows.add(Run(mutations, 2, mutations * 10), mutations * 10 * rate)
    for mutations, rate in ((1, 9.0), (4, 9.0), (80, 4.0), (250, 4.0), (2000, 2.0), (10**6, 2.0)):
        assert costs.seconds("windows", Run(mutations, 2, 50)) == pytest.approx(50 * rate)
