"""The numbers of a comparison as CSV files, with full precision; what is not defined is left empty."""

from typing import Any

from attribution_bench.evaluation.results import Evaluation
from attribution_bench.reporting.csv_text import csv_text


def metrics_csv(evaluation: Evaluation) -> str:
    """Write a line a method and metric: the mean over sequences and its 95% interval; seconds have no interval."""
    lines: list[tuple[Any, ...]] = []
    for method in evaluation.methods:
        if method.seconds_per_100_sequences is not None:
            lines.append((method.method, "seconds_per_100_sequences", method.seconds_per_100_sequences, None, None))
        lines += [(method.method, name, found.mean, found.low, found.high) for name, found in method.means.items()]
    return csv_text(("method", "metric", "mean", "low", "high"), lines)


def values_csv(evaluation: Evaluation) -> str:
    """Write a line a sequence, method and metric."""
    return csv_text(
        ("sequence", "method", "metric", "value"),
        (
            (name, method.method, metric, values[index])
            for index, name in enumerate(evaluation.names)
            for method in evaluation.methods
            for metric, values in method.values.items()
        ),
    )


def agreement_csv(evaluation: Evaluation) -> str:
    """Write a line a pair of methods and metric: the mean over sequences and its 95% interval."""
    return csv_text(
        ("first", "second", "metric", "mean", "low", "high"),
        (
            (pair.first, pair.second, metric, found.mean, found.low, found.high)
            for pair in evaluation.agreements
            for metric, found in pair.means.items()
        ),
    )


def curves_csv(evaluation: Evaluation) -> str:
    """Write a line a sequence, method, curve and share of letters changed: what the model predicts then."""
    return csv_text(
        ("sequence", "method", "curve", "share", "prediction"),
        (
            (name, method.method, curve, share, prediction)
            for method in evaluation.methods
            for curve, rows in method.curves.items()
            for name, row in zip(evaluation.names, rows, strict=True)
            for share, prediction in zip(evaluation.shares, row, strict=True)
        ),
    )
