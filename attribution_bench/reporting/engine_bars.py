"""A section of the engine's page: what requests cost beside others, and whether that meets the bar set for each."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from attribution_bench.benchmark.bars import Bar, BarRecord, Line
from attribution_bench.reporting.benchmark_tables import markdown_text
from attribution_bench.reporting.conditions import commits_text, days_text, machine_text, versions_text
from attribution_bench.reporting.faithfulness.texts import listed
from attribution_bench.reporting.labels import framework_label, ratio_text
from attribution_bench.reporting.markdown_tables import markdown_table

TITLE = "## What other requests cost"
LONGEST_TABLE = 30
"""Bars of one kind that are shown line by line; more are summed up, a line a model and what it is compared with."""
MOST_DECIMALS = 5
LINES = ("Model", "Length", "Framework", "Request", "Beside", "Figure", "Lowest to highest", "Bar")
GROUPS = (
    *("Model", "Length", "Framework", "Beside", "Requests", "Median", "Worst", "Worst request"),
    *("Its lowest to highest", "Bar"),
)
COLUMNS = (
    "Lowest to highest are the figures of single rounds; a figure is to be at most (≤), or at least (≥), its bar. Long "
    "tables are summed up; `edges/` holds every figure, in one JSON file a script of `make speed-records`."
)


def bars_section(records: Sequence[BarRecord]) -> list[str]:
    """Say how many bars are met and which are missed, and show a table a kind; nothing where there are no records.

    Returns
    -------
    Parts of a Markdown page.
    """
    filled = [record for record in records if record.lines]
    lines = [line for record in filled for line in record.lines]
    if not lines:
        return []
    parts = [TITLE, markdown_text(_standing([line.bar for line in lines])), COLUMNS]
    for kind, found in groupby(filled, key=lambda record: record.kind):
        of_kind = list(found)
        bars = [line.bar for record in of_kind for line in record.lines]
        parts += [f"### {kind}", (_groups_table if len(bars) > LONGEST_TABLE else _lines_table)(bars)]
        parts.append(markdown_text(" ".join(record.procedure for record in of_kind)))
    return [*parts, markdown_text(_conditions(lines))]


def _standing(bars: Sequence[Bar]) -> str:
    """Say how many bars are met, and name each that is missed with its figure."""
    missed = [bar for bar in bars if not bar.met]
    if not missed:
        return f"All {len(bars)} bars are met." if len(bars) > 1 else "The one bar is met."
    met = f"{len(bars) - len(missed)} of {len(bars)} bars are met"
    return f"{met}. Missed: {'; '.join(map(_missed_text, missed))}."


def _missed_text(bar: Bar) -> str:
    of = [f"{bar.length} letters"] if bar.length else []
    of += [framework_label(bar.framework)] if bar.framework else []
    model = f"{bar.model} ({', '.join(of)})" if of else bar.model
    beside = f" beside {bar.beside}" if bar.beside else ""
    return f"{model}, {bar.request}: {_figure(bar)}{beside} ({bar.sense} {bar.limit:g})"


def _lines_table(bars: Iterable[Bar]) -> str:
    lines = []
    for bar in bars:
        limit = _limit(bar) + ("" if bar.met else ", missed")
        lines.append((*_place(bar), bar.request, bar.beside, _figure(bar), _spread(bar), limit))
    return markdown_table(LINES, lines)


def _groups_table(bars: Iterable[Bar]) -> str:
    groups: dict[tuple[object, ...], list[Bar]] = {}
    for bar in bars:
        key = (bar.model, bar.length, bar.framework, bar.beside, bar.unit, bar.sense, bar.limit)
        groups.setdefault(key, []).append(bar)
    lines = []
    for group in groups.values():
        worst = (max if group[0].sense == "at most" else min)(group, key=lambda bar: bar.figure)
        median = _number(worst, statistics.median(bar.figure for bar in group))
        missed = sum(not bar.met for bar in group)
        limit = _limit(worst) + (f", {missed} missed" if missed else "")
        figures = (str(len(group)), median, _figure(worst), worst.request, _spread(worst), limit)
        lines.append((*_place(worst), worst.beside, *figures))
    return markdown_table(GROUPS, lines)


def _place(bar: Bar) -> tuple[str, str, str]:
    length = "" if bar.length is None else str(bar.length)
    return bar.model, length, "" if bar.framework is None else framework_label(bar.framework)


def _figure(bar: Bar) -> str:
    """Write the figure of a bar; with as many decimals as show on which side of the written bar it is."""
    decimals = (f"{bar.figure:.{count}f}" for count in range(2, MOST_DECIMALS + 1))
    texts = (_number_text(bar.figure), *decimals, repr(bar.figure))
    written = float(f"{bar.limit:g}")
    shown = next((text for text in texts if replace(bar, figure=float(text), limit=written).met == bar.met), texts[-1])
    return shown + _unit(bar)


def _number(bar: Bar, value: float) -> str:
    return _number_text(value) + _unit(bar)


def _number_text(value: float) -> str:
    return f"{value:.2f}" if value < 10 else ratio_text(value)


def _unit(bar: Bar) -> str:
    return " s" if bar.unit == "seconds" else ""


def _spread(bar: Bar) -> str:
    return f"{_number(bar, bar.lowest)} to {_number(bar, bar.highest)}" if bar.rounds > 1 else "one round"


def _limit(bar: Bar) -> str:
    return f"{'≤' if bar.sense == 'at most' else '≥'} {bar.limit:g}{_unit(bar)}"


def _conditions(lines: Sequence[Line]) -> str:
    """Say where, when and of which source the bars were measured."""
    conditions = [line.conditions for line in lines]
    machines = "; ".join(dict.fromkeys(machine_text(found.machine) for found in conditions))
    threads = sorted({found.threads for found in conditions})
    facts = (
        f"Measured on {machines}",
        f"{listed(list(map(str, threads)))} thread{'s' * (threads != [1])}",
        versions_text(found.versions for found in conditions),
        f"commit {commits_text(found.commit for found in conditions)}",
        days_text(found.date for found in conditions),
    )
    return f"{'; '.join(facts)}."
