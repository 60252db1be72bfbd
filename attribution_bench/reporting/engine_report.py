"""The engine benchmark's results folder rendered: a page and a table of every cell, from its stored JSON alone."""

from collections.abc import Callable, Sequence
from pathlib import Path

from attribution_bench.benchmark.bars import BarRecord, load_bars
from attribution_bench.benchmark.engine_profile import EngineProfile, load_profiles
from attribution_bench.benchmark.results import Record, load_records
from attribution_bench.files import read_bounded, reading, write_whole
from attribution_bench.reporting.benchmark_tables import markdown_text
from attribution_bench.reporting.conditions import checks_sentence, facts, setup_sentence
from attribution_bench.reporting.csv_text import csv_text
from attribution_bench.reporting.digits import DIGITS
from attribution_bench.reporting.engine import Efficiency, EngineComparison, EngineRow, Growth, compare_engine
from attribution_bench.reporting.engine_bars import bars_section
from attribution_bench.reporting.engine_summary import summary
from attribution_bench.reporting.faithfulness.texts import listed
from attribution_bench.reporting.labels import (
    architecture_label,
    framework_label,
    ratio_text,
    seconds_text,
    share_text,
)
from attribution_bench.reporting.markdown_tables import markdown_table
from attribution_bench.reporting.terminal_tables import Column, TerminalLine, TerminalTable

SCALED = (
    "≈ marks what did not fit the time budget: it was measured on a part of the sequences or positions and scaled up "
    "(`table.csv` says on how much)."
)
MEMORY = (
    "Highest memory while the cell ran, in MiB. On a CPU it is the whole process's, with its libraries, the model and "
    "the results that the call returns, and with what earlier cells "
    "freed and it kept; on a GPU it is what the framework's allocator handed out."
)
GROWTH = (
    "Fewest over most: seconds per sequence at the smallest number of sequences, over those at the largest. Over "
    "linear growth: seconds per letter at the largest number of sequences, over those at the model's shortest length."
)
COLD = (
    "One sequence, mutated at the given number of positions in its middle. The first run includes the self-check. "
    "Capture and plan of the first model in a process also import what capture needs."
)
WORK = (
    "Multiply-accumulates (MAC) are counted, for one mutation in the middle of the sequence. The rates are those "
    "counted over the seconds at the line's number of sequences, in GFLOP/s of two operations a MAC, and as a share of "
    "a large matrix product timed in the same run on the same device, threads and precision. Predicted is the ratio "
    "that `attribution-bench explain` gives."
)
NODES = (
    "Shares of a run of one sequence on one thread, in which the steps of the plan were timed one by one; the figures "
    "above come from other runs. What is left was spent between the steps: the unmutated pass, the mutations' letters, "
    "and writing the predictions."
)
PRECISIONS = (
    "One sequence, mutated at the given number of positions in its middle, with the products of windows computed in "
    "each precision that is available here and added up in single precision; the unmutated pass stays in single "
    "precision. Errors are the largest differences from full passes in double precision at a few of the positions: of "
    "the predictions, over the largest prediction, and of what mutations change, over the largest change."
)
OCCASIONAL = (
    "These were measured on few lines. In parentheses as above; in the column beside it how many times the seconds of "
    "the fast method on the same line each takes."
)
FIGURE = "ratio.svg"
NOTES = "notes.md"
"""A file of the folder, written by hand, that becomes a part of the page."""
LONGEST_NOTES = 2**22
"""Bytes of that file."""
MOST_NODES = 6
MEBIBYTE = 2**20
PLACE = ("Model", "Length", "Framework")
CSV_COLUMNS = (
    "architecture", "length", "framework", "sequences", "method", "status", "seconds_per_sequence",
    "ratio", "outputs", "scaled", "measured_fraction", "done_sequences", "done_positions",
    "done_outputs", "rounds", "spread", "batch_size", "device", "threads", "peak_memory_bytes", "check_passed",
    "largest_difference", "error",
)  # fmt: skip
"""``ratio`` is written as ``ratio_over_<method>`` where there is a method that ratios are relative to."""


def render_engine_report(folder: Path) -> list[Path]:
    """Render the folder again from ``records/*.json``, ``profiles/*.json`` and ``edges/*.json``.

    Writes ``table.csv``, ``ratio.png`` and ``.svg`` where a ratio is known, and ``README.md``, which begins with them.

    What ``notes.md`` holds, where somebody has written one, becomes a part of the page.

    Raises
    ------
    InvalidInputError
        The folder holds no records, or a file that cannot be read.
    OutputError
        The folder cannot be written.
    """
    records = load_records(folder)
    comparison = compare_engine(records, load_profiles(folder))
    written = Path(folder) / NOTES
    with reading(written, "is no text that can be read"):
        notes = read_bounded(written, LONGEST_NOTES).decode().strip() if written.exists() else ""
    contents: dict[str, str | bytes] = {"table.csv": _csv(comparison), **_figure_files(comparison)}
    figure = FIGURE if FIGURE in contents else None
    contents["README.md"] = _page(records, comparison, load_bars(folder), notes, figure)
    return [write_whole(Path(folder) / name, content) for name, content in contents.items()]


def _figure_files(comparison: EngineComparison) -> dict[str, bytes]:
    from attribution_bench.reporting.engine_figure import has_ratios, ratio_figure
    from attribution_bench.reporting.figures import figure_files

    return figure_files("ratio", ratio_figure(comparison)) if has_ratios(comparison) else {}


def engine_terminal_table(records: Sequence[Record]) -> TerminalTable:
    """Return the table of seconds for ``rich``."""
    comparison = compare_engine(records, ())
    ratio = f" (times as fast as {comparison.labels[comparison.baseline]})" if comparison.baseline else ""
    lines = []
    for row in comparison.rows:
        model, length, framework = _place(row)
        figures = map(row.text, comparison.usual)
        lines.append(TerminalLine((f"{model}, {framework}", length, str(row.sequences), *figures)))
    names = (Column("Model", right=False), *map(Column, ("Length", "Sequences", *comparison.headings)))
    return TerminalTable(names, tuple(lines), f"Seconds per sequence{ratio}", keys=3)


def _page(
    records: Sequence[Record],
    comparison: EngineComparison,
    bars: Sequence[BarRecord],
    notes: str,
    figure: str | None,
) -> str:
    methods, rows = comparison.usual, comparison.rows
    labels, fast = comparison.headings, markdown_text(comparison.label(comparison.fast, "the fast method"))
    parts = [
        f"# {fast}'s engine, measured" if comparison.fast else "# The engine suite, measured",
        *([markdown_text(" ".join(sentences))] if (sentences := summary(records, comparison)) else []),
        *([f"![{markdown_text(_figure_text(comparison))}]({figure})"] if figure else []),
        markdown_text(setup_sentence(records)),
        _gpu_sentence(records),
        "## Time",
        markdown_table(
            (*PLACE, "Sequences", *labels),
            ((*_place(row), str(row.sequences), *map(row.text, methods)) for row in rows),
        ),
        _caption(comparison),
        *(["\n".join(f"- {markdown_text(note)}" for note in comparison.notes)] if comparison.notes else []),
        *_occasional_section(comparison),
        "## Memory",
        markdown_table(
            (*PLACE, "Sequences", *labels),
            ((*_place(row), str(row.sequences), *(_memory(row, method) for method in methods)) for row in rows),
        ),
        MEMORY,
    ]
    parts += [*_growth_section(comparison.growths, fast), *bars_section(bars)]
    if comparison.profiles:
        profiled = " and ".join(dict.fromkeys(profile.label for profile in comparison.profiles))
        standard = comparison.label(comparison.baseline, "full passes")
        parts += [*_cold_section(comparison.profiles), *_work_section(comparison.efficiencies, profiled, standard)]
        parts += [*_precision_section(comparison.profiles), *_node_section(comparison.profiles, profiled)]
    if notes:
        parts += ["## What stands in the way of more", notes]
    parts += [
        "## How it was measured",
        "After a warm-up, batch sizes are tried within a share of the cell's time budget; the best one is timed in "
        "rounds, taken in turns with the other methods on the same model, and the figure is their median. The "
        "sequences are windows spread evenly over the genome of phage lambda; the weights are random, with a fixed "
        "seed.",
        markdown_text(checks_sentence(records)),
        "\n".join(f"- {name}: {markdown_text(value)}" for name, value in facts(records) if name != "sequences"),
        "## Files",
        "`records/` holds one JSON file a cell, `profiles/` one a model and length that was profiled, `table.csv` the "
        "cells with full precision, `ratio.svg` and `ratio.png` the figure. To render all of it again, in this folder:",
        "```bash\nattribution-bench report .\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _figure_text(comparison: EngineComparison) -> str:
    """Describe the figure for those who do not see it."""
    fast, standard = comparison.label(comparison.fast, "the fast method"), comparison.label(comparison.baseline, "")
    return f"How many times as fast as {standard} {fast} is, against the length of the sequences, a line a model."


def _occasional_section(comparison: EngineComparison) -> list[str]:
    """List the lines of methods that were run on few rows, each beside the fast method on the same row."""
    lines = [
        (
            comparison.labels[method],
            *_place(row),
            str(row.sequences),
            row.text(method),
            _optional(row.over(method, comparison.fast or ""), lambda ratio: ratio_text(ratio, 2)),
            _memory(row, method),
        )
        for method in comparison.occasional
        for row in comparison.rows
        if method in row.records
    ]
    against = f"Over {comparison.label(comparison.fast, 'the fast method')}"
    header = ("Method", *PLACE, "Sequences", "Seconds per sequence", against, "Memory (MiB)")
    title = "## Other implementations and methods, on some lines"
    return [title, markdown_table(header, lines), OCCASIONAL] if lines else []


def _gpu_sentence(records: Sequence[Record]) -> str:
    if any(record.machine.gpu for record in records):
        return "The cells of a GPU name it."
    return "No GPU was used where this was measured: every figure here is of a CPU."


def _caption(comparison: EngineComparison) -> str:
    """Say what the figures are: whose seconds the ratios are relative to, and of how many outputs each is."""
    sentences = ["Seconds per sequence."]
    if comparison.baseline is not None:
        sentences = [
            "Seconds per sequence; in parentheses how many times as fast as "
            f"{markdown_text(comparison.labels[comparison.baseline])} at its own best batch size on the same line."
        ]
    if comparison.whole:
        whole = markdown_text(listed([comparison.labels[method] for method in comparison.whole]))
        predict = "predicts" if len(comparison.whole) == 1 else "predict"
        sentences.append(f"{whole} {predict} every mutation of every position for every output in one run.")
    if any(method not in comparison.whole for method in comparison.usual):
        others = "The other methods' figures" if comparison.whole else "The figures"
        sentences.append(f"{others} are for one output, of which they need a run each.")
    return " ".join([*sentences, DIGITS, SCALED])


def _growth_section(growths: Sequence[Growth], label: str) -> list[str]:
    lines = [
        (
            *_place(found.most),
            str(found.fewest.sequences),
            str(found.most.sequences),
            _optional(found.few_over_many, "{:.2f}".format),
            _optional(found.over_linear, "{:.2f}".format),
        )
        for found in growths
        if found.few_over_many is not None or found.over_linear is not None
    ]
    header = (*PLACE, "Fewest sequences", "Most sequences", "Fewest over most", "Over linear growth")
    return [f"## How {label}'s cost grows", markdown_table(header, lines), GROWTH] if lines else []


def _cold_section(profiles: Sequence[EngineProfile]) -> list[str]:
    lines = (
        (
            *_place(p),
            str(p.measured.positions),
            seconds_text(p.measured.capture_seconds),
            seconds_text(p.measured.first_seconds),
            seconds_text(p.measured.warm_seconds),
        )
        for p in profiles
    )
    header = (*PLACE, "Positions", "Capture and plan (s)", "First run (s)", "Warm run (s)")
    return ["## Cold and warm", markdown_table(header, lines), COLD]


def _work_section(efficiencies: Sequence[Efficiency], label: str, standard: str) -> list[str]:
    lines = []
    for found in efficiencies:
        profile, matrix = found.profile.measured, found.profile.measured.matrix_products_per_second
        lines.append(
            (
                *_place(found.profile),
                str(found.row.sequences),
                f"{profile.products_standard / 1e6:.4g}",
                f"{profile.products_fast / 1e6:.3g}",
                ratio_text(profile.predicted_ratio),
                found.row.ratio_text(found.profile.method),
                f"{2 * matrix / 1e9:.3g}",
                _optional(found.products_per_second, lambda rate, of=matrix: _rate(rate, of)),  # type: ignore[misc]
                _optional(found.standard_products_per_second, lambda rate, of=matrix: _rate(rate, of)),  # type: ignore[misc]
            )
        )
    header = (
        *(*PLACE, "Sequences", "MMAC standard", f"MMAC {label}", "Predicted ratio", "Measured ratio"),
        *("Matrix product (GFLOP/s)", f"{label} (GFLOP/s)", f"{standard} (GFLOP/s)"),
    )
    fallbacks = [
        f"- {' '.join(_place(found.profile))}: {found.profile.measured.fallback}"
        for found in efficiencies
        if found.profile.measured.fallback
    ]
    reasons = ["Where every mutation takes a full pass:", "\n".join(map(markdown_text, fallbacks))] if fallbacks else []
    factors = [max(f.factor, 1 / f.factor) for f in efficiencies if f.factor is not None]
    worst = [f"Prediction and measurement differ by a factor of at most {max(factors):.2f}."] if factors else []
    title = "## Work against the machine's matrix product"
    return [title, markdown_table(header, lines), " ".join((WORK, *worst)), *reasons]


def _precision_section(profiles: Sequence[EngineProfile]) -> list[str]:
    lines = (
        (
            *_place(profile),
            str(profile.measured.positions),
            found.products,
            seconds_text(found.seconds),
            f"{found.error:.1e}",
            f"{found.delta_error:.1e}",
        )
        for profile in profiles
        for found in profile.measured.precisions
    )
    header = (*PLACE, "Positions", "Products", "Seconds", "Error of predictions", "Error of changes")
    table = list(lines)
    return ["## Products of lower precision", markdown_table(header, table), PRECISIONS] if table else []


def _node_section(profiles: Sequence[EngineProfile], label: str) -> list[str]:
    lines = []
    for of, profile in ((profile, profile.measured) for profile in profiles):
        if not profile.nodes or not profile.single_thread_seconds:
            continue
        total, shown = profile.single_thread_seconds, profile.nodes[:MOST_NODES]
        others = sum(node.seconds for node in profile.nodes[MOST_NODES:])
        left = max(0.0, total - sum(node.seconds for node in profile.nodes))
        heaviest = ", ".join(f"{node.layer} {share_text(node.seconds / total)}" for node in shown)
        lines.append((*_place(of), heaviest, share_text(others / total), share_text(left / total)))
    header = (*PLACE, "Heaviest steps", "Other steps", "Between steps")
    return [f"## Where {markdown_text(label)}'s time goes", markdown_table(header, lines), NODES] if lines else []


def _place(of: EngineRow | EngineProfile) -> tuple[str, str, str]:
    return architecture_label(of.architecture), str(of.length), framework_label(of.framework)


def _memory(row: EngineRow, method: str) -> str:
    record = row.records.get(method)
    return "" if record is None or record.peak_memory_bytes is None else f"{record.peak_memory_bytes / MEBIBYTE:.0f}"


def _rate(products_per_second: float, matrix: float) -> str:
    return f"{2 * products_per_second / 1e9:.3g} ({share_text(products_per_second / matrix)})"


def _optional(value: float | None, text: Callable[[float], str]) -> str:
    return "" if value is None else text(value)


def _csv(comparison: EngineComparison) -> str:
    ratio = "ratio" if comparison.baseline is None else f"ratio_over_{comparison.baseline}"
    header = [ratio if name == "ratio" else name for name in CSV_COLUMNS]
    lines = (
        _csv_line(row, method, row.records[method])
        for row in comparison.rows
        for method in comparison.methods
        if method in row.records
    )
    return csv_text(header, ([line[name] for name in CSV_COLUMNS] for line in lines))


def _csv_line(row: EngineRow, method: str, record: Record) -> dict[str, object]:
    done, check = record.done, record.check
    return {
        "architecture": row.architecture,
        "length": row.length,
        "framework": row.framework,
        "sequences": row.sequences,
        "method": method,
        "status": record.status,
        "seconds_per_sequence": row.seconds(method),
        "ratio": row.ratio(method),
        "outputs": record.asked and record.asked.outputs,
        "scaled": row.scaled(method) if record.status == "ok" else None,
        "measured_fraction": record.measured_fraction,
        "done_sequences": done and done.sequences,
        "done_positions": done and done.positions,
        "done_outputs": done and done.outputs,
        "rounds": len(record.durations) or None,
        "spread": record.spread,
        "batch_size": record.batch_size,
        "device": record.device,
        "threads": record.threads,
        "peak_memory_bytes": record.peak_memory_bytes,
        "check_passed": check and check.passed,
        "largest_difference": check and check.largest_difference,
        "error": record.error,
    }
