"""Are a method's scores right? Agreement with exact ISM, completeness, masking curves, perturbations, known motifs."""

from attribution_bench.evaluation.evaluate import evaluate
from attribution_bench.evaluation.metrics import METRICS, Metric
from attribution_bench.evaluation.results import Evaluation, Interval, MethodEvaluation, PairAgreement, save_evaluation
from attribution_bench.evaluation.settings import Settings

__all__ = [
    "METRICS",
    "Evaluation",
    "Interval",
    "MethodEvaluation",
    "Metric",
    "PairAgreement",
    "Settings",
    "evaluate",
    "save_evaluation",
]
