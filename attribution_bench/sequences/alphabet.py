"""Alphabets, and one-hot coding in the canonical layout (N, A, L)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import SequenceError


@dataclass(frozen=True)
class Alphabet:
    """Letters in the order of the one-hot rows, and the letters that stand for an unknown one."""

    name: str
    letters: str
    unknown: str

    def __len__(self) -> int:
        return len(self.letters)

    def indices(self, sequences: Sequence[str]) -> NDArray[np.int8]:
        """Index of each letter, in either case; an unknown letter is -1. Shape (N, L).

        Raises
        ------
        SequenceError
            No sequence, an empty one, lengths that differ, a letter outside the alphabet, or what is no text.
        """
        if isinstance(sequences, str):
            raise SequenceError("one string was given where several sequences are expected; give a list of strings")
        if not len(sequences):
            raise SequenceError("no sequences were given; give at least one")
        for row, sequence in enumerate(sequences):
            if not isinstance(sequence, str):
                raise SequenceError(f"sequence {row} is of type {type(sequence).__name__}; give a string")
        lengths = {len(sequence) for sequence in sequences}
        if len(lengths) > 1:
            raise SequenceError(
                f"sequences must have one length, but lengths from {min(lengths)} to {max(lengths)} were given; "
                "crop or pad them (N is an unknown letter)"
            )
        if lengths == {0}:
            raise SequenceError("the sequences are empty; give at least one letter")
        codes = np.stack(
            [np.frombuffer(sequence.encode("latin-1", "replace"), dtype=np.uint8) for sequence in sequences]
        )
        indices = self._table()[codes]
        wrong = np.argwhere(indices == -2)
        if len(wrong):
            row, position = (int(i) for i in wrong[0])
            raise SequenceError(
                f"sequence {row} holds {sequences[row][position]!r} at position {position}, which is not in the "
                f"{self.name} alphabet ({self.letters}, unknown: {self.unknown})"
            )
        return indices

    def one_hot(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """Encode sequences of one length as (N, A, L); an unknown letter is an all-zero column. Raises as `indices`."""
        indices = self.indices(sequences)
        letters = np.arange(len(self), dtype=np.int8)
        return np.asarray(indices[:, None, :] == letters[None, :, None], dtype=np.float32)

    def decode(self, one_hot: NDArray[np.floating]) -> list[str]:
        """Sequences from (N, A, L) one-hot columns; an all-zero column becomes the first unknown letter."""
        letters = np.frombuffer((self.letters + self.unknown[0]).encode(), dtype=np.uint8)
        indices = np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), len(self))
        return [letters[row].tobytes().decode() for row in indices]

    def _table(self) -> NDArray[np.int8]:
        table = np.full(256, -2, dtype=np.int8)
        for index, letter in [*enumerate(self.letters), *((-1, letter) for letter in self.unknown)]:
            table[ord(letter.upper())] = table[ord(letter.lower())] = index
        return table


DNA = Alphabet("DNA", "ACGT", "N")
RNA = Alphabet("RNA", "ACGU", "N")
PROTEIN = Alphabet("protein", "ACDEFGHIKLMNPQRSTVWY", "X")
ALPHABETS = {"DNA": DNA, "RNA": RNA, "protein": PROTEIN}
