"""The section of the engine's page on bars, from records made by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stored_results
from attribution_bench.benchmark.bars import KINDS, BarRecord, Line
from attribution_bench.environment import Commit
from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting import render_engine_report
from attribution_bench.reporting.engine_bars import LONGEST_TABLE, bars_section

RECORD = stored_results.bars()
RATIO = RECORD.lines[0]


def line(**changes: Any) -> Line:
    """The line of a ratio of 0.5 with changes of the bar."""
    return replace(RATIO, bar=replace(RATIO.bar, **changes))


def page(*records: BarRecord) -> str:
    return "\n\n".join(bars_section(records))


def test_the_page_has_the_section_where_there_are_records_alone(tmp_path: Path) -> None:
    folder = stored_results.engine_folder(tmp_path)
    with_bars = render_engine_report(folder)[-1].read_text()
    assert f"\n\n{page(RECORD)}\n\n## Cold and warm" in with_bars
    (folder / "edges" / "positions.json").unlink()
    without = render_engine_report(folder)[-1].read_text()
    assert without == with_bars.replace(f"{page(RECORD)}\n\n", "")


def test_the_first_sentence_counts_bars_and_names_every_missed_one() -> None:
    text = page(RECORD)
    assert "1 of 2 bars are met. Missed: explain basset, a command: 3.50 s (at most 3)." in text
    assert "| Basset | 600 | PyTorch | 20 positions | all positions | 0.50 | 0.40 to 0.75 | ≤ 1.1 |" in text
    assert "| explain basset |  |  | a command |  | 3.50 s | one round | ≤ 3 s, missed |" in text
    slow = line(figure=15.25, lowest=14.5, highest=18, sense="at least", limit=16, beside="301 *full* passes")
    text = page(RECORD, replace(RECORD, lines=(slow, RATIO)))
    assert "2 of 4 bars are met. Missed: explain basset, a command: 3.50 s (at most 3); Basset " in text
    assert "Basset (600 letters, PyTorch), 20 positions: 15.2 beside 301 \\*full\\* passes (at least 16)." in text
    assert "| 15.2 | 14.5 to 18.0 | ≥ 16, missed |" in text


def test_where_every_bar_is_met_it_says_so() -> None:
    assert "All 2 bars are met." in page(replace(RECORD, lines=(RATIO, line(length=700))))
    assert "The one bar is met." in page(replace(RECORD, lines=(RATIO,)))


@pytest.mark.parametrize(
    ("figure", "text", "limit"),
    [
        *((1.12, "1.12", 1.1), (1.104, "1.104", 1.1), (1.1004, "1.1004", 1.1), (1.1000001, "1.1000001", 1.1)),
        *((10.04, "10.04", 10), (15.2, "15.2", 10), (120.4, "120.40", 120), (0.3331, "0.3331", 0.333)),
        (0.34, "0.34", 0.333),
    ],
)
def test_a_missed_figure_is_shown_beyond_its_bar(figure: float, text: str, limit: float) -> None:
    missed = line(figure=figure, highest=figure, limit=limit)
    assert f": {text} beside all positions (at most {limit:g})" in page(replace(RECORD, lines=(missed,)))


@pytest.mark.parametrize(("figure", "text", "limit"), [(0.9957, "0.996", 0.996), (9.96, "9.96", 10), (10, "10.0", 10)])
def test_a_met_figure_is_not_shown_beyond_its_bar(figure: float, text: str, limit: float) -> None:
    assert f"| {text} |" in page(replace(RECORD, lines=(line(figure=figure, lowest=figure, limit=limit),)))


def test_long_tables_are_summed_up_by_models_and_what_they_are_beside() -> None:
    shares = [(number + 1) / 16 for number in range(20)]  # the last three are above 1.1
    lines = [line(request=f"{number} positions", figure=share, lowest=share / 2, highest=2 * share)
             for number, share in enumerate(shares)]  # fmt: skip
    lines += [replace(of, bar=replace(of.bar, beside="neighbours", sense="at least", limit=0.01)) for of in lines]
    assert len(lines) > LONGEST_TABLE
    text = page(replace(RECORD, lines=tuple(lines)))
    assert (
        "| Basset | 600 | PyTorch | all positions | 20 | 0.66 | 1.25 | 19 positions | 0.62 to 2.50 | ≤ 1.1, 3 missed |"
        in text
    )
    assert "| Basset | 600 | PyTorch | neighbours | 20 | 0.66 | 0.06 | 0 positions | 0.03 to 0.12 | ≥ 0.01 |" in text
    assert text.count("| Basset |") == 2
    for number in (17, 18, 19):
        assert f"Basset (600 letters, PyTorch), {number} positions: {shares[number]:.2f} beside all positions (" in text
    short = page(replace(RECORD, lines=tuple(lines[:LONGEST_TABLE])))
    assert short.count("| Basset |") == LONGEST_TABLE


def test_records_of_one_kind_share_a_table_and_conditions_are_named_once() -> None:
    other = replace(RATIO.conditions, threads=1, date="2026-03-04T00:00:00+00:00", commit=Commit("f" * 40, True))
    variants = [
        replace(RECORD, kind="One variant", procedure=said, lines=(replace(of, conditions=other),))
        for said, of in (("By calls.", RATIO), ("By files.", line(length=700)))
    ]
    text = page(RECORD, *variants)
    assert text.count("### ") == 2
    assert "| ≤ 1.1 |\n| Basset | 700 |" in text
    assert "By calls. By files." in text
    assert text.endswith(
        "1 and 2 threads; torch 2; commit 0123456789ab; ffffffffffff with uncommitted changes; "
        "2026-01-02 to 2026-03-04."
    )


def test_without_lines_there_is_no_section() -> None:
    assert bars_section([]) == bars_section([replace(RECORD, lines=())]) == []
    assert page(replace(RECORD, kind=KINDS[0], lines=()), RECORD).count("### ") == 1


def test_a_record_of_another_schema_is_named_and_the_page_stays(tmp_path: Path) -> None:
    folder = stored_results.engine_folder(tmp_path)
    written = render_engine_report(folder)[-1]
    before, path = written.read_text(), folder / "edges" / "positions.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(InvalidInputError, match=r"positions\.json is no record of bars .*schema 2 is not 1"):
        render_engine_report(folder)
    assert written.read_text() == before
