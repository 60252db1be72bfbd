"""Influence maps: against predictions mutation by mutation, and as figures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import attribution_bench as ab
from attribution_bench.attribution import AttributionResult
from attribution_bench.errors import InvalidInputError, UnsupportedError
from attribution_bench.influence import influence_map
from attribution_bench.reporting.influence_maps import influence_figure, read_influence_maps

LENGTH = 14


class TwoStrands(nn.Module):
    """(N, 4, L) -> ``{"profile": (N, 2, L - 4), "count": (N, 1)}``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv1d(4, 2, 5)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        profile = self.convolution(x)
        return {"profile": profile, "count": profile.exp().sum(dim=(1, 2))[:, None]}


@pytest.fixture(scope="module")
def one_hot() -> np.ndarray:
    encoded = np.eye(4, dtype=np.float32)[np.random.default_rng(1).integers(4, size=(2, LENGTH))]
    encoded[1, 3] = 0
    return encoded.transpose(0, 2, 1).copy()


@pytest.fixture(scope="module")
def result(one_hot: np.ndarray) -> AttributionResult:
    return ab.get_method("standard_ism")(TwoStrands()).attribute(one_hot, target="all", positions=slice(2, 9))


@pytest.mark.parametrize("statistic", ["largest", "mean"])
@pytest.mark.parametrize("sequence", [0, 1])
def test_each_cell_is_what_mutations_change(
    statistic: str, sequence: int, result: AttributionResult, one_hot: np.ndarray
) -> None:
    model, found = TwoStrands(), influence_map(result, sequence=sequence, statistic=statistic)
    assert found.shape == (LENGTH - 4, 7)
    for column, position in enumerate(range(2, 9)):
        changes = []
        for letter in range(4):
            mutated = one_hot[sequence].copy()
            mutated[:, position] = np.eye(4)[letter]
            if (mutated != one_hot[sequence]).any():
                with torch.no_grad():
                    both = model(torch.from_numpy(np.stack([mutated, one_hot[sequence]])))["profile"]
                changes.append((both[0] - both[1]).numpy())
        every = np.concatenate(changes)
        expected = every[np.abs(every).argmax(axis=0), np.arange(LENGTH - 4)]
        expected = np.mean(changes, axis=(0, 1)) if statistic == "mean" else expected
        np.testing.assert_allclose(found[:, column], expected, atol=1e-6)


def test_what_has_no_influence_map(result: AttributionResult, one_hot: np.ndarray) -> None:
    gradients = ab.get_method("gradient_x_input")(TwoStrands()).attribute(one_hot, target="count")
    count = ab.get_method("standard_ism")(TwoStrands()).attribute(one_hot, target="count")
    for wrong, settings, error, message in (
        (gradients, {}, UnsupportedError, "does not hold"),
        (count, {}, InvalidInputError, r"needs an output with positions; the result has count \(1,\)"),
        (result, {"output": "count"}, InvalidInputError, "needs an output with positions"),
        (result, {"output": "reads"}, InvalidInputError, r"no output 'reads'; its outputs are profile \(2, 10\)"),
        (result, {"statistic": "sum"}, InvalidInputError, "unknown statistic 'sum'"),
        (result, {"sequence": 2}, InvalidInputError, "index from 0 to 1, not 2"),
    ):
        with pytest.raises(error, match=message):
            influence_map(wrong, **settings)


def test_maps_of_files_stand_at_their_positions(tmp_path: Path, result: AttributionResult) -> None:
    path = result.save(tmp_path / "ism")
    one, maps = read_influence_maps([path], sequence="1", span=(3, 8), output="profile", statistic="mean")
    assert (one.start, one.stop, one.sequence) == (3, 8, 1)
    expected = influence_map(result, sequence=1, statistic="mean")[:, 1:6]
    np.testing.assert_array_equal(maps["Standard ISM"], expected)


def _image(figure: Figure, number: int = 0) -> np.ndarray:
    return np.asarray(figure.axes[number].images[0].get_array())


def test_cells_are_coloured_around_zero() -> None:
    values = np.random.default_rng(0).normal(size=(30, 20))
    figure = influence_figure({"a": values, "b": 3 * values}, start=100, highlights=[(105, 107)], width="one-column")
    figure.draw_without_rendering()
    np.testing.assert_array_equal(_image(figure), values)
    limit = np.abs(values).max()
    assert [figure.axes[n].images[0].get_clim() for n in (0, 1)] == [(-limit, limit), (-3 * limit, 3 * limit)]
    assert figure.axes[0].get_xlim() == (99.5, 119.5)
    assert figure.axes[0].images[0].get_extent() == [99.5, 119.5, -0.5, 29.5]
    assert " ".join(figure.axes[2].get_ylabel().split()) == "change of the prediction"
    shared = influence_figure({"a": values, "b": 3 * values}, scale="shared")
    assert len({axes.images[0].get_clim() for axes in shared.axes[:2]}) == 1
    assert influence_figure({"a": 0 * values}).axes[0].images[0].get_clim() == (-1, 1)


def test_larger_maps_keep_the_largest_of_neighbours() -> None:
    values = np.zeros((1001, 2003))
    values[821, 1543], values[822, 1543] = -2.0, 1.0
    figure = influence_figure({"a": values}, width="one-column")
    image, (left, right, low, high) = _image(figure), figure.axes[0].images[0].get_extent()
    assert image.size < values.size / 4
    assert np.count_nonzero(image) in (1, 2)
    row, column = np.argwhere(image == -2)[0]
    across, up = (right - left) / image.shape[1], (high - low) / image.shape[0]
    assert left + column * across <= 1543 <= left + (column + 1) * across
    assert low + row * up <= 821 <= low + (row + 1) * up
    assert figure.axes[0].get_xlim() == (-0.5, 2002.5)
    assert figure.axes[0].get_ylim() == (-0.5, 1000.5)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ({}, "no influence map"),
        ({"a": np.zeros(3)}, r"'a' must be \(output positions, positions\)"),
        ({"a": np.zeros((0, 3))}, "output positions"),
        ({"a": np.full((2, 2), np.inf)}, "finite real numbers"),
        ({"a": np.zeros((2, 2)), "b": np.zeros((2, 3))}, r"\[2, 3\] wide"),
        ({"a": np.zeros((1, 100_001))}, "100,000 positions"),
    ],
)
def test_maps_that_cannot_be_drawn(maps: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        influence_figure(maps)
