"""Numbers as the table prints them, against figures rounded by hand."""

import pytest

from attribution_bench.reporting.labels import (
    architecture_label,
    framework_label,
    method_label,
    paper_seconds_text,
    power_text,
    ratio_text,
    seconds_text,
    share_text,
    short,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (27.36, "27.4"),
        (2.7, "2.70"),
        (0.04123, "0.0412"),
        (9.996, "10.0"),
        (99.96, "100"),
        (262.24, "262"),
        (12439.7, "12400"),
        (0.000123456, "0.000123"),
        (0.0000123, "1.23e-05"),
        (0, "0"),
    ],
)
def test_seconds_have_three_significant_figures(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "two", "one"),
    [
        (84523.0, "85000", "80000"),
        (27.36, "27", "30"),
        (2.7, "2.7", "3"),
        (9.96, "10", "10"),
        (0.04123, "0.041", "0.04"),
        (0.0000123, "1.2e-05", "1e-05"),
        (0, "0", "0"),
    ],
)
def test_uncertain_seconds_have_fewer(seconds: float, two: str, one: str) -> None:
    assert [seconds_text(seconds, digits) for digits in (2, 1)] == [two, one]


@pytest.mark.parametrize(
    ("ratio", "two", "one"),
    [
        (1263.2, "1300", "1000"),
        (78.7, "79", "80"),
        (9.96, "10", "10"),
        (1.549, "1.5", "2"),
        (0.8667, "0.87", "0.9"),
        (0.01481, "0.015", "0.01"),
        (0, "0.0", "0"),
    ],
)
def test_ratios_of_uncertain_seconds_have_fewer(ratio: float, two: str, one: str) -> None:
    assert [ratio_text(ratio, digits) for digits in (2, 1)] == [two, one]


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        *[(10.133, "10.1"), (1.591, "1.6"), (151.85, "152"), (99.94, "99.9"), (99.96, "100"), (1.0, "1.0")],
        *[(0.996, "1.0"), (0.8667, "0.87"), (0.01481, "0.015"), (0.0096, "0.0096"), (0, "0.0")],
    ],
)
def test_ratios_read_as_in_the_paper(ratio: float, text: str) -> None:
    assert ratio_text(ratio) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.04"), (2.7, "2.70"), (262.24, "262.24"), (4399.0, "4399")])
def test_the_papers_figures_are_printed_as_published(seconds: float, text: str) -> None:
    assert paper_seconds_text(seconds) == text


@pytest.mark.parametrize(("share", "text"), [(0.01, "1%"), (1, "100%"), (0.000159, "0.016%"), (0.256, "26%")])
def test_shares_are_per_cent(share: float, text: str) -> None:
    assert share_text(share) == text


@pytest.mark.parametrize(
    ("number", "digits", "text"),
    [(1.26e-5, 2, "1.3_×_10⁻⁵"), (9.6e-7, 1, "1_×_10⁻⁶"), (4e-12, 1, "4_×_10⁻¹²"), (25300.0, 3, "2.53_×_10⁴")],
)
def test_powers_of_ten_are_written_without_a_place_to_break(number: float, digits: int, text: str) -> None:
    assert power_text(number, digits) == text.replace("_", "\N{NO-BREAK SPACE}")


def test_unknown_names_stay_readable() -> None:
    assert method_label("standard_ism") == "Standard ISM"
    assert method_label("my_new_method") == "my new method"
    assert architecture_label("my_model.keras") == "my_model.keras"
    assert framework_label("jax") == "jax"


def test_short_keeps_one_line_within_the_limit() -> None:
    assert short("one\n two", 20) == "one two"
    assert short("abcdefghij", 5) == "abcd…"
