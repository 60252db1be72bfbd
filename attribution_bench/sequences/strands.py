"""Strands: the reverse complement of one-hot sequences."""

from typing import Any

from numpy.typing import NDArray

from attribution_bench.errors import UnsupportedError
from attribution_bench.sequences.alphabet import DNA, RNA, Alphabet


def check_strands(alphabet: Alphabet) -> None:
    """Raise UnsupportedError where the letters of an alphabet pair with none."""
    if alphabet not in (DNA, RNA):
        raise UnsupportedError(f"only DNA and RNA have two strands, not {alphabet.name}; score one strand")


def reverse_complement(values: NDArray[Any]) -> NDArray[Any]:
    """Return the other strand of (N, A, L, ...) one-hot sequences, or of scores by letter and position.

    The letters of DNA and RNA are in an order of which the reverse is that of their complements.
    """
    return values[:, ::-1, ::-1]
