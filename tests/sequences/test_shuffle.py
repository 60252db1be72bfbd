"""Dinucleotide shuffles against counts by hand and against every arrangement there is."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from attribution_bench import DNA, PROTEIN
from attribution_bench.errors import InvalidInputError
from attribution_bench.sequences import dinucleotide_shuffle


def shuffles(sequence, count, seed=0, alphabet=DNA):
    one_hot = alphabet.one_hot([sequence])[0]
    return alphabet.decode(dinucleotide_shuffle(one_hot, count, np.random.default_rng(seed)))


@given(st.text("ACGTN", min_size=1, max_size=80), st.integers(0, 2**32 - 1))
def test_keeps_pairs_ends_and_unknown_letters(sequence, seed):
    for shuffled in shuffles(sequence, 3, seed):
        assert Counter(pairwise(shuffled)) == Counter(pairwise(sequence))
        assert [i for i, letter in enumerate(shuffled) if letter == "N"] == [
            i for i, letter in enumerate(sequence) if letter == "N"
        ]
        for before, after in zip(sequence.split("N"), shuffled.split("N"), strict=True):
            assert Counter(pairwise(after)) == Counter(pairwise(before))
            assert (after[:1], after[-1:]) == (before[:1], before[-1:])


def test_every_arrangement_is_equally_likely():
    sequence = "ACGACTAGC"
    arrangements = {
        sequence[0] + "".join(letters)
        for letters in permutations(sequence[1:])
        if Counter(pairwise([sequence[0], *letters])) == Counter(pairwise(sequence))
    }
    drawn = Counter(shuffles(sequence, 100 * len(arrangements)))
    assert set(drawn) == arrangements
    assert chisquare([drawn[arrangement] for arrangement in arrangements]).pvalue > 1e-3


def test_protein_letters_that_lead_one_way_only():
    sequence = "MKVLAAGIVGLLLAQWERTYHPDSNCF" * 3
    for shuffled in shuffles(sequence, 5, alphabet=PROTEIN):
        assert Counter(pairwise(shuffled)) == Counter(pairwise(sequence))


def test_repeats_with_the_seed_and_keeps_the_type():
    one_hot = DNA.one_hot(["ACGTTGCAACGGTCATTACG" * 5])[0].astype(np.float64)
    first, second, other = (dinucleotide_shuffle(one_hot, 4, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.float64
    assert first.shape == (4, 4, 100)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert len({shuffle.tobytes() for shuffle in first}) == 4


def test_bad_input():
    generator = np.random.default_rng(0)
    with pytest.raises(InvalidInputError, match=r"shape \(1, 4, 2\)"):
        dinucleotide_shuffle(DNA.one_hot(["AC"]), 1, generator)
    with pytest.raises(InvalidInputError, match="at least 1, not 0"):
        dinucleotide_shuffle(DNA.one_hot(["AC"])[0], 0, generator)
