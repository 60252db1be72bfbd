"""The plan cache: compiled models of an engine, kept from call to call."""

from collections.abc import Callable, Hashable
from typing import Any

from numpy.typing import NDArray

from attribution_bench_plugins.fastism.capture.source import Source
from attribution_bench_plugins.fastism.compiled_model import CompiledModel

MOST_MODELS = 4
"""Compiled models that are kept at most, since each copies some of the weights; an estimate of the lengths in use."""
MOST_PARTS = 64
"""Plans for parts of the outputs that are kept at most; they share the steps and weights of the entry's plan."""


class PlanCache:
    """Compiled models of one engine, by the length and by the shapes and types of the model's further inputs.

    An entry is made at the first call with its key. All entries are dropped when one is stored for weights with another
    fingerprint, as changed weights rarely change back; the least recently stored one is dropped where there are more
    than `MOST_MODELS`. The entry holds what of the self-check is still due, so that new weights are checked again, and
    what calls took. The plans for parts of the outputs are kept with it, up to `MOST_PARTS` of all entries.
    """

    def __init__(self) -> None:
        self._models: dict[Hashable, CompiledModel] = {}
        self._parts: dict[tuple[int, Hashable], CompiledModel] = {}
        """By the identity of the entry and what is wanted of its outputs."""

    def stored(self, length: int, extras: tuple[NDArray[Any], ...]) -> CompiledModel | None:
        """Return the entry of a key, whatever the model's weights are now: they are not looked at."""
        return self._models.get(_key(length, extras))

    def current(self, source: Source, length: int, extras: tuple[NDArray[Any], ...]) -> CompiledModel | None:
        """Return the entry of a key if the model's weights are still those that it was captured with."""
        stored = self.stored(length, extras)
        return stored if stored is not None and stored.fingerprint == source.fingerprint else None

    def store(self, length: int, extras: tuple[NDArray[Any], ...], compiled: CompiledModel) -> None:
        """Keep a compiled model under a key."""
        if any(known.fingerprint != compiled.fingerprint for known in self._models.values()):
            self._models.clear()
        self._models[_key(length, extras)] = compiled
        while len(self._models) > MOST_MODELS:
            del self._models[next(iter(self._models))]
        self._parts.clear()

    def part(self, compiled: CompiledModel, wanted: Hashable, make: Callable[[], CompiledModel]) -> CompiledModel:
        """Return what an entry is for a part of its outputs, made where it is not kept already."""
        key = id(compiled), wanted
        if key not in self._parts:
            if len(self._parts) >= MOST_PARTS:
                del self._parts[next(iter(self._parts))]
            self._parts[key] = make()
        return self._parts[key]

    def clear(self) -> None:
        """Forget all entries, whose weights may have changed without a trace."""
        self._models.clear()
        self._parts.clear()

    @property
    def models(self) -> tuple[CompiledModel, ...]:
        """The compiled models that are kept, in the order in which they were stored."""
        return tuple(self._models.values())


def _key(length: int, extras: tuple[NDArray[Any], ...]) -> Hashable:
    return length, tuple((extra.shape[1:], extra.dtype) for extra in extras)
