"""How well the demonstration models predict sequences that they have not seen."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.demo.planting import PlantedSequences
from attribution_bench.models.adapt import as_sequence_model

BATCH_SIZE = 256


def classifier_performance(model: Any, planted: PlantedSequences) -> dict[str, float]:
    """Return AUROC, AUPRC and accuracy of the labels, and the Pearson correlation of predicted and true logits.

    Needs scikit-learn.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    logits = _predict(model, planted)["accessible"][:, 0]
    return {
        "auroc": float(roc_auc_score(planted.accessible, logits)),
        "auprc": float(average_precision_score(planted.accessible, logits)),
        "accuracy": float(np.mean((logits > 0) == planted.accessible)),
        "accessible_share": float(planted.accessible.mean()),
        "logit_pearson": _pearson(logits, planted.accessibility),
    }


def profile_performance(model: Any, planted: PlantedSequences) -> dict[str, float]:
    """Return how near the predicted counts and profiles are to the simulated reads.

    The Pearson correlation is of log(1 + reads). The Jensen-Shannon distances (0 to 1, base 2; mean over sequences)
    are from the observed shares of reads to the predicted ones, to even ones, which know nothing, and to the true
    expected ones, which no model can beat by more than chance.
    """
    outputs = _predict(model, planted)
    logits = outputs["profile"].astype(np.float64)
    predicted = np.exp(logits - logits.max(axis=1, keepdims=True))
    predicted /= predicted.sum(axis=1, keepdims=True)
    some = planted.reads.sum(axis=1) > 0
    observed = planted.reads[some] / planted.reads[some].sum(axis=1, keepdims=True)
    even = np.full_like(observed, 1 / observed.shape[1])
    return {
        "count_pearson": _pearson(outputs["count"][:, 0], np.log1p(planted.reads.sum(axis=1))),
        "profile_distance": _jensen_shannon(observed, predicted[some]),
        "profile_distance_even": _jensen_shannon(observed, even),
        "profile_distance_truth": _jensen_shannon(observed, planted.profile[some].astype(np.float64)),
    }


def _predict(model: Any, planted: PlantedSequences) -> dict[str, NDArray[Any]]:
    return as_sequence_model(model).predict(planted.sequences.one_hot(), batch_size=BATCH_SIZE)


def _pearson(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def _jensen_shannon(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Mean over rows of the square root of the Jensen-Shannon divergence in bits (Lin, IEEE Trans. 37:145, 1991)."""
    middle = (first + second) / 2
    divergence = (_relative_entropy(first, middle) + _relative_entropy(second, middle)) / 2
    return float(np.sqrt(np.maximum(divergence, 0)).mean())


def _relative_entropy(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows,) Kullback-Leibler divergence in bits; terms where the first is 0 are 0."""
    ratio = np.divide(first, second, out=np.ones_like(first), where=first > 0)
    entropy: NDArray[np.float64] = (first * np.log2(ratio)).sum(axis=1)
    return entropy
