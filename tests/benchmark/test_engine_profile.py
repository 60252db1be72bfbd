"""Profiles: what a method measures of itself, stored with the conditions and used again under the same ones."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from attribution_bench import as_sequence_model
from attribution_bench.benchmark.engine_profile import (
    EngineProfile,
    MeasuredProfile,
    NodeTime,
    PrecisionTime,
    load_profiles,
    measure_profile,
)
from attribution_bench.benchmark.workloads import Row
from attribution_bench.errors import InvalidInputError, PluginError
from attribution_bench.sequences import lambda_windows
from installed_plugins import install

LENGTH = 60
CODE = """
from attribution_bench import RawAttribution, Tags
from attribution_bench.benchmark.engine_profile import MeasuredProfile, NodeTime, PrecisionTime
from attribution_bench_plugins.standard_ism import StandardISM


class Tallying(StandardISM):
    name = "tallying"
    label = "Tallying ISM"
    tags = Tags(frozenset({"torch"}), gives_predictions=True, exact=True, profiles=True)

    def profile(self, one_hot, *, budget, clock):
        start = clock()
        nodes = (NodeTime("dense", "linear", "vector", clock() - start),)
        precisions = (PrecisionTime("float32", 1.0, 0.0, 0.0),)
        count, letters, length = one_hot.shape
        return MeasuredProfile(
            letters, 100 * count, 10, 10.0, "", 1e9, 1.0, length, budget, clock() - start, 3.0, nodes, precisions
        )


class Forgetful(StandardISM):
    name = "forgetful"
    tags = Tags(frozenset({"torch"}), gives_predictions=True, exact=True, profiles=True)
"""


def build() -> Any:
    torch.manual_seed(0)
    return as_sequence_model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * LENGTH, 1)), device="cpu")


def ticks(step: float) -> Callable[[], float]:
    counter = itertools.count()
    return lambda: step * next(counter)


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EngineProfile]:
    """Profile a method of another distribution on a model of one dense layer."""
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "tallying-plugin", {"tallying": "Tallying", "forgetful": "Forgetful", "other": "Tallying"}, CODE)
    row = Row("tiny", LENGTH, "torch", build, lambda_windows(LENGTH, 3), (), counted=True)

    def profile(method: str = "tallying", **options: Any) -> EngineProfile:
        options = {"budget": 1.5, "device": "cpu", "threads": 1, "clock": ticks(0.5), **options}
        return measure_profile(row, tmp_path / "out", method, **options)

    return profile


def test_a_method_of_any_name_measures_itself(profile: Any, tmp_path: Path) -> None:
    found = profile()
    # The method looks at the clock at 0, 0.5 and 1 s; it is given one sequence of four letters.
    assert found.measured == MeasuredProfile(
        letters=4, products_standard=100, products_fast=10, predicted_ratio=10.0, fallback="",
        matrix_products_per_second=1e9, capture_seconds=1.0, positions=LENGTH, first_seconds=1.5, warm_seconds=1.0,
        single_thread_seconds=3.0, nodes=(NodeTime("dense", "linear", "vector", 0.5),),
        precisions=(PrecisionTime("float32", 1.0, 0.0, 0.0),),
    )  # fmt: skip
    assert (found.method, found.label) == ("tallying", "Tallying ISM")
    assert (found.architecture, found.length, found.framework, found.threads) == ("tiny", LENGTH, "torch", 1)
    assert load_profiles(tmp_path / "out") == (found,)


def test_a_stored_profile_is_used_again_under_the_same_conditions(profile: Any, tmp_path: Path) -> None:
    first = profile()
    assert profile(clock=ticks(10)) == first
    again = profile(clock=ticks(10), fresh=True)
    assert again.measured.warm_seconds == 20
    assert load_profiles(tmp_path / "out") == (again,)
    other = profile("other")
    assert (other.method, other.label) == ("other", "other")
    assert load_profiles(tmp_path / "out") == (other,)


@pytest.mark.parametrize("method", ["standard_ism", "forgetful"])
def test_a_method_that_cannot_profile_itself_is_named(profile: Any, method: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=f"{method!r} does not profile itself"):
        profile(method)
    assert not (tmp_path / "out").exists()


def test_a_profile_that_names_no_method_is_of_the_only_one_there_was(profile: Any, tmp_path: Path) -> None:
    stored = profile()
    (path,) = (tmp_path / "out" / "profiles").iterdir()
    data = json.loads(path.read_text())
    del data["method"], data["label"]
    path.write_text(json.dumps(data))
    (found,) = load_profiles(tmp_path / "out")
    assert (found.method, found.label, found.measured) == ("fastism", "fastISM", stored.measured)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"machine": 3}'])
def test_a_damaged_profile_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "profiles" / "basset-1000-torch.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=r"basset-1000-torch\.json is no profile"):
        load_profiles(tmp_path)
