"""Scores for the logos: measured on one sequence, stored, and read back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import attribution_bench as ab
from attribution_bench.benchmark.logo_scores import (
    SEED,
    LogoScores,
    MethodScores,
    find_logo_scores,
    measure_logo_scores,
)
from attribution_bench.errors import InvalidInputError, OutputError
from attribution_bench.sequences import DNA, lambda_windows

LENGTH, WINDOW = 200, 6
START = (LENGTH - WINDOW) // 2


@pytest.fixture(scope="module")
def measured() -> LogoScores:
    return measure_logo_scores(["standard_ism", "no_such_method"], "torch", "cpu", length=LENGTH, window=WINDOW)


def _scores() -> LogoScores:
    rows = ((0.5, -0.1), (0.1, 0.2), (0.0, 0.3), (-0.2, 0.0))
    methods = (MethodScores("standard_ism", rows, convention="centred"), MethodScores("zoom", reason="E: e"))
    return LogoScores("basset", 1000, "torch", "cpu", "window", "AN", 440, "ACGT", methods)


def test_scores_are_those_of_forward_passes_in_the_middle_of_the_window(measured: LogoScores) -> None:
    sequence = lambda_windows(LENGTH, 1).strings[0]
    assert (measured.start, measured.letters) == (START, sequence[START : START + WINDOW])
    model = ab.as_sequence_model(ab.get_model("basset")(length=LENGTH, framework="torch", outputs=1, seed=SEED))
    mutated = [
        sequence[:place] + letter + sequence[place + 1 :] for letter in "ACGT" for place in range(START, START + WINDOW)
    ]
    (predictions,) = model.predict(DNA.one_hot(mutated)).values()
    expected = predictions.reshape(4, WINDOW).astype(float)
    expected -= expected.mean(axis=0)
    scores = measured.methods[0]
    assert scores.convention == "centred"
    np.testing.assert_allclose(np.array(scores.hypothetical), expected, atol=1e-5 * np.abs(predictions).max())
    observed = measured.observed(scores)
    for column, letter in enumerate(measured.letters):
        assert np.flatnonzero(observed[:, column]).tolist() == ["ACGT".index(letter)]


def test_a_method_that_cannot_run_keeps_its_reason(measured: LogoScores) -> None:
    failed = measured.methods[1]
    assert failed.hypothetical is None
    assert failed.reason is not None
    assert "unknown method 'no_such_method'" in failed.reason
    with pytest.raises(InvalidInputError, match="no_such_method has no scores"):
        measured.observed(failed)


def test_what_was_saved_is_loaded(measured: LogoScores, tmp_path: Path) -> None:
    path = measured.save(tmp_path / "new")
    assert path.name == "logos-torch.json"
    assert LogoScores.load(path) == measured
    assert find_logo_scores(tmp_path / "new") == (measured,)
    assert find_logo_scores(tmp_path) == ()


def test_observed_scores_are_zero_for_absent_and_unknown_letters() -> None:
    scores = _scores()
    np.testing.assert_array_equal(scores.observed(scores.methods[0]), [[0.5, 0], [0, 0], [0, 0], [0, 0]])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"methods": [{"method": "a"}]}'])
def test_other_files_are_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "logos-torch.json"
    path.write_text(content)
    with pytest.raises(OutputError, match=r"logos-torch\.json holds no logo scores"):
        LogoScores.load(path)


def test_scores_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = _scores().save(tmp_path)
    stored = json.loads(path.read_text())
    stored["methods"][0]["hypothetical"].pop()
    path.write_text(json.dumps(stored))
    with pytest.raises(OutputError, match="holds no logo scores"):
        LogoScores.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"framework": "../../x"}, "framework: expected a name that files can have"),
        ({"start": 999}, "letters: must lie within the 1000 letters"),
        ({"alphabet": "AACG"}, "alphabet: the letters must be distinct"),
        ({"letters": "A" * 5001}, "5,000 positions"),
        ({"methods": [{"method": "a"}, {"method": "a"}]}, "two methods have one name"),
        (
            {"methods": [{"method": "a", "hypothetical": [["x"]]}]},
            r"methods\[0\].hypothetical\[0\]\[0\]: expected a num",
        ),
    ],
)
def test_parts_that_do_not_fit_are_named(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = _scores().save(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(OutputError, match=rf"logos-torch\.json holds no logo scores .*{message}"):
        LogoScores.load(path)


def test_a_file_named_after_another_framework_is_refused(tmp_path: Path) -> None:
    path = _scores().save(tmp_path)
    path.rename(tmp_path / "logos-keras.json")
    with pytest.raises(OutputError, match=r"logos-keras\.json holds logo scores of torch"):
        find_logo_scores(tmp_path)


@pytest.mark.parametrize("spoil", [np.nan, 1j])
def test_scores_that_are_not_finite_are_a_reason(monkeypatch: pytest.MonkeyPatch, spoil: complex) -> None:
    method = ab.get_method("standard_ism")
    attribute = method.attribute

    def spoiled(*arguments: object, **settings: object) -> ab.AttributionResult:
        result = attribute(*arguments, **settings)  # type: ignore[arg-type]
        predictions = {name: values + spoil for name, values in result.predictions.items()}
        return replace(result, predictions=predictions)

    monkeypatch.setattr(method, "attribute", spoiled)
    (found,) = measure_logo_scores(["standard_ism"], "torch", "cpu", length=LENGTH, window=WINDOW).methods
    assert (found.hypothetical, found.reason) == (None, "its scores are not all finite real numbers")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*logos-torch\.json"):
        _scores().save(tmp_path / "file")


@pytest.mark.parametrize("window", [0, 201])
def test_a_window_must_lie_within_the_sequence(window: int) -> None:
    with pytest.raises(InvalidInputError, match=f"within the 200 positions of the sequence, not be {window}"):
        measure_logo_scores(["standard_ism"], "torch", length=200, window=window)


def test_sequences_of_another_length_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="has 300 letters, but the model is built for 200"):
        measure_logo_scores(["standard_ism"], "torch", length=200, sequences=lambda_windows(300, 1))
