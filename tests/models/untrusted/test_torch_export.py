"""Files of torch.export: honest models compute what they did, and operators are told by what they do."""

import io
import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import hostile_files
from attribution_bench.errors import ModelError
from attribution_bench.models.model_files import read_exported
from attribution_bench.models.untrusted.expressions import condition, size_expression
from attribution_bench.models.untrusted.operators import check_operator
from attribution_bench.models.untrusted.refused import Refused
from attribution_bench.models.untrusted.tensor_pickle import read_tensors
from attribution_bench.models.untrusted.words import words

# PyTorch warns of its own code while it exports.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The tensor attributes self:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:No complete tensor found in the group:UserWarning"),
]

LENGTH = 20
BATCH = torch.export.Dim("batch", max=512)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(6, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.gru(self.lstm(x.transpose(1, 2))[0])[0].mean(1)
        return y


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv1d(4, 8, 5, padding="same")
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 1)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.norm(self.encoder(self.embed(x).transpose(1, 2)))
        z = nn.functional.scaled_dot_product_attention(y, y, y).topk(3, dim=1).values
        return {"profile": y[:, :, 0].softmax(1), "count": z.logsumexp((1, 2))[:, None]}


class Remembering(nn.Module):
    """Counts its calls in a buffer, and has constants of other kinds, a shared and a repeated tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({"my-conv": nn.Conv1d(4, 8, 5), "norm": nn.BatchNorm1d(8)})
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mask", torch.ones(1, 1).expand(8, 8))
        self.register_buffer("scale", torch.rand(8, 1), persistent=False)
        self.constant = torch.arange(8.0).bfloat16()
        self.first = nn.Linear(8, 8)
        self.second = self.first

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        y = nn.functional.silu(self.layers["norm"](self.layers["my-conv"](x)), inplace=True) * self.scale
        z = self.second(self.first(y.amax(2))) @ self.mask * self.constant
        return z, self.calls.clone()[None]


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kinds = nn.Embedding(5, 4)

    def forward(self, x: Tensor, *extras: Tensor, gain: Tensor) -> Tensor:
        with torch.no_grad():
            spread = x.std()
        return (x * self.kinds(extras[0])[:, :, None]).sum((1, 2))[:, None] * gain + extras[1] * spread


class Choosing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.cond(x.sum() > 0, lambda t: t.sin(), lambda t: t.cos(), (x,))
        half = x.shape[2] // 2
        return nn.functional.interpolate(nn.functional.pad(y, (1, 1), mode="reflect"), size=half, mode="linear")


class Naming(nn.Module):
    """Parts and outputs under names that mean something elsewhere, or hold signs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleDict({"graph": nn.Conv1d(4, 3, 3), "code": nn.Linear(3, 2), "meta": nn.Linear(3, 1)})

    def forward(self, x: Tensor) -> dict[str, Any]:
        h = self.body["graph"](x).mean(2)
        return {"HepG2:ATAC (log2)": self.body["code"](h), "K562/H3K4me3; >0.5": [self.body["meta"](h), h]}


X = torch.rand(3, 4, LENGTH, generator=torch.Generator().manual_seed(1))
KINDS = torch.tensor([0, 4, 2])
HONEST: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...], dict[str, Tensor]]] = {
    "recurrent": (Recurrent, (X,), {}),
    "attending": (Attending, (X,), {}),
    "remembering": (Remembering, (X,), {}),
    "several": (Several, (X, KINDS, torch.ones(1)), {"gain": torch.tensor([[2.0]])}),
    "choosing": (Choosing, (X,), {}),
    "naming": (Naming, (X,), {}),
}


def save(name: str, path: Path, decomposed: bool) -> tuple[nn.Module, Any, Any]:
    make, arguments, keywords = HONEST[name]
    torch.manual_seed(0)
    module = make().eval()
    rows = {0: BATCH}
    shapes: Any = ({0: BATCH},) if len(arguments) == 1 else {"x": rows, "extras": (rows, None), "gain": None}
    program = torch.export.export(module, arguments, keywords, dynamic_shapes=shapes)
    torch.export.save(program.run_decompositions() if decomposed else program, path)
    return module, arguments, keywords


# PyTorch takes seconds to load the thousand operators of an LSTM that is decomposed.
@pytest.mark.parametrize(
    ("name", "decomposed"),
    [
        (name, decomposed)
        for name in HONEST
        for decomposed in (False, True)
        if (name, decomposed) != ("recurrent", True)
    ],
)
def test_an_honest_file_computes_what_its_model_did(name: str, decomposed: bool, tmp_path: Path) -> None:
    module, arguments, keywords = save(name, tmp_path / "model.pt2", decomposed)
    opened = read_exported(tmp_path / "model.pt2").program
    for count in (3, 2):
        inputs = [value[:count] if len(value) == 3 else value for value in arguments]
        expected, found = module(*inputs, **keywords), opened(*inputs, **keywords)
        assert type(found) is type(expected)
        torch.testing.assert_close(tree_leaves(found), tree_leaves(expected), rtol=1e-5, atol=1e-6)
    theirs, ours = dict(module.state_dict()), dict(opened.state_dict())
    assert {key: (ours[key].dtype, ours[key].tolist()) for key in theirs} == {
        key: (value.dtype, value.tolist()) for key, value in theirs.items()
    }


def test_inputs_that_the_model_was_not_exported_for_are_told(tmp_path: Path) -> None:
    save("attending", tmp_path / "model.pt2", False)
    opened = read_exported(tmp_path / "model.pt2")
    with pytest.raises(ModelError, match=r"exported for x of the shape \(any, 4, 20\), not \(3, 4, 12\).*--length 20 "):
        opened(X[:, :, :12])


@pytest.mark.parametrize("axes", [(0,), (0, 2)], ids=str)
def test_marks_on_the_tensors_of_the_example_are_left_out(axes: tuple[int, ...], tmp_path: Path) -> None:
    """What is exported with Dim.DYNAMIC holds its example with attributes."""
    module, x = nn.Sequential(nn.Conv1d(4, 3, 3), nn.AdaptiveAvgPool1d(1)).eval(), X.clone()
    program = torch.export.export(module, (x,), dynamic_shapes=(dict.fromkeys(axes, torch.export.Dim.DYNAMIC),))
    assert vars(x)
    torch.export.save(program, tmp_path / "model.pt2")
    opened = read_exported(tmp_path / "model.pt2")
    assert opened.input_shapes == (tuple(None if axis in axes else size for axis, size in enumerate(X.shape)),)
    torch.testing.assert_close(opened(X[:2]), module(X[:2]))


class Rebuilt:
    """Pickled as a tensor with attributes, which other things than a tensor's own function and class are to make."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __reduce__(self) -> Any:
        return torch._tensor._rebuild_from_type_v2, self.arguments


@pytest.mark.parametrize(
    "arguments",
    [
        (print, torch.Tensor, ("a",), {}),
        (OrderedDict, torch.Tensor, ([],), {}),
        (torch._utils._rebuild_tensor_v2, OrderedDict, (), {}),
        (torch._utils._rebuild_tensor_v2, torch.Tensor, (1, 2), {}),
        (torch.Tensor, torch.Tensor, (), {}),
        (Rebuilt(OrderedDict, torch.Tensor, (), {}), torch.Tensor, (), {}),
    ],
    ids=["function", "dictionary", "class", "arguments", "tensor", "nested"],
)
def test_marked_tensors_are_made_of_descriptions_alone(arguments: tuple[Any, ...], tmp_path: Path) -> None:
    torch.save(((Rebuilt(*arguments),), {}), tmp_path / "inputs.pt")
    with pytest.raises(Refused):
        read_tensors((tmp_path / "inputs.pt").read_bytes())


def test_ranges_that_the_model_was_exported_for_are_told(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv1d(4, 3, 3), nn.AdaptiveAvgPool1d(1))
    free = {0: BATCH, 2: torch.export.Dim("length", min=10, max=50)}
    torch.export.save(torch.export.export(module, (X,), dynamic_shapes=(free,)), tmp_path / "model.pt2")
    with pytest.raises(ModelError, match=r"not exported for inputs of the shapes \(3, 4, 5\).*>= 10"):
        read_exported(tmp_path / "model.pt2")(X[:, :, :5])


def older(path: Path, program: torch.export.ExportedProgram, layout: str) -> None:
    """Write a file as PyTorch 2.6 and 2.8 laid it out, with what those pickled pickled."""
    from torch._export.serde.serialize import serialize

    parts = serialize(program)
    if layout == "2.6":
        members = {
            "version": b"8.2",
            "serialized_exported_program.json": parts.exported_program,
            "serialized_state_dict.pt": parts.state_dict,
            "serialized_constants.pt": parts.constants,
            "serialized_example_inputs.pt": parts.example_inputs,
            "extra_files/note.txt": b"a note",
        }
    else:
        members = {
            "model/archive_format": b"pt2",
            "model/archive_version": b"0",
            "model/models/model.json": parts.exported_program,
            "model/data/weights/model.pt": parts.state_dict,
            "model/data/constants/model.pt": parts.constants,
            "model/data/sample_inputs/model.pt": parts.example_inputs,
            "model/extra/note.txt": b"a note",
        }
    hostile_files.zipped(path, members)


@pytest.mark.parametrize("layout", ["2.6", "2.8"])
@pytest.mark.filterwarnings("ignore:This version of file is deprecated")
def test_older_layouts_are_read(layout: str, tmp_path: Path) -> None:
    module = Remembering().eval()
    program = torch.export.export(module, (X,), dynamic_shapes=({0: BATCH},))
    older(tmp_path / "old.pt2", program, layout)
    opened = read_exported(tmp_path / "old.pt2")
    torch.testing.assert_close(opened(X[:2]), module(X[:2]))
    assert {name for name, _ in opened.program.named_parameters()} >= {"first.weight", "layers.my-conv.weight"}


def test_opening_a_file_runs_nothing_on_its_buffers(tmp_path: Path) -> None:
    save("remembering", tmp_path / "model.pt2", False)
    assert read_exported(tmp_path / "model.pt2").program.get_buffer("calls") == 0


@pytest.mark.parametrize(
    ("place", "operator"),
    [(0, "torch.sym_not"), (4, "torch.ops.aten.bincount.default"), (5, "torch.ops.aten.mm.default")],
)
def test_a_program_that_fails_prints_nothing_when_it_is_opened(
    place: int, operator: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = json.loads(hostile_files.exported()[hostile_files.PROGRAM])
    program["graph_module"]["graph"]["nodes"][place]["target"] = operator
    changed = {hostile_files.PROGRAM: json.dumps(program).encode()}
    hostile_files.zipped(tmp_path / "failing.pt2", {**hostile_files.exported(), **changed})
    read_exported(tmp_path / "failing.pt2")
    assert capfd.readouterr() == ("", "")


def test_fields_of_a_newer_format_are_named(tmp_path: Path) -> None:
    program = json.loads(hostile_files.exported()[hostile_files.PROGRAM])
    program["graph_module"]["streams"] = []
    changed = {hostile_files.PROGRAM: json.dumps(program).encode()}
    hostile_files.zipped(tmp_path / "newer.pt2", {**hostile_files.exported(), **changed})
    with pytest.raises(ModelError, match="the field 'streams', which this reader does not know"):
        read_exported(tmp_path / "newer.pt2")


def test_an_archive_within_an_archive_is_not_taken_for_it(tmp_path: Path) -> None:
    hostile_files.zipped(tmp_path / "inner.pt2", hostile_files.exported())
    inner = (tmp_path / "inner.pt2").read_bytes()
    for content, reason in ((b"text" + inner, "no zip archive"), (inner + b"text", "before or after it")):
        (tmp_path / "outer.pt2").write_bytes(content)
        with pytest.raises(ModelError, match=reason):
            read_exported(tmp_path / "outer.pt2")


@pytest.mark.parametrize("names", [("a", "A"), ("a", "a"), ("ß", "SS"), ("extra/é", "extra/É")])
def test_members_of_one_name_are_refused(names: tuple[str, str], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "twice.pt2", "w") as archive:
        for name in names:
            archive.NameToInfo.pop(name, None)
            archive.writestr(name, b"")
    with pytest.raises(ModelError, match="one for the other"):
        read_exported(tmp_path / "twice.pt2")


def overloads(core: bool = False) -> list[str]:
    """Return every operator of ATen, or those that PyTorch calls the core."""
    found = []
    for full in torch._C._dispatch_get_all_op_names():
        namespace, _, name = full.partition("::")
        name, _, overload = name.partition(".")
        overload = overload or "default"
        if namespace == "aten":
            operator = getattr(getattr(torch.ops.aten, name), overload)
            if not core or torch.Tag.core in operator.tags:
                found.append(f"{name}.{overload}")
    return found


def admitted(name: str) -> bool:
    try:
        check_operator(f"torch.ops.aten.{name}")
    except Refused:
        return False
    return True


def test_operators_of_the_core_pass_and_those_of_other_kinds_do_not() -> None:
    core = {name for name in overloads(core=True) if not admitted(name)}
    assert {name for name in core if "_backward" not in name} == {"resize_.default", "atan2.out"}
    refused = words(
        """
        from_file.default from_file.out _print.default record_stream.default set_.source_Storage set_.source_Tensor
        set_data.default resize_.default requires_grad_.default retain_grad.default pin_memory.default
        _backward.default _cufft_set_plan_cache_max_size.default _fused_adam_.default add.out
        _nnpack_available.default _sparse_coo_tensor_unsafe.default sparse_csr_tensor.crow_col_value
        quantized_lstm.input _resize_output_.default _test_string_default.default _cslt_compress.default
        """
    )
    assert refused <= set(overloads())
    assert not [name for name in refused if admitted(name)]
    texts = {name for name in overloads() if admitted(name) and "file" in name.lower()}
    assert not texts


@pytest.mark.parametrize(
    "target",
    [
        "torch.serialization.os.system",
        "torch.load",
        "torch.hub.load",
        "torch.ops.load_library",
        "torch.ops.aten",
        "torch.ops.aten.add",
        "torch.ops.aten.add.default.__call__",
        "torch.ops.profiler._record_function_enter.default",
        "torch.ops.higher_order.print",
        "torch.ops.higher_order.call_torchbind",
        "torch.ops.higher_order.triton_kernel_wrapper_functional",
        "torch.ops.higher_order.auto_functionalized",
        "_operator.attrgetter",
        "_operator.methodcaller",
        "math.os",
        "#anything:else",
        "builtins.eval",
        "",
    ],
)
def test_what_is_no_operator_on_tensors_is_refused(target: str) -> None:
    with pytest.raises(Refused):
        check_operator(target)


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("L['x'].size()[2] >= 8", True),
        ("Eq(Mod(L['args'][0].size()[2], 2), 0)", True),
        ("L['x']['my-key'].stride()[0] == 4*L['x'].size()[1]", True),
        ("not (L['x'].size()[0] <= 2 and L['x'].size()[1] > 3)", True),
        ("L['x'].size()", True),
        ("print(1)", False),
        ("L['x'].size(open('x'))", False),
        ("L['x'].__class__", False),
        ("L['x'].numpy()", False),
        ('L["it\'s"].size()[0] == 1', False),
        ("L['x'] == 'text'", False),
        ("L", False),
        ("__import__('os')", False),
        ("[L['x'] for x in range(9)]", False),
        ("(lambda: 1)()", False),
        ("L['x'].size()[0] == 9**9**9", False),
        ("1\nimport os", False),
    ],
)
def test_conditions_compare_sizes_of_inputs_and_nothing_else(text: str, fine: bool) -> None:
    if fine:
        assert condition(text)
    else:
        with pytest.raises(Refused):
            condition(text)


@pytest.mark.parametrize("text", ["Pow(Integer(2), Integer(70))", "9**99", "Mul(" + "9" * 400 + ", 3)" * 1])
def test_sizes_stay_small_enough_to_be_computed(text: str) -> None:
    for _ in range(12):
        text = f"Pow({text}, Integer(8))"
    with pytest.raises(Refused, match=r"large a number|no small number"):
        size_expression(text)


def test_tensors_are_read_as_torch_load_reads_them() -> None:
    from attribution_bench.models.untrusted.tensor_pickle import read_tensors

    base = torch.arange(24.0).reshape(4, 6)
    state = nn.Linear(3, 2).state_dict()
    value = {
        "base": base,
        "view": base[1:, ::2].t(),
        "parameter": nn.Parameter(torch.rand(2, 2)),
        "state": state,
        "kinds": [torch.tensor(3, dtype=kind) for kind in (torch.int8, torch.uint8, torch.bool, torch.bfloat16)],
        "empty": (torch.zeros(0, 3), None, 1.5, True, "text", {1: torch.ones(2, dtype=torch.complex64)}),
    }
    file = io.BytesIO()
    torch.save(value, file)
    found, expected = read_tensors(file.getvalue()), torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    assert list(found) == list(expected)
    torch.testing.assert_close(tree_leaves(found["state"]), tree_leaves(dict(expected["state"])))
    for key in set(value) - {"state"}:
        ours, theirs = tree_leaves(found[key]), tree_leaves(expected[key])
        for one, other in zip(ours, theirs, strict=True):
            assert (
                torch.equal(one, other) and one.stride() == other.stride() if isinstance(one, Tensor) else one == other
            )
    assert isinstance(found["parameter"], nn.Parameter)
    assert found["view"].untyped_storage().data_ptr() == found["base"].untyped_storage().data_ptr()
