"""Published Keras architectures run unmodified: fastISM predicts what full passes do, at every position."""

from typing import Any

import keras
import numpy as np
import pytest

import attribution_bench as ab
from keras_models import in_precision
from parity import assert_parity, one_hot
from real_keras_architectures import ARCHITECTURES, mt_splice

# Of TensorFlow's tensors and NumPy 2; pytest.warns raises again what pyproject.toml has ignored by module.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def compare(model: Any, x: np.ndarray, tolerance: float, extras: tuple[np.ndarray, ...] = ()) -> None:
    """Compare fastISM with standard ISM for every output; a fallback's warning is an error."""
    fast, standard = (
        ab.get_method(name)(model).attribute(x, target="all", additional_forward_args=extras).predictions
        for name in ("fastism", "standard_ism")
    )
    assert all(np.ptp(expected, axis=(1, 2)).max() > 0 for expected in standard.values())
    assert_parity(dict(fast), dict(standard), tolerance)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_position_in_float64(name: str) -> None:
    make, length = ARCHITECTURES[name]
    compare(in_precision("float64", lambda: make(keras)), one_hot(1, 4, length, seed=3), 1e-10)


@pytest.mark.parametrize("name", ["SpliceAI", *(name for name in ARCHITECTURES if name.startswith("CREsted"))])
def test_every_position_in_float32(name: str) -> None:
    make, length = ARCHITECTURES[name]
    compare(in_precision("float32", lambda: make(keras)), one_hot(1, 4, length, seed=3).astype(np.float32), 1e-5)


@pytest.mark.parametrize("side", ["acceptor", "donor"])
def test_either_side_of_mtsplice(side: str) -> None:
    model = ab.as_sequence_model(in_precision("float64", lambda: mt_splice(keras)), sequence_input=side)
    other = one_hot(1, 4, 40, seed=5).transpose(0, 2, 1)
    compare(model, one_hot(1, 4, 40, seed=3), 1e-10, (other,))
