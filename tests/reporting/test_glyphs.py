"""Outlines of letters and their placements."""

import string

import numpy as np
import pytest
from matplotlib.path import Path

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.glyphs import CELL_WIDTH, outline, place


@pytest.mark.parametrize("letter", string.ascii_letters + "*-Ω")
def test_an_outline_fills_the_unit_square(letter: str) -> None:
    shape = outline(letter)
    box = Path(shape.vertices, shape.codes).get_extents()
    assert (box.y0, box.y1) == pytest.approx((0, 1))
    assert (box.x0 + box.x1) / 2 == pytest.approx(0.5)
    assert 0 < box.width <= 1 + 1e-9


def test_narrow_letters_are_not_stretched_to_slabs() -> None:
    widths = {letter: np.ptp(outline(letter).vertices[:, 0]) for letter in "EIAW"}
    assert widths["I"] < 0.5
    assert widths["E"] == widths["A"] == widths["W"] == pytest.approx(1)


def test_an_outline_is_made_once_and_cannot_be_changed() -> None:
    assert outline("A") is outline("A")
    with pytest.raises(ValueError, match="read-only"):
        outline("A").vertices[0] = 7


def test_placements_follow_each_other_in_one_path() -> None:
    centres, floors, ceilings = np.array([3.0, 8.0]), np.array([0.0, -2.0]), np.array([4.0, -1.0])
    path = place("R", centres, floors, ceilings, np.array([False, True]))
    upright, hanging = np.split(path.vertices, 2)
    assert path.codes is not None
    assert path.codes.tolist() == outline("R").codes.tolist() * 2
    assert np.allclose(upright[:, 0] - 3, hanging[:, 0] - 8)
    # Head down is mirrored, not turned: what is far from the floor above is far from the ceiling below.
    assert np.allclose(upright[:, 1] / 4, -1 - hanging[:, 1])
    for vertices, centre, floor, ceiling in zip((upright, hanging), centres, floors, ceilings, strict=True):
        box = Path(vertices, outline("R").codes).get_extents()
        assert (box.x0, box.x1) == pytest.approx((centre - CELL_WIDTH / 2, centre + CELL_WIDTH / 2))
        assert (box.y0, box.y1) == pytest.approx((floor, ceiling))


@pytest.mark.parametrize(("letter", "message"), [(" ", "leaves no ink"), ("\U00013000", "has no letter")])
def test_letters_that_cannot_be_drawn(letter: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        outline(letter)
