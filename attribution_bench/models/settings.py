"""What the Python objects of a model hold, by which a change of the model between two uses of it is noticed."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from attribution_bench.models.checksums import checksums

PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None)))
"""Types whose values say all of themselves."""
MOST_ELEMENTS = 1000
"""Lists and dicts with more elements are told apart by identity, and arrays by a checksum, so that a look is cheap."""
DEPTH = 3
"""Containers and objects in each other that are looked into."""


class Same:
    """An object that equals only itself; it is kept alive, so that no other takes its place."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@dataclass(frozen=True, eq=False)
class Settings:
    """Settings of a model by their places in it; equal to others where nothing but the model itself has changed any."""

    values: Mapping[Hashable, Hashable]
    own: frozenset[Hashable] = frozenset()
    """Places of what the model's own calls change, such as counters."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self.changed(other) <= self.own | other.own

    def __hash__(self) -> int:
        return hash(Settings)  # what is equal may differ in what the model changes itself

    def changed(self, other: "Settings") -> frozenset[Hashable]:
        """Return the places at which other settings differ."""
        if self.values == other.values:
            return frozenset()
        missing, mine, theirs = object(), self.values, other.values
        places = mine.keys() | theirs.keys()
        return frozenset(place for place in places if mine.get(place, missing) != theirs.get(place, missing))

    def without(self, own: frozenset[Hashable]) -> "Settings":
        """Return the settings with places of which changes are the model's own."""
        return replace(self, own=self.own | own)


def snapshot(value: Any, leaf: Callable[[Any], Hashable] = Same, depth: int = DEPTH) -> Hashable:
    """Return what equals the snapshot of the same value later on, unless it was changed in between, also in place.

    Numbers, strings, containers, arrays and objects that hold them are looked into; what else there is becomes what
    `leaf` makes of it.
    """
    if type(value) in PLAIN:
        return value  # type: ignore[no-any-return]
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            return Same(value)
        held = value.tobytes() if value.size <= MOST_ELEMENTS else checksums([value])
        return value.shape, value.dtype.str, held
    if isinstance(value, list | tuple | set | frozenset | dict):
        if depth == 0 or len(value) > MOST_ELEMENTS:
            return Same(value)
        inner = value if not isinstance(value, dict) else [part for item in value.items() for part in item]
        return type(value), tuple(snapshot(part, leaf, depth - 1) for part in inner)
    if depth and not callable(value) and type(value).__module__ not in ("builtins", "numpy"):
        held = getattr(value, "__dict__", None)
        if held and type(value).__module__.partition(".")[0] not in OPAQUE and len(held) <= MOST_ELEMENTS:
            inner = tuple((name, snapshot(part, leaf, depth - 1)) for name, part in held.items())
            return Same(value), inner
    return leaf(value)


OPAQUE = frozenset({"torch", "keras", "tf_keras", "tensorflow", "jax"})
"""Packages whose objects are told apart by identity."""
