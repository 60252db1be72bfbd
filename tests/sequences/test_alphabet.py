"""One-hot coding, both ways, and what is said of strings that cannot be coded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution_bench import DNA, PROTEIN, RNA
from attribution_bench.errors import SequenceError
from attribution_bench.sequences import ALPHABETS


def test_hand_worked_case():
    expected = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    one_hot = DNA.one_hot(["AcGtn"])
    assert one_hot.dtype == np.float32
    assert one_hot.tolist() == [expected]
    assert DNA.indices(["AcGtn"]).tolist() == [[0, 1, 2, 3, -1]]


@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
@given(st.data())
def test_round_trip(alphabet, data):
    length = data.draw(st.integers(1, 30))
    string = st.text(alphabet.letters + alphabet.unknown, min_size=length, max_size=length)
    strings = data.draw(st.lists(string, min_size=1, max_size=4))
    assert alphabet.decode(alphabet.one_hot(strings)) == strings
    assert alphabet.decode(alphabet.one_hot([s.lower() for s in strings])) == strings


def test_alphabets():
    assert (len(DNA), len(RNA), len(PROTEIN)) == (4, 4, 20)
    assert DNA.letters == "ACGT"
    assert RNA.letters == "ACGU"


@pytest.mark.parametrize(
    ("strings", "message"),
    [
        ([], "no sequences"),
        (["", ""], "are empty"),
        (["ACG", "ACGTA"], "lengths from 3 to 5"),
        (["ACGT", "ACUT"], "sequence 1 holds 'U' at position 2"),
        ("ACGT", "one string was given"),
        (["ACGT", b"ACGT"], "sequence 1 is of type bytes"),
        ([None], "sequence 0 is of type NoneType"),
        (["AC\u4e2dG"], "sequence 0 holds '\u4e2d' at position 2"),
    ],
)
def test_strings_that_cannot_be_coded(strings, message):
    with pytest.raises(SequenceError, match=message):
        DNA.one_hot(strings)
