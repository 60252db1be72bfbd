"""What the modules of a PyTorch model hold besides weights, by which a change between two uses of it is noticed."""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import Any

from torch import Tensor, nn

from attribution_bench.models.settings import BARE, PLAIN, Look, Same, Settings, plain
from attribution_bench.models.torch_state import contents, place
from attribution_bench.own_code import is_installed

ELSEWHERE = frozenset(("training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"))
"""Attributes of every module that tell of its weights, of the modules in it, and of the mode that is set for a call."""
OF_FORWARD = frozenset(
    (
        *("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
        *("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
    )
)
UNREAD = frozenset(vars(nn.Module())) - OF_FORWARD | ELSEWHERE
"""Attributes that no forward pass reads: hooks for gradients and files, too."""


def module_settings(modules: Iterable[nn.Module]) -> Settings:
    """Return what modules hold in attributes of Python, and what their code reads; tensors by place and values."""
    looked_at = tuple(modules)
    look = _look(frozenset(map(id, looked_at)))
    values: dict[Hashable, Hashable] = {}
    for number, module in enumerate(looked_at):
        values[number] = Same(module), type(module)
        for name, held in _held(module, look):
            values[number, name] = held
    for kind in dict.fromkeys(map(type, looked_at)):
        values.update(look.of_classes(kind))
    return Settings(values)


def held_settings(module: nn.Module, written: frozenset[str]) -> dict[str, Any]:
    """Return what a module holds besides weights and other modules, but for names that its calls write.

    Of classes of installed packages, such as graphs of `torch.export`, these are plain values, functions, and
    dataclasses of them, as configurations are.
    """
    library = is_installed(type(module))
    return {
        name: list(value.values()) if name in OF_FORWARD else value
        for name, value in vars(module).items()
        if name not in UNREAD and name not in written and (not library or name in OF_FORWARD or _is_setting(value))
    }


def _is_setting(value: Any) -> bool:
    if is_dataclass(value) and not isinstance(value, type):
        return all(_is_setting(getattr(value, each.name, None)) for each in fields(value))
    elements = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list | tuple | set):
        return type(value) in PLAIN or isinstance(value, FunctionType | Tensor)
    return all(type(element) in PLAIN for element in elements)


def _look(known: frozenset[int]) -> Look:
    """Return a look at what modules hold and read, which are known by their identities."""

    def leaf(value: Any) -> Hashable:
        # A parameter or a module in a list is none of the model's: nobody else looks at its values.
        if type(value) in (Tensor, nn.Parameter):
            return _state(value)
        if not isinstance(value, nn.Module) or id(value) in known or id(value) in look.seen:
            return Same(value)
        look.seen.add(id(value))
        tensors = (*value._parameters.values(), *value._buffers.values())
        states = tuple(_state(tensor) for tensor in tensors if tensor is not None)
        inner = tuple((name, leaf(part)) for name, part in value._modules.items())
        return Same(value), states, inner, tuple(_held(value, look)), tuple(look.of_classes(type(value)))

    look = Look(leaf)
    return look


def _held(module: nn.Module, look: Look) -> Iterator[tuple[str, Hashable]]:
    """Yield what a module holds in attributes of Python, each by its name."""
    for name, value in vars(module).items():
        if name in UNREAD:
            continue
        # Most are numbers and strings, or sizes of kernels, and need no look.
        kind = type(value)
        if kind in PLAIN:
            yield name, plain(value)
        elif kind is tuple and BARE.issuperset(map(type, value)):
            yield name, value
        elif name not in OF_FORWARD or value:
            yield name, look.at(value)


def _state(tensor: Tensor) -> Hashable:
    """Return a tensor by its identity, its place in memory and its values."""
    return Same(tensor), place(tensor), contents([tensor])
