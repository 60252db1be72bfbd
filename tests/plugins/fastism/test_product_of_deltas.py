"""Products of deltas: the same numbers without the channels that are zero in all rows."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench_plugins.fastism.convolution.algorithm import ConvolutionAlgorithm, TensorAlgorithm
from attribution_bench_plugins.fastism.ops.convolution import LinearConvolution
from attribution_bench_plugins.fastism.values import matrix_product as module
from attribution_bench_plugins.fastism.values.matrix_product import PROBED_ROWS, product_of_deltas


@pytest.fixture
def multiplied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Input channels of each product that is computed from here on, however small."""
    channels = list[int]()

    def product(x: Tensor, matrix: Tensor) -> Tensor:
        channels.append(x.shape[-1])
        return x @ matrix

    monkeypatch.setattr(module, "LEAST_MACS", 1)
    monkeypatch.setattr(module, "matrix_product", product)
    return channels


CHANNELS = 32
DELTAS = {
    "many channels of zeros": (range(3, 20), range(0), CHANNELS - 17),
    "few channels of zeros": (range(3, 6), range(0), CHANNELS),
    "no channel of zeros": (range(0), range(0), CHANNELS),
    "nothing but zeros": (range(CHANNELS), range(0), 0),
    "zeros in the first rows alone": (range(0), range(1, 30), CHANNELS),
    "some zeros in the first rows alone": (range(8, 20), range(0, 30), CHANNELS - 12),
}
"""Channels that are zero in all rows, channels that are in all but the last one, and channels that are multiplied."""


@pytest.mark.parametrize("case", DELTAS)
@pytest.mark.parametrize("shape", [(40,), (2, 5, 3, 2)])
def test_deltas_are_multiplied_without_channels_that_are_zero_in_all_rows(
    case: str, shape: tuple[int, ...], multiplied: list[int]
) -> None:
    zero, nearly_zero, expected = DELTAS[case]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*shape, CHANNELS, dtype=torch.float64, generator=generator)
    rows = x.view(-1, CHANNELS)
    assert len(rows) > PROBED_ROWS
    rows[:-1, nearly_zero] = 0
    rows[:, zero] = -0.0
    matrix = torch.randn(CHANNELS, 7, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(product_of_deltas(x, matrix), x @ matrix, rtol=0, atol=1e-13)
    assert multiplied == [expected]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_channel_with_a_number_that_is_not_finite_is_multiplied(number: float, multiplied: list[int]) -> None:
    x, matrix = torch.zeros(2 * PROBED_ROWS, CHANNELS), torch.ones(CHANNELS, 3)
    x[-1, 5] = number
    torch.testing.assert_close(product_of_deltas(x, matrix), x @ matrix, equal_nan=True)
    assert multiplied == [1]


def test_windows_of_a_dense_network_without_units_that_stay_off(
    multiplied: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every mutation of a model whose units are off for good, or never, against full passes."""

    def tensors(available: Sequence[ConvolutionAlgorithm], source: int, width: int) -> ConvolutionAlgorithm:
        # Small dense layers could be computed by kernels, as large ones never are.
        return next(algorithm for algorithm in available if isinstance(algorithm, TensorAlgorithm))

    monkeypatch.setattr(LinearConvolution, "choose_algorithm", staticmethod(tensors))
    torch.manual_seed(0)
    features = [nn.Conv1d(4, 6, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten()]
    first, second = nn.Linear(6 * 20, 48), nn.Linear(48, 48)
    with torch.no_grad():
        first.bias[::2] -= 10
        second.bias[::3] += 10
    dense = [first, nn.ReLU(), nn.BatchNorm1d(48), second, nn.ReLU(), nn.Linear(48, 3)]
    model = nn.Sequential(*features, *dense).double().eval()
    one_hot = torch.eye(4)[torch.randint(4, (2, 40))].transpose(1, 2).double().numpy()
    found = ab.get_method("fastism")(model, min_speedup=0).attribute(one_hot, target="all")
    assert min(multiplied) <= 24
    expected = ab.get_method("standard_ism")(model).attribute(one_hot, target="all")
    for name, values in expected.predictions.items():
        assert abs(found.predictions[name] - values).max() <= 1e-10 * abs(values).max()
