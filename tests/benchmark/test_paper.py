import pytest

from attribution_bench.benchmark import paper


def test_ratios_are_those_that_the_paper_states() -> None:
    stated = (10.1, 15.4, 12.6, 14.5, 1.6, 2.1)
    found = [row.ratio_to_fastism("standard_ism") for row in paper.TABLE_1]
    assert found == pytest.approx(stated, abs=0.1)


def test_every_row_and_method_of_the_table_is_there() -> None:
    assert {(row.architecture, row.length) for row in paper.TABLE_1} == {
        (architecture, length) for architecture in paper.ARCHITECTURES for length in paper.LENGTHS
    }
    assert all(tuple(row.seconds_per_100_sequences) == paper.METHODS for row in paper.TABLE_1)
