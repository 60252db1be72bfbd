"""The engine benchmark as data: seconds of every cell per sequence, and what profiles of the fast method say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attribution_bench.benchmark import paper
from attribution_bench.benchmark.engine_profile import EngineProfile
from attribution_bench.benchmark.engine_suite import ARCHITECTURES
from attribution_bench.benchmark.results import Record
from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.comparison import FRAMEWORKS, notes_of, place
from attribution_bench.reporting.digits import significant_digits
from attribution_bench.reporting.labels import ratio_text, seconds_text, short
from attribution_bench.reporting.roles import baseline, fast_method, method_labels


@dataclass(frozen=True)
class EngineRow:
    """One architecture, length, framework and number of sequences."""

    architecture: str
    length: int
    framework: str
    sequences: int
    records: dict[str, Record]
    """Method -> its record."""
    baseline: str | None
    """The method of full passes that ratios are relative to; None where none was measured."""

    def seconds(self, method: str) -> float | None:
        """Seconds per sequence, of one output where the method takes outputs one by one; None unless measured.

        Where it is unknown whether one run of the method gives every output, the seconds are those of all outputs.
        """
        record = self.records.get(method)
        if record is None or record.seconds_per_100_sequences is None or record.asked is None:
            return None
        return record.seconds_per_100_sequences / 100 / (record.asked.outputs if _one_by_one(record) else 1)

    def ratio(self, method: str) -> float | None:
        """How many times as fast as the baseline; None where either was not measured."""
        own = self.seconds(method)
        standard = None if self.baseline is None else self.seconds(self.baseline)
        return standard / own if own and standard is not None else None

    def over(self, method: str, other: str) -> float | None:
        """How many times the seconds of another method; None where either was not measured."""
        own, theirs = self.seconds(method), self.seconds(other)
        return own / theirs if own is not None and theirs else None

    def scaled(self, method: str) -> bool:
        """Whether `seconds` was scaled up from a part of the sequences, positions, or outputs that one call serves."""
        record = self.records.get(method)
        if record is None or record.done is None or record.asked is None:
            return False
        return record.done.sequences < record.asked.sequences if _one_by_one(record) else record.scaled

    def digits(self, method: str) -> int:
        """Significant digits that the cell's figure carries; those of a figure measured in full without a record."""
        record = self.records.get(method)
        if record is None or record.done is None or record.asked is None:
            return 3
        part = record.done.sequences / record.asked.sequences if _one_by_one(record) else record.measured_fraction
        return significant_digits(record, part)

    def ratio_text(self, method: str) -> str:
        """Write the ratio with the digits of the less certain of its two figures; empty where there is none."""
        ratio = self.ratio(method)
        if ratio is None or self.baseline is None:
            return ""
        return ratio_text(ratio, min(self.digits(method), self.digits(self.baseline)))

    def text(self, method: str) -> str:
        """Write the cell's figure: ``≈0.412 (41.2)``, a dash for what is not supported, a short error.

        Empty where the method was not run.
        """
        record, seconds = self.records.get(method), self.seconds(method)
        if record is None:
            return ""
        if seconds is None:
            return "–" if record.status == "unsupported" else f"failed: {short((record.error or '').split(':')[0], 30)}"
        ratio = self.ratio(method)
        times = f" ({self.ratio_text(method)})" if ratio is not None and method != self.baseline else ""
        return f"{'≈' * self.scaled(method)}{seconds_text(seconds, self.digits(method))}{times}"


@dataclass(frozen=True)
class Efficiency:
    """Counted work of one model and length against what was measured, at the largest number of sequences."""

    profile: EngineProfile
    row: EngineRow

    @property
    def measured_ratio(self) -> float | None:
        """How many times as fast as the baseline."""
        return self.row.ratio(self.profile.method)

    @property
    def factor(self) -> float | None:
        """The predicted ratio over the measured one; None unless both methods were measured."""
        return self.profile.measured.predicted_ratio / self.measured_ratio if self.measured_ratio else None

    @property
    def products_per_second(self) -> float | None:
        """Counted multiply-accumulates a second that the method reached."""
        return self._rate(self.profile.method, self.profile.measured.products_fast)

    @property
    def standard_products_per_second(self) -> float | None:
        """The same of the baseline."""
        return self._rate(self.row.baseline, self.profile.measured.products_standard)

    def _rate(self, method: str | None, products: int) -> float | None:
        seconds, measured = None if method is None else self.row.seconds(method), self.profile.measured
        mutations = self.profile.length * (measured.letters - 1)
        return products * mutations / seconds if seconds and products and not measured.fallback else None


@dataclass(frozen=True)
class Growth:
    """How a method's cost of a sequence depends on the number of sequences and on their length."""

    method: str
    fewest: EngineRow
    """The smallest number of sequences of one model and length."""
    most: EngineRow
    shortest: EngineRow
    """The largest number of sequences at the model's shortest length."""

    @property
    def few_over_many(self) -> float | None:
        """Seconds per sequence at the smallest number of sequences over those at the largest; None for one number."""
        return self._over(self.fewest, self.most)

    @property
    def over_linear(self) -> float | None:
        """Seconds per letter over those at the shortest length: 1 where the cost grows linearly; None at the latter."""
        found = self._over(self.most, self.shortest)
        return found and found * self.shortest.length / self.most.length

    def _over(self, row: EngineRow, other: EngineRow) -> float | None:
        own, reference = row.seconds(self.method), other.seconds(self.method)
        return own / reference if own and reference and row is not other else None


@dataclass(frozen=True)
class EngineComparison:
    """Every row, and the efficiency of every profile that has one."""

    methods: tuple[str, ...]
    rows: tuple[EngineRow, ...]
    efficiencies: tuple[Efficiency, ...]
    profiles: tuple[EngineProfile, ...]
    growths: tuple[Growth, ...]
    notes: tuple[str, ...]
    """What failed, was not supported or warned of, a cell a line; and of which methods too little is known."""
    labels: Mapping[str, str]
    """Method -> the name that people read."""
    fast: str | None
    """The method that computes only what a mutation affects; None where none was measured."""
    baseline: str | None
    """The method of full passes that ratios are relative to; None where none was measured."""
    whole: tuple[str, ...]
    """Methods one run of which gives every output."""

    @property
    def usual(self) -> tuple[str, ...]:
        """The methods that were run on at least half of the rows: the columns of tables."""
        return tuple(method for method in self.methods if method not in self.occasional)

    @property
    def occasional(self) -> tuple[str, ...]:
        """The methods that were run on fewer rows, neither the fast one nor the baseline: they have lines instead."""
        runs = {method: sum(method in row.records for row in self.rows) for method in self.methods}
        always = (self.fast, self.baseline)
        return tuple(method for method in self.methods if method not in always and 2 * runs[method] < len(self.rows))

    @property
    def largest(self) -> tuple[EngineRow, ...]:
        """The rows of the largest number of sequences of each model, length and framework."""
        found = {(row.architecture, row.length, row.framework): row for row in self.rows}
        return tuple(found.values())

    @property
    def headings(self) -> tuple[str, ...]:
        """The usual methods as people read them."""
        return tuple(self.labels[method] for method in self.usual)

    def label(self, method: str | None, otherwise: str) -> str:
        """Return a method as people read it, or other words where there is none."""
        return otherwise if method is None else self.labels[method]


def of_engine_suite(records: Sequence[Record]) -> bool:
    """Whether records are of the engine suite, whose cells differ in the number of sequences.

    Raises
    ------
    InvalidInputError
        Some are and some are not.
    """
    counted = {record.workload.sequences is not None for record in records}
    if len(counted) > 1:
        raise InvalidInputError("there are records of the engine suite and of others; keep them in separate folders")
    return counted == {True}


def compare_engine(records: Sequence[Record], profiles: Sequence[EngineProfile]) -> EngineComparison:
    """Arrange the suite's records: by architecture, length, framework and number of sequences."""
    fast, standard, labels = fast_method(records), baseline(records), method_labels(records)
    found: dict[tuple[str, int, str, int], dict[str, Record]] = {}
    for record in records:
        w = record.workload
        found.setdefault((w.architecture, w.length, w.framework, w.sequences or 0), {})[w.method] = record
    rows = [EngineRow(*key, found[key], standard) for key in sorted(found, key=lambda key: (*_order(*key[:3]), key[3]))]
    smallest = {(row.architecture, row.length, row.framework): row for row in reversed(rows)}
    largest = {(row.architecture, row.length, row.framework): row for row in rows}
    shortest = {(row.architecture, row.framework): row for row in reversed(largest.values())}
    in_order = sorted(profiles, key=lambda p: _order(p.architecture, p.length, p.framework))
    matched = [(p, largest.get((p.architecture, p.length, p.framework))) for p in in_order]
    leading = [name for name in (fast, standard) if name is not None]
    order = [*leading, *(name for name in paper.METHODS if name not in leading)]
    methods = sorted(labels, key=lambda name: place(name, order))
    notes = [
        f"{record.workload}: {note}"
        for row in rows
        for record in row.records.values()
        for note in notes_of(record)
        if not note.startswith("measured on")
    ]
    notes += [
        f"{record.workload}: one run may give one output or all {record.asked.outputs}, which the record does not say; "
        "the figure is for all"
        for row in rows
        for record in row.records.values()
        if record.tags is None and record.status == "ok" and record.asked is not None and record.asked.outputs > 1
    ]
    return EngineComparison(
        tuple(methods),
        tuple(rows),
        tuple(Efficiency(profile, row) for profile, row in matched if row is not None),
        tuple(in_order),
        tuple(
            Growth(fast, smallest[key], most, shortest[most.architecture, most.framework])
            for key, most in largest.items()
            if fast is not None
        ),
        tuple(notes),
        labels,
        fast,
        standard,
        tuple(method for method in methods if any(_whole(row.records.get(method)) for row in rows)),
    )


def _whole(record: Record | None) -> bool:
    """Whether one run of the record's method is known to give every output."""
    return record is not None and record.tags is not None and record.tags.gives_predictions


def _one_by_one(record: Record) -> bool:
    """Whether the record's method is known to take outputs one by one."""
    return record.tags is not None and not record.tags.gives_predictions


def _order(architecture: str, length: int, framework: str) -> tuple[tuple[int, str], int, tuple[int, str]]:
    return place(architecture, ARCHITECTURES), length, place(framework, FRAMEWORKS)
