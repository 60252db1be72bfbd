import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attribution_bench import Tags
from attribution_bench.benchmark.results import (
    BatchTiming,
    OutputCheck,
    Record,
    SequenceSource,
    Units,
    Workload,
    load_records,
    save_record,
)
from attribution_bench.environment import Commit, Machine
from attribution_bench.errors import InvalidInputError, OutputError

RECORD = Record(
    workload=Workload("bpnet", 1000, "torch", "standard_ism"),
    status="ok",
    error=None,
    durations=(2.0, 9.0, 4.0),
    done=Units(2, 500, 1001),
    asked=Units(50, 1000, 1001),
    batch_sizes=(
        BatchTiming(None, 1.5, Units(1, 100, 1001)),
        BatchTiming(256, None, Units(1, 100, 1001), "MemoryError: too large"),
    ),
    batch_size=None,
    device="cpu",
    threads=2,
    peak_memory_bytes=2**30,
    memory_kind="resident set",
    check=OutputCheck("predictions with forward passes", True, largest_difference=1e-7),
    machine=Machine("Linux", "a processor", 2, 2**34),
    versions={"torch": "2.13.0"},
    commit=Commit("0123abc", True),
    sequences=SequenceSource("made up", "00ff", 50, 1000),
    settings={"budget": 6.0, "batch_sizes": [None, 256]},
    date="2026-01-02T03:04:05+00:00",
    warnings=("UserWarning: slow",),
    label="Standard ISM",
    tags=Tags(frozenset({"torch", "keras"}), gives_predictions=True, exact=True, full_passes=True),
)
FAILED = replace(
    RECORD,
    workload=Workload("bpnet", 1000, "keras", "fastism"),
    status="failed",
    error="ValueError: no",
    durations=(),
    done=None,
    asked=None,
    check=None,
    commit=None,
    label="fastISM",
)


@pytest.mark.parametrize("record", [RECORD, FAILED])
def test_json_gives_the_same_record_back(record: Record) -> None:
    assert Record.from_json(record.to_json()) == record


def test_derived_figures_follow_from_the_raw_ones() -> None:
    # The median round took 4 s for 2 sequences at half of their positions: 4 s a sequence, 400 s for 100.
    assert RECORD.seconds == 4.0
    assert RECORD.seconds_per_100_sequences == pytest.approx(400.0)
    assert RECORD.measured_fraction == pytest.approx(2 / 50 / 2)
    assert RECORD.scaled
    whole = replace(RECORD, done=RECORD.asked)
    assert not whole.scaled
    # 50 sequences in 4 s.
    assert whole.seconds_per_100_sequences == pytest.approx(8.0)


def test_the_spread_is_in_the_record_and_follows_from_the_durations() -> None:
    # 2, 9 and 4 s: from the fastest to the slowest 7 of the median's 4; the median is twice the fastest.
    assert RECORD.spread == pytest.approx(7 / 4)
    assert json.loads(RECORD.to_json())["spread"] == RECORD.spread
    # 1.5 s for 100 positions of one sequence are 15 s for two at 500 of theirs.
    assert RECORD.foretold_seconds == pytest.approx(15.0)
    assert RECORD.rounds_agree is False
    steady = replace(RECORD, durations=(4.0, 9.0, 4.1))
    assert steady.rounds_agree is True
    slow = replace(steady, batch_sizes=(BatchTiming(None, 0.1, Units(1, 100, 1001)),))
    assert slow.rounds_agree is False  # a median of 4.1 s, where the sweep foretold one
    assert (FAILED.spread, FAILED.foretold_seconds, FAILED.rounds_agree) == (None, None, None)
    assert replace(RECORD, batch_size=256).foretold_seconds is None  # that batch size failed
    nothing = replace(RECORD, batch_sizes=(BatchTiming(None, 1.0, Units(0, 100, 1)),))
    assert nothing.foretold_seconds is None
    assert replace(RECORD, durations=(4.0,)).spread is None


def test_a_record_without_its_spread_reads_alike_and_a_wrong_one_is_not_believed() -> None:
    stored = json.loads(RECORD.to_json())
    assert Record.from_json(json.dumps({**stored, "spread": 99})).spread == RECORD.spread
    del stored["spread"]
    assert Record.from_json(json.dumps(stored)) == RECORD


def test_a_failed_cell_has_no_figure() -> None:
    assert FAILED.seconds is None
    assert FAILED.seconds_per_100_sequences is None
    assert FAILED.measured_fraction is None
    assert not FAILED.scaled


def test_records_are_stored_by_workload_and_replaced(tmp_path: Path) -> None:
    save_record(RECORD, tmp_path / "new" / "folder")
    save_record(FAILED, tmp_path / "new" / "folder")
    again = replace(RECORD, durations=(1.0,))
    save_record(again, tmp_path / "new" / "folder")
    assert load_records(tmp_path / "new" / "folder") == [FAILED, again]
    assert not list(tmp_path.rglob("*.partial"))


def test_a_workloads_file_name_is_safe() -> None:
    name = Workload("../models/my model:build?x=1", 5, "torch", "fastism").file_name
    assert name == ".._models_my_model_build_x=1-5-torch-fastism.json"
    assert Path(name).name == name


def test_a_long_name_is_cut_and_stays_distinct() -> None:
    names = [Workload("m" * 300 + end, 5, "torch", "fastism").file_name for end in ("x", "y")]
    assert len(set(names)) == 2
    assert all(len(name) < 255 and name.startswith("mmm") and name.endswith(".json") for name in names)


def test_a_record_that_cannot_be_read_again_is_not_written(tmp_path: Path) -> None:
    for error in ("\ud800",):
        with pytest.raises(OutputError, match="a record cannot be stored"):
            save_record(replace(FAILED, error=error), tmp_path)
    with pytest.raises(OutputError, match="a record cannot be stored"):
        save_record(replace(RECORD, durations=(float("nan"),)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_number_of_sequences_tells_workloads_apart_and_older_records_have_none(tmp_path: Path) -> None:
    counted = replace(RECORD, workload=replace(RECORD.workload, sequences=8))
    assert counted.workload.file_name == "bpnet-1000-8_sequences-torch-standard_ism.json"
    save_record(counted, tmp_path)
    older = json.loads(RECORD.to_json())
    del older["workload"]["sequences"]
    (tmp_path / "records" / RECORD.workload.file_name).write_text(json.dumps(older))
    assert load_records(tmp_path) == [counted, RECORD]


def test_a_record_without_tags_takes_those_of_the_installed_method(tmp_path: Path) -> None:
    older = json.loads(RECORD.to_json())
    del older["tags"], older["label"]
    unknown = {**older, "workload": {**older["workload"], "method": "of_nobody"}}
    (tmp_path / "records").mkdir()
    for name, data in (("a", older), ("b", unknown)):
        (tmp_path / "records" / f"{name}.json").write_text(json.dumps(data))
    completed, left = load_records(tmp_path)
    assert completed == RECORD
    assert (left.tags, left.label) == (None, "of nobody")


def test_stored_tags_are_kept_whatever_is_installed_under_the_name(tmp_path: Path) -> None:
    other = replace(RECORD, label="Theirs", tags=Tags(frozenset({"torch"}), needs_gradient=True))
    save_record(other, tmp_path)
    assert load_records(tmp_path) == [other]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_record(RECORD, tmp_path / "file")


def test_a_folder_without_records_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="holds no benchmark records"):
        load_records(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "schema 99"),
        ({"status": "fine"}, "status: expected one of 'ok', 'failed', 'unsupported', not 'fine'"),
        ({"durations": []}, "durations"),
        ({"durations": [float("nan")]}, "it holds NaN, but its numbers must be finite"),
        ({"done": {"sequences": 0, "positions": 1, "outputs": 1}}, "no work"),
        ({"done": {"sequences": 1}}, "done.positions: is missing"),
        ({"surprise": 1}, "surprise"),
        ({"workload": None}, "workload: expected an object, not null"),
        ({"schema": True}, "schema True is not 1"),
        ({"schema": 1.0}, "schema 1.0 is not 1"),
        ({"threads": 0}, "threads: expected at least 1, not 0"),
        ({"threads": 10**30}, "threads: expected an integer from 0 to"),
        ({"durations": [-1.0]}, r"durations\[0\]: expected 0 or seconds"),
        ({"durations": [1e-300]}, r"durations\[0\]: expected 0 or seconds"),
        ({"durations": ["1"]}, r"durations\[0\]: expected a number, not '1'"),
        ({"done": {"sequences": -2, "positions": -5, "outputs": 1}}, "done.sequences: expected an integer from 0"),
        ({"done": {"sequences": 2, "positions": 2000, "outputs": 1001}}, "more work was done"),
        ({"settings": {"budget": "long"}}, "settings.budget: expected seconds or null, not 'long'"),
        ({"settings": [1]}, "settings: expected an object"),
        ({"machine": {"system": "", "cpu": "", "cores": "many", "memory_bytes": 1}}, "machine.cores: expected an int"),
        ({"tags": {"exact": True}}, "tags.frameworks: is missing"),
        ({"tags": {"frameworks": ["torch"], "exact": 1}}, "tags.exact: expected true or false, not 1"),
        ({"label": "x" * 1000}, "label: expected at most 300 characters"),
        ({"label": "\ud800"}, "label: expected text that UTF-8 has"),
        ({"versions": {"torch": 2}}, "versions.torch: expected text, not 2"),
        (
            {"sequences": {"description": "", "sha256": "", "count": 50, "length": 900}},
            "sequences.length: expected 1000",
        ),
    ],
)
def test_a_file_that_is_no_record_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = save_record(RECORD, tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InvalidInputError, match=message) as caught:
        load_records(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", "\x00\xff", "[" * 10**5, '{"schema": 1, "schema": 1}', "9" * 5000]
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    path = save_record(RECORD, tmp_path)
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InvalidInputError, match="no benchmark record"):
        load_records(tmp_path)
