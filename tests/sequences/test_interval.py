"""Genomic intervals."""

import pytest

from attribution_bench.errors import SequenceError
from attribution_bench.sequences import Interval


def test_an_interval_says_where_and_how_long():
    assert str(Interval("chr1", 100, 250)) == "chr1:100-250"
    assert str(Interval("chr1", 100, 250, "-")) == "chr1:100-250(-)"
    assert len(Interval("chr1", 100, 250)) == 150


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("", 0, 5), "needs the name of its chromosome"),
        (("chr1", -1, 5), "0 <= start < end .*not -1 to 5"),
        (("chr1", 5, 5), "not 5 to 5"),
        (("chr1", 0, 5, "*"), r"one of \+, -, \., not '\*'"),
    ],
)
def test_bad_intervals(fields, message):
    with pytest.raises(SequenceError, match=message):
        Interval(*fields)
