"""Archives read strictly: what NumPy writes of numbers and text is read as NumPy reads it, anything else is refused."""

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stored_results
from attribution_bench import AttributionResult, MutationResult
from attribution_bench.archives import write_archive
from attribution_bench.conventions import CONVENTIONS
from attribution_bench.errors import OutputError
from attribution_bench.npz_files import opened_npz
from attribution_bench.storage import write_modisco
from hostile_results import shaped

DTYPES = ("f2", "f4", "f8", "i1", "i8", "u4", "b1", "c8", "U1", "U7", ">f8", ">i4", ">U3")


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4), (1, 2, 1, 2, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path, shape: Any, dtype: str, write: Any) -> None:
    values = np.asarray(np.random.default_rng(0).normal(size=shape) * 9).astype(dtype)
    write(tmp_path / "x.npz", c=values, fortran=np.asfortranarray(values), part=values.T[::2] if shape else values)
    with opened_npz(tmp_path / "x.npz") as archive, np.load(tmp_path / "x.npz") as expected:
        assert list(archive.headers) == expected.files
        for name in expected.files:
            found = archive.array(name)
            np.testing.assert_array_equal(found, expected[name])
            assert (found.shape, found.dtype) == (expected[name].shape, expected[name].dtype.newbyteorder("="))


def rewritten(path: Path, **changes: Any) -> Path:
    """Write an archive again with arrays changed, ``/`` written as ``__``; bytes are a member as it is."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    for name, values in changes.items():
        file_name = name.replace("__", "/") + ".npy"
        if values is None:
            del members[file_name]
            continue
        content = io.BytesIO()
        if not isinstance(values, bytes):
            np.save(content, values)
        members[file_name] = values if isinstance(values, bytes) else content.getvalue()
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def facts(**changes: Any) -> Any:
    return np.array(json.dumps({**stored_results.attribution().metadata, **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": np.array(0)}, "its format version is 0"),
        ({"format_version": np.array(2.5)}, "'format_version' must hold integers"),
        ({"format_version": np.array(True)}, "'format_version' must hold integers"),
        ({"format_version": np.array("2")}, "'format_version' must hold integers"),
        ({"one_hot": np.zeros((2, 4, 6))}, "3 sequences, but 'one_hot' has 2"),
        ({"one_hot": np.full((3, 4, 6), 0.25)}, "'one_hot' must hold 0 and 1"),
        ({"one_hot": np.ones((3, 4, 6))}, "'one_hot' must hold 0 and 1"),
        ({"positions": np.arange(6.0)}, "'positions' must hold integers"),
        ({"positions": np.arange(6) - 1}, r"positions must lie in \[0, 5\]"),
        ({"positions": np.arange(6) + 1}, r"positions must lie in \[0, 5\]"),
        ({"positions": np.full(6, 2**64 - 1, np.uint64)}, "positions must lie in"),
        ({"predictions__count": np.zeros((3, 4, 6, 2))}, "predictions of 'count' have the axes"),
        ({"predictions__count": np.zeros((2, 4, 6))}, "2 sequences, but 'one_hot' has 3"),
        ({"predictions__count": np.full((3, 4, 6), np.inf)}, r"'predictions/count' is not finite at 72 of 72 places"),
        ({"predictions__count": np.zeros((3, 4, 6), complex)}, "must hold real numbers, not complex128"),
        ({"predictions__count": None}, "predictions of"),
        ({"predictions__more": np.zeros((3, 4, 6))}, "predictions of"),
        ({"reference_predictions__count": np.zeros(2)}, "2 sequences, but 'one_hot' has 3"),
        ({"reference_predictions__count": np.zeros((3, 1))}, "reference_predictions of 'count' have the axes"),
        ({"names": np.array(["a", "b"])}, "2 sequences"),
        ({"names": np.arange(3)}, "'names' must hold text"),
        ({"names": shaped("(3,)", "'<U1'", np.full(3, 0xD800, "<u4").tobytes())}, "text that is no Unicode"),
        ({"scores": np.zeros((3, 4, 6, 9))}, r"scores have the axes \(9,\)"),
        ({"more": np.zeros(3)}, "'more', which does not belong in it"),
        ({"metadata": np.array("[1]")}, "no JSON object"),
        ({"metadata": np.array(3)}, "'metadata' must hold text"),
        ({"metadata": np.array(["{}"])}, r"'metadata' must have shape \(\)"),
        ({"metadata": facts(method=["x"])}, "method: expected text, not a list"),
        ({"metadata": facts(method="")}, "method: expected a printable name"),
        ({"metadata": facts(alphabet="AACG")}, "alphabet: expected distinct"),
        ({"metadata": facts(alphabet="ACGTN")}, "4 letters, but its alphabet is ACGTN"),
        ({"metadata": facts(length="ten")}, "length: expected an integer, not 'ten'"),
        ({"metadata": facts(convention="z-score")}, "convention: expected one of"),
        ({"metadata": facts(outputs=5)}, "outputs: expected a list"),
        ({"metadata": facts(outputs=[{}])}, r"outputs\[0\].name: is missing"),
        ({"metadata": facts(outputs=[{"name": "count", "shape": []}])}, "its metadata name"),
        ({"metadata": facts(versions={"x": [[[[float("nan")]]]]})}, "NaN"),
        ({"intervals__end": np.array([5, 15])}, "2 sequences"),
        ({"intervals__end": np.array([0, 0, 0])}, "0 <= start < end"),
    ],
)
def test_parts_of_attributions_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = rewritten(stored_results.attribution().save(tmp_path / "a"), **changes)
    with pytest.raises(OutputError, match=rf"a\.npz is no attribution result that can be read: .*{message}"):
        AttributionResult.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mutations__columns": np.zeros(2)}, r"'mutations/columns' must have shape \(letters, columns\)"),
        ({"mutations__columns": np.full((4, 2), np.nan)}, "'mutations/columns' is not finite"),
        ({"mutations__columns": np.zeros((3, 2))}, "its mutations put 3 letters"),
        ({"mutations__width": np.array([-1, -1, 3])}, r"width must lie in \[-1, 2\]"),
        ({"mutations__sequence": np.array([0, 1, 2])}, r"sequence must lie in \[0, 1\]"),
        ({"mutations__sequence": np.array([0, -1, 1])}, "sequence must lie in"),
        ({"mutations__position": np.array([0, 1, 20])}, r"position must lie in \[0, 19\]"),
        ({"mutations__deleted": np.array([0, -2, 1])}, "deleted must lie in"),
        ({"mutations__letters": np.array(["A", "", "C"])}, "both letters and columns"),
        ({"mutations__letters": np.arange(3)}, "'mutations/letters' must hold text"),
        ({"predictions__y": np.zeros((3, 3))}, "predictions of 'y' have the axes"),
        ({"reference_predictions__y": None}, "predictions of"),
        ({"predictions__y": None, "reference_predictions__y": None}, "it holds no predictions"),
    ],
)
def test_parts_of_mutations_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = rewritten(stored_results.mutations().save(tmp_path / "a"), **changes)
    with pytest.raises(OutputError, match=rf"a\.npz is no mutation result that can be read: .*{message}"):
        MutationResult.load(path)


def test_other_layouts_of_the_same_numbers_are_read(tmp_path: Path) -> None:
    result = stored_results.attribution("deepshap", False)
    path = rewritten(
        result.save(tmp_path / "a"), scores=np.asfortranarray(result.scores).astype(">f8"),
        positions=result.positions.astype(">i4"), one_hot=result.one_hot.astype(np.int8),
    )  # fmt: skip
    found = AttributionResult.load(path)
    np.testing.assert_array_equal(found.scores, result.scores)
    np.testing.assert_array_equal(found.observed, result.observed)
    assert found.positions.dtype == np.int64


def test_outputs_are_in_the_order_of_the_metadata(tmp_path: Path) -> None:
    result = stored_results.attribution()
    path = result.save(tmp_path / "a")
    with zipfile.ZipFile(path) as file:
        members = [(name, file.read(name)) for name in reversed(file.namelist())]
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members:
            file.writestr(name, data)
    found = AttributionResult.load(path)
    assert list(found.predictions) == list(result.predictions)
    for convention in CONVENTIONS:
        mine, others = (one.with_convention(convention).scores for one in (found, result))
        np.testing.assert_array_equal(mine, others)


def test_a_path_is_read_as_it_is_given_before_a_suffix_is_added(tmp_path: Path) -> None:
    bed = tmp_path / "sites.bed"
    bed.write_text("chr1\t1\t2\n")
    with pytest.raises(OutputError, match=r"sites\.bed is no attribution result that can be read: it is no archive"):
        AttributionResult.load(bed)
    with pytest.raises(OutputError, match=r"absent is no attribution result that can be read: there is no such file"):
        AttributionResult.load(tmp_path / "absent")
    (tmp_path / "both").mkdir()
    stored_results.attribution().save(tmp_path / "both")
    assert len(AttributionResult.load(tmp_path / "both")) == 3
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(OutputError, match="is no attribution result that can be read"):
            AttributionResult.load(tmp_path / name)


def test_arrays_of_nothing_but_zeros_are_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attribution_bench.npz_files.LARGE", 2**20)
    path = write_archive(tmp_path / "zeros", {"x": np.zeros(10**6)}, {})
    assert path.stat().st_size > 8 * 10**6
    with opened_npz(path) as archive:
        assert not archive.array("x").any()
    with warnings.catch_warnings():
        np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(10**6))
    with pytest.raises(ValueError, match="unpack to"), opened_npz(tmp_path / "bomb.npz"):
        pass


def spoiled(kind: str) -> AttributionResult:
    """Return a result that cannot be handed on."""
    result = stored_results.attribution("deepshap", False)
    scores = result.scores.astype(complex if kind == "complex" else float)
    if kind != "complex":
        scores[1, 2, 3] = {"nan": np.nan, "inf": -np.inf, "overflow": 1e39}[kind]
    return AttributionResult(result.one_hot, result.positions, result.metadata, stored_scores=scores)


@pytest.mark.parametrize("kind", ["nan", "inf", "complex"])
@pytest.mark.parametrize("purpose", ["save", "xarray", "modisco"])
def test_scores_that_are_no_finite_numbers_are_not_handed_on(tmp_path: Path, kind: str, purpose: str) -> None:
    hand_on = {
        "save": lambda: spoiled(kind).save(tmp_path / "a"),
        "xarray": lambda: spoiled(kind).to_xarray(),
        "modisco": lambda: write_modisco(spoiled(kind), tmp_path / "m"),
    }[purpose]
    where = "must hold real numbers" if kind == "complex" else r"at 1 of 72 places, the first at index \(1, 2, 3\)"
    with pytest.raises(OutputError, match=f"the result cannot be .*'scores' .*{where}"):
        hand_on()
    assert not list(tmp_path.iterdir())


def test_scores_that_single_precision_does_not_have_are_not_written_for_modisco(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="too large for single precision"):
        write_modisco(spoiled("overflow"), tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_differences_that_overflow_are_not_handed_on() -> None:
    result = stored_results.attribution()
    far = {name: np.full_like(values, 1.5e308) for name, values in result.predictions.items()}
    near = {name: np.full_like(values, -1.5e308) for name, values in result.reference_predictions.items()}
    overflowing = AttributionResult(result.one_hot, result.positions, result.metadata, far, near)
    with pytest.raises(OutputError, match="'scores' is not finite"), np.errstate(all="ignore"):
        overflowing.to_xarray()


def test_metadata_that_json_does_not_have_are_not_saved(tmp_path: Path) -> None:
    result = stored_results.attribution()
    for value in (float("nan"), object(), "\ud800"):
        changed = AttributionResult(
            result.one_hot, result.positions, {**result.metadata, "note": value}, result.predictions,
            result.reference_predictions,
        )  # fmt: skip
        with pytest.raises(OutputError, match="its metadata cannot be stored"):
            changed.save(tmp_path / "a")
    assert not list(tmp_path.iterdir())
