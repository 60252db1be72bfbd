"""The life of a result of listed mutations: representation, saving and loading."""

import json

import numpy as np
import pytest

from attribution_bench import AttributionResult, Mutation, MutationResult
from attribution_bench.errors import OutputError

MUTATIONS = (
    Mutation(1, 4, "ACG"),
    Mutation(0, 0, "", deleted=2),
    Mutation(0, 7, "n", deleted=0),
    Mutation(1, 2, np.arange(8.0).reshape(4, 2)),
    Mutation(0, 3, np.zeros((4, 0)), deleted=1),
    Mutation(0, 1, np.full((4, 3), -0.25), deleted=0),
)


def result(mutations=MUTATIONS) -> MutationResult:
    random = np.random.default_rng(0)
    count = len(mutations)
    metadata = {"method": "made_up", "outputs": [{"name": "profile", "shape": [5]}, {"name": "count", "shape": []}]}
    return MutationResult(
        mutations,
        {"profile": random.normal(size=(count, 5)).astype(np.float32), "count": random.normal(size=count)},
        {"profile": random.normal(size=(2, 5)).astype(np.float32), "count": random.normal(size=2)},
        metadata,
    )


def same(one: MutationResult, other: MutationResult) -> None:
    assert one.metadata == other.metadata
    assert len(one) == len(other)
    for mine, others in zip(one.mutations, other.mutations, strict=True):
        assert (mine.sequence, mine.position, mine.deleted) == (others.sequence, others.position, others.deleted)
        assert isinstance(mine.replacement, str) == isinstance(others.replacement, str)
        np.testing.assert_array_equal(mine.replacement, others.replacement)
    for name in ("predictions", "reference_predictions"):
        mine, others = getattr(one, name), getattr(other, name)
        assert list(mine) == list(others)
        for output in mine:
            np.testing.assert_array_equal(mine[output], others[output])
            assert mine[output].dtype == others[output].dtype


@pytest.mark.parametrize("mutations", [MUTATIONS, MUTATIONS[:3], MUTATIONS[3:], MUTATIONS[3:4], MUTATIONS[1:2]])
@pytest.mark.parametrize("file", ["effects", "effects.npz"])
def test_saved_results_load_again(tmp_path, mutations, file):
    saved = result(mutations)
    path = saved.save(tmp_path / file)
    assert [p.name for p in tmp_path.iterdir()] == ["effects.npz"]
    for loaded in (MutationResult.load(path), MutationResult.load(tmp_path / file)):
        same(loaded, saved)
        np.testing.assert_array_equal(loaded.effects("profile"), saved.effects("profile"))


def test_length_and_representation():
    assert len(result()) == 6
    assert repr(result()) == (
        "MutationResult(method='made_up', mutations=6, sequences=2, outputs='profile (5,), count ()')"
    )


def test_files_that_are_no_results(tmp_path):
    whole = result().save(tmp_path / "whole").read_bytes()
    for name, content in {"empty": b"", "text": b"effects", "cut": whole[: len(whole) // 2]}.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
    np.savez(tmp_path / "objects.npz", metadata=np.array({"a": 1}, dtype=object))
    scores = {"one_hot": np.zeros((1, 4, 2)), "positions": np.arange(2)}
    np.savez(tmp_path / "other.npz", metadata=np.array(json.dumps({})), **scores)
    for name in ("empty", "text", "cut", "objects", "other", "missing"):
        with pytest.raises(OutputError, match=rf"{name}\.npz is no mutation result that can be read"):
            MutationResult.load(tmp_path / f"{name}.npz")
    with pytest.raises(OutputError, match=r"whole\.npz is no attribution result that can be read"):
        AttributionResult.load(tmp_path / "whole")


@pytest.mark.parametrize(
    "changes",
    [
        {"mutations/width": None},
        {"mutations/width": np.array([-1, -1, -1, 2, 0, 2])},
        {"mutations/position": np.arange(5)},
        {"predictions/profile": np.zeros((5, 5))},
        {"format_version": np.array("new")},
    ],
)
def test_files_with_wrong_parts_are_refused(tmp_path, changes):
    path = result().save(tmp_path / "wrong")
    with np.load(path) as file:
        arrays = {**{name: file[name] for name in file.files}, **changes}
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    with pytest.raises(OutputError, match=r"wrong\.npz is no mutation result that can be read"):
        MutationResult.load(path)


def test_a_file_of_a_newer_format_is_refused(tmp_path):
    path = result().save(tmp_path / "newer")
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, "format_version": arrays["format_version"] + 1})
    with pytest.raises(OutputError, match=r"newer\.npz has format version .* upgrade attribution-bench"):
        MutationResult.load(path)
