"""Infinite activations: windows have no number for the difference of two of them, and predictions are the model's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench import Mutation
from attribution_bench.errors import SelfCheckError
from attribution_bench.fastism import Local
from attribution_bench.mutagenesis import full_passes
from attribution_bench.request import Request
from attribution_bench_plugins.fastism import call
from attribution_bench_plugins.fastism.self_check import relative_error
from fastism_models import Custom
from parity import one_hot, plan_of

LENGTH = 30
NAME = "infinite_activations_test::pair"

MODELS: dict[str, Callable[..., object]] = {
    "means of logarithms": lambda m, x: F.avg_pool1d(torch.log(m.conv(x).relu()), 2, 1),
    "logarithms beside numbers": lambda m, x: (logarithms(m, x) - m.conv(x), m.conv(x).relu().sum(2)),
    "a sum of few logarithms": lambda m, x: torch.log(m.conv(x).relu() + (x[:, 0, 4:] > 0)[:, None]).sum(2),
    "a pool of padding alone": lambda m, x: F.max_pool1d(m.conv(x), 2, 26, padding=1, dilation=26) + m.conv(x)[..., :1],
    "infinite beside finite positions": lambda m, x: torch.cat([logarithms(m, x), m.conv(x)], 2),
    "no numbers at some positions": lambda m, x: F.avg_pool1d(m.conv(x).sqrt(), 2),
}


def logarithms(m: nn.Module, x: Tensor) -> Tensor:
    """Return a hidden layer that is infinite at many positions."""
    return torch.log(m.conv(x).relu())


def model(forward: Callable[..., object]) -> nn.Module:
    """Return a module of a convolution `conv`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Custom(forward, conv=nn.Conv1d(4, 3, 5))
    return module.double().eval()


def assert_same(found: NDArray[np.floating], truth: NDArray[np.floating]) -> None:
    """Fail where numbers differ; infinities and missing numbers must be the same."""
    np.testing.assert_allclose(found, truth, rtol=1e-10, atol=1e-10)


HIDING: dict[str, Callable[..., Tensor]] = {
    "a number instead": lambda m, x: torch.nan_to_num(means(m, x), neginf=-10.0).sum(2),
    "behind a convolution": lambda m, x: torch.nan_to_num(F.conv1d(means(m, x), x.new_ones(2, 3, 5)), neginf=-1.0).sum(
        2
    ),
    "a comparison": lambda m, x: torch.where(means(m, x) <= -3, 1.0, x.new_full((1,), 2.0)).sum(2),
    "whether finite": lambda m, x: torch.isfinite(means(m, x)).to(x.dtype).sum(2),
    "the larger of two": lambda m, x: torch.fmax(means(m, x), m.conv(x)[..., 1:]).sum(2),
    "the place of the largest": lambda m, x: means(m, x).argmax(1).to(x.dtype).sum(1),
    "an index": lambda m, x: means(m, x).argmax(1),
    "sums of numbers": lambda m, x: means(m, x).nansum(1),
    "the second of three": lambda m, x: torch.cat([means(m, x), m.conv(x)[..., 1:]], 1).sort(dim=1)[0][:, 1].sum(1),
    "signs": lambda m, x: means(m, x).sign().sum(2),
    "an operation without a rule": lambda m, x: replaced(means(m, x)).sum(2),
}
"""Models in which something follows that gives numbers of NaN."""


def means(m: nn.Module, x: Tensor) -> Tensor:
    """Return a hidden layer of which windows have no number where two infinities meet."""
    return F.avg_pool1d(logarithms(m, x), 2, 1)


def letters_and_unknown(count: int) -> NDArray[np.float64]:
    """Return random sequences (count, 4, LENGTH) with an unknown letter in the first."""
    x = one_hot(count, 4, LENGTH)
    x[0, :, 3] = 0
    return x


@pytest.mark.parametrize("unknown", [False, True], ids=["letters", "an unknown letter"])
@pytest.mark.parametrize("name", [*MODELS, *HIDING])
def test_predictions_are_the_models_own(name: str, unknown: bool) -> None:
    module, x = model({**MODELS, **HIDING}[name]), letters_and_unknown(2) if unknown else one_hot(2, 4, LENGTH)
    method, standard = ab.get_method("fastism")(module, min_speedup=0), ab.get_method("standard_ism")(module)
    result, truth = (each.attribute(x, target="all").predictions for each in (method, standard))
    for output, values in truth.items():
        assert_same(result[output], values)
    positions = np.random.default_rng(0).permutation(LENGTH)
    mutations = [Mutation(i % 2, position, "ACGT"[i % 4]) for i, position in enumerate(positions.tolist())]
    listed, expected = (each.predict_mutations(x, mutations, target="all").predictions for each in (method, standard))
    for output, values in expected.items():
        assert_same(listed[output], values)


@pytest.mark.parametrize(
    "function", [lambda y: (y > -20).double().sum((1, 2)), lambda y: y.nansum((1, 2))], ids=["comparison", "sum"]
)
def test_functions_of_an_output_are_those_of_the_models_own(function: Callable[[Tensor], Tensor]) -> None:
    module, x = model(means), one_hot(2, 4, LENGTH)
    method, standard = ab.get_method("fastism")(module, min_speedup=0), ab.get_method("standard_ism")(module)
    result, truth = (each.attribute(x, target=function).predictions["output"] for each in (method, standard))
    assert_same(result, truth)


@pytest.mark.parametrize(("dtype", "large"), [(torch.float32, 3e38), (torch.float64, 1.6e308)])
def test_differences_that_are_too_large_for_their_type(dtype: torch.dtype, large: float) -> None:
    layer = nn.Conv1d(4, 1, 1, bias=False, dtype=dtype)
    with torch.no_grad():
        layer.weight[:] = torch.tensor([large, -large, 1, 2], dtype=dtype)[None, :, None]
    module, x = nn.Sequential(layer).eval(), one_hot(1, 4, 8)
    method, standard = ab.get_method("fastism")(module, min_speedup=0), ab.get_method("standard_ism")(module)
    result, truth = (each.attribute(x, target="all").predictions["output"] for each in (method, standard))
    assert np.isfinite(truth).all()
    np.testing.assert_allclose(result / large, truth / large, rtol=0, atol=1e-6)


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "gelu": lambda m, y: F.gelu(y),
    "exp": lambda m, y: y.exp(),
    "leaky_relu": lambda m, y: F.leaky_relu(y),
    "clamp": lambda m, y: y.clamp(-1, 1),
    "softmax": lambda m, y: y.softmax(1),
    "glu": lambda m, y: F.glu(y.repeat(1, 2, 1), 1),
    "cumsum": lambda m, y: y.cumsum(1),
    "chosen by a constant": lambda m, y: torch.where(m.mask, y, 0.0),
    "layer norm": lambda m, y: m.norm(y.transpose(1, 2)),
    "variance": lambda m, y: y.var(1),
    "nothing of it": lambda m, y: torch.zeros_like(y) + y,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_gives_nan_of_nan_needs_no_look(name: str, dtype: torch.dtype) -> None:
    mask = nn.Parameter(torch.tensor([True, False, True])[:, None], requires_grad=False)
    module = Custom(lambda m, x: FUNCTIONS[name](m, m.conv(x)), conv=nn.Conv1d(4, 3, 5), norm=nn.LayerNorm(3))
    module.register_buffer("mask", mask)
    plan = plan_of(ab.as_sequence_model(module.to(dtype).eval()), LENGTH)
    assert not plan.hiding_nan(torch.zeros((), dtype=dtype))


def test_of_a_choice_by_a_comparison_the_comparison_alone_is_looked_at() -> None:
    module = model(lambda m, x: torch.where(m.conv(x) > 0, m.conv(x), 0.1 * m.conv(x)))
    plan = plan_of(ab.as_sequence_model(module), LENGTH)
    (name,) = plan.hiding_nan(torch.zeros((), dtype=torch.float64))
    assert plan.steps[name].node.kind == "aten::gt.Scalar"


def test_only_what_has_no_number_takes_full_passes() -> None:
    rows: list[int] = []

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            rows.append(len(x))
        # Infinite where the first five letters are A, C, C, C, C: in one sequence, and in one mutation of another.
        first = x[:, 0, :1] + x[:, 1, 1:5].sum(1, keepdim=True)
        return torch.cat([m.conv(x).relu().sum(2), torch.log(5 - first)], 1)

    module, x = model(forward), one_hot(3, 4, LENGTH)
    x[:2, :, :5] = np.eye(4)[[0, 1, 1, 1, 1]].T
    x[1, :, 4] = np.eye(4)[2]
    x[2, :, :5] = np.eye(4)[[3, 3, 3, 3, 3]].T
    method = ab.get_method("fastism")(module, min_speedup=0, self_check=False)
    truth = ab.get_method("standard_ism")(module).attribute(x, target="all").predictions["output"]
    method.attribute(x, target="all")
    rows.clear()
    result = method.attribute(x, target="all")
    assert_same(result.predictions["output"], truth)
    assert sum(rows) == 3 * LENGTH + 1  # of one sequence, whose predictions are infinite, and one of another


@torch.library.custom_op(NAME, mutates_args=())
def pair(x: Tensor) -> Tensor:
    """Return the sums of neighbours in (N, C, L)."""
    return x + F.pad(x[..., 1:], (0, 1))


@pair.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op(f"{NAME}s", mutates_args=())
def replaced(x: Tensor) -> Tensor:
    """Return x with numbers in place of those that are none."""
    return torch.nan_to_num(x, neginf=-7.0)


@replaced.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@pytest.mark.parametrize("lists", [False, True])
def test_what_full_passes_replace_is_not_held_to_be_checked(lists: bool) -> None:
    x, mutations = one_hot(1, 4, LENGTH), [Mutation(0, position, "N") for position in range(LENGTH)]

    def is_due(forward: Callable[..., object]) -> bool:
        method = ab.get_method("fastism")(model(forward), min_speedup=0)
        for _ in range(8):
            method.predict_mutations(x, mutations, target="all") if lists else method.attribute(x, target="all")
        (compiled,) = method.engine.cache.models
        return any(place != "outside" for place, _ in compiled.due_checks._due)

    assert not is_due(lambda m, x: m.conv(x))
    assert is_due(lambda m, x: torch.log(m.conv(x).relu() * 0))
    assert is_due(lambda m, x: F.avg_pool1d(torch.log(m.conv(x).relu() * 0), LENGTH - 4))


def test_progress_goes_on_through_full_passes_and_memory_that_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, done = list[int](), list[int]()

    def passes(model: object, request: Request, *others: Any) -> Any:
        sizes.append(request.batch_size or 128)
        if sizes[-1] > 4:
            raise torch.OutOfMemoryError
        return full_passes(model, request, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(call, "full_passes", passes)
    module, x = model(means), one_hot(2, 4, LENGTH)
    method = ab.get_method("fastism")(module, min_speedup=0, self_check=False)
    result = method.attribute(x, target="all", batch_size=16, progress=lambda count, total: done.append(count))
    truth = ab.get_method("standard_ism")(module).attribute(x, target="all")
    assert_same(result.predictions["output"], truth.predictions["output"])
    assert sizes == [16, 8, 4]
    assert result.metadata["memory_halvings"] == 2
    assert len(done) > 10
    assert done == sorted(done)
    assert done[-1] == 2 * LENGTH
    mutations = [Mutation(0, position, "ACGT") for position in range(0, 24, 4)] * 2
    done.clear()
    listed = method.predict_mutations(
        x, mutations, target="all", batch_size=8, progress=lambda count, total: done.append(count)
    )
    assert listed.metadata["memory_halvings"] == 1
    assert done == sorted(done)
    assert done[-1] == len(mutations)


@pytest.mark.parametrize(
    ("found", "truth", "error"),
    [
        ([1.0, 2.0], [1.0, 4.0], 0.5),
        ([1.0, 2.0], [1.0, np.inf], np.inf),
        ([1.0, 2.0], [1.0, np.nan], np.inf),
        ([np.nan, 4.0], [9.0, 8.0], 4 / 9),
        ([np.nan, np.inf], [1.0, 2.0], 0.0),
        ([1.0, -np.inf], [1.0, -np.inf], 0.0),
    ],
)
def test_errors_of_windows(found: list[float], truth: list[float], error: float) -> None:
    assert relative_error(np.array(found), np.array(truth)) == error


def test_the_layer_that_differs_is_named_though_one_before_is_infinite() -> None:
    module = model(lambda m, x: torch.cat([logarithms(m, x), pair(m.conv(x))], 2))
    method = ab.get_method("fastism")(module, rules={NAME: Local(1)}, min_speedup=0)
    with pytest.raises(SelfCheckError, match="first at layer 'pair"):
        method.attribute(one_hot(1, 4, LENGTH), target="all")


@pytest.mark.parametrize("lists", [False, True])
def test_numbers_beside_infinite_ones_are_checked(lists: bool) -> None:
    """A wrong rule is refused, although an output has infinite numbers, too."""
    module = model(lambda m, x: F.pad(pair(m.conv(x)), (0, 1), value=torch.inf))
    method = ab.get_method("fastism")(module, rules={NAME: Local(1)}, min_speedup=0)
    x, mutations = one_hot(1, 4, LENGTH), [Mutation(0, position, "N") for position in range(LENGTH)]
    with pytest.raises(SelfCheckError, match="first at layer 'pair"):
        method.predict_mutations(x, mutations, target="all") if lists else method.attribute(x, target="all")
