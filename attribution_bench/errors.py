"""The errors and warnings that callers may want to tell apart. Each message names what was wrong and what would do."""

from collections.abc import Iterable
from difflib import get_close_matches


class AttributionBenchError(Exception):
    """Base of every error that the suite raises on purpose."""


class InvalidInputError(AttributionBenchError, ValueError):
    """An argument, an option or a file does not hold what it should."""


class OptionError(InvalidInputError, TypeError):
    """An option that a method does not take."""


class SequenceError(InvalidInputError):
    """Sequences that cannot be read or encoded."""


class TargetError(InvalidInputError):
    """A target that the model's outputs do not offer."""


class ModelError(InvalidInputError):
    """A model that cannot be used as a sequence model, or does not take the input given."""


class InconsistentModelError(ModelError):
    """A model whose prediction of a sequence depends on chance, on earlier calls or on the rest of the batch."""


class DeviceError(InvalidInputError):
    """A device that this machine or framework does not have."""


class OutputError(AttributionBenchError, OSError):
    """Results that cannot be written or read."""


class ResultError(OutputError, InvalidInputError):
    """A result, stored or about to be, that does not hold what it should."""


class SetAsideError(AttributionBenchError):
    """Sequences that cannot be scored, where every one was to be."""


class UnsupportedError(AttributionBenchError):
    """A combination of method, framework and model that is known not to work."""


class ClusterError(AttributionBenchError):
    """A cluster that cannot be reached, was lost, or of which no process can do the work."""


class MissingDependencyError(AttributionBenchError, ImportError):
    """A package that an optional part of the suite needs is not installed."""

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> "MissingDependencyError":
        """State which package is missing, what it is for, and the command that installs it."""
        return cls(f"{purpose} needs the package {package!r}; {install_command(extra)}")


def install_command(extra: str) -> str:
    """Return the words that tell how an extra of attribution-bench is installed, which comes from a clone."""
    return f"in a clone of attribution-bench: pip install '.[{extra}]'"


class PluginError(AttributionBenchError):
    """An installed plugin that cannot be loaded, breaks the contract, or clashes with another."""


class UnknownNameError(AttributionBenchError, KeyError):
    """A name that no installed plugin answers to."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        self.message = f"unknown {kind} {name!r}; {hint}known: {', '.join(known) or 'none'}"
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


class SelfCheckError(AttributionBenchError):
    """A fast path disagreed with the model itself; no result was returned."""


def text_with_notes(error: BaseException) -> str:
    """Return an error's text, and the notes that were added to it where it went through."""
    return "; ".join((str(error), *getattr(error, "__notes__", ())))


class FallbackWarning(RuntimeWarning):
    """Every mutation costs a full pass: the model could not be captured, or nothing would be gained by its graph."""


class TrialWarning(RuntimeWarning):
    """A failed trial of what another way to the same predictions would take; they were computed in the usual one."""


class InconsistencyWarning(UserWarning):
    """What InconsistentModelError says, of a model that is to be used nevertheless."""


class ConvergenceWarning(UserWarning):
    """Attributions do not add up to the difference of predictions, so that the multipliers are no DeepLIFT values."""


class PluginWarning(RuntimeWarning):
    """An installed plugin that cannot be used, so that what it has is left out."""


class JobWarning(UserWarning):
    """What a job takes for granted, or had to do otherwise than asked, where no observer is told of it."""


class VariantWarning(JobWarning):
    """What a reader of the effects of some variants should know; of each kind it is told once, of the first of them.

    Parameters
    ----------
    kind
        What is true of all of them.
    first
        What there is to say of the first one, which it names.
    """

    def __init__(self, kind: str, first: str = "") -> None:
        super().__init__(kind, first)
        self.kind = kind

    def __str__(self) -> str:
        return "; ".join(filter(None, self.args))


class ReferenceWarning(UserWarning):
    """References that explain nothing, since they equal the sequence that they are compared with."""
