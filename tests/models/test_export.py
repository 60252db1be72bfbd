"""Export of modules: graphs for any number of sequences, failures in plain words, and what is left untouched."""

import logging
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attribution_bench.models.export import LOGGERS, ExportError, export, module_path
from attribution_bench.models.exported import ExportedModel

LENGTH = 10


class Network(nn.Module):
    """Layers `tower` and `head` around a function of the number of sequences; counts its calls."""

    def __init__(self, size: Callable[[Tensor], int]) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Conv1d(4, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(3 * (LENGTH - 2), 2)
        self.size = size
        self.calls = 0

    def features(self, x: Tensor) -> Tensor:
        self.calls += 1
        y: Tensor = self.head(self.tower(x).reshape(self.size(x), -1))
        return y


class OneInput(Network):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class Defaults(Network):
    def forward(
        self, x: Tensor, scale: Tensor | None = None, shift: float = 0.5, *, sign: int = -1
    ) -> dict[str, Tensor]:
        y = self.features(x)
        return {"output": sign * (y if scale is None else y * scale) + shift, "twice": 2 * y}


class Further(Network):
    def forward(self, x: Tensor, *extras: Tensor, **options: Any) -> tuple[Tensor, ...]:
        y = self.features(x)
        return (y, *(y * extra for extra in extras))


class Calling(nn.Module):
    """A function of a convolution and the input, which notes its last result."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 3, 3)
        self.function = function
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = y = self.function(self.conv, x)
        return y


SIZES: dict[str, Callable[[Tensor], int]] = {
    "x.shape[0]": lambda x: x.shape[0],
    "len(x)": len,
    "int(x.shape[0])": lambda x: int(x.shape[0]),
}


def network(kind: type[Network], size: str) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(SIZES[size]).double().eval()


def rows(count: int, *shape: int) -> Tensor:
    return torch.randn(count, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kind", "extras"), [(OneInput, 0), (Defaults, 0), (Defaults, 1), (Further, 0), (Further, 2)])
def test_a_program_runs_on_any_number_of_sequences(kind: type[Network], extras: int, size: str) -> None:
    module = network(kind, size)
    program = export(module, rows(1, 4, LENGTH), [rows(1, 2)] * extras).module()
    for count in (1, 2, 5):
        inputs = rows(count, 4, LENGTH), *(rows(count, 2) * (i + 1) for i in range(extras))
        found, expected = program(*inputs), module(*inputs)
        assert type(found) is type(expected)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


PIECES: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "chunk": lambda x, y: y.chunk(3),
    "torch.chunk": lambda x, y: torch.chunk(input=y, chunks=3, dim=-3),
    "split": lambda x, y: y.split(x.shape[0]),
    "torch.split": lambda x, y: torch.split(y, split_size_or_sections=x.shape[0], dim=0),
    "split of a quotient": lambda x, y: y.split(y.shape[0] // 3, 0),
    "split of the length": lambda x, y: y.split(len(x)),
}


@pytest.mark.parametrize("cut", PIECES)
def test_a_batch_may_be_cut_into_the_pieces_that_it_was_made_of(cut: str) -> None:
    class Joined(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            first, second, third = PIECES[cut](x, torch.cat([x, x.flip(1, 2), 2 * x]))
            y: Tensor = first * second - third
            return y

    program = export(Joined(), rows(1, 4, LENGTH)).module()
    for count in (1, 2, 5):
        torch.testing.assert_close(program(rows(count, 4, LENGTH)), Joined()(rows(count, 4, LENGTH)))


@pytest.mark.parametrize("bounds", [{"max": 4096}, {"min": 2, "max": 64}, {}])
def test_a_program_with_bounds_of_its_batch_is_captured_within_them(bounds: dict[str, int]) -> None:
    network = nn.Sequential(
        nn.Conv1d(4, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 2)
    ).eval()
    shapes = ({0: torch.export.Dim("batch", **bounds)},)
    program = torch.export.export(network, (torch.zeros(8, 4, LENGTH),), dynamic_shapes=shapes)
    captured = export(ExportedModel(program.module()), torch.zeros(1, 4, LENGTH)).module()
    for rows in (2, 5, 64):
        x = torch.randn(rows, 4, LENGTH)
        torch.testing.assert_close(captured(x), network(x))


def test_threads_may_export_models_at_the_same_time() -> None:
    def exported(length: int) -> tuple[int, ...]:
        network = nn.Sequential(nn.Conv1d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * (length - 2), 2)).eval()
        return tuple(export(network, torch.zeros(1, 4, length)).module()(torch.zeros(5, 4, length)).shape)

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(exported, range(10, 18))] == [(5, 2)] * 8


def test_whole_numbers_beside_the_sequence_keep_their_type() -> None:
    class Kinds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 4)

        def forward(self, x: Tensor, kind: Tensor) -> Tensor:
            y: Tensor = (x * self.embedding(kind)[:, :, None]).sum((1, 2)).reshape(len(x))
            return y

    module = Kinds()
    program = export(module, torch.ones(2, 4, LENGTH), [torch.tensor([3, 1])]).module()
    inputs = torch.ones(4, 4, LENGTH), torch.tensor([0, 4, 2, 2])
    torch.testing.assert_close(program(*inputs), module(*inputs))


@pytest.mark.parametrize("size", SIZES)
def test_a_program_refers_to_the_parameters_and_buffers_of_the_module(size: str) -> None:
    module = network(OneInput, size)
    program = export(module, rows(1, 4, LENGTH))
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    assert {name: own[name].data_ptr() for name in program.state_dict} == {
        name: tensor.data_ptr() for name, tensor in program.state_dict.items()
    }
    assert set(dict(module.named_parameters())) <= set(program.state_dict)


@pytest.mark.parametrize("size", SIZES)
def test_paths_of_modules_are_attributes(size: str) -> None:
    module = network(OneInput, size)
    paths = {node.name: module_path(node) for node in export(module, rows(1, 4, LENGTH)).graph.nodes}
    assert paths["conv1d"] == "tower.0"
    assert paths["relu"] == "tower.2"
    assert paths["linear"] == "head"
    assert paths["x"] == paths["output"] == ""


class Holder(nn.Module):
    """Holds a module, and calls it through an object that is no module."""

    def __init__(self, held: nn.Module) -> None:
        super().__init__()
        self.held = held
        self.plain = SimpleNamespace(model=held)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.plain.model(x)
        return y


@pytest.mark.parametrize(("size", "path"), [("x.shape[0]", "held.tower.0"), ("len(x)", "plain.model.tower.0")])
def test_paths_through_other_objects_are_attributes_too(size: str, path: str) -> None:
    graph = export(Holder(network(OneInput, size)), rows(1, 4, LENGTH)).graph
    assert path in {module_path(node) for node in graph.nodes}


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_a_module_is_traced_in_the_gradient_mode_of_the_caller(size: str, enabled: bool) -> None:
    def asking(conv: nn.Module, x: Tensor) -> Tensor:
        y: Tensor = conv(x).reshape(SIZES[size](x), -1)
        return y if torch.is_grad_enabled() else y.neg()

    with torch.set_grad_enabled(enabled):
        graph = export(Calling(asking).eval(), torch.ones(1, 4, LENGTH)).graph
    assert any(node.name == "neg" for node in graph.nodes) is not enabled


def raising(conv: nn.Module, x: Tensor) -> Tensor:
    raise ValueError("a length of its own")


def renormalising(conv: nn.Module, x: Tensor) -> Tensor:
    conv.get_parameter("weight").data.renorm_(2, 0, 0.9)
    y: Tensor = conv(x)
    return y


FAILING: dict[str, tuple[Callable[[nn.Module, Tensor], Tensor], str]] = {
    "if": (lambda conv, x: conv(x) if x.sum() > 0 else -conv(x), "its code branches on the values of a tensor, .*"),
    "float": (lambda conv, x: conv(x) if float(x.sum()) > 0 else x, "its code branches on the values of a tensor, .*"),
    "loop": (lambda conv, x: torch.stack([conv(row) for row in x]), "its code fixes the number of sequences .*"),
    "data": (renormalising, r"its code uses a tensor that tracing does not follow, as `weight\.data` is"),
    "raise": (raising, "ValueError: a length of its own; in strict mode: Unsupported: .*"),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_failure_is_told_in_plain_words_and_leaves_everything_as_it_was(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    function, reason = FAILING[name]
    module = Calling(function).train()
    module.conv.weight.requires_grad_(False)
    module.conv.register_forward_hook(hook := lambda *inputs: None)
    module.last = mark = torch.ones(1)
    before = {key: (id(value), value.clone()) for key, value in module.state_dict(keep_vars=True).items()}
    stderr = sys.stderr
    with pytest.raises(ExportError, match=f"^torch.export cannot capture the model: {reason}$"):
        export(module, torch.ones(2, 4, LENGTH))
    assert capfd.readouterr() == ("", "")
    assert sys.stderr is stderr
    assert not any(logging.getLogger(logger).disabled for logger in LOGGERS)
    assert module.training
    assert module.conv.training
    assert module.last is mark
    assert list(module.conv._forward_hooks.values()) == [hook]
    after = module.state_dict(keep_vars=True)
    assert list(after) == list(before)
    for key, (identity, value) in before.items():
        assert id(after[key]) == identity
        assert torch.equal(after[key], value)
    assert not module.conv.weight.requires_grad


SILENT = """
import torch
from attribution_bench.models.export import ExportError, export

class Branching(torch.nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

class Looping(torch.nn.Module):
    def forward(self, x):
        return torch.stack([row * 2 for row in x])

for module in (Branching(), Looping()):
    try:
        export(module, torch.ones(2, 4, 10))
    except ExportError:
        print("refused")
"""


def test_failures_write_nothing_to_a_terminal() -> None:
    """In a process of its own: PyTorch's log handlers keep the stderr that they found when it was imported."""
    found = subprocess.run([sys.executable, "-c", SILENT], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("refused\nrefused\n", "")


def test_logs_are_silenced_for_the_time_of_an_export_alone() -> None:
    records: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    def saying(conv: nn.Module, x: Tensor) -> Tensor:
        logging.getLogger("torch.made_up.elsewhere").error("as PyTorch says of a graph")
        logging.getLogger("torch").error("the same")
        y: Tensor = conv(x) if x.sum() > 0 else -conv(x)
        return y

    handler, torch_logger = Keeping(), logging.getLogger("torch")
    torch_logger.addHandler(handler)
    levels = {name: logging.getLogger(name).level for name in ("torch", *LOGGERS)}
    try:
        with pytest.raises(ExportError):
            export(Calling(saying).eval(), torch.ones(2, 4, LENGTH))
        assert records == []
        torch_logger.error("afterwards")
        assert records == ["afterwards"]
        assert handler.filters == []
        assert levels == {name: logging.getLogger(name).level for name in levels}
    finally:
        torch_logger.removeHandler(handler)


@pytest.mark.parametrize("make", [lambda m: torch.jit.trace(m, torch.ones(2, 4, LENGTH)), torch.jit.script])
def test_torchscript_is_refused_by_name(make: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(ExportError, match=r"it is TorchScript .* give the module that it was made from"):
        export(make(nn.Sequential(nn.Conv1d(4, 3, 3), nn.ReLU()).eval()), torch.ones(2, 4, LENGTH))
