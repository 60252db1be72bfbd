"""Tables, figures and logos of stored results. Nothing here computes a score or times anything."""

from attribution_bench.reporting.benchmark_report import render_report
from attribution_bench.reporting.benchmark_terminal import terminal_table
from attribution_bench.reporting.engine import of_engine_suite
from attribution_bench.reporting.engine_report import engine_terminal_table, render_engine_report

__all__ = ["engine_terminal_table", "of_engine_suite", "render_engine_report", "render_report", "terminal_table"]
