"""The original fastISM package behind the interface gives what standard ISM gives."""

from typing import Any

import numpy as np
import pytest

import attribution_bench as ab
from attribution_bench.errors import UnsupportedError
from attribution_bench.sequences import lambda_windows

SEQUENCES = lambda_windows(200, 3)


def assert_equal_to_standard_ism(peer: Any, model: Any, **arguments: Any) -> None:
    x = SEQUENCES.one_hot()
    x[0, :, 4] = 0
    found = peer.attribute(x, **arguments)
    expected = ab.get_method("standard_ism")(model).attribute(x, **arguments)
    assert found.predictions.keys() == expected.predictions.keys()
    for name, values in expected.predictions.items():
        np.testing.assert_allclose(found.predictions[name], values, atol=1e-5)
        np.testing.assert_allclose(found.reference_predictions[name], expected.reference_predictions[name], atol=1e-5)


@pytest.mark.parametrize("architecture", ["basset", "bpnet"])
def test_equals_standard_ism_on_keras_3_models_built_again(architecture: str) -> None:
    model = ab.get_model(architecture)(200, framework="keras")
    peer = ab.get_method("original_fastism")(model)
    assert_equal_to_standard_ism(peer, model, target="all", positions=[0, 4, 30, 199], batch_size=2)
    assert_equal_to_standard_ism(
        peer, model, target={"basset": 0, "bpnet": ("profile", "logsumexp")}[architecture], positions=[4]
    )


def test_takes_keras_2_models_and_their_present_weights() -> None:
    tf_keras = pytest.importorskip("tf_keras")
    tf_keras.utils.set_random_seed(0)
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            tf_keras.Input((200, 4)),
            layers.Conv1D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    peer = ab.get_method("original_fastism")(model)
    assert_equal_to_standard_ism(peer, model, target="all", positions=slice(0, 9))
    model.set_weights([2 * weight for weight in model.get_weights()])
    assert_equal_to_standard_ism(peer, model, target="all", positions=slice(0, 9))


def test_says_what_it_does_not_take() -> None:
    keras = pytest.importorskip("keras")
    inputs = keras.Input((200, 4))
    gated = keras.layers.Dense(4, activation="relu")(keras.ops.flip(inputs, axis=1))
    model = keras.Model(inputs, keras.layers.Flatten()(gated))
    with pytest.raises(UnsupportedError, match="Flip"):
        ab.get_method("original_fastism")(model).attribute(SEQUENCES.strings, target=0)
    recurrent = keras.Model(inputs, keras.layers.LSTM(2)(inputs))
    with pytest.raises(UnsupportedError, match=r"original fastISM does not take this: .*LSTM"):
        ab.get_method("original_fastism")(recurrent).attribute(SEQUENCES.strings, target=0)
    short = ab.get_method("original_fastism")(ab.get_model("basset")(60, framework="keras"))
    with pytest.raises(UnsupportedError, match=r"change_range.py, line"):
        short.attribute(lambda_windows(60, 1).strings)
    with pytest.raises(UnsupportedError, match="torch"):
        ab.get_method("original_fastism")(ab.get_model("basset")(200))


def test_is_a_peer_and_not_one_of_the_suites_methods() -> None:
    assert "original_fastism" in ab.list_peers()
    assert "original_fastism" not in ab.list_methods()
