"""SequenceModel: layouts, outputs and their names, precision, extra inputs, devices, and models left as they were."""

from collections import OrderedDict

import keras
import numpy as np
import pytest
import torch

import attribution_bench as ab
from attribution_bench.errors import DeviceError, InvalidInputError, ModelError
from attribution_bench.models import OutputSpec, as_sequence_model
from attribution_bench.sequences import PROTEIN, RNA
from numpy_jobs import NumpyModel

X = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)


class Returns(torch.nn.Module):
    """Return what a function makes of the inputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def keras_returns(function, *further):
    inputs = [keras.Input((5, 4)), *(keras.Input(shape) for shape in further)]
    return keras.Model(inputs if further else inputs[0], function(*inputs))


def test_torch_layouts():
    kept = as_sequence_model(Returns(lambda x: x[:, 1, 2]))
    swapped = as_sequence_model(Returns(lambda x: x[:, 1, 2]), layout="NLA")
    np.testing.assert_array_equal(kept.predict(X)["output"], X[:, 1, 2])
    np.testing.assert_array_equal(swapped.predict(X)["output"], X[:, 2, 1])


def test_keras_layouts():
    swapped = as_sequence_model(keras_returns(lambda x: x[:, 1, 2]))
    np.testing.assert_array_equal(swapped.predict(X)["output"], X[:, 2, 1])
    inputs = keras.Input((4, 5))
    kept = as_sequence_model(keras.Model(inputs, inputs[:, 1, 2]), layout="NAL")
    np.testing.assert_array_equal(kept.predict(X)["output"], X[:, 1, 2])


def test_unknown_layout_alphabet_and_model():
    with pytest.raises(InvalidInputError, match="layout must be 'NAL' or 'NLA', not 'NCL'"):
        as_sequence_model(torch.nn.Flatten(), layout="NCL")
    with pytest.raises(InvalidInputError, match="unknown alphabet 'dna'; choose one of DNA, RNA, protein"):
        as_sequence_model(torch.nn.Flatten(), alphabet="dna")
    with pytest.raises(ModelError, match=r"expected a torch.nn.Module or a keras.Model, not builtins.function"):
        as_sequence_model(lambda x: x)


@pytest.mark.parametrize("build", [lambda f: Returns(f), keras_returns], ids=["torch", "keras"])
def test_options_change_a_sequence_model(build):
    first = as_sequence_model(build(lambda x: x[:, 1, 2]), output_names=("y",), on_inconsistency="warn")
    assert as_sequence_model(first) is first
    same = {"layout": first.layout, "alphabet": "DNA", "output_names": ("y",), "device": first.device}
    assert as_sequence_model(first, **same) is first
    for changed in (
        {"layout": "NLA" if first.layout == "NAL" else "NAL"},
        {"alphabet": RNA},
        {"alphabet": "protein"},
        {"output_names": ("z",)},
        {"on_inconsistency": "raise"},
        {"sequence_input": 0},
    ):
        second = as_sequence_model(first, **changed)
        assert second.model is first.model
        assert type(second) is type(first)
        options = ("layout", "output_names", "sequence_input", "on_inconsistency", "device")
        expected = {name: getattr(first, name) for name in options} | {"alphabet": ab.DNA} | changed
        expected["alphabet"] = PROTEIN if expected["alphabet"] == "protein" else expected["alphabet"]
        assert {name: getattr(second, name) for name in expected} == expected
    with pytest.raises(DeviceError, match="not available"):
        as_sequence_model(first, device="cuda:77")


def test_the_layout_of_a_sequence_model_is_changed():
    first = as_sequence_model(Returns(lambda x: x[:, 1, 2]))
    np.testing.assert_array_equal(as_sequence_model(first, layout="NLA").predict(X)["output"], X[:, 2, 1])
    np.testing.assert_array_equal(first.predict(X)["output"], X[:, 1, 2])


def test_a_class_that_takes_no_options_says_so():
    model = NumpyModel()
    assert as_sequence_model(model, alphabet="DNA") is model
    with pytest.raises(ModelError, match=r"a NumpyModel already.*give alphabet where it is made"):
        as_sequence_model(model, alphabet="RNA")


def test_alphabets():
    assert as_sequence_model(torch.nn.Flatten(), alphabet="RNA").alphabet is RNA
    protein = as_sequence_model(torch.nn.Flatten(), alphabet=PROTEIN)
    assert protein.outputs(3) == (OutputSpec("output", (60,)),)
    assert as_sequence_model(protein) is protein


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda x: x.sum(1), ["output"]),
        (lambda x: (x.sum(1),), ["output"]),
        (lambda x: [x.sum(1), x.sum((1, 2))], ["output_0", "output_1"]),
        (lambda x: {"profile": x.sum(1), "count": x.sum((1, 2))}, ["profile", "count"]),
        (lambda x: OrderedDict(b=x.sum(1), a=x.sum((1, 2))), ["b", "a"]),
    ],
)
def test_torch_output_names(function, names):
    model = as_sequence_model(Returns(function))
    assert model.outputs(5) == tuple(OutputSpec(name, shape) for name, shape in zip(names, [(5,), ()], strict=False))
    predicted = model.predict(X, batch_size=2)
    assert list(predicted) == names
    np.testing.assert_allclose(predicted[names[0]], X.sum(1), rtol=1e-6)


def test_names_that_are_given():
    model = as_sequence_model(Returns(lambda x: (x.sum(1), x.sum((1, 2)))), output_names=("profile", "count"))
    assert [output.name for output in model.outputs(5)] == ["profile", "count"]
    for names in (("one",), ("one", "one")):
        with pytest.raises(ModelError, match=r"returns 2 outputs, which .* does not name one by one"):
            as_sequence_model(Returns(lambda x: (x.sum(1), x.sum((1, 2)))), output_names=names).outputs(5)


@pytest.mark.parametrize("as_dict", [False, True])
def test_keras_output_names(as_dict):
    inputs = keras.Input((5, 4))
    profile = keras.layers.Flatten(name="profile")(inputs)
    count = keras.layers.GlobalAveragePooling1D(name="count")(inputs)
    outputs = {"profile": profile, "count": count} if as_dict else [profile, count]
    model = as_sequence_model(keras.Model(inputs, outputs))
    assert {output.name: output.shape for output in model.outputs(5)} == {"profile": (20,), "count": (4,)}
    np.testing.assert_allclose(model.predict(X)["count"], X.mean(2), rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: None, "must return a tensor, a tuple of tensors or a dict of tensors, not NoneType"),
        (lambda x: (x, 3), r"not tuple of \['Tensor', 'int'\]; wrap it"),
        (lambda x: (), "must return a tensor"),
        (lambda x: x.sum(), r"output 'output' has shape \(\) for 2 sequences; it needs a batch axis"),
        (lambda x: x[:1], r"has shape \(1, 4, 5\) for 2 sequences"),
        (lambda x: x.reshape(2, 21), r"does not take sequences of length 5 .*RuntimeError: shape"),
    ],
)
def test_models_that_are_none(function, message):
    with pytest.raises(ModelError, match=message):
        as_sequence_model(Returns(function)).outputs(5)


def test_a_length_that_a_keras_model_does_not_take():
    model = as_sequence_model(keras_returns(lambda x: keras.layers.Dense(1)(keras.layers.Flatten()(x))))
    with pytest.raises(ModelError, match="does not take sequences of length 6"):
        model.outputs(6)


def test_extra_inputs():
    extra = np.arange(6, dtype=np.float32).reshape(3, 2)
    torch_model = as_sequence_model(Returns(lambda x, e: x.sum((1, 2)) + e[:, 1]))
    keras_model = as_sequence_model(keras_returns(lambda x, e: keras.ops.sum(x, (1, 2)) + e[:, 1], (2,)))
    for model in (torch_model, keras_model):
        assert model.outputs(5, (extra,)) == (OutputSpec("output", ()),)
        predicted = model.predict(X, (extra,), batch_size=2)["output"]
        np.testing.assert_allclose(predicted, X.sum((1, 2)) + extra[:, 1], rtol=1e-5)


def test_integer_extras_stay_integers():
    seen = []
    model = as_sequence_model(Returns(lambda x, e: seen.append(e.dtype) or x.sum(1)))
    model.predict(X, (np.arange(3),))
    assert seen == [torch.int64]


@pytest.mark.parametrize(
    ("dtype", "numpy_dtype", "places"),
    [(torch.float32, np.float32, 6), (torch.float64, np.float64, 15), (torch.bfloat16, np.float32, 2)],
)
def test_torch_precision(dtype, numpy_dtype, places):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(20, 2)).to(dtype)
    subject = as_sequence_model(model)
    predicted = subject.predict(X.astype(np.float64))["output"]
    assert subject.numpy_dtype == predicted.dtype == numpy_dtype
    weight, bias = (p.detach().double().numpy() for p in model[1].parameters())
    np.testing.assert_allclose(predicted, X.reshape(3, 20) @ weight.T + bias, atol=10.0 ** -(places - 1))


@pytest.mark.parametrize(
    ("policy", "numpy_dtype", "places"),
    [("float32", np.float32, 6), ("float64", np.float64, 15), ("mixed_float16", np.float32, 3)],
)
def test_keras_precision(policy, numpy_dtype, places):
    layer = keras.layers.Dense(2, dtype=policy, kernel_initializer=keras.initializers.GlorotNormal(1))
    inputs = keras.Input((5, 4), dtype="float64" if policy == "float64" else "float32")
    model = keras.Model(inputs, layer(keras.layers.Flatten(dtype=policy)(inputs)))
    subject = as_sequence_model(model)
    predicted = subject.predict(X.astype(np.float64))["output"]
    assert subject.numpy_dtype == predicted.dtype == numpy_dtype
    kernel = model.get_weights()[0].astype(np.float64)
    expected = X.transpose(0, 2, 1).reshape(3, 20).astype(np.float64) @ kernel
    np.testing.assert_allclose(predicted, expected, atol=10.0 ** -(places - 1))


def test_torch_inference_restores_after_an_error():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout()))
    model[1].eval()
    model[1][1].train()
    model[0].bias.requires_grad_(False)
    model[0].weight.grad = torch.ones(2, 2)
    modes = [module.training for module in model.modules()]

    def spoil():
        with as_sequence_model(model).inference():
            assert not any(module.training for module in model.modules())
            model[0].bias.requires_grad_(True)
            model[0].weight.requires_grad_(False)
            model[0].weight.grad = None
            raise KeyError("spoilt")

    with pytest.raises(KeyError, match="spoilt"):
        spoil()
    assert [module.training for module in model.modules()] == modes == [True, True, False, False, True]
    assert [p.requires_grad for p in model[0].parameters()] == [True, False]
    assert torch.equal(model[0].weight.grad, torch.ones(2, 2))


def test_torch_model_returns_from_another_device():
    # The meta device stands for a second one: it takes tensors, and forgets their values.
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    parameters = list(model.parameters())
    with as_sequence_model(model, device="meta").inference():
        assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(mine is other for mine, other in zip(model.parameters(), parameters, strict=True))


@pytest.mark.parametrize("method", ab.list_methods())
@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(20, 1)).to("meta"), "1.weight"),
        (lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(20, 1, device="meta")), "1.weight"),
        (lambda: torch.nn.Sequential(torch.nn.BatchNorm1d(4, affine=False).to("meta")), "0.running_mean"),
        (lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(1)), "1.weight"),
        (lambda: torch.nn.Sequential(torch.nn.LazyConv1d(3, 3), torch.nn.Flatten()), "0.weight"),
    ],
)
def test_models_without_values_are_named(method, build, name):
    model = build()
    with pytest.raises(
        ModelError, match=f"'{name}' of the model has no values: on the meta device, or in a lazy layer"
    ):
        ab.get_method(method)(model).attribute(X[:1].round() * 0, target="all")


def test_a_model_made_in_inference_mode():
    with torch.inference_mode():
        model = torch.nn.Sequential(torch.nn.Conv1d(4, 3, 3), torch.nn.Flatten(), torch.nn.Linear(9, 1))
    one_hot = np.eye(4, dtype=np.float32)[[[0, 2, 1, 1, 3]]].transpose(0, 2, 1)
    options = {"standard_ism": {}, "fastism": {"min_speedup": 0}}
    results = [ab.get_method(name)(model, **options[name]).attribute(one_hot) for name in options]
    np.testing.assert_allclose(results[0].scores, results[1].scores, atol=1e-6)


def test_programs_of_torch_export_are_models():
    network = torch.nn.Sequential(torch.nn.Conv1d(4, 3, 3), torch.nn.BatchNorm1d(3), torch.nn.Flatten()).eval()
    program = torch.export.export(network, (torch.zeros(2, 4, 5),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    with torch.no_grad():
        truth = network(torch.from_numpy(X)).numpy()

    class Around(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.inner = torch.nn.Dropout(), program.module()

        def forward(self, x):
            return self.drop(self.inner(x))

    for model in (program, program.module(), Around()):
        np.testing.assert_allclose(as_sequence_model(model).predict(X)["output"], truth, rtol=1e-5, atol=1e-6)
    around = Around()
    with as_sequence_model(around).inference():
        assert not around.drop.training
    assert around.drop.training


def test_keras_batch_norm_is_not_trained():
    model = keras_returns(lambda x: keras.layers.Flatten()(keras.layers.BatchNormalization()(x)))
    before = model.get_weights()
    predicted = as_sequence_model(model).predict(X * 10 + 3)["output"]
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    np.testing.assert_allclose(predicted, (X * 10 + 3).transpose(0, 2, 1).reshape(3, 20) / np.sqrt(1.001), rtol=1e-5)


def test_devices_that_are_not_there():
    with pytest.raises(DeviceError, match="device 'cuda:99' is not available here; PyTorch finds cpu"):
        as_sequence_model(torch.nn.Flatten(), device="cuda:99")
    with pytest.raises(DeviceError, match="device 'toaster' is not available here"):
        as_sequence_model(torch.nn.Flatten(), device="toaster")
    with pytest.raises(DeviceError, match="device 'cuda:99' is not available here; Keras finds cpu:0"):
        as_sequence_model(keras_returns(lambda x: x[:, 0]), device="cuda:99")


@pytest.mark.parametrize("target", ["sum", "mean", "logsumexp"])
def test_keras_reducers_are_those_of_torch(target):
    from attribution_bench.models.targets import select

    ours = as_sequence_model(Returns(lambda x: x.transpose(1, 2)))
    theirs = as_sequence_model(keras_returns(lambda x: x * 1.0))
    results = []
    for model in (ours, theirs):
        (selection,) = select(target, model.outputs(5))
        results.append(model.to_numpy(model.select(model.forward(model.to_tensor(X)), selection)))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)
    assert results[0].shape == (3,)
