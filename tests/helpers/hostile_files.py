"""Files that mean harm, each made by a function: ``python tests/helpers/hostile_files.py FOLDER`` writes all of them.

``python tests/helpers/hostile_files.py --open FOLDER`` also opens them, and tells what came of each.

What a file would do if anything in it ran is to make an empty file, the mark. Nothing here is dangerous to have.
A kind of file is added by its makers in `FILES` and, for a new suffix, by what opens it in `READERS`.
"""

import io
import json
import pickle
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

Maker = Callable[[Path, Path], None]
"""Called with the path to write and that of the mark."""
Members = dict[str, bytes]
FILES: dict[str, Maker] = {}
"""Makers by the names of their files."""


def hostile(name: str) -> Callable[[Maker], Maker]:
    """Enter a maker for a file of this name."""

    def enter(maker: Maker) -> Maker:
        assert name not in FILES
        FILES[name] = maker
        return maker

    return enter


HONEST: dict[str, Maker] = {}
"""Makers of files that must open, at least one a reader."""


def honest(name: str) -> Callable[[Maker], Maker]:
    """Enter a maker for a file of this name that must open."""

    def enter(maker: Maker) -> Maker:
        HONEST[name] = maker
        return maker

    return enter


def open_model(path: Path) -> None:
    """Open a model file and predict a sequence."""
    from attribution_bench import DNA
    from attribution_bench.models.loading import model_source

    model_source(str(path)).open(device="cpu").predict(DNA.one_hot(["ACGT" * 5]))


READERS: Mapping[str, Callable[[Path], None]] = dict.fromkeys((".pt2", ".pt", ".keras", ".h5", ".pkl"), open_model)
"""What opens a file, by its suffix."""


class Trap:
    """Unpickling it makes the mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (open, (str(self.mark), "w"))


def code(mark: Path) -> str:
    """Return an expression of Python that makes the mark."""
    return f"open({str(mark)!r}, 'w').fileno()"


# Files of torch.export.

PROGRAM = "model/models/model.json"
CONSTANTS = "model/data/constants/model_constants_config.json"
WEIGHTS = "model/data/weights/model_weights_config.json"
INPUTS = "model/data/sample_inputs/model.pt"


@cache
def exported() -> Mapping[str, bytes]:
    """Return the members of an honest file of torch.export."""
    import torch

    torch.manual_seed(0)
    layers = torch.nn.Conv1d(4, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(36, 1)
    shapes = ({0: torch.export.Dim("batch", max=4096)},)
    model = torch.nn.Sequential(*layers).eval()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of its own code
        program = torch.export.export(model, (torch.zeros(2, 4, 20),), dynamic_shapes=shapes)
        torch.export.save(program.run_decompositions(), file)
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        return {f"model/{name.partition('/')[2]}": archive.read(name) for name in names}


def zipped(path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write an archive."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def with_program(path: Path, change: Callable[[Any], Any]) -> None:
    """Write a file of torch.export whose program has been changed in place, or replaced by what is returned."""
    program = json.loads(exported()[PROGRAM])
    changed = change(program)
    zipped(path, {**exported(), PROGRAM: json.dumps(program if changed is None else changed).encode()})


def with_call(path: Path, target: str, /, **arguments: Any) -> None:
    """Write a file of torch.export whose graph calls something in the place of its ReLU."""

    def change(program: Any) -> None:
        nodes = program["graph_module"]["graph"]["nodes"]
        (node,) = (node for node in nodes if node["target"] == "torch.ops.aten.relu.default")
        node["target"] = target
        if arguments:
            node["inputs"] = [{"name": key, "arg": value, "kind": 1} for key, value in arguments.items()]

    with_program(path, change)


def with_constant(path: Path, mark: Path, record: str, stored_as: str | None = None) -> None:
    """Write a file of torch.export with a pickled object among its constants."""
    config = json.loads(exported()[CONSTANTS])
    config["config"]["extra"] = {"path_name": record, "is_param": False, "use_pickle": True, "tensor_meta": None}
    added = {f"model/data/constants/{stored_as or record}": pickle.dumps(Trap(mark))}
    zipped(path, {**exported(), CONSTANTS: json.dumps(config).encode(), **added})


def with_weights(path: Path, change: Callable[[Any], None]) -> None:
    """Write a file of torch.export whose description of weights has been changed."""
    config = json.loads(exported()[WEIGHTS])
    change(config["config"])
    zipped(path, {**exported(), WEIGHTS: json.dumps(config).encode()})


def torch_saved(value: Any) -> bytes:
    """Return a file of torch.save."""
    import torch

    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


for number, (record, stored_as) in enumerate(
    [
        ("opaque_obj_0", None),
        ("opaque_obj_x", None),
        ("opaque_obj_0", "OPAQUE_OBJ_0"),
        ("opaque_obj_0/a", None),
        ("custom_obj_x", None),
        ("tensor_7", None),
    ]
):

    @hostile(f"object_{number}.pt2")
    def pickled_object(path: Path, mark: Path, record: str = record, stored_as: str | None = stored_as) -> None:
        with_constant(path, mark, record, stored_as)


@hostile("expression.pt2")
def expression(path: Path, mark: Path) -> None:
    with_program(path, lambda program: _with_sizes(program, code(mark)))


@hostile("expression_in_capitals.pt2")
def expression_in_capitals(path: Path, mark: Path) -> None:
    program = json.loads(exported()[PROGRAM])
    _with_sizes(program, code(mark))
    zipped(path, {**exported(), PROGRAM.replace(".json", ".JSON"): json.dumps(program).encode()})


@hostile("expression_twice.pt2")
def expression_twice(path: Path, mark: Path) -> None:
    program = json.loads(exported()[PROGRAM])
    _with_sizes(program, code(mark))
    members = [*exported().items(), (PROGRAM, json.dumps(program).encode())]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            # zipfile warns of a name that it has, unless it does not know of it.
            archive.NameToInfo.pop(name, None)
            archive.writestr(name, content)


@hostile("power.pt2")
def power(path: Path, mark: Path) -> None:
    with_program(path, lambda program: _with_sizes(program, "9**9**9**9"))


def _with_sizes(program: Any, text: str) -> None:
    """Replace every size that is computed."""
    found = 0

    def walk(value: Any) -> None:
        nonlocal found
        if isinstance(value, dict):
            if "expr_str" in value:
                value["expr_str"], found = text, found + 1
            value = list(value.values())
        for part in value if isinstance(value, list) else ():
            walk(part)

    walk(program)
    assert found


@hostile("condition.pt2")
def condition(path: Path, mark: Path) -> None:
    with_program(path, lambda program: program.update(guards_code=[code(mark)]))


@hostile("condition_in_quotes.pt2")
def condition_in_quotes(path: Path, mark: Path) -> None:
    text = f"L['x'].size()[0] == 'a\" + str({code(mark)}) + \"'"
    with_program(path, lambda program: program.update(guards_code=[text]))


@hostile("writes_when_run.pt2")
def writes_when_run(path: Path, mark: Path) -> None:
    arguments = {"filename": {"as_string": str(mark)}, "shared": {"as_bool": True}, "size": {"as_int": 72}}
    with_call(path, "torch.ops.aten.from_file.default", **arguments)


@hostile("prints_when_run.pt2")
def prints_when_run(path: Path, mark: Path) -> None:
    with_call(path, "torch.ops.aten._print.default", s={"as_string": "\x1b[2J"})


@hostile("command_when_run.pt2")
def command_when_run(path: Path, mark: Path) -> None:
    with_call(path, "torch.serialization.os.system", command={"as_string": f"touch {mark}"})


@hostile("library_when_run.pt2")
def library_when_run(path: Path, mark: Path) -> None:
    with_call(path, "torch.ops.load_library", path={"as_string": str(mark)})


@hostile("saves_when_run.pt2")
def saves_when_run(path: Path, mark: Path) -> None:
    with_call(path, "torch.save", obj={"as_int": 1}, f={"as_string": str(mark)})


@hostile("object_when_run.pt2")
def object_when_run(path: Path, mark: Path) -> None:
    argument = {"as_custom_obj": {"name": "object", "class_fqn": "__torch__.torch.classes.aten.Any"}}
    with_call(path, "torch.ops.higher_order.call_torchbind", obj=argument)


@hostile("storage_when_run.pt2")
def storage_when_run(path: Path, mark: Path) -> None:
    with_call(path, "torch.ops.aten.set_.default")


@hostile("name_is_code.pt2")
def name_is_code(path: Path, mark: Path) -> None:
    def change(program: Any) -> Any:
        text, name = json.dumps(program), "relu"
        return json.loads(text.replace(f'"{name}"', json.dumps(f"{name} = {code(mark)}; {name}")))

    with_program(path, change)


@hostile("path_is_code.pt2")
def path_is_code(path: Path, mark: Path) -> None:
    evil = f'0.w", {code(mark)} or "weight'
    program = json.loads(json.dumps(json.loads(exported()[PROGRAM])).replace('"0.weight"', json.dumps(evil)))
    weights = json.loads(json.dumps(json.loads(exported()[WEIGHTS])).replace('"0.weight"', json.dumps(evil)))
    zipped(path, {**exported(), PROGRAM: json.dumps(program).encode(), WEIGHTS: json.dumps(weights).encode()})


@hostile("path_of_a_class.pt2")
def path_of_a_class(path: Path, mark: Path) -> None:
    evil = json.dumps("__class__.__base__.forward")
    changed = {name: exported()[name].replace(b'"0.weight"', evil.encode()) for name in (PROGRAM, WEIGHTS)}
    zipped(path, {**exported(), **changed})


def _signature(program: Any) -> Any:
    return program["graph_module"]["module_call_graph"][0]["signature"]


@hostile("argument_is_code.pt2")
def argument_is_code(path: Path, mark: Path) -> None:
    with_program(path, lambda program: _signature(program).update(forward_arg_names=[f"x={code(mark)}"]))


@hostile("keyword_is_code.pt2")
def keyword_is_code(path: Path, mark: Path) -> None:
    def change(program: Any) -> None:
        signature = _signature(program)
        version, nesting = json.loads(signature["in_spec"])
        leaf = nesting["children_spec"][0]["children_spec"][0]
        keys = {"type": "builtins.dict", "context": json.dumps([f"x={code(mark)}"]), "children_spec": [leaf]}
        nesting["children_spec"] = [{**nesting["children_spec"][0], "children_spec": []}, keys]
        signature.update(in_spec=json.dumps([version, nesting]), forward_arg_names=None)

    with_program(path, change)


@hostile("text_is_code.pt2")
def text_is_code(path: Path, mark: Path) -> None:
    def change(program: Any) -> None:
        value = f"a' or {code(mark)} or 'b"
        graph = program["graph_module"]
        graph["graph"]["inputs"].append({"as_string": value})
        spec = {"name": "mode", "value": {"as_string": value}}
        graph["signature"]["input_specs"].append({"constant_input": spec})

    with_program(path, change)


@hostile("symbols_without_end.pt2")
def symbols_without_end(path: Path, mark: Path) -> None:
    constraint = {"min_val": 0, "max_val": 9}
    with_program(path, lambda program: program["range_constraints"].update(u99999999999=constraint))


@hostile("nested_without_end.pt2")
def nested_without_end(path: Path, mark: Path) -> None:
    zipped(path, {**exported(), PROGRAM: b'{"graph_module": ' + b"[" * 1_000_000})


@hostile("pickled_weight.pt2")
def pickled_weight(path: Path, mark: Path) -> None:
    def change(config: Any) -> None:
        config["0.weight"]["use_pickle"] = True

    with_weights(path, change)


@hostile("weight_beyond_its_bytes.pt2")
def weight_beyond_its_bytes(path: Path, mark: Path) -> None:
    def change(config: Any) -> None:
        config["0.weight"]["tensor_meta"]["storage_offset"] = {"as_int": 1 << 20}

    with_weights(path, change)


@hostile("weight_of_a_petabyte.pt2")
def weight_of_a_petabyte(path: Path, mark: Path) -> None:
    config = json.loads(exported()[WEIGHTS])
    about = config["config"]["0.weight"]
    about["tensor_meta"]["sizes"] = [{"as_int": 1 << 48}]
    about["tensor_meta"]["strides"] = [{"as_int": 1}]
    changed = {WEIGHTS: json.dumps(config).encode(), f"model/data/weights/{about['path_name']}": b""}
    zipped(path, {**exported(), **changed})


@hostile("memory_when_run.pt2")
def memory_when_run(path: Path, mark: Path) -> None:
    size, value = {"as_ints": [1 << 20, 1 << 20, 36]}, {"as_float": 1.0}
    with_call(path, "torch.ops.aten.full.default", size=size, fill_value=value)


@hostile("trap_in_old_weights.pt2")
def trap_in_old_weights(path: Path, mark: Path) -> None:
    zipped(path, {**exported(), "model/data/weights/model.pt": torch_saved({"0.weight": Trap(mark)})})


@hostile("trap_in_inputs.pt2")
def trap_in_inputs(path: Path, mark: Path) -> None:
    zipped(path, {**exported(), INPUTS: torch_saved(((Trap(mark),), {}))})


@hostile("memo_of_gigabytes.pt2")
def memo_of_gigabytes(path: Path, mark: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        # The value None, kept at the last place of a memo of 4 billion.
        archive.writestr("a/data.pkl", b"\x80\x02Nr\xff\xff\xff\xff.")
        archive.writestr("a/version", b"3")
    zipped(path, {**exported(), INPUTS: inner.getvalue()})


@hostile("values_without_end.pt2")
def values_without_end(path: Path, mark: Path) -> None:
    # Lists of two references to the list before: 2 to the power of 30 values when they are followed.
    steps = b"".join(b"(h%ch%cl" % (i, i) + b"q" + bytes([i + 1]) for i in range(30))
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02]q\x00" + steps + b".")
    zipped(path, {**exported(), INPUTS: inner.getvalue()})


@hostile("machine_code.pt2")
def machine_code(path: Path, mark: Path) -> None:
    zipped(path, {**exported(), "model/data/aotinductor/model/model.so": b"\x7fELF"})


@hostile("grows.pt2")
def grows(path: Path, mark: Path) -> None:
    zipped(path, {**exported(), "model/extra/zeros": bytes(1 << 28)}, zipfile.ZIP_DEFLATED)


@hostile("cut_off.pt2")
def cut_off(path: Path, mark: Path) -> None:
    zipped(path, exported())
    path.write_bytes(path.read_bytes()[:-100])


def old_layout(path: Path, **changed: bytes) -> None:
    """Write a file as PyTorch 2.6 did."""
    weights = {"0.weight": None}
    members = {
        "version": b"8.2",
        "serialized_exported_program.json": exported()[PROGRAM],
        "serialized_state_dict.pt": torch_saved(weights),
        "serialized_constants.pt": torch_saved({}),
        "serialized_example_inputs.pt": exported()[INPUTS],
    }
    zipped(path, {**members, **{name.replace("__", "."): content for name, content in changed.items()}})


@hostile("old_trap.pt2")
def old_trap(path: Path, mark: Path) -> None:
    old_layout(path, serialized_state_dict__pt=torch_saved({"0.weight": Trap(mark)}))


@hostile("old_expression.pt2")
def old_expression(path: Path, mark: Path) -> None:
    program = json.loads(exported()[PROGRAM])
    _with_sizes(program, code(mark))
    old_layout(path, serialized_exported_program__json=json.dumps(program).encode())


@hostile("weights.pt")
def weights(path: Path, mark: Path) -> None:
    path.write_bytes(torch_saved(Trap(mark)))


@hostile("model.pkl")
def pickled_model(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps(Trap(mark)))


@honest("honest.pt2")
def honest_program(path: Path, mark: Path) -> None:
    zipped(path, exported())


# Files of Keras. Those of Keras 2 name modules of tf_keras, or none.

Config = dict[str, Any]


def layer(class_name: str, module: str | None = "keras.layers", **config: Any) -> Config:
    """Return the configuration of a layer."""
    made = {"class_name": class_name, "name": "y", "config": {"name": "y", **config}}
    return made if module is None else {**made, "module": module, "registered_name": None}


def sequential(*layers: Config) -> Config:
    """Return the configuration of a model of Keras 3."""
    first = layer("InputLayer", batch_shape=[None, 20, 4], name="x")
    config = {"name": "m", "layers": [first, *layers]}
    return {"class_name": "Sequential", "module": "keras", "registered_name": "Sequential", "config": config}


def functional_2(made: Config, node: list[Any]) -> Config:
    """Return the configuration of a model of Keras 2: a layer that is called as the node says."""
    first = {"batch_input_shape": [None, 20, 4], "dtype": "float32", "sparse": False, "ragged": False, "name": "x"}
    layers = [
        {"class_name": "InputLayer", "name": "x", "inbound_nodes": [], "config": first},
        {**made, "inbound_nodes": [node]},
    ]
    config = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["y", 0, 0]]}
    return {"class_name": "Functional", "config": config}


def hdf5(fill: Callable[[Any], None] = lambda file: None, config: Config | None = None) -> bytes:
    """Return an HDF5 file with the configuration of a model and what ``fill`` adds."""
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        if config is not None:
            opened.attrs["model_config"] = json.dumps(config)
            opened.attrs["keras_version"], opened.attrs["backend"] = "2.12.0", "tensorflow"
            opened.create_group("model_weights").attrs["layer_names"] = []
        fill(opened)
    return file.getvalue()


def keras_3(path: Path, config: Config, weights: bytes | None = None, **others: bytes) -> None:
    """Write an archive of Keras 3."""
    members = {"config.json": json.dumps(config).encode(), "metadata.json": b'{"keras_version": "3.9.0"}'}
    zipped(path, {**members, "model.weights.h5": hdf5() if weights is None else weights, **others})


def activation(module: str, name: str) -> Config:
    """Return a model whose activation is a function of any module."""
    function = {"class_name": "function", "module": module, "config": name, "registered_name": name}
    return sequential(layer("Activation", activation=function))


@hostile("lambda.keras")
def lambda_layer(path: Path, mark: Path) -> None:
    function = {"class_name": "__lambda__", "config": {"value": "4wAAAAA=", "defaults": None, "closure": None}}
    keras_3(path, sequential(layer("Lambda", function=function)))


@hostile("lambda_within.keras")
def lambda_within(path: Path, mark: Path) -> None:
    keras_3(path, sequential(layer("TimeDistributed", layer=sequential(layer("Lambda", function="relu")))))


@hostile("command.keras")
def command(path: Path, mark: Path) -> None:
    keras_3(path, activation("os", "system"))


@hostile("downloads.keras")
def downloads(path: Path, mark: Path) -> None:
    keras_3(path, activation("keras.utils", "get_file"))


@hostile("unsafe.keras")
def unsafe(path: Path, mark: Path) -> None:
    keras_3(path, activation("keras.config", "enable_unsafe_deserialization"))


@hostile("any_class.keras")
def any_class(path: Path, mark: Path) -> None:
    keras_3(path, sequential(layer("Popen", "subprocess", args=["touch", str(mark)])))


@hostile("saved_model.keras")
def saved_model(path: Path, mark: Path) -> None:
    keras_3(path, sequential(layer("TFSMLayer", filepath=str(mark), call_endpoint="serve")))


@hostile("pickled_module.keras")
def pickled_module(path: Path, mark: Path) -> None:
    keras_3(path, sequential(layer("TorchModuleWrapper", module=pickle.dumps(Trap(mark)).hex())))


@hostile("reads_a_file.keras")
def reads_a_file(path: Path, mark: Path) -> None:
    keras_3(path, sequential(layer("StringLookup", vocabulary="/etc/passwd")))


@hostile("custom_name.keras")
def custom_name(path: Path, mark: Path) -> None:
    keras_3(path, sequential({**layer("Dense", units=1), "registered_name": "Custom>Anything"}))


@hostile("type_of_tensorflow.keras")
def type_of_tensorflow(path: Path, mark: Path) -> None:
    spec = {"class_name": "__typespec__", "spec_name": "system", "module": "os", "registered_name": None, "config": []}
    keras_3(path, sequential(layer("Dense", units=1, dtype=spec)))


@hostile("weights_of_gigabytes.keras")
def weights_of_gigabytes(path: Path, mark: Path) -> None:
    keras_3(path, sequential(layer("Dense", units=1 << 34)))


@hostile("weights_within_weights.keras")
def weights_within_weights(path: Path, mark: Path) -> None:
    keras_3(path, sequential(layer("Flatten"), layer("Dense", units=1 << 16, name="a"), layer("Dense", units=1 << 16)))


@hostile("texts_of_gigabytes.keras")
def texts_of_gigabytes(path: Path, mark: Path) -> None:
    value = {"class_name": "__numpy__", "config": {"value": ["a"] * 9, "dtype": "U400000000"}}
    keras_3(path, sequential(layer("Rescaling", scale=value)))


@hostile("call_on_a_constant.keras")
def call_on_a_constant(path: Path, mark: Path) -> None:
    constant = {"class_name": "__tensor__", "config": {"value": [[[1.0]]], "dtype": "float32"}}
    repeated = {**layer("Repeat", "keras.src.ops.numpy", repeats=1 << 40, axis=1), "registered_name": "Repeat"}
    config = sequential()
    config["class_name"] = config["registered_name"] = "Functional"
    first = {**config["config"]["layers"][0], "inbound_nodes": []}
    node = {"args": [constant], "kwargs": {}}
    config["config"] |= {
        "layers": [first, {**repeated, "inbound_nodes": [node]}],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["y", 0, 0]],
    }
    keras_3(path, config)


@hostile("assets.keras")
def assets(path: Path, mark: Path) -> None:
    keras_3(path, sequential(), **{"assets/../../escaped": b"text"})


@hostile("grows.keras")
def grows_keras(path: Path, mark: Path) -> None:
    members = {"config.json": json.dumps(sequential()).encode(), "model.weights.h5": bytes(1 << 28)}
    zipped(path, members, zipfile.ZIP_DEFLATED)


@hostile("deep.keras")
def deep(path: Path, mark: Path) -> None:
    nested: Any = []
    for _ in range(900):
        nested = [nested]
    keras_3(path, sequential(layer("Dense", units=nested)))


@hostile("link_to_a_file.keras")
def link_to_a_file(path: Path, mark: Path) -> None:
    import h5py

    (other := path.with_name("other_weights.h5")).write_bytes(hdf5())

    def fill(file: Any) -> None:
        file["layers"] = h5py.ExternalLink(str(other), "/")

    keras_3(path, sequential(layer("Dense", units=1)), hdf5(fill))


@hostile("writes.keras")
def writes_keras(path: Path, mark: Path) -> None:
    keras_3(path, {"module": "tf_keras.src.engine.functional", "registered_name": "Functional", **_writing(mark)})


@hostile("module_of_keras_2.keras")
def module_of_keras_2(path: Path, mark: Path) -> None:
    config = functional_2(layer("system", "os", command=f"touch {mark}"), [["x", 0, 0, {}]])
    keras_3(path, {"module": "tf_keras.src.engine.functional", "registered_name": "Functional", **config})


def _writing(mark: Path, function: str = "io.write_file", layer_class: str = "TFOpLambda") -> Config:
    """Return a model of Keras 2 that writes the mark while it is built."""
    made = layer(layer_class, None, function=function, trainable=True, dtype="float32")
    return functional_2(made, ["_CONSTANT_VALUE", -1, str(mark), {"contents": "echo what the stranger likes\n"}])


def keras_2(path: Path, config: Config, fill: Callable[[Any], None] = lambda file: None) -> None:
    """Write one HDF5 file of Keras 2."""
    path.write_bytes(hdf5(fill, config))


@hostile("writes.h5")
def writes(path: Path, mark: Path) -> None:
    keras_2(path, _writing(mark))


@hostile("writes_while_slicing.h5")
def writes_while_slicing(path: Path, mark: Path) -> None:
    keras_2(path, _writing(mark, layer_class="SlicingOpLambda"))


@hostile("writes_by_an_alias.h5")
def writes_by_an_alias(path: Path, mark: Path) -> None:
    keras_2(path, _writing(mark, "compat.v1.write_file"))


@hostile("writes_within.h5")
def writes_within(path: Path, mark: Path) -> None:
    inner = {**_writing(mark), "name": "y"}
    keras_2(path, functional_2(inner, [["x", 0, 0, {}]]))


@hostile("runs_python.h5")
def runs_python(path: Path, mark: Path) -> None:
    keras_2(path, _writing(mark, "py_function"))


@hostile("class_method.h5")
def class_method(path: Path, mark: Path) -> None:
    made = layer("ClassMethod", None, cls_symbol="io.TFRecordWriter", method_name="__new__")
    keras_2(path, functional_2(made, [["x", 0, 0, {}]]))


@hostile("node_of_tensorflow.h5")
def node_of_tensorflow(path: Path, mark: Path) -> None:
    made = layer("TensorFlowOpLayer", None, node_def='name: "y" op: "WriteFile"', constants={"0": str(mark)})
    keras_2(path, functional_2(made, [["x", 0, 0, {}]]))


@hostile("lambda.h5")
def lambda_of_keras_2(path: Path, mark: Path) -> None:
    made = layer("Lambda", None, function=["4wAAAAA=", None, None], function_type="lambda")
    keras_2(path, functional_2(made, [["x", 0, 0, {}]]))


@hostile("initialiser.h5")
def initialiser(path: Path, mark: Path) -> None:
    made = layer("Dense", None, units=1, kernel_initializer={"class_name": "load_model", "config": {"filepath": "x"}})
    keras_2(path, functional_2(made, [["x", 0, 0, {}]]))


@hostile("weights_of_gigabytes.h5")
def weights_of_gigabytes_2(path: Path, mark: Path) -> None:
    keras_2(path, functional_2(layer("Dense", None, units=1 << 34), [["x", 0, 0, {}]]))


def weights_in(made: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return what fills the weights of a layer called y."""

    def fill(file: Any) -> None:
        group = file["model_weights"]
        group.attrs["layer_names"] = [b"y"]
        inner = group.create_group("y")
        inner.attrs["weight_names"] = [b"y/kernel:0"]
        made(inner)

    return fill


DENSE = functional_2(layer("Dense", None, units=1, use_bias=False), [["x", 0, 0, {}]])


@hostile("values_of_another_file.h5")
def values_of_another_file(path: Path, mark: Path) -> None:
    def made(group: Any) -> None:
        group.create_dataset("y/kernel:0", (4, 1), "f4", external=[("/etc/passwd", 0, 16)])

    keras_2(path, DENSE, weights_in(made))


@hostile("link_to_another_file.h5")
def link_to_another_file(path: Path, mark: Path) -> None:
    import h5py

    def made(group: Any) -> None:
        group["y"] = h5py.ExternalLink("/etc/passwd", "/kernel")

    keras_2(path, DENSE, weights_in(made))


@hostile("values_of_many_files.h5")
def values_of_many_files(path: Path, mark: Path) -> None:
    import h5py

    def made(group: Any) -> None:
        layout = h5py.VirtualLayout((4, 1), "f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "kernel", (4, 1))
        group.create_virtual_dataset("y/kernel:0", layout)

    keras_2(path, DENSE, weights_in(made))


@hostile("grows.h5")
def grows_2(path: Path, mark: Path) -> None:
    import numpy as np

    def made(group: Any) -> None:
        group.create_dataset("y/kernel:0", data=np.zeros((1 << 25, 1), "f4"), compression="gzip")

    keras_2(path, DENSE, weights_in(made))


@hostile("values_of_a_petabyte.h5")
def values_of_a_petabyte(path: Path, mark: Path) -> None:
    def made(group: Any) -> None:
        group.create_dataset("y/kernel:0", (1 << 48, 1), "f4", chunks=(1 << 10, 1))

    keras_2(path, DENSE, weights_in(made))


@hostile("groups_in_a_circle.h5")
def groups_in_a_circle(path: Path, mark: Path) -> None:
    def made(group: Any) -> None:
        group["y"] = group

    keras_2(path, DENSE, weights_in(made))


@honest("honest.keras")
def honest_keras(path: Path, mark: Path) -> None:
    import keras

    inputs = keras.Input((20, 4))
    keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(inputs))).save(path)


@honest("honest.h5")
def honest_keras_2(path: Path, mark: Path) -> None:
    def made(group: Any) -> None:
        group.create_dataset("y/kernel:0", data=[[1.0]] * 4, dtype="f4")

    keras_2(path, DENSE, weights_in(made))


def write_all(folder: Path) -> list[Path]:
    """Write every file, with a mark that is called ``mark`` beside the folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder.resolve().with_name("mark")
    for name, maker in FILES.items():
        maker(folder / name, mark)
    return [folder / name for name in FILES]


def files_below(folder: Path) -> set[str]:
    """Return the paths of all files and folders within a folder."""
    return {str(path) for path in folder.rglob("*")}


def open_all(folder: Path) -> Iterator[dict[str, Any]]:
    """Write every file, open it with two gigabytes of memory, and yield what came of each.

    The honest files of `honest` come first; what they take, such as the imports of the frameworks, does not count.
    """
    import resource

    from attribution_bench.errors import AttributionBenchError

    write_all(folder)
    everything = folder.resolve().parent
    for name, maker in HONEST.items():
        maker(folder / name, folder)
        READERS[Path(name).suffix](folder / name)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (2 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for name in FILES:
        before, start = files_below(everything), time.perf_counter()
        try:
            READERS[Path(name).suffix](folder / name)
            outcome = "opened"
        except AttributionBenchError as error:
            outcome = f"refused: {error}"
        except BaseException as error:  # what the test is about
            outcome = f"{type(error).__name__}: {error}"
        new = sorted(files_below(everything) - before)
        yield {"name": name, "outcome": outcome, "new": new, "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    *options, target = sys.argv[1:] or [""]
    if not target or options not in ([], ["--open"]):
        sys.exit(f"usage: python {sys.argv[0]} [--open] FOLDER")
    if options:
        for found in open_all(Path(target)):
            print(json.dumps(found), flush=True)
    else:
        print(f"wrote {len(write_all(Path(target)))} files")
