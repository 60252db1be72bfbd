"""How many significant digits a measured figure carries."""

from attribution_bench.benchmark.results import Record
from attribution_bench.benchmark.rounds import excess

SMALL_PART = 0.01
"""Part of the work below which a figure is scaled up by more than 100 times."""
STEADY = 0.05
"""Excess of the median over the fastest round up to which the third digit means anything."""
LOOSE = 0.5
"""Excess of the median over the fastest round from which only the first digit is known."""
DIGITS = (
    "Figures have three significant digits; two where less than a hundredth of the work was measured, or where the "
    f"median of the rounds is more than {STEADY:.0%} above the fastest; one where it is more than {LOOSE:.0%} above."
)


def significant_digits(record: Record, measured: float | None = None) -> int:
    """Return the digits that a cell's figure carries, 1 to 3, by the part that was measured and the rounds' spread.

    Parameters
    ----------
    record
        The cell.
    measured
        Part of the figure's work that was measured; by default the record's.
    """
    part = record.measured_fraction if measured is None else measured
    above = excess(record.durations) if record.durations else 0.0
    if above > LOOSE:
        return 1
    return 2 if above > STEADY or (part is not None and part < SMALL_PART) else 3
