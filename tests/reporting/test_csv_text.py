"""CSV whose cells no spreadsheet computes, read back as they were written."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution_bench.reporting.csv_text import csv_text

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=x", " =1", '=HYPERLINK("http://x")', "－1", "-"]


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text: str) -> None:
    kept = text.replace("\r", "\\r")
    assert read(csv_text([text], [[text, 1]])) == [[f"'{kept}"], [f"'{kept}", "1"]]


def test_numbers_stay_numbers() -> None:
    values = [-1.5, -1, 1e-300, float("-inf"), 0, True, None]
    (line,) = read(csv_text(["a"] * len(values), [values]))[1:]
    assert line == ["-1.5", "-1", "1e-300", "-inf", "0", "True", ""]


@given(st.text(st.characters(codec="utf-8")))
def test_every_other_text_is_read_back(text: str) -> None:
    (_, (cell, _)) = read(csv_text(["a", "b"], [[text, "end"]]))
    kept = text.replace("\r", "\\r")
    assert cell in (kept, f"'{kept}")
    assert cell.lstrip(" ")[:1] not in tuple("=+-@\t\r\n")
