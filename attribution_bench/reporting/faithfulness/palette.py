"""Colours of the page in both themes, from which its style, its script and the test of their contrast are made."""

from collections.abc import Mapping

from attribution_bench.reporting.faithfulness.series import COLOURS, ON_DARK
from attribution_bench.reporting.letter_colours import ON_DARK as LETTERS_ON_DARK
from attribution_bench.reporting.letter_colours import letter_colours

ROLES = {
    "page": ("#ffffff", "#14171c"),
    "raised": ("#f4f5f7", "#1e232b"),
    "ink": ("#1c1f24", "#e6e9ee"),
    "quiet": ("#5b6270", "#a3acba"),
    "line": ("#d9dce2", "#343b46"),
    "edge": ("#7d8492", "#78818f"),
    "link": ("#0b5cad", "#7cb8f5"),
    "best": ("#e2f1ea", "#173a2d"),
    "raises": ("#b2182b", "#ff765e"),
    "lowers": ("#2166ac", "#60b0f4"),
    "least": ("#eaf1f9", "#1f2c3d"),
    "most": ("#0b4f94", "#8cc4fa"),
}
"""Role -> (on light paper, on dark). ``least`` and ``most`` are the ends of the scale of one hue."""
TEXT = ("ink", "quiet", "link")
"""Roles in which text is written, on ``page`` and on ``raised``."""
GRAPHICS = ("raises", "lowers", "edge")
"""Roles in which lines and areas that carry meaning are drawn on ``page``."""


def palette(alphabet: str) -> Mapping[str, tuple[str, str]]:
    """Return every colour by its name in the style sheet, without the dashes: roles, series and letters."""
    series = {f"series-{index}": (colour, ON_DARK[index]) for index, colour in enumerate(COLOURS)}
    letters = {
        f"letter-{index}": (colour, LETTERS_ON_DARK.get(colour, colour))
        for index, colour in enumerate(letter_colours(alphabet).values())
    }
    return {**ROLES, **series, **letters}


def style(alphabet: str) -> str:
    """Return the style rule that declares the palette."""
    lines = (f"  --{name}: light-dark({light}, {dark});" for name, (light, dark) in palette(alphabet).items())
    return "\n".join((":root {", *lines, "}", ""))
