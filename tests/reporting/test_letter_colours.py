"""Colours of letters."""

from itertools import combinations

import numpy as np
import pytest
from logomaker.src.colors import get_color_dict
from matplotlib.colors import to_hex

from attribution_bench.reporting.letter_colours import CHEMISTRY, NUCLEOTIDES, ON_DARK, OTHER, letter_colours
from attribution_bench.sequences.alphabet import DNA, PROTEIN, RNA
from colour_vision import contrast, seen_difference

PAPERS = {"light": "#ffffff", "dark": "#14171c"}


def test_amino_acids_are_coloured_as_by_logomaker() -> None:
    theirs = get_color_dict("chemistry", list(PROTEIN.letters))
    for letter, colour in letter_colours(PROTEIN.letters).items():
        assert colour.lower() == to_hex(theirs[letter])


@pytest.mark.parametrize("alphabet", [DNA.letters, RNA.letters, "ACGTN", "ACGTM", "TA"])
def test_nucleotides(alphabet: str) -> None:
    expected = {letter: NUCLEOTIDES.get(letter, OTHER) for letter in alphabet}
    assert letter_colours(alphabet) == expected


def test_other_letters_are_grey() -> None:
    assert letter_colours("ACX") == {"A": CHEMISTRY["A"], "C": CHEMISTRY["C"], "X": OTHER}
    assert letter_colours(PROTEIN.letters + "*")["*"] == OTHER


@pytest.mark.parametrize("alphabet", [DNA.letters, RNA.letters, PROTEIN.letters + "*"])
@pytest.mark.parametrize("paper", PAPERS.values())
def test_every_letter_shows_and_bars_are_told_apart_by_a_deuteranope(alphabet: str, paper: str) -> None:
    colours = set(letter_colours(alphabet).values())
    shown = {ON_DARK.get(colour, colour) for colour in colours} if paper == PAPERS["dark"] else colours
    assert min(contrast(colour, paper) for colour in shown) >= 3
    assert len(shown) == len(colours)
    assert min(seen_difference(one, other) for one, other in combinations(shown, 2)) >= 12


def test_the_eye_of_the_test_confuses_red_and_green() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert seen_difference("#2fbf6b", "#f25c6b") < 5 < 60 < seen_difference("#2fbf6b", "#f25c6b", np.eye(3))
    assert seen_difference("#0000ff", "#ffff00") > 100
