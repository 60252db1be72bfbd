"""Blocks side by side give what blocks one after another give."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench import Mutation, environment
from attribution_bench.fastism import Local
from attribution_bench.mutagenesis import DEFAULT_BATCH_SIZE, reference_passes
from attribution_bench.request import Request
from attribution_bench_plugins.fastism import FastISM, call
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedPass
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.planning.sizes import CPU
from fastism_models import LENGTH, Custom, build
from parity import assert_parity, brute_force, one_hot, sized


def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread() -> Iterator[None]:
    yield from threads(1)


@pytest.fixture
def two_threads() -> Iterator[None]:
    yield from threads(2)


def in_turn(function: Callable[[int], Any], items: range) -> list[Any]:
    """Return what two workers make of items."""
    with Workers(2) as workers:
        return list(workers.in_order(function, items))


@pytest.mark.usefixtures("two_threads")
def test_results_come_in_order_from_several_threads_that_share_the_cores() -> None:
    together = threading.Barrier(2, timeout=10)

    def square(number: int) -> tuple[int, int, bool]:
        together.wait()  # passes only where two run at a time
        return number * number, torch.get_num_threads(), torch.is_inference_mode_enabled()

    assert in_turn(square, range(6)) == [(n * n, 1, True) for n in range(6)]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_threads_that_start_afterwards_have_every_core() -> None:
    in_turn(abs, range(4))
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [2]


def test_an_error_ends_the_others() -> None:
    done: list[int] = []

    def fail_at_three(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        done.append(number)
        return number

    with pytest.raises(ValueError, match="three"):
        in_turn(fail_at_three, range(1000))
    assert len(done) < 10


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("name", ["conv, relu, norm, pool, dense", "residual, two heads"])
def test_predictions_are_those_of_one_worker(name: str) -> None:
    module, x = build(name).double(), one_hot(5, 4, LENGTH)
    # Many small blocks, so that workers meet.
    several = replace(CPU, block_bytes=2**14)
    together, alone = (
        sized(FastISM(module), sizes).attribute(x, target="all")
        for sizes in (several, replace(several, most_workers=1))
    )
    for output, predictions in alone.predictions.items():
        np.testing.assert_allclose(together.predictions[output], predictions, rtol=1e-12, atol=1e-13)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("length", "positions", "threads_of_pass"),
    [(200, 200, 1), (200, 1, 2), (200, 4, 2), (4000, 200, 2)],
)
def test_a_short_pass_before_many_blocks_leaves_the_cores_to_the_workers(
    length: int, positions: int, threads_of_pass: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = ab.get_model("basset")(length), list[int]()
    run = UnmutatedPass.run
    monkeypatch.setattr(UnmutatedPass, "run", lambda *given: (seen.append(torch.get_num_threads()), run(*given))[1])
    method = FastISM(model, self_check=False, min_speedup=0, measured_costs=False)
    method.attribute(one_hot(1, 4, length).astype("float32"), target="all", positions=range(positions))
    assert seen == [threads_of_pass]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_pass_on_every_thread_changes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """More threads may have been set than a command may ask for."""
    monkeypatch.setattr(environment, "MOST_THREADS", 1)
    method = FastISM(ab.get_model("basset")(200), self_check=False, min_speedup=0, measured_costs=False)
    result = method.attribute(one_hot(1, 4, 200).astype("float32"), target="all", positions=[3])
    assert np.isfinite(result.predictions["output"]).all()
    assert torch.get_num_threads() == 2


NAME = "workers_test::double"


@torch.library.custom_op(NAME, mutates_args=())
def double(x: torch.Tensor) -> torch.Tensor:
    """Return twice (N, C, L): an operation of the user's own."""
    return 2 * x


@double.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def doubling(room: int, rows: list[int]) -> FastISM:
    """Return a method on a device with room for the windows of `room` mutated sequences; keeps what it ran."""

    def run(x: torch.Tensor) -> torch.Tensor:
        rows.append(len(x))
        if len(x) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * x

    return FastISM(doubled(), rules={NAME: Local(1, function=run)}, self_check=False)


def doubled() -> nn.Module:
    module = Custom(lambda m, x: m.last(double(m.first(x))), first=nn.Conv1d(4, 3, 3), last=nn.Conv1d(3, 2, 3))
    for number, parameter in enumerate(module.parameters()):
        nn.init.uniform_(parameter, -1, 1, generator=torch.Generator().manual_seed(number))
    return module.double()


def test_blocks_that_do_not_fit_are_halved() -> None:
    """A device with room for 12 mutated sequences: groups and blocks shrink until they fit, and nothing is lost."""
    rows: list[int] = []
    seen: list[tuple[int, int]] = []
    x = one_hot(5, 4, LENGTH)
    result = doubling(12, rows).attribute(x, target="all", progress=lambda done, asked: seen.append((done, asked)))
    assert_parity(dict(result.predictions), brute_force(doubled(), x), 1e-10)
    assert max(rows) > 12
    assert result.metadata["memory_halvings"] > 0
    assert seen[-1] == (5 * LENGTH, 5 * LENGTH)


LISTS = {
    "one site of many sequences": [Mutation(n, 9, letter) for n in range(20) for letter in "ACG"],
    "many sites of a sequence": [Mutation(3, position, "T") for position in range(LENGTH)],
    "many substitutions of a site": [Mutation(1, 4, a + b) for a in "ACGT" for b in "ACGT"] * 3,
    "groups of several kinds": [
        *(Mutation(n, p, "GA") for n in range(15) for p in (3, 4, 20)),
        *(Mutation(19, p, "C") for p in range(0, LENGTH, 2)),
        Mutation(0, 5, "ACG", deleted=1),
        *(Mutation(n, 11, np.full((4, 3), 0.2 * n)) for n in range(13)),
    ],
}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("room", [1, 7])
@pytest.mark.parametrize("name", LISTS)
def test_groups_of_lists_that_do_not_fit_are_halved(name: str, room: int) -> None:
    rows, seen = list[int](), list[int]()
    x, mutations = one_hot(20, 4, LENGTH), LISTS[name]
    result = doubling(room, rows).predict_mutations(
        x, mutations, target="all", progress=lambda done, asked: seen.append(done)
    )
    truth = ab.get_method("standard_ism")(doubled()).predict_mutations(x, mutations, target="all")
    assert_parity(dict(result.predictions), dict(truth.predictions), 1e-10)
    assert max(rows) > room
    assert result.metadata["memory_halvings"] == sum(count > room for count in rows) < 8
    assert seen == sorted(seen)
    assert seen[-1] == len(mutations)


def test_alternatives_of_a_position_are_divided_where_memory_runs_out() -> None:
    """A device with room for one mutated sequence at a time."""
    rows, seen = list[int](), list[int]()
    x = one_hot(2, 4, LENGTH)
    x[1, :, 3] = 0  # where a letter is unknown, four alternatives
    result = doubling(1, rows).attribute(x, target="all", progress=lambda done, asked: seen.append(done))
    assert_parity(dict(result.predictions), brute_force(doubled(), x), 1e-10)
    assert (min(rows), max(rows) > 1) == (1, True)
    assert seen == sorted(seen)
    assert seen[-1] == 2 * LENGTH


OPAQUE_NAME = "workers_test::watched"
WATCHED: list[int] = []
"""Rows of each call of the operation, those of captures too."""


@torch.library.custom_op(OPAQUE_NAME, mutates_args=())
def watched(x: torch.Tensor) -> torch.Tensor:
    """Return twice (N, C, L): an operation that no rule is given for."""
    WATCHED.append(len(x))
    return 2 * x


@watched.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


@pytest.mark.parametrize(("mib", "most"), [(1, 1), (9, 2), (64, 9)])
def test_alternatives_are_divided_by_the_budget_where_the_models_own_code_runs(mib: int, most: int) -> None:
    """Sixteen channels in double precision are half a mebibyte, for which there is an eighth of the budget."""
    length, positions, seen = 2**12, [5, 2000, 4095], list[int]()
    module = Custom(lambda m, x: watched(m.first(x)).sum(2), first=nn.Conv1d(4, 16, 3)).double()
    method, x = FastISM(module, memory_budget=mib * 2**20, min_speedup=0, self_check=False), one_hot(1, 4, length)
    method.attribute(x, target="all", positions=[0])
    WATCHED.clear()
    result = method.attribute(x, target="all", positions=positions, progress=lambda done, asked: seen.append(done))
    assert max(WATCHED) == most
    truth = ab.get_method("standard_ism")(module).attribute(x, target="all", positions=positions)
    assert_parity(dict(result.predictions), dict(truth.predictions), 1e-10)
    assert (seen, seen[-1]) == (sorted(seen), 3)


def test_reference_passes_of_lists_go_on_in_smaller_batches_where_memory_runs_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Insertions take full passes, and so do their sequences as they are."""
    sizes = list[int]()

    def of_three(model: Any, request: Request, sequences: Sequence[int]) -> Mapping[str, Any]:
        sizes.append(min(request.batch_size or DEFAULT_BATCH_SIZE, len(sequences)))
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return reference_passes(model, request, sequences)

    x = one_hot(20, 4, LENGTH)
    mutations = [Mutation(0, 5, "ACG", deleted=1), *(Mutation(2, position, "T") for position in range(LENGTH))]
    method = FastISM(doubled(), rules={NAME: Local(1)}, min_speedup=0, self_check=False)
    monkeypatch.setattr(call, "reference_passes", of_three)
    result = method.predict_mutations(x, mutations, target="all")
    truth = ab.get_method("standard_ism")(doubled()).predict_mutations(x, mutations, target="all")
    assert sizes == [19, 9, 4, 2]
    assert result.metadata["memory_halvings"] == 3
    assert_parity(dict(result.predictions), dict(truth.predictions), 1e-10)
    assert_parity(dict(result.reference_predictions), dict(truth.reference_predictions), 1e-10)


@pytest.mark.parametrize("is_listed", [False, True])
def test_what_does_not_fit_at_all_is_an_error(is_listed: bool) -> None:
    method, x, listed = doubling(0, []), one_hot(5, 4, LENGTH), LISTS["many sites of a sequence"]
    with pytest.raises(torch.OutOfMemoryError):
        method.predict_mutations(x, listed, target="all") if is_listed else method.attribute(x, target="all")


def test_the_budget_that_the_machine_allows_is_told_as_a_power_of_two() -> None:
    options = FastISM(doubled()).machine_options()
    budget = options.pop("memory_budget")
    assert 2**20 <= budget <= 2**32
    assert budget & (budget - 1) == 0
    assert FastISM(doubled(), memory_budget=2**21 + 1).machine_options() == options == {"measured_costs": False}
