"""Colours of letters."""

import pytest
from logomaker.src.colors import get_color_dict
from matplotlib.colors import to_hex

from attribution_bench.reporting.letter_colours import CHEMISTRY, NUCLEOTIDES, OTHER, letter_colours
from attribution_bench.sequences.alphabet import DNA, PROTEIN, RNA


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
