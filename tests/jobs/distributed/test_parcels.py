"""What travels to workers: the rows that were given, and models that are the same there."""

import pickle
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attribution_bench.errors import InvalidInputError
from attribution_bench.jobs.distributed.shards import SentModel, SentRows, sent_rows
from attribution_bench.jobs.further_inputs import checked_rows, read_further_inputs
from attribution_bench.jobs.open_models import NamedModel, OpenModels
from numpy_jobs import NumpyModel

ROWS = np.random.default_rng(0).standard_normal((40, 6, 50))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", ROWS)
    return tmp_path / "rows.npy"


def arrived(rows: Any) -> np.ndarray:
    """Return rows as a worker has them."""
    sent = pickle.loads(pickle.dumps(sent_rows(rows)))
    return np.asarray(sent.open() if isinstance(sent, SentRows) else sent)


def changed(file: Path) -> np.ndarray:
    rows = np.load(file, mmap_mode="c")
    rows[3] += 1
    return rows


def without_header(file: Path) -> np.ndarray:
    file.with_suffix(".bin").write_bytes(ROWS.tobytes())
    return np.memmap(file.with_suffix(".bin"), np.float64, "r", shape=ROWS.shape)


def by_name(file: Path) -> np.ndarray:
    (rows,) = read_further_inputs(file).values()
    return rows


@pytest.mark.parametrize("opened", [by_name, lambda file: np.load(file, mmap_mode="r"), changed, without_header])
@pytest.mark.parametrize(
    "part",
    [
        lambda rows: rows,
        lambda rows: rows[7:31],
        lambda rows: rows[::-1],
        lambda rows: rows[:, 3:],
        lambda rows: rows.swapaxes(1, 2),
        lambda rows: rows[[5, 2]],
        lambda rows: rows + 1,
    ],
    ids=["all", "stretch", "reversed", "columns", "turned", "chosen", "computed"],
)
def test_a_worker_has_the_rows_that_were_given(file: Path, opened: Callable, part: Callable) -> None:
    rows = part(opened(file))
    np.testing.assert_array_equal(arrived(rows), np.array(rows))


def test_a_file_that_was_given_by_its_name_travels_by_its_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    rows = checked_rows(read_further_inputs(file.name), len(ROWS))["rows"]
    assert len(pickle.dumps(sent_rows(rows))) < 1000
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(arrived(rows), ROWS)


class Doubled(NumpyModel):
    """The same weights, of which more is made."""

    def forward(self, x, extras=()):
        return {name: 2 * value for name, value in super().forward(x, extras).items()}


@dataclass(frozen=True)
class Opens:
    """Opens a model, as the recipe of another process may open another one."""

    model: NumpyModel

    def open(self) -> NumpyModel:
        return self.model


# The class's name is part of the weights' digest, and says nothing of its code.
Doubled.__qualname__, Doubled.__module__ = NumpyModel.__qualname__, NumpyModel.__module__


@pytest.mark.parametrize(("there", "words"), [(NumpyModel(7), "other weights"), (Doubled(0), "other code or settings")])
def test_a_worker_refuses_another_model(there: NumpyModel, words: str) -> None:
    def sent(model: NumpyModel) -> SentModel:
        here = SentModel.of(NamedModel(NumpyModel(0), "numpy", recipe=Opens(NumpyModel(0))))  # type: ignore[arg-type]
        return replace(here, recipe=Opens(model))  # type: ignore[arg-type]

    same, other = sent(NumpyModel(0)), sent(there)
    assert same.open().model.seed == 0
    assert len(OpenModels([same.openable()], [same.digests]).open((0,))) == 1
    for opened in (other.open, lambda: OpenModels([other.openable()], [other.digests]).open((0,))):
        with pytest.raises(
            InvalidInputError, match=f"the model numpy .*{words}.* than where the job was started"
        ) as no:
            opened()
        assert f" on the machine {platform.node()} than" in str(no.value)
        assert "workers that imported code before it was changed keep it until they are started again" in str(no.value)
