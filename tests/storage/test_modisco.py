"""Files for TF-MoDISco."""

from pathlib import Path

import numpy as np
import pytest
from torch import nn

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError
from attribution_bench.sequences import lambda_windows
from attribution_bench.storage import write_modisco

SEQUENCES = lambda_windows(30, 3)


def model(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv1d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 28, outputs))


def test_the_files_hold_letters_and_hypothetical_scores(tmp_path: Path) -> None:
    result = ab.get_method("standard_ism")(model(1)).attribute(SEQUENCES.one_hot())
    letters, scores = (np.load(path)["arr_0"] for path in write_modisco(result, tmp_path))
    np.testing.assert_array_equal(letters, SEQUENCES.one_hot())
    np.testing.assert_array_equal(scores, result.scores)
    np.testing.assert_allclose((letters * scores).sum(axis=1), result.observed)


def test_one_output_of_several_is_taken(tmp_path: Path) -> None:
    result = ab.get_method("standard_ism")(model(3)).attribute(SEQUENCES.one_hot(), target=1)
    _, scores = write_modisco(result, tmp_path)
    assert np.load(scores)["arr_0"].shape == (3, 4, 30)


def test_what_tf_modisco_cannot_take_is_refused(tmp_path: Path) -> None:
    method = ab.get_method("standard_ism")(model(3))
    with pytest.raises(InvalidInputError, match="one output"):
        write_modisco(method.attribute(SEQUENCES.one_hot(), target="all"), tmp_path)
    one = method.attribute(SEQUENCES.one_hot(), target=0)
    with pytest.raises(InvalidInputError, match="with a sign"):
        write_modisco(one.with_convention("l2"), tmp_path)
    with pytest.raises(InvalidInputError, match="without gaps"):
        write_modisco(method.attribute(SEQUENCES.one_hot(), target=0, positions=[1, 5]), tmp_path)
    assert not list(tmp_path.iterdir())
