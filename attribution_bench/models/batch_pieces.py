"""Pieces of a batch while a model is traced: `chunk` and `split` along it hold for batches of any size."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import SymInt, Tensor
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.overrides import TorchFunctionMode

MOST_PIECES = 16
"""Number of pieces of a given length up to which they are counted."""


class BatchPieces(TorchFunctionMode):
    """State the lengths of pieces of an axis whose length is a symbol, where they are equal.

    PyTorch counts the pieces by a rounded quotient of two lengths, which torch.export cannot show to be the same for
    every batch: it would fix the batch of a model that joins both strands along it and parts them again.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        lengths: list[Any] | None = None
        if func in (torch.chunk, Tensor.chunk):
            lengths = _equal(*args, **given)
        elif func in (torch.split, Tensor.split):
            lengths = _of_length(*args, **given)
        if lengths is None:
            return func(*args, **given)
        return torch.split(_tensor(*args, **given), lengths, _axis(*args, **given))


def _equal(input: Tensor, chunks: int, dim: int = 0) -> list[Any] | None:  # noqa: A002 as PyTorch names it
    length: Any = input.shape[dim]
    if isinstance(length, SymInt) and isinstance(chunks, int) and statically_known_true(length % chunks == 0):
        return [length // chunks] * chunks
    return None


def _of_length(
    tensor: Tensor, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None
) -> list[Any] | None:
    each = split_size_or_sections if split_size is None else split_size
    length: Any = tensor.shape[dim]
    if not isinstance(each, SymInt) or not isinstance(length, SymInt):
        return None
    for count in range(1, MOST_PIECES + 1):
        if statically_known_true(length == each * count):
            return [each] * count
    return None


def _tensor(first: Tensor | None = None, *_: Any, **given: Any) -> Any:
    return given.get("input", given.get("tensor")) if first is None else first


def _axis(*args: Any, **given: Any) -> Any:
    return args[2] if len(args) > 2 else given.get("dim", 0)
