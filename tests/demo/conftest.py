import numpy as np
import pytest

from attribution_bench.demo import demonstration_sequences, held_out_sequences
from attribution_bench.sequences.alphabet import DNA


@pytest.fixture(scope="session")
def demonstration():
    return demonstration_sequences(60)


@pytest.fixture(scope="session")
def held_out():
    """Not the sequences whose performance is stored."""
    return held_out_sequences(600, seed=99)


@pytest.fixture
def letters_of():
    def letters(sequences):
        return DNA.indices(sequences.strings).astype(np.int8)

    return letters
