"""The small PyTorch models of the conformance checks."""

from typing import Any

import numpy as np
import torch
from torch import nn

from attribution_bench.testing.subject import STRINGS, Kind, seeded_weight

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Fuse(nn.Module):
    """Pass its input through, and raise once it has been called `calls` times."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x."""
        if self.left == 0:
            raise RuntimeError("the fuse of this model blew, as the check meant it to")
        self.left -= 1
        return x


class Body(nn.Sequential):
    """Everything up to the dense heads: (N, 4, 24) to (N, 48)."""

    def __init__(self, fuse: nn.Module) -> None:
        super().__init__(
            nn.Conv1d(4, 6, 5, padding=2),
            nn.BatchNorm1d(6),
            nn.ReLU(),
            nn.Dropout(0.5),
            fuse,
            nn.MaxPool1d(2),
            nn.Conv1d(6, 4, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )


class OneOutput(nn.Module):
    """(N, 4, 24) to (N, 1)."""

    def __init__(self, fuse: nn.Module) -> None:
        super().__init__()
        self.body = Body(fuse)
        self.head = nn.Linear(48, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output."""
        output: torch.Tensor = self.head(self.body(x))
        return output


class SeveralOutputs(nn.Module):
    """(N, 4, 24) to a profile (N, 3) and a count (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Body(nn.Identity())
        self.profile = nn.Linear(48, 3)
        self.count = nn.Linear(48, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both outputs."""
        hidden = self.body(x)
        return self.profile(hidden), self.count(hidden)


class ExtraInput(nn.Module):
    """(N, 4, 24) and (N, 2) to (N, 1); the extra input changes what the sequence does."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Body(nn.Identity())
        self.extra = nn.Linear(2, 48)
        self.relu = nn.ReLU()
        self.head = nn.Linear(48, 1)

    def forward(self, x: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        """Return the output."""
        output: torch.Tensor = self.head(self.relu(self.body(x) + self.extra(extra)))
        return output


def build(kind: Kind) -> nn.Module:
    """Return a model as `attribution_bench.testing.subject.Models` describes it."""
    if kind == "several_outputs":
        return _prepared(SeveralOutputs())
    return _prepared(ExtraInput() if kind == "extra_input" else OneOutput(nn.Identity()))


def build_fused(calls: int) -> nn.Module:
    """Return the ``one_output`` model with a layer that raises after `calls` calls."""
    return _prepared(OneOutput(Fuse(calls)))


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Return what a method must leave as it was."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        where = f"module {name or 'itself'}"
        found[f"{where}: identity"] = id(module)
        found[f"{where}: class"] = type(module)
        found[f"{where}: training mode"] = module.training
        found[f"{where}: attributes"] = sorted(vars(module))
        for hooks in HOOKS:
            found[f"{where}: {hooks}"] = len(getattr(module, hooks))
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        found[f"{name}: identity"] = id(tensor)
        found[f"{name}: values"] = tensor.detach().numpy().tobytes()
        found[f"{name}: requires_grad"] = tensor.requires_grad
        found[f"{name}: grad"] = None if tensor.grad is None else tensor.grad.numpy().tobytes()
    return found


def _prepared(model: nn.Module) -> nn.Module:
    generator = np.random.default_rng(len(STRINGS))
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(seeded_weight(generator, name, tuple(tensor.shape))))
    first, second, *_ = model.parameters()
    first.requires_grad_(False)
    second.grad = torch.ones_like(second)
    return model.train()
