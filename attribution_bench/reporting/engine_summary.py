"""The engine benchmark in at most five sentences, each made from the records alone, and left out where they lack it."""

from collections.abc import Iterable, Sequence

from attribution_bench.benchmark.results import Record
from attribution_bench.reporting.engine import EngineComparison, EngineRow
from attribution_bench.reporting.faithfulness.texts import listed
from attribution_bench.reporting.labels import architecture_label, framework_label, ratio_text

FEW = 2
"""Significant digits of the ranges: neighbouring cells of a shared machine differ in the third."""


def summary(records: Sequence[Record], comparison: EngineComparison) -> list[str]:
    """Say how much faster the fast method is, how that grows, how exact it is, what few sequences cost, and its peers.

    Returns
    -------
    At most five sentences, in plain text; none where no fast method or no baseline was measured.
    """
    if comparison.fast is None or comparison.baseline is None:
        return []
    fast, standard = comparison.labels[comparison.fast], comparison.labels[comparison.baseline]
    return [
        *_speed(comparison, comparison.fast, fast, standard),
        *_growth(comparison, fast, standard),
        *_exactness(records, comparison.fast, fast),
        *_few_sequences(comparison),
        *_others(comparison, comparison.fast, fast),
    ]


def models(comparison: EngineComparison, method: str) -> list[tuple[str, list[EngineRow]]]:
    """Return the lines on which a method's ratio is known, at the largest number of sequences: label -> by length.

    The label names the framework where it is not that of the first line.
    """
    grouped: dict[tuple[str, str], list[EngineRow]] = {}
    for row in comparison.largest:
        if row.ratio(method) is not None:
            grouped.setdefault((row.architecture, row.framework), []).append(row)
    first = next(iter(grouped), ("", ""))[1]
    return [
        (
            architecture_label(architecture) + f" in {framework_label(framework)}" * (framework != first),
            sorted(rows, key=lambda row: row.length),
        )
        for (architecture, framework), rows in grouped.items()
    ]


def _speed(comparison: EngineComparison, method: str, fast: str, standard: str) -> list[str]:
    parts: list[str] = []
    for label, rows in models(comparison, method):
        ratios = [ratio for row in rows if (ratio := row.ratio(method)) is not None]
        lengths = _range(f"{row.length}" for row in (rows[0], rows[-1]))
        times = "times" if parts else f"times as fast as {standard}"
        parts.append(f"{_figures(ratios)} {times} on {label} ({lengths} letters)")
    return [f"{fast} is {listed(parts)}."] if parts else []


def _growth(comparison: EngineComparison, fast: str, standard: str) -> list[str]:
    found = [growth.over_linear for growth in comparison.growths if growth.over_linear is not None]
    if not found:
        return []
    return [
        f"The ratio grows with the length: {fast} takes {_figures(found)} times as long for a letter of a longer "
        f"sequence as for one of a short sequence, {standard} as many times as long as the sequence is longer."
    ]


def _exactness(records: Sequence[Record], method: str, fast: str) -> list[str]:
    found = [
        record.check.largest_difference
        for record in records
        if record.workload.method == method and record.check and record.check.largest_difference is not None
    ]
    if not found:
        return []
    cells = f"in {len(found)} cells" if len(found) > 1 else "in one cell"
    return [
        f"It changes nothing: {cells} its predictions were compared with plain forward passes, and differ by at most "
        f"{max(found):.1e} of the largest one."
    ]


def _few_sequences(comparison: EngineComparison) -> list[str]:
    found = [growth for growth in comparison.growths if growth.few_over_many is not None]
    if not found:
        return []
    few = sorted({growth.fewest.sequences for growth in found})
    most = _range(str(count) for count in sorted({growth.most.sequences for growth in found}))
    alone = "one sequence alone" if few == [1] else f"a sequence among {_range(map(str, few))}"
    costs = _figures([growth.few_over_many for growth in found if growth.few_over_many is not None])
    return [f"It needs no large batch: {alone} costs {costs} times as much as one among {most}."]


def _others(comparison: EngineComparison, method: str, fast: str) -> list[str]:
    parts = []
    for other in comparison.occasional:
        ratios = [ratio for row in comparison.rows if (ratio := row.over(other, method)) is not None]
        if ratios:
            parts.append(f"{comparison.labels[other]} took {_figures(ratios)} times")
    return [f"Of other methods, on the lines where they were run, {listed(parts)} as long as {fast}."] if parts else []


def _figures(values: Sequence[float]) -> str:
    """Write a range of ratios; one figure where both ends read the same."""
    return _range(ratio_text(value, FEW) for value in (min(values), max(values)))


def _range(ends: Iterable[str]) -> str:
    texts = list(ends)
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"
