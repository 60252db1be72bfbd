"""The bundled genome: its published length, its composition, its ends, and how windows tile it."""

from collections import Counter
from itertools import pairwise

import pytest

from attribution_bench.errors import SequenceError
from attribution_bench.sequences import lambda_windows


def test_genome_as_published():
    genome = lambda_windows(48502, count=1)
    assert genome.names == ("NC_001416.1:0-48502",)
    assert Counter(genome.strings[0]) == {"A": 12334, "C": 11362, "G": 12820, "T": 11986}
    # cos, the cohesive end of 12 bases, opens the left end; the cro start codon stands at 38041 (1-based).
    assert genome.strings[0].startswith("GGGCGGCGACCT")
    assert genome.strings[0][38040:38043] == "ATG"


@pytest.mark.parametrize(("length", "count"), [(1000, 100), (2000, 100), (997, 7), (48502, 3), (1, 2)])
def test_windows_tile_evenly(length, count):
    genome = lambda_windows(48502, count=1).strings[0]
    windows = lambda_windows(length, count)
    starts = [int(name.partition(":")[2].partition("-")[0]) for name in windows.names]
    assert len(windows) == len(starts) == count
    assert (starts[0], starts[-1]) == (0, 48502 - length)
    steps = {after - before for before, after in pairwise(starts)}
    assert max(steps) - min(steps) <= 1
    assert windows.strings == tuple(genome[start : start + length] for start in starts)


def test_default_and_digest():
    windows = lambda_windows(1000)
    assert windows.one_hot().shape == (100, 4, 1000)
    assert "NC_001416.1" in windows.source
    assert windows.sha256 == lambda_windows(1000).sha256 != lambda_windows(1001).sha256


@pytest.mark.parametrize(("length", "count", "message"), [(0, 1, "not 0"), (48503, 1, "48502"), (10, 0, "at least 1")])
def test_windows_that_do_not_exist(length, count, message):
    with pytest.raises(SequenceError, match=message):
        lambda_windows(length, count)
