"""Methods as Captum's classes: Captum's own results and metrics are what they are compared with."""

from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, PerturbationAttribution
from captum.metrics import infidelity, infidelity_perturb_func_decorator, sensitivity_max
from torch import nn

import attribution_bench as ab
from attribution_bench.bridges.captum import CaptumAttribution
from attribution_bench.errors import InvalidInputError, OptionError, TargetError, UnknownNameError, UnsupportedError


class WithFurther(nn.Module):
    """A model that adds a further input (N, 2) to its prediction and scales by it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor, further: torch.Tensor) -> torch.Tensor:
        return self.model(x) * further[:, :1] + further[:, 1:]


class PositionsFirst(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x.transpose(1, 2))


@pytest.mark.parametrize("name", ab.list_methods())
def test_every_method_is_a_perturbation_attribution(name: str, curved: nn.Module, one_hot: np.ndarray) -> None:
    bridge = CaptumAttribution(curved, name)
    assert isinstance(bridge, PerturbationAttribution)
    assert bridge.forward_func is curved
    assert bridge.multiplies_by_inputs
    x = torch.from_numpy(one_hot)
    scores = bridge.attribute(x, target=1)
    expected = ab.get_method(name)(curved).attribute(one_hot, target=1)
    assert scores.dtype == x.dtype
    assert not scores.requires_grad
    np.testing.assert_array_equal(scores, expected.scores * one_hot)
    (hypothetical,) = CaptumAttribution(curved, name, multiply_by_inputs=False).attribute((x,), 1)
    np.testing.assert_array_equal(hypothetical, expected.scores)


def _of_captum(model: nn.Module, x: torch.Tensor, target: Any, further: Any = None) -> torch.Tensor:
    return InputXGradient(model).attribute(x.clone().requires_grad_(), target, further).detach()


@pytest.mark.parametrize(
    "target", [0, 2, torch.tensor(1), torch.tensor([0, 1, 2, 1, 0]), [2, 2, 0, 1, 1], [(1,), (0,), (2,), (2,), (0,)]]
)
def test_targets_are_those_of_captum(target: Any, curved: nn.Module, one_hot: np.ndarray) -> None:
    x = torch.from_numpy(one_hot)
    mine = CaptumAttribution(curved, "gradient_x_input").attribute(x, target)
    torch.testing.assert_close(mine, _of_captum(curved, x, target))


@pytest.mark.parametrize("rows", [[(1, 4)] * 5, [(1, 4), (0, 0), (1, 4), (2, 3), (0, 0)]], ids=["one", "several"])
def test_places_of_each_sequence_may_be_arrays_and_tensors(rows: list[tuple[int, int]], one_hot: np.ndarray) -> None:
    model = nn.Sequential(nn.Conv1d(4, 3, 3, padding=1), nn.Tanh()).eval()
    x = torch.from_numpy(one_hot)
    expected = _of_captum(model, x, rows)
    bridge = CaptumAttribution(model, "gradient_x_input")
    for target in (np.array(rows), torch.tensor(rows), [np.array(row) for row in rows], [list(row) for row in rows]):
        torch.testing.assert_close(bridge.attribute(x, target), expected)


@pytest.mark.parametrize("target", [np.array(1), np.array([1]), np.array([0, 1, 2, 1, 0]), list(np.arange(5) % 3)])
def test_arrays_are_taken_as_tensors_are(target: Any, curved: nn.Module, one_hot: np.ndarray) -> None:
    x = torch.from_numpy(one_hot)
    mine = CaptumAttribution(curved, "gradient_x_input").attribute(x, target)
    torch.testing.assert_close(mine, _of_captum(curved, x, torch.as_tensor(np.array(target))))


@pytest.mark.parametrize("target", [0, [0, 1, 2, 1, 0]])
def test_further_inputs_go_with_their_rows(target: Any, curved: nn.Module, one_hot: np.ndarray) -> None:
    model, x = WithFurther(curved), torch.from_numpy(one_hot)
    further = torch.arange(10.0).reshape(5, 2)
    mine = CaptumAttribution(model, "gradient_x_input").attribute(x, target, further, batch_size=2)
    torch.testing.assert_close(mine, _of_captum(model, x, target, further))


def test_axes_and_precision_are_those_of_the_inputs(curved: nn.Module, one_hot: np.ndarray) -> None:
    model = PositionsFirst(curved).double()
    x = torch.from_numpy(one_hot).double().transpose(1, 2)
    bridge = CaptumAttribution(ab.as_sequence_model(model, layout="NLA"), "gradient_x_input")
    mine = bridge.attribute(x, target=2)
    assert mine.dtype == torch.float64
    torch.testing.assert_close(mine, _of_captum(model, x, 2))


def _mutated(inputs: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Return sequences whose letters are moved by one row in the middle."""
    (x,) = (inputs,) if isinstance(inputs, torch.Tensor) else inputs
    x = x.clone()
    x[:, :, 10:14] = x[:, :, 10:14].roll(1, dims=1)
    return x


@pytest.mark.filterwarnings("ignore::attribution_bench.errors.FallbackWarning")
@pytest.mark.parametrize("name", ["fastism", "standard_ism", "gradient_x_input"])
def test_hypothetical_scores_of_a_linear_model_are_not_sensitive(
    name: str, linear: nn.Module, curved: nn.Module, one_hot: np.ndarray
) -> None:
    x = torch.from_numpy(one_hot[1:])
    settings: dict[str, Any] = {"perturb_func": _mutated, "n_perturb_samples": 2, "target": 1}
    explain = CaptumAttribution(linear, name, multiply_by_inputs=False).attribute
    assert sensitivity_max(explain, x, **settings).max() < 1e-4
    bridge = CaptumAttribution(curved, name)
    found = sensitivity_max(bridge.attribute, x, **settings)
    before, after = bridge.attribute(x, 1), bridge.attribute(_mutated(x), 1)
    torch.testing.assert_close(found, (before - after).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1))


def test_infidelity_of_a_linear_model(linear: nn.Module, one_hot: np.ndarray) -> None:
    x = torch.from_numpy(one_hot)

    @infidelity_perturb_func_decorator(multiply_by_inputs=True)
    def without_some(inputs: torch.Tensor) -> torch.Tensor:
        return inputs * (torch.arange(inputs.shape[2]) % 3 > 0)

    # What is left out of a sum is what Gradient x Input says of it.
    exact = CaptumAttribution(linear, "gradient_x_input").attribute(x, 1)
    assert infidelity(linear, without_some, x, exact, target=1).max() < 1e-8
    # Scores of ISM are centred over the letters: they miss the mean weight of each letter left out.
    centred = CaptumAttribution(linear, "standard_ism").attribute(x, 1)
    weights = linear[1].weight[1].detach().reshape(4, -1).mean(dim=0)
    missed = (weights * x.sum(dim=1))[:, ::3].sum(dim=1)
    torch.testing.assert_close(infidelity(linear, without_some, x, centred, target=1), missed**2)


def test_what_cannot_be_attributed(curved: nn.Module, one_hot: np.ndarray) -> None:
    x = torch.from_numpy(one_hot)
    bridge = CaptumAttribution(curved, "gradient_x_input")
    for inputs, settings, error, message in (
        (x + 0.01, {"target": 0}, InvalidInputError, "one-hot"),
        ((x, x), {"target": 0}, InvalidInputError, "one tensor of sequences, not 2 inputs"),
        (one_hot, {"target": 0}, InvalidInputError, "one tensor"),
        (x, {}, TargetError, r"shape \(3,\)"),
        (x, {"target": "all"}, TargetError, "one value"),
        (x, {"target": 3}, TargetError, "3"),
        (x, {"target": [0, 1]}, InvalidInputError, "5 entries, not 2"),
        (x, {"target": np.zeros((2, 1), int)}, InvalidInputError, "5 entries, not 2"),
        (x, {"target": [slice(0, 1)] * 5}, TargetError, r"an index or a tuple of indices, not slice\(0, 1"),
        (x, {"target": np.full(5, 0.5)}, TargetError, "0.5"),
        (x, {"target": [0, 1, 2, 1, 0], "additional_forward_args": 3}, InvalidInputError, r"one row a sequence \(5\)"),
    ):
        with pytest.raises(error, match=message):
            bridge.attribute(inputs, **settings)
    with pytest.raises(UnknownNameError, match="fastism"):
        CaptumAttribution(curved, "fast_ism")
    with pytest.raises(OptionError, match="gradient_x_input"):
        CaptumAttribution(curved, "gradient_x_input", steps=3)


def test_models_of_another_framework_are_refused() -> None:
    class Other(ab.SequenceModel):
        framework = "keras"

    with pytest.raises(UnsupportedError, match="of PyTorch, and this one is of keras"):
        CaptumAttribution(object.__new__(_concrete(Other)), "gradient_x_input")


def _concrete(kind: type) -> type:
    """Return a class whose abstract methods count as written, since none is called."""
    return type(kind.__name__, (kind,), {"__abstractmethods__": frozenset(), **dict.fromkeys(kind.__abstractmethods__)})
