"""Weights alone, from files of two formats, into models that code builds."""

import collections
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from attribution_bench.errors import ModelError
from attribution_bench.models.loading import model_source
from attribution_bench.models.weight_files import load_weights, read_weights


def network(seed: int, width: int = 5) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv1d(4, 3, width), nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(3 * (13 - width), 2)).eval()


def same(model: nn.Module, other: nn.Module) -> bool:
    x = torch.rand(2, 4, 12)
    with torch.no_grad():
        return torch.equal(model(x), other(x))


WRITTEN: dict[str, Any] = {
    "alone.safetensors": lambda state, path: save_file(state, path),
    "alone.pt": lambda state, path: torch.save(state, path),
    "ordinary.bin": lambda state, path: torch.save(dict(state), path),
    "checkpoint.ckpt": lambda state, path: torch.save({"epoch": 3, "state_dict": state, "loss": [0.5]}, path),
    "nested.pth": lambda state, path: torch.save({"model": {"state_dict": state}}, path),
    "parallel.pt": lambda state, path: torch.save({f"module.{name}": t for name, t in state.items()}, path),
    "lightning.pt": lambda state, path: torch.save({f"model.{name}": t for name, t in state.items()}, path),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_weights_are_those_that_were_written(name: str, tmp_path: Path) -> None:
    trained, path = network(1), tmp_path / name
    WRITTEN[name](trained.state_dict(), path)
    model = network(2)
    assert not same(model, trained)
    load_weights(model, path)
    assert same(model, trained)


def test_a_callable_and_an_architecture_take_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    module = "built_for_weights"
    request.addfinalizer(lambda: sys.modules.pop(module, None))
    (tmp_path / f"{module}.py").write_text(
        "from torch import nn\n"
        "def build(width=5):\n"
        "    layers = nn.Conv1d(4, 3, width), nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(3 * (13 - width), 2)\n"
        "    return nn.Sequential(*layers)\n"
    )
    trained = network(3, width=4)
    save_file(trained.state_dict(), tmp_path / "trained.safetensors")
    source = model_source(f"{module}:build?width=4&weights=trained.safetensors")
    assert source.label == f"{module}:build?width=4&weights=trained.safetensors"
    x = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (2, 12))].transpose(0, 2, 1)
    with torch.no_grad():
        expected = trained(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(source.open().predict(x)["output"], expected)
    # Other weights are another model, even where builder and path are the same.
    before = source.identity
    save_file(network(4, width=4).state_dict(), tmp_path / "trained.safetensors")
    assert source.identity != before

    import attribution_bench as ab

    built = ab.get_model("bpnet")(100, seed=7)
    torch.save(built.state_dict(), tmp_path / "bpnet.pt")
    opened = model_source("bpnet?length=100&weights=bpnet.pt").open()
    for name, values in opened.model.state_dict().items():
        assert torch.equal(values, built.state_dict()[name])


class Runs:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"state_dict": network(1).state_dict(), "optimizer": Runs(mark)}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Runs(mark)))
    torch.save(network(1), tmp_path / "c.pt")
    for name in ("a.pt", "b.pt", "c.pt"):
        with pytest.raises(ModelError, match=rf"{name} cannot be read as weights"):
            read_weights(tmp_path / name)
    assert not mark.exists()


def changed(**changes: Any) -> dict[str, Any]:
    state = collections.OrderedDict(network(1).state_dict())
    state.update(changes)
    return {name: tensor for name, tensor in state.items() if tensor is not None}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (changed(**{"3.bias": None}), r"it lacks 3\.bias"),
        (changed(extra=torch.zeros(1)), r"it has, and the model has not, extra"),
        (changed(**{"3.bias": torch.zeros(3)}), r"of another shape are 3\.bias \(3,\) for \(2,\)"),
        (changed(**{"3.bias": 5}), r"of something else, are 3\.bias"),
        ({f"layer{i}.weight": torch.zeros(1) for i in range(9)}, r"layer0\.weight, .* and 6 more"),
        ({"step": 3}, "it holds no dictionary of tensors by name"),
        ([torch.zeros(1)], "it holds no dictionary of tensors by name"),
    ],
)
def test_weights_of_another_model_change_nothing(state: Any, words: str, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "weights.pt")
    model, before = network(2), network(2)
    with pytest.raises(ModelError, match=words):
        load_weights(model, tmp_path / "weights.pt")
    assert same(model, before)


KERAS_BUILDER = """
def build(width=3, layers=1):
    import {library} as library
    own = library.layers
    x = inputs = library.Input((20, 4))
    for _ in range(layers):
        x = own.BatchNormalization()(own.Conv1D(5, width, padding="same")(x))
    return library.Model(inputs, own.Dense(2)(own.GlobalMaxPooling1D()(own.Dropout(0.2)(x))))
"""


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_a_keras_model_that_a_callable_builds_takes_its_own_weights(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    module = f"{library}_for_weights"
    request.addfinalizer(lambda: sys.modules.pop(module, None))
    (tmp_path / f"{module}.py").write_text(KERAS_BUILDER.format(library=library))
    trained = model_source(f"{module}:build?layers=2").open().model
    random = np.random.default_rng(0)
    trained.set_weights([random.uniform(0.5, 1, weight.shape) for weight in trained.get_weights()])
    trained.compile("adam", "mse")
    x = np.eye(4, dtype=np.float32)[random.integers(0, 4, (8, 20))]
    trained.fit(x, np.zeros((8, 2)), verbose=0)  # so that there are states of an optimizer
    trained.save_weights(tmp_path / "trained.weights.h5")
    opened = model_source(f"{module}:build?layers=2&weights=trained.weights.h5").open()
    assert opened.model is not trained
    for found, expected in zip(opened.model.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    for options, said in (
        ("layers=2&width=4", "not those of the model"),
        ("layers=1", "not those of the model"),
        ("layers=3", "not those of the model"),
    ):
        model = model_source(f"{module}:build?{options}").open().model
        before = model.get_weights()
        with pytest.raises(ModelError, match=said):
            load_weights(model, tmp_path / "trained.weights.h5")
        for found, expected in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(found, expected)
    trained.save(tmp_path / "whole.h5")
    torch.save({}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"takes weights of a \.weights\.h5 file"):
        load_weights(opened.model, tmp_path / "other.pt")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("writer", ["keras", "tf_keras"])
@pytest.mark.parametrize("reader", ["keras", "tf_keras"])
@pytest.mark.parametrize("part", ["whole", "weights alone"])
def test_weights_in_the_layout_of_keras_2_go_into_either_library(
    tmp_path: Path, writer: str, reader: str, part: str
) -> None:
    def build(library: str) -> Any:
        layers = pytest.importorskip(library).layers
        model = pytest.importorskip(library).Sequential(
            [
                layers.Conv1D(3, 5, activation="relu"),
                layers.BatchNormalization(),
                layers.GlobalMaxPooling1D(),
                layers.Dense(2),
            ]
        )
        model.build((None, 20, 4))
        return model

    trained, fresh, path = build(writer), build(reader), tmp_path / "model.h5"
    trained.set_weights([np.random.default_rng(place).random(w.shape) for place, w in enumerate(trained.get_weights())])
    if part == "whole":
        trained.save(path)
    elif writer == "tf_keras":
        trained.save_weights(path)
    else:
        pytest.skip("Keras 3 writes weights alone in its own layout")
    load_weights(fresh, path)
    for found, expected in zip(fresh.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_damaged_and_missing_files_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"no such thing")
    (tmp_path / "b.pt").write_bytes(b"PK no archive")
    for name in ("a.safetensors", "b.pt"):
        with pytest.raises(ModelError, match=f"{name} cannot be read as weights"):
            read_weights(tmp_path / name)
    with pytest.raises(ModelError, match="no file of weights that can be read"):
        read_weights(tmp_path / "c.npz")
    with pytest.raises(ModelError, match=r"there is no file of weights missing\.pt"):
        model_source("basset?weights=missing.pt")
    torch.save(network(1).state_dict(), tmp_path / "d.pt")
    with pytest.raises(ModelError, match=r"go into a torch\.nn\.Module or a keras\.Model, not a dict"):
        load_weights({}, tmp_path / "d.pt")
