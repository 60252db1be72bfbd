"""Decomposition at once gives the programs that PyTorch's own, by a second trace, gives."""

import hashlib
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

import attribution_bench as ab
from attribution_bench.models.decomposition import REPLACEMENTS, UNCHANGED, decomposed_at_once
from attribution_bench.models.export import module_path
from fastism_models import Custom, chain
from real_architectures import SpliceAIBlock

LENGTH = 40


def everything() -> nn.Module:
    """Return a model that has all operators of `UNCHANGED`."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = torch.cat([m.one(x).relu(), m.two(x).sigmoid()], 1)
        x = F.gelu(F.avg_pool1d(F.max_pool1d(m.norm(x), 2), 2)) * 3 - x[:, :, ::4].exp() + m.other(x)[:, :, 1::4].tanh()
        x = m.up(x).softmax(1)
        y: Tensor = m.head(F.dropout(x, 0.3, m.training).flatten(1)) + x.mean(-1) + x.sum((2,)) + m.bias
        return y

    module = Custom(
        forward,
        one=nn.Conv1d(4, 3, 5, padding="same"),
        two=nn.Conv1d(4, 3, 3, padding=1),
        norm=nn.BatchNorm1d(6),
        other=nn.Conv1d(6, 6, 1),
        up=nn.ConvTranspose1d(6, 5, 3, stride=2),
        head=nn.Linear(5 * 21, 5),
    )
    module.bias = nn.Parameter(torch.ones(5))
    return module


def splicing() -> nn.Module:
    """Return a small SpliceAI."""
    return chain(nn.Conv1d(4, 8, 1), SpliceAIBlock(8, 3, 2), SpliceAIBlock(8, 5, 1), nn.Conv1d(8, 3, 1), nn.Softmax(1))


SIMPLE: dict[str, Callable[[], nn.Module]] = {
    "a norm that is an output": lambda: chain(nn.Conv1d(4, 3, 3), nn.BatchNorm1d(3)),
    "a norm without weights": lambda: chain(nn.Conv1d(4, 3, 3), nn.BatchNorm1d(3, affine=False), nn.ReLU()),
    "flattened as an output": lambda: chain(nn.Conv1d(4, 3, 3), nn.Flatten()),
    "everything": everything,
    "SpliceAI": splicing,
    "dropouts and flattened features": lambda: chain(
        nn.Conv1d(4, 3, 3), nn.ReLU(), nn.Dropout(0.2), nn.MaxPool1d(2), nn.Flatten(), nn.Dropout(), nn.Linear(57, 2)
    ),
    **{
        name: lambda name=name: ab.get_model(name)(length=200)
        for name in ("basset", "factorized_basset", "bpnet")  # type: ignore[misc]
    },
}
OTHERS: dict[str, Callable[[], nn.Module]] = {
    "in place": lambda: chain(nn.Conv1d(4, 3, 3), nn.ReLU(inplace=True), nn.Conv1d(3, 2, 1)),
    "a view that is written to": lambda: Custom(lambda m, x: m.conv(x)[:, :, 3:].mul_(2), conv=nn.Conv1d(4, 3, 3)),
    "a norm by the batch's own statistics": lambda: chain(
        nn.Conv1d(4, 3, 3), nn.BatchNorm1d(3, track_running_stats=False), nn.Conv1d(3, 1, 1)
    ),
    "flattened channels": lambda: Custom(lambda m, x: m.conv(x).flatten(0, 1) * 2, conv=nn.Conv1d(4, 3, 3)),
    "flattened after a transposition": lambda: Custom(
        lambda m, x: m.conv(x).transpose(1, 2).flatten(1) * 2, conv=nn.Conv1d(4, 3, 3)
    ),
    "a layer norm": lambda: chain(nn.Conv1d(4, 3, 3), nn.LayerNorm(LENGTH - 2), nn.ReLU()),
}


def traced(model: nn.Module, length: int = LENGTH) -> ExportedProgram:
    """Return a program as `torch.export` leaves it."""
    rows = {0: Dim("batch")}
    axes = ((rows,),) if isinstance(model, Custom) else (rows,)
    with torch.no_grad():
        return torch.export.export(model.eval(), (torch.zeros(3, 4, length),), dynamic_shapes=axes, strict=False)


class Digest(str):
    """A short name of a call, which depends on all that it is computed from."""

    def __repr__(self) -> str:
        return str(self)


def described(program: ExportedProgram) -> tuple[list[Digest], set[str]]:
    """Return a program's outputs, and the calls that they depend on, whatever the names and the order of its nodes."""
    digests: dict[fx.Node, Digest] = {}
    texts: dict[fx.Node, str] = {}
    for node in program.graph.nodes:
        if node.op == "output":
            needed, waiting = set(), list(node.all_input_nodes)
            while waiting:
                needed.add(waiting.pop())
                waiting += [source for each in needed for source in each.all_input_nodes if source not in needed]
            return [digests[each] for each in node.all_input_nodes], {texts[each] for each in needed}
        arguments = fx.map_arg((node.args, tuple(node.kwargs.items())), lambda each: digests[each])
        value = node.meta["val"]
        shape = f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else ""
        # The number of rows belongs to no layer.
        place = "" if node.target is torch.ops.aten.sym_size.int else module_path(node)
        name = node.name if node.op == "placeholder" else str(node.target)
        texts[node] = f"{place}: {name}{arguments} -> {shape}"
        digests[node] = Digest(hashlib.sha256(texts[node].encode()).hexdigest()[:8])
    raise AssertionError("a program has an output")


@pytest.mark.parametrize("name", SIMPLE)
def test_simple_programs_become_what_pytorch_makes_of_them(name: str) -> None:
    length = 200 if name in ab.list_models() else LENGTH
    model = SIMPLE[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PyTorch about itself
        expected = traced(model, length).run_decompositions({})
    found = traced(model, length)
    assert decomposed_at_once(found)
    assert described(found) == described(expected)
    x = torch.randn(5, 4, length, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(found.module()(x), model(x))


def test_each_operator_is_tried() -> None:
    targets = {node.target for node in traced(everything()).graph.nodes if node.op == "call_function"}
    assert (UNCHANGED | set(REPLACEMENTS)) - targets == {torch.ops.aten.conv1d.padding} - targets


@pytest.mark.parametrize("name", OTHERS)
def test_other_programs_are_left_as_they_are(name: str) -> None:
    program, untouched = traced(OTHERS[name]()), traced(OTHERS[name]())
    assert not decomposed_at_once(program)
    assert described(program) == described(untouched)
