from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from attribution_bench.benchmark import runner
from attribution_bench.benchmark.protocol import Settings
from attribution_bench.benchmark.results import Record, Units, Workload, load_records
from attribution_bench.benchmark.runner import run_benchmark
from attribution_bench.benchmark.workloads import Row
from attribution_bench.environment import Commit
from attribution_bench.errors import InvalidInputError, OutputError, PluginError, UnsupportedError
from attribution_bench.sequences import Sequences

Run = Callable[..., list[Record]]


class Diary:
    """An observer that keeps what it was told."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []

    def stage(self, workload: Workload, text: str, behind: float) -> None:
        assert 0 <= behind < 1
        self.entries.append((workload.method, text))

    def finished(self, record: Record, reused: bool) -> None:
        self.entries.append((record.workload.method, "reused" if reused else record.status))


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def methods(make_method: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The methods that the runner finds: two that work; tests add others."""
    known: dict[str, Any] = {
        "ism": make_method("ism", lambda n, p, s, b: 1e-3 * n * p, predicts=True),
        "gradient": make_method("gradient", lambda n, p, s, b: 1e-3 * n, predicts=False),
    }

    def get(name: str) -> Any:
        if isinstance(known[name], Exception):
            raise known[name]
        return known[name]

    monkeypatch.setattr(runner, "get_method", get)
    monkeypatch.setattr(runner, "source_commit", lambda: Commit("0123abc", dirty=False))
    return known


@pytest.fixture
def run(tmp_path: Path, methods: Any, model: Any, sequences: Sequences, clock: Any, diary: Diary) -> Run:
    def run(**options: Any) -> list[Record]:
        row = Row(
            "tiny",
            40,
            "torch",
            options.pop("build", lambda: model),
            options.pop("sequences", sequences),
            tuple(options.pop("methods", methods)),
            options.pop("identity", ""),
        )
        settings = options.pop("settings", Settings(10.0))
        options = {"device": "cpu", "threads": 1, "clock": clock, "observer": diary, **options}
        return run_benchmark([row], options.pop("folder", tmp_path / "out"), settings, **options)

    return run


def test_figures_are_those_of_the_costs(run: Run) -> None:
    ism, gradient = sorted(run(), key=lambda record: record.workload.method == "gradient")
    assert ism.seconds_per_100_sequences == pytest.approx(1e-3 * 100 * 40)
    assert gradient.seconds_per_100_sequences == pytest.approx(1e-3 * 100 * 4)
    assert len(ism.durations) == 3
    assert not ism.scaled
    assert ism.check is not None
    assert ism.check.passed
    assert ism.peak_memory_bytes is not None
    assert ism.peak_memory_bytes > 2**20
    assert ism.threads == 1


def test_a_scaled_figure_equals_the_whole_one_where_cost_is_linear(run: Run, methods: Any, make_method: Any) -> None:
    methods["ism"] = make_method("ism", lambda n, p, s, b: 0.7 * n * p, predicts=True)
    methods["gradient"] = make_method("gradient", lambda n, p, s, b: 0.9 * n, predicts=False)
    for record in run():
        assert record.scaled
        rate = 0.7 * 40 if record.workload.method == "ism" else 0.9 * 4
        assert record.seconds_per_100_sequences == pytest.approx(100 * rate)
        # Three rounds keep to the budget, unless even the smallest part takes too long for that.
        assert len(record.durations) == 3
        assert sum(record.durations) <= 10.0 or record.done == Units(1, 8, 4)


def test_a_hiccup_of_the_machine_is_no_figure_and_stays_in_the_record(run: Run, methods: Any, make_method: Any) -> None:
    calls = count()
    # The sweep times parts; the first two rounds, which time everything, are those of the hiccup.
    rounds: list[int] = []

    def hiccups(n: int, p: int, s: int, b: int | None) -> float:
        call = next(calls)
        if (n, p) == (20, 40):
            rounds.append(call)
        return 1e-3 * n * p * (12 if (n, p) == (20, 40) and len(rounds) in (1, 2) else 1)

    methods["ism"] = make_method("ism", hiccups, predicts=True)
    (record,) = run(methods=["ism"])
    assert record.durations == pytest.approx([9.6, 9.6, 0.8, 0.8, 0.8])
    assert record.seconds_per_100_sequences == pytest.approx(1e-3 * 100 * 40)
    assert record.spread == pytest.approx((9.6 - 0.8) / 0.8)
    assert record.rounds_agree
    assert record.foretold_seconds == pytest.approx(0.8)


def test_cells_whose_rounds_disagree_go_on_while_the_others_end(
    run: Run, methods: Any, make_method: Any, diary: Diary
) -> None:
    drift = count()
    methods["gradient"] = make_method("gradient", lambda n, p, s, b: 1e-3 * n * (1 + 0.2 * next(drift)), predicts=False)
    ism, gradient = sorted(run(), key=lambda record: record.workload.method == "gradient")
    assert len(ism.durations) == 3
    assert ism.rounds_agree
    assert len(gradient.durations) > 3
    assert not gradient.rounds_agree
    assert diary.entries.index(("ism", "ok")) < diary.entries.index(("gradient", "ok"))


def test_rounds_take_turns(run: Run, diary: Diary) -> None:
    run()
    rounds = [entry for entry in diary.entries if entry[1].startswith("round")]
    assert rounds == [(method, f"round {n}") for n in (1, 2, 3) for method in ("ism", "gradient")]


@pytest.mark.parametrize("other", ["ISM", "Ism"])
def test_cells_that_would_be_one_file_are_not_measured(run: Run, methods: Any, diary: Diary, other: str) -> None:
    methods[other] = methods["ism"]
    with pytest.raises(InvalidInputError, match=f"tiny 40 torch {other} and tiny 40 torch ism would be one file"):
        run()
    assert not diary.entries


def test_failures_are_records_and_stop_nothing(run: Run, methods: Any, make_method: Any, tmp_path: Path) -> None:
    def out_of_memory(n: int, p: int, s: int, b: int | None) -> float:
        raise MemoryError("no room for\n32 GB")

    count = iter(range(100))

    def fails_late(n: int, p: int, s: int, b: int | None) -> float:
        if next(count) == 6:
            raise ValueError("after a while")
        return 1e-3 * n * p

    methods["broken"] = PluginError("the method 'broken' cannot be loaded")
    methods["other_framework"] = UnsupportedError("not on torch models")
    methods["large"] = make_method("large", out_of_memory, predicts=True)
    methods["late"] = make_method("late", fails_late, predicts=True)
    methods["wrong"] = make_method("wrong", lambda *_: 0.001, predicts=True, wrong=0.1)
    records = {record.workload.method: record for record in run()}
    assert {name: record.status for name, record in records.items()} == {
        "ism": "ok",
        "gradient": "ok",
        "broken": "failed",
        "other_framework": "unsupported",
        "large": "failed",
        "late": "failed",
        "wrong": "failed",
    }
    assert records["broken"].error == "PluginError: the method 'broken' cannot be loaded"
    assert records["other_framework"].error == "UnsupportedError: not on torch models"
    assert records["large"].error == "MemoryError: no room for\n32 GB"
    assert records["late"].error == "ValueError: after a while"
    assert "output check" in (records["wrong"].error or "")
    assert records["wrong"].check is not None
    assert not records["wrong"].check.passed
    assert records["wrong"].seconds_per_100_sequences is None
    assert sorted(r.workload.method for r in load_records(tmp_path / "out")) == sorted(records)


def test_a_model_that_cannot_be_built_fails_its_cells(run: Run) -> None:
    def build() -> Any:
        raise RuntimeError("no such weights")

    assert [(r.status, r.error) for r in run(build=build)] == [("failed", "RuntimeError: no such weights")] * 2


def test_warnings_are_kept_each_once(run: Run, methods: Any, make_method: Any) -> None:
    def warns(n: int, p: int, s: int, b: int | None) -> float:
        import warnings

        warnings.warn("does not converge", RuntimeWarning, stacklevel=1)
        return 1e-3 * n

    methods["gradient"] = make_method("gradient", warns, predicts=False)
    record = run(methods=["gradient"])[0]
    assert record.warnings == ("RuntimeWarning: does not converge",)


def test_an_interruption_keeps_finished_cells_and_a_second_run_goes_on(
    run: Run, methods: Any, make_method: Any, clock: Any, diary: Diary, tmp_path: Path
) -> None:
    working = methods["gradient"]

    def interrupt(n: int, p: int, s: int, b: int | None) -> float:
        if ("ism", "ok") in diary.entries:
            raise KeyboardInterrupt
        return 1e-3 * n

    methods["gradient"] = make_method("gradient", interrupt, predicts=False)
    all_of_it = Settings(10.0, full=True, batch_sizes=(None,))
    with pytest.raises(KeyboardInterrupt):
        run(settings=all_of_it)
    kept = load_records(tmp_path / "out")
    assert [record.workload.method for record in kept] == ["ism"]

    methods["gradient"] = working
    clock.calls.clear()
    records = run(settings=all_of_it)
    assert sorted(record.workload.method for record in records) == ["gradient", "ism"]
    assert {name for name, *_ in clock.calls} == {"gradient"}
    assert ("ism", "reused") in diary.entries


@pytest.mark.parametrize(
    "change",
    [
        {"fresh": True},
        {"settings": Settings(11.0)},
        {"threads": 2},
        {"target": "count"},
        {"identity": "another file"},
        {"sequences": Sequences(("other",), ("ACGT" * 10,), "another")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_records_made_under_other_conditions_are_measured_again(run: Run, clock: Any, change: dict[str, Any]) -> None:
    run()
    clock.calls.clear()
    run()
    assert not clock.calls
    run(**change)
    assert clock.calls


def test_another_commit_or_version_is_measured_again(run: Run, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    for name, value in (("source_commit", None), ("library_versions", {"torch": "0"})):
        clock.calls.clear()
        monkeypatch.setattr(runner, name, lambda value=value: value)
        run()
        assert clock.calls


def test_failed_cells_are_tried_again(run: Run, methods: Any, clock: Any) -> None:
    working, methods["ism"] = methods["ism"], UnsupportedError("not yet")
    run()
    methods["ism"] = working
    clock.calls.clear()
    assert {record.status for record in run()} == {"ok"}
    assert {name for name, *_ in clock.calls} == {"ism"}


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_measured(
    run: Run, clock: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write to"):
        run(folder=tmp_path / "file")
    assert not clock.calls


def test_the_stages_name_what_is_measured(run: Run, diary: Diary) -> None:
    run(methods=["ism"])
    assert [text for _, text in diary.entries] == [
        "loading",
        "warm-up",
        "batch size by default",
        "batch size 32",
        "batch size 256",
        "round 1",
        "round 2",
        "round 3",
        "ok",
    ]
