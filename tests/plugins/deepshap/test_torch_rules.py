"""Rules on networks small enough to work out by hand, on one network an operation."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from attribution_bench.errors import ConvergenceWarning
from attribution_bench_plugins.deepshap import DeepSHAP

A, C, G, T = np.eye(4)
LENGTH = 12


class Function(nn.Module):
    """A function of weighted letters (N, L), or of the channels that a convolution makes of the sequence."""

    def __init__(self, function: Any, convolution: nn.Conv1d | None = None, weights: Any = None) -> None:
        super().__init__()
        self.function = function
        self.convolution = convolution
        if weights is not None:
            self.weights = nn.Parameter(torch.tensor(weights, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        if self.convolution is None:
            return self.function(torch.einsum("nal,a->nl", x, self.weights))
        hidden = self.function(self.convolution(x)).flatten(1)
        weights = torch.linspace(-1, 2, hidden.shape[1], dtype=x.dtype)
        return (hidden * weights).sum(1)


def one_hot(*letters: Any) -> np.ndarray:
    return np.stack(letters, axis=1)[None]


def hand_worked(function: Any, weights: list[float], x: Any, reference: Any) -> np.ndarray:
    model = Function(function, weights=weights).double()
    return DeepSHAP(model, baselines=one_hot(*reference)).attribute(one_hot(*x)).scores[0]


def test_relu_takes_the_ratio_of_differences() -> None:
    # A gives 2 - 1 = 1 and ReLU 1; C gives -2 - 1 = -3 and ReLU 0: the multiplier is (1 - 0) / (1 - -3) = 1/4.
    scores = hand_worked(lambda z: (z.sum(1) - 1).relu(), [2, -2, 6, 0], [A], [C])
    np.testing.assert_allclose(scores[:, 0], np.array([2 + 2, -2 + 2, 6 + 2, 0 + 2]) / 4)


@pytest.mark.parametrize(
    ("x", "reference", "multipliers"),
    [
        # Values 3, 0 against 0, 1: the maximum rises from 1 to 3, due to the first element, which rose by 3.
        ([A, T], [T, C], [2 / 3, 0]),
        # The reverse: the maximum falls from 3 to 1, due to the first element, which fell by 3.
        ([T, C], [A, T], [2 / 3, 0]),
        # 3, 0 against 0, 5: the maximum falls from 5 to 3, due to the second element, which fell by 5.
        ([A, T], [T, G], [0, 2 / 5]),
        # 3, 1 against 3, 0: the maximum stays; the first element, which stays too, keeps its gradient.
        ([A, C], [A, T], [1, 0]),
    ],
)
@pytest.mark.parametrize(
    "maximum",
    [
        lambda z: functional.max_pool1d(z[:, None], 2).flatten(1)[:, 0],
        lambda z: z.amax(1),
        lambda z: z.max(dim=1).values,
    ],
)
def test_maximum_of_two(x: Any, reference: Any, multipliers: Any, maximum: Any) -> None:
    weights = np.array([3, 1, 5, 0])
    scores = hand_worked(maximum, weights.tolist(), x, reference)
    base = weights @ one_hot(*reference)[0]
    np.testing.assert_allclose(scores, (weights[:, None] - base) * np.array(multipliers), atol=1e-12)


def test_product_shares_between_its_factors() -> None:
    # 3 * 1 against 0 * 5: each factor's multiplier is the other's mean, (1 + 5) / 2 and (3 + 0) / 2.
    weights = np.array([3, 1, 5, 0])
    scores = hand_worked(lambda z: z[:, 0] * z[:, 1], weights.tolist(), [A, C], [T, G])
    np.testing.assert_allclose(scores[:, 0], (weights - 0) * 3)
    np.testing.assert_allclose(scores[:, 1], (weights - 5) * 1.5)


def attend(h: Tensor) -> Tensor:
    h = h.transpose(1, 2)
    return functional.scaled_dot_product_attention(h, 2 * h, h + 1)


OPERATIONS = {
    "elu": functional.elu,
    "leaky_relu": functional.leaky_relu,
    "prelu": lambda h: functional.prelu(h, torch.tensor([0.2], dtype=h.dtype)),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": functional.softplus,
    "gelu": functional.gelu,
    "gelu_tanh": lambda h: functional.gelu(h, approximate="tanh"),
    "silu": functional.silu,
    "mish": functional.mish,
    "relu6": lambda h: functional.relu6(h + 3),
    "exp": torch.exp,
    "log": lambda h: torch.log(h.exp() + 1),
    "power": lambda h: h**3,
    "two_to_the": lambda h: 2**h,
    "squared": torch.square,
    "absolute": torch.abs,
    "clamp": lambda h: h.clamp(-0.3, 0.4),
    "division": lambda h: h / (1 + h.exp()),
    "division_of_a_constant": lambda h: 2 / (1 + h.exp()),
    "gate": lambda h: h[:, :3] * h[:, 3:].sigmoid(),
    "glu": lambda h: functional.glu(h, 1),
    "maximum": lambda h: torch.maximum(h[:, :3], h[:, 3:]),
    "minimum": lambda h: torch.minimum(h, 0.1 * torch.ones_like(h)),
    "max_pool": lambda h: functional.max_pool1d(h, 3),
    "max_pool_overlapping": lambda h: functional.max_pool1d(h, 3, stride=1),
    "max_pool_padded": lambda h: functional.max_pool1d(h, 4, stride=3, padding=2, ceil_mode=True),
    "max_pool_dilated": lambda h: functional.max_pool1d(h, 2, dilation=3),
    "max_pool_2d": lambda h: functional.max_pool2d(h[:, None], (2, 3)),
    "adaptive_max_pool": lambda h: functional.adaptive_max_pool1d(h, 5),
    "global_max": lambda h: h.amax(-1),
    "relu_then_max_pool": lambda h: functional.max_pool1d(h.relu(), 2),
    "softmax": lambda h: h.softmax(-1),
    "softmax_times_logits": lambda h: (h.softmax(-1) * h).sum(-1),
    "log_of_repeated_sum": lambda h: h.exp().sum(1, keepdim=True).expand(-1, 6, -1).log(),
    "log_of_sum_repeated_anew": lambda h: (1 + h.exp().sum((1, 2)))[:, None, None].expand(-1, 6, 2).log(),
    "log_softmax": lambda h: h.log_softmax(1),
    "logsumexp": lambda h: h.logsumexp((1, 2))[:, None],
    "layer_norm": lambda h: functional.layer_norm(h, (LENGTH,)),
    "group_norm": lambda h: functional.group_norm(h, 2, torch.linspace(1, 2, 6, dtype=h.dtype)),
    "rms_norm": lambda h: functional.rms_norm(h, (LENGTH,)),
    "attention": attend,
    "attention_written_out": lambda h: (h.transpose(1, 2) @ h).softmax(-1) @ h.transpose(1, 2),
    "einsum": lambda h: torch.einsum("ncl,ncm->nlm", h, h),
    "batch_folded": lambda h: h.transpose(1, 2).reshape(-1, 6).tanh().reshape(-1, LENGTH, 6),
    "median": lambda h: h.median(1).values,
    "bilinear": lambda h: functional.bilinear(
        h.transpose(1, 2), h.transpose(1, 2).flip(1), torch.ones(2, 6, 6, dtype=h.dtype)
    ),
    "assigned": lambda h: h.masked_fill(h < 0, 0.5),
    "instance_norm": functional.instance_norm,
    "deviation": lambda h: h.std(1),
    "cosine": lambda h: functional.cosine_similarity(h, h.flip(1)),
    "rrelu": lambda h: functional.rrelu(h),
    "normal_quantile": lambda h: torch.atan2(h.exp(), 1 + h.flip(1).exp()),
    "log_add_exp": lambda h: torch.logaddexp(h, h.flip(1)),
    "masks_of_one": lambda h: (((h > 0) & (h < 1)) | (h < -0.5)).to(h) * h,
    "masks_of_two": lambda h: ((h > 0) & (h.flip(1) < 0.5)).to(h) * h,
    "maximum_of_numbers": lambda h: torch.fmax(h, h.flip(1)) - torch.fmin(h, h.flip(2)),
    "strands_chunked": lambda h: torch.mul(*torch.cat([h, h.flip(1, 2)]).tanh().chunk(2)),
    "strands_split": lambda h: torch.maximum(*torch.cat([h, h.flip(1, 2)]).split(h.shape[0])),
    "spectrum": lambda h: torch.fft.rfft(h).real.square(),
    "spectral_product": lambda h: torch.fft.irfft(torch.fft.rfft(h) * torch.fft.rfft(h.flip(1)), LENGTH),
    "linear_only": lambda h: torch.cat([h.flip(-1), functional.avg_pool1d(h, 3)], -1).cumsum(-1)[..., 2:] - 1,
}


def operation_model(function: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Function(function, nn.Conv1d(4, 6, 3, padding=1)).double()


class EveryOperation(nn.Module):
    """One output an operation, on the channels of one convolution: one capture serves them all."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(4, 6, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.convolution(x)
        results = {name: function(hidden).flatten(1) for name, function in OPERATIONS.items()}
        return {
            name: (result * torch.linspace(-1, 2, result.shape[1], dtype=x.dtype)).sum(1)
            for name, result in results.items()
        }


def test_every_operation_adds_up(sequences: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = EveryOperation().double()
    result = DeepSHAP(model, n_references=3).attribute(sequences(2, LENGTH), target="all")
    assert result.convergence_delta is not None
    error = np.abs(result.convergence_delta).max(axis=(0, 1)) / np.abs(result.observed.sum(1)).max(axis=0)
    assert error.shape == (len(OPERATIONS),)
    wrong = {name: value for name, value in zip(OPERATIONS, error, strict=True) if not value <= 1e-10}
    assert not wrong


def test_a_sigmoid_written_out_may_overflow(sequences: Any) -> None:
    model = operation_model(lambda h: 1 / (1 + torch.exp(-1e4 * h)))
    result = DeepSHAP(model, n_references=3).attribute(sequences(2, LENGTH))
    assert np.abs(result.convergence_delta).max() <= 1e-9
    assert np.isfinite(result.scores).all()


class BiLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(4, 6, 3)
        self.recurrent = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
        self.gated = nn.GRU(10, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.recurrent(self.convolution(x).transpose(1, 2))[0]
        return self.gated(hidden)[0].square().mean((1, 2))


def test_recurrent_layers_are_unrolled(sequences: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BiLSTM().double()
    result = DeepSHAP(model, n_references=2).attribute(sequences(2, LENGTH))
    assert np.abs(result.convergence_delta).max() <= 1e-10 * np.abs(result.observed.sum(1)).max()


@pytest.mark.parametrize("layer", [nn.TransformerEncoderLayer, nn.MultiheadAttention])
def test_attention_layers_of_pytorch(layer: Any, sequences: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = layer(6, 2, batch_first=True).double().eval()

    def attend(h: Tensor) -> Tensor:
        h = h.transpose(1, 2)
        return body(h, h, h)[0] if layer is nn.MultiheadAttention else body(h)

    result = DeepSHAP(operation_model(attend), n_references=2).attribute(sequences(2, LENGTH))
    assert np.abs(result.convergence_delta).max() <= 1e-10 * np.abs(result.observed.sum(1)).max()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda h: h.cummax(-1).values, "cummax"),
        (lambda h: h.mean(1, keepdim=True) + functional.one_hot(h.argmax(1), 6).to(h.dtype).transpose(1, 2), "argmax"),
        (lambda h: h * functional.one_hot(h.argmax(1), 6).to(h.dtype).transpose(1, 2), "argmax"),
    ],
)
def test_operations_that_no_rule_covers_are_named(function: Any, name: str, sequences: Any) -> None:
    with pytest.warns(ConvergenceWarning, match=f"without a DeepLIFT rule.*{name}"):
        DeepSHAP(operation_model(function), n_references=2).attribute(sequences(2, LENGTH))


@pytest.mark.parametrize(
    "function", [lambda h: h.exp().cumprod(-1), lambda h: h.logcumsumexp(-1), lambda h: h.tanh().prod(1)]
)
def test_smooth_operations_without_a_rule_are_integrated(function: Any, sequences: Any) -> None:
    result = DeepSHAP(operation_model(function), n_references=2).attribute(sequences(2, LENGTH))
    assert np.abs(result.convergence_delta).max() <= 1e-9 * np.abs(result.observed.sum(1)).max()


@pytest.mark.parametrize("function", [torch.sqrt, lambda h: h.pow(0.5), lambda h: functional.lp_pool1d(h, 4, 3)])
def test_infinite_slopes_where_nothing_differs_count_nothing(function: Any, sequences: Any) -> None:
    result = DeepSHAP(operation_model(lambda h: function(h.relu())), n_references=2).attribute(sequences(2, LENGTH))
    assert np.isfinite(result.scores).all()
    assert np.abs(result.convergence_delta).max() <= 1e-9 * np.abs(result.observed.sum(1)).max()


def beside(value: Tensor, places: Tensor) -> Tensor:
    return value + 0.1 * places.to(value.dtype)


PLACES = {
    "places of max": (lambda h: beside(h.amin(2), h.max(2).indices), lambda h: h.amin(2), "max"),
    "max and places": (lambda h: beside(*h.max(2)), lambda h: h.max(2).values, "max"),
    "min and places": (lambda h: beside(*h.min(1)), lambda h: h.min(1).values, "min"),
    "sorted and places": (lambda h: beside(*h.sort(-1)), lambda h: h.sort(-1).values, "sort"),
    "places of the largest": (lambda h: beside(h[..., :2], h.topk(2).indices), lambda h: h[..., :2], "topk"),
    "places of a median": (lambda h: beside(*h.median(1)), lambda h: h.median(1).values, "sort"),
    "places of a pool": (
        lambda h: beside(*functional.max_pool1d(h, 3, return_indices=True)),
        lambda h: functional.max_pool1d(h, 3),
        "max_pool1d_with_indices|max_pool2d_with_indices",
    ),
    "places times values": (lambda h: h[..., 0] * h.max(2).indices + h.sum(2), None, "max"),
}
"""Functions that compute with places, the same without, and the operation that finds them."""


@pytest.mark.parametrize("kind", PLACES)
def test_places_have_no_multiplier_and_are_named(kind: str, sequences: Any) -> None:
    function, without, name = PLACES[kind]
    x = sequences(2, LENGTH)
    with pytest.warns(ConvergenceWarning, match=f"without a DeepLIFT rule.*: ({name})$"):
        scores = DeepSHAP(operation_model(function), n_references=2).attribute(x).scores
    assert np.abs(scores).max() > 0
    if without is not None:
        expected = DeepSHAP(operation_model(without), n_references=2).attribute(x).scores
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)


MASKED = {
    "softmax": lambda h, mask, low: torch.where(mask, low, h.mean(1, keepdim=True)).softmax(-1) * h,
    "log softmax": lambda h, mask, low: h.masked_fill(mask, low).log_softmax(-1).masked_fill(mask, 0),
    "logsumexp": lambda h, mask, low: h.masked_fill(mask, low).logsumexp(-1),
    "added": lambda h, mask, low: (h + torch.zeros_like(h).masked_fill(mask, low)).softmax(-1) * h,
    "attention": lambda h, mask, low: (h.transpose(1, 2) @ h).masked_fill(mask, low).softmax(-1) @ h.transpose(1, 2),
    "by two masks": lambda h, mask, low: h.masked_fill(mask | (mask.flip(-1) & mask), low).softmax(-1),
    "assigned": lambda h, mask, low: torch.where(~mask, h, torch.full_like(h, low)).softmax(-1).square(),
    "maximum": lambda h, mask, low: h.masked_fill(mask, low).amax(-1),
    "maximum of sums": lambda h, mask, low: (h + torch.zeros_like(h).masked_fill(mask, low)).amax(-1),
    "maximum pool": lambda h, mask, low: functional.max_pool1d(h.masked_fill(mask, low), 3),
    "minimum": lambda h, mask, low: h.masked_fill(mask, -low).amin(-1),
    "largest": lambda h, mask, low: h.masked_fill(mask, low).topk(3).values,
}
"""Functions of hidden values, a mask of unknown letters that is computed from the sequence, and what is put there."""


class Masked(nn.Module):
    """One output for each function, on the channels of one convolution."""

    def __init__(self, low: float) -> None:
        super().__init__()
        self.low, self.convolution = low, nn.Conv1d(4, 6, 5, padding=2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden, mask = self.convolution(x), x.sum(1, keepdim=True) == 0
        results = {name: function(hidden, mask, self.low).flatten(1) for name, function in MASKED.items()}
        return {
            name: (result * torch.linspace(-1, 2, result.shape[1], dtype=x.dtype)).sum(1)
            for name, result in results.items()
        }


def test_masks_of_infinite_numbers_have_the_scores_of_large_ones() -> None:
    found = {}
    for low in (-np.inf, -1e9):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = Masked(low).double()
        found[low] = DeepSHAP(model, n_references=3).attribute(["ACGTNACCNTGA", "TTGACCAGTACA"], target="all")
    result, expected = found[-np.inf].scores, found[-1e9].scores
    size = np.abs(expected).max(axis=(0, 1, 2))
    assert (size > 1e-3).all()
    error = np.abs(result - expected).max(axis=(0, 1, 2)) / size
    wrong = {name: value for name, value in zip(MASKED, error, strict=True) if not value <= 1e-6}
    assert not wrong
    assert np.abs(found[-np.inf].convergence_delta).max() <= 1e-9


def test_an_infinite_mask_that_differs_is_said() -> None:
    model = operation_model(lambda h: h.masked_fill(h < 0, -torch.inf).softmax(-1))
    with pytest.warns(ConvergenceWarning) as caught:
        DeepSHAP(model, n_references=2).attribute(["ACGTTACCGTGA"])
    assert "some values of the model are infinite or no numbers" in str(caught[0].message)
