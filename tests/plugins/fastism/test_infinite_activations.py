"""Infinite activations: windows have no number for the difference of two of them, and predictions are the model's."""

from collections.abc import Callable

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
from fastism_models import Custom
from parity import one_hot

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


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_the_models_own(name: str) -> None:
    module, x = model(MODELS[name]), one_hot(2, 4, LENGTH)
    method, standard = ab.get_method("fastism")(module, min_speedup=0), ab.get_method("standard_ism")(module)
    result, truth = (each.attribute(x, target="all").predictions for each in (method, standard))
    for output, values in truth.items():
        assert_same(result[output], values)
    positions = np.random.default_rng(0).permutation(LENGTH)
    mutations = [Mutation(i % 2, position, "ACGT"[i % 4]) for i, position in enumerate(positions.tolist())]
    listed, expected = (each.predict_mutations(x, mutations, target="all").predictions for each in (method, standard))
    for output, values in expected.items():
        assert_same(listed[output], values)


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
    assert sum(rows) <= 3 * LENGTH  # of one sequence


@torch.library.custom_op(NAME, mutates_args=())
def pair(x: Tensor) -> Tensor:
    """Return the sums of neighbours in (N, C, L)."""
    return x + F.pad(x[..., 1:], (0, 1))


@pair.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@pytest.mark.parametrize("lists", [False, True])
def test_numbers_beside_infinite_ones_are_checked(lists: bool) -> None:
    """A wrong rule is refused, although an output has infinite numbers, too."""
    module = model(lambda m, x: F.pad(pair(m.conv(x)), (0, 1), value=torch.inf))
    method = ab.get_method("fastism")(module, rules={NAME: Local(1)}, min_speedup=0)
    x, mutations = one_hot(1, 4, LENGTH), [Mutation(0, position, "N") for position in range(LENGTH)]
    with pytest.raises(SelfCheckError, match="first at layer 'pair"):
        method.predict_mutations(x, mutations, target="all") if lists else method.attribute(x, target="all")
