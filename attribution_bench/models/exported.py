"""A program of torch.export as an ordinary module."""

from collections.abc import Sequence
from typing import Any

import torch
from torch._subclasses import FakeTensorMode
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from attribution_bench.errors import ModelError
from attribution_bench.models.sequence_model import FURTHER_INPUTS

TENSOR_BYTES = 1 << 34
"""Bytes that a tensor may take while a model from a file computes on its own example."""


class ExportedModel(torch.nn.Module):
    """Wraps the module of an exported program, which has no modes of its own: it was exported in one.

    The program's inputs are taken one by one, in its order, whatever structure it was exported with.
    """

    def __init__(self, program: torch.nn.Module) -> None:
        super().__init__()
        self.program = program
        graph: torch.fx.Graph = program.graph  # type: ignore[assignment]
        inputs = [node for node in graph.nodes if node.op == "placeholder"]
        self.input_names = tuple(str(node.target) for node in inputs)
        self.input_shapes = tuple(_fixed_shape(node.meta.get("val")) for node in inputs)
        self._structure: Any = program._in_spec

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Run the program.

        Raises
        ------
        ModelError
            It was exported for another number of inputs, or for inputs of other shapes.
        """
        if len(inputs) != len(self.input_names):
            raise ModelError(
                f"the exported program takes {len(self.input_names)} inputs ({', '.join(self.input_names)}), but was "
                f"given {len(inputs)}; {FURTHER_INPUTS}"
            )
        self._check_shapes(inputs)
        args, kwargs = pytree.tree_unflatten(list(inputs), self._structure)
        try:
            return self.program(*args, **kwargs)
        except AssertionError as error:  # raised by the guards of the program, for ranges of sizes among others
            shapes = ", ".join(str(tuple(value.shape)) for value in inputs)
            raise ModelError(f"the program was not exported for inputs of the shapes {shapes}: {error}") from error

    def _check_shapes(self, inputs: Sequence[torch.Tensor]) -> None:
        """Compare what is given with the sizes that were fixed when the program was exported."""
        rows = next((shape[0] for shape in self.input_shapes[:1] if shape), None)
        if rows is not None and len(inputs[0]) != rows:
            raise ModelError(
                f"the exported program takes batches of {rows} and no others, since it was exported with a fixed "
                "batch; export it with a free one: torch.export.export(model, (x,), dynamic_shapes=({0: "
                'torch.export.Dim("batch")},)), with two rows or more in x'
            )
        for name, fixed, value in zip(self.input_names, self.input_shapes, inputs, strict=True):
            differing = [
                axis
                for axis, size in enumerate(fixed)
                if size is not None and (axis >= value.ndim or value.shape[axis] != size)
            ]
            if differing:
                axis = differing[0]
                exported = ", ".join("any" if size is None else str(size) for size in fixed)
                raise ModelError(
                    f"the program was exported for {name} of the shape ({exported}), not {tuple(value.shape)}: the "
                    f"size {fixed[axis]} of axis {axis} is fixed; give inputs of that size (--length {fixed[axis]} "
                    "where it is the length), or export the model with that axis free: "
                    f"dynamic_shapes=({{{axis}: torch.export.Dim.DYNAMIC}},)"
                )

    def train(self, mode: bool = True) -> "ExportedModel":
        """Leave the mode alone; the program's own `train` raises."""
        return self


def _fixed_shape(value: Any) -> tuple[int | None, ...]:
    """Return the sizes that an input of an exported program has to have, None where one is free; () for no tensor."""
    sizes = value.shape if isinstance(value, torch.Tensor) else ()
    return tuple(size if isinstance(size, int) else None for size in sizes)


class TooLargeError(ValueError):
    """A program that makes tensors larger than any model needs."""


class _Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises once an operator returns a tensor that is too large."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.numel() * tensor.element_size() > TENSOR_BYTES:
                raise TooLargeError(f"its graph makes a tensor of the shape {tuple(tensor.shape)}")
        return result


def refuse_large_tensors(program: ExportedProgram, module: torch.nn.Module) -> None:
    """Raise if a program makes too large a tensor of its own example, which nothing is computed for.

    Raises
    ------
    TooLargeError
        It does.
    """
    if program.example_inputs is None:
        return
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        arguments, keywords = pytree.tree_map_only(torch.Tensor, mode.from_tensor, program.example_inputs)
        # Its own buffers would keep what the program writes into them.
        state: dict[str, torch.Tensor] = {
            name: mode.from_tensor(tensor) for name, tensor in module.state_dict(keep_vars=True).items()
        }
        state |= {name: mode.from_tensor(tensor) for name, tensor in module.named_buffers()}
        try:
            with _Bounded(), torch.no_grad():  # type: ignore[no-untyped-call]
                torch.func.functional_call(module, state, arguments, keywords)
        except TooLargeError:
            raise
        except Exception:
            pass
