"""Tables, figures and logos of stored results. Nothing here computes a score or times anything."""

from attribution_bench.reporting.report import render_report
from attribution_bench.reporting.tables import terminal_table

__all__ = ["render_report", "terminal_table"]
