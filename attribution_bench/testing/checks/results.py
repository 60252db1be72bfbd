"""Checks of what comes back: shapes, types, positions, targets, metadata, files."""

import json
import tempfile
from pathlib import Path

import numpy as np

from attribution_bench.result import AttributionResult
from attribution_bench.testing.checks.requirements import require, require_equal
from attribution_bench.testing.subject import Subject, sequences


def check_shapes_and_types(subject: Subject) -> None:
    """Scores are (N, A, L) in the model's precision, finite, and not all zero; observed are (N, L)."""
    result = subject.result
    shape, dtype = sequences().shape, np.dtype(result.metadata["dtype"])
    remedy = "return RawAttribution with scores, or predictions and reference_predictions, in the shapes it documents"
    require(result.scores.shape == shape, f"scores have shape {result.scores.shape} instead of {shape}", remedy)
    require(result.scores.dtype == dtype, f"scores are {result.scores.dtype}, the model computes in {dtype}", remedy)
    require(np.isfinite(result.scores).all(), "scores hold values that are not finite", remedy)
    require(result.scores.any(), "every score is 0 on a model whose output depends on every position", remedy)
    require(result.observed.shape == (shape[0], shape[2]), f"observed have shape {result.observed.shape}", remedy)
    require(np.array_equal(result.one_hot, sequences()), "one_hot is not the input", remedy)


def check_index_name_and_all_agree(subject: Subject) -> None:
    """An index, a name and ``"all"`` give the same numbers, with the output's axes at the end."""
    remedy = "score every Selection of the request, and keep its axes (none for an index) after (N, A, P)"
    whole = subject.result_of_several.scores
    count, _, places = sequences().shape
    require(whole.shape == (count, 4, places, 4), f"target 'all' of outputs (3,) and (1,) gives {whole.shape}", remedy)
    profile = subject.attribute("several_outputs", target="profile").scores
    require_equal(profile, whole[..., :3], "target 'profile' against the first three columns of 'all'", remedy)
    value = subject.attribute("several_outputs", target=("profile", 2)).scores
    require_equal(value, whole[..., 2], "target ('profile', 2) against column 2 of 'all'", remedy)
    require_equal(
        subject.attribute(target=0).scores,
        subject.result.scores,
        "target 0 against None on a model of one output",
        remedy,
    )


def check_reducers(subject: Subject) -> None:
    """A reducer runs in the place of an index: one that picks an element equals that index."""
    remedy = "reduce with SequenceModel.select before anything is copied back, and differentiate through it"
    whole = subject.result_of_several.scores
    function = subject.attribute("several_outputs", target=("profile", lambda value: value[:, 1:2].sum(1))).scores
    require_equal(function, whole[..., 1], "a function that adds up element 1 against index 1", remedy)
    total = subject.attribute("several_outputs", target=("count", "sum")).scores
    require_equal(total, whole[..., 3], "the sum of a single value against the value", remedy)


def check_positions_are_a_slice(subject: Subject) -> None:
    """Positions asked for, in any order and repeated, hold the same scores as when every position is scored."""
    remedy = (
        "use request.positions for what is computed and returned, in its ascending order, never for what the model sees"
    )
    whole = subject.result.scores
    for positions, expected in ((slice(5, 9), [5, 6, 7, 8]), ([20, 3, 0, 3], [20, 3, 0, 3])):
        result = subject.attribute(positions=positions)
        require(result.positions.tolist() == expected, f"positions are {result.positions}, not {expected}", remedy)
        require_equal(result.scores, whole[:, :, expected], f"scores at positions {expected}", remedy)


def check_metadata(subject: Subject) -> None:
    """The metadata name the method, its options and the versions, and can be written as JSON."""
    metadata = subject.attribute(target=0).metadata
    remedy = "give RawAttribution.metadata only strings, numbers, lists and dicts"
    json.dumps(dict(metadata), allow_nan=False)
    require(metadata["method"] == subject.method.name, f"the method is recorded as {metadata['method']!r}", remedy)
    require(metadata["target"] == 0, f"target 0 is recorded as {metadata['target']!r}", remedy)
    require("attribution-bench" in metadata["versions"], "no version is recorded", remedy)
    missing = set(subject.options) - set(metadata["options"])
    require(not missing, f"options {missing} are not recorded", "pass every option to super().__init__(model, ...)")


def check_save_and_load(subject: Subject) -> None:
    """A result that was saved and loaded is the same, and converts to xarray."""
    result = subject.result_of_several
    with tempfile.TemporaryDirectory() as folder:
        loaded = AttributionResult.load(result.save(Path(folder) / "result"))
    remedy = "give RawAttribution plain NumPy arrays of numbers, and JSON-able metadata"
    require(np.array_equal(loaded.scores, result.scores), "scores changed on the way through a file", remedy)
    require(loaded.metadata == json.loads(json.dumps(dict(result.metadata))), "metadata changed", remedy)
    require(set(loaded.predictions) == set(result.predictions), "predictions were lost", remedy)
    delta, loaded_delta = result.convergence_delta, loaded.convergence_delta
    require((delta is None) == (loaded_delta is None), "the convergence delta was lost or invented", remedy)
    if delta is not None and loaded_delta is not None:
        require(np.array_equal(delta, loaded_delta), "the convergence delta changed", remedy)
    dataset = loaded.to_xarray()
    require(dataset["scores"].dims[:3] == ("sequence", "letter", "position"), "to_xarray has other axes", remedy)
