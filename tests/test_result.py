"""The life of a result: conventions, slices, concatenation, xarray, saving and loading."""

import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError, OutputError, UnsupportedError
from attribution_bench.result import AttributionResult
from attribution_bench.sequences import Interval
from position_method import Ends, Position

ONE_HOT = ab.DNA.one_hot(["ACGT", "TTNA"])


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
    assert one.names == other.names
    assert one.intervals == other.intervals
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
    for result in (predictions(), named(), scores, scores[:0], with_delta()):
        path = result.save(tmp_path / file)
        assert path.suffix == ".npz"
        same(AttributionResult.load(path), result)
        same(AttributionResult.load(tmp_path / file), result)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def changed_byte(content, offset, value):
    return content[:offset] + bytes([value]) + content[offset + 1 :]


def test_files_that_are_no_results(tmp_path):
    whole = predictions().save(tmp_path / "whole").read_bytes()
    cases = {
        "empty": b"",
        "text": b"scores\n1\n",
        "cut": whole[: len(whole) // 2],
        "damaged": whole[:200] + bytes(64) + whole[264:],
        # Bytes of the first entry of the archive's directory: its flags, and how it is compressed.
        "encrypted": changed_byte(whole, whole.index(b"PK\x01\x02") + 8, 1),
        "packed": changed_byte(whole, whole.index(b"PK\x01\x02") + 10, 99),
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


GENOMIC = (Interval("chr1", 100, 112, "+"), Interval("chrX", 0, 12, "-"))


def named(outputs=("profile", "count")) -> AttributionResult:
    return replace(predictions(outputs), names=("peak", "other"), intervals=GENOMIC)


def with_delta() -> AttributionResult:
    """A result of five sequences of a method with stored scores and a convergence delta."""
    method = Position(Ends(), factor=2.0)
    names, intervals = list("abcde"), [Interval("chr1", start, start + 4) for start in range(5)]
    one_hot = ab.DNA.one_hot(["ACGT", "TTNA", "GGGG", "CATG", "NNNN"])
    result = method.attribute(one_hot, target=0, positions=[3, 1], names=names, intervals=intervals)
    scores = result.scores * np.arange(1, 6)[:, None, None]
    return replace(result, stored_scores=scores, convergence_delta=np.arange(10.0).reshape(5, 2))


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        (3, [3]),
        (-1, [4]),
        (np.int64(0), [0]),
        (slice(2, 5), [2, 3, 4]),
        (slice(None, None, -2), [4, 2, 0]),
        (slice(5, None), []),
        ([0, 4], [0, 4]),
        ([1, 1, -5], [1, 1, 0]),
        ([], []),
        (np.array([2, 0]), [2, 0]),
        (np.array([True, False, False, True, False]), [0, 3]),
        ([False, True, False, False, False], [1]),
    ],
)
def test_sequences_are_sliced(key, rows):
    whole = with_delta()
    assert len(whole) == 5
    some = whole[key]
    assert len(some) == len(rows)
    for name in ("one_hot", "scores", "observed", "convergence_delta"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[rows])
    assert some.names == tuple("abcde"[row] for row in rows)
    assert some.intervals == tuple(whole.intervals[row] for row in rows)
    np.testing.assert_array_equal(some.positions, [3, 1])
    assert some.metadata == whole.metadata


def test_predictions_are_sliced():
    whole = named()
    for name, values in whole.predictions.items():
        np.testing.assert_array_equal(whole[1].predictions[name], values[1:])
        np.testing.assert_array_equal(whole[1].reference_predictions[name], whole.reference_predictions[name][1:])
    np.testing.assert_array_equal(whole[1].scores, whole.scores[1:])
    assert [one.names for one in whole] == [("peak",), ("other",)]
    assert predictions()[0].names is None


@pytest.mark.parametrize("key", [5, -6, [0, 5], "a", 1.0, (0, 1), [[0, 1]], True, None, np.array([True, False])])
def test_keys_that_index_no_sequences(key):
    with pytest.raises(IndexError, match=r"does not index 5 sequences .*give an index in \[-5, 5\), a slice, a list"):
        with_delta()[key]


def test_results_are_concatenated():
    whole = with_delta()
    same(AttributionResult.concatenate([whole[:2], whole[2:3], whole[3:]]), whole)
    same(AttributionResult.concatenate(iter([whole])), whole)
    same(AttributionResult.concatenate([named()[0], named()[1]]), named())
    same(AttributionResult.concatenate([predictions()[0], predictions()[1]]), predictions())
    twice = AttributionResult.concatenate([named(), named()])
    assert twice.names == ("peak", "other") * 2
    assert twice.intervals == GENOMIC * 2
    np.testing.assert_array_equal(twice.scores, np.concatenate([named().scores] * 2))


def test_concatenated_metadata_are_those_in_common():
    one, other = (replace(named(), metadata={**named().metadata, **facts}) for facts in ({"device": "cpu"}, {}))
    assert AttributionResult.concatenate([one, one]).metadata == one.metadata
    assert AttributionResult.concatenate([one, other]).metadata == named().metadata
    assert AttributionResult.concatenate([other, one]).metadata == named().metadata


def changed(**facts):
    return replace(named(), metadata={**named().metadata, **facts})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (changed(method="another"), r"'method' of the metadata differ between result 0 \(made_up\) and result 2 \(ano"),
        (changed(options={"n": 2}), "'options'"),
        (changed(convention="delta"), r"'convention' of the metadata differ .*\(centred\) and result 2 \(delta\)"),
        (changed(alphabet="ACGU"), "'alphabet'"),
        (changed(target=0), "'target'"),
        (changed(length=100), "'length'"),
        (changed(dtype="float32"), "'dtype'"),
        (named(("profile",)), "'outputs'"),
        (replace(named(), positions=np.array([4, 9, 5])), r"the positions differ .*3 from 4 to 9\) .*3 from 4 to 5\)"),
        (replace(named(), convergence_delta=np.zeros(2)), "the arrays differ .*convergence_delta"),
        (replace(named(), names=None), r"the names of the sequences differ .*\(known\) and result 2 \(unknown\)"),
        (replace(named(), intervals=None), "the intervals of the sequences differ"),
        (
            replace(named(), reference_predictions={"profile": np.zeros((2, 5), "f4"), "count": np.zeros(2)}),
            "the types of 'reference_predictions/profile' differ .*float64.*float32",
        ),
        (
            replace(named(), reference_predictions={"profile": np.zeros((2, 6)), "count": np.zeros(2)}),
            r"the shapes of 'reference_predictions/profile' after the first axis differ .*\(5,\).*\(6,\)",
        ),
    ],
)
def test_results_that_differ_are_not_concatenated(other, message):
    with pytest.raises(InvalidInputError, match=f"^results cannot be concatenated: .*{message}"):
        AttributionResult.concatenate([named(), named(), other])


def test_what_is_no_result_is_not_concatenated():
    with pytest.raises(InvalidInputError, match=r"results\[1\] must be an AttributionResult, not 3"):
        AttributionResult.concatenate([named(), 3])


def test_nothing_is_not_concatenated():
    with pytest.raises(InvalidInputError, match="no results to concatenate"):
        AttributionResult.concatenate([])


def test_representation_is_one_line():
    assert repr(predictions()) == (
        "AttributionResult(method='made_up', sequences=2, positions=3, outputs='profile (5,), count ()', "
        "convention='centred')"
    )
    assert (
        repr(with_delta()[1:]) == "AttributionResult(method='position', sequences=4, positions=2, outputs='output ()')"
    )
    assert (
        repr(AttributionResult(np.zeros((1, 4, 2)), np.arange(2), {})) == "AttributionResult(sequences=1, positions=2)"
    )


def test_names_and_intervals_are_one_a_sequence():
    with pytest.raises(InvalidInputError, match=r"names must be one a sequence \(2\), but there are 1"):
        replace(predictions(), names=("peak",))
    with pytest.raises(InvalidInputError, match="intervals must be one a sequence"):
        replace(predictions(), intervals=GENOMIC * 2)


def test_xarray_holds_names_and_intervals():
    data = named().to_xarray()
    assert data.sequence_name.dims == data.strand.dims == ("sequence",)
    assert list(data.sequence_name.values) == ["peak", "other"]
    assert list(data.chromosome.values) == ["chr1", "chrX"]
    assert list(data.start.values) == [100, 0]
    assert list(data.end.values) == [112, 12]
    assert list(data.strand.values) == ["+", "-"]
    assert set(data.coords) - set(predictions().to_xarray().coords) == {
        *("sequence_name", "chromosome", "start", "end", "strand")
    }
    data.to_dict()


def test_files_of_the_first_format_load(tmp_path):
    """Files of format version 1 have no version, and names in the metadata alone."""
    result = predictions(("count",))
    arrays = {
        "one_hot": result.one_hot,
        "positions": result.positions,
        "predictions/count": result.predictions["count"],
        "reference_predictions/count": result.reference_predictions["count"],
    }
    np.savez(tmp_path / "plain.npz", **arrays, metadata=np.array(json.dumps(result.metadata)))
    same(AttributionResult.load(tmp_path / "plain"), result)
    facts = {**result.metadata, "sequence_names": ["peak", "1"]}
    np.savez(tmp_path / "named.npz", **arrays, metadata=np.array(json.dumps(facts)))
    same(AttributionResult.load(tmp_path / "named"), replace(result, names=("peak", "1")))


def rewritten(path, **changes):
    """Write a file of arrays again with changes; None takes one away."""
    with np.load(path) as file:
        arrays = {**{name: file[name] for name in file.files}, **changes}
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    return path


def test_a_file_of_a_newer_format_is_refused(tmp_path):
    path = named().save(tmp_path / "newer")
    with np.load(path) as file:
        version = int(file["format_version"])
    same(AttributionResult.load(path), named())
    rewritten(path, format_version=np.array(version + 1), one_hot=None)
    message = rf"newer\.npz has format version {version + 1}, but .* up to {version}; upgrade attribution-bench"
    with pytest.raises(OutputError, match=message):
        AttributionResult.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": np.array("new")},
        {"format_version": np.arange(2)},
        {"metadata": np.array("[]")},
        {"metadata": None},
        {"positions": None},
        {"names": np.array(["only one"])},
        {"names": np.array([object(), object()])},
        {"intervals/strand": None},
        {"intervals/strand": np.array(["+"])},
        {"intervals/strand": np.array(["+", "x"])},
        {"intervals/start": np.array([200, 0])},
        {"one_hot": np.array(3)},
    ],
)
def test_files_with_wrong_parts_are_refused(tmp_path, changes):
    path = rewritten(named().save(tmp_path / "wrong"), **changes)
    with pytest.raises(OutputError, match=r"wrong\.npz is no attribution result that can be read"):
        AttributionResult.load(path)
