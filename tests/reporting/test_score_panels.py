"""Stored results read for drawing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attribution_bench.attribution import AttributionResult
from attribution_bench.errors import InvalidInputError, OutputError, TargetError
from attribution_bench.reporting.score_panels import read_score_panels
from attribution_bench.sequences import DNA, Interval

STRINGS = ["ACGTNACGTA", "GGGTTTCCCA"]


def saved(folder: Path, name: str = "a", strings: list[str] = STRINGS, **changes: Any) -> Path:
    """Save scores of 10 letters that count upwards, or what changes say."""
    one_hot = DNA.one_hot(strings)
    positions = changes.pop("positions", np.arange(one_hot.shape[2]))
    metadata = {
        "method": changes.pop("method", "deepshap"),
        "alphabet": "ACGT",
        "length": one_hot.shape[2],
        "outputs": changes.pop("outputs", [{"name": "output", "shape": []}]),
        **changes.pop("metadata", {}),
    }
    shape = (*one_hot.shape, *changes.pop("axes", ()))
    scores = changes.pop("scores", np.arange(np.prod(shape), dtype=float).reshape(shape))
    result = AttributionResult(
        one_hot[:, :, positions], positions, metadata, stored_scores=scores[:, :, positions], **changes
    )
    return result.save(folder / name)


def test_one_sequence_of_one_file(tmp_path: Path) -> None:
    panels = read_score_panels([saved(tmp_path)], sequence="1")
    assert list(panels.hypothetical) == ["DeepSHAP"]
    assert np.array_equal(panels.hypothetical["DeepSHAP"], np.arange(40.0, 80).reshape(4, 10))
    assert np.array_equal(panels.present, DNA.one_hot(STRINGS)[1] > 0)
    assert (panels.start, panels.stop, panels.sequence, panels.length, panels.alphabet) == (0, 10, 1, 10, "ACGT")
    observed = panels.observed["DeepSHAP"]
    assert np.count_nonzero(observed) == 10
    assert observed[2, 0] == 60


def test_a_range_of_it(tmp_path: Path) -> None:
    panels = read_score_panels([saved(tmp_path)], span=(3, 6))
    assert panels.start == 3
    assert np.array_equal(panels.hypothetical["DeepSHAP"], np.arange(40.0).reshape(4, 10)[:, 3:6])
    # The unknown letter at position 4 leaves a gap.
    assert panels.present.any(axis=0).tolist() == [True, False, True]


def test_positions_that_were_not_scored_stay_empty(tmp_path: Path) -> None:
    panels = read_score_panels([saved(tmp_path, positions=np.array([2, 3, 7]))])
    assert (panels.start, panels.stop) == (2, 8)
    assert np.flatnonzero(panels.present.any(axis=0)).tolist() == [0, 1, 5]
    assert np.flatnonzero(panels.hypothetical["DeepSHAP"].any(axis=0)).tolist() == [0, 1, 5]


def test_scores_that_derive_from_predictions(tmp_path: Path) -> None:
    one_hot = DNA.one_hot(STRINGS)
    reference = np.array([1.0, 2.0])
    predictions = reference[:, None, None] + (1 - one_hot) * np.random.default_rng(0).normal(size=one_hot.shape)
    metadata = {
        "method": "fastism",
        "alphabet": "ACGT",
        "length": 10,
        "outputs": [{"name": "y", "shape": []}],
        "convention": "centred",
    }
    result = AttributionResult(one_hot, np.arange(10), metadata, {"y": predictions}, {"y": reference})
    panels = read_score_panels([result.save(tmp_path / "ism")], sequence="1")
    assert np.array_equal(panels.hypothetical["fastISM"], result.scores[1])


def test_a_panel_a_file_and_titles_that_tell_them_apart(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = [saved(tmp_path, "one"), saved(tmp_path, "two"), saved(tmp_path, "three", method="fastism")]
    assert list(read_score_panels(paths[1:]).hypothetical) == ["DeepSHAP", "fastISM"]
    assert list(read_score_panels(paths[:2]).hypothetical) == ["DeepSHAP (one)", "DeepSHAP (two)"]
    same = [paths[0], saved(tmp_path / "other", "one")]
    assert list(read_score_panels(same).hypothetical) == [f"DeepSHAP ({path})" for path in same]
    with pytest.raises(InvalidInputError, match="given twice"):
        read_score_panels([paths[0], paths[0]])


def test_sequences_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path, names=("peak", "1"))
    assert read_score_panels([path], sequence="peak").sequence == 0
    assert read_score_panels([path], sequence="1").sequence == 1
    assert read_score_panels([path], sequence="0").sequence == 0
    assert read_score_panels([path]).names == ("peak", "1")
    assert read_score_panels([path]).name == "peak"


def test_names_and_intervals_that_one_of_the_files_holds(tmp_path: Path) -> None:
    intervals = (Interval("chr1", 5, 15), Interval("chr2", 0, 10, "-"))
    bare = saved(tmp_path, "bare")
    full = saved(tmp_path, "full", method="fastism", names=("peak", "other"), intervals=intervals)
    panels = read_score_panels([bare, full], sequence="other")
    assert (panels.sequence, panels.name, panels.interval) == (1, "other", intervals[1])
    unknown = read_score_panels([bare], sequence="1")
    assert (unknown.names, unknown.name, unknown.interval) == (("0", "1"), None, None)


def test_positions_in_any_order_are_drawn_ascending(tmp_path: Path) -> None:
    ascending = read_score_panels([saved(tmp_path, positions=np.array([2, 3, 7]))])
    panels = read_score_panels([saved(tmp_path, positions=np.array([7, 2, 3, 2]))])
    assert (panels.start, panels.stop) == (2, 8)
    assert np.array_equal(panels.present, ascending.present)
    assert np.array_equal(panels.hypothetical["DeepSHAP"], ascending.hypothetical["DeepSHAP"])


@pytest.mark.parametrize(
    ("target", "place"),
    [((2, 1), 7), (("profile", (2, 1)), 7), (("count", 0), 12), ("count", 12), (("profile", (0, -1)), 2)],
)
def test_one_value_of_several(tmp_path: Path, target: Any, place: int) -> None:
    outputs = [{"name": "profile", "shape": [4, 3]}, {"name": "count", "shape": [1]}]
    if isinstance(target[0], int):
        path = saved(tmp_path, outputs=outputs[:1], axes=(4, 3))
        every = np.arange(2 * 4 * 10 * 12).reshape(2, 4, 10, 12)
    else:
        path = saved(tmp_path, outputs=outputs, axes=(13,))
        every = np.arange(2 * 4 * 10 * 13).reshape(2, 4, 10, 13)
    (scores,) = read_score_panels([path], target=target).hypothetical.values()
    assert np.array_equal(scores, every[0, :, :, place])


def test_the_only_value_needs_no_name(tmp_path: Path) -> None:
    path = saved(tmp_path, outputs=[{"name": "y", "shape": [1]}], axes=(1,))
    assert np.array_equal(read_score_panels([path]).hypothetical["DeepSHAP"], np.arange(40.0).reshape(4, 10))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, r"several values, profile \(4, 3\); choose one"),
        ((1,), "not one value"),
        ("sum", "not one value"),
        ("all", "not one value"),
        ("counts", "unknown target 'counts'"),
        ((1, 3), "out of range"),
    ],
)
def test_values_that_there_are_not(tmp_path: Path, target: Any, message: str) -> None:
    path = saved(tmp_path, outputs=[{"name": "profile", "shape": [4, 3]}], axes=(4, 3))
    with pytest.raises(TargetError, match=message):
        read_score_panels([path], target=target)


def test_a_target_of_scores_that_have_none(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="one score a letter"):
        read_score_panels([saved(tmp_path)], target=(0,))


@pytest.mark.parametrize(
    ("strings", "changes", "message"),
    [
        (["ACGTNACGTC", STRINGS[1]], {}, "they differ at position 9"),
        ([STRINGS[0]], {}, "number of sequences is 1 in one and 2"),
        ([s + "A" for s in STRINGS], {}, "length is 11 in one and 10"),
        (STRINGS, {"metadata": {"alphabet": "ACGU"}}, "alphabet is ACGU in one and ACGT"),
        (STRINGS, {"positions": np.arange(3, 7)}, r"different positions \(0:10 in .*, 3:7 in .*\); give a range"),
    ],
)
def test_files_that_are_not_of_the_same_sequences(
    tmp_path: Path, strings: list[str], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_score_panels([saved(tmp_path), saved(tmp_path, "b", strings, method="fastism", **changes)])


def test_files_of_different_positions_share_a_range(tmp_path: Path) -> None:
    paths = [saved(tmp_path), saved(tmp_path, "b", method="fastism", positions=np.arange(3, 7))]
    panels = read_score_panels(paths, span=(4, 7))
    assert np.array_equal(*panels.hypothetical.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sequence": "2"}, "there is no sequence '2'; give an index from 0 to 1"),
        ({"sequence": "-1"}, "no sequence '-1'"),
        ({"sequence": "peak"}, "no sequence 'peak'"),
        ({"span": (4, 11)}, "4:11 is not within the 10 letters"),
        ({"span": (4, 4)}, "4:4"),
        ({"span": (0, 5)}, "reaches beyond the positions 2:9"),
    ],
)
def test_sequences_and_ranges_that_there_are_not(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_score_panels([saved(tmp_path, positions=np.arange(2, 9))], **settings)


def test_files_that_hold_no_result(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="at least one"):
        read_score_panels([])
    with pytest.raises(OutputError, match="no attribution result"):
        read_score_panels([tmp_path / "absent.npz"])
    facts = {"method": "x", "alphabet": "ACGT", "outputs": [{"name": "y", "shape": []}]}
    for missing, message in (
        ("alphabet", "alphabet: is missing"),
        ("outputs", "outputs: is missing"),
        (None, "how long its sequences are"),
    ):
        metadata = {name: value for name, value in facts.items() if name != missing}
        arrays = {"one_hot": DNA.one_hot(["AC"]), "positions": np.arange(2), "scores": np.zeros((1, 4, 2))}
        np.savez(tmp_path / "foreign.npz", metadata=np.array(json.dumps(metadata)), **arrays)
        with pytest.raises(OutputError, match=rf"foreign\.npz .*{message}"):
            read_score_panels([tmp_path / "foreign.npz"])
