"""Models through which no gradient flows: the methods that need one say so by one error; the others give scores."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench.errors import UnsupportedError

LENGTH = 12
X = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (2, LENGTH))].transpose(0, 2, 1)


class Net(nn.Module):
    def __init__(self, function: Callable[["Net", Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.conv, self.head = function, nn.Conv1d(4, 3, 5), nn.Linear(3, 1)

    def hidden(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x).relu().mean(2)
        return y

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def without_gradients(m: Net, x: Tensor) -> Tensor:
    with torch.no_grad():
        y: Tensor = m.head(m.hidden(x))
        return y


def in_inference_mode(m: Net, x: Tensor) -> Tensor:
    with torch.inference_mode():
        y: Tensor = m.head(m.hidden(x))
        return y


TORCH: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "argmax": lambda m, x: m.hidden(x).argmax(1),
    "argmax as numbers": lambda m, x: m.hidden(x).argmax(1).float(),
    "comparison": lambda m, x: (m.head(m.hidden(x)) > 0)[:, 0],
    "comparison as numbers": lambda m, x: (m.head(m.hidden(x)) > 0).float(),
    "letters as whole numbers": lambda m, x: m.head(m.conv.weight[:, :, 0].t()[x.argmax(1)].mean(1)),
    "detached": lambda m, x: m.head(m.hidden(x.detach())),
    "no_grad": without_gradients,
    "inference mode": in_inference_mode,
    "by NumPy": lambda m, x: m.head(torch.from_numpy(m.hidden(x).numpy() + 0)),
}


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *((name, method) for name in TORCH for method in ("gradient_x_input", "integrated_gradients")),
        # It follows the graph, which knows neither `no_grad` nor NumPy.
        *((name, "deepshap") for name in ("argmax", "argmax as numbers", "comparison", "comparison as numbers")),
    ],
)
def test_pytorch_models(name: str, method: str) -> None:
    with pytest.raises(UnsupportedError, match=r"ISM method|needs the model's graph"):
        ab.get_method(method)(Net(TORCH[name])).attribute(X)


@pytest.mark.parametrize("name", TORCH)
def test_pytorch_models_still_have_scores_by_mutagenesis(name: str) -> None:
    method = ab.get_method("standard_ism")(Net(TORCH[name]))
    result = method.attribute(X, positions=[5])
    values = result.predictions["output"].astype(float)
    alternatives = values - result.reference_predictions["output"].astype(float)[:, None, None]
    np.testing.assert_allclose(result.scores, alternatives - alternatives.mean(1, keepdims=True), atol=1e-6)
    listed = method.predict_mutations(X, [ab.Mutation(1, 5, letter) for letter in "ACGT"])
    np.testing.assert_allclose(listed.effects(), alternatives[1, :, 0], atol=1e-6)


KERAS: dict[str, Callable[[object], object]] = {
    "argmax": lambda h: keras.ops.argmax(h, 1),
    "argmax as numbers": lambda h: keras.ops.cast(keras.ops.argmax(h, 1), "float32"),
    "comparison as numbers": lambda h: keras.ops.cast(h > 0, "float32")[:, 0],
    "stopped": lambda h: keras.ops.stop_gradient(h)[:, 0],
}


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients"])
@pytest.mark.parametrize("name", KERAS)
def test_keras_models(name: str, method: str) -> None:
    x = keras.Input((LENGTH, 4))
    model = keras.Model(x, KERAS[name](keras.layers.GlobalAveragePooling1D()(keras.layers.Conv1D(3, 5)(x))))
    with pytest.raises(UnsupportedError, match="use an ISM method"):
        ab.get_method(method)(model).attribute(X)
