"""The benchmark's table as data: every cell's figure, its ratio to the fast method, the paper's figure, and notes.

The renderers have nothing left to decide but the form.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attribution_bench.benchmark import paper
from attribution_bench.benchmark.results import Record
from attribution_bench.benchmark.rounds import AGREEMENT, FEWEST_ROUNDS, excess, slower_than_foretold
from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.digits import significant_digits
from attribution_bench.reporting.labels import ratio_text, seconds_text, share_text, short
from attribution_bench.reporting.roles import fast_method, method_labels

FRAMEWORKS = ("torch", "keras")
"""Order of the lines of one architecture and length."""
NOTE_LENGTH = 300
"""Characters of an error that a footnote keeps; the record has all of it."""


@dataclass(frozen=True)
class Cell:
    """One method in one row."""

    method: str
    record: Record | None
    """Record of the cell; None when it was not run."""
    ratio: float | None
    """How many times the reference's seconds in the same row; None for it, and where either has no figure."""
    ratio_digits: int
    """Significant digits that the ratio carries: those of the less certain of the two figures."""
    notes: tuple[str, ...]
    """What a reader has to know of the figure, or of its absence."""

    @property
    def seconds_text(self) -> str:
        """Seconds with the digits that they carry; a dash where there are none."""
        if self.record is None or self.seconds is None:
            return "–"
        return seconds_text(self.seconds, significant_digits(self.record))

    @property
    def seconds(self) -> float | None:
        """Seconds per 100 sequences; None unless measured."""
        return self.record.seconds_per_100_sequences if self.record else None

    @property
    def text(self) -> str:
        """The cell without its footnote marks: ``27.4 (10.1)``, a short error, a dash for what is not supported."""
        if self.record is None:
            return "not run"
        if self.seconds is None:
            if self.record.status == "unsupported":
                return "–"
            return f"failed: {short((self.record.error or 'error').split(':')[0], 30)}"
        return self.seconds_text + (f" ({ratio_text(self.ratio, self.ratio_digits)})" if self.ratio is not None else "")


@dataclass(frozen=True)
class Row:
    """One architecture at one length in one framework."""

    architecture: str
    length: int
    framework: str
    cells: tuple[Cell, ...]
    paper: paper.PaperRow | None
    """The paper's row for that architecture and length, if it has one."""


@dataclass(frozen=True)
class Comparison:
    """Every row, and the footnotes of all cells."""

    methods: tuple[str, ...]
    """Methods that have a record: the paper's first and in its order, then any others by name."""
    rows: tuple[Row, ...]
    """Rows by architecture (the paper's first), length, framework (PyTorch first)."""
    notes: tuple[str, ...]
    """Distinct footnotes, in the order in which their marks appear."""
    labels: Mapping[str, str]
    """Method -> the name that people read."""
    reference: str | None
    """The method that ratios are relative to: as in the paper, the one that computes only what a mutation affects; None
    where none was measured."""

    @property
    def headings(self) -> tuple[str, ...]:
        """The methods as people read them."""
        return tuple(self.labels[method] for method in self.methods)

    @property
    def relative_to(self) -> str | None:
        """Whose seconds the ratios are relative to, on measured lines or else on the paper's; None without ratios."""
        if self.reference is not None:
            return self.labels[self.reference]
        return paper.REFERENCE_LABEL if any(row.paper for row in self.rows) else None

    def marks(self, cell: Cell) -> str:
        """Return the letters of a cell's footnotes, such as ``a,c``; empty without any."""
        return ",".join(mark(self.notes.index(note)) for note in cell.notes)


def compare(records: Sequence[Record]) -> Comparison:
    """Arrange records as the paper's Table 1.

    Raises
    ------
    InvalidInputError
        There is no record, or there are two of one cell.
    """
    if not records:
        raise InvalidInputError("there are no records to show; give at least one")
    by_workload = {record.workload: record for record in records}
    if len(by_workload) < len(records):
        raise InvalidInputError("two records are of the same cell; give one a cell")
    methods = tuple(sorted({w.method for w in by_workload}, key=lambda name: place(name, paper.METHODS)))
    reference = fast_method(records)
    keys = sorted(
        {(w.architecture, w.length, w.framework) for w in by_workload},
        key=lambda key: (place(key[0], paper.ARCHITECTURES), key[1], place(key[2], FRAMEWORKS)),
    )
    rows = []
    for architecture, length, framework in keys:
        found = {
            workload.method: record
            for workload, record in by_workload.items()
            if (workload.architecture, workload.length, workload.framework) == (architecture, length, framework)
        }
        cells = tuple(_cell(method, found, reference) for method in methods)
        published = next((row for row in map(paper_row_of, found.values()) if row is not None), None)
        rows.append(Row(architecture, length, framework, cells, published))
    notes = dict.fromkeys(note for row in rows for cell in row.cells for note in cell.notes)
    return Comparison(methods, tuple(rows), tuple(notes), method_labels(records), reference)


def paper_row(architecture: str, length: int) -> paper.PaperRow | None:
    """Return the paper's row for an architecture and length; None if it has none."""
    return next((row for row in paper.TABLE_1 if (row.architecture, row.length) == (architecture, length)), None)


def paper_row_of(record: Record) -> paper.PaperRow | None:
    """Return the paper's row that a record compares with: it explains every output, as the paper did; or None."""
    if record.settings.get("target", "all") != "all":
        return None
    return paper_row(record.workload.architecture, record.workload.length)


def mark(index: int) -> str:
    """Return the letters of a footnote: a, b ... z, aa, ab ..."""
    return (mark(index // 26 - 1) if index >= 26 else "") + chr(ord("a") + index % 26)


def _cell(method: str, found: Mapping[str, Record], reference: str | None) -> Cell:
    record = found.get(method)
    own = record.seconds_per_100_sequences if record else None
    measured = None if reference is None else found.get(reference)
    other = measured.seconds_per_100_sequences if measured else None
    ratio = own / other if own is not None and other and method != reference else None
    digits = min((significant_digits(cell) for cell in (record, measured) if cell), default=3)
    return Cell(method, record, ratio, digits, (*notes_of(record), *timing_notes(record)) if record else ())


def notes_of(record: Record) -> list[str]:
    """Return what a reader has to know of a cell's figure, or of its absence."""
    if record.status != "ok":
        error = record.error or "no reason was recorded"
        if record.status == "unsupported":
            return [f"not supported: {short(error.removeprefix('UnsupportedError: '), NOTE_LENGTH)}"]
        return [f"failed: {short(error, NOTE_LENGTH)}"]
    notes = []
    if record.scaled and record.done and record.asked and record.measured_fraction is not None:
        parts = [
            f"{getattr(record.done, unit)} of {getattr(record.asked, unit)} {unit}"
            for unit in ("sequences", "positions", "outputs")
            if getattr(record.done, unit) != getattr(record.asked, unit)
        ]
        notes.append(
            f"measured on {', '.join(parts)} ({share_text(record.measured_fraction)} of the work) and scaled up"
        )
    if record.check and not record.check.passed:
        notes.append(f"the check of its output did not pass: {short(record.check.compared, NOTE_LENGTH)}")
    notes += [f"warned: {short(warning, NOTE_LENGTH)}" for warning in record.warnings]
    return notes


def timing_notes(record: Record) -> list[str]:
    """Return what a reader has to know of the rounds behind a cell's figure."""
    durations = record.durations
    if not durations:
        return []
    notes = []
    if len(durations) < FEWEST_ROUNDS:
        notes.append(f"timed in {len(durations)} round{'s' * (len(durations) > 1)} alone")
    if excess(durations) > AGREEMENT:
        notes.append(f"rounds disagree: {seconds_text(min(durations))} to {seconds_text(max(durations))} s")
    foretold = record.foretold_seconds
    if foretold is not None and slower_than_foretold(durations, foretold):
        notes.append(
            f"a round took {seconds_text(statistics.median(durations))} s, where the trial of batch sizes foretold "
            f"{seconds_text(foretold)} s"
        )
    return notes


def place(name: str, order: Sequence[str]) -> tuple[int, str]:
    """Return a sort key: names in a known order first, then the others by name."""
    return (order.index(name), "") if name in order else (len(order), name)
