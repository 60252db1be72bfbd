"""What the modules of a PyTorch model hold besides weights, by which a change between two uses of it is noticed."""

from collections.abc import Hashable, Iterable
from typing import Any

import torch

from attribution_bench.models.settings import PLAIN, Same, Settings, is_library, of_classes, snapshot
from attribution_bench.models.torch_state import contents

ELSEWHERE = frozenset(("training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"))
"""Attributes of every module that tell of its weights, of the modules in it, and of the mode that is set for a call."""
OF_FORWARD = frozenset(
    (
        *("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
        *("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
    )
)
UNREAD = frozenset(vars(torch.nn.Module())) - OF_FORWARD | ELSEWHERE
"""Attributes that no forward pass reads: hooks for gradients and files, too."""


def module_settings(modules: Iterable[torch.nn.Module]) -> Settings:
    """Return what modules hold in attributes of Python, and what their code reads; tensors by place and values."""
    values: dict[Hashable, Hashable] = {}
    kinds = set[type]()
    for number, module in enumerate(modules):
        values[number] = Same(module), type(module)
        for name, value in vars(module).items():
            if name in UNREAD or (name in OF_FORWARD and not value):
                continue
            values[number, name] = value if _is_plain(value) else snapshot(value, _leaf)
        kinds.add(type(module))
    for kind in kinds:
        if not is_library(kind.__module__):
            values.update(((kind, place), value) for place, value in of_classes(kind, _leaf))
    return Settings(values)


def held_settings(module: torch.nn.Module, written: frozenset[str]) -> dict[str, Any]:
    """Return what a module holds besides weights and other modules, but for names that its calls write."""
    return {
        name: list(value.values()) if name in OF_FORWARD else value
        for name, value in vars(module).items()
        if name not in UNREAD and name not in written
    }


def _is_plain(value: Any) -> bool:
    """Whether a value says all of itself: a tuple of plain values too, as sizes of kernels are."""
    return type(value) in PLAIN or (type(value) is tuple and PLAIN.issuperset(map(type, value)))


def _leaf(value: Any) -> Hashable:
    """Return an object by its identity, and a tensor with its values."""
    return (Same(value), value.data_ptr(), contents([value])) if type(value) is torch.Tensor else Same(value)
