"""Attribution's checks of its arguments, and the life of a result: conventions, xarray, saving and loading."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

import attribution_bench as ab
from attribution_bench.attribution import Attribution, AttributionResult, RawAttribution, Request, Tags
from attribution_bench.errors import InvalidInputError, OutputError, SequenceError, TargetError, UnsupportedError


class Position(Attribution):
    """Score every letter by its position times its index in the alphabet; remembers the request."""

    name: ClassVar[str] = "position"
    tags: ClassVar[Tags] = Tags(frozenset({"torch"}))

    def __init__(self, model, *, factor=1.0):
        super().__init__(model, factor=factor)
        self.factor = factor

    def _attribute(self, request: Request) -> RawAttribution:
        self.request = request
        one = self.factor * np.arange(4)[:, None] * request.positions
        return RawAttribution(scores=np.broadcast_to(one, (len(request.one_hot), *one.shape)), metadata={"seed": 3})


class Ends(torch.nn.Module):
    """One output: the first and the last column of the sequence."""

    def forward(self, x, extra=None):
        return x[:, :, [0, -1]].flatten(1)


@pytest.fixture
def method():
    return Position(Ends(), factor=2.0)


def predictions(outputs=("profile", "count")) -> AttributionResult:
    random = np.random.default_rng(0)
    one_hot = np.eye(4)[random.integers(0, 4, (2, 3))].transpose(0, 2, 1)
    shapes = {"profile": (5,), "count": ()}
    metadata = {
        "method": "made_up",
        "convention": "centred",
        "alphabet": "ACGT",
        "outputs": [{"name": name, "shape": list(shapes[name])} for name in outputs],
    }
    reference = {name: random.normal(size=(2, *shapes[name])) for name in outputs}
    mutated = {}
    for name in outputs:
        values = random.normal(size=(2, 4, 3, *shapes[name]))
        there = one_hot.reshape(2, 4, 3, *[1] * len(shapes[name])) == 1
        mutated[name] = np.where(there, reference[name][:, None, None], values)
    return AttributionResult(one_hot, np.array([4, 5, 9]), metadata, mutated, reference)


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


def test_inputs_of_every_kind_are_one(method):
    as_strings = ["ACGT", "TTNA"]
    one_hot = ab.DNA.one_hot(as_strings)
    for inputs in (as_strings, tuple(as_strings), one_hot, one_hot.astype(int), torch.from_numpy(one_hot)):
        method.attribute(inputs, target="all")
        np.testing.assert_array_equal(method.request.one_hot, one_hot)
        assert method.request.one_hot.dtype == np.float32
    np.testing.assert_array_equal(method.request.letters, [[0, 1, 2, 3], [3, 3, -1, 0]])
    method.attribute("ACGT", target="all")
    assert method.request.one_hot.shape == (1, 4, 4)
    method.attribute(one_hot.astype(bool), target="all")
    np.testing.assert_array_equal(method.request.one_hot, one_hot)


ONE_HOT = ab.DNA.one_hot(["ACGT", "TTNA"])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (ONE_HOT[0], r"three axes \(N, 4, L\), not shape \(4, 4\)"),
        (np.zeros((2, 3, 4)), r"\(N, 4, L\) for the DNA alphabet, not shape \(2, 3, 4\); transpose the last two"),
        (np.zeros((2, 3, 5)), r"\(N, 4, L\) for the DNA alphabet, not shape \(2, 3, 5\)$"),
        (np.zeros((0, 4, 5)), r"empty: shape \(0, 4, 5\)"),
        (np.zeros((2, 4, 0)), r"empty: shape \(2, 4, 0\)"),
        (ONE_HOT * 0.5, "must be one-hot"),
        (np.ones((2, 4, 4)), "must be one-hot"),
        (ONE_HOT * np.nan, "must be one-hot"),
        ([], "three axes"),
    ],
)
def test_bad_inputs(method, inputs, message):
    with pytest.raises(InvalidInputError, match=message):
        method.attribute(inputs, target="all")


def test_bad_strings(method):
    with pytest.raises(SequenceError, match="sequence 1 holds 'U' at position 2"):
        method.attribute(["ACGT", "ACUT"], target="all")
    with pytest.raises(SequenceError, match="lengths from 3 to 4"):
        method.attribute(["ACGT", "ACG"], target="all")


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        (None, [0, 1, 2, 3]),
        (slice(1, None), [1, 2, 3]),
        (slice(None, None, -2), [1, 3]),
        ([3, 0, 3], [0, 3]),
        (np.array([2]), [2]),
    ],
)
def test_positions(method, positions, expected):
    result = method.attribute(ONE_HOT, target="all", positions=positions)
    np.testing.assert_array_equal(result.positions, expected)
    np.testing.assert_array_equal(result.one_hot, ONE_HOT[:, :, expected])
    assert result.scores.shape == (2, 4, len(expected))


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([4], r"lie in \[0, 4\), but span 4 to 4"),
        ([-1], r"lie in \[0, 4\)"),
        ([], "positions are empty"),
        (slice(4, None), "positions are empty"),
        ([0.5], r"a slice or 0-based indices, not \[0.5\]"),
        ([True, False, True, False], "a slice or 0-based indices"),
    ],
)
def test_bad_positions(method, positions, message):
    with pytest.raises(InvalidInputError, match=message):
        method.attribute(ONE_HOT, target="all", positions=positions)


def test_extra_inputs(method):
    method.attribute(ONE_HOT, target="all", additional_forward_args=torch.ones(2, 3))
    assert [extra.shape for extra in method.request.extras] == [(2, 3)]
    with pytest.raises(InvalidInputError, match=r"additional_forward_args\[1\] must have one row a sequence \(2\)"):
        method.attribute(ONE_HOT, target="all", additional_forward_args=(np.ones(2), np.ones((3, 2))))
    with pytest.raises(InvalidInputError, match=r"does not take sequences of length 4.*given 2 extra inputs"):
        method.attribute(ONE_HOT, target="all", additional_forward_args=(np.ones(2), np.ones(2)))


def test_bad_target_and_batch_size(method):
    with pytest.raises(TargetError, match="index 8 is out of range"):
        method.attribute(ONE_HOT, target=8)
    with pytest.raises(InvalidInputError, match="batch_size must be at least 1, not -1"):
        method.attribute(ONE_HOT, target=0, batch_size=-1)


def test_a_framework_that_the_method_does_not_take():
    import keras

    model = keras.Sequential([keras.Input((4, 4)), keras.layers.Flatten()])
    with pytest.raises(UnsupportedError, match="position does not run on keras models yet; it takes models of torch"):
        Position(model)


def test_a_progress_bar_is_drawn(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich draws on what it takes for a terminal
    monkeypatch.setattr(Position, "_attribute", lambda self, request: request.progress(3, 4) or RawAttribution(ONE_HOT))
    Position(Ends()).attribute(ONE_HOT, target=0, progress=True)
    drawn = capsys.readouterr().out
    assert "position" in drawn
    assert "75%" in drawn


def test_scores_follow_the_convention():
    result = predictions(("count",))
    delta = result.with_convention("delta")
    expected = result.predictions["count"] - result.reference_predictions["count"][:, None, None]
    np.testing.assert_array_equal(delta.scores, expected)
    np.testing.assert_allclose(result.scores, expected - expected.mean(axis=1, keepdims=True))
    np.testing.assert_array_equal(delta.with_convention("centred").scores, result.scores)
    assert result.metadata["convention"] == "centred"


def test_several_outputs_are_flattened_and_concatenated():
    result = predictions().with_convention("delta")
    assert result.scores.shape == (2, 4, 3, 6)
    count = predictions().predictions["count"] - predictions().reference_predictions["count"][:, None, None]
    np.testing.assert_array_equal(result.scores[..., 5], count)
    assert result.with_convention("l2").scores.shape == (2, 4, 3)


def test_conventions_need_predictions(method):
    with pytest.raises(UnsupportedError, match="which 'position' does not give"):
        method.attribute(ONE_HOT, target=0).with_convention("delta")
    with pytest.raises(InvalidInputError, match="choose one of"):
        predictions().with_convention("z-score")


def test_xarray_holds_everything():
    data = predictions().to_xarray()
    assert dict(data.sizes) == {
        "sequence": 2,
        "letter": 4,
        "position": 3,
        "profile+count_0": 6,
        "profile_0": 5,
    }
    assert list(data.letter.values) == list("ACGT")
    np.testing.assert_array_equal(data.position, [4, 5, 9])
    np.testing.assert_array_equal(data["scores"], predictions().scores)
    np.testing.assert_array_equal(data["observed"], predictions().observed)
    np.testing.assert_array_equal(data["predictions_profile"], predictions().predictions["profile"])
    assert json.loads(data.attrs["metadata"]) == predictions().metadata


def same(one: AttributionResult, other: AttributionResult) -> None:
    assert one.metadata == other.metadata
    for name in ("one_hot", "positions", "scores", "observed", "convergence_delta"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name) is None or getattr(one, name).dtype == getattr(other, name).dtype
    for name in ("predictions", "reference_predictions"):
        mine, others = getattr(one, name), getattr(other, name)
        assert list(mine) == list(others)
        for output in mine:
            np.testing.assert_array_equal(mine[output], others[output])


@pytest.mark.parametrize("file", ["scores", "scores.npz", "scores.v2"])
def test_saved_results_load_again(tmp_path, method, file):
    scores = replace(method.attribute(ONE_HOT, target=0, positions=[1, 3]), convergence_delta=np.array([0.5, -1.0]))
    for result in (predictions(), scores):
        path = result.save(tmp_path / file)
        assert path.suffix == ".npz"
        same(AttributionResult.load(path), result)
        same(AttributionResult.load(tmp_path / file), result)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_files_that_are_no_results(tmp_path):
    whole = predictions().save(tmp_path / "whole").read_bytes()
    cases = {
        "empty": b"",
        "text": b"scores\n1\n",
        "cut": whole[: len(whole) // 2],
        "damaged": whole[:200] + bytes(64) + whole[264:],
    }
    for name, content in cases.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
    np.save(tmp_path / "bare.npy", np.zeros(3))
    (tmp_path / "bare.npy").rename(tmp_path / "bare.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "objects.npz", metadata=np.array({"a": 1}, dtype=object))
    with zipfile.ZipFile(tmp_path / "archive.npz", "w") as archive:
        archive.writestr("metadata", "{}")
    for name in (*cases, "bare", "other", "objects", "archive", "missing"):
        with pytest.raises(OutputError, match=rf"{name}\.npz is no attribution result that can be read"):
            AttributionResult.load(tmp_path / f"{name}.npz")


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*choose a folder you can write"):
        predictions().save(tmp_path / "file" / "scores.npz")
    (tmp_path / "taken.npz").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        predictions().save(tmp_path / "taken.npz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken.npz"]


def test_an_older_file_survives_a_failed_write(tmp_path, monkeypatch):
    path = predictions().save(tmp_path / "scores")

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OutputError, match="No space left on device"):
        predictions(("count",)).save(path)
    same(AttributionResult.load(path), predictions())
    assert [p.name for p in tmp_path.iterdir()] == ["scores.npz"]


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
