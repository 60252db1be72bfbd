import io
from dataclasses import replace

from rich.console import Console

from attribution_bench.benchmark.results import Record, SequenceSource, Units, Workload
from attribution_bench.cli.progress import BenchmarkProgress
from attribution_bench.environment import Machine

FASTISM, ISM = (Workload("basset", 1000, "torch", method) for method in ("fastism", "standard_ism"))
RECORD = Record(
    workload=FASTISM,
    status="ok",
    error=None,
    durations=(0.5,),
    done=Units(1, 1000, 1),
    asked=Units(100, 1000, 1),
    batch_sizes=(),
    batch_size=None,
    device="cpu",
    threads=1,
    peak_memory_bytes=None,
    memory_kind=None,
    check=None,
    machine=Machine("Linux", "a processor", 1, 1),
    versions={},
    commit=None,
    sequences=SequenceSource("made up", "00", 100, 1000),
    settings={},
    date="2026-01-01T00:00:00+00:00",
)


def drawn(terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=150, color_system=None)
    with BenchmarkProgress(3, console) as progress:
        progress.finished(replace(RECORD, workload=Workload("bpnet", 1000, "torch", "fastism")), reused=True)
        progress.stage(FASTISM, "round 2", 0.7)
        progress._bar.refresh()
        progress.finished(RECORD, reused=False)
        progress.finished(replace(RECORD, workload=ISM, status="failed", error="ValueError: a\nb"), reused=False)
        progress._bar.refresh()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_shows_the_cell_what_is_measured_and_the_time_left() -> None:
    text = drawn(terminal=True)
    assert "1 of 3 cells" in text
    assert "basset 1000 torch fastism: round 2" in text
    assert "left:" in text
    assert "3 of 3 cells" in text


def test_a_file_gets_one_line_a_finished_cell() -> None:
    assert drawn(terminal=False).splitlines() == [
        "bpnet 1000 torch fastism: 50 s per 100 sequences, scaled from 0.01 of the work (measured before)",
        "basset 1000 torch fastism: 50 s per 100 sequences, scaled from 0.01 of the work",
        "basset 1000 torch standard_ism: failed: ValueError: a b",
    ]
