"""Records of bars: what is stored comes back, parts of a script replace their own lines, other files are refused."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import stored_results
from attribution_bench.benchmark.bars import KINDS, Bar, BarRecord, keep_bars, load_bars
from attribution_bench.errors import InvalidInputError, OutputError, ResultError

RECORD = stored_results.bars()
RATIO, COMMAND = RECORD.lines


@pytest.fixture(scope="module")
def recording() -> ModuleType:
    """What the scripts have in common."""
    path = Path(__file__).parents[1] / "speed" / "recording.py"
    spec = importlib.util.spec_from_file_location("recording", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, lines=()), replace(RECORD, procedure='a "quoted"\nµ')])
def test_a_record_comes_back_as_it_was_stored(record: BarRecord, tmp_path: Path) -> None:
    assert BarRecord.load(record.save(tmp_path / "new" / "a.json")) == record


def test_the_file_has_a_line_of_text_for_each_bar(tmp_path: Path) -> None:
    lines = RECORD.save(tmp_path / "a.json").read_text().splitlines()
    assert sum("Basset" in line for line in lines) == sum("explain basset" in line for line in lines) == 1
    assert json.loads("\n".join(lines))["schema"] == 1


@pytest.mark.parametrize(
    ("sense", "figure", "met"),
    [
        ("at most", 1.1, True),
        ("at most", 1.1000001, False),
        ("at most", 0.2, True),
        ("at least", 1.1, True),
        ("at least", 1.0999999, False),
        ("at least", 20.0, True),
    ],
)
def test_a_figure_on_its_limit_meets_the_bar(sense: Any, figure: float, met: bool) -> None:
    assert replace(RATIO.bar, sense=sense, figure=figure).met is met


def test_a_part_replaces_its_own_lines_where_they_stand_and_keeps_the_others(tmp_path: Path) -> None:
    path = RECORD.save(tmp_path / "a.json")
    later = replace(RATIO.conditions, date="2026-02-03T04:05:06+00:00", commit=None)
    again = replace(RATIO, bar=replace(RATIO.bar, figure=0.6), conditions=later)
    longer, spread, others = (
        replace(again, bar=replace(again.bar, **changes))
        for changes in ({"length": 700}, {"request": "50 positions"}, {"beside": "as many neighbours"})
    )
    keep_bars(path, RECORD.kind, "Measured otherwise.", [again, longer, spread, others])
    found = BarRecord.load(path)
    assert found.procedure == "Measured otherwise."
    assert found.lines == (again, COMMAND, longer, spread, others)
    assert found.lines[1].conditions == RATIO.conditions


SOUND = json.loads(RECORD.to_json())
LINE = SOUND["lines"][0]
WRONG: dict[str, tuple[Any, str]] = {
    "another schema": ({**SOUND, "schema": 2}, "schema 2 is not 1, which this version reads"),
    "no schema": ({"lines": []}, "schema: is missing"),
    "no object": ([], "a record is an object"),
    "another kind": ({**SOUND, "kind": "Odd"}, "kind: expected one of 'Few positions"),
    "a figure outside its rounds": (
        {**SOUND, "lines": [{**LINE, "bar": {**LINE["bar"], "figure": 9.0}}]},
        r"lines\[0\]: expected a figure between",
    ),
    "no conditions": ({**SOUND, "lines": [{"bar": LINE["bar"]}]}, r"lines\[0\].conditions: is missing"),
    "a bar of nothing": (
        {**SOUND, "lines": [{**LINE, "bar": {**LINE["bar"], "limit": 0}}]},
        r"lines\[0\].bar.limit: expected a number above 0",
    ),
}


@pytest.mark.parametrize(("data", "message"), WRONG.values(), ids=WRONG)
def test_another_file_is_refused_by_its_name_and_never_written_over(data: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "edges" / "positions.json"
    path.parent.mkdir()
    path.write_text(json.dumps(data))
    for read in (lambda: load_bars(tmp_path), lambda: keep_bars(path, RECORD.kind, "", RECORD.lines)):
        with pytest.raises(InvalidInputError, match=rf"positions\.json is no record of bars .*: {message}"):
            read()
    assert json.loads(path.read_text()) == data


def test_a_figure_that_is_none_is_not_written(tmp_path: Path) -> None:
    wrong = replace(RATIO, bar=replace(RATIO.bar, figure=float("nan")))
    with pytest.raises(OutputError, match="a bar cannot be stored"):
        keep_bars(tmp_path / "a.json", RECORD.kind, "", [wrong])
    assert not list(tmp_path.iterdir())


def test_records_are_read_in_the_order_of_their_kinds(tmp_path: Path) -> None:
    for name, kind in zip("cab", reversed(KINDS), strict=False):
        replace(RECORD, kind=kind).save(tmp_path / "edges" / f"{name}.json")
    assert [record.kind for record in load_bars(tmp_path)] == list(KINDS[-3:])
    assert load_bars(tmp_path / "none") == ()


@pytest.fixture
def bar(recording: ModuleType) -> Callable[..., Bar]:
    """A bar of some rounds."""

    def make(request: str, *figures: float) -> Bar:
        rounds = recording.over_rounds(figures)
        return Bar("Basset", 600, "torch", request, "", "ratio", **rounds, sense="at most", limit=1.0)

    return make


def test_scripts_keep_each_figure_at_once_and_go_on_from_what_is_there(
    recording: ModuleType, bar: Callable[..., Bar], tmp_path: Path
) -> None:
    def run() -> Any:
        return recording.recorder(tmp_path, "/any/where/a_script.py", "One variant", "Medians.", 3)

    first = run()
    first.keep(bar("a", 0.5, 0.75, 0.25), bar("b", 1.0))
    (after_one,) = (BarRecord.load(path) for path in tmp_path.iterdir())
    assert [line.bar for line in after_one.lines] == [bar("a", 0.25, 0.5, 0.75), bar("b", 1.0)]
    run().keep(bar("b", 2.0))
    found = BarRecord.load(tmp_path / "a_script.json")
    assert [(line.bar.request, line.bar.figure, line.bar.met) for line in found.lines] == [
        ("a", 0.5, True),
        ("b", 2.0, False),
    ]
    conditions = found.lines[1].conditions
    assert (conditions.threads, conditions.machine.cores >= 1, "numpy" in conditions.versions) == (3, True, True)


def test_scripts_refuse_a_file_of_another_schema_before_they_measure(recording: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a_script.json").write_text(json.dumps({**SOUND, "schema": 2}))
    with pytest.raises(ResultError, match=r"a_script\.json .*schema 2 is not 1"):
        recording.recorder(tmp_path, "a_script.py", "One variant", "", 1)


def test_without_a_folder_nothing_is_kept(
    recording: ModuleType, bar: Callable[..., Bar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = recording.parser("what it is").parse_args([])
    recording.recorder(asked.output, "a_script.py", "One variant", "", 1).keep(bar("a", 0.5))
    assert (asked.names, list(tmp_path.iterdir())) == ([], [])


def test_names_choose_cases_by_parts_of_their_labels(recording: ModuleType) -> None:
    asked = recording.parser(None).parse_args(["keras", "Starr", "--output", "folder"])
    assert asked.output == Path("folder")
    labels = ("Keras: Basset", "DeepSTARR", "Basset")
    assert [recording.chosen(asked.names, label) for label in labels] == [True, True, False]
    assert all(recording.chosen([], label) for label in labels)
