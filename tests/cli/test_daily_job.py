"""The five lines of README.md, from example files to a track, TF-MoDISco's input and a figure, as they stand there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pyBigWig

from attribution_bench.storage import StoredScores

README = Path(__file__).parents[2] / "README.md"


def test_the_lines_of_the_readme_run_as_written(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```sh\n(attribution-bench examples data\n.*?)```", README.read_text(), re.DOTALL)
    lines = block.splitlines()
    assert len(lines) == 5
    for line in lines:
        run = command(*shlex.split(line)[1:])
        assert run.code == 0, run.err
    result = StoredScores("scores.zarr").one("fastism", 0)
    assert result.names == ("peak1",)
    (place,) = result.intervals
    with pyBigWig.open("scores.bw") as track:
        found = track.values(place.chromosome, place.start, place.end)
    np.testing.assert_allclose(found, result.observed[0], rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(np.load("scores-modisco/scores.npz")["arr_0"][0], result.scores[0])
    assert Path("logo.svg").read_text().startswith("<?xml")
    # What README.md says of the figure: the tallest letter is within its range, and a C in its place raises most.
    tallest = int(abs(result.observed[0]).argmax())
    assert 30 <= tallest < 70
    assert result.observed[0, tallest] < 0
    letters = "".join("ACGT"[one.argmax()] for one in result.one_hot[0].T)
    assert (letters[tallest - 5 : tallest + 2], letters[tallest]) == ("TGAGTGA", "G")
    assert "ACGT"[result.scores[0, :, tallest].argmax()] == "C"
