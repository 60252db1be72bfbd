"""What a target reads is all that is computed: fields worked out by hand, and parts of outputs against the whole."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench import Mutation
from attribution_bench.models.targets import select
from attribution_bench_plugins.fastism.capture.source import source_of
from attribution_bench_plugins.fastism.convolution.algorithm import ConvolutionAlgorithm
from attribution_bench_plugins.fastism.ops.convolution import LinearConvolution
from attribution_bench_plugins.fastism.planning.wanted import wanted_positions
from attribution_bench_plugins.fastism.values.window import Window
from fastism_models import LENGTH, MODELS, Custom, build
from parity import assert_parity, brute_force, one_hot, plan_of
from random_targets import applied, random_function, random_index

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


def fields(module: nn.Module, target: object, length: int = 30) -> dict[str, tuple[int, int]]:
    """Return layer -> the positions that a target reads of it, half-open."""
    model = ab.as_sequence_model(module.eval())
    plan = plan_of(model, length)
    wanted = wanted_positions(plan, select(target, model.outputs(length)), source_of(model).positions_read)  # type: ignore[arg-type]
    found = plan.wanting(wanted).fields
    named = {plan.steps[name].node.layer.partition(":")[0]: (field.start, field.stop) for name, field in found.items()}
    return named | {"sequence": (found[plan.graph.input].start, found[plan.graph.input].stop)}


CONVOLUTIONS = nn.Sequential(nn.Conv1d(4, 3, 5, padding=2), nn.ReLU(), nn.Conv1d(3, 2, 3, padding=2, dilation=2))


def test_a_position_of_a_profile() -> None:
    found = fields(CONVOLUTIONS, (0, 10))
    # The second convolution reads 8, 10 and 12, the first two on either side of each.
    assert found["2"] == (10, 11)
    assert found["0"] == (8, 13)
    assert found["sequence"] == (6, 15)


def test_at_the_ends_it_is_cut_to_the_sequence() -> None:
    assert fields(CONVOLUTIONS, (1, 0))["sequence"] == (0, 5)
    assert fields(CONVOLUTIONS, (1, 29))["sequence"] == (25, 30)


def test_all_channels_of_all_positions_are_everything() -> None:
    assert fields(CONVOLUTIONS, 1)["sequence"] == (0, 30)


def test_pools_strides_and_transposed_convolutions() -> None:
    module = nn.Sequential(
        nn.Conv1d(4, 3, 3, stride=2, padding=1), nn.MaxPool1d(3, stride=1), nn.ConvTranspose1d(3, 1, 4, stride=2)
    )
    found = fields(module, (0, 9))
    # Output 9 of stride 2 and 4 taps reads 3 and 4, which pool 3 to 6, which the first convolution reads from 5 to 13.
    assert found["1"] == (3, 5)
    assert found["0"] == (3, 7)
    assert found["sequence"] == (5, 14)


LIST, ARRAY, TENSOR = [3, 7, 5], np.array([4, 6]), torch.tensor([9, 8])
WEIGHTS = torch.linspace(0, 1, 4)
FUNCTIONS: list[tuple[Callable[[Tensor], Tensor], tuple[int, int]]] = [
    (lambda h: h[:, 0, 10], (10, 11)),
    (lambda h: h[..., -1].sum(1), (29, 30)),
    (lambda h: (h[:, 1, 4:8] * WEIGHTS).sum(1), (4, 8)),
    (lambda h: h[:, 1, 4:8] @ WEIGHTS, (4, 8)),
    (lambda h: h[:, 0, LIST].mean(-1), (3, 8)),
    (lambda h: h[:, 0, ARRAY].mean(-1), (4, 7)),
    (lambda h: h[:, 0, TENSOR].amax(1), (8, 10)),
    (lambda h: h[:, :, 5:20:7].sum((1, 2)), (5, 20)),
    (lambda h: h.softmax(1)[:, 0, 12].log(), (12, 13)),
    (lambda h: (h[:, 1] - h[:, 0])[:, 6:9].std(1), (6, 9)),
    (lambda h: h.reshape(len(h), -1)[:, 33], (3, 4)),
    (lambda h: h.flip(2).transpose(1, 2)[:, 0].sum(1), (29, 30)),
    (lambda h: torch.stack([row[0, 2] + row[1, 4] for row in h]), (2, 5)),
    (lambda h: torch.where(h > 0, h, h.exp())[:, 0].split(10, 1)[1].prod(1), (10, 20)),
    (lambda h: h[:, 0, 3:9].max(1).values, (3, 9)),
]
EVERYTHING: list[Callable[[Tensor], Tensor]] = [
    lambda h: h.sum((1, 2)),
    lambda h: h.softmax(2)[:, 0, 3],
    lambda h: h[:, 0, int(h[0, 0].argmax())],
    lambda h: h[:, 0, 2] if h.sum() > 0 else h[:, 0, 4],
    lambda h: torch.as_tensor(h.numpy()[:, 0, 3]),
    lambda h: torch.tensor([row[0][3] for row in h.tolist()], dtype=h.dtype),
    lambda h: torch.from_dlpack(h)[:, 0, 3],
    lambda h: h.clone().mul_(2)[:, 0, 3],
    lambda h: h.gather(2, h.argmax(2, keepdim=True))[:, 0, 0],
    lambda h: h[:, 0, h[0, 0] > 0].sum(1),
]
"""Functions of which some position is read that no slice tells, or which are not followed."""


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_what_a_function_reads(number: int) -> None:
    function, read = FUNCTIONS[number]
    assert fields(CONVOLUTIONS, function)["2"] == read


@pytest.mark.parametrize("number", range(len(EVERYTHING)))
def test_functions_that_are_not_followed_read_everything(number: int) -> None:
    assert fields(CONVOLUTIONS, EVERYTHING[number])["2"] == (0, 30)


def test_a_function_is_followed_anew_in_each_call() -> None:
    module, x, place = CONVOLUTIONS.double().eval(), one_hot(1, 4, 30), [4]
    method, truth = ab.get_method("fastism")(module, min_speedup=0), brute_force(module, x)["output"]

    def function(value: Tensor) -> Tensor:
        return value[:, 0, place[0]]

    for place[0] in (4, 20):
        found = method.attribute(x, target=function)
        assert_parity(dict(found.predictions), {"output": truth[..., 0, place[0]]}, 1e-12)
        (layer,) = (layer for layer in method.explain(30, target=function).layers if layer.layer.startswith("2"))
        assert layer.reached == 1


class Cropped(nn.Module):
    """A convolution of which the middle is read, on the flipped sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x.flip(2))[:, :, 5:8]


def test_a_crop_inside_the_model_and_a_flip() -> None:
    found = fields(Cropped(), "all")
    assert found["convolution"] == (5, 8)
    assert found["sequence"] == (30 - 9, 30 - 4)


class NarrowEnd(nn.Module):
    """Convolutions whose affected ranges are wider than the few positions that are read of them."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv1d(4 if i == 0 else 3, 3, 5, padding=2 * 2**i, dilation=2**i) for i in range(4)]
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).tanh()
        return x[:, :, 38:43]


@pytest.mark.parametrize("name", ["direct", "overlap-add", "Toom-Cook"])
def test_a_range_that_all_mutations_share_is_convolved_as_their_own_ranges_are(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(available: Sequence[ConvolutionAlgorithm], source: int, width: int) -> ConvolutionAlgorithm:
        return next(algorithm for algorithm in available if algorithm.name == name)

    monkeypatch.setattr(LinearConvolution, "choose_algorithm", staticmethod(choose))
    module, x = NarrowEnd().double().eval(), one_hot(2, 4, 80)
    found = ab.get_method("fastism")(module, min_speedup=0).attribute(x, target="all")
    assert_parity(dict(found.predictions), brute_force(module, x), 1e-12)


class TwoHeads(nn.Module):
    """A profile and a count from one trunk."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.profile, self.count = nn.Conv1d(4, 3, 5, padding=2), nn.Conv1d(3, 1, 1), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.trunk(x).relu()
        return {"profile": self.profile(x), "count": self.count(x.mean(2))}


TARGETS = "all", ("profile", (0, 3))


def test_an_output_that_is_not_wanted_is_not_computed() -> None:
    assert "count" not in fields(TwoHeads(), ("profile", (0, 3)))
    assert "profile" not in fields(TwoHeads(), "count")
    method = ab.get_method("fastism")(TwoHeads().eval(), min_speedup=0)
    whole, part = (
        {layer.layer: layer.reached for layer in method.explain(30, target=target).layers} for target in TARGETS
    )
    assert whole == {"trunk: conv1d": 5, "relu": 5, "profile: conv1d_1": 5, "mean": 1, "count: linear": 1}
    assert part == {"trunk: conv1d": 1, "relu": 1, "profile: conv1d_1": 1}


@pytest.mark.parametrize(
    ("start", "step", "width", "count"), list(itertools.product((-3, 2, 9), (-2, 0, 1, 5), (1, 4), (1, 4)))
)
def test_a_window_is_cut_to_the_narrowest_that_holds_all(start: int, step: int, width: int, count: int) -> None:
    window, field = Window(start, step, width), range(4, 11)
    cut = window.cut(count, field)
    kept = [offset for k in range(count) for offset in range(width) if window.at(k) + offset in field]
    if not kept:
        assert cut.width == 0
        return
    # Offsets between two that are kept are kept, too; none beyond them.
    assert (cut.start - start, cut.start - start + cut.width, cut.step) == (min(kept), max(kept) + 1, step)


@pytest.mark.parametrize("name", MODELS)
def test_parts_of_every_output_are_those_of_the_whole(name: str) -> None:
    module = build(name).double()
    x, method = one_hot(2, 4, LENGTH), ab.get_method("fastism")(module, min_speedup=0)
    truth = brute_force(module, x)
    random = np.random.default_rng(0)
    for output, predictions in truth.items():
        shape = predictions.shape[3:]
        ends = [(0,) * len(shape), tuple(n - 1 for n in shape)]
        for wanted in (*ends, random_index(random, shape), random_function(random, shape)):
            found = method.attribute(x, target=(output, wanted))
            assert_parity(dict(found.predictions), {output: applied(wanted, predictions)}, 1e-10)


def test_listed_mutations_outside_the_field_have_the_unmutated_prediction() -> None:
    module = TwoHeads().double().eval()
    x, method, name = one_hot(3, 4, LENGTH), ab.get_method("fastism")(module, min_speedup=0), "profile"
    mutations = [Mutation(n, p, "ACG"[: 1 + p % 3]) for n in (0, 2) for p in (0, 1, 9, 14, 26)]
    mutations += [Mutation(1, 27, "", 2), Mutation(1, 29, "T")]
    whole = ab.get_method("standard_ism")(module).predict_mutations(x, mutations, target=name)
    seen: list[tuple[int, int]] = []
    found = method.predict_mutations(x, mutations, target=(name, (0, 2)), progress=lambda *s: seen.append(s))
    for predictions in ("predictions", "reference_predictions"):
        expected = getattr(whole, predictions)[name][:, 0, 2]
        np.testing.assert_allclose(getattr(found, predictions)[name], expected, rtol=0, atol=1e-12)
    assert seen[-1] == (len(mutations), len(mutations))


def test_positions_outside_the_field_alone_run_no_block() -> None:
    module = CONVOLUTIONS.double().eval()
    x, method = one_hot(2, 4, 30), ab.get_method("fastism")(module, min_speedup=0)
    seen: list[tuple[int, int]] = []
    found = method.attribute(x, target=(0, 2), positions=slice(20, 30), progress=lambda *s: seen.append(s))
    assert_parity(dict(found.predictions), {"output": brute_force(module, x)["output"][:, :, 20:, 0, 2]}, 1e-12)
    assert seen[-1] == (20, 20)


def test_a_step_that_runs_in_full_reads_everything() -> None:
    class Cumulative(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv1d(4, 2, 3, padding=1), nn.Conv1d(2, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x).cummax(2).values)

    module, x = Cumulative().double().eval(), one_hot(1, 4, 12)
    assert fields(module, (0, 3), 12)["sequence"] == (0, 12)
    method, truth = ab.get_method("fastism")(module, min_speedup=0), brute_force(module, x)
    for position in (0, 3, 11):
        found = method.attribute(x, target=(1, position))
        assert_parity(dict(found.predictions), {"output": truth["output"][..., 1, position]}, 1e-12)


PADDING_ALONE: dict[str, Callable[..., object]] = {
    "padding": lambda m, x: F.pad(m.a(x), (5, 5))[:, :, :4] + m.a(x)[:, :, 3:7],
    "padding without positions": lambda m, x: F.pad(m.a(x), (5, 5))[:, :, :4].amax(2) + m.a(x)[:, :, 3],
    "maximum pool": lambda m, x: F.max_pool1d(F.pad(m.a(x), (8, 8)), 4)[:, :, :1] + m.a(x)[:, :, :1],
    "average pool": lambda m, x: F.avg_pool1d(F.pad(m.a(x), (30, 0)), 3, 100) + m.a(x)[:, :, :1],
    "strided convolution": lambda m, x: (
        F.conv1d(m.a(x), m.b.weight, padding=1, stride=40, dilation=31) + m.a(x)[..., :1]
    ),
}
"""Operations that read no position of what a mutation changes, where another branch reads some."""


@pytest.mark.parametrize("name", PADDING_ALONE)
def test_what_reads_padding_alone(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Custom(PADDING_ALONE[name], a=nn.Conv1d(4, 3, 5, padding=2), b=nn.Conv1d(3, 3, 2)).double().eval()
    x = one_hot(2, 4, 30)
    found = ab.get_method("fastism")(module, min_speedup=0).attribute(x, target="all")
    assert "fallback" not in found.metadata
    assert_parity(dict(found.predictions), brute_force(module, x), 1e-12)


IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "a product": lambda y: y.mul_(2)[:, 0, 5],
    "an assignment": lambda y: y.index_fill_(2, torch.tensor([3, 4]), 1.0).sum((1, 2)),
    "a sort by NumPy": lambda y: (y.numpy().sort(2), y[:, 1, 7])[1],
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_functions_that_write_into_what_they_are_given(name: str) -> None:
    module, target = CONVOLUTIONS.double().eval(), IN_PLACE[name]
    x, mutations = one_hot(2, 4, 30), [Mutation(1, position, "G") for position in (0, 4, 5, 6, 29)]
    truth = applied(target, brute_force(module, x)["output"])
    expected = [truth[1, 2, mutation.position] for mutation in mutations]
    on_windows = ab.get_method("fastism")(module, min_speedup=0, self_check=False)
    for method in (on_windows, ab.get_method("standard_ism")(module)):
        found, listed = method.attribute(x, target=target), method.predict_mutations(x, mutations, target=target)
        assert_parity(dict(found.predictions), {"output": truth}, 1e-12)
        np.testing.assert_allclose(listed.predictions["output"], expected, rtol=0, atol=1e-12)
