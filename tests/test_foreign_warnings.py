"""Warnings as errors: they change neither which method runs nor what it gives, but for the suite's own warnings."""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench.errors import ConvergenceWarning, FallbackWarning, InconsistencyWarning
from attribution_bench.foreign_warnings import foreign_warnings_shown

X = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (2, 30))].transpose(0, 2, 1)


class Warns(nn.Module):
    """Warns whenever it is called or traced, as deprecated parts of libraries do."""

    def __init__(self, category: type[Warning]) -> None:
        super().__init__()
        self.category, self.conv, self.head = category, nn.Conv1d(4, 3, 5), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        warnings.warn("a part of a library that is to go", self.category, stacklevel=1)
        y: Tensor = self.head(self.conv(x).amax(2))
        return y


def in_keras() -> Any:
    x = keras.Input((30, 4))
    hidden = keras.layers.MaxPooling1D(2)(keras.layers.Conv1D(4, 6, padding="same", activation="relu")(x))
    return keras.Model(x, keras.layers.Dense(1)(keras.layers.Flatten()(hidden)))


MODELS: dict[str, Callable[[], Any]] = {
    "deprecation": lambda: Warns(DeprecationWarning),
    "future": lambda: Warns(FutureWarning),
    "of the user": lambda: Warns(UserWarning),
    "even kernel": lambda: nn.Sequential(nn.Conv1d(4, 3, 6, padding="same"), nn.Flatten(), nn.Linear(90, 1)),
    "keras": in_keras,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["fastism", "standard_ism", "integrated_gradients"])
def test_the_same_method_runs(name: str, method: str) -> None:
    model, results = MODELS[name](), []
    options: dict[str, Any] = {"min_speedup": 0} if method == "fastism" else {}
    for action in ("ignore", "error"):
        with warnings.catch_warnings(record=True):
            warnings.simplefilter(action)  # type: ignore[arg-type]
            result = ab.get_method(method)(model, **options).attribute(X)
        assert "fallback" not in result.metadata
        results.append(result.scores)
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-7)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(4, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.layer(x.transpose(1, 2))[0][:, -1])
        return y


def test_warnings_of_the_suite_are_errors_where_the_user_wants_them_to_be() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FallbackWarning, match="falls back"):
            ab.get_method("fastism")(Recurrent()).attribute(X)
        warnings.simplefilter("ignore", FallbackWarning)
        assert "fallback" in ab.get_method("fastism")(Recurrent()).attribute(X).metadata


@pytest.mark.parametrize("own", [ConvergenceWarning, FallbackWarning, InconsistencyWarning])
def test_which_warnings_stay_errors(own: type[Warning]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with foreign_warnings_shown():
            with warnings.catch_warnings(record=True) as caught:
                warnings.warn("another", DeprecationWarning, stacklevel=1)
                warnings.warn("one more", UserWarning, stacklevel=1)
            assert [str(warning.message) for warning in caught] == ["another", "one more"]
            with pytest.raises(own):
                warnings.warn("own", own, stacklevel=1)
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.filterwarnings("error", category=DeprecationWarning)
        with foreign_warnings_shown(), warnings.catch_warnings(record=True) as caught:
            warnings.warn("own", own, stacklevel=1)  # the user has made errors of others alone
        assert len(caught) == 1


def test_filters_come_back_and_are_left_alone_where_none_raises() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="of no use", module=r"lib\w+", category=UserWarning)
        before = list(warnings.filters)
        with foreign_warnings_shown():
            assert warnings.filters[0] == before[0]
            assert list(warnings.filters) != before
        assert list(warnings.filters) == before
        warnings.simplefilter("default")
        warnings.resetwarnings()
        warnings.simplefilter("default")
        before = list(warnings.filters)
        with foreign_warnings_shown():
            assert list(warnings.filters) == before


def test_an_error_within_leaves_the_filters_as_they_were() -> None:
    before = list(warnings.filters)
    with pytest.raises(ab.errors.TargetError):
        ab.get_method("fastism")(Recurrent()).attribute(X, target="nothing of that name")
    assert list(warnings.filters) == before
    assert torch.is_grad_enabled()
