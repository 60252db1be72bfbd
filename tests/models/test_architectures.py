"""The built-in architectures: shapes, layers, one model in both frameworks, and bad arguments."""

import random
import sys

import keras
import numpy as np
import pytest
import torch

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError, MissingDependencyError, ModelError
from attribution_bench.models import bpnet, chrombpnet
from attribution_bench.models.weights import read_keras, read_torch, write_torch

ARCHITECTURES = ("basset", "factorized_basset", "bpnet")
LENGTH = 203  # not a multiple of the pools, so that their remainders are dropped


def sequences(count: int = 5, length: int = LENGTH) -> np.ndarray:
    letters = np.random.default_rng(1).integers(0, 4, (count, length))
    return np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1)


def parameters(model) -> int:
    return sum(array.size for layer in read_torch(model) for array in layer.values())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_seed_gives_one_model_in_both_frameworks(name):
    build, x = ab.get_model(name), sequences()
    in_torch = ab.as_sequence_model(build(LENGTH, seed=5))
    in_keras = ab.as_sequence_model(build(LENGTH, framework="keras", seed=5))
    assert in_torch.outputs(LENGTH) == in_keras.outputs(LENGTH)
    ours, theirs = in_torch.predict(x), in_keras.predict(x)
    for output in ours:
        assert ours[output].std(axis=0).max() > 1e-3  # the sequences do tell
        np.testing.assert_allclose(ours[output], theirs[output], rtol=0, atol=1e-5)
    other = ab.as_sequence_model(build(LENGTH, seed=6)).predict(x)
    assert all(np.abs(other[output] - ours[output]).max() > 1e-2 for output in ours)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_copy_of_changed_keras_weights_agrees(name):
    build, x = ab.get_model(name), sequences()
    source, copy = build(LENGTH, framework="keras", seed=1), build(LENGTH, seed=2)
    scramble = np.random.default_rng(3)
    for layer in source.layers:
        layer.set_weights([w * scramble.uniform(0.8, 1.2, w.shape) for w in layer.get_weights()])
    write_torch(copy, read_keras(source))
    ours, theirs = ab.as_sequence_model(copy).predict(x), ab.as_sequence_model(source).predict(x)
    for output in ours:
        np.testing.assert_allclose(ours[output], theirs[output], rtol=0, atol=1e-5)


def test_basset_by_hand():
    # 300x4x19, 200x300x11, 200x200x7 with biases; batch norms of four arrays; 800 -> 1000 -> 1000 -> 3.
    convolutions = 300 * 4 * 19 + 300 + 200 * 300 * 11 + 200 + 200 * 200 * 7 + 200
    norms = 4 * (300 + 200 + 200 + 1000 + 1000)
    dense = 200 * (203 // 3 // 4 // 4) * 1000 + 1000 + 1000 * 1000 + 1000 + 1000 * 3 + 3
    model = ab.get_model("basset")(LENGTH, outputs=3)
    assert parameters(model) == convolutions + norms + dense
    kinds = [type(module).__name__ for module in model]
    assert kinds[:4] == ["Conv1d", "ReLU", "BatchNorm1d", "MaxPool1d"]
    assert kinds[12:] == ["Flatten", *["Linear", "ReLU", "BatchNorm1d"] * 2, "Linear"]


def test_factorized_basset_by_hand():
    widths = [(4, 48, 3), (48, 64, 3), (64, 100, 3), (100, 150, 7), (150, 300, 7)]
    widths += [(300, 200, 7), (200, 200, 3), (200, 200, 3), (200, 200, 7)]
    convolutions = sum(i * o * w + o for i, o, w in widths)
    norms = 4 * (sum(o for _, o, _ in widths) + 2000)
    dense = 800 * 1000 + 1000 + 1000 * 1000 + 1000 + 1000 + 1
    model = ab.get_model("factorized_basset")(LENGTH)
    assert parameters(model) == convolutions + norms + dense
    kinds = [type(module).__name__ for module in model]
    assert kinds[:3] == ["Conv1d", "BatchNorm1d", "ReLU"]
    assert [i for i, kind in enumerate(kinds) if kind == "MaxPool1d"] == [15, 25, 29]


def test_bpnet_by_hand():
    model = ab.get_model("bpnet")(LENGTH)
    assert parameters(model) == 64 * 4 * 25 + 64 + 9 * (64 * 64 * 3 + 64) + 64 * 25 + 1 + 64 + 1
    assert [block[0].dilation for block in model.tower] == [(2**i,) for i in range(9)]
    shapes = {output.name: output.shape for output in ab.as_sequence_model(model).outputs(LENGTH)}
    assert shapes == {"profile": (LENGTH,), "count": (1,)}


@pytest.mark.parametrize("framework", ["torch", "keras"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_random_state_is_touched(name, framework):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    ab.get_model(name)(LENGTH, framework=framework)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()  # noqa: NPY002


@pytest.mark.parametrize("name", ["basset", "factorized_basset"])
def test_batch_norms_do_something(name):
    model = ab.get_model(name)(LENGTH)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            for tensor in (module.weight - 1, module.bias, module.running_mean, module.running_var - 1):
                assert tensor.abs().mean() > 0.03
    assert not model.training


@pytest.mark.parametrize("name", ["basset", "factorized_basset"])
def test_shortest_length_builds_and_shorter_says_so(name):
    build = ab.get_model(name)
    assert ab.as_sequence_model(build(48)).outputs(48)[0].shape == (1,)
    with pytest.raises(InvalidInputError, match="at least 48 letters, not length=47"):
        build(47)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_bad_arguments(name):
    build = ab.get_model(name)
    with pytest.raises(InvalidInputError, match="unknown framework 'jax'; choose one of keras, torch"):
        build(100, framework="jax")
    with pytest.raises(InvalidInputError, match="at least"):
        build(0)


def test_no_outputs():
    with pytest.raises(InvalidInputError, match="outputs must be at least 1, not 0"):
        ab.get_model("basset")(100, outputs=0)


@pytest.mark.parametrize(("framework", "extra"), [("torch", "torch"), ("keras", "tensorflow")])
def test_a_missing_framework_names_the_extra(monkeypatch, framework, extra):
    monkeypatch.setitem(sys.modules, framework, None)
    with pytest.raises(MissingDependencyError, match=rf"'{framework}'.*'\.\[{extra}\]'"):
        bpnet.build(100, framework=framework)


def test_copy_between_different_models_changes_nothing():
    source, target = ab.get_model("bpnet")(60, framework="keras"), ab.get_model("basset")(60)
    before = read_torch(target)
    with pytest.raises(ModelError, match="weights of 12 were given"):
        write_torch(target, read_keras(source))
    after = read_torch(target)
    assert all((a[name] == b[name]).all() for a, b in zip(before, after, strict=True) for name in a)
    wrong = [{name: array[..., :1] for name, array in layer.items()} for layer in before]
    with pytest.raises(ModelError, match="layer 0"):
        write_torch(target, wrong)


def test_unknown_layers_are_named():
    model = keras.Sequential([keras.Input((10, 4)), keras.layers.LSTM(3, name="memory")])
    with pytest.raises(ModelError, match="'memory' is a LSTM"):
        read_keras(model)


def test_chrombpnet_is_one_model_in_both_frameworks_of_the_published_size():
    shortest = 21 - 1 + 2 * sum(2**i for i in range(1, 9)) + 75
    build, x = chrombpnet.build, sequences(2, shortest + 1)
    model = build(shortest + 1, seed=5)
    assert parameters(model) == 512 * 4 * 21 + 512 + 8 * (512 * 512 * 3 + 512) + 512 * 75 + 1 + 512 + 1
    in_torch = ab.as_sequence_model(model)
    in_keras = ab.as_sequence_model(build(shortest + 1, framework="keras", seed=5))
    assert {output.name: output.shape for output in in_torch.outputs(2114)} == {"profile": (1000,), "count": (1,)}
    assert in_torch.outputs(shortest + 1) == in_keras.outputs(shortest + 1)
    ours, theirs = in_torch.predict(x), in_keras.predict(x)
    for output in ours:
        np.testing.assert_allclose(ours[output], theirs[output], rtol=0, atol=1e-5)
    with pytest.raises(InvalidInputError, match=f"at least {shortest} letters, not length={shortest - 1}"):
        build(shortest - 1)


def test_chrombpnet_is_registered():
    assert ab.get_model("chrombpnet") is chrombpnet.build
