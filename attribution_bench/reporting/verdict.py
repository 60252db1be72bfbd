"""Whether the paper's Table 1 is reproduced, and where not, from the compared figures alone."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from attribution_bench.benchmark import paper
from attribution_bench.benchmark.results import Record
from attribution_bench.environment import Machine
from attribution_bench.reporting.comparison import Cell, Comparison, Row
from attribution_bench.reporting.digits import significant_digits
from attribution_bench.reporting.faithfulness.texts import counted, listed
from attribution_bench.reporting.labels import framework_label, ratio_text
from attribution_bench.reporting.roles import baseline

NEAR = 2.0
"""Factor within which a ratio counts as the paper's."""
IN_WORDS = "a factor of two"


@dataclass(frozen=True)
class Claim:
    """One line on which the fast method and the one with full passes both have figures, here and in the paper."""

    here: float
    """How many times as long the full passes took here."""
    paper: float


@dataclass(frozen=True)
class Verdict:
    """How far the lines that the paper has too agree with it."""

    comparison: Comparison

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The lines that the paper has."""
        return tuple(row for row in self.comparison.rows if row.paper is not None)

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Records of those lines."""
        return tuple(cell.record for row in self.rows for cell in row.cells if cell.record is not None)

    @cached_property
    def baseline(self) -> str | None:
        """The method with full passes that the paper's claim is about; None where none was measured."""
        return baseline(self.records)

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """What the paper claims, line by line: full passes take longer."""
        return tuple(
            Claim(cell.ratio, row.paper.ratio_to_fastism(cell.method))
            for row, cell in self._ratios()
            if cell.method == self.baseline and cell.ratio is not None and row.paper is not None
        )

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """How many times the paper's each ratio to the fast method is."""
        return tuple(
            cell.ratio / row.paper.ratio_to_fastism(cell.method)
            for row, cell in self._ratios()
            if cell.ratio is not None and row.paper is not None
        )

    @cached_property
    def near(self) -> int:
        """How many of the ratios are within `NEAR` of the paper's."""
        return sum(1 / NEAR <= share <= NEAR for share in self.shares)

    @cached_property
    def orders(self) -> tuple[tuple[tuple[str, str], ...], ...]:
        """For each line with several figures: pairs (sooner here, sooner in the paper) whose order is the other one."""
        return tuple(
            tuple(pair for pair in map(_turned, combinations(cells, 2)) if pair is not None)
            for cells in map(_published_cells, self.rows)
            if len(cells) > 1
        )

    @property
    def ordered(self) -> int:
        """Lines on which no pair of methods has another order than in the paper."""
        return sum(not turned for turned in self.orders)

    def _ratios(self) -> Iterator[tuple[Row, Cell]]:
        if self.comparison.reference != paper.REFERENCE:
            return
        for row in self.rows:
            yield from ((row, cell) for cell, _ in _published_cells(row) if cell.ratio is not None)


def verdict_sentence(comparison: Comparison) -> str:
    """Say whether the paper is reproduced, what is not, and what differs; empty where no line is the paper's."""
    verdict = Verdict(comparison)
    if not verdict.rows:
        return ""
    if not verdict.claims:
        return "Not judged: the paper says that fastISM takes less than standard ISM, and no model here has both."
    sooner = [claim for claim in verdict.claims if claim.here > 1]
    state = "Reproduced" if len(sooner) == len(verdict.claims) else "Reproduced in part" if sooner else "Not reproduced"
    fast, slow = (comparison.labels[str(name)] for name in (comparison.reference, verdict.baseline))
    frameworks = listed(list(dict.fromkeys(framework_label(row.framework) for row in verdict.rows)))
    compared = counted(len(verdict.claims), "comparison")
    said = f"{state}: {fast} is faster than {slow} in {len(sooner)} of {compared} ({frameworks})"
    if sooner:
        here, there = span([claim.here for claim in sooner]), span([claim.paper for claim in verdict.claims])
        said += f", {here} times as fast (in the paper {there})"
    lost, causes = list(_differences(verdict)), list(_causes(verdict))
    if lost:
        said += f". Not as in the paper: {listed(lost)}"
    if causes:
        said += f". Times and their ratios depend on {listed(causes)}"
    return f"{said}."


def verdict_points(comparison: Comparison) -> list[tuple[str, str]]:
    """Return what the sentence counts, as (what, details): order, ratios, hardware, sequences at once."""
    verdict = Verdict(comparison)
    if not verdict.claims:
        return []
    labels = comparison.labels
    order = f"the paper's in {verdict.ordered} of {counted(len(verdict.orders), 'comparison')}"
    turned = Counter(pair for pairs in verdict.orders for pair in pairs)
    groups = []
    for sooner in dict.fromkeys(first for first, _ in turned):
        others = [
            f"{labels[other]} ({counted(count, 'comparison')})"
            for (first, other), count in turned.items()
            if first == sooner
        ]
        groups.append(f"{labels[sooner]} takes less than {listed(others)}")
    if groups:
        order += f"; unlike there, {', and '.join(groups)}"
    ratios = (
        f"{verdict.near} of {len(verdict.shares)} are within {IN_WORDS} of the paper's; "
        f"they are {span(list(verdict.shares))} times the paper's"
    )
    apart = " Seconds do not compare." if _elsewhere(verdict) else ""
    at_once = (
        f"at most {_at_once(verdict.records)} sequences at once here, up to {paper.AT_ONCE} in the paper "
        f"({paper.AMORTISED})"
    )
    return [
        ("Order of the methods", f"{order}."),
        ("Ratios to fastISM", f"{ratios}. They shift with the device and with the number of sequences."),
        ("Hardware", f"{_machines(verdict)} here, {paper.DEVICE} in the paper.{apart}"),
        ("Sequences at once", f"{at_once}."),
    ]


def verdict_lines(comparison: Comparison) -> list[str]:
    """Return the verdict and its details as lines of plain text; none where no line is the paper's."""
    sentence = verdict_sentence(comparison)
    return [sentence, *(f"- {what}: {said}" for what, said in verdict_points(comparison))] if sentence else []


def span(values: Sequence[float]) -> str:
    """Write the least and the largest of some ratios with two significant digits, once where they look alike."""
    return " to ".join(dict.fromkeys(ratio_text(value, 2) for value in (min(values), max(values))))


def _differences(verdict: Verdict) -> Iterator[str]:
    """Yield what of the paper's table is not found again."""
    if verdict.ordered < len(verdict.orders):
        yield f"the order of all methods (the paper's in {verdict.ordered} of {len(verdict.orders)})"
    if verdict.near < len(verdict.shares):
        count = f"{verdict.near} of {len(verdict.shares)}"
        yield f"how many times as long as {paper.REFERENCE_LABEL} a method takes ({count} within {IN_WORDS})"


def _causes(verdict: Verdict) -> Iterator[str]:
    """Yield what was otherwise in the paper's measurements, and shifts times and their ratios."""
    if _elsewhere(verdict):
        yield f"the hardware (here {_machines(verdict)}, in the paper {paper.DEVICE})"
    if (at_once := _at_once(verdict.records)) < paper.AT_ONCE:
        yield f"how many sequences are scored at once (here at most {at_once}, in the paper up to {paper.AT_ONCE})"


def _elsewhere(verdict: Verdict) -> bool:
    """Whether any cell was measured on other hardware than the paper's."""
    return not all(paper.GPU in (record.machine.gpu or "") for record in verdict.records)


def _published_cells(row: Row) -> list[tuple[Cell, float]]:
    """Return the cells that have a figure here and in the paper, with the paper's seconds."""
    published = {} if row.paper is None else row.paper.seconds_per_100_sequences
    return [(cell, published[cell.method]) for cell in row.cells if cell.seconds and cell.method in published]


def _turned(pair: tuple[tuple[Cell, float], tuple[Cell, float]]) -> tuple[str, str] | None:
    """Return the two methods, the one that is sooner here first, where the paper has them the other way round."""
    (first, first_paper), (second, second_paper) = sorted(pair, key=lambda one: _shown(one[0]))
    apart = _shown(first) < _shown(second) and first_paper > second_paper
    return (first.method, second.method) if apart else None


def _shown(cell: Cell) -> float:
    """Return the seconds with the digits that they carry, so that figures that look alike have no order."""
    assert cell.seconds is not None
    assert cell.record is not None
    return float(f"{cell.seconds:.{significant_digits(cell.record)}g}")


def _machines(verdict: Verdict) -> str:
    return listed(sorted({_machine(record.machine) for record in verdict.records}))


def _machine(machine: Machine) -> str:
    return machine.gpu or f"{machine.cpu} ({counted(machine.cores, 'core')})"


def _at_once(records: Sequence[Record]) -> int:
    return max((record.asked.sequences for record in records if record.asked), default=0)
