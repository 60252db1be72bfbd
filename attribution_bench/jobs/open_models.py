"""Models of a job: which are open, so that a process never holds more of them than a few."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

from attribution_bench.errors import InvalidInputError
from attribution_bench.jobs.elsewhere import KEPT_CODE, SAME_CODE, here
from attribution_bench.jobs.out_of_memory import release_memory
from attribution_bench.jobs.recipes import Recipe
from attribution_bench.models import SequenceModel
from attribution_bench.models.digest import structure_digest, weights_digest

MOST_OPEN = 10
"""Models that a process opens at once; folds are rarely more."""
MOST_BYTES = 2**30
"""Bytes of their weights, unless one model alone has more."""


@dataclass(frozen=True)
class ModelDigests:
    """What tells one model from another, wherever it is opened."""

    weights: str
    """SHA-256 of its weights."""
    structure: str
    """SHA-256 of what it does with them."""

    @classmethod
    def of(cls, model: SequenceModel) -> "ModelDigests":
        """Return the digests of a model."""
        return cls(weights_digest(model), structure_digest(model))

    def check(self, opened: SequenceModel, label: str) -> None:
        """Check that a model that was opened is the one of these digests; raises InvalidInputError."""
        found = self.of(opened)
        if found.weights != self.weights:
            raise InvalidInputError(
                f"the model {label} has other weights {here()} than where the job was started, or other ones each time "
                f"it is opened; give it weights from a file, the same one everywhere; {KEPT_CODE}"
            )
        if found.structure != self.structure:
            raise InvalidInputError(
                f"the model {label} is made of other code or settings {here()} than where the job was started, or of "
                f"other ones each time it is opened; {SAME_CODE}"
            )


@dataclass(frozen=True)
class NamedModel:
    """A model, and where it comes from."""

    model: SequenceModel
    label: str
    identity: str = ""
    """Digest of its file or source, where it has one."""
    recipe: Recipe | None = None
    """How another process opens the same model; without one it is given the model itself."""

    def open(self) -> "NamedModel":
        """Return the model itself, which is open."""
        return self


class Openable(Protocol):
    """A model that is open, or can be opened whenever it is needed."""

    @property
    def label(self) -> str:
        """Name for messages and records."""
        ...

    @property
    def identity(self) -> str:
        """Digest of its file or source, where it has one."""
        ...

    @property
    def recipe(self) -> Recipe | None:
        """How another process opens it."""
        ...

    def open(self) -> NamedModel:
        """Open it; raises as `Recipe.open`."""
        ...


@dataclass(frozen=True)
class ModelByRecipe:
    """A model that is opened when it is needed, and let go of afterwards."""

    here: Recipe
    """How this process opens it."""
    label: str
    identity: str
    recipe: Recipe
    """How another process opens it."""

    def open(self) -> NamedModel:
        """Open the model; raises as `Recipe.open`."""
        return NamedModel(self.here.open(), self.label, self.identity, self.recipe)


class OpenModels(Sequence[Openable]):
    """Models of which a few are open.

    What is open stays so while there is room: a few folds are opened once. Models that were given open are no matter
    here. A model has to have the same weights and structure each time it is opened.

    Parameters
    ----------
    models
        The models, in the order in which they are added up.
    digests
        Of each, where they are known.
    """

    def __init__(self, models: Sequence[Openable], digests: Sequence[ModelDigests] = ()) -> None:
        self._models = tuple(models)
        self._digests = dict(enumerate(digests))
        self._held: dict[int, SequenceModel] = {}
        self._largest = 0

    @classmethod
    def of(cls, models: Sequence[Openable]) -> "OpenModels":
        """Return models that may be such already."""
        return models if isinstance(models, cls) else cls(models)

    def __len__(self) -> int:
        return len(self._models)

    @overload
    def __getitem__(self, place: int) -> Openable: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Openable]: ...
    def __getitem__(self, place: int | slice) -> Openable | Sequence[Openable]:
        return self._models[place]

    def __iter__(self) -> Iterator[Openable]:
        return iter(self._models)

    def open(self, places: Sequence[int]) -> list[SequenceModel]:
        """Return some models, having let go of others where there is no room for all.

        The caller must not hold on to models that it had before.

        Raises
        ------
        InvalidInputError
            A model has other weights or another structure than it is known to have.
        AttributionBenchError
            A model cannot be opened; the message is that of `ModelSource.open`.
        """
        missing = [place for place in places if place not in self._held and not self._is_given(place)]
        kept = len(self._held) + len(missing)
        # What is not open yet is taken to be as large as the largest so far: members of an ensemble are alike.
        if missing and (kept > MOST_OPEN or kept * self._largest > MOST_BYTES):
            others = [place for place in self._held if place not in places]
            for place in others:
                del self._held[place]
            if others:
                release_memory()
        for place in missing:
            model = self._models[place].open().model
            if place in self._digests:
                self._digests[place].check(model, self._models[place].label)
            else:
                self._digests[place] = ModelDigests.of(model)
            self._held[place] = model
            self._largest = max(self._largest, weight_bytes(model))
        return [self._held[place] if place in self._held else self._models[place].open().model for place in places]

    def digests(self, place: int) -> ModelDigests:
        """Return the digests of a model; one that was not opened yet is."""
        if place not in self._digests:
            (model,) = self.open((place,))
            self._digests.setdefault(place, ModelDigests.of(model))
        return self._digests[place]

    def _is_given(self, place: int) -> bool:
        return isinstance(self._models[place], NamedModel)


def weight_bytes(model: SequenceModel) -> int:
    """Return the bytes of a model's parameters and buffers."""
    return sum(array.nbytes for _, array in model.weights())


def model_groups(sizes: Sequence[int]) -> tuple[range, ...]:
    """Divide models, by the bytes of their weights, into groups: consecutive ones that a process opens together."""
    found: list[range] = []
    start = held = 0
    for place, size in enumerate(sizes):
        if place > start and (place - start >= MOST_OPEN or held + size > MOST_BYTES):
            found.append(range(start, place))
            start, held = place, 0
        held += size
    return (*found, range(start, len(sizes)))
