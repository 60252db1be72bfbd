"""The self-check: what it allows in each precision, when it is made, and what it remembers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from attribution_bench import Mutation
from attribution_bench.errors import SelfCheckError
from attribution_bench.fastism import Local
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism.self_check import rows_to_check
from parity import one_hot

NAME, LENGTH, COUNT = "self_check_test::smooth", 40, 20
"""As many sequences as leave room for the whole check in one call."""


@torch.library.custom_op(NAME, mutates_args=())
def smooth(x: Tensor, last: float) -> Tensor:
    """Return (N, C, L) added up over three neighbours, the last of them weighted."""
    padded = torch.nn.functional.pad(x, (1, 1))
    return padded[..., :-2] + padded[..., 1:-1] + last * padded[..., 2:]


@smooth.register_fake
def _(x: Tensor, last: float) -> Tensor:
    return torch.empty_like(x)


class Smoothed(nn.Module):
    """The user's own operation, and a weight that multiplies what it gives."""

    def __init__(self, last: float) -> None:
        super().__init__()
        self.last, self.factor, self.passes = last, nn.Parameter(torch.ones(())), 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        y: Tensor = self.factor * smooth(x, self.last)
        return y


FORGETFUL = Local(2, padding=1)
"""The user's rule, which forgets the last neighbour."""
RIGHT = Local(3, padding=1)


def saturate(method: FastISM, dtype: torch.dtype) -> None:
    x = torch.as_tensor(one_hot(COUNT, 4, LENGTH)).to(dtype)
    method.attribute(x, target="all")


def listed(method: FastISM, dtype: torch.dtype) -> None:
    x = torch.as_tensor(one_hot(COUNT, 4, LENGTH)).to(dtype)
    mutations = [Mutation(sequence, position, "N") for sequence in range(COUNT) for position in range(LENGTH)]
    method.predict_mutations(x, mutations, target="all")


run = pytest.mark.parametrize("run", [saturate, listed])
Run = Callable[[FastISM, torch.dtype], None]


@run
@pytest.mark.parametrize(
    ("dtype", "last"), [(torch.float32, 6e-3), (torch.float32, 1e-3), (torch.float64, 6e-3), (torch.float64, 1e-7)]
)
def test_a_rule_that_is_a_little_wrong_is_refused(run: Run, dtype: torch.dtype, last: float) -> None:
    """Of the scale, which is that of two neighbours, half of the weight of the one that the rule forgets is missing."""
    method = FastISM(Smoothed(last).to(dtype), rules={NAME: FORGETFUL})
    with pytest.raises(SelfCheckError, match=r"first at layer 'smooth"):
        run(method, dtype)
    # Nothing is remembered of a check that failed.
    with pytest.raises(SelfCheckError):
        run(method, dtype)


@run
@pytest.mark.parametrize(("dtype", "last"), [(torch.float32, 1e-6), (torch.float64, 1e-11)])
def test_a_rule_that_is_wrong_by_rounding_passes(run: Run, dtype: torch.dtype, last: float) -> None:
    run(FastISM(Smoothed(last).to(dtype), rules={NAME: FORGETFUL}), dtype)


@run
@pytest.mark.parametrize(("last", "refused"), [(6e-3, False), (0.3, True)])
def test_products_of_few_digits_are_allowed_more(run: Run, last: float, refused: bool) -> None:
    method = FastISM(Smoothed(last), rules={NAME: FORGETFUL}, matmul_precision="bfloat16")
    if refused:
        with pytest.raises(SelfCheckError):
            run(method, torch.float32)
    else:
        run(method, torch.float32)


@run
def test_it_is_made_once_for_the_weights_as_they_are(run: Run) -> None:
    """The engine runs a model's operations; the model itself is called to be captured, and by the self-check."""
    module = Smoothed(1.0)
    method, unchecked = FastISM(module, rules={NAME: RIGHT}), FastISM(module, rules={NAME: RIGHT}, self_check=False)

    def passes(of: FastISM) -> int:
        before = module.passes
        run(of, torch.float32)
        return module.passes - before

    captured = passes(unchecked)
    assert passes(unchecked) == 0
    checked = passes(method)
    assert checked > captured
    assert passes(method) == 0
    with torch.no_grad():
        module.factor.mul_(2)
    assert passes(method) == checked


def test_either_kind_of_call_makes_it_for_both() -> None:
    module = Smoothed(1.0)
    method = FastISM(module, rules={NAME: RIGHT})
    saturate(method, torch.float32)
    before = module.passes
    listed(method, torch.float32)
    assert module.passes == before


class Seen(nn.Module):
    """A model that keeps the rows of its full passes; its windows are right, or lose a hundredth at some letter."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            self.rows += x.unbind()
        return smooth(x, 1.0)


def checked(method: FastISM, ask: Callable[[], object]) -> set[tuple[int, int]]:
    """Return the positions and letters of a call's full passes, all of which are of its self-check."""
    model = method.model.model
    model.rows.clear()
    ask()
    unmutated, found = one_hot(1, 4, LENGTH)[0], set()
    for row in model.rows:
        differs = (row.numpy() != unmutated).any(0).nonzero()[0]
        found.add((int(differs[0]), int(row.numpy()[:, differs[0]].argmax())) if len(differs) else (-1, -1))
    return found


def seen(rule: Local) -> FastISM:
    method = FastISM(Seen(), rules={NAME: rule})
    method.explain(LENGTH)
    return method


def test_small_calls_check_two_mutations_each_until_all_were_checked() -> None:
    """Three letters at three positions, and the reference letter, which no mutation takes."""
    method, x, passes, every = seen(RIGHT), one_hot(1, 4, LENGTH), [], set()
    for _ in range(10):
        found = checked(method, lambda: method.attribute(x, target="all", positions=[3, 20, 37]))
        passes.append(len(method.model.model.rows))
        every |= found
    assert max(passes) <= 2
    assert passes[-3:] == [0, 0, 0]
    assert {position for position, _ in every - {(-1, -1)}} == {3, 20, 37}
    assert len(every - {(-1, -1)}) == 9


@pytest.mark.parametrize(
    ("asked", "speedup", "rows"), [(3, 1.0, 2), (3000, 68.0, 2), (300_000, 68.0, 220), (240, 0.5, 24), (3, 0.0, 3)]
)
def test_a_check_takes_two_full_passes_or_a_twentieth_of_a_call(asked: int, speedup: float, rows: int) -> None:
    assert rows_to_check(asked, speedup) == rows


@pytest.mark.parametrize("ask", ["listed", "saturation"])
@pytest.mark.parametrize("letter", range(4))
def test_what_is_wrong_at_one_letter_is_found_within_the_first_small_calls(letter: int, ask: str) -> None:
    def wrong(x: Tensor) -> Tensor:
        return smooth(x, 1.0) * (1 + 0.1 * (torch.arange(4) == letter)[:, None])

    method, x = seen(Local(3, padding=1, function=wrong)), one_hot(1, 4, LENGTH)
    mutations = [Mutation(0, position, alt) for position in (3, 20) for alt in "ACGT"]

    def calls() -> None:
        for _ in range(6):
            if ask == "listed":
                method.predict_mutations(x, mutations, target="all")
            else:
                method.attribute(x, target="all", positions=[3, 20])

    with pytest.raises(SelfCheckError, match="smooth"):
        calls()


def test_a_mutation_outside_of_what_is_wanted_is_checked_too() -> None:
    method, x = seen(RIGHT), one_hot(1, 4, LENGTH)
    every = set()
    for _ in range(12):
        every |= checked(method, lambda: method.attribute(x, target=(0, 20), positions=[2, 19, 20, 21]))
    assert {position for position, _ in every} >= {2, 19, 20, 21}
