"""Letter outlines, made once, and any number of placements of one letter as a single path."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path as FilePath

import matplotlib
import numpy as np
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.path import Path
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError

FONT = "DejaVuSans-Bold.ttf"
"""Font that matplotlib ships, so that a logo looks the same everywhere."""
CELL_WIDTH = 0.95
"""Width of a letter as a share of the room between two positions; the rest is left free, half on either side."""
STRETCHED_LIKE = "E"
"""No letter is stretched sideways more than this one, so that an I does not become a slab."""


@dataclass(frozen=True, eq=False)
class Outline:
    """A letter in the unit square: it reaches from 0 to 1 upwards, and is centred sideways.

    ``vertices`` (V, 2) and ``codes`` (V,) are those of a `matplotlib.path.Path`.
    """

    vertices: NDArray[np.float64]
    codes: NDArray[np.uint8]


@cache
def outline(letter: str) -> Outline:
    """Return the outline of one letter.

    Raises
    ------
    InvalidInputError
        The font has no such letter, or it leaves no ink.
    """
    vertices, codes, width = _scaled(letter)
    share = min(1.0, width / _scaled(STRETCHED_LIKE)[2])
    vertices[:, 0] = 0.5 + share * (vertices[:, 0] - 0.5)
    for array in (vertices, codes):
        array.flags.writeable = False
    return Outline(vertices, codes)


def place(
    letter: str,
    centres: NDArray[np.floating],
    floors: NDArray[np.floating],
    ceilings: NDArray[np.floating],
    head_down: NDArray[np.bool_],
) -> Path:
    """Return K placements of a letter as one path of K consecutive outlines.

    Parameters
    ----------
    letter
        The letter.
    centres, floors, ceilings
        (K,) middle of each placement sideways, its lower and its upper end. A placement is `CELL_WIDTH` wide.
    head_down
        (K,) whether the letter hangs head down.

    Raises
    ------
    InvalidInputError
        As `outline` does.
    """
    shape = outline(letter)
    across, up = shape.vertices.T
    vertices = np.empty((len(centres), len(up), 2))
    vertices[..., 0] = centres[:, None] + CELL_WIDTH * (across - 0.5)
    vertices[..., 1] = floors[:, None] + (ceilings - floors)[:, None] * np.where(head_down[:, None], 1 - up, up)
    return Path(vertices.reshape(-1, 2), np.tile(shape.codes, len(centres)))


def place_bars(
    centres: NDArray[np.floating], floors: NDArray[np.floating], ceilings: NDArray[np.floating], width: float
) -> Path:
    """Return K bars of a width in positions as one path: their middles, lower and upper ends, each (K,)."""
    vertices = np.empty((len(centres), 5, 2))
    vertices[..., 0] = centres[:, None] + width * np.array([-0.5, 0.5, 0.5, -0.5, -0.5])
    vertices[..., 1] = np.stack([floors, floors, ceilings, ceilings, floors], axis=1)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return Path(vertices.reshape(-1, 2), np.tile(np.array(codes, dtype=np.uint8), len(centres)))


def _scaled(letter: str) -> tuple[NDArray[np.float64], NDArray[np.uint8], float]:
    """Return vertices and codes that fill the unit square, and the width that the letter has by nature."""
    file = FilePath(matplotlib.get_data_path(), "fonts", "ttf", FONT)
    if not get_font(file).get_char_index(ord(letter)):
        raise InvalidInputError(f"{FONT} has no letter {letter!r}, so it cannot stand in a logo")
    points, strokes = text_to_path.get_text_path(FontProperties(fname=file), letter)
    if not len(strokes):
        raise InvalidInputError(f"the letter {letter!r} leaves no ink, so it cannot stand in a logo")
    codes = np.array(strokes, dtype=np.uint8)
    box = Path(points, codes).get_extents()
    vertices = (np.array(points, dtype=np.float64) - box.min) / box.size
    # A path ignores the vertex of a closing stroke, but what measures paths may not: it goes where the stroke ends.
    begins = np.maximum.accumulate(np.where(codes == Path.MOVETO, np.arange(len(codes)), 0))
    closing = codes == Path.CLOSEPOLY
    vertices[closing] = vertices[begins[closing]]
    return vertices, codes, float(box.width)
