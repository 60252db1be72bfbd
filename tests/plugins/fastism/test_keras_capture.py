"""Keras models run on the same engine: its predictions are the model's own, at every position and letter."""

import re
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from numpy.typing import NDArray

import attribution_bench as ab
import keras_models
from attribution_bench.errors import FallbackWarning
from attribution_bench_plugins.fastism.capture.from_keras import MANY_STRIDES
from attribution_bench_plugins.fastism.capture.source import source_of
from attribution_bench_plugins.fastism.planning.plan import Plan
from keras_models import LENGTH, ONE_INPUT, OPAQUE, build, several_inputs

# Of TensorFlow's tensors and NumPy 2; pytest.warns raises again what pyproject.toml has ignored by module.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def random_one_hot(count: int, length: int = LENGTH, seed: int = 0) -> NDArray[np.float64]:
    return np.eye(4)[np.random.default_rng(seed).integers(0, 4, (count, length))].transpose(0, 2, 1)


def brute_force(model: Any, x: NDArray[Any], extras: Sequence[NDArray[Any]] = (), pack: Any = None) -> Any:
    """Every mutation by full passes of the model itself; its outputs in its own order, (N, 4, L, *output)."""
    count, letters, length = x.shape
    mutated = np.tile(x[:, None, None], (1, letters, length, 1, 1))
    for position in range(length):
        mutated[:, :, position, :, position] = np.eye(letters)
    rows = mutated.reshape(-1, letters, length).swapaxes(1, 2)
    others = [np.repeat(extra, letters * length, axis=0) for extra in extras]
    outputs = model(pack(rows, *others) if pack else rows, training=False)
    values = list(outputs.values()) if isinstance(outputs, dict) else outputs
    values = values if isinstance(values, list | tuple) else [values]
    arrays = [np.asarray(keras.ops.convert_to_numpy(value)) for value in values]
    return [array.reshape(count, letters, length, *array.shape[1:]) for array in arrays]


def assert_parity(result: Any, truth: Sequence[NDArray[Any]], tolerance: float) -> None:
    assert "fallback" not in result.metadata
    assert len(result.predictions) == len(truth)
    for found, expected in zip(result.predictions.values(), truth, strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def plan_of(method: Any) -> Plan:
    (captured,) = method.engine.cache.models
    assert captured.plan is not None
    return captured.plan


@pytest.mark.parametrize("name", ONE_INPUT)
def test_every_layer_in_float64(name: str) -> None:
    model, x = build(name), random_one_hot(2)
    before = [value.copy() for value in model.get_weights()]
    method = ab.get_method("fastism")(model)
    assert_parity(method.attribute(x, target="all"), brute_force(model, x), 1e-10)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    opaque = {s.node.layer.rpartition(" (")[2][:-1] for s in plan_of(method).steps.values() if s.node.op == "opaque"}
    assert {kind for kind in opaque if not kind.startswith("output_")} == OPAQUE.get(name, set())


@pytest.mark.parametrize("name", ONE_INPUT)
def test_every_layer_in_float32_with_unknown_letters(name: str) -> None:
    model, x = build(name, "float32"), random_one_hot(2, seed=1)
    x[0, :, [0, 7, LENGTH - 1]] = 0
    result = ab.get_method("fastism")(model).attribute(x.astype(np.float32), target="all")
    exact = build(name)
    exact.set_weights(model.get_weights())
    assert_parity(result, brute_force(exact, x), 1e-5)


def test_all_but_what_has_no_rule_keeps_its_windows() -> None:
    method = ab.get_method("fastism")(build("convolutions"))
    method.attribute(random_one_hot(1), target="all")
    assert {step.mode for step in plan_of(method).steps.values()} <= {"windowed", "global", "constant"}
    method = ab.get_method("fastism")(build("recurrent"))
    method.attribute(random_one_hot(1), target="all")
    modes = {step.node.layer: step.mode for step in plan_of(method).steps.values()}
    assert [mode for layer, mode in modes.items() if layer.endswith("(MaxPooling1D)")] == ["windowed"]
    assert modes["both_ways (Bidirectional)"] == "full"


@pytest.mark.parametrize("name", ["contractions", "joint_features", "two_dimensional"])
def test_rules_hold_the_whole_model(name: str) -> None:
    explanation = ab.get_method("fastism")(build(name)).explain(LENGTH)
    assert {layer.layer: layer.reason for layer in explanation.layers if layer.reason} == {}
    if name == "joint_features":
        names = {layer.layer for layer in explanation.layers}
        assert {"head (Dense)", "head (Dense) of conv1d (relu)"} <= {re.sub(r"1d_\d+", "1d", name) for name in names}


@pytest.mark.parametrize(
    ("name", "layer", "reason"),
    [
        ("recurrent", "(Bidirectional)", "recurrent"),
        ("square_kernels", "square (Conv2D)", "it runs over two of the axes"),
        ("products_of_positions", "(Einsum)", "it multiplies two tensors that both depend on the sequence"),
        ("normalised_in_groups", "(GroupNormalization)", "its statistics are taken over all positions"),
    ],
)
def test_reasons_name_the_layer_and_why(name: str, layer: str, reason: str) -> None:
    layers = ab.get_method("fastism")(build(name)).explain(LENGTH).layers
    first = next(found for found in layers if found.reason)
    assert first.layer.endswith(layer)
    assert reason in first.reason


def test_layers_that_only_keras_can_call_are_counted_by_their_weights() -> None:
    """Ten positions: an LSTM's four gates both ways, then a GRU's three, each of inputs and of the state."""
    layers = {layer.layer: layer for layer in ab.get_method("fastism")(build("recurrent")).explain(LENGTH).layers}
    assert layers["both_ways (Bidirectional)"].products_standard == 2 * 10 * (4 + 3) * 4 * 3
    # Keras keeps a GRU's biases in two rows, which are counted with its weights.
    assert layers["gated (GRU)"].products_standard == 10 * (6 + 3 + 2) * 3 * 3


def test_nested_and_shared_layers_bear_the_users_names() -> None:
    method = ab.get_method("fastism")(build("nested"))
    method.attribute(random_one_hot(1), target="all")
    found = [step.node.layer for step in plan_of(method).steps.values()]
    assert found.count("encoder/conv (Conv1D)") == 2
    assert sum(layer.startswith("encoder/tail/") for layer in found) == 4


@pytest.mark.parametrize("kind", ["list", "dict"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_several_inputs_and_outputs(kind: str, dtype: str) -> None:
    model, x = several_inputs(kind, dtype), random_one_hot(3)
    generator = np.random.default_rng(0)
    track, cell = generator.standard_normal((3, LENGTH, 2)), generator.standard_normal((3, 3))
    track, cell = track.astype("float32"), cell.astype("float32")  # as Keras takes its inputs
    result = ab.get_method("fastism")(model).attribute(x, target="all", additional_forward_args=(track, cell))
    pack = (lambda s, t, c: [s, t, c]) if kind == "list" else (lambda s, t, c: {"sequence": s, "track": t, "cell": c})
    truth = brute_force(model, x, (track, cell), pack)
    assert_parity(result, truth, 1e-10 if dtype == "float64" else 1e-5)
    slow = ab.get_method("standard_ism")(model).attribute(x, target="all", additional_forward_args=(track, cell))
    assert_parity(slow, truth, 1e-12 if dtype == "float64" else 1e-5)


def test_a_nested_model_of_several_inputs() -> None:
    model, x = keras_models.nested_several_inputs(), random_one_hot(2)
    track = np.random.default_rng(0).standard_normal((2, LENGTH, 2)).astype("float32")
    method = ab.get_method("fastism")(model)
    result = method.attribute(x, target="all", additional_forward_args=(track,))
    assert_parity(result, brute_force(model, x, (track,), lambda s, t: [s, t]), 1e-10)
    assert "full" not in {step.mode for step in plan_of(method).steps.values()}
    assert any(layer.startswith("encoder/") for layer in (s.node.layer for s in plan_of(method).steps.values()))


def test_a_missing_input_is_named() -> None:
    with pytest.raises(ab.errors.ModelError, match=r"3 inputs \('track' .*'sequence' .*'cell'"):
        ab.get_method("fastism")(several_inputs("dict")).attribute(random_one_hot(1), target="all")


def test_outputs_keep_their_names_and_targets_are_applied_on_the_way() -> None:
    method, x = ab.get_method("fastism")(build("heads")), random_one_hot(2)
    everything = method.attribute(x, target="all").predictions
    assert list(everything) == ["profile", "count"]
    profile = everything["profile"]
    for target, expected in (
        (4, profile[..., 4]),
        ("sum", profile.sum(-1)),
        ("logsumexp", np.log(np.exp(profile).sum(-1))),
        (lambda value: ops.max(keras.ops.convert_to_tensor(value), axis=-1), profile.max(-1)),
    ):
        found = method.attribute(x, target=("profile", target)).predictions["profile"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_protein_with_channels_first_layout() -> None:
    def make() -> keras.Model:
        x = keras.Input((20, 9))
        y = layers.Conv1D(4, 3, activation="relu")(layers.Permute((2, 1))(x))
        return keras.Model(x, layers.Dense(2)(layers.GlobalMaxPooling1D()(y)))

    model = ab.as_sequence_model(keras_models.in_precision("float64", make), layout="NAL", alphabet="protein")
    x = np.eye(20)[np.random.default_rng(0).integers(0, 20, (2, 9))].transpose(0, 2, 1)
    fast = ab.get_method("fastism")(model).attribute(x, target="all")
    slow = ab.get_method("standard_ism")(model).attribute(x, target="all")
    assert_parity(fast, list(slow.predictions.values()), 1e-12)


def test_lengths_that_the_model_leaves_open() -> None:
    def make() -> keras.Model:
        x = keras.Input((None, 4))
        y = layers.MaxPooling1D(3, 2, padding="same")(layers.Conv1D(4, 5, activation="relu")(x))
        return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))

    model = keras_models.in_precision("float64", make)
    method = ab.get_method("fastism")(model)
    for length in (7, 16):
        x = random_one_hot(2, length)
        assert_parity(method.attribute(x, target="all"), brute_force(model, x), 1e-10)


def test_weights_that_change_are_captured_again() -> None:
    model, x = build("convolutions"), random_one_hot(1)
    method = ab.get_method("fastism")(model)
    before = method.attribute(x, target="all")
    model.set_weights([weight * 1.5 for weight in model.get_weights()])
    after = method.attribute(x, target="all")
    assert_parity(after, brute_force(model, x), 1e-10)
    assert not np.allclose(next(iter(before.predictions.values())), next(iter(after.predictions.values())))
    model.compile(optimizer="sgd", loss="mse")
    model.fit(x.transpose(0, 2, 1), np.zeros((1, 2)), epochs=1, verbose=0)
    assert_parity(method.attribute(x, target="all"), brute_force(model, x), 1e-10)


def test_a_translation_that_is_wrong_leaves_the_layer_to_keras() -> None:
    model, x = build("strided"), random_one_hot(1)
    layer = next(layer for layer in model.layers if isinstance(layer, layers.Conv1D))
    convolve = layer.call
    layer.call = lambda inputs: 2 * convolve(inputs)  # other numbers than a Conv1D of these weights gives
    method = ab.get_method("fastism")(model)
    assert_parity(method.attribute(x, target="all"), brute_force(model, x), 1e-10)
    opaque = [s.node.layer for s in plan_of(method).steps.values() if s.node.op == "opaque"]
    assert any("(Conv1D)" in layer for layer in opaque)


def test_layers_are_compared_at_a_short_length_where_they_take_one() -> None:
    length, short, seen = 4000, 4000 - MANY_STRIDES, dict[str, list[int]]()
    x = inputs = keras.Input((length, 4))
    for layer in (
        layers.Conv1D(3, 5, padding="same", name="any_length"),
        layers.PReLU(name="own_length"),
        layers.Conv1D(3, 3, strides=2, name="wrong"),
    ):
        x = layer(x)
    model = keras.Model(inputs, layers.GlobalMaxPooling1D()(x))
    convolve = model.get_layer("wrong").call
    model.get_layer("wrong").call = lambda inputs: 2 * convolve(inputs)
    for layer in model.layers[1:3]:

        def noted(inputs: Any, call: Any = layer.call, name: str = layer.name) -> Any:
            seen.setdefault(name, []).append(inputs.shape[1])
            return call(inputs)

        layer.call = noted
    one_hot = random_one_hot(1, length)
    method = ab.get_method("fastism")(model, min_speedup=0)
    result = method.attribute(one_hot, positions=[0, 2000], target="all")
    counted = {name: list(lengths) for name, lengths in seen.items()}
    truth = ab.get_method("standard_ism")(model).attribute(one_hot, positions=[0, 2000], target="all")
    assert_parity(result, list(truth.predictions.values()), 1e-5)
    opaque = [step.node.layer for step in plan_of(method).steps.values() if step.node.op == "opaque"]
    assert [layer.partition(" ")[0] for layer in opaque] == ["wrong"]
    # A layer with weights for each position fails at another length, and is compared at the model's own. Either is
    # compared in one call, and called on one row before, as code that is not of the library may add what it likes.
    assert (counted["any_length"].count(short), counted["own_length"].count(short)) == (2, 0)
    assert counted["own_length"].count(length) == counted["any_length"].count(length) + 2


def test_mixed_precision() -> None:
    def make() -> keras.Model:
        x = keras.Input((LENGTH, 4))
        y = layers.BatchNormalization()(layers.Conv1D(8, 3, activation="relu")(x))
        return keras.Model(x, layers.Dense(1, dtype="float32")(layers.Flatten()(y)))

    model, x = keras_models.in_precision("mixed_float16", make), random_one_hot(2).astype(np.float32)
    result = ab.get_method("fastism")(model).attribute(x, target="all")
    assert_parity(result, brute_force(model, x), 1e-2)


def test_sequential_model_that_is_not_built_yet() -> None:
    model = keras_models.in_precision(
        "float64", lambda: keras.Sequential([layers.Conv1D(3, 3, activation="relu"), layers.Flatten(), layers.Dense(1)])
    )
    x = random_one_hot(1)
    assert_parity(ab.get_method("fastism")(model).attribute(x), [v[..., 0] for v in brute_force(model, x)], 1e-10)


def falls_back(model: Any, match: str) -> None:
    x = random_one_hot(1)
    with pytest.warns(FallbackWarning, match=match):
        result = ab.get_method("fastism")(model).attribute(x, target="all")
    (found,), (expected,) = result.predictions.values(), brute_force(model, x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    assert "fallback" in result.metadata


def doubled() -> keras.Model:
    class Doubled(keras.Model):
        def call(self, inputs: Any, training: bool | None = None) -> Any:
            return 2 * super().call(inputs, training=training)

    x = keras.Input((LENGTH, 4))
    return Doubled(x, layers.Dense(1)(layers.Flatten()(layers.Conv1D(3, 3)(x))))


@pytest.mark.parametrize("make", [keras_models.Subclassed, doubled])
def test_models_with_a_call_of_their_own_are_followed_and_not_changed(make: Any) -> None:
    model, x = keras_models.in_precision("float64", make), random_one_hot(2)
    model(x.transpose(0, 2, 1))
    before = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model._flatten_layers()]
    method = ab.get_method("fastism")(model)
    assert_parity(method.attribute(x, target="all"), brute_force(model, x), 1e-10)
    steps = plan_of(method).steps.values()
    assert [step.node.layer for step in steps if step.node.is_opaque] == []
    assert any(step.mode == "windowed" and step.node.op == "conv" for step in steps)
    after = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model._flatten_layers()]
    assert after == before


def test_a_model_that_branches_on_values_falls_back_and_says_so() -> None:
    class Branching(keras.Model):
        def call(self, x: Any) -> Any:
            total = ops.sum(x, axis=(1, 2))
            return total if float(total[0]) > 0 else -total

    falls_back(Branching(dtype="float64"), "Branching is a subclassed Keras model")


def test_layers_that_others_are_made_of_keep_windows() -> None:
    for name in ("users_layers", "moved_operations"):
        explanation = ab.get_method("fastism")(build(name)).explain(LENGTH)
        assert {layer.layer: layer.reason for layer in explanation.layers if layer.reason} == {}
    explanation = ab.get_method("fastism")(build("aligned_merges")).explain(LENGTH)
    assert {layer.reason for layer in explanation.layers if layer.reason} == {
        "a branch that has read all positions joins here, so that every position changes"
    }


def test_a_subclass_that_calls_in_its_own_way_is_not_taken_for_its_base() -> None:
    class Shifted(layers.Conv1D):
        def convolution_op(self, inputs: Any, kernel: Any) -> Any:
            return super().convolution_op(inputs, kernel) + 1.0

    def make() -> keras.Model:
        x = keras.Input((LENGTH, 4))
        return keras.Model(x, layers.Dense(1)(layers.Flatten()(Shifted(3, 3, name="shifted")(x))))

    model, x = keras_models.in_precision("float64", make), random_one_hot(1)
    method = ab.get_method("fastism")(model)
    assert_parity(method.attribute(x, target="all"), brute_force(model, x), 1e-10)
    steps = [step.node for step in plan_of(method).steps.values() if step.node.layer.startswith("shifted/")]
    assert {node.kind for node in steps if node.op != "constant"} == {"Conv", "Add"}


def test_capture_warns_of_nothing() -> None:
    model = build("recurrent")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        source = source_of(ab.as_sequence_model(model))
        with source.model.inference():
            source.capture(LENGTH, (), source.model.outputs(LENGTH, ()))
    assert [str(warning.message) for warning in heard] == []


def test_a_mask_falls_back() -> None:
    def make() -> keras.Model:
        x = keras.Input((LENGTH, 4))
        y = layers.LSTM(3)(layers.Masking(name="skip")(layers.ReLU()(layers.Conv1D(2, 1, use_bias=False)(x))))
        return keras.Model(x, layers.Dense(1)(y))

    falls_back(keras_models.in_precision("float64", make), "skip .Masking. gives a mask")


def test_a_layer_that_looks_at_the_whole_batch_is_not_captured() -> None:
    def make() -> keras.Model:
        x = keras.Input((LENGTH, 4))
        y = layers.Flatten()(layers.Conv1D(3, 3)(x))
        return keras.Model(x, layers.Dense(1)(y - ops.mean(y, axis=0, keepdims=True)))

    model = keras_models.in_precision("float64", make)
    with pytest.raises(ab.errors.InconsistentModelError, match="rest of the batch"):
        ab.get_method("fastism")(model).attribute(random_one_hot(2))
    asked = ab.as_sequence_model(model, on_inconsistency="warn")
    with (
        pytest.warns(ab.errors.InconsistencyWarning),
        pytest.warns(FallbackWarning, match="mix the sequences of a batch"),
    ):
        ab.get_method("fastism")(asked).attribute(random_one_hot(2))


@pytest.mark.parametrize("architecture", ["basset", "factorized_basset", "bpnet"])
def test_paper_models_on_real_sequence(architecture: str) -> None:
    from attribution_bench.sequences import lambda_windows

    model = ab.get_model(architecture)(length=1000, framework="keras")
    x, positions = lambda_windows(1000, 1).one_hot(), [0, 1, 499, 998, 999]
    method = ab.get_method("fastism")(model)
    fast = method.attribute(x, target="all", positions=positions)
    slow = ab.get_method("standard_ism")(model).attribute(x, target="all", positions=positions)
    assert_parity(fast, list(slow.predictions.values()), 1e-5)
    assert "full" not in {step.mode for step in plan_of(method).steps.values()}


def test_deepstarr() -> None:
    model, x = keras_models.deepstarr(), random_one_hot(1, 64)
    result = ab.get_method("fastism")(model).attribute(x, target="all")
    assert list(result.predictions) == ["Dev", "Hk"]
    assert_parity(result, brute_force(model, x), 1e-10)


def test_random_numbers_of_a_layer_of_the_users_own_fall_back() -> None:
    class Noisy(layers.Layer):
        def call(self, x: Any) -> Any:
            return x + keras.random.normal(ops.shape(x), dtype=x.dtype)

    def make() -> keras.Model:
        x = keras.Input((LENGTH, 4))
        return keras.Model(x, layers.Dense(1)(layers.Flatten()(Noisy()(layers.Conv1D(3, 3)(x)))))

    model = ab.as_sequence_model(keras_models.in_precision("float64", make), on_inconsistency="warn")
    with pytest.warns(ab.errors.InconsistencyWarning), pytest.warns(FallbackWarning, match="may draw random numbers"):
        ab.get_method("fastism")(model).attribute(random_one_hot(1))


def test_whole_numbers_beside_the_sequence_and_as_output() -> None:
    def make() -> keras.Model:
        x, kind = keras.Input((LENGTH, 4), name="x"), keras.Input((1,), dtype="int32", name="kind")
        y = layers.Conv1D(3, 3, activation="tanh")(x) * layers.Embedding(5, 3)(kind)
        return keras.Model([x, kind], [layers.Dense(2)(layers.Flatten()(y)), ops.argmax(y, axis=-1)])

    model, x = keras_models.in_precision("float64", make), random_one_hot(3)
    kind = np.array([[0], [4], [2]], "int32")
    result = ab.get_method("fastism")(model).attribute(x, target="all", additional_forward_args=(kind,))
    assert_parity(result, brute_force(model, x, (kind,), lambda s, k: [s, k]), 1e-10)


@pytest.mark.parametrize(
    "arrange", [lambda y, z: {"a": [y, z]}, lambda y, z: [y, [z]]], ids=["a dict of lists", "nested lists"]
)
def test_nested_outputs_are_refused(arrange: Any) -> None:
    def make() -> keras.Model:
        x = keras.Input((LENGTH, 4))
        return keras.Model(x, arrange(layers.Dense(1)(layers.Flatten()(x)), layers.Conv1D(2, 3)(x)))

    with pytest.raises(ab.errors.ModelError, match="must return a tensor, a tuple of tensors or a dict of tensors"):
        ab.get_method("fastism")(keras_models.in_precision("float64", make)).attribute(random_one_hot(1), target="all")


class Sorting(layers.Layer):
    def call(self, x: Any) -> Any:
        return ops.relu(ops.sort(x, axis=1))


class Backend(layers.Layer):
    def call(self, x: Any) -> Any:
        import tensorflow as tf

        return tf.nn.avg_pool1d(x, 5, 1, "SAME")


class Raising(layers.Layer):
    def call(self, x: Any) -> Any:
        if isinstance(x, keras.KerasTensor) and x.shape[0] is None:
            raise KeyError("no size")
        return ops.relu(x)

    def compute_output_spec(self, x: Any) -> Any:
        return keras.KerasTensor(x.shape, x.dtype)


class Gated(layers.GRU):
    """A recurrent layer that the user named."""


class Several(layers.Layer):
    def call(self, x: Any, y: Any) -> Any:
        return ops.maximum(x, y)


TOLD: dict[str, tuple[Any, str]] = {
    "an operation": (Sorting, "and its 'Sort' has no rule"),
    "a function of TensorFlow": (
        Backend,
        "and it cannot be called on symbolic tensors of Keras (ValueError: A KerasTensor",
    ),
    "an error": (Raising, "and it cannot be called on symbolic tensors of Keras (KeyError: 'no size')"),
    "in a Lambda": (lambda: layers.Lambda(lambda v: ops.sort(v, axis=1)), "and its 'Sort' has no rule"),
    # What names of users hold means nothing.
    **{
        name: (type(name, (Sorting,), {}), "and its 'Sort' has no rule")
        for name in ("AttentionPool", "PatternNet", "LearnNorm", "JaxLayerNorm", "DotBlock", "InnerModel", "FFTLike")
    },
}
"""Layer of the user's own -> what is said of it beside that it has no rule."""


@pytest.mark.parametrize("name", TOLD)
def test_what_stops_a_layer_of_the_users_from_being_followed_is_named(name: str) -> None:
    make, reason = TOLD[name]
    pytest.importorskip("tensorflow")
    x, layer = keras.Input((LENGTH, 4)), make()
    model = keras.Model(x, layers.Conv1D(2, 3)(layer(layers.Conv1D(3, 3)(x))))
    explanation = ab.get_method("fastism")(model).explain(LENGTH)
    kind = type(layer).__name__
    (found,) = {layer.reason for layer in explanation.layers if layer.kind == kind}
    assert found.startswith(f"there is no rule for {kind!r}, {reason}")
    assert any(f"in Python rules={{{kind!r}" in line for line in explanation.advice)


def test_what_a_layer_of_the_users_is_derived_from_tells_why_it_runs_in_full() -> None:
    x = keras.Input((LENGTH, 4))
    y = Several()(layers.Conv1D(3, 3)(x), layers.Conv1D(3, 3)(x))
    model = keras.Model(x, [Gated(3)(layers.Conv1D(3, 3)(x)), y])
    reasons = {layer.kind: layer.reason for layer in ab.get_method("fastism")(model).explain(LENGTH).layers}
    assert reasons["Gated"] == "a recurrent layer carries each change along the whole sequence"
    assert reasons["Several"] == "there is no rule for 'Several', and it is called on more than one tensor"


NAMED: dict[str, tuple[type, dict[str, Any], str]] = {
    "CumsumSortNorm": (layers.Softmax, {"axis": 1}, "its sum is taken over all positions"),
    "SoftmaxMedian": (layers.LayerNormalization, {"axis": 1}, "its statistics are taken over all positions"),
    "TopKSort": (layers.Softmax, {"axis": -2}, "its sum is taken over all positions"),
}
"""Name of a class of the user's -> what it is derived from, its options, and why it runs in full."""


@pytest.mark.parametrize("name", NAMED)
def test_why_a_function_of_one_axis_runs_in_full_is_not_told_by_the_name_of_its_class(name: str) -> None:
    base, options, reason = NAMED[name]
    x = keras.Input((LENGTH, 4))
    layer = type(name, (base,), {})(**options)
    model = keras.Model(x, layers.Conv1D(2, 3)(layer(layers.Conv1D(3, 3)(x))))
    explanation = ab.get_method("fastism")(model).explain(LENGTH)
    (found,) = (one for one in explanation.layers if name in one.layer)
    assert (found.mode, found.reason) == ("full", reason)


class Halves(layers.Layer):
    def call(self, x: Any) -> Any:
        return x[:, :, :2], x[:, :, 2:]


class Named(layers.Layer):
    def call(self, x: Any) -> Any:
        return {"same": x, "pooled": ops.max_pool(x, 3, 1, padding="same"), "last": ops.relu(-x)}


class HalfSorted(layers.Layer):
    def call(self, x: Any) -> Any:
        return ops.tanh(x), ops.sort(x, axis=1)


@pytest.mark.parametrize("kind", [Halves, Named, HalfSorted])
def test_layers_of_the_users_that_return_several_tensors(kind: Any) -> None:
    def make() -> keras.Model:
        x = keras.Input((LENGTH, 4))
        found = kind()(layers.Conv1D(4, 5, padding="same")(x))
        parts = [found[name] for name in ("same", "pooled", "last")] if isinstance(found, dict) else list(found)
        product = parts[0]
        for part in parts[1:]:
            product = product * part - 0.5 * part
        return keras.Model(x, layers.Conv1D(2, 3)(product))

    model, x = keras_models.in_precision("float64", make), random_one_hot(2)
    method = ab.get_method("fastism")(model)
    assert_parity(method.attribute(x, target="all"), brute_force(model, x), 1e-10)
    modes = {step.node.layer: step.mode for step in plan_of(method).steps.values()}
    assert any(mode == "windowed" for layer, mode in modes.items() if layer.endswith("(Conv1D)"))
    reasons = {layer.reason for layer in method.explain(LENGTH).layers if layer.kind == "HalfSorted"}
    assert reasons == (
        {"there is no rule for 'HalfSorted', and its 'Sort' has no rule"} if kind is HalfSorted else set()
    )
    assert ("full" in modes.values()) == (kind is HalfSorted)


WEIGHTS_OF_NORMS: dict[str, tuple[Any, bool]] = {
    "a number": (lambda y: ops.rms_normalization(y, scale=0.5), True),
    "another number": (lambda y: ops.layer_normalization(y, gamma=2.0, beta=-0.3, axis=2), True),
    "with every axis": (lambda y: ops.layer_normalization(y, gamma=np.linspace(-1, 1, 6).reshape(1, 1, 6)), True),
    "of each place": (lambda y: ops.rms_normalization(y, scale=np.linspace(-1, 1, 6)), True),
    "of each position": (
        lambda y: ops.layer_normalization(y, gamma=np.linspace(1, 2, y.shape[1]).reshape(1, -1, 1)),
        False,
    ),
}


@pytest.mark.parametrize("name", WEIGHTS_OF_NORMS)
def test_weights_of_normalizations_that_are_broadcast(name: str) -> None:
    """One that no rule covers runs in full itself, and the rest of the model keeps its windows."""
    normalise, has_rule = WEIGHTS_OF_NORMS[name]

    def make() -> keras.Model:
        x = keras.Input((LENGTH, 4))
        return keras.Model(x, layers.Conv1D(2, 3)(normalise(layers.Conv1D(6, 5)(x))))

    model, x = keras_models.in_precision("float64", make), random_one_hot(1)
    method = ab.get_method("fastism")(model)
    assert_parity(method.attribute(x, target="all"), brute_force(model, x), 1e-10)
    steps = plan_of(method).steps.values()
    (norm,) = (step for step in steps if step.node.kind in ("LayerNorm", "RMSNorm"))
    assert norm.mode == ("windowed" if has_rule else "full")
    assert next(step.mode for step in steps if step.node.op == "conv") == "windowed"
    if not has_rule:
        assert norm.reason.startswith("there is no rule for 'LayerNorm', and it cannot be followed (RuntimeError: ")


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_operations_on_weights_in_mixed_precision(precision: str) -> None:
    class Convolved(layers.Layer):
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(shape=(3, shape[-1], 5))
            self.scale = self.add_weight(shape=(5,), initializer="ones")
            self.precise = layers.Conv1D(5, 3, padding="same", dtype="float32")

        def call(self, x: Any) -> Any:
            y = ops.rms_normalization(ops.conv(x, self.kernel, padding="same"), self.scale)
            return self.precise(y)

    def make() -> keras.Model:
        x = keras.Input((LENGTH, 4))
        y = Convolved()(layers.Conv1D(8, 3, activation="relu")(x))
        return keras.Model(x, layers.Dense(1, dtype="float32")(layers.Flatten()(y)))

    model, x = keras_models.in_precision(precision, make), random_one_hot(1).astype(np.float32)
    method = ab.get_method("fastism")(model, self_check=False)
    tolerance = {"mixed_float16": 1e-2, "mixed_bfloat16": 1e-1}[precision]
    assert_parity(method.attribute(x, target="all"), brute_force(model, x), tolerance)
    assert {step.mode for step in plan_of(method).steps.values()} <= {"windowed", "global", "constant"}
