"""The metrics of one method's scores: those that need the model's predictions, and those that need further runs."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.evaluation.completeness import completeness_error
from attribution_bench.evaluation.curves import area_above, curve, masking_order
from attribution_bench.evaluation.perturbation import infidelity, random_mutations, sensitivity
from attribution_bench.evaluation.recovery import recovery
from attribution_bench.evaluation.scoring import Method, ScoredMethod, bind, hypothetical_scores, takes_seed
from attribution_bench.evaluation.settings import Settings
from attribution_bench.evaluation.shared_inputs import SharedInputs
from attribution_bench.evaluation.stability import stability
from attribution_bench.evaluation.ties import constant, settled
from attribution_bench.models import SequenceModel, Target


def model_metrics(
    scored: ScoredMethod, inputs: SharedInputs, settings: Settings
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Return the metrics that compare scores with the model's predictions and the known sites, and the curves.

    Returns
    -------
    Metric -> (N,) values, nan where a metric is not defined, and ``deletion`` and ``insertion`` -> (N, S) predictions.
    """
    observed, result = scored.settled, scored.result
    order, shares = masking_order(observed), settings.shares
    deleted = [curve(inputs.predictor, inputs.one_hot, empty, order, shares) for empty in inputs.shuffled]
    inserted = [curve(inputs.predictor, empty, inputs.one_hot, order, shares) for empty in inputs.shuffled]
    curves = {"deletion": np.mean(deleted, axis=0), "insertion": np.mean(inserted, axis=0)}
    values = {name: np.full(len(observed), np.nan) for name in curves}
    if inputs.scale:  # else the model predicts the same of everything
        empty, ordered = np.mean(inputs.emptied, axis=0), ~constant(observed)
        for name, found in curves.items():
            values[name] = np.where(ordered, area_above(found, empty, inputs.scale, shares), np.nan)
    values["infidelity"] = infidelity(hypothetical_scores(result), inputs.one_hot, inputs.mutated, inputs.changes)
    if result.convergence_delta is not None:
        attributed = scored.observed.sum(axis=1)
        values["completeness"] = completeness_error(attributed, result.convergence_delta, inputs.rounding)
    if inputs.effects is not None:
        values |= recovery(observed, inputs.effects)
    return values, curves


def repeated_metrics(
    method: Method, model: SequenceModel, inputs: SharedInputs, target: Target, settings: Settings
) -> dict[str, NDArray[np.float64]]:
    """Return the metrics that take further runs of the method: sensitivity, and stability of one that takes a seed.

    Returns
    -------
    Metric -> (N,) values, nan for the sequences that are left out; see ``Settings.repeated_sequences``.
    """
    count, letters, length = inputs.one_hot.shape
    some = np.unique(np.linspace(0, count - 1, min(count, settings.repeated_sequences)).round().astype(int))
    if not len(some):
        return {}
    found: dict[str, NDArray[np.float64]] = {}

    def scores(one_hot: NDArray[Any], seed: int) -> NDArray[np.float64]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said once, of the run on every sequence
            result = bind(method, model, seed).attribute(one_hot, target=target)
        noise = np.resize(inputs.rounding[some], len(one_hot)) if result.predictions else 0.0
        return settled(hypothetical_scores(result).reshape(len(one_hot), -1), noise)

    def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = np.full(count, np.nan)
        whole[some] = values
        return whole

    generator = np.random.default_rng(settings.seed)
    chosen = inputs.one_hot[some]
    mutated = random_mutations(chosen, settings.repeats, 1, generator)
    perturbed = scores(mutated.swapaxes(0, 1).reshape(-1, letters, length), settings.seed)
    found["sensitivity"] = spread(
        sensitivity(scores(chosen, settings.seed), perturbed.reshape(settings.repeats, len(some), -1))
    )
    if takes_seed(method):
        runs = np.stack([scores(chosen, settings.seed + repeat) for repeat in range(settings.repeats)])
        found["stability"] = spread(stability(runs))
    return found
