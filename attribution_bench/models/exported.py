"""A program of torch.export as an ordinary module."""

from typing import Any

import torch
from torch.utils import _pytree as pytree

from attribution_bench.errors import ModelError


class ExportedModel(torch.nn.Module):
    """Wraps the module of an exported program, which has no modes of its own: it was exported in one.

    The program's inputs are taken one by one, in its order, whatever structure it was exported with.
    """

    def __init__(self, program: torch.nn.Module) -> None:
        super().__init__()
        self.program = program
        graph: torch.fx.Graph = program.graph  # type: ignore[assignment]
        self.input_names = tuple(str(node.target) for node in graph.nodes if node.op == "placeholder")
        self._structure: Any = program._in_spec

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Run the program."""
        if len(inputs) != len(self.input_names):
            raise ModelError(
                f"the exported program takes {len(self.input_names)} inputs ({', '.join(self.input_names)}), but was "
                f"given {len(inputs)}; give additional_forward_args one array for each beside the sequence"
            )
        args, kwargs = pytree.tree_unflatten(list(inputs), self._structure)
        return self.program(*args, **kwargs)

    def train(self, mode: bool = True) -> "ExportedModel":
        """Leave the mode alone; the program's own `train` raises."""
        return self
