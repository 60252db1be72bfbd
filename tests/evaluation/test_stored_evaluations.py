"""Stored comparisons: what is refused because its parts do not fit together, on the way in and on the way out."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import stored_results
from attribution_bench.errors import InvalidInputError, OutputError
from attribution_bench.evaluation.results import FORMAT, Evaluation, Readable, save_evaluation

SOUND = stored_results.evaluation()
FIRST = SOUND.methods[0]


def with_first(**changes: Any) -> dict[str, Any]:
    return {"methods": (replace(FIRST, **changes), SOUND.methods[1])}


UNFIT = {
    "there must be at least one sequence": {"names": (), "strings": (), "predictions": (), "methods": ()},
    r"^{at}strings: there must be 3, not 2": {"strings": ("ACGTNA", "TTGACC")},
    r"^{at}strings\[1\]: there must be 6, not 5": {"strings": ("ACGTNA", "TTGAC", "GGGATC")},
    r"^{at}predictions: there must be 3, not 1": {"predictions": (1.0,)},
    r"^{at}alphabet: the letters must be distinct": {"alphabet": "ACGA"},
    r"^{at}sites\[0\]: lies beyond 3 sequences of 6 letters": {"sites": (replace(SOUND.sites[0], stop=7),)},
    r"^{at}sites\[0\]: lies beyond": {"sites": (replace(SOUND.sites[0], sequence=3),)},
    r"^{at}shares: shares must rise": {"shares": (0.0, 0.0, 1.0)},
    r"^{at}methods: two methods have one name": {"methods": (FIRST, FIRST), "agreements": ()},
    r"^{at}truth: 'nobody' is none of the methods": {"truth": "nobody"},
    r"^{at}methods\[0\].values.pearson: there must be 3, not 1": with_first(values={"pearson": (1.0,)}),
    r"^{at}methods\[0\].curves.deletion: there must be 3, not 1": with_first(curves={"deletion": ((1.0,) * 3,)}),
    r"^{at}methods\[0\].curves.deletion\[2\]: there must be 3, not 2": with_first(
        curves={"deletion": ((1.0,) * 3, (1.0,) * 3, (1.0,) * 2)}
    ),
    r"^{at}methods\[0\].means.auroc: the interval ends": with_first(
        means={"auroc": replace(FIRST.means["auroc"], low=1.0)}
    ),
    r"^{at}agreements\[0\]: is not of two of the methods": {"agreements": (replace(SOUND.agreements[0], second="x"),)},
    r"^{at}agreements: two are of the same methods": {"agreements": SOUND.agreements * 2},
    r"^{at}readable.method: 'nobody' is none of the methods": {"readable": Readable("nobody", (), ())},
    r"^{at}readable.silent: an index is not one of 3": {"readable": Readable("fastism", (0, 3), ())},
    r"^{at}readable.unread_sites: an index is not one of 1": {"readable": Readable("fastism", (), (1,))},
    r"the method '../x' cannot name a file": {**with_first(method="../x"), "truth": None, "agreements": ()},
    r"the methods 'DeepSHAP' and 'deepshap' would be one file": {
        **with_first(method="DeepSHAP"), "truth": None, "agreements": (),
    },
}  # fmt: skip


@pytest.mark.parametrize("message", UNFIT)
def test_parts_that_do_not_fit_are_named(tmp_path: Path, message: str) -> None:
    changed = replace(SOUND, **UNFIT[message])
    with pytest.raises(OutputError, match=message.replace("{at}", "the evaluation cannot be stored: ")):
        changed.save(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "evaluation.json").write_text(json.dumps({"format": FORMAT, **asdict(changed)}))
    at = rf"{tmp_path}/evaluation\.json holds no evaluation that can be read: "
    with pytest.raises(OutputError, match=message.replace("{at}", at)):
        Evaluation.load(tmp_path)


@pytest.mark.parametrize("version", [0, 2, True, 1.0, "1", None])
def test_other_formats_are_refused(tmp_path: Path, version: Any) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps({**asdict(SOUND), "format": version}))
    with pytest.raises(OutputError, match="its format is of another version"):
        Evaluation.load(tmp_path)


def test_a_comparison_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    stored = {"format": FORMAT, **asdict(SOUND)}
    for method in stored["methods"]:
        del method["label"], method["result_method"]
    (tmp_path / "evaluation.json").write_text(json.dumps(stored))
    labels = [method.label for method in Evaluation.load(tmp_path).methods]
    assert labels == ["fastISM", "DeepSHAP"]


def test_a_method_without_scores_may_have_any_name(tmp_path: Path) -> None:
    failed = replace(FIRST, method="</script>/../x", reason="it failed")
    changed = replace(SOUND, methods=(failed, SOUND.methods[1]), truth=None, agreements=())
    changed.save(tmp_path)
    assert Evaluation.load(tmp_path) == changed


@pytest.mark.parametrize("name", ["../x", "a/b", "a\0b", "con", "x" * 300])
def test_names_of_methods_never_become_paths(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a" / "b"
    with pytest.raises(InvalidInputError, match="cannot name a file"):
        save_evaluation(folder, SOUND, {name: stored_results.scalar("fastism")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_not_stored(tmp_path: Path, value: float) -> None:
    with pytest.raises(OutputError, match="the evaluation cannot be stored"):
        replace(SOUND, predictions=(value, 1.0, 2.0)).save(tmp_path)
    assert not list(tmp_path.iterdir())
