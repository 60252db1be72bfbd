"""The validation of a call: inputs, names, intervals, positions, further inputs, batch size, progress."""

import numpy as np
import pytest
import torch

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError, SequenceError, TargetError
from attribution_bench.request import RawAttribution, further_inputs
from attribution_bench.sequences import Interval, Sequences, lambda_windows, read_fasta
from position_method import Ends, Position


@pytest.fixture
def method():
    return Position(Ends(), factor=2.0)


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
    "dtype",
    [
        torch.bfloat16,
        torch.float16,
        torch.float64,
        torch.float8_e4m3fn,
        torch.int8,
        torch.uint8,
        torch.int64,
        torch.bool,
    ],
)
def test_tensors_of_every_type_are_read(method, dtype):
    method.attribute(torch.from_numpy(ONE_HOT).to(dtype), target="all")
    np.testing.assert_array_equal(method.request.one_hot, ONE_HOT)
    method.attribute(torch.from_numpy(ONE_HOT).float().requires_grad_(), target="all")
    np.testing.assert_array_equal(method.request.one_hot, ONE_HOT)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int32", "bool"])
def test_tensors_of_tensorflow_are_read(method, dtype):
    tf = pytest.importorskip("tensorflow")
    method.attribute(tf.cast(ONE_HOT, dtype), target="all")
    np.testing.assert_array_equal(method.request.one_hot, ONE_HOT)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.int64])
def test_further_inputs_of_every_type_are_read(dtype):
    given = torch.tensor([[1, 2], [3, 4]]).to(dtype)
    (read,) = further_inputs(given)
    np.testing.assert_array_equal(read, [[1, 2], [3, 4]])
    assert read.dtype == (np.int64 if dtype == torch.int64 else np.float32)


@pytest.mark.parametrize(
    "inputs",
    [
        torch.zeros(2, 4, 5, device="meta"),
        [[1, 0], [1]],
        [np.zeros((4, 5)), np.zeros((4, 6))],
        np.array([[["A", "C"]]]),
        np.array([[[None, 1]]]),
        {"A": 1},
        object(),
    ],
    ids=lambda inputs: type(inputs).__name__,
)
def test_what_is_no_array_of_numbers(method, inputs):
    with pytest.raises(InvalidInputError, match=r"inputs (cannot be read as an array|must hold numbers)"):
        method.attribute(inputs, target="all")
    with pytest.raises(InvalidInputError, match=r"additional_forward_args\[0\] (cannot be read|must hold numbers)"):
        method.attribute(ONE_HOT, target="all", additional_forward_args=(inputs,))


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


def test_sequences_of_a_file_keep_their_names(tmp_path, method):
    (tmp_path / "peaks.fa").write_text(">first of two\nACGT\n>second\nTTNA\n")
    sequences = read_fasta(tmp_path / "peaks.fa")
    result = method.attribute(sequences, target="all")
    np.testing.assert_array_equal(method.request.one_hot, ONE_HOT)
    assert result.names == ("first", "second")
    assert result.intervals is None
    assert method.attribute(sequences, target="all", names=["a", "b"]).names == ("a", "b")


def test_windows_of_a_genome_keep_their_intervals(method):
    windows = lambda_windows(10, 3)
    result = method.attribute(windows, target="all")
    assert result.names == windows.names
    assert [str(interval) for interval in result.intervals] == [f"{name}(+)" for name in windows.names]
    assert result.intervals[-1] == Interval("NC_001416.1", 48_492, 48_502, "+")


def test_names_and_intervals_of_arrays(method):
    intervals = [Interval("chr1", 10, 14), Interval("chr2", 0, 4, "-")]
    result = method.attribute(ONE_HOT, target="all", positions=[2], names=np.array(["a", "b"]), intervals=intervals)
    assert result.names == ("a", "b")
    assert all(type(name) is str for name in result.names)
    assert result.intervals == tuple(intervals)
    unnamed = method.attribute(ONE_HOT, target="all")
    assert (unnamed.names, unnamed.intervals) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["a"]}, r"names must be one a sequence \(2\)"),
        ({"names": "ab"}, "names must be one a sequence"),
        ({"intervals": [Interval("chr1", 0, 4)]}, r"intervals must be one a sequence \(2\), but there are 1"),
        (
            {"intervals": [Interval("chr1", 0, 4), Interval("chr1", 4, 9)]},
            r"intervals\[1\] is chr1:4-9, of 5 positions, but its sequence has 4 letters",
        ),
        ({"intervals": [Interval("chr1", 0, 4), None]}, r"intervals\[1\] must be an Interval, not None"),
        ({"intervals": ["ACGT", "ACGT"]}, r"intervals\[0\] must be an Interval, not 'ACGT'"),
    ],
)
def test_bad_names_and_intervals(method, arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        method.attribute(ONE_HOT, target="all", **arguments)


def test_sequences_of_another_alphabet_are_refused(method):
    with pytest.raises(SequenceError, match="sequence 0 holds 'U'"):
        method.attribute(Sequences(("rna",), ("ACGU",), "here", ab.RNA), target="all")


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([4], r"lie in \[0, 4\), but span 4 to 4"),
        ([-1], r"lie in \[0, 4\)"),
        ([], "positions are empty"),
        (slice(4, None), "positions are empty"),
        ([0.5], r"a slice or 0-based indices, not \[0.5\]"),
        ([True, False, True, False], "a slice or 0-based indices"),
        ([[1, 2]], r"must have one axis, not shape \(1, 2\)"),
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


def test_a_progress_bar_is_drawn(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich draws on what it takes for a terminal
    monkeypatch.setattr(Position, "_attribute", lambda self, request: request.progress(3, 4) or RawAttribution(ONE_HOT))
    Position(Ends()).attribute(ONE_HOT, target=0, progress=True)
    drawn = capsys.readouterr().out
    assert "position" in drawn
    assert "75%" in drawn
