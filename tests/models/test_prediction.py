"""Rows in batches: which rows each call of the model holds, what is selected of its outputs, and what is reported."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attribution_bench.errors import InvalidInputError
from attribution_bench.models import (
    LazyRows,
    SequenceModel,
    as_sequence_model,
    batches,
    predict,
    predict_batches,
    side_by_side,
)
from attribution_bench.models.targets import select

X = np.random.default_rng(0).random((7, 4, 5)).astype(np.float32)
SHIFT = np.random.default_rng(1).random((3, 2)).astype(np.float32)
SEQUENCES = np.array([2, 0, 0, 1, 2, 2, 1])
WEIGHT = torch.linspace(-1, 1, 4)


class Recorded(nn.Module):
    """A profile (rows, L) and a count (rows, 1), with a note of how it is called; `shift` (rows, 2) is added."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.gradients: list[bool] = []

    def forward(self, x: Tensor, shift: Tensor | None = None) -> dict[str, Tensor]:
        self.sizes.append(len(x))
        self.gradients.append(torch.is_grad_enabled())
        added = torch.zeros(len(x), 2) if shift is None else shift
        profile = (WEIGHT[:, None] * x).sum(1)
        return {"profile": profile + added[:, :1], "count": profile.sum(1, keepdim=True) + added[:, 1:]}


def by_hand(x: NDArray[Any], shift: NDArray[Any] | None = None) -> dict[str, NDArray[Any]]:
    profile = np.einsum("a,nal->nl", WEIGHT.numpy(), x)
    added = np.zeros((len(x), 2)) if shift is None else shift
    return {"profile": profile + added[:, :1], "count": profile.sum(axis=1, keepdims=True) + added[:, 1:]}


@pytest.fixture
def network() -> Recorded:
    return Recorded()


@pytest.fixture
def model(network: Recorded) -> SequenceModel:
    return as_sequence_model(network)


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(7, 3, [(0, 3), (3, 6), (6, 7)]), (6, 3, [(0, 3), (3, 6)]), (2, 5, [(0, 2)]), (0, 4, [])],
)
def test_batches_follow_each_other_and_end_where_the_rows_do(
    count: int, size: int, expected: list[tuple[int, int]]
) -> None:
    assert [(batch.start, batch.stop) for batch in batches(count, size)] == expected


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_every_output_is_predicted_whole_without_a_selection(
    model: SequenceModel, network: Recorded, size: int
) -> None:
    found = predict(model, X, batch_size=size)
    expected = by_hand(X)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)
        assert found[name].dtype == np.float32
    assert network.sizes == [batch.stop - batch.start for batch in batches(len(X), size)]


def test_selections_choose_an_index_of_one_output_and_a_reduction_of_another(model: SequenceModel) -> None:
    outputs = model.outputs(5)
    chosen = (*select(("profile", 3), outputs), *select(("count", "sum"), outputs))
    found = predict(model, X, chosen, batch_size=2)
    expected = by_hand(X)
    np.testing.assert_allclose(found["profile"], expected["profile"][:, 3], atol=1e-5)
    np.testing.assert_allclose(found["count"], expected["count"][:, 0], atol=1e-5)


def test_each_row_takes_the_further_input_of_its_own_sequence(model: SequenceModel) -> None:
    found = predict(model, X, extras=(SHIFT,), sequences=SEQUENCES, batch_size=3)
    for name, values in by_hand(X, SHIFT[SEQUENCES]).items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)
    found = predict(model, X[:3], extras=(SHIFT,), batch_size=2)
    for name, values in by_hand(X[:3], SHIFT).items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)


def test_lazy_rows_are_made_one_batch_at_a_time_as_the_predictions_are_taken(
    model: SequenceModel, network: Recorded
) -> None:
    made: list[tuple[int, int]] = []

    def make(rows: slice) -> NDArray[Any]:
        made.append((rows.start, rows.stop))
        return X[rows]

    running = predict_batches(model, LazyRows(len(X), make), batch_size=3)
    assert made == []
    batch, values = next(running)
    assert (made, network.sizes, batch) == ([(0, 3)], [3], slice(0, 3))
    np.testing.assert_allclose(values["profile"], by_hand(X[:3])["profile"], atol=1e-5)
    assert [batch for batch, _ in running] == [slice(3, 6), slice(6, 7)]
    assert made == [(0, 3), (3, 6), (6, 7)]


def test_progress_is_reported_once_the_caller_is_done_with_a_batch(model: SequenceModel) -> None:
    seen: list[Any] = []
    for batch, _ in predict_batches(model, X, batch_size=3, progress=lambda *done: seen.append(done)):
        seen.append(batch.start)
    assert seen == [0, (3, 7), 3, (6, 7), 6, (7, 7)]


def test_nothing_is_recorded_for_differentiation_and_the_caller_may_record_between_batches(
    model: SequenceModel, network: Recorded
) -> None:
    between = [torch.is_grad_enabled() for _ in predict_batches(model, X, batch_size=4)]
    assert network.gradients == [False, False]
    assert between == [True, True]


def test_predictions_own_their_memory(model: SequenceModel) -> None:
    (chosen,) = select(("profile", 0), model.outputs(5))
    found = predict(model, X, (chosen,), batch_size=100)["profile"]
    assert found.base is None
    assert found.flags.writeable


def test_one_output_stays_as_it_is_and_several_are_put_side_by_side() -> None:
    profile, count = np.arange(12.0).reshape(2, 3, 2), np.array([[7.0], [8.0]])
    assert side_by_side({"profile": profile}) is profile
    np.testing.assert_array_equal(
        side_by_side({"profile": profile, "count": count}), [[0, 1, 2, 3, 4, 5, 7], [6, 7, 8, 9, 10, 11, 8]]
    )


@pytest.mark.parametrize("size", [0, -2])
def test_a_batch_size_below_one_is_refused(model: SequenceModel, size: int) -> None:
    with pytest.raises(InvalidInputError, match=f"batch_size must be at least 1, not {size}"):
        predict(model, X, batch_size=size)


def test_no_rows_are_refused(model: SequenceModel, network: Recorded) -> None:
    with pytest.raises(InvalidInputError, match="there are no rows"):
        predict(model, X[:0], batch_size=2)
    assert network.sizes == []
