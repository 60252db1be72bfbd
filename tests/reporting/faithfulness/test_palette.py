"""Colours of the page: contrast of text and graphics in both themes, and what a deuteranope tells apart."""

from itertools import combinations

import pytest

from attribution_bench.reporting.faithfulness.palette import GRAPHICS, TEXT, palette, style
from attribution_bench.reporting.faithfulness.series import COLOURS
from attribution_bench.reporting.letter_colours import letter_colours
from attribution_bench.sequences.alphabet import DNA, PROTEIN
from colour_vision import contrast, seen_difference

THEMES = {"light": 0, "dark": 1}
SITE = 0.07
"""Opacity of the bands of sites behind letters, as in the style sheet."""


def _blended(colour: str, paper: str, opacity: float) -> str:
    pairs = [(int(colour[at : at + 2], 16), int(paper[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(over * opacity + under * (1 - opacity)):02x}" for over, under in pairs)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("alphabet", [DNA.letters, PROTEIN.letters])
def test_contrast_is_enough(theme: str, alphabet: str) -> None:
    colours = {name: pair[THEMES[theme]] for name, pair in palette(alphabet).items()}
    series = [name for name in colours if name.startswith("series-")]
    letters = [name for name in colours if name.startswith("letter-")]
    assert (len(series), len(letters)) == (len(COLOURS), len(alphabet))
    for text in TEXT:
        assert min(contrast(colours[text], colours[paper]) for paper in ("page", "raised", "best")) >= 4.5, text
    for name in (*series, "raises", "lowers"):
        assert contrast(colours[name], colours["page"]) >= 4.5, name
    for name in (*letters, *GRAPHICS):
        assert contrast(colours[name], colours["page"]) >= 3, name
    for letter in letters:
        for site in ("raises", "lowers"):
            assert contrast(colours[letter], _blended(colours[site], colours["page"], SITE)) >= 3, letter
    # The ends of the agreement's scale carry black or white figures; one of the two always has 4.58 of contrast.
    assert contrast(colours["least"], colours["most"]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_series_and_directions_are_told_apart(theme: str) -> None:
    colours = {name: pair[THEMES[theme]] for name, pair in palette(DNA.letters).items()}
    series = [colour for name, colour in colours.items() if name.startswith("series-")]
    assert min(seen_difference(one, other) for one, other in combinations(series, 2)) >= 8
    assert seen_difference(colours["raises"], colours["lowers"]) >= 40


def test_letters_have_the_colours_of_all_figures() -> None:
    light = [pair[0] for name, pair in palette(DNA.letters).items() if name.startswith("letter-")]
    assert light == list(letter_colours(DNA.letters).values())
    assert f"--letter-0: light-dark({light[0]}, " in style(DNA.letters)
