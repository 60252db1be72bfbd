"""Models of other packages, found through entry points: what each is, whether it is installed, and how it is opened.

Nothing of a package is imported until one of its models is opened.
"""

import abc
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any, TypeVar

from attribution_bench.entry_points import list_plugins, load_plugin
from attribution_bench.errors import MissingDependencyError, PluginError, PluginWarning, UnknownNameError
from attribution_bench.sequences.alphabet import ALPHABETS

ADAPTERS = "attribution_bench.adapters"
Missing = TypeVar("Missing", bound=Exception)


@dataclass(frozen=True)
class ModelCard:
    """What a user has to know of a model before it is opened."""

    name: str
    """What is typed in the place of a file."""
    summary: str
    """What it predicts, in one line."""
    package: str
    """Distribution that has its classes or weights, by pip's name; installed by the user."""
    length: int | None
    """Letters of a sequence for whoever says nothing; None where the user has to say."""
    outputs: str
    """Its outputs and their shapes, in words, with targets to choose where there are many numbers."""
    licence: str
    """Of the package, and of the weights where they have another one."""
    citation: str
    fixed: bool = True
    """Whether it takes sequences of that length alone; any number of letters where there is none."""
    alphabet: str = "DNA"
    """``DNA``, ``RNA`` or ``protein``."""
    target: str | None = None
    """Target for whoever gives none, as on the command line; None where the model has one number or none is usual."""
    weights: bool = True
    """Whether the package holds trained weights; else a file is given as ``name?weights=FILE``."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of ``name?option=value`` and what they mean."""
    source: str | None = None
    """What pip is given to install the package; its name by default."""

    def __post_init__(self) -> None:
        texts = (self.name, self.package)
        if not all(isinstance(text, str) and text for text in texts) or not isinstance(self.length, int | None):
            raise TypeError(
                "a card has a name, a package and a number of letters or None, not "
                f"{self.name!r}, {self.package!r} and {self.length!r}"
            )
        if self.alphabet not in ALPHABETS:
            known = ", ".join(ALPHABETS)
            raise ValueError(f"the card of {self.name!r} has the alphabet {self.alphabet!r}; there are {known}")

    @property
    def installed(self) -> bool:
        """Whether the package is there; nothing is imported."""
        try:
            distribution(self.package)
        except PackageNotFoundError:
            return False
        return True

    @property
    def install_command(self) -> str:
        """Command that installs the package."""
        return f"pip install {self.source or self.package}"


class Adapter(abc.ABC):
    """The models of one package. An entry point of the group ``attribution_bench.adapters`` names the class."""

    @abc.abstractmethod
    def cards(self) -> Sequence[ModelCard]:
        """Return the models that it opens, without importing their package."""

    @abc.abstractmethod
    def open(self, name: str, *ignored: Any, **options: Any) -> Any:
        """Return a model by its name: a torch.nn.Module, a keras.Model or a SequenceModel.

        The package is installed. `options` are those that the card names, as far as they are given; ``length`` where
        the card's is not fixed, asked for or the card's own; and ``weights``, the path of a file, where the package
        holds none. Files are read by `read_keras`, `load_weights` and `read_weights`, which unpickle nothing.
        """

    def can_open(self, name: str) -> bool:
        """Whether a name is one of this adapter's models."""
        return any(card.name == name for card in self.cards())

    def sequence_options(self, name: str, **options: Any) -> Mapping[str, Any]:
        """Return what `as_sequence_model` has to know of a model opened with `options`, such as ``sequence_input``."""
        return {}

    def effects(self, name: str, **options: Any) -> Any:
        """Return the effects of variants that suit a model opened with `options`; None for differences of numbers."""
        return None

    def default_length(self, name: str, **options: Any) -> int | None:
        """Return the letters of a sequence for whoever says nothing; by default those of the card."""
        return next(card.length for card in self.cards() if card.name == name)

    def genes(self, name: str, genome: Any, **options: Any) -> Any:
        """Return the `Genes` on whose strands a model scores the variants of a `Genome`; None for the strand ``+``."""
        return None


@dataclass(frozen=True)
class CataloguedModel:
    """A card with the adapter that opens it."""

    card: ModelCard
    adapter: Adapter

    def open(self, **options: Any) -> Any:
        """Return the model; see `Adapter.open`.

        Raises
        ------
        MissingDependencyError
            Its package is not installed; the message names it.
        """
        if not self.card.installed:
            raise MissingDependencyError(
                f"{self.card.name} needs the package {self.card.package}, which is not installed; install it with: "
                f"{self.card.install_command}"
            )
        return self.adapter.open(self.card.name, **options)


@dataclass(frozen=True)
class Catalogue:
    """The models of every adapter that can be used, and why others cannot."""

    models: tuple[CataloguedModel, ...]
    """Sorted by name."""
    failures: tuple[str, ...]
    """A sentence for each adapter that cannot be used."""

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return [model.card.name for model in self.models]

    def find(self, name: str) -> CataloguedModel | None:
        """Return the model of a name; None where no adapter has it.

        Raises
        ------
        PluginError
            Two adapters have it.
        """
        found = [model for model in self.models if model.card.name == name]
        if len(found) > 1:
            classes = [type(model.adapter) for model in found]
            owners = " and ".join(f"{owner.__module__}.{owner.__name__}" for owner in classes)
            raise PluginError(f"two adapters open the model {name!r}: {owners}; uninstall one of them")
        return found[0] if found else None

    def noted(self, error: Missing) -> Missing:
        """Return an error about a name that nothing has, with a note for each adapter that might have it."""
        for failure in self.failures:
            error.add_note(f"{failure}, so that its models are not among these")
        return error


def read_catalogue() -> Catalogue:
    """Return the models of all installed adapters; an adapter that fails is told in `Catalogue.failures`."""
    models: list[CataloguedModel] = []
    failures = []
    for name in list_plugins(ADAPTERS):
        try:
            models += _models(name)
        except PluginError as error:
            failures.append(str(error))
    return Catalogue(tuple(sorted(models, key=lambda model: model.card.name)), tuple(failures))


def _models(name: str) -> list[CataloguedModel]:
    """Return the models of one adapter."""
    try:
        made = load_plugin(ADAPTERS, "adapter", name)
    except MissingDependencyError as error:
        raise PluginError(f"the adapter {name!r} cannot be loaded: {error}") from error
    if not (isinstance(made, type) and issubclass(made, Adapter)):
        raise PluginError(f"the adapter {name!r} is registered as {made!r}, which is no subclass of Adapter")
    try:
        adapter = made()
        cards = list(adapter.cards())
    except Exception as error:  # an adapter may fail in any way; the failure is named and re-raised
        raise PluginError(f"the adapter {name!r} cannot be used: {type(error).__name__}: {error}") from error
    strange = next((card for card in cards if not isinstance(card, ModelCard)), None)
    if strange is not None:
        raise PluginError(f"the adapter {name!r} has {strange!r} among its cards, which is no ModelCard")
    return [CataloguedModel(card, adapter) for card in cards]


def list_catalogue() -> list[ModelCard]:
    """Return the cards of every adapter, sorted by name; one that cannot be used is named in a PluginWarning."""
    catalogue = read_catalogue()
    for failure in catalogue.failures:
        warnings.warn(failure, PluginWarning, stacklevel=2)
    return [model.card for model in catalogue.models]


def find_catalogued(name: str) -> CataloguedModel | None:
    """Return the model of a name; None where no adapter that can be used has it. Raises as `Catalogue.find`."""
    return read_catalogue().find(name)


def get_catalogued(name: str) -> CataloguedModel:
    """Return the model of a name; raises UnknownNameError, which lists those there are, where no adapter has it."""
    catalogue = read_catalogue()
    found = catalogue.find(name)
    if found is None:
        raise catalogue.noted(UnknownNameError("catalogued model", name, catalogue.names))
    return found
