import numpy as np
import pytest

from attribution_bench.benchmark.parts import Division, spread
from attribution_bench.benchmark.results import Units

ISM = Division(Units(5, 10, 3), "positions", "sequences")
LOOP = Division(Units(5, 10, 3), "sequences", "outputs")


@pytest.mark.parametrize("of", [1, 2, 7, 100])
def test_spread_gives_distinct_ascending_indices_over_the_whole_range(of: int) -> None:
    for count in range(1, of + 1):
        indices = spread(count, of)
        assert len(indices) == count
        assert (np.diff(indices) > 0).all()
        assert indices[0] >= 0
        assert indices[-1] < of
        # Both ends are left out by the same amount, within the rounding.
        assert abs(int(indices[0]) - (of - 1 - int(indices[-1]))) <= 1
    assert list(spread(of, of)) == list(range(of))


@pytest.mark.parametrize(
    ("division", "steps", "part"),
    [
        (ISM, 0, Units(1, 1, 3)),
        (ISM, 4.9, Units(1, 4, 3)),
        (ISM, 10, Units(1, 10, 3)),
        (ISM, 19, Units(1, 10, 3)),
        (ISM, 20, Units(2, 10, 3)),
        (ISM, 1e9, Units(5, 10, 3)),
        (LOOP, 2, Units(2, 10, 1)),
        (LOOP, 5, Units(5, 10, 1)),
        (LOOP, 9, Units(5, 10, 1)),
        (LOOP, 15, Units(5, 10, 3)),
    ],
)
def test_a_part_grows_along_the_inner_axis_and_then_by_whole_ones(
    division: Division, steps: float, part: Units
) -> None:
    assert division.part(steps) == part
    assert division.steps_of(part) <= max(steps, 1)


def test_steps_count_both_axes() -> None:
    assert (ISM.steps, ISM.inner_steps) == (50, 10)
    assert (LOOP.steps, LOOP.inner_steps) == (15, 5)
