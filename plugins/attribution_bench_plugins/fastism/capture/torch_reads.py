"""Positions that a function of PyTorch tensors reads of an output, found by calling it on a tensor without values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from attribution_bench_plugins.fastism.capture.errors import require

ATEN = torch.ops.aten
MOVING = frozenset(
    (
        *(ATEN.alias, ATEN.detach, ATEN.expand, ATEN.flip, ATEN.index, ATEN.index_select, ATEN.permute, ATEN.repeat),
        *(ATEN.roll, ATEN.select, ATEN.slice, ATEN.split, ATEN.split_with_sizes, ATEN.squeeze, ATEN.t),
        *(ATEN.transpose, ATEN.unbind, ATEN.unfold, ATEN.unsqueeze),
    )
)
"""Operators whose results hold elements of their first operand, at places that no value decides."""
VIEWS = frozenset((ATEN.view, ATEN._unsafe_view, ATEN._reshape_alias))
"""The same, in the order in which they are."""
ALONG_AXES = frozenset(
    (
        *(ATEN.amax, ATEN.amin, ATEN.cumsum, ATEN.logsumexp, ATEN.mean, ATEN.prod, ATEN.std, ATEN.sum, ATEN.var),
        *(ATEN._log_softmax, ATEN._softmax),
    )
)
"""Operators whose results depend, at each place along the other axes, on the elements along the axes ``dim``."""
OF_MEMORY = frozenset((Tensor.__dlpack__, Tensor.data_ptr, Tensor.storage, Tensor.untyped_storage))
"""What leads to the memory of a tensor, which one without values has none of."""
CONSTANT = frozenset((ATEN.lift_fresh, ATEN.lift_fresh_copy))
"""Operators that give a tensor that Python has made, such as an index from a list."""


def positions_read(
    function: Callable[[Any], Any], positions: Tensor, dtype: torch.dtype, device: torch.device
) -> range | None:
    """Return the range of the positions that a function of an output (rows, *output) reads.

    It is called on a tensor that has a shape and no values: what asks for a value, or overwrites one, is not followed.

    Parameters
    ----------
    positions
        (rows, *output) the position of each element of the output.
    dtype, device
        Those of the output.

    Returns
    -------
    range or None
        None where the function cannot be followed.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        output = torch.empty(positions.shape, dtype=dtype, device=device)
    followed = _Followed(mode)
    followed.keep(output, _Reads(positions, positions))
    try:
        with torch.no_grad(), _NoMemory(), followed:
            result = function(output)
        _, reads = followed.known[id(result)]
        return range(int(reads.first.min()), int(reads.last.max()) + 1)
    except Exception:  # code of users may raise anything; it is called on real values later
        return None


@dataclass(frozen=True)
class _Reads:
    """The first and the last position that each element of a tensor depends on."""

    first: Tensor
    last: Tensor

    def mapped(self, function: Callable[[Tensor], Any]) -> "list[_Reads]":
        """Return those of the results of a function that moves elements."""
        results = map(pytree.tree_leaves, (function(self.first), function(self.last)))
        return [_Reads(*pair) for pair in zip(*results, strict=True)]

    def all_of(self, axes: Sequence[int]) -> "_Reads":
        """Return those of all elements along some axes together, which stay with size one."""
        return _Reads(self.first.amin(tuple(axes), keepdim=True), self.last.amax(tuple(axes), keepdim=True))

    def expanded(self, shape: Sequence[int]) -> "_Reads":
        """Return the same broadcast to a shape."""
        return _Reads(self.first.broadcast_to(shape), self.last.broadcast_to(shape))


class _NoMemory(TorchFunctionMode):
    """Refuses what leads to the memory of tensors."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        require(func not in OF_MEMORY)
        return func(*args, **(kwargs or {}))


class _Followed(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows what each tensor depends on while operators are called on tensors without values."""

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mode = mode
        self.known: dict[int, tuple[Tensor, _Reads]] = {}
        """Identity of a tensor -> the tensor, which so lives as long as this, and what it depends on."""
        self.constants: dict[int, tuple[Tensor, Tensor]] = {}
        """Identity of a tensor without values -> the tensor, and the values that it stands for."""

    def keep(self, tensor: Tensor, reads: _Reads) -> None:
        """Remember what a tensor depends on."""
        self.known[id(tensor)] = tensor, reads

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        require(not func._schema.is_mutable)
        with self.mode:
            results = func(*args, **given)
        tensors = [leaf for leaf in pytree.tree_leaves(results) if isinstance(leaf, Tensor)]
        operands = [self.known[id(leaf)][1] for leaf in pytree.tree_leaves((args, given)) if id(leaf) in self.known]
        if operands:
            for tensor, reads in zip(tensors, self._of_results(func, args, given, operands, tensors), strict=True):
                require(reads.first.shape == tensor.shape)
                self.keep(tensor, reads)
        elif func.overloadpacket in CONSTANT:
            self.constants[id(tensors[0])] = tensors[0], args[0]
        return results

    def _of_results(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], operands: list[_Reads], tensors: list[Tensor]
    ) -> list[_Reads]:
        """Return what the results of an operator depend on."""
        packet, others = func.overloadpacket, [self._value(leaf) for leaf in pytree.tree_leaves((args[1:], kwargs))]
        alone = len(operands) == 1
        if packet in VIEWS:
            return operands[0].mapped(lambda elements: elements.reshape(tensors[0].shape))
        is_moved = alone and id(args[0]) in self.known and not any(isinstance(leaf, FakeTensor) for leaf in others)
        if packet in MOVING and is_moved:
            further, named = pytree.tree_map(self._value, (args[1:], kwargs))
            return operands[0].mapped(lambda elements: func(elements, *further, **named))
        if torch.Tag.pointwise in func.tags or packet is ATEN._to_copy:
            spread = [reads.expanded(tensors[0].shape) for reads in operands]
            first = reduce(torch.minimum, [reads.first for reads in spread])
            return [_Reads(first, reduce(torch.maximum, [reads.last for reads in spread]))] * len(tensors)
        if packet in ALONG_AXES and alone:
            return [self._along(operands[0], _axes(func, args, kwargs), tensor) for tensor in tensors]
        every = [reads.all_of(range(reads.first.dim())) for reads in operands]
        first = torch.stack([reads.first.reshape(()) for reads in every]).min()
        last = torch.stack([reads.last.reshape(()) for reads in every]).max()
        return [_Reads(first, last).expanded(tensor.shape) for tensor in tensors]

    def _along(self, reads: _Reads, axes: Sequence[int], result: Tensor) -> _Reads:
        """Return what the result of an operator along some axes depends on, whether or not it keeps them."""
        axes = [axis % reads.first.dim() for axis in axes] or range(reads.first.dim())
        all_ = reads.all_of(axes)
        if result.dim() == all_.first.dim():
            return all_.expanded(result.shape)
        return _Reads(all_.first.squeeze(tuple(axes)), all_.last.squeeze(tuple(axes)))

    def _value(self, leaf: Any) -> Any:
        """Return the values that a tensor stands for where they are known, and anything else as it is."""
        return self.constants[id(leaf)][1] if id(leaf) in self.constants else leaf


def _axes(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[int]:
    """Return the axes along which an operator runs; none for all of them."""
    named = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
    found = named.get("dim")
    return [] if found is None else [found] if isinstance(found, int) else list(found)
