"""The check of what the measured calls gave: a figure for wrong or infinite results would mean nothing."""

import numpy as np
from numpy.typing import NDArray

from attribution_bench.benchmark.parts import spread
from attribution_bench.benchmark.results import OutputCheck
from attribution_bench.benchmark.workloads import Sample, Work
from attribution_bench.models import SequenceModel, predict
from attribution_bench.models.targets import select

POSITIONS = 4
"""Positions of one sequence at which every letter is tried by plain forward passes."""
TINY = float(np.finfo(float).tiny)
MOST_ROUNDING = 2.0
"""How many times as far from double precision as plain passes in single a result may be, however far that is."""


def tolerance(model: SequenceModel) -> float:
    """Largest difference allowed, over the outputs' scale, by the precision that products are computed in."""
    if model.precision_state()["tf32"]:
        return 1e-2
    return 1e-10 if model.numpy_dtype == np.float64 else 1e-5


def check_sample(work: Work, sample: Sample) -> OutputCheck:
    """Compare an exact method's predictions with forward passes; look for values that are not finite in any result."""
    result = sample.result
    delta = result.convergence_delta
    convergence = None if delta is None else float(np.abs(delta).max())
    values = list(result.predictions.values()) or [result.scores]
    if not all(np.isfinite(value).all() for value in values):
        return OutputCheck("every value is finite", False, convergence_delta=convergence)
    if not (work.method.tags.exact and result.predictions):
        return OutputCheck("every value is finite", True, convergence_delta=convergence)
    places = np.unique(spread(min(POSITIONS, len(result.positions)), len(result.positions)))
    passes, precision, rounding = _plain_passes(work, sample, places)
    difference = _difference(sample, places, passes)
    allowed = max(tolerance(work.method.model), MOST_ROUNDING * rounding)
    compared = (
        f"predictions of every letter at {len(places)} positions of one sequence with plain forward passes{precision}; "
        f"at most {allowed:.2g} of the largest output is allowed; every value is finite"
    )
    return OutputCheck(compared, difference <= allowed, largest_difference=difference)


def _plain_passes(
    work: Work, sample: Sample, places: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.floating]], str, float]:
    """Return the predictions of every letter at some positions of the last sequence, and their precision in words.

    The third is how far passes in the model's own precision are from them, over the largest prediction.

    In single precision, passes round as much as what they check: double precision is taken where the model runs in it.
    """
    model, result, sequence = work.method.model, sample.result, sample.sequence
    letters = sequence.shape[0]
    mutated = np.repeat(sequence[None], len(places) * letters, axis=0)
    for row, (place, letter) in enumerate((p, a) for p in places for a in range(letters)):
        mutated[row, :, result.positions[place]] = np.eye(letters)[letter]
    double = model.in_double() if model.numpy_dtype == np.float32 else None
    if double is not None:
        try:
            truth = _predictions(double, work, mutated)
            own = _predictions(model, work, mutated)
            off = (np.abs(own[name] - values).max() / max(np.abs(values).max(), TINY) for name, values in truth.items())
            return truth, " in double precision", float(max(off))
        except RuntimeError:  # of a model that makes single-precision tensors itself
            pass
    return _predictions(model, work, mutated), "", 0.0


def _predictions(model: SequenceModel, work: Work, one_hot: NDArray[np.floating]) -> dict[str, NDArray[np.floating]]:
    # Of the method's own model: a copy in double precision may be one that cannot run.
    selections = select(work.target, work.method.model.outputs(one_hot.shape[2]))
    with model.inference():
        return predict(model, one_hot.astype(model.numpy_dtype), selections, batch_size=len(one_hot))


def _difference(sample: Sample, places: NDArray[np.int64], passes: dict[str, NDArray[np.floating]]) -> float:
    """Largest absolute difference from forward passes on the last sequence, over the largest absolute prediction."""
    result, letters = sample.result, sample.sequence.shape[0]
    largest, scale = 0.0, TINY
    for name, plain in passes.items():
        plain = np.moveaxis(plain.reshape(len(places), letters, *plain.shape[1:]), 0, 1)
        found = result.predictions[name][-1][:, places]
        largest = max(largest, float(np.abs(found - plain).max()))
        scale = max(scale, float(np.abs(result.predictions[name]).max()))
    return largest / scale
