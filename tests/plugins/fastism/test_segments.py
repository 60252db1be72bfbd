"""Segments: where unmutated activations do not fit the budget, what a part of the mutations reads is kept of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench import Mutation
from attribution_bench.fastism import Local
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations, UnmutatedPass
from attribution_bench_plugins.fastism.planning import segments
from attribution_bench_plugins.fastism.planning.segments import SLACK, read_ranges
from attribution_bench_plugins.fastism.planning.sizes import CPU, Sizer
from attribution_bench_plugins.fastism.values import devices
from attribution_bench_plugins.fastism.values.window import Window
from fastism_models import LENGTH, MODELS, Custom, build, chain
from parity import assert_parity, brute_force, one_hot, plan_of, sized

NO_ROOM = replace(CPU, group_budget_share=2**60, most_segments=5)
"""Sizes by which no unmutated activation fits: a sequence is divided into five parts."""
LONG = 1000


def tower() -> nn.Module:
    """Return a model whose first layers keep much, and whose last one reads all positions."""
    torch.manual_seed(0)
    first = (nn.Conv1d(4, 16, 5, padding=2), nn.ReLU(), nn.Conv1d(16, 16, 3, padding=1), nn.MaxPool1d(4), nn.Softplus())
    return chain(*first, nn.Flatten(), nn.Linear(16 * LONG // 4, 2)).double().eval()


@pytest.mark.parametrize(
    ("positions", "letters", "parts"),
    [([], 3, []), ([4], 1, [[4]]), ([0, 1, 2, 3], 2, [[0, 1], [2, 3]]), ([0, 9, 11, 12], 3, [[0], [9, 11], [12]])],
    ids=["none", "one", "neighbours", "apart"],
)
def test_positions_are_divided_by_their_distance(positions: list[int], letters: int, parts: list[list[int]]) -> None:
    assert list(segments.segments(positions, letters)) == parts


def test_a_sequence_is_divided_where_it_does_not_fit() -> None:
    plan = plan_of(ab.as_sequence_model(tower()), LONG)
    whole = 2 * plan.unmutated_numbers * 8
    for budget, letters in ((2 * whole, None), (2 * whole - 2, LONG - 1), (whole, LONG // 2), (1, -(-LONG // 64))):
        assert Sizer(plan, CPU, 8, budget).segment_letters == letters


def test_ranges_worked_by_hand() -> None:
    """A convolution of 5 and one of 3 letters, before pools of 4."""
    plan = plan_of(ab.as_sequence_model(tower()), LONG)
    found = {plan.steps[name].node.op: positions for name, positions in read_ranges(plan, range(500, 503)).items()}
    # The ReLU's window is 498 to 504, of which the convolution after it reads one letter more on either side; its own
    # window, 497 to 505, lies in the pools 124 to 126, which read 496 to 507.
    assert found["relu"] == range(496 - SLACK, 507 + SLACK)
    assert found["max_pool"] == range(124 - SLACK, 127 + SLACK)
    assert all(positions.stop - positions.start < 12 + 2 * SLACK + 1 for positions in found.values())
    at_the_end = {plan.steps[n].node.op: kept for n, kept in read_ranges(plan, range(LONG - 1, LONG)).items()}
    assert at_the_end["max_pool"] == range(LONG // 4 - 1 - SLACK, LONG // 4)
    assert read_ranges(plan, range(LONG)) == {}


def test_a_part_gives_what_the_whole_gives_and_what_is_not_kept_at_the_cost_of_a_pass() -> None:
    plan = plan_of(ab.as_sequence_model(tower()), LONG)
    inputs = {plan.graph.input: torch.as_tensor(one_hot(2, 4, LONG))}
    cut = read_ranges(plan, range(0, 3))
    whole, part = UnmutatedActivations(plan, inputs), UnmutatedActivations(plan, inputs, cut)
    relu = next(name for name in cut if plan.steps[name].node.op == "relu")
    for window in (Window(-6, 2, 9), Window(-3, 0, 4), Window(20, -3, 12)):
        torch.testing.assert_close(part.view(relu, window, 4), whole.view(relu, window, 4), rtol=0, atol=0)
    assert relu not in plan.read_as_a_whole
    beyond = Window(700, 5, 20)
    torch.testing.assert_close(part.view(relu, beyond, 3), whole.view(relu, beyond, 3), rtol=0, atol=0)
    low, high = beyond.hull(3)
    found, expected = (kept.array(relu, beyond, 3)[:, low:high] for kept in (part, whole))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert relu in plan.read_as_a_whole
    assert relu not in read_ranges(plan, range(0, 3))


@pytest.mark.parametrize("name", [name for name in sorted(MODELS) if not name.startswith("spellings")][::4])
def test_predictions_are_the_same_in_segments(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept besides what ranges tell, so that whatever they miss is read by another pass."""
    monkeypatch.setattr(segments, "SLACK", 0)
    module, x = build(name).double(), one_hot(2, 4, LENGTH)
    method = FastISM(module, min_speedup=0, self_check=False)
    divided = sized(FastISM(module, min_speedup=0, self_check=False), NO_ROOM)
    whole, found = (each.attribute(x, target="all") for each in (method, divided))
    mutations = [Mutation(1, position, letters) for position in (0, 11, 27) for letters in ("A", "CGT")]
    listed, expected = (each.predict_mutations(x, mutations, target="all") for each in (divided, method))
    for output, values in whole.predictions.items():
        np.testing.assert_allclose(found.predictions[output], values, rtol=0, atol=1e-10)
        np.testing.assert_allclose(listed.predictions[output], expected.predictions[output], rtol=0, atol=1e-10)


NAME = "segments_test::same"


@torch.library.custom_op(NAME, mutates_args=())
def same(x: torch.Tensor) -> torch.Tensor:
    """Return x: an operation of the user's own, of which nothing is known."""
    return x.clone()


@same.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


MAY_HIDE_NAN: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "a comparison": lambda y: (y > 0.2).to(y.dtype),
    "numbers alone": lambda y: torch.nan_to_num(y, 3.0),
    "the larger of two": lambda y: torch.fmax(y, 0.5 * y + 0.1),
    "a rule of the user's": same,
    "without a rule": lambda y: y.sort(2).values,
}


@pytest.mark.parametrize("name", MAY_HIDE_NAN)
def test_a_branch_that_most_segments_do_not_reach(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it changes in a block: there are no numbers to be looked at for NaN."""
    monkeypatch.setattr(segments, "SLACK", 0)
    rules = {NAME: Local(1)} if name == "a rule of the user's" else {}

    def forward(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = m.conv(x).relu()
        return torch.stack([MAY_HIDE_NAN[name](y[:, :, 12:16]).mean((1, 2)), y.mean((1, 2))], 1)

    torch.manual_seed(0)
    module, x = Custom(forward, conv=nn.Conv1d(4, 5, 3, padding=1)).double().eval(), one_hot(2, 4, LENGTH)
    method = sized(FastISM(module, min_speedup=0, self_check=False, rules=rules), NO_ROOM)
    assert_parity(dict(method.attribute(x, target="all").predictions), brute_force(module, x), 1e-12)


def test_one_pass_is_kept_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are divided, too; a part costs a pass, and a ReLU on deltas no further one, wherever no kernels run."""
    alive, counts = WeakSet[UnmutatedActivations](), list[int]()
    begin = UnmutatedActivations.__init__

    def counted(activations: UnmutatedActivations, *arguments: Any) -> None:
        alive.add(activations)
        counts.append(len(alive))
        begin(activations, *arguments)

    passes, run = list[int](), UnmutatedPass.run
    monkeypatch.setattr(UnmutatedActivations, "__init__", counted)
    monkeypatch.setattr(UnmutatedPass, "run", lambda *given, **named: (passes.append(1), run(*given, **named))[1])
    monkeypatch.setattr(devices, "kind", lambda device: "cuda")
    model = chain(nn.Conv1d(4, 8, 3), nn.ReLU(), nn.Conv1d(8, 8, 3), nn.ReLU(), nn.Conv1d(8, 2, 3)).double().eval()
    method, x = sized(FastISM(model, min_speedup=0, self_check=False), NO_ROOM), one_hot(1, 4, LONG)
    mutations = [Mutation(0, position, letters) for position in range(0, LONG - 2, 10) for letters in ("T", "CGT")]
    expected = ab.get_method("standard_ism")(model).predict_mutations(x, mutations, target="all")
    for listed in (False, True):
        counts.clear()
        passes.clear()
        if listed:
            found = method.predict_mutations(x, mutations, target="all").predictions
            np.testing.assert_allclose(found["output"], expected.predictions["output"], rtol=0, atol=1e-12)
        else:
            method.attribute(x, target="all")
        assert counts == [1] * 5
        assert len(passes) == 5


def test_progress_ends_at_every_position() -> None:
    done: list[int] = []
    method = sized(FastISM(tower(), min_speedup=0), NO_ROOM)
    positions = [0, 1, 500, 501, 999]
    x = one_hot(2, 4, LONG)
    result = method.attribute(x, target="all", positions=positions, progress=lambda count, total: done.append(count))
    assert done == sorted(done)
    assert done[-1] == 2 * len(positions)
    expected = ab.get_method("standard_ism")(tower()).attribute(x, target="all", positions=positions)
    for output, values in expected.predictions.items():
        np.testing.assert_allclose(result.predictions[output], values, rtol=0, atol=1e-12)
