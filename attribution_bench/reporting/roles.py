"""Which method of a set of records plays which part in a report, decided by the tags that the records hold."""

from collections import Counter
from collections.abc import Callable, Sequence

from attribution_bench.attribution import Tags
from attribution_bench.benchmark.results import Record


def baseline(records: Sequence[Record]) -> str | None:
    """Return the method whose full passes others are compared with for speed; None without one."""
    return _most_measured(records, lambda tags: tags.full_passes)


def fast_method(records: Sequence[Record]) -> str | None:
    """Return the method that computes only what a mutation affects; None without one."""
    return _most_measured(records, lambda tags: tags.partial_passes)


def method_labels(records: Sequence[Record]) -> dict[str, str]:
    """Return the label of each method: method -> name that people read."""
    labels: dict[str, str] = {}
    # A cell that failed early knows less of its method than the others.
    for record in sorted(records, key=lambda record: record.tags is None):
        labels.setdefault(record.workload.method, record.method_label)
    return labels


def _most_measured(records: Sequence[Record], plays: Callable[[Tags], bool]) -> str | None:
    """Return the method with the most measured cells among those that play a part, the first by name of equal ones."""
    counts = Counter(
        record.workload.method
        for record in records
        if record.tags is not None and plays(record.tags) and record.status == "ok"
    )
    return min(counts, key=lambda name: (-counts[name], name), default=None)
