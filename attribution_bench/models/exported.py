"""A model read from a torch.export file, as an ordinary module."""

from typing import Any

import torch


class ExportedModel(torch.nn.Module):
    """Wraps the module of an exported program, which has no modes of its own: it was exported in one."""

    def __init__(self, program: torch.nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Run the program."""
        return self.program(*inputs)

    def train(self, mode: bool = True) -> "ExportedModel":
        """Leave the mode alone; the program's own `train` raises."""
        return self
