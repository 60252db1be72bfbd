"""How a running job is shown."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from attribution_bench.cli.comparison_progress import ComparisonProgress
from attribution_bench.cli.job_progress import JobProgress, JsonLines, duration, summary_lines
from attribution_bench.cli.variant_progress import LineProgress
from attribution_bench.jobs.events import (
    Caution,
    Cluster,
    ModelsAdded,
    Retry,
    ShardDone,
    ShardFailed,
    Started,
    Summary,
    Working,
)

STARTED = Started(Path("scores.zarr"), ("fastism",), 5000, 50, 10, 1000, 3, {"unknown letters only": 12})
SUMMARY = Summary(
    Path("scores.zarr"), 5000, 4900, {"reaches beyond its contig": 88, "unknown letters only": 12}, 3,
    resumed_from=1000, seconds=400.0, seconds_per_100_sequences=10.0, halvings=2,
)  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(terminal: bool) -> tuple[JobProgress, Clock, io.StringIO, io.StringIO]:
    err, out, clock = io.StringIO(), io.StringIO(), Clock()
    console = Console(file=err, force_terminal=terminal, width=120, highlight=False)
    return JobProgress(console, Console(file=out, width=120, highlight=False), clock), clock, err, out


def test_what_is_wrong_with_the_first_sequence_of_a_reason_is_said():
    progress, _, err, _ = shown(terminal=False)
    with progress:
        progress(
            replace(STARTED, examples={"contig is not in the genome": "contig '1' is not in a.fa, which has 'chr1'"})
        )
    assert err.getvalue().splitlines()[1] == (
        "the first of 'contig is not in the genome': contig '1' is not in a.fa, which has 'chr1'"
    )


def test_elsewhere_there_is_a_line_now_and_then():
    progress, clock, err, out = shown(terminal=False)
    with progress:
        progress(STARTED)
        for shard in range(10, 50):
            clock.now += 10
            progress(Working(100 * shard + 50.0))
            progress(ShardDone(shard, 100 * (shard + 1), 5000, 10.0, {}))
        progress(Caution("memory ran out"))
        progress(SUMMARY)
    lines = err.getvalue().splitlines()
    assert lines[0] == "5,000 sequences in 50 shards; 1,000 done before; 12 set aside: unknown letters only"
    assert lines[1] == "1,300 of 5,000 sequences, 10 per second, 6 min left"
    assert len(lines) == 1 + 40 // 3 + 1
    assert lines[-1] == "caution: memory ran out"
    assert out.getvalue().splitlines() == [
        "scored 4,900 of 5,000 sequences",
        "set aside 100: 88 reaches beyond its contig; 12 unknown letters only",
        "3 equal an earlier one, scored like any other",
        "resumed from 1,000",
        "7 min: 10 s per 100 sequences",
        "memory ran out: the block was halved 2 times",
        "store: scores.zarr",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_resumed_ensemble_goes_on_from_what_was_begun(terminal: bool) -> None:
    """A shard that fails before models are added to any says nothing of the work that was begun."""
    progress, clock, err, _ = shown(terminal)
    with progress:
        progress(replace(STARTED, begun_sequences=800.0))
        progress(Cluster(2, 1, None))
        clock.now += 40
        progress(ShardFailed(11, 1000, 5000, "its process died", 1101, 1200))
        clock.now += 40
        progress(ModelsAdded(12, 4, 10, 1840.0, 5000, 20.0))
    assert not re.search(r"-\d", err.getvalue())
    rate = "0.5/s, 0 retries" if terminal else "1,840 of 5,000 sequences, 0.5 per second"
    assert rate in err.getvalue()


def test_other_processes_are_told_with_what_went_wrong():
    progress, clock, err, out = shown(terminal=False)
    with progress:
        progress(Cluster(2, 1, "http://127.0.0.1:8787/status"))
        progress(STARTED)
        progress(Retry("shard 11", 1, "its process died"))
        clock.now += 40
        progress(ShardDone(10, 1100, 5000, 10.0, {"scores or predictions are not finite": 3}))
        progress(ShardFailed(11, 1200, 5000, "its process died", 1101, 1200))
        progress(replace(SUMMARY, failed_shards={11: "its process died"}, retries=2, core_seconds_per_sequence=0.25))
    lines = err.getvalue().splitlines()
    assert lines[0] == "2 processes of 1 thread each; http://127.0.0.1:8787/status"
    assert lines[2] == "shard 11 is tried again: its process died"
    assert lines[3] == "1,100 of 5,000 sequences, 2.5 per second, 26 min left, 1 retry, 3 set aside"
    assert (
        lines[4]
        == "shard 11 (sequences 1,101 to 1,200) is set aside, and tried again by the next run: its process died"
    )
    told = out.getvalue().splitlines()
    assert told[5:9] == [
        "0.25 core-seconds a sequence",
        "2 tries failed",
        "1 shard was set aside, since every try failed; the same command tries again",
        "the error of shard 11: its process died",
    ]


@pytest.mark.parametrize("command", [JobProgress, ComparisonProgress, LineProgress])
def test_what_to_do_about_an_error_is_told_once(command):
    err = io.StringIO()
    progress = command(Console(file=err, force_terminal=False, width=400, highlight=False))
    tell = progress if command is JobProgress else progress.told
    full, other = (f"cannot write {name}: No space left on device; finished shards are kept" for name in ("a", "b"))
    with progress:
        for error in (full, full, other, other, f"{full}, 10 times"):
            tell(Retry("shard 3", 1, error))
        tell(Caution(f"worker tcp://10.0.0.1:1 gets no more work: {full}"))
        tell(Caution("memory ran out; blocks are halved"))
        if command is JobProgress:
            tell(ShardFailed(3, 1200, 5000, full, 301, 301))
    assert [line.partition(": ")[2] for line in err.getvalue().splitlines()[:7]] == [
        full,
        "cannot write a: No space left on device",
        other,
        "cannot write b: No space left on device",
        f"{full}, 10 times",
        "worker tcp://10.0.0.1:1 gets no more work: cannot write a: No space left on device",
        "memory ran out; blocks are halved",
    ]
    error = "cannot write a: No space left on device"
    failed = f"shard 3 (sequence 301) is set aside, and tried again by the next run: {error}"
    assert err.getvalue().splitlines()[7:] == [failed] * (command is JobProgress)


def test_figures_that_starting_is_in_say_so():
    one = replace(SUMMARY, seconds_include_starting=True, core_seconds_per_sequence=2.0)
    said = "starting included: more sequences take less each"
    assert f"7 min: 10 s per 100 sequences, {said}" in summary_lines(one)
    assert "2 core-seconds a sequence" in summary_lines(one)
    both = replace(one, core_seconds_include_starting=True, peak_bytes=10**9)
    assert f"2 core-seconds a sequence, {said}; peak memory 1 GB a process" in summary_lines(both)


def test_a_terminal_has_a_bar_with_rate_and_time_left():
    progress, clock, err, _ = shown(terminal=True)
    with progress:
        progress(STARTED)
        clock.now = 20
        progress(Working(1200.0))
        progress(ShardDone(11, 1200, 5000, 10.0, {}))
        progress._bar.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err.getvalue())
    assert "1,200 of 5,000 sequences 10/s" in text
    assert "left:" in text
    assert "per second" not in text


def test_json_lines(capsys: pytest.CaptureFixture[str]):
    write = JsonLines()
    for event in (STARTED, Working(3.0), ShardDone(0, 4, 8, 0.5, {}), Caution("x"), SUMMARY):
        write(event)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["started", "shard", "caution", "summary"]
    assert events[0]["store"] == "scores.zarr"
    assert events[0]["set_aside"] == {"unknown letters only": 12}
    assert events[-1]["seconds_per_100_sequences"] == 10.0


def test_what_stopped_a_job_and_what_is_left():
    lines = summary_lines(Summary(Path("a"), 10, 4, left=6, stopped_by="SIGINT"))
    assert lines[0] == "scored 4 of 10 sequences; 6 left to do"
    assert lines[1] == "stopped by Ctrl-C; the same command goes on"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.25 s"), (42, "42 s"), (150, "2 min"), (5400, "90 min"), (12600, "3.5 h")]
)
def test_durations(seconds: float, text: str):
    assert duration(seconds) == text
