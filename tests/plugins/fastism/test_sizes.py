"""Sizes: how much runs at once, and that a group of sequences, a block and the default keep to the memory budget."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import psutil
import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench import Mutation
from attribution_bench.environment import MEMORY_LIMIT
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism.capture.source import source_of
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.planning.sizes import ACCELERATOR, CPU, SizePolicy, Sizer, Sizes
from fastism_models import chain
from parity import one_hot, plan_of

MIB = 2**20


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    """Return the plans of two of the paper's models at 1000 letters."""
    return {name: plan_of(ab.as_sequence_model(ab.get_model(name)(1000)), 1000) for name in ("basset", "bpnet")}


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


CHOSEN: dict[tuple[str, int, int], tuple[int, int, int]] = {
    ("basset", 1, 1): (1, 1, 4),
    ("basset", 1, 16): (1, 30, 67),
    ("basset", 1, 256): (2, 183, 403),
    ("basset", 1, 4096): (8, 183, 403),
    ("basset", 2, 1): (1, 1, 2),
    ("basset", 2, 16): (1, 15, 33),
    ("basset", 2, 256): (2, 183, 403),
    ("basset", 2, 4096): (8, 183, 403),
    ("bpnet", 1, 1): (1, 1, 1),
    ("bpnet", 1, 16): (1, 2, 8),
    ("bpnet", 1, 256): (1, 31, 49),
    ("bpnet", 1, 4096): (1, 31, 49),
    ("bpnet", 2, 1): (1, 1, 1),
    ("bpnet", 2, 16): (1, 1, 4),
    ("bpnet", 2, 256): (1, 21, 49),
    ("bpnet", 2, 4096): (1, 31, 49),
}
"""(model, threads, MiB of the budget) -> sequences and positions of a saturation in single precision on a CPU, and
positions of listed mutations 8 letters wide."""
CHOSEN_ON_ACCELERATORS: dict[tuple[str, int], tuple[int, int, int]] = {
    ("basset", 1): (1, 1, 4),
    ("basset", 16): (1, 30, 67),
    ("basset", 256): (2, 490, 1075),
    ("basset", 4096): (43, 7848, 17207),
    ("bpnet", 1): (1, 1, 1),
    ("bpnet", 16): (1, 2, 8),
    ("bpnet", 256): (1, 43, 131),
    ("bpnet", 4096): (1, 699, 2097),
}


def chosen(plan: Plan, policy: SizePolicy, budget: int) -> tuple[int, int, int]:
    sizer = Sizer(plan, policy, 4, budget * MIB)
    sizes = sizer.sizes(3)
    return sizes.sequences, sizes.positions, sizer.positions_at_once(1, 8)


def test_sizes_chosen_for_the_papers_models(plans: dict[str, Plan], threads: int) -> None:
    """Recorded when the constants stood in five files: what a change of them, or of their use, does to sizes."""
    for (name, count, budget), expected in CHOSEN.items():
        if count == threads:
            assert chosen(plans[name], CPU, budget) == expected, (name, budget)
    for (name, budget), expected in CHOSEN_ON_ACCELERATORS.items():
        assert chosen(plans[name], ACCELERATOR, budget) == expected, (name, budget)


@pytest.mark.parametrize(
    ("name", "policy", "count", "blocks", "stride", "head"),
    [
        ("basset", CPU, 1, 12, 12, 250),
        ("basset", CPU, 4, 48, 48, 84),
        ("basset", ACCELERATOR, 1, 12, 12, 1000),
        ("basset", ACCELERATOR, 4, 12, 12, 1000),
        ("bpnet", CPU, 1, 2, 1, 1000),
        ("bpnet", ACCELERATOR, 4, 2, 1, 1000),
    ],
)
def test_blocks_and_parts_of_the_head_of_the_papers_models(
    plans: dict[str, Plan], name: str, policy: SizePolicy, count: int, blocks: int, stride: int, head: int
) -> None:
    """Recorded likewise, for two workers and blocks of any size."""
    sizer = Sizer(plans[name], policy, 4, 2**40)
    found = sizer.blocks(Sizes(count, 2**40, 3), range(1000), (count, 3), 2)
    assert (len(found), found[0].stride) == (blocks, stride)
    assert sorted(position for block in found for position in block.indices) == list(range(1000))
    assert sizer.head_positions(1000, (count, 3), 2) == head


def test_the_default_budget_is_a_quarter_of_what_is_free_and_on_a_cpu_at_most_4_gib(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert CPU.default_budget(8 * 2**30) == 2 * 2**30
    assert CPU.default_budget(64 * 2**30) == 4 * 2**30
    assert ACCELERATOR.default_budget(80 * 2**30) == 20 * 2**30
    model = ab.as_sequence_model(wide())
    options, source, plan = FastISM(model).engine.options, source_of(model), plan_of(model, LENGTH)
    quarter = psutil.virtual_memory().available // 4
    # Other programs take and free memory meanwhile.
    assert options.sizer(source, plan).budget <= min(4 * 2**30, 2 * quarter)
    assert replace(options, memory_budget=5).sizer(source, plan).budget == 5
    # A worker that is ended beyond a limit has a quarter of what is left of it.
    monkeypatch.setenv(MEMORY_LIMIT, str(psutil.Process().memory_info().rss + 64 * 2**20))
    assert 0 < options.sizer(source, plan).budget <= 20 * 2**20
    monkeypatch.setenv(MEMORY_LIMIT, "1")
    FastISM(model, memory_budget=options.sizer(source, plan).budget)  # not too small to be one


CHANNELS, LENGTH = 64, 256
ACTIVATIONS = 2 * 4 * CHANNELS * LENGTH
"""Bytes that a sequence of `wide` keeps at least: what the convolution gives, in the model's order and the engine's."""


def wide() -> nn.Module:
    """Return a model of which a sequence keeps much, and a mutation computes little."""
    pool, dense = nn.MaxPool1d(64), nn.Linear(CHANNELS * LENGTH // 64, 2)
    return chain(nn.Conv1d(4, CHANNELS, 5, padding=2), pool, nn.ReLU(), nn.Flatten(), dense).eval()


def saturated(method: FastISM, count: int, progress: Callable[[int, int], None]) -> None:
    method.attribute(one_hot(count, 4, LENGTH).astype("float32"), target="all", positions=[100], progress=progress)


def listed(method: FastISM, count: int, progress: Callable[[int, int], None]) -> None:
    mutations = [Mutation(sequence, 100, "N") for sequence in range(count)]
    method.predict_mutations(one_hot(count, 4, LENGTH).astype("float32"), mutations, target="all", progress=progress)


@pytest.mark.parametrize("run", [saturated, listed])
def test_sequences_of_a_group_keep_no_more_than_half_the_budget(
    run: Callable[[FastISM, int, Callable[[int, int], None]], None],
) -> None:
    """One position of each sequence is one block of a group: progress tells how many sequences run at once."""
    budget, done = 4 * MIB, [0]
    run(FastISM(wide(), memory_budget=budget), 60, lambda count, total: done.append(count))
    groups = [later - before for before, later in pairwise(done)]
    assert sum(groups) == 60
    assert 1 < max(groups) <= budget // 2 // ACTIVATIONS
    plan = plan_of(ab.as_sequence_model(wide()), LENGTH)
    assert max(groups) * Sizer(plan, CPU, 4, budget).bytes_per_sequence(1) <= budget // 2


def test_other_sizes_are_taken_by_an_engine() -> None:
    few = replace(CPU, group_budget_share=8)
    groups = {}
    for policy in (CPU, few):
        plan = plan_of(ab.as_sequence_model(wide()), LENGTH)
        groups[policy] = Sizer(plan, policy, 4, 16 * MIB).sizes(3).sequences
    assert groups[few] == groups[CPU] // 4
