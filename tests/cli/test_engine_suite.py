"""`attribution-bench engine` from end to end on the smallest cells, and its former name."""

from pathlib import Path
from typing import Any

import pytest

from attribution_bench.benchmark import load_records
from attribution_bench.benchmark.engine_profile import load_profiles

SMALLEST = ("engine", "--architectures", "basset", "--lengths", "100", "--device", "cpu")
CELLS = (*SMALLEST, "--sequence-counts", "1,2", "--methods", "fastism,standard_ism", "--budget", "0.2")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_suite_writes_records_profiles_and_a_page_and_goes_on(command: Any, tmp_path: Path) -> None:
    first = command(*CELLS, "--threads", "1", "--output", tmp_path)
    assert first.code == 0, first.err
    records = {(r.workload.sequences, r.workload.method): r for r in load_records(tmp_path)}
    assert set(records) == {(count, method) for count in (1, 2) for method in ("fastism", "standard_ism")}
    for (count, _), record in records.items():
        assert record.status == "ok"
        assert record.asked is not None
        assert (record.asked.sequences, record.asked.positions, record.asked.outputs) == (count, 100, 1)
        assert record.check is not None
        assert record.check.passed
    (profile,) = load_profiles(tmp_path)
    assert (profile.architecture, profile.length, profile.threads) == ("basset", 100, 1)
    page = (tmp_path / "README.md").read_text()
    assert page.count("| Basset | 100 | PyTorch |") >= 5
    assert str(tmp_path / "README.md") in first.out
    again = command(*CELLS, "--threads", "1", "--output", tmp_path)
    assert again.err.count("measured before") == 4
    assert load_profiles(tmp_path) == (profile,)
    (tmp_path / "README.md").unlink()
    assert command("report", tmp_path).code == 0
    assert (tmp_path / "README.md").read_text() == page


def test_a_profile_that_fails_is_told_and_the_cells_are_measured(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attribution_bench.benchmark import engine_profile

    def fail(*arguments: Any, **options: Any) -> None:
        raise MemoryError("too large")

    monkeypatch.setattr(engine_profile, "measure_profile", fail)
    outcome = command(
        *SMALLEST, "--sequence-counts", "1", "--methods", "fastism", "--budget", "0.1", "--output", tmp_path
    )
    assert outcome.code == 0, outcome.err
    assert "no profile of basset 100: MemoryError: too large" in outcome.err
    assert len(load_records(tmp_path)) == 1
    assert "## Where" not in (tmp_path / "README.md").read_text()


def test_records_of_other_benchmarks_in_the_folder_are_refused_before_anything_is_measured(
    command: Any, tmp_path: Path
) -> None:
    other = ("benchmark", "basset", "--lengths", "100", "--device", "cpu", "--methods", "gradient_x_input")
    assert command(*other, "--budget", "0.05", "--output", tmp_path / "other").code == 0
    outcome = command(*CELLS, "--output", tmp_path / "other")
    assert outcome.code == 2
    assert "holds records of other benchmarks" in outcome.err
    assert not (tmp_path / "other" / "profiles").exists()
    own = (*SMALLEST, "--sequence-counts", "1", "--methods", "gradient_x_input", "--budget", "0.05")
    assert command(*own, "--output", tmp_path / "own").code == 0
    outcome = command(*other, "--output", tmp_path / "own")
    assert outcome.code == 2
    assert "holds records of the engine suite" in outcome.err
    assert len(load_records(tmp_path / "own")) == 1


def test_the_former_name_works_and_says_what_took_its_place(command: Any, tmp_path: Path) -> None:
    arguments = (*SMALLEST[1:], "--sequence-counts", "1", "--methods", "gradient_x_input", "--budget", "0.05")
    outcome = command("benchmark", "--suite", "engine", *arguments, "--output", tmp_path)
    assert outcome.code == 0, outcome.err
    assert "`benchmark --suite engine` is deprecated and will be removed; use `engine` instead" in outcome.err
    (record,) = load_records(tmp_path)
    assert record.workload.sequences == 1
    assert not {"--suite", "--architectures", "--sequence-counts"} & set(command("benchmark", "--help").out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("benchmark",), "give a MODEL to measure; the engine suite is a command of its own"),
        (("benchmark", "basset", "--suite", "engine"), "leave out MODEL"),
        (("benchmark", "--suite", "engine", "--target", "sum", "--layout", "NLA"), "leave out --layout, --target"),
        (("benchmark", "basset", "--sequence-counts", "1"), "leave out --sequence-counts"),
        (("benchmark", "basset", "--architectures", "basset"), "leave out --architectures"),
        (("engine", "--sequence-counts", "0"), "number of sequences"),
        (("engine", "--sequence-counts", "x"), "--sequence-counts takes whole numbers"),
        (("engine", "--architectures", "basett"), "unknown model 'basett'"),
        (("engine", "--methods", ","), "no method was given"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    command: Any, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    outcome = command(*arguments, "--output", tmp_path / "out")
    assert outcome.code == 2
    assert message in outcome.err
    lines = [line for line in outcome.err.strip().splitlines() if "is deprecated" not in line]
    assert len(lines) == 1
    assert not (tmp_path / "out").exists()
