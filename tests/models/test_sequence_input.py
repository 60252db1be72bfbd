"""Which of several inputs the sequence is: named, found, or asked for by an error that lists them."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import attribution_bench as ab
from attribution_bench.cli.app import app
from attribution_bench.errors import ModelError

LENGTH = 12
RNG = np.random.default_rng(0)
X = np.eye(4, dtype=np.float32)[RNG.integers(0, 4, (2, LENGTH))].transpose(0, 2, 1)
TRACKS = RNG.normal(size=(2, LENGTH, 4)).astype(np.float32)
"""In Keras' layout."""


class Beside(nn.Module):
    """Tracks and a sequence of one shape, and a cell type; the sequence comes second."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv, self.cells, self.head = nn.Conv1d(4, 3, 5), nn.Embedding(3, 3), nn.Linear(3, 2)

    def forward(self, tracks: Tensor, sequence: Tensor, cell: Tensor) -> Tensor:
        y: Tensor = (
            self.head(self.conv(sequence).relu().amax(2) * self.cells(cell)) + tracks.tanh().sum((1, 2))[:, None]
        )
        return y


class AnyNumber(nn.Module):
    """The same without names."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Beside()

    def forward(self, *inputs: Tensor) -> Tensor:
        y: Tensor = self.inner(*inputs)
        return y


CELLS = np.array([2, 0])
EXTRAS = TRACKS.transpose(0, 2, 1), CELLS


def exported() -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch")
    example = torch.zeros(3, 4, LENGTH), torch.zeros(3, 4, LENGTH), torch.zeros(3, dtype=torch.int64)
    return torch.export.export(Beside().eval(), example, dynamic_shapes=tuple({0: batch} for _ in example))


def by_keywords() -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch")
    example = {"sequence": torch.zeros(3, 4, LENGTH), "cell": torch.zeros(3, dtype=torch.int64)}
    shapes = {"tracks": {0: batch}, "sequence": {0: batch}, "cell": {0: batch}}
    return torch.export.export(Beside().eval(), (torch.zeros(3, 4, LENGTH),), example, dynamic_shapes=shapes)


def expected(x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        tracks, cells = (torch.from_numpy(np.ascontiguousarray(extra)) for extra in EXTRAS)
        return Beside().eval()(tracks, torch.from_numpy(x), cells).numpy()


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (Beside, "sequence"),
        (Beside, 1),
        (AnyNumber, 1),
        (exported, "sequence"),
        (exported, 1),
        (by_keywords, "sequence"),
        (lambda: torch.jit.script(Beside()), "sequence"),
        (lambda: exported().module(), 1),
    ],
)
@pytest.mark.filterwarnings("ignore:fastISM falls back")  # as of TorchScript
def test_an_input_of_a_pytorch_model(build: Callable[[], Any], named: str | int) -> None:
    model = ab.as_sequence_model(build(), sequence_input=named)
    np.testing.assert_allclose(model.predict(X, EXTRAS)["output"], expected(X), rtol=1e-5, atol=1e-6)
    mutated = X.copy()
    mutated[:, :, 3] = np.eye(4)[1]
    slow = ab.get_method("standard_ism")(model).attribute(X, target="all", additional_forward_args=EXTRAS)
    np.testing.assert_allclose(slow.predictions["output"][:, 1, 3], expected(mutated), rtol=1e-5, atol=1e-6)
    fast = ab.get_method("fastism")(model, min_speedup=0).attribute(X, target="all", additional_forward_args=EXTRAS)
    np.testing.assert_allclose(fast.predictions["output"], slow.predictions["output"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["fastism", "gradient_x_input", "integrated_gradients", "deepshap"])
def test_methods_differentiate_the_input_that_is_named(method: str) -> None:
    """Letters of the tracks, which are no sequence, would score alike at every position."""
    first = ab.as_sequence_model(Swapped())
    second = ab.as_sequence_model(Beside(), sequence_input=1)
    options: dict[str, Any] = {"min_speedup": 0} if method == "fastism" else {}
    results = [
        ab.get_method(method)(model, **options).attribute(X, target=0, additional_forward_args=extras).scores
        for model, extras in ((first, (EXTRAS[0][:, :, :-1], CELLS)), (second, EXTRAS))
    ]
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


class Swapped(Beside):
    """The sequence first, and tracks of another length, so that nothing has to be named."""

    def forward(self, sequence: Tensor, tracks: Tensor, cell: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(tracks, sequence, cell)


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (Beside, r"'tracks' \('batch', 4, 12\), 'sequence' \('batch', 4, 12\), 'cell' \('batch',\)"),
        (AnyNumber, r"0 \('batch', 4, 12\), 1 \('batch', 4, 12\), 2 \('batch',\)"),
        (exported, "'tracks' .*, 'sequence' .*, 'cell'"),
    ],
)
def test_inputs_of_one_shape_are_listed(build: Callable[[], Any], names: str) -> None:
    for method in ("standard_ism", "fastism", "deepshap"):
        with pytest.raises(
            ModelError, match=f"several inputs of the model could be the sequence: {names}.*; say which"
        ):
            ab.get_method(method)(build()).attribute(X, target=0, additional_forward_args=EXTRAS)


@pytest.mark.parametrize(
    ("build", "named", "message"),
    [
        (Beside, "sequences", r"no input 'sequences'; its inputs are 'tracks', 'sequence', 'cell'"),
        (Beside, 3, r"sequence_input=3 is no input of the model; its inputs are 'tracks'"),
        (Beside, -1, r"sequence_input=-1 is no input"),
        (AnyNumber, "sequence", r"no input 'sequence'; it names none, so give a place from 0"),
        (exported, "inputs", r"no input 'inputs'; its inputs are 'tracks', 'sequence', 'cell'"),
    ],
)
def test_inputs_that_a_pytorch_model_does_not_have(build: Callable[[], Any], named: str | int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ab.as_sequence_model(build(), sequence_input=named)


def test_a_place_behind_more_inputs_than_were_given() -> None:
    with pytest.raises(ModelError, match=r"the sequence is input 1 .*\(from 0\), but only 0 others.*--extra-shape"):
        ab.get_method("standard_ism")(ab.as_sequence_model(Beside(), sequence_input=1)).attribute(X, target=0)


def test_an_exported_program_that_lacks_inputs() -> None:
    with pytest.raises(ModelError, match=r"takes 3 inputs \(tracks, sequence, cell\), but was given 1.*--extra-shape"):
        ab.get_method("standard_ism")(exported()).attribute(X, target=0)


def two(kind: str, length: int = LENGTH) -> keras.Model:
    """Return a model of tracks and a sequence, in this order: the prediction is linear in the tracks."""
    layers = keras.layers
    tracks, sequence = keras.Input((length, 4), name="tracks"), keras.Input((LENGTH, 4), name="sequence")
    hidden = layers.Conv1D(3, 3, activation="relu", kernel_initializer=keras.initializers.GlorotNormal(1))(sequence)
    both = layers.Concatenate()([layers.Flatten()(hidden), layers.Flatten()(tracks)])
    output = layers.Dense(1, kernel_initializer=keras.initializers.GlorotNormal(2))(both)
    inputs: Any = [tracks, sequence] if kind == "list" else {"tracks": tracks, "sequence": sequence}
    return keras.Model(inputs, output)


def test_a_keras_model_that_lacks_inputs() -> None:
    with pytest.raises(ModelError, match=r"has 2 inputs .*and 0 extra inputs; give additional.*--inputs of"):
        ab.get_method("standard_ism")(two("list")).attribute(X, target=0)


@pytest.mark.parametrize(("kind", "named"), [("list", "sequence"), ("list", 1), ("dict", "sequence"), ("dict", 1)])
def test_an_input_of_a_keras_model(kind: str, named: str | int) -> None:
    network = two(kind)
    model = ab.as_sequence_model(network, sequence_input=named)
    mutated = X.copy()
    mutated[:, :, 3] = np.eye(4)[1]
    letters = mutated.transpose(0, 2, 1)
    truth = network.predict([TRACKS, letters] if kind == "list" else {"tracks": TRACKS, "sequence": letters}, verbose=0)
    for method, options in (("standard_ism", {}), ("fastism", {"min_speedup": 0})):
        result = ab.get_method(method)(model, **options).attribute(X, additional_forward_args=TRACKS)
        np.testing.assert_allclose(result.predictions["output"][:, 1, 3], truth[:, 0], rtol=1e-4, atol=1e-5)
        assert "fallback" not in result.metadata


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_inputs_of_a_keras_model_are_listed(kind: str) -> None:
    message = (
        r"several inputs of the model could be the sequence: 'tracks' \(None, 12, 4\), 'sequence' \(None, 12, 4\); "
        "say which with sequence_input="
    )
    for method in ("standard_ism", "fastism", "gradient_x_input"):
        with pytest.raises(ModelError, match=message):
            ab.get_method(method)(two(kind)).attribute(X, additional_forward_args=TRACKS)


def test_an_input_of_another_length_is_not_taken_for_the_sequence() -> None:
    network, tracks = two("list", LENGTH + 3), RNG.normal(size=(2, LENGTH + 3, 4)).astype(np.float32)
    truth = network.predict([tracks, X.transpose(0, 2, 1)], verbose=0)
    for method, options in (("standard_ism", {}), ("fastism", {"min_speedup": 0})):
        result = ab.get_method(method)(network, **options).attribute(X, additional_forward_args=tracks)
        np.testing.assert_allclose(result.reference_predictions["output"], truth[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("named", ["profile", 2, -1])
def test_inputs_that_a_keras_model_does_not_have(named: str | int) -> None:
    with pytest.raises(ModelError, match=r"no input .*; its inputs are 'tracks' \(None, 12, 4\), 'sequence'"):
        ab.as_sequence_model(two("list"), sequence_input=named)


def test_the_command_line_names_an_input_too(tmp_path: Any) -> None:
    path, extra = tmp_path / "two.keras", f"--extra-shape={LENGTH},4"
    two("list").save(path)
    asked = ["explain", str(path), "--length", str(LENGTH), extra]
    refused = CliRunner().invoke(app, asked)
    assert isinstance(refused.exception, ModelError)
    assert "'tracks' (None, 12, 4), 'sequence' (None, 12, 4); say which" in str(refused.exception)
    for named in ("sequence", "1"):
        done = CliRunner().invoke(app, [*asked, "--sequence-input", named])
        assert done.exit_code == 0, done.output
    wrong = CliRunner().invoke(app, [*asked, "--sequence-input", "dna"])
    assert "no input 'dna'" in str(wrong.exception)
