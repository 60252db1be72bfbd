"""The engine benchmark as data: seconds of every cell per sequence, and what fastISM's profiles say beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

from attribution_bench.benchmark.engine_profile import EngineProfile
from attribution_bench.benchmark.engine_suite import ARCHITECTURES, METHODS
from attribution_bench.benchmark.results import Record
from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.comparison import FRAMEWORKS, notes_of, place
from attribution_bench.reporting.labels import ratio_text, seconds_text, short

ENGINE = "fastism"
STANDARD = "standard_ism"
ALL_OUTPUTS = ("fastism", "standard_ism", "tangermeme", "original_fastism")
"""Methods one call of which serves every output; the figures of others are for one output."""


@dataclass(frozen=True)
class EngineRow:
    """One architecture, length, framework and number of sequences."""

    architecture: str
    length: int
    framework: str
    sequences: int
    records: dict[str, Record]
    """Method -> its record."""

    def seconds(self, method: str) -> float | None:
        """Seconds per sequence, of one output where the method takes outputs one by one; None unless measured."""
        record = self.records.get(method)
        if record is None or record.seconds_per_100_sequences is None or record.asked is None:
            return None
        return record.seconds_per_100_sequences / 100 / (1 if method in ALL_OUTPUTS else record.asked.outputs)

    def ratio(self, method: str) -> float | None:
        """How many times as fast as standard ISM; None where either was not measured."""
        own, standard = self.seconds(method), self.seconds(STANDARD)
        return standard / own if own and standard is not None else None

    def scaled(self, method: str) -> bool:
        """Whether `seconds` was scaled up from a part of the sequences, positions, or outputs that one call serves."""
        record = self.records.get(method)
        if record is None or record.done is None or record.asked is None:
            return False
        return record.scaled if method in ALL_OUTPUTS else record.done.sequences < record.asked.sequences

    def text(self, method: str) -> str:
        """Write the cell's figure: ``≈0.412 (41.2)``, a dash for what is not supported, a short error."""
        record, seconds = self.records.get(method), self.seconds(method)
        if record is None:
            return "not run"
        if seconds is None:
            return "–" if record.status == "unsupported" else f"failed: {short((record.error or '').split(':')[0], 30)}"
        ratio = self.ratio(method)
        times = f" ({ratio_text(ratio)})" if ratio is not None and method != STANDARD else ""
        return f"{'≈' * self.scaled(method)}{seconds_text(seconds)}{times}"


@dataclass(frozen=True)
class Efficiency:
    """Counted work of one model and length against what was measured, at the largest number of sequences."""

    profile: EngineProfile
    row: EngineRow

    @property
    def measured_ratio(self) -> float | None:
        """How many times as fast as standard ISM."""
        return self.row.ratio(ENGINE)

    @property
    def factor(self) -> float | None:
        """The predicted ratio over the measured one; None unless both methods were measured."""
        return self.profile.predicted_ratio / self.measured_ratio if self.measured_ratio else None

    @property
    def products_per_second(self) -> float | None:
        """Counted multiply-accumulates a second that fastISM reached."""
        return self._rate(ENGINE, self.profile.products_fast)

    @property
    def standard_products_per_second(self) -> float | None:
        """The same of standard ISM."""
        return self._rate(STANDARD, self.profile.products_standard)

    def _rate(self, method: str, products: int) -> float | None:
        seconds = self.row.seconds(method)
        mutations = self.profile.length * (self.profile.letters - 1)
        return products * mutations / seconds if seconds and products and not self.profile.fallback else None


@dataclass(frozen=True)
class Growth:
    """How fastISM's cost of a sequence depends on the number of sequences and on their length."""

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

    @staticmethod
    def _over(row: EngineRow, other: EngineRow) -> float | None:
        own, reference = row.seconds(ENGINE), other.seconds(ENGINE)
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
    """What failed, was not supported or warned of, a cell a line."""


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
    found: dict[tuple[str, int, str, int], dict[str, Record]] = {}
    for record in records:
        w = record.workload
        found.setdefault((w.architecture, w.length, w.framework, w.sequences or 0), {})[w.method] = record
    rows = [EngineRow(*key, found[key]) for key in sorted(found, key=lambda key: (*_order(*key[:3]), key[3]))]
    smallest = {(row.architecture, row.length, row.framework): row for row in reversed(rows)}
    largest = {(row.architecture, row.length, row.framework): row for row in rows}
    shortest = {(row.architecture, row.framework): row for row in reversed(largest.values())}
    in_order = sorted(profiles, key=lambda p: _order(p.architecture, p.length, p.framework))
    matched = [(p, largest.get((p.architecture, p.length, p.framework))) for p in in_order]
    methods = sorted({method for row in rows for method in row.records}, key=lambda name: place(name, METHODS))
    notes = [
        f"{record.workload}: {note}"
        for row in rows
        for record in row.records.values()
        for note in notes_of(record)
        if not note.startswith("measured on")
    ]
    return EngineComparison(
        tuple(methods),
        tuple(rows),
        tuple(Efficiency(profile, row) for profile, row in matched if row is not None),
        tuple(in_order),
        tuple(
            Growth(smallest[key], most, shortest[most.architecture, most.framework]) for key, most in largest.items()
        ),
        tuple(notes),
    )


def _order(architecture: str, length: int, framework: str) -> tuple[tuple[int, str], int, tuple[int, str]]:
    return place(architecture, ARCHITECTURES), length, place(framework, FRAMEWORKS)
