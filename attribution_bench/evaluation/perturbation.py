"""Random mutations: how well scores say what they do to the prediction, and how far scores change under them.

Yeh et al., On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019.
"""

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.checked import finite


def random_mutations(
    one_hot: NDArray[np.floating], count: int, letters: int, generator: np.random.Generator
) -> NDArray[np.floating]:
    """Return sequences with random substitutions at distinct positions, each to one of the other letters.

    Every set of known positions is equally likely, and every other letter. Unknown letters stay.

    Parameters
    ----------
    one_hot
        (N, A, P): the sequences; an unknown letter is an all-zero column.
    count
        Mutated copies of each sequence, at least 1.
    letters
        Positions changed in each copy, at least 1.
    generator
        Source of randomness; the same state gives the same mutations.

    Returns
    -------
    (N, count, A, P) of the type of ``one_hot``.

    Raises
    ------
    InvalidInputError
        Sequences that are not one-hot, a count or number of letters below 1, or more letters than a sequence has known
        positions.
    """
    finite("one_hot", one_hot, "sequences", "letters", "positions")
    known = np.asarray(one_hot.any(axis=1))
    if not (np.isin(one_hot, (0, 1)).all() and (one_hot.sum(axis=1) <= 1).all()):
        raise InvalidInputError("one_hot must hold a single 1 in each column, or none where the letter is unknown")
    size = one_hot.shape[1]
    if count < 1 or letters < 1 or size < 2:
        raise InvalidInputError(
            f"count and letters must be at least 1, not {count} and {letters}, and the alphabet must hold at least "
            f"2 letters, not {size}"
        )
    fewest = int(known.sum(axis=1).argmin())
    if known[fewest].sum() < letters:
        raise InvalidInputError(
            f"letters must be at most the known positions of each sequence, but sequence {fewest} has "
            f"{known[fewest].sum()} and {letters} are to be mutated"
        )
    mutated = np.repeat(one_hot[:, None], count, axis=1)
    copies = np.arange(count)[:, None]
    for sequence, copy in zip(one_hot, mutated, strict=True):
        among = np.flatnonzero(sequence.any(axis=0))
        # The places of the smallest of independent random numbers are a random set.
        positions = among[np.argsort(generator.random((count, len(among))), axis=1)[:, :letters]]
        here = sequence.argmax(axis=0)[positions]
        other = (here + generator.integers(1, size, here.shape)) % size
        copy[copies, here, positions] = 0
        copy[copies, other, positions] = 1
    return mutated


def infidelity(
    scores: NDArray[np.floating],
    one_hot: NDArray[np.floating],
    mutated: NDArray[np.floating],
    change: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Return how far scores are from saying what mutations do to the prediction, as a share of what they do.

    Scores say that a mutation from letter r to letter a at position l adds ``scores[a, l] - scores[r, l]``, and that
    several add up. With ``said`` and ``change`` of one sequence's mutations it returns

        mean((scale * said - change) ** 2) / mean(change ** 2)

    at the scale of at least 0 that makes it least, so that scores in any unit compare, while scores of the wrong sign
    are as bad as none. Where the best scale is positive, it times mean(change ** 2) is Captum's ``infidelity`` with
    ``normalize=True`` for ``one_hot - mutated`` as the perturbation; Captum's scale may be negative.

    Parameters
    ----------
    scores
        (N, A, P): hypothetical scores, of which only differences between letters of a position matter.
    one_hot
        (N, A, P): the sequences.
    mutated
        (N, M, A, P): M mutations of each, as `random_mutations` returns them.
    change
        (N, M): the prediction of each mutated sequence minus that of the sequence.

    Returns
    -------
    (N,) in [0, 1]: 0 where scores foretell every change up to scale, 1 where they foretell nothing; nan where no
    mutation changes the prediction.

    Raises
    ------
    InvalidInputError
        Shapes that do not fit, or numbers that are not finite.
    """
    scores = finite("scores", scores, "sequences", "letters", "positions")
    one_hot = finite("one_hot", one_hot, *scores.shape)
    count, *columns = scores.shape
    if np.ndim(mutated) != 4 or np.shape(mutated)[1] == 0:
        raise InvalidInputError(
            f"mutated must have shape (sequences, mutations, letters, positions), not {np.shape(mutated)}"
        )
    mutations = np.shape(mutated)[1]
    if np.shape(mutated) != (count, mutations, *columns):
        raise InvalidInputError(f"mutated must have shape {(count, mutations, *columns)}, not {np.shape(mutated)}")
    change = finite("change", change, count, mutations)
    # One sequence at a time: the mutated sequences are by far the largest array, and are not copied as a whole.
    said = np.stack(
        [
            np.einsum("ap,map->m", own, finite("mutated", copies, *np.shape(copies)) - letters)
            for own, letters, copies in zip(scores, one_hot, mutated, strict=True)
        ]
    )
    said, change = _scaled(said), _scaled(change)
    square = np.einsum("nm,nm->n", said, said)
    scale = np.divide(np.einsum("nm,nm->n", said, change), square, out=np.zeros(count), where=square > 0)
    error = np.square(np.maximum(scale, 0)[:, None] * said - change).sum(axis=1)
    total = np.square(change).sum(axis=1)
    return np.asarray(np.divide(error, total, out=np.full(count, np.nan), where=total > 0))


def sensitivity(scores: NDArray[np.floating], perturbed_scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the largest relative change of the scores over perturbed copies of each sequence (max-sensitivity).

    It does not ask whether scores are right: scores that never change are best, and taking absolute values lowers it.
    Captum's ``sensitivity_max`` returns the same but where scores are all 0, which it does not divide by.

    Parameters
    ----------
    scores
        (N, P): scores of the sequences, of any P letters and positions.
    perturbed_scores
        (R, N, P): scores of R perturbed copies of each.

    Returns
    -------
    (N,) at least 0: the largest of ``||scores - perturbed|| / ||scores||`` in the Euclidean norm; nan where all
    scores are 0.

    Raises
    ------
    InvalidInputError
        Shapes that do not fit, or scores that are not finite.
    """
    scores = finite("scores", scores, "sequences", "positions")
    perturbed = finite("perturbed_scores", perturbed_scores, "copies", *scores.shape)
    norm = np.linalg.norm(scores, axis=1)
    largest = np.linalg.norm(scores - perturbed, axis=2).max(axis=0)
    return np.asarray(np.divide(largest, norm, out=np.full(len(norm), np.nan), where=norm > 0))


def _scaled(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide rows by their largest absolute value, so that no square leaves the range of floats."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return np.asarray(np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0))
