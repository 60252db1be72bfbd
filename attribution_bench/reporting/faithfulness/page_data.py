"""What the page's script draws, as JSON."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.evaluation.metrics import METRICS
from attribution_bench.evaluation.results import Evaluation, Interval, MethodEvaluation
from attribution_bench.reporting.faithfulness.curve_figures import CURVES, Band, bands
from attribution_bench.reporting.faithfulness.palette import palette
from attribution_bench.reporting.faithfulness.scores import Scores
from attribution_bench.reporting.faithfulness.standing import (
    headline,
    is_reference,
    known_metrics,
    pareto_front,
    scored,
)

DIGITS = 4
"""Significant digits of what is drawn; the CSV files and the stored scores have all of them."""
MOST_NUMBERS = 2_000_000
"""Scores that a page holds, some 15 MB; of more sequences than that the first ones are shown."""


def page_data(evaluation: Evaluation, scores: Scores | None) -> dict[str, Any]:
    """Return the data of the page, ready for JSON; methods are known by their place in the list."""
    places = {method.method: index for index, method in enumerate(evaluation.methods)}
    shown = _shown(evaluation, scores)
    curves = bands(evaluation)
    unread = () if evaluation.readable is None else evaluation.readable.unread_sites
    return {
        "alphabet": evaluation.alphabet,
        "palette": palette(evaluation.alphabet),
        "names": evaluation.names[:shown],
        "strings": evaluation.strings[:shown],
        "predictions": _rounded(evaluation.predictions[:shown]),
        "count": len(evaluation.names),
        "sites": [
            {**asdict(site), "unread": index in unread}
            for index, site in enumerate(evaluation.sites)
            if site.sequence < shown
        ],
        "shares": _rounded(evaluation.shares),
        "curves": CURVES,
        "metrics": [asdict(metric) for metric in known_metrics(evaluation)],
        "pairMetrics": [
            asdict(metric) for name, metric in METRICS.items() if any(name in p.means for p in evaluation.agreements)
        ],
        "headline": getattr(headline(evaluation), "name", None),
        "fronts": {
            metric.name: [places[name] for name in pareto_front(evaluation, metric)]
            for metric in known_metrics(evaluation)
        },
        "methods": [_method(evaluation, method, scores, shown, curves) for method in evaluation.methods],
        "pairs": [
            {"first": places[pair.first], "second": places[pair.second], "means": _intervals(pair.means)}
            for pair in evaluation.agreements
            if pair.first in places and pair.second in places
        ],
        "positions": [] if scores is None else scores.positions.tolist(),
        "effects": None if scores is None or scores.effects is None else _array(scores.effects[:shown]),
        "effectsOf": None if scores is None or scores.effects_of is None else places[scores.effects_of],
    }


def embedded(data: Mapping[str, Any]) -> str:
    """Return JSON that can stand inside an element of a page: nothing in it ends the element."""
    content = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return content.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _shown(evaluation: Evaluation, scores: Scores | None) -> int:
    """Return how many sequences the browser holds."""
    if scores is None:
        return len(evaluation.names)
    rows = len(scores.observed) + (0 if scores.effects is None else len(evaluation.alphabet))
    return max(1, min(len(evaluation.names), MOST_NUMBERS // (rows * max(1, len(scores.positions)))))


def _method(
    evaluation: Evaluation,
    method: MethodEvaluation,
    scores: Scores | None,
    shown: int,
    bands: Mapping[tuple[str, str], Band],
) -> dict[str, Any]:
    observed = None if scores is None else scores.observed.get(method.method)
    return {
        "name": method.method,
        "label": evaluation.label(method.method),
        "scored": method in scored(evaluation),
        "seconds": _number(method.seconds_per_100_sequences),
        "means": _intervals(method.means),
        "values": {name: _rounded(values[:shown]) for name, values in method.values.items()},
        "references": [m.name for m in known_metrics(evaluation) if is_reference(evaluation, method, m)],
        "curves": {
            curve: {name: _rounded(values) for name, values in asdict(bands[method.method, curve]).items()}
            for curve in CURVES
            if (method.method, curve) in bands
        },
        "observed": None if observed is None else _array(observed[:shown]),
    }


def _intervals(means: Mapping[str, Interval]) -> dict[str, list[float | None]]:
    return {name: _rounded((found.mean, found.low, found.high)) for name, found in means.items()}


def _array(values: NDArray[np.floating]) -> Any:
    """Return nested lists of rounded numbers."""
    flat = np.array([_number(value) for value in values.ravel().tolist()], dtype=object)
    return flat.reshape(values.shape).tolist()


def _rounded(values: Iterable[float | None]) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float | None) -> float | None:
    """Round to what is drawn; whole numbers take fewer characters without a point."""
    if value is None or not math.isfinite(value):
        return None
    number = float(f"{value:.{DIGITS}g}")
    return int(number) if number.is_integer() and abs(number) < 10**DIGITS else number
