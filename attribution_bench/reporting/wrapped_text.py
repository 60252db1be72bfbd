"""Text on as many lines as a width takes."""

import textwrap

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

LINE_HEIGHT = 1.25
"""Distance of two lines, in sizes of the font."""


def wrapped(text: str, inches: float, points: float) -> str:
    """Return text broken into lines of a width in inches at a size of the font; words longer than a line are cut."""
    if not text.strip():
        return ""
    width = text_to_path.get_text_width_height_descent(text, FontProperties(size=points), False)[0]
    if width <= 72 * inches:
        return text
    # Letters differ in width: a line of wide ones has some room left.
    columns = max(4, int(0.95 * 72 * inches / (width / len(text))))
    return "\n".join(textwrap.wrap(text, columns, break_on_hyphens=False))


def inches_of(text: str, points: float) -> float:
    """Return the height of lines of text; 0 of none."""
    return LINE_HEIGHT * points / 72 * len(text.splitlines())
