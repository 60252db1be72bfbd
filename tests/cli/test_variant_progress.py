"""Lines of a run over variants where there is no terminal."""

import io

import pytest
from rich.console import Console

from attribution_bench.cli.variant_progress import LineProgress
from attribution_bench.variants.summary import Summary


@pytest.mark.parametrize("terminal", [False, True])
def test_a_line_comes_every_half_minute_where_there_is_no_terminal(terminal):
    now, err = [0.0], io.StringIO()
    progress = LineProgress(Console(file=err, force_terminal=terminal, width=200), lambda: now[0])
    for seconds, total in ((10.0, 100), (31.0, 200), (40.0, 300), (65.0, 1400)):
        now[0] = seconds
        progress.update(Summary(scored=total))
    lines = [] if terminal else ["200 alleles", "1,400 alleles"]
    assert [line for line in err.getvalue().splitlines() if "alleles" in line] == lines
