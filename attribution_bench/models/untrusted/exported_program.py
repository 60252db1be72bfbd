"""The program in a torch.export file: a graph of operators in JSON, read by its grammar and written anew.

PyTorch turns the program into Python code, in which names of the file become names of variables, and evaluates sizes
and conditions. So names are names, texts have no quotes, sizes and conditions are compared with the forms that they
have, and operators with those that compute. What the program does not need to run is left out.
"""

import functools
import json
import keyword
from typing import Any

import torch

from attribution_bench.models.untrusted.expressions import condition, size_expression
from attribution_bench.models.untrusted.grammar import (
    Check,
    always,
    boolean,
    either,
    listed,
    mapped,
    matching,
    nothing,
    number,
    parsed,
    record,
    union,
    whole,
)  # fmt: skip
from attribution_bench.models.untrusted.operators import WITH_GRAPHS, check_operator
from attribution_bench.models.untrusted.refused import Refused, shown

LARGEST = 1 << 63
IDENTIFIER = matching(r"[A-Za-z_][A-Za-z0-9_]{0,1000}", "name of a variable")
DOTTED = matching(r"[\w.\-/:+@ ]{0,1000}", "path of a parameter")
KEY = matching(r"[\w.\-/ :;,+*@#%&|=<>()\[\]]{0,200}", "plain key of a dictionary of tensors, without quotes")
TEXT = matching(r"[\w.,:;+\-*/<>=()\[\] ]{0,1000}", "text without quotes")
MESSAGE = matching(r"[^\x00-\x08\x0b-\x1f\x7f]{0,4000}", "text without control characters")
SYMBOL = matching(r"[a-z]\w{0,3}?\d{1,6}", "symbol of a size")
DIMENSION = whole(-LARGEST, LARGEST)
DTYPE, LAYOUT, MEMORY_FORMAT = whole(1, 64), whole(1, 7), whole(1, 4)
VERIFIER = matching(r"TRAINING|ATEN", "dialect of the graphs of models")
CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")


def name(value: Any) -> str:
    """Describe the name of a value, which becomes a variable of Python code."""
    text: str = IDENTIFIER(value)
    if keyword.iskeyword(text):
        raise Refused(f"{shown(text)} is a word of Python, and no name of a variable")
    return text


@functools.cache
def _taken() -> tuple[frozenset[str], frozenset[str]]:
    """Return the attributes of the module of a program, and those of modules in it, which no parameter may replace."""
    inner = torch.nn.Module()
    return frozenset(dir(torch.fx.GraphModule(inner, torch.fx.Graph()))), frozenset(dir(inner))


def path(value: Any) -> str:
    """Describe the path of a parameter, buffer or constant, which PyTorch follows from attribute to attribute."""
    text: str = DOTTED(value)
    first, *others = text.split(".")
    of_program, of_modules = _taken()
    if first in of_program or any(part.startswith("__") or part in of_modules for part in (first, *others)):
        raise Refused(f"{shown(text)} is a path to something of PyTorch's own, and none of a parameter")
    return text


def _arguments(value: Any) -> str:
    """Describe how arguments are nested: those with names are the second of two parts, and become Python code."""
    text = _results(value)
    parts = json.loads(text)[1]["children_spec"]
    if len(parts) == 2 and parts[1]["type"] == "builtins.dict":
        for key in json.loads(parts[1]["context"]):
            name(key)
    return text


def _results(value: Any) -> str:
    """Describe how results are nested, a text of JSON in itself."""
    if not isinstance(value, str):
        raise Refused(f"{shown(value)} stands where the nesting of arguments should")
    document = parsed(value.encode())
    if not isinstance(document, list) or len(document) != 2 or document[0] != 1:
        raise Refused("the nesting of its arguments is written in a format that this reader does not know")
    return json.dumps([1, _container(document[1])])


def _container(value: Any) -> dict[str, Any]:
    fields = CONTAINER(value)
    kind, context = fields["type"], fields["context"]
    children = [_container(child) for child in fields["children_spec"]]
    if kind is not None:
        # Keys of a dictionary become names of arguments or stand in quotes.
        keys = either(nothing, listed(either(DIMENSION, KEY)))(None if context is None else parsed(context.encode()))
        if (keys is None) is ("ict" in kind):
            raise Refused("the nesting of its arguments states keys where there are none, or none where there are")
        context = json.dumps(keys)
    elif context is not None or children:
        raise Refused("the nesting of its arguments states parts of a single value")
    return {"type": kind, "context": context, "children_spec": children}


CONTAINER = record({
    "type": either(nothing, matching("|".join(CONTAINERS).replace(".", r"\."), "plain container of tensors")),
    "context": either(nothing, matching(r"(?s).{0,100000}", "text")),
    "children_spec": listed(lambda child: child),
})  # fmt: skip

SIZE_TEXT = record(
    {"expr_str": size_expression},
    {"hint": either(nothing, union({"as_int": DIMENSION, "as_bool": boolean, "as_float": number}))},
)
SIZE = union({"as_expr": SIZE_TEXT, "as_int": DIMENSION})
DEVICE = record({"type": matching(r"cpu|cuda|mps|xpu|meta", "device")}, {"index": either(nothing, whole(0, 1000))})
TENSOR_META = record({
    "dtype": DTYPE, "sizes": listed(SIZE), "requires_grad": boolean, "device": DEVICE, "strides": listed(SIZE),
    "storage_offset": SIZE, "layout": LAYOUT,
})  # fmt: skip
TENSOR = record({"name": name})
SIZE_ARGUMENT = union({"as_name": name, "as_int": DIMENSION})
NUMBER_ARGUMENT = union({"as_name": name, "as_float": number})
TRUTH_ARGUMENT = union({"as_name": name, "as_bool": boolean})
OPTIONAL_TENSOR = union({"as_tensor": TENSOR, "as_none": boolean})


def _argument(text: Check) -> dict[str, Check]:
    """Return the kinds of values, without graphs; ``text`` says which texts there may be."""
    return {
        "as_none": boolean, "as_tensor": TENSOR, "as_tensors": listed(TENSOR), "as_int": DIMENSION,
        "as_ints": listed(DIMENSION), "as_float": number, "as_floats": listed(number), "as_string": text,
        "as_strings": listed(text), "as_sym_int": SIZE_ARGUMENT, "as_sym_ints": listed(SIZE_ARGUMENT),
        "as_scalar_type": DTYPE, "as_memory_format": MEMORY_FORMAT, "as_layout": LAYOUT, "as_device": DEVICE,
        "as_bool": boolean, "as_bools": listed(boolean), "as_sym_bool": TRUTH_ARGUMENT,
        "as_sym_bools": listed(TRUTH_ARGUMENT), "as_optional_tensors": listed(OPTIONAL_TENSOR),
        "as_optional_tensor": OPTIONAL_TENSOR, "as_sym_float": NUMBER_ARGUMENT,
        "as_sym_floats": listed(NUMBER_ARGUMENT), "as_complex": record({"real": number, "imag": number}),
        "as_nested_tensors": listed(listed(TENSOR)), "as_int_lists": listed(listed(DIMENSION)),
        "as_float_lists": listed(listed(number)),
    }  # fmt: skip


VALUE = union(_argument(TEXT))


def _graph(value: Any) -> Any:
    return GRAPH(value)


IN_CALL = union({**_argument(MESSAGE), "as_graph": record({"name": name, "graph": _graph})})


def _node(value: Any) -> dict[str, Any]:
    """Describe a call of an operator."""
    node: dict[str, Any] = NODE(value)
    check_operator(node["target"])
    if any("as_graph" in part["arg"] for part in node["inputs"]) and node["target"] not in WITH_GRAPHS:
        raise Refused(f"its graph gives a graph to {shown(node['target'])}")
    return node


NODE = record(
    {
        "target": matching(r"[\w.]{1,200}", "name of an operator"),
        "inputs": listed(record(
            {"name": either(matching("", "empty name"), IDENTIFIER), "arg": IN_CALL},
            {"kind": either(nothing, whole(0, 2))},
        )),
        "outputs": listed(VALUE),
        # Where the call stood in the author's code. PyTorch would look up names of this.
        "metadata": always({}),
    },
    {"is_hop_single_tensor_return": either(nothing, boolean), "name": either(nothing, name)},
)  # fmt: skip
GRAPH = record(
    {
        "inputs": listed(VALUE), "outputs": listed(VALUE), "nodes": listed(_node),
        "tensor_values": mapped(name, TENSOR_META), "sym_int_values": mapped(name, SIZE),
        "sym_bool_values": mapped(name, union({"as_expr": SIZE_TEXT, "as_bool": boolean})),
    },
    {
        "is_single_tensor_return": boolean,
        "custom_obj_values": record({}),
        "sym_float_values": mapped(name, union({"as_expr": SIZE_TEXT, "as_float": number})),
    },
)  # fmt: skip
CONSTANT = union({
    "as_none": boolean, "as_int": DIMENSION, "as_float": number, "as_string": TEXT, "as_bool": boolean,
})  # fmt: skip
INPUT = union({
    "user_input": record({"arg": VALUE}),
    "parameter": record({"arg": TENSOR, "parameter_name": path}),
    "buffer": record({"arg": TENSOR, "buffer_name": path, "persistent": boolean}),
    "tensor_constant": record({"arg": TENSOR, "tensor_constant_name": path}),
    "constant_input": record({"name": name, "value": CONSTANT}),
})  # fmt: skip
OUTPUT = union({
    "user_output": record({"arg": VALUE}),
    "buffer_mutation": record({"arg": TENSOR, "buffer_name": path}),
    "user_input_mutation": record({"arg": TENSOR, "user_input_name": name}),
    "parameter_mutation": record({"arg": TENSOR, "parameter_name": path}),
})  # fmt: skip
CALL = record({
    "fqn": matching("", "call of the whole model"),
    "signature": record(
        {"inputs": listed(VALUE), "outputs": listed(VALUE), "in_spec": _arguments, "out_spec": _results},
        {"forward_arg_names": either(nothing, listed(name))},
    ),
})  # fmt: skip


def _calls(value: Any) -> list[Any]:
    """Describe how the model is called; how its parts were called is left out."""
    if not isinstance(value, list) or not value:
        raise Refused("it does not state how its model is called")
    return [CALL(value[0])]


PROGRAM = record(
    {
        "graph_module": record(
            {
                "graph": GRAPH,
                "signature": record({"input_specs": listed(INPUT), "output_specs": listed(OUTPUT)}),
                "module_call_graph": _calls,
            },
            {"metadata": always({}), "treespec_namedtuple_fields": always({})},
        ),
        "opset_version": mapped(matching(r"\w{1,100}", "name of operators"), whole(0, 1000)),
        "range_constraints": mapped(
            SYMBOL,
            record({"min_val": either(nothing, DIMENSION), "max_val": either(nothing, DIMENSION)}),
        ),
        "schema_version": record({"major": whole(0, 1000), "minor": whole(0, 1000)}),
    },
    {
        "verifiers": listed(VERIFIER),
        "verifier": VERIFIER,
        "dialect": VERIFIER,
        "torch_version": matching(r"[\w.+<>=\-]{1,100}", "version"),
        "guards_code": listed(condition),
    },
)  # fmt: skip


def checked_program(content: bytes) -> bytes:
    """Return the program as PyTorch may read it.

    Raises
    ------
    Refused
        It holds something that is not known to be harmless.
    """
    try:
        return json.dumps(PROGRAM(parsed(content))).encode()
    except RecursionError as error:
        raise Refused("its program is nested too deeply") from error
