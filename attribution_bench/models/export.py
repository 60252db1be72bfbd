"""Export of a torch.nn.Module as a graph that holds for batches of any size: the only place that calls torch.export."""

import contextlib
import inspect
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import RLock
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses import FakeTensor
from torch.export import Dim, ExportedProgram

from attribution_bench.errors import AttributionBenchError
from attribution_bench.garbage import collection_paused
from attribution_bench.models.batch_pieces import BatchPieces
from attribution_bench.models.decomposition import decomposed_at_once

EXAMPLE_BATCH = 3
"""Sequences in the example that is traced; torch.export would take a batch of one for a constant."""
LOGGERS = ("torch._guards", "torch.fx.experimental.symbolic_shapes")
"""Loggers of PyTorch that print failures of an export, made here so that they can be silenced before they are."""
BOUNDED = "constraints violated"
"""In messages of PyTorch where the code allows fewer sizes of the batch than it was asked for."""
FAKE_CONSTANT = "fake tensor in the exported program"
PLAIN_REASONS = {
    "its code fixes the number of sequences in a batch, as a loop over them does": ("specialized it to be a constant",),
    "its code branches on the values of a tensor, as `if x.sum() > 0` does": (
        "data-dependent expression",
        "data-dependent branching",
    ),
    "its code uses a tensor that tracing does not follow, as `weight.data` is": (FAKE_CONSTANT,),
}
"""Reasons in plain words, each with parts of the messages that mean it, in lower case."""

EXPORTING = RLock()
"""Lock that is held while a module is exported: PyTorch keeps what it traces by the process, and not by the thread."""


class ExportError(AttributionBenchError):
    """A module that torch.export cannot capture for batches of any size; the message is the reason in plain words."""


@collection_paused()
def export(
    module: torch.nn.Module,
    x: Tensor,
    extras: Sequence[Tensor] = (),
    decompositions: Mapping[Any, Callable[..., Any]] = MappingProxyType({}),
) -> ExportedProgram:
    """Export a module as a program of ATen operations that runs on any number of sequences.

    The program refers to the module's own parameters and buffers. The module is traced in the mode that it is in, with
    gradients where the caller has them enabled.

    PyTorch runs the module's code on symbols first, which fixes the batch where the code asks ``len(x)`` or
    ``int(x.shape[0])``; if that fails it reads the code instead (``strict``), which follows both. A program that was
    exported with bounds of its batch, as ``Dim("batch", max=4096)``, is captured within them.

    Parameters
    ----------
    module
        Called as ``module(x, *extras)``.
    x
        One or more sequences as the module takes them, (rows, ...); the first one is the example.
    extras
        Its further inputs, (rows, ...) each.
    decompositions
        Functions of the same arguments that take the place of operators of the graph.

    Raises
    ------
    ExportError
        Neither way leads to a graph.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise ExportError(
            "torch.export cannot capture the model: it is TorchScript (torch.jit.trace or torch.jit.script); give the "
            "module that it was made from"
        )
    arguments = tuple(_example(tensor) for tensor in (x, *extras))
    failures: list[Exception] = []
    for batch, strict in ((Dim("batch"), False), (Dim.DYNAMIC, False), (Dim("batch"), True)):
        if batch is Dim.DYNAMIC and BOUNDED not in str(failures[0]).lower():
            continue
        try:
            # An order of products that the package opt_einsum plans is one for the batch of the example.
            with EXPORTING, _quiet(), BatchPieces(), torch.backends.opt_einsum.flags(enabled=False):
                axes = _batch_axes(module, arguments, batch)
                program = torch.export.export(module, arguments, dynamic_shapes=axes, strict=strict)
                _refuse_fake_constants(program)
                if not decompositions and decomposed_at_once(program):
                    return program
                decomposed: ExportedProgram = program.run_decompositions(dict(decompositions))
            return decomposed
        except Exception as error:  # the module's own code runs while it is traced and may fail in any way
            failures.append(error)
    reasons = "; in strict mode: ".join(dict.fromkeys(map(_reason, failures)))
    raise ExportError(f"torch.export cannot capture the model: {reasons}") from failures[0]


def module_path(node: fx.Node) -> str:
    """Return the path of the module that makes the call, as attributes of the exported one; "" for that one itself."""
    stack = node.meta.get("nn_module_stack")
    path = str(next(reversed(stack.values()))[0]) if stack else ""
    # Strict export writes the submodules of a module that counts its calls in this form.
    return re.sub(r"__dict__\['_modules'\]\['(\w+)'\]", r"\1", path)


def _example(tensor: Tensor) -> Tensor:
    """Return EXAMPLE_BATCH copies of the first row."""
    return tensor[:1].expand(EXAMPLE_BATCH, *tensor.shape[1:]).contiguous()


def _batch_axes(module: torch.nn.Module, arguments: Sequence[Tensor], batch: Any) -> dict[str, Any]:
    """Return, for each parameter of the module's forward, that its first axis is the batch."""
    bound = inspect.signature(module.forward).bind(*arguments).arguments
    return {
        name: tuple({0: batch} for _ in value) if isinstance(value, tuple) else {0: batch}
        for name, value in bound.items()
    }


def _refuse_fake_constants(program: ExportedProgram) -> None:
    """Raise if a constant of the program has no values: decomposing it would end the process."""
    for name, value in program.constants.items():
        if isinstance(value, FakeTensor):
            raise RuntimeError(f"{FAKE_CONSTANT}: {name}")


def _reason(error: Exception) -> str:
    """Return an error in plain words where it has some, else its first line that says something."""
    text = str(error)
    for reason, marks in PLAIN_REASONS.items():
        if any(mark in text.lower() for mark in marks):
            return reason
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the tracer's warnings, logs and prints of graphs on stderr; an error says what matters."""
    names = [name for name in logging.Logger.manager.loggerDict if name == "torch" or name.startswith("torch.")]
    loggers = [logging.getLogger(name) for name in dict.fromkeys((*names, *LOGGERS))]
    # Also handlers, of which loggers that come into being meanwhile make use.
    handlers = [handler for logger in loggers for handler in logger.handlers]
    former = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        for handler in handlers:
            handler.addFilter(_nothing)
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(_nothing)
        for logger, disabled in zip(loggers, former, strict=True):
            logger.disabled = disabled


def _nothing(record: logging.LogRecord) -> bool:
    """Let no record of a log pass."""
    return False
