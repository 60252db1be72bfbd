"""What DeepSHAP promises whatever the framework: shapes, references, invariances, the state of models, clear errors."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from attribution_bench.errors import ConvergenceWarning, InvalidInputError, ReferenceWarning, UnsupportedError
from attribution_bench_plugins.deepshap import DeepSHAP
from attribution_bench_plugins.deepshap import method as deepshap
from attribution_bench_plugins.deepshap.explainer import prepare
from attribution_bench_plugins.deepshap.references import shuffled_references
from attribution_bench_plugins.deepshap.torch_forward import TorchForward

LENGTH = 10


class Small(nn.Module):
    """(N, 4, 10) and an optional (N, 2) to profile (N, 3) and count (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(4, 6, 3, padding=1), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.MaxPool1d(2), nn.Flatten()
        )
        self.gate = nn.Linear(2, 30)
        self.profile = nn.Linear(30, 3)
        self.count = nn.Linear(30, 1)

    def forward(self, x: torch.Tensor, extra: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        hidden = self.body(x)
        if extra is not None:
            hidden = hidden * self.gate(extra).sigmoid()
        return {"profile": self.profile(hidden).tanh(), "count": self.count(hidden)}


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Small().double()


def test_every_output_at_once_equals_one_at_a_time(model: nn.Module, sequences: Any) -> None:
    x = sequences(2, LENGTH)
    method = DeepSHAP(model, n_references=3)
    every = method.attribute(x, target="all")
    assert every.scores.shape == (2, 4, LENGTH, 4)
    assert every.convergence_delta is not None
    assert every.convergence_delta.shape == (2, 3, 4)
    for index in range(3):
        one = method.attribute(x, target=("profile", index))
        np.testing.assert_allclose(every.scores[..., index], one.scores, atol=1e-12)
    count = method.attribute(x, target="count")
    assert count.scores.shape == (2, 4, LENGTH, 1)
    np.testing.assert_allclose(every.scores[..., 3:], count.scores, atol=1e-12)


@pytest.mark.parametrize("reducer", ["logsumexp", lambda profile: profile.softmax(1)[:, 0]], ids=["named", "own"])
def test_a_nonlinear_reducer_follows_rules_too(model: nn.Module, sequences: Any, reducer: Any) -> None:
    result = DeepSHAP(model, n_references=3).attribute(sequences(2, LENGTH), target=("profile", reducer))
    assert result.convergence_delta is not None
    assert np.abs(result.convergence_delta).max() < 1e-12


def test_results_depend_on_neither_batch_size_nor_neighbours(model: nn.Module, sequences: Any) -> None:
    x = sequences(3, LENGTH)
    method = DeepSHAP(model, n_references=4)
    whole = method.attribute(x, target="count").scores
    for batch_size in (1, 6, 1000):
        other = method.attribute(x, target="count", batch_size=batch_size).scores
        np.testing.assert_allclose(other, whole, atol=1e-12)
    np.testing.assert_allclose(method.attribute(x[1:2], target="count").scores[0], whole[1], atol=1e-12)


def test_the_seed_decides(model: nn.Module, sequences: Any) -> None:
    x = sequences(2, LENGTH)
    first, again, other = (DeepSHAP(model, 3, seed).attribute(x, target="count").scores for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_no_call_takes_more_rows_than_the_batch_size(
    model: nn.Module, sequences: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    run = TorchForward.run

    def counted(self: TorchForward, x: torch.Tensor, *args: Any) -> Any:
        rows.append(2 * len(x))
        return run(self, x, *args)

    monkeypatch.setattr(TorchForward, "run", counted)
    DeepSHAP(model, n_references=3).attribute(sequences(3, LENGTH), target="count", batch_size=8)
    assert rows == [8, 8, 2]


def test_positions_are_a_part_of_the_whole(model: nn.Module, sequences: Any) -> None:
    x = sequences(2, LENGTH)
    method = DeepSHAP(model, n_references=2)
    whole = method.attribute(x, target="count").scores
    np.testing.assert_array_equal(method.attribute(x, target="count", positions=[7, 2]).scores, whole[:, :, [7, 2]])


def test_unknown_letters_score_nothing_and_stay_in_references(model: nn.Module) -> None:
    result = DeepSHAP(model, n_references=3).attribute(["ACGNTTGCAN"], target="count")
    assert not result.scores[:, :, [3, 9]].any()
    assert result.scores.any(axis=1).sum() == 8
    assert result.convergence_delta is not None
    assert np.abs(result.convergence_delta).max() < 1e-12


def test_given_baselines_equal_the_same_shuffles(model: nn.Module, sequences: Any) -> None:
    x = sequences(2, LENGTH)
    shuffled = DeepSHAP(model, n_references=3).attribute(x, target="count").scores
    given = shuffled_references(x, 3, 0)
    np.testing.assert_array_equal(DeepSHAP(model, baselines=given).attribute(x, target="count").scores, shuffled)
    shared = DeepSHAP(model, baselines=torch.tensor(given[0])).attribute(x, target="count").scores
    np.testing.assert_allclose(shared[0], shuffled[0], atol=1e-12)


def test_one_reference_will_do(model: nn.Module, sequences: Any) -> None:
    zeros = np.zeros((1, 4, LENGTH))
    result = DeepSHAP(model, baselines=zeros).attribute(sequences(1, LENGTH), target="count")
    assert result.convergence_delta is not None
    assert result.convergence_delta.shape == (1, 1, 1)
    told = result.metadata["options"]["baselines"]
    assert (told["shape"], told["sha256"]) == ([1, 4, 10], hashlib.sha256(zeros.tobytes()).hexdigest())


def test_further_inputs_are_held_constant(model: nn.Module, sequences: Any) -> None:
    x, extra = sequences(3, LENGTH), np.random.default_rng(0).normal(size=(3, 2))
    method = DeepSHAP(model, n_references=3)
    result = method.attribute(x, target="count", additional_forward_args=extra)
    assert result.convergence_delta is not None
    assert np.abs(result.convergence_delta).max() < 1e-12
    alone = method.attribute(x[2:], target="count", additional_forward_args=extra[2:])
    np.testing.assert_allclose(alone.scores[0], result.scores[2], atol=1e-12)


def test_weights_changed_between_calls_are_seen(model: nn.Module, sequences: Any) -> None:
    x = sequences(2, LENGTH)
    method = DeepSHAP(model, n_references=2)
    before = method.attribute(x, target="count").scores
    with torch.no_grad():
        model.get_parameter("count.weight").mul_(2)
    np.testing.assert_allclose(method.attribute(x, target="count").scores, 2 * before, atol=1e-12)
    model.count = nn.Linear(30, 1).double()
    replaced = method.attribute(x, target="count").scores
    np.testing.assert_allclose(replaced, DeepSHAP(model, 2).attribute(x, target="count").scores, atol=1e-12)


class Settled(nn.Module):
    """Reads settings of every kind, and counts its calls."""

    class Scale:
        k = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.first, self.leaky, self.second = nn.Conv1d(4, 3, 3), nn.LeakyReLU(0.1), nn.Linear(3, 1)
        self.factor, self.calls = 1.0, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        hidden: torch.Tensor = self.second(self.leaky(self.first(x) * self.factor * Settled.Scale.k).sum(2))
        return hidden


SETTINGS: dict[str, Callable[[Settled], object]] = {
    "slope": lambda m: setattr(m.leaky, "negative_slope", 0.9),
    "attribute": lambda m: setattr(m, "factor", 2.0),
    "class": lambda m: setattr(Settled.Scale, "k", 0.5),
    "hook": lambda m: m.first.register_forward_hook(lambda module, given, output: -output),
    "layer": lambda m: setattr(m, "leaky", nn.ReLU()),
}


def test_settings_changed_between_calls_are_seen(sequences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(Settled.Scale, "k", 1.0)
    model, x, made = Settled().double().eval(), sequences(2, LENGTH), []
    monkeypatch.setattr(deepshap, "prepare", lambda *args: made.append(args) or prepare(*args))
    method = DeepSHAP(model, n_references=2)
    before, again = (method.attribute(x).scores for _ in range(2))
    np.testing.assert_array_equal(before, again)
    assert len(made) == 1
    for number, (name, change) in enumerate(SETTINGS.items(), 2):
        change(model)
        after = method.attribute(x).scores
        assert len(made) == number, name
        anew = DeepSHAP(model, n_references=2)
        np.testing.assert_allclose(after, anew.attribute(x).scores, atol=1e-12)
        made.pop()
        assert np.abs(after - before).max() > 1e-3 * np.abs(before).max(), name
        before = after


def test_what_a_function_that_is_the_target_reads_may_change(sequences: Any) -> None:
    x, read = sequences(2, LENGTH), {"factor": 1.0}
    method = DeepSHAP(Settled().double().eval(), n_references=2)

    def target(output: torch.Tensor) -> torch.Tensor:
        return output[:, 0] * read["factor"]

    before = method.attribute(x, target=target).scores
    read["factor"] = 3.0
    np.testing.assert_allclose(method.attribute(x, target=target).scores, 3 * before, atol=1e-12)


def state(model: nn.Module) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for name, module in model.named_modules():
        parts[name] = (module.training, set(vars(module)))
        parts |= {f"{name} {hooks}": dict(vars(module)[hooks]) for hooks in vars(module) if hooks.endswith("hooks")}
    for name, parameter in model.named_parameters():
        parts[f"parameter {name}"] = (id(parameter), parameter.requires_grad, parameter.grad, parameter.sum().item())
    return parts


def test_the_model_is_left_as_it_was(model: nn.Module, sequences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model.train()
    model.get_parameter("count.weight").requires_grad_(False)
    model.body[0].register_forward_hook(lambda module, inputs, output: None)
    before = state(model)
    method = DeepSHAP(model, n_references=2)
    scores = method.attribute(sequences(2, LENGTH), target="count").scores
    assert state(model) == before

    def failing(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("in the middle of the way back")

    with monkeypatch.context() as context:
        context.setattr("torch.autograd.grad", failing)
        with pytest.raises(RuntimeError, match="in the middle of the way back"):
            method.attribute(sequences(2, LENGTH), target="count")
    assert state(model) == before
    np.testing.assert_array_equal(method.attribute(sequences(2, LENGTH), target="count").scores, scores)


def test_inputs_are_left_as_they_were(model: nn.Module, sequences: Any) -> None:
    x, baselines = torch.tensor(sequences(2, LENGTH)), torch.zeros(2, 4, LENGTH)
    DeepSHAP(model, baselines=baselines).attribute(x, target="count")
    assert not x.requires_grad
    assert not baselines.requires_grad


SIZES: dict[str, Callable[[torch.Tensor], int]] = {
    "x.shape[0]": lambda x: x.shape[0],
    "len(x)": len,
    "int(x.shape[0])": lambda x: int(x.shape[0]),
}
"""Ways to ask for the number of sequences."""


class Asking(nn.Module):
    """(N, 4, 10) and an optional (N, 2) to (N, 3); asks for the batch size in one of SIZES, and keeps a tensor."""

    def __init__(self, size: str) -> None:
        super().__init__()
        self.size = SIZES[size]
        self.body = nn.Sequential(nn.Conv1d(4, 6, 3, padding=1), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2))
        self.gate = nn.Linear(2, 30)
        self.head = nn.Linear(30, 3)
        self.last: torch.Tensor | None = None

    def forward(self, x: torch.Tensor, extra: torch.Tensor | None = None) -> torch.Tensor:
        self.last = hidden = self.body(x)
        hidden = hidden.reshape(self.size(x), -1)
        if extra is not None:
            hidden = hidden * self.gate(extra).sigmoid()
        return self.head(hidden).softmax(1).view(self.size(hidden), 3)


@pytest.mark.parametrize("with_extra", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_models_that_ask_python_for_the_batch_size_are_captured(size: str, with_extra: bool, sequences: Any) -> None:
    torch.manual_seed(0)
    model = Asking(size).double()
    same = Asking("x.shape[0]").double()
    same.load_state_dict(model.state_dict())
    x, references = sequences(2, LENGTH), sequences(3, LENGTH, seed=1)
    extra = np.random.default_rng(0).normal(size=(2, 2)) if with_extra else None
    before = state(model)
    result = DeepSHAP(model, baselines=references).attribute(x, target="all", additional_forward_args=extra)
    assert state(model) == before
    assert type(model.last) is torch.Tensor

    model.eval()
    further = () if extra is None else (torch.tensor(extra),)
    with torch.no_grad():
        outputs = model(torch.tensor(x).double(), *further)
        compared = [
            model(torch.tensor(reference[None]).double().expand(2, -1, -1), *further) for reference in references
        ]
    expected = outputs - torch.stack(compared).mean(0)
    np.testing.assert_allclose(result.observed.sum(axis=1), expected.numpy(), rtol=0, atol=1e-9)

    written = DeepSHAP(same, baselines=references).attribute(x, target="all", additional_forward_args=extra)
    np.testing.assert_allclose(result.scores, written.scores, rtol=0, atol=1e-12)


def test_weights_changed_between_calls_are_seen_in_a_model_that_asks_for_the_batch_size(sequences: Any) -> None:
    model, x = Asking("len(x)").double(), sequences(2, LENGTH)
    method = DeepSHAP(model, n_references=2)
    before = method.attribute(x, target=0).scores
    with torch.no_grad():
        model.head.weight.zero_()
    assert np.abs(before).max() > 1e-6
    assert not method.attribute(x, target=0).scores.any()


@pytest.mark.parametrize("size", SIZES)
def test_the_warning_names_the_layer_however_the_model_was_captured(size: str, sequences: Any) -> None:
    class Highest(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 5 * nn.functional.one_hot(x.argmax(1), 6).transpose(1, 2).to(x.dtype)

    torch.manual_seed(0)
    model = Asking(size).double()
    model.body[2] = Highest()
    with pytest.warns(ConvergenceWarning, match=r"argmax \(layer body\.2\)"):
        DeepSHAP(model, baselines=np.zeros((1, 4, LENGTH))).attribute(sequences(2, LENGTH), target=0)


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum((1, 2)) if x.sum() > 0 else x.mean((1, 2))


class Looping(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([row.sum() for row in x])


class Renormalising(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.conv.weight.data.renorm_(2, 0, 100)
        return self.conv(x).amax(2)


@pytest.mark.parametrize(
    ("uncapturable", "reason"),
    [
        (Branching, "its code branches on the values of a tensor"),
        (Looping, "its code fixes the number of sequences"),
        (Renormalising, r"its code uses a tensor that tracing does not follow, as `weight\.data` is"),
    ],
)
def test_a_model_that_cannot_be_captured_is_refused(
    uncapturable: type[nn.Module], reason: str, sequences: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    model = uncapturable()
    before = state(model)
    with pytest.raises(UnsupportedError, match=f"cannot capture the model: {reason}.*use another method"):
        DeepSHAP(model).attribute(sequences(1, LENGTH), target="all")
    assert state(model) == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_references": 0}, "n_references must be a whole number of at least 1, not 0"),
        ({"n_references": 2.5}, "n_references must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        (
            {"baselines": np.zeros((4, LENGTH))},
            r"baselines must be .*, not float64 of shape \(4, 10\)",
        ),
        ({"baselines": np.full((1, 4, 2), "A")}, "baselines must be numbers"),
        ({"rules": {"softmax": "rescale"}}, "rules must map names of operations to functions"),
    ],
)
def test_options_that_cannot_be_used(model: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        DeepSHAP(model, **options)


@pytest.mark.parametrize("shape", [(1, 4, 9), (1, 5, LENGTH), (3, 1, 4, LENGTH)])
def test_baselines_that_do_not_fit(model: nn.Module, shape: tuple[int, ...], sequences: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"baselines must be \(references, 4, 10\) or \(2, references, 4, 10\)"):
        DeepSHAP(model, baselines=np.zeros(shape)).attribute(sequences(2, LENGTH), target="count")


def test_loading_the_class_imports_no_framework() -> None:
    code = (
        "import sys; from attribution_bench_plugins.deepshap import DeepSHAP; "
        "print(sorted({'torch', 'tensorflow', 'keras', 'captum', 'shap'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


class Number(nn.Module):
    """Takes a number out of a tensor: it holds for the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(4, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(60, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        letters = x.sum() / (x.shape[0] * x.shape[2])
        value: torch.Tensor = self.body(x) * float(letters.item())
        return value


class Detached(nn.Module):
    """A value that no gradient flows through, added and taken away again."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(4, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(60, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = self.body(x).detach()
        return value


def test_what_is_withheld_from_the_gradient_belongs_to_the_difference(sequences: Any) -> None:
    model = Detached().double()
    ours = DeepSHAP(model, n_references=2).attribute(sequences(2, LENGTH), target=0).scores
    np.testing.assert_array_equal(
        ours, DeepSHAP(model.body, n_references=2).attribute(sequences(2, LENGTH), target=0).scores
    )
    assert np.abs(ours).max() > 0


class Constant(Number):
    """Does not depend on the sequence."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(torch.zeros_like(x))


@pytest.mark.parametrize(
    ("module", "message"),
    [(Number, "which takes a number out of a tensor"), (Constant, "through differentiable operations")],
)
def test_code_that_multipliers_cannot_follow_is_refused(module: type[nn.Module], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        DeepSHAP(module().eval(), n_references=2).attribute(["ACGTACGTAC", "TTGACCAGTA", "GGGACCAGTA"], target=0)


def test_references_that_equal_their_sequence_are_counted(model: nn.Module) -> None:
    with pytest.warns(ReferenceWarning, match=r"2 of 4 references .* equal their sequence \(1 of 2 sequences\)"):
        result = DeepSHAP(model, n_references=2).attribute(["AAAAAAAAAA", "ACGTTGCATC"], target="count")
    assert result.metadata["equal_references"] == 2


def test_scores_much_larger_than_what_they_explain_are_said() -> None:
    class Cancelling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(
                torch.tensor([1000.0, -999.0], dtype=torch.float64).repeat_interleave(LENGTH // 2)
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x[:, 0] * self.weight).sum(1, keepdim=True)

    every_a, every_c = (np.tile(np.eye(4)[letter][:, None], LENGTH) for letter in (0, 1))
    with pytest.warns(ConvergenceWarning, match=r"add up to 2e\+03 times the difference"):
        result = DeepSHAP(Cancelling(), baselines=every_c[None]).attribute(every_a[None])
    assert result.metadata["absolute_over_difference"] == pytest.approx(1999)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(model: nn.Module, dtype: torch.dtype, sequences: Any) -> None:
    x = sequences(2, LENGTH)
    half = model.to(dtype)
    ours = DeepSHAP(half, n_references=3).attribute(x, target="count")
    assert next(half.parameters()).dtype == dtype
    single = DeepSHAP(model.float(), n_references=3).attribute(x, target="count")
    np.testing.assert_array_equal(ours.scores, single.scores)


def test_multipliers_are_what_scores_are_made_of(model: nn.Module, sequences: Any) -> None:
    x = sequences(2, LENGTH)
    method = DeepSHAP(model, n_references=3)
    found = method.multipliers(x, target="profile")
    assert found.multipliers.shape == (2, 3, 4, LENGTH, 3)
    result = method.attribute(x, target="profile")
    np.testing.assert_allclose(found.hypothetical.mean(axis=1), result.scores, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.convergence_delta, result.convergence_delta)
    explained = found.contributions.sum(axis=(2, 3))
    np.testing.assert_allclose(explained.mean(axis=1), result.observed.sum(axis=1), rtol=0, atol=1e-12)
