"""The interface: what a method is called with, what a result says of its making, and the order of positions."""

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError, UnsupportedError
from attribution_bench_plugins.standard_ism import StandardISM
from position_method import Ends, Position

ONE_HOT = ab.DNA.one_hot(["ACGT", "TTNA"])


@pytest.fixture
def method():
    return Position(Ends(), factor=2.0)


def test_result_and_metadata(method):
    result = method.attribute(["ACGTN", "CCCCC"], target=0)
    np.testing.assert_array_equal(result.scores[0, :, 4], [0, 8, 16, 24])
    np.testing.assert_array_equal(result.observed, [[0, 2, 8, 18, 0], [0, 2, 4, 6, 8]])
    assert result.metadata["method"] == "position"
    assert result.metadata["options"] == {"factor": 2.0}
    assert result.metadata["target"] == 0
    assert result.metadata["seed"] == 3
    assert result.metadata["dtype"] == "float32"
    assert result.metadata["tf32"] is False
    assert result.metadata["length"] == 5
    assert result.metadata["versions"]["torch"] == torch.__version__
    assert json.loads(json.dumps(result.metadata)) == result.metadata


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        (None, [0, 1, 2, 3]),
        (slice(1, None), [1, 2, 3]),
        (slice(None, None, -2), [3, 1]),
        ([3, 0, 3], [3, 0, 3]),
        ([2, 2], [2, 2]),
        (np.array([2]), [2]),
        (np.array([3, 1], np.uint8), [3, 1]),
    ],
)
def test_positions_come_in_the_order_asked_for(method, positions, expected):
    result = method.attribute(ONE_HOT, target="all", positions=positions)
    np.testing.assert_array_equal(result.positions, expected)
    np.testing.assert_array_equal(result.one_hot, ONE_HOT[:, :, expected])
    np.testing.assert_array_equal(result.scores[1], 2.0 * np.arange(4)[:, None] * np.array(expected))
    # Methods are asked for each position once, ascending.
    np.testing.assert_array_equal(method.request.positions, np.unique(expected))


def test_predictions_come_in_the_order_asked_for():
    method, asked = StandardISM(Ends()), [3, 0, 2, 0]
    whole = method.attribute(ONE_HOT, target=("output", 3))
    some = method.attribute(ONE_HOT, target=("output", 3), positions=asked)
    np.testing.assert_array_equal(some.predictions["output"], whole.predictions["output"][:, :, asked])
    np.testing.assert_array_equal(some.reference_predictions["output"], whole.reference_predictions["output"])
    np.testing.assert_array_equal(some.scores, whole.scores[:, :, asked])
    np.testing.assert_array_equal(some.observed, whole.observed[:, asked])
    assert len({values.tobytes() for values in whole.predictions["output"].transpose(2, 0, 1)}) > 1


def test_a_framework_that_the_method_does_not_take():
    import keras

    model = keras.Sequential([keras.Input((4, 4)), keras.layers.Flatten()])
    with pytest.raises(UnsupportedError, match="position does not run on keras models yet; it takes models of torch"):
        Position(model)


IMPORTS = """
import sys
import attribution_bench as ab
for name in ("standard_ism", "gradient_x_input", "integrated_gradients"):
    ab.get_method(name)
for name in ("basset", "factorized_basset", "bpnet"):
    ab.get_model(name)
heavy = {"torch", "tensorflow", "keras", "captum", "shap"} & set(sys.modules)
assert not heavy, heavy
"""


def test_nothing_heavy_is_imported():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["AttributionResult", "Progress", "RawAttribution", "Request", "further_inputs"])
def test_names_are_importable_beside_the_interface(name):
    home = ab.result if name == "AttributionResult" else ab.request
    assert getattr(ab.attribution, name) is getattr(home, name)


class Scaled:
    def __init__(self, by):
        self.by = by

    def __call__(self, outputs):
        return outputs[:, 0] * self.by


class Chosen(tuple):
    def __call__(self, outputs):
        return outputs[:, self[0]]


def scaled_by(factor):
    return lambda outputs: outputs[:, 0] * factor


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("factor", [np.full(2, 2.0), np.full(2, 3.0)]),
        ("factor", [torch.full((2,), 2.0), torch.full((2,), 3.0)]),
        ("factor", [{"a": np.full(2, 2.0)}, {"a": np.full(2, 3.0)}]),
        ("factor", [scaled_by(2.0), scaled_by(3.0)]),
        ("target", [scaled_by(2.0), scaled_by(3.0)]),
        ("target", [("output", scaled_by(2.0)), ("output", scaled_by(3.0))]),
        ("target", [partial(torch.select, dim=1, index=0), partial(torch.select, dim=1, index=-1)]),
        ("target", [Scaled(2.0), Scaled(3.0)]),
        ("target", [Chosen([0]), Chosen([-1])]),
        ("target", [Scaled(2.0), Chosen([0])]),
    ],
)
def test_results_of_other_arrays_or_code_are_not_concatenated(tmp_path, what, values):
    def result(value):
        made = Position(Ends(), factor=2.0)
        made.options |= {what: value} if what == "factor" else {}
        return made.attribute(ONE_HOT, target=value if what == "target" else 0)

    one, again, other = (result(value) for value in (values[0], values[0], values[1]))
    loaded = ab.AttributionResult.load(again.save(tmp_path / "again.npz"))
    assert len(ab.AttributionResult.concatenate([one, again, loaded])) == 6
    assert json.loads(json.dumps(one.metadata)) == one.metadata
    with pytest.raises(InvalidInputError, match=f"'{'options' if what == 'factor' else 'target'}' of the metadata"):
        ab.AttributionResult.concatenate([one, other])
