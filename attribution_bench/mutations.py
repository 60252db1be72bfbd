"""Mutations of any kind: windows of letters replaced, letters inserted or deleted; and lists of them to ask for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.sequences.alphabet import DNA, Alphabet


@dataclass(frozen=True, eq=False)
class Mutation:
    """Letters of one sequence to take away, and what to put in their place.

    Sequences keep their length. A substitution puts as many letters as it takes. After an insertion what follows moves
    right, and what is pushed off the end is lost; after a deletion it moves left, and the end is filled with unknown
    letters (all-zero columns).
    """

    sequence: int
    """Number of the sequence among the inputs, 0-based."""
    position: int
    """The first letter taken away, and where the replacement starts; 0-based."""
    replacement: str | NDArray[Any]
    """Letters of the model's alphabet, or an array (A, width) of any finite numbers: zeros knock letters out."""
    deleted: int | None = None
    """How many letters are taken away; by default as many as are put."""


@dataclass(frozen=True, eq=False)
class Edit:
    """A mutation that has been checked, as methods receive it."""

    sequence: int
    position: int
    columns: NDArray[np.float64]
    """(A, width) what is put."""
    deleted: int

    @property
    def width(self) -> int:
        """Number of letters put."""
        return int(self.columns.shape[1])

    @property
    def substitutes(self) -> bool:
        """Whether nothing moves: as many letters go as come."""
        return self.width == self.deleted

    def apply(self, one_hot: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the mutated sequence of the one given, both (A, L)."""
        before, after = one_hot[:, : self.position], one_hot[:, self.position + self.deleted :]
        filling = np.zeros((len(one_hot), self.deleted), one_hot.dtype)
        mutated = np.concatenate([before, self.columns.astype(one_hot.dtype), after, filling], axis=1)
        return mutated[:, : one_hot.shape[1]]


def check_mutations(mutations: Sequence[Mutation], shape: tuple[int, ...], alphabet: Alphabet) -> tuple[Edit, ...]:
    """Return mutations of sequences of a shape (N, A, L) as edits, in their order.

    Raises
    ------
    InvalidInputError
        There is none, or one that cannot be made; the message names its index and what is wrong.
    """
    if not len(mutations):
        raise InvalidInputError("mutations are empty; give at least one Mutation")
    known = alphabet.letters + alphabet.unknown
    columns = alphabet.one_hot([known])[0].T.astype(np.float64)
    of_letter = {form: column for letter, column in zip(known, columns, strict=True) for form in _cases(letter)}
    edits = []
    for index, mutation in enumerate(mutations):
        try:
            edits.append(_edit(mutation, shape, alphabet, of_letter))
        except InvalidInputError as error:
            raise InvalidInputError(f"mutations[{index}]: {error}") from None
    return tuple(edits)


def tiles(length: int, width: int, stride: int = 1) -> range:
    """Return the starts of the windows of a width that fit into a length, one stride apart.

    Raises
    ------
    InvalidInputError
        Width or stride is less than 1, or no window fits.
    """
    if not 1 <= width <= length or stride < 1:
        raise InvalidInputError(
            f"windows need 1 <= width <= length and a stride of at least 1, not width {width}, length {length}, "
            f"stride {stride}"
        )
    return range(0, length - width + 1, stride)


def knockouts(count: int, starts: Iterable[int], width: int, alphabet: Alphabet = DNA) -> list[Mutation]:
    """Return windows to erase: their letters become unknown, all zero.

    Parameters
    ----------
    count
        Number of sequences N; each has every window.
    starts
        Where the windows start, such as `tiles` gives.
    width
        Number of letters in each.

    Returns
    -------
    (N * windows) mutations, those of one sequence together.
    """
    starts = list(starts)
    nothing = alphabet.unknown[0] * width
    return [Mutation(sequence, start, nothing) for sequence in range(count) for start in starts]


def scrambles(one_hot: NDArray[Any], start: ArrayLike, width: int, count: int, seed: int) -> list[Mutation]:
    """Return windows to shuffle: the same letters in random order, every order equally likely.

    Parameters
    ----------
    one_hot
        Sequences (N, A, L).
    start
        Where the window starts: one position, or one for each sequence (N,).
    width
        Number of letters in it.
    count
        Shuffles of each sequence.
    seed
        The same seed gives the same shuffles.

    Returns
    -------
    (N * count) mutations, those of one sequence together.

    Raises
    ------
    InvalidInputError
        A window leaves the sequence.
    """
    generator = np.random.default_rng(seed)
    starts = np.broadcast_to(np.asarray(start), len(one_hot))
    if starts.min() < 0 or starts.max() + width > one_hot.shape[2]:
        raise InvalidInputError(
            f"windows of {width} letters from {starts.min()} to {starts.max()} on leave [0, {one_hot.shape[2]})"
        )
    return [
        Mutation(sequence, int(first), generator.permutation(one_hot[sequence, :, first : first + width], axis=1))
        for sequence, first in enumerate(starts)
        for _ in range(count)
    ]


def mutation_columns(mutations: Sequence[Mutation]) -> dict[str, NDArray[Any]]:
    """Return M mutations as arrays of plain numbers and text, for files; `mutations_of` reads them.

    Returns
    -------
    ``sequence``, ``position`` and ``deleted``, each (M,), -1 where ``deleted`` is None; ``letters`` (M,), and ``width``
    (M,), which is -1 where the replacement is letters; and the replacements that are arrays side by side as ``columns``
    (A, sum of widths).
    """
    in_letters = [isinstance(mutation.replacement, str) for mutation in mutations]
    arrays = [np.asarray(m.replacement) for m, text in zip(mutations, in_letters, strict=True) if not text]
    widths = iter([array.shape[1] for array in arrays])
    return {
        "sequence": np.array([mutation.sequence for mutation in mutations], np.int64),
        "position": np.array([mutation.position for mutation in mutations], np.int64),
        "deleted": np.array([-1 if m.deleted is None else m.deleted for m in mutations], np.int64),
        "letters": np.array(
            [m.replacement if text else "" for m, text in zip(mutations, in_letters, strict=True)], dtype=str
        ),
        "width": np.array([-1 if text else next(widths) for text in in_letters], np.int64),
        "columns": np.concatenate(arrays, axis=1) if arrays else np.zeros((0, 0)),
    }


def mutations_of(columns: Mapping[str, NDArray[Any]]) -> tuple[Mutation, ...]:
    """Return the mutations that `mutation_columns` took apart.

    Raises
    ------
    KeyError, ValueError
        A column is missing, or they are of several lengths.
    """
    stops = np.cumsum(np.maximum(columns["width"], 0)).tolist()
    if columns["columns"].shape[1] != (stops or [0])[-1]:
        raise ValueError("the columns of its mutations are not as many as their widths say")
    numbers = (columns[name].tolist() for name in ("sequence", "position", "deleted", "letters", "width"))
    return tuple(
        Mutation(
            sequence,
            position,
            letters if width < 0 else columns["columns"][:, stop - width : stop],
            None if deleted < 0 else deleted,
        )
        for sequence, position, deleted, letters, width, stop in zip(*numbers, stops, strict=True)
    )


def _cases(letter: str) -> tuple[str, str]:
    return letter.upper(), letter.lower()


def _edit(
    mutation: Mutation, shape: tuple[int, ...], alphabet: Alphabet, of_letter: Mapping[str, NDArray[np.float64]]
) -> Edit:
    if not isinstance(mutation, Mutation):
        raise InvalidInputError(f"it is a {type(mutation).__name__}; give Mutation(sequence, position, replacement)")
    count, _, length = shape
    for name, value, size in (("sequence", mutation.sequence, count), ("position", mutation.position, length)):
        if not isinstance(value, int | np.integer):
            raise InvalidInputError(f"{name} must be an integer, not {value!r}")
        if not 0 <= value < size:
            raise InvalidInputError(f"{name} {value} is out of range; there are {size}, counted from 0")
    columns = _columns(mutation.replacement, alphabet, of_letter)
    deleted = columns.shape[1] if mutation.deleted is None else mutation.deleted
    if not isinstance(deleted, int | np.integer) or deleted < 0:
        raise InvalidInputError(f"deleted must be a number of letters, 0 or more, not {deleted!r}")
    if mutation.position + deleted > length:
        raise InvalidInputError(
            f"{deleted} letters from position {mutation.position} on reach past the end of the sequence ({length})"
        )
    if not deleted and not columns.shape[1]:
        raise InvalidInputError("it neither puts letters nor takes any away")
    return Edit(int(mutation.sequence), int(mutation.position), columns, int(deleted))


def _columns(
    replacement: str | NDArray[Any], alphabet: Alphabet, of_letter: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return a replacement as (A, width)."""
    if isinstance(replacement, str):
        wrong = next((letter for letter in replacement if letter not in of_letter), None)
        if wrong is not None:
            raise InvalidInputError(
                f"the replacement holds {wrong!r}, which is not in the {alphabet.name} alphabet ({alphabet.letters}, "
                f"unknown: {alphabet.unknown})"
            )
        empty = np.zeros((0, len(alphabet)))
        return np.concatenate([empty, *(of_letter[letter][None] for letter in replacement)]).T
    array = np.asarray(replacement)
    if array.ndim != 2 or len(array) != len(alphabet):
        raise InvalidInputError(
            f"the replacement must be letters or an array ({len(alphabet)}, width), not of shape {array.shape}"
        )
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise InvalidInputError("the replacement must hold finite numbers")
    return array.astype(np.float64)
