"""Scores beside an evaluation: only those of its methods and its sequences are shown."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stored_results
from attribution_bench import AttributionResult
from attribution_bench.errors import OutputError
from attribution_bench.evaluation.results import Evaluation, save_evaluation
from attribution_bench.reporting.faithfulness import render_evaluation
from attribution_bench.reporting.faithfulness.scores import load_scores


def changed(**changes: Any) -> Callable[[Path], None]:
    """Return a change of the stored DeepSHAP scores: fields of the result, or entries of its metadata."""

    def change(folder: Path) -> None:
        path = folder / "scores" / "deepshap.npz"
        result = AttributionResult.load(path)
        fields = {name: value for name, value in changes.items() if hasattr(result, name)}
        facts = {name: value for name, value in changes.items() if name not in fields}
        replace(result, **{"metadata": {**result.metadata, **facts}, **fields}).save(path)

    return change


def edited(**changes: Any) -> Callable[[Path], None]:
    """Return a change of the evaluation."""
    return lambda folder: replace(Evaluation.load(folder), **changes).save(folder) and None


SCORED = stored_results.scalar("deepshap")
UNFIT: dict[str, Callable[[Path], None]] = {
    r"its scores are of 'fastism', not of 'deepshap'": changed(method="fastism"),
    r"its scores are of 'other', not of 'deepshap'": changed(method="other"),
    r"with the options \{'seed': 1\}, but its scores have \{'seed': 2\}": changed(options={"seed": 2}),
    r"with the convention None, but its scores have 'delta'": changed(convention="delta"),
    r"its sequences have other names": changed(names=("first", "third", "second")),
    r"its sequence 0 has other letters": changed(one_hot=SCORED.one_hot[[1, 0, 2]]),
    r"its sequence 2 has other letters": edited(strings=(*stored_results.STRINGS[:2], "GGGATA")),
    r"its alphabet is TGCA": changed(alphabet="TGCA"),
    r"it scores positions beyond the 5 letters": edited(strings=tuple(s[:5] for s in stored_results.STRINGS)),
    r"it scores positions beyond the 6 letters": changed(length=7),
    r"it holds scores of several outputs": changed(
        stored_scores=np.zeros((3, 4, 6, 2)), outputs=[{"name": "y", "shape": [2]}]
    ),
    r"holds scores of shape \(2, 4, 6\), but the evaluation has 3 sequences": changed(
        one_hot=SCORED.one_hot[:2], stored_scores=SCORED.scores[:2], names=None, intervals=None, convergence_delta=None
    ),
    r"are at other positions": changed(
        one_hot=SCORED.one_hot[:, :, :3], stored_scores=SCORED.scores[:, :, :3], positions=np.arange(3)
    ),
}


@pytest.mark.parametrize("message", UNFIT)
def test_scores_that_do_not_belong_are_named_and_nothing_is_written(tmp_path: Path, message: str) -> None:
    folder = stored_results.comparison_folder(tmp_path)
    UNFIT[message](folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(OutputError, match=message):
        render_evaluation(folder)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("first", ["fastism", "deepshap"])
def test_files_of_two_methods_that_were_mixed_up(tmp_path: Path, first: str) -> None:
    scores = stored_results.comparison_folder(tmp_path) / "scores"
    files = {path.stem: path.read_bytes() for path in scores.iterdir()}
    (scores / f"{first}.npz").write_bytes(files["deepshap" if first == "fastism" else "fastism"])
    for evaluation in (Evaluation.load(tmp_path), unnamed(Evaluation.load(tmp_path))):
        with pytest.raises(OutputError, match=rf"{first}\.npz does not belong .* not of '{first}'"):
            load_scores(tmp_path, evaluation)


def unnamed(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation as earlier releases stored it, without the methods that the scores name."""
    return replace(evaluation, methods=tuple(replace(method, result_method="") for method in evaluation.methods))


def test_a_method_may_be_compared_under_another_name(tmp_path: Path) -> None:
    evaluation = stored_results.evaluation()
    renamed = tuple(replace(m, method="mine") if m.method == "deepshap" else m for m in evaluation.methods)
    pairs = (replace(evaluation.agreements[0], second="mine"),)
    results = {"fastism": stored_results.scalar("fastism"), "mine": stored_results.scalar("deepshap")}
    for changed in (replace(evaluation, methods=renamed, agreements=pairs),):
        save_evaluation(tmp_path, changed, results)
        for stored in (Evaluation.load(tmp_path), unnamed(Evaluation.load(tmp_path))):
            found = load_scores(tmp_path, stored)
            assert found is not None
            assert set(found.observed) == {"fastism", "mine"}


def test_unknown_and_lower_case_letters_are_those_of_the_scores(tmp_path: Path) -> None:
    folder = stored_results.comparison_folder(tmp_path)
    edited(strings=tuple(string.lower() for string in stored_results.STRINGS))(folder)
    assert load_scores(folder, Evaluation.load(folder)) is not None
