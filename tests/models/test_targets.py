"""Targets resolved against outputs, worked by hand."""

import numpy as np
import pytest
import torch

from attribution_bench.errors import TargetError
from attribution_bench.models.targets import OutputSpec, Selection, check_reduced, select
from attribution_bench.models.torch_model import select_tensor

SCALAR = (OutputSpec("output", ()),)
ONE = (OutputSpec("output", (1,)),)
MATRIX = (OutputSpec("output", (5, 2)),)
TWO = (OutputSpec("profile", (5, 2)), OutputSpec("count", (1,)))


@pytest.mark.parametrize(
    ("target", "outputs", "expected"),
    [
        (None, SCALAR, [Selection("output", 0, (), index=())]),
        (None, ONE, [Selection("output", 0, (), index=(0,))]),
        (0, ONE, [Selection("output", 0, (), index=(0,))]),
        (3, MATRIX, [Selection("output", 0, (2,), index=(3,))]),
        (-1, MATRIX, [Selection("output", 0, (2,), index=(4,))]),
        (np.int64(1), MATRIX, [Selection("output", 0, (2,), index=(1,))]),
        ((3, 1), MATRIX, [Selection("output", 0, (), index=(3, 1))]),
        ("sum", MATRIX, [Selection("output", 0, (), reducer="sum")]),
        ("output", MATRIX, [Selection("output", 0, (5, 2))]),
        (("output", "mean"), MATRIX, [Selection("output", 0, (), reducer="mean")]),
        (len, MATRIX, [Selection("output", 0, (), reducer=len)]),
        ("all", MATRIX, [Selection("output", 0, (5, 2))]),
        ("all", TWO, [Selection("profile", 0, (5, 2)), Selection("count", 1, (1,))]),
        ("count", TWO, [Selection("count", 1, (1,))]),
        (("profile", 2), TWO, [Selection("profile", 0, (2,), index=(2,))]),
        (("profile", (2, -1)), TWO, [Selection("profile", 0, (), index=(2, 1))]),
        (("profile", len), TWO, [Selection("profile", 0, (), reducer=len)]),
        # A name that is also a reducer's, or "all", means the output.
        ("sum", (OutputSpec("sum", (3,)),), [Selection("sum", 0, (3,))]),
        ("all", (OutputSpec("all", (3,)), OutputSpec("b", ())), [Selection("all", 0, (3,))]),
    ],
)
def test_selections(target, outputs, expected):
    assert list(select(target, outputs)) == expected


@pytest.mark.parametrize(
    ("target", "outputs", "message"),
    [
        (None, MATRIX, r"\(5, 2\); give target=an index, 'all', or one of sum, mean, logsumexp .*--target 0,0\)"),
        (None, TWO, r"open which output is meant.*'profile' \(5, 2\), 'count' \(1,\), or 'all' .*--target count:0\)"),
        (0, TWO, "leaves open which output"),
        ("sum", TWO, "leaves open which output"),
        ("counts", TWO, "unknown target 'counts'.*'count'"),
        (("counts", 0), TWO, "no output 'counts'.*'count'"),
        (5, MATRIX, r"index 5 is out of range for output 'output' of shape \(5, 2\)"),
        (-6, MATRIX, "out of range"),
        ((0, 2), MATRIX, "out of range"),
        ((0, 0, 0), MATRIX, "out of range"),
        (0, SCALAR, "out of range"),
        (("profile", "median"), TWO, "'median' is neither an index nor a reducer"),
        (1.5, MATRIX, "1.5 is neither an index nor a reducer"),
    ],
)
def test_targets_that_do_not_fit(target, outputs, message):
    with pytest.raises(TargetError, match=message):
        select(target, outputs)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("all", [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]),
        (1, [[2, 3], [6, 7]]),
        ((1, 0), [2, 6]),
        ("sum", [6, 22]),
        ("mean", [1.5, 5.5]),
        ("logsumexp", [3.4401897, 7.4401897]),
        (lambda value: value[:, 0, 1] * 2, [2, 10]),
    ],
)
def test_torch_values_by_hand(target, expected):
    value = torch.arange(8.0).reshape(2, 2, 2)
    (selection,) = select(target, [OutputSpec("output", (2, 2))])
    chosen = select_tensor(value, selection)
    torch.testing.assert_close(chosen, torch.tensor(expected, dtype=torch.float32))
    assert chosen.shape[1:] == selection.shape


@pytest.mark.parametrize("reducer", ["sum", "mean", "logsumexp"])
def test_reducers_of_an_output_without_axes(reducer):
    (selection,) = select(reducer, SCALAR)
    torch.testing.assert_close(select_tensor(torch.tensor([1.0, 2.0]), selection), torch.tensor([1.0, 2.0]))


def test_sizes():
    assert [output.size for output in (*SCALAR, *ONE, *MATRIX)] == [1, 1, 10]
    assert select(3, MATRIX)[0].size == 2


@pytest.mark.parametrize("reduced", [torch.zeros(2, 1), torch.zeros(()), torch.zeros(3), 4.0])
def test_reducers_that_give_no_scalar_a_sequence(reduced):
    with pytest.raises(TargetError, match=r"a tensor \(2,\) of values \(2, 5\), but gave"):
        check_reduced(reduced, torch.zeros(2, 5))
