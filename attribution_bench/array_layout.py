"""Which arrays a kind of result consists of, and how their axes belong together."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FLOATS, NUMBERS, INTEGERS, TEXT = "f", "fiu", "iu", "U"
"""Kinds of NumPy types that an array may have."""
WORDS = {FLOATS: "real floating-point numbers", NUMBERS: "real numbers", INTEGERS: "integers", TEXT: "text"}


class Described(Protocol):
    """An array, or what the header of a file says of one."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...


@dataclass(frozen=True)
class Part:
    """What an array is: its kind, and the names of its axes; axes of one name have one length."""

    kinds: str
    axes: tuple[str, ...]
    open: bool = False
    """Whether further axes may follow, of any length."""
    needed: bool = False


Layout = Mapping[str, Part]
"""Name -> array; a name that ends in ``/`` stands for any number of arrays whose names begin so."""


def check_layout(layout: Layout, found: Mapping[str, Described]) -> dict[str, int]:
    """Check arrays, or the headers of arrays, against a layout.

    Returns
    -------
    Length of each named axis.

    Raises
    ------
    ValueError
        An array is missing, unknown, of another kind, has too few axes, or another length than another array says.
    """
    for name, part in layout.items():
        if part.needed and name not in found:
            raise ValueError(f"it holds no {name}")
    lengths: dict[str, tuple[int, str]] = {}
    # In the order of the layout, so that messages say what does not fit the array that gives an axis its length.
    for name in sorted(found, key=lambda name: list(layout).index(_entry(layout, name))):
        part, array = layout[_entry(layout, name)], found[name]
        if array.dtype.kind not in part.kinds:
            raise ValueError(f"its array {name!r} must hold {WORDS[part.kinds]}, not {array.dtype}")
        fits = len(array.shape) >= len(part.axes) if part.open else len(array.shape) == len(part.axes)
        if not fits:
            wanted = ", ".join([*part.axes, *["..."] * part.open])
            raise ValueError(f"its array {name!r} must have shape ({wanted}), not {array.shape}")
        for axis, length in zip(part.axes, array.shape, strict=False):
            first, origin = lengths.setdefault(axis, (length, name))
            if first != length:
                raise ValueError(f"its array {name!r} has {length} {axis}, but {origin!r} has {first}")
    return {axis: length for axis, (length, _) in lengths.items()}


def check_finite(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError where an array of numbers holds NaN or infinity."""
    for name, values in arrays.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            wrong = np.argwhere(~np.isfinite(values))
            first = tuple(wrong[0].tolist())
            raise ValueError(
                f"its array {name!r} is not finite at {len(wrong)} of {values.size} places, the first at index {first}"
            )


def under(prefix: str, names: Collection[str]) -> set[str]:
    """Return the names that start with a prefix, without it."""
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def _entry(layout: Layout, name: str) -> str:
    entry = name if "/" not in name else name[: name.index("/") + 1]
    for known in (name, entry):
        if known in layout:
            return known
    raise ValueError(f"it holds {name[:100]!r}, which does not belong in it")
