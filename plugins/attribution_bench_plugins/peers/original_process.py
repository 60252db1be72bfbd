"""The process in which the original fastISM package runs: `tf.keras` is Keras 2 in all of it.

Reads pickled requests from standard input, and answers each on standard output with True and a result, or with False
and what went wrong. Started by `original_fastism` with TF_USE_LEGACY_KERAS=1.
"""

import os
import pickle
import sys
import traceback
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Explained:
    """A model, and the package's object for the positions asked for last."""

    def __init__(self, architecture: str, weights: list[NDArray[Any]]) -> None:
        import tensorflow as tf

        self.model = tf.keras.models.model_from_json(architecture)
        self.model.set_weights(weights)
        self.positions: tuple[int, ...] | None = None
        self.package: Any = None

    def predict(self, one_hot: NDArray[np.floating], positions: tuple[int, ...]) -> list[NDArray[np.floating]]:
        """Return each output's predictions of (N, L, A) with every letter at every position, (N, A, P, *output)."""
        from fastism import FastISM

        if positions != self.positions:
            ranges = [(position, position + 1) for position in positions]
            # Its check of itself would take as long as thousands of sequences; the caller has one.
            self.package = FastISM(self.model, change_ranges=ranges, test_correctness=False)
            self.positions = positions
        letters = one_hot.shape[2]
        found = [self.package(one_hot, replace_with=list(letter)) for letter in np.eye(letters).tolist()]
        if len(self.model.outputs) == 1:
            found = [[values] for values in found]
        return [np.stack([np.asarray(values[i]) for values in found], axis=1) for i in range(len(found[0]))]


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    explained: Explained | None = None
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            if explained is None:
                explained, answer = Explained(*request), None
            else:
                answer = explained.predict(*request)
            pickle.dump((True, answer), answers, pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # whatever the package raises is the caller's to tell
            pickle.dump((False, _told(error)), answers)
        answers.flush()


def _told(error: Exception) -> str:
    """Name an error; one without a message, as the package's assertions are, by its place."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error) or f'{os.path.basename(place.filename)}, line {place.lineno}'}"


if __name__ == "__main__":
    main()
